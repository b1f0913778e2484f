#include <nanobind/nanobind.h>

#include <cstring>
#include <utility>
#include <vector>

#include "array.h"
#include "errors.h"
#include "objects.h"

namespace gemmsmith::python {
namespace {

namespace nb = nanobind;

constexpr std::pair<std::string_view, Library> kPackages[] = {{"numpy", Library::kNumpy},
                                                              {"torch", Library::kTorch},
                                                              {"cupy", Library::kCupy},
                                                              {"jaxlib", Library::kJax},
                                                              {"jax", Library::kJax}};

/// Of the type itself or of what it derives from: a torch.nn.Parameter is torch's.
Library FindLibrary(PyObject* object) {
  const Ref bases(PyObject_GetAttrString(reinterpret_cast<PyObject*>(Py_TYPE(object)), "__mro__"));
  for (Py_ssize_t i = 0; i < PyTuple_Size(bases.get()); ++i) {
    PyObject* const module = PyObject_GetAttrString(PyTuple_GetItem(bases.get(), i), "__module__");
    if (module == nullptr || PyUnicode_Check(module) == 0) {
      PyErr_Clear();
      Py_XDECREF(module);
      continue;
    }
    const Ref held(module);
    const std::string_view name = Text(module), package = name.substr(0, name.find('.'));
    for (const auto& [known, library] : kPackages)
      if (package == known) return library;
  }
  return PyObject_CheckBuffer(object) != 0 ? Library::kBuffer : Library::kOther;
}

/// By the names that NumPy, ml_dtypes and torch have for them.
constexpr std::pair<std::string_view, DType> kNames[] = {
    {"float32", DType::kF32},      {"float", DType::kF32}, {"float64", DType::kF64},   {"double", DType::kF64},
    {"float16", DType::kF16},      {"half", DType::kF16},  {"bfloat16", DType::kBf16}, {"float8_e4m3fn", DType::kE4m3},
    {"float8_e5m2", DType::kE5m2}, {"int8", DType::kS8},   {"uint8", DType::kU8},      {"int32", DType::kS32}};

const char* NumpyName(DType dtype) {
  for (const auto& [name, known] : kNames)
    if (known == dtype) return name.data();
  return "";
}

DType DTypeOfName(std::string_view name) {
  if (name.starts_with("torch.")) name.remove_prefix(6);
  for (const auto& [known, dtype] : kNames)
    if (known == name) return dtype;
  for (const DTypeInfo& info : AllDTypes())
    if (info.name == name) return info.dtype;
  std::string all;
  for (const DTypeInfo& info : AllDTypes()) all += (all.empty() ? "" : ", ") + std::string(info.name);
  throw TypeMismatch("no kernel knows the dtype \"" + std::string(name) + "\"",
                     "there are " + all + ", also by NumPy's and torch's names for them");
}

PyObject* Shape(std::span<const std::int64_t> shape) {
  Ref tuple(PyTuple_New(static_cast<Py_ssize_t>(shape.size())));
  for (std::size_t i = 0; i < shape.size(); ++i)
    PyTuple_SetItem(tuple.get(), static_cast<Py_ssize_t>(i), Checked(PyLong_FromLongLong(shape[i])));
  return tuple.release();
}

/// numpy.empty and its dtypes, which live as long as the process.
PyObject* AllocateNumpy(const Array& like, PyObject* shape, DType dtype) {
  static nb::ft_mutex mutex;  // of interpreters without a GIL; else none
  const nb::ft_lock_guard lock(mutex);
  static PyObject *empty = nullptr, *dtypes[32] = {};
  // Not where it is declared: an import lets other threads run, which would wait here with the GIL that it needs.
  if (empty == nullptr) {
    const Ref numpy(PyImport_ImportModule("numpy"));
    empty = Checked(PyObject_GetAttrString(numpy.get(), "empty"));
  }
  PyObject*& known = dtypes[static_cast<std::size_t>(dtype)];
  if (known == nullptr) {
    if (like.library() == Library::kNumpy && like.dtype() == dtype) {
      known = Checked(PyObject_GetAttrString(like.object(), "dtype"));
    } else {
      const Ref make = LibraryFunction("numpy_dtype");
      known = Checked(PyObject_CallFunction(make.get(), "s", NumpyName(dtype)));
    }
  }
  PyObject* arguments[] = {nullptr, shape, known};
  return Checked(PyObject_Vectorcall(empty, arguments + 1, 2 | PY_VECTORCALL_ARGUMENTS_OFFSET, nullptr));
}

Stream HandleOf(PyObject* number) {
  void* const handle = PyLong_AsVoidPtr(number);
  if (handle == nullptr && PyErr_Occurred() != nullptr) throw PythonRaised();
  return {handle};
}

}  // namespace

Library LibraryOf(PyObject* object) {
  // Types are kept, so that no other can take the place of one that is gone.
  static std::vector<std::pair<PyTypeObject*, Library>> known;
  static nb::ft_mutex mutex;
  PyTypeObject* const type = Py_TYPE(object);
  const nb::ft_lock_guard lock(mutex);
  for (const auto& [of, library] : known)
    if (of == type) return library;
  const Library library = FindLibrary(object);
  constexpr std::size_t kKept = 16;
  if (known.size() < kKept) {
    Py_INCREF(reinterpret_cast<PyObject*>(type));
    known.emplace_back(type, library);
  }
  return library;
}

DType DTypeOfObject(PyObject* object) {
  if (PyUnicode_Check(object) != 0) return DTypeOfName(Text(object));
  for (const char* attribute : {"name", "__name__"}) {
    PyObject* const name = PyObject_GetAttrString(object, attribute);
    if (name == nullptr) {
      PyErr_Clear();
      continue;
    }
    const Ref held(name);
    if (PyUnicode_Check(name) != 0) return DTypeOfName(Text(name));
  }
  const Ref text(PyObject_Str(object));
  return DTypeOfName(Text(text.get()));
}

PyObject* Allocate(const Array& like, std::span<const std::int64_t> shape, DType dtype) {
  const Ref extents(Shape(shape));
  if (like.library() == Library::kNumpy || like.library() == Library::kJax)
    return AllocateNumpy(like, extents.get(), dtype);
  const Ref allocate = LibraryFunction("allocate");
  return Checked(PyObject_CallFunction(allocate.get(), "OOs", like.object(), extents.get(), NumpyName(dtype)));
}

Stream CurrentStream(const Array& like) {
  if (like.device().kind != DeviceKind::kCuda) return {};
  const Ref current = LibraryFunction("current_stream");
  const Ref handle(PyObject_CallFunction(current.get(), "Oi", like.object(), static_cast<int>(like.device().index)));
  return HandleOf(handle.get());
}

Stream StreamOfObject(PyObject* object) {
  const Ref find = LibraryFunction("stream_handle");
  const Ref handle(PyObject_CallFunctionObjArgs(find.get(), object, nullptr));
  return HandleOf(handle.get());
}

}  // namespace gemmsmith::python
