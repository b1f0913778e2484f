#include "array.h"

#include <pthread.h>

#include <atomic>
#include <cstring>
#include <string_view>
#include <utility>

#include "errors.h"
#include "objects.h"

namespace gemmsmith::python {
namespace {

std::string ShapeText(std::span<const std::int64_t> shape) {
  std::string text = "(";
  for (std::size_t i = 0; i < shape.size(); ++i) text += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
  return text + (shape.size() == 1 ? ",)" : ")");
}

/// Of the struct module: one element. Null where it is none that is known here.
const DType* DTypeOfFormat(char format, Py_ssize_t bytes) {
  static constexpr DType kF64 = DType::kF64, kF32 = DType::kF32, kF16 = DType::kF16, kS8 = DType::kS8;
  static constexpr DType kU8 = DType::kU8, kS32 = DType::kS32;
  switch (format) {
    case 'f':
      return &kF32;
    case 'd':
      return &kF64;
    case 'e':
      return &kF16;
    case 'b':
      return &kS8;
    case 'B':
      return &kU8;
    case 'i':
    case 'l':
      return bytes == 4 ? &kS32 : nullptr;
    default:
      return nullptr;
  }
}

/// One of what a tuple or the like has.
std::int64_t Whole(PyObject* sequence, Py_ssize_t at) {
  const Ref item(PySequence_GetItem(sequence, at));
  const long long value = PyLong_AsLongLong(item.get());
  if (value == -1 && PyErr_Occurred() != nullptr) throw PythonRaised();
  return value;
}

std::atomic<bool> cuda_used{false}, cuda_lost{false};

}  // namespace

void UseCuda() {
  if (cuda_lost.load(std::memory_order_relaxed)) [[unlikely]]
    throw Error(Code::kDevice, "CUDA was used before this process was forked, and cannot be used in it",
                "start processes with multiprocessing's \"spawn\" or \"forkserver\"");
  if (cuda_used.load(std::memory_order_relaxed)) return;
  static const int registered = pthread_atfork(nullptr, nullptr, [] {
    if (cuda_used.load(std::memory_order_relaxed)) cuda_lost.store(true, std::memory_order_relaxed);
  });
  (void)registered;
  cuda_used.store(true, std::memory_order_relaxed);
}

Array::~Array() {
  if (has_buffer_) PyBuffer_Release(&buffer_);
  Py_XDECREF(interface_);
  if (managed_ != nullptr && managed_->deleter != nullptr) managed_->deleter(managed_);
  if (versioned_ != nullptr && versioned_->deleter != nullptr) versioned_->deleter(versioned_);
}

std::string Array::Describe() const { return ShapeText(shape()) + " " + std::string(ToString(dtype_)); }

void Array::CheckRank(std::int64_t rank) const {
  if (rank < 0 || rank > kMaxRank) [[unlikely]]
    throw Error(Code::kInvalidArgument, std::string(name_) + " has " + std::to_string(rank) + " dimensions; at most " +
                                            std::to_string(kMaxRank) + " are taken");
}

/// What an exporter may have wrong, and no product survives.
void Array::CheckStrides() const {
  for (int i = 0; i < rank_; ++i) {
    if (shape_[i] < 0) [[unlikely]]
      throw Error(Code::kInvalidArgument, std::string(name_) + " says that its shape is " + ShapeText(shape()));
    if (strides_[i] < 0 && shape_[i] > 1) [[unlikely]]
      throw Error(Code::kInvalidArgument,
                  std::string(name_) + " " + ShapeText(shape()) + " has negative strides " + ShapeText(strides()),
                  "copy it: numpy.ascontiguousarray");
  }
}

void Array::SetOnGpu(std::int64_t index) {
  if (index < 0 || index > 255)
    throw Error(Code::kInvalidArgument, std::string(name_) + " says that it is on GPU " + std::to_string(index));
  device_ = {DeviceKind::kCuda, static_cast<std::uint8_t>(index)};
}

void Array::SetDType(const char* format, Py_ssize_t item_bytes) {
  const char* f = format == nullptr ? "B" : format;
  const bool swapped = *f == '>' || *f == '!';
  if (*f == '@' || *f == '=' || *f == '<' || swapped) ++f;
  const DType* const found = f[0] != 0 && f[1] == 0 ? DTypeOfFormat(*f, item_bytes) : nullptr;
  if (found == nullptr) [[unlikely]]
    throw TypeMismatch(std::string(name_) + " has elements of type '" + (format == nullptr ? "" : format) + "', " +
                           std::to_string(item_bytes) + " bytes each, which no kernel takes",
                       "convert it to f32, f64, f16, bf16, s8, u8 or s32");
  if (swapped && item_bytes > 1) [[unlikely]]
    throw TypeMismatch(std::string(name_) + " is big-endian", "convert it: a.astype(a.dtype.newbyteorder('='))");
  dtype_ = *found;
}

/// Throws where an element is not a whole number of elements after the one before it.
void Array::SetStrides(std::span<const std::int64_t> bytes) {
  const auto size = static_cast<std::int64_t>(SizeOf(dtype_));
  for (int i = 0; i < rank_; ++i) {
    strides_[i] = bytes[i] / size;
    if (strides_[i] * size != bytes[i] && shape_[i] > 1) [[unlikely]]
      throw Error(Code::kInvalidArgument,
                  std::string(name_) + " has a stride of " + std::to_string(bytes[i]) + " bytes, and elements of " +
                      std::to_string(size),
                  "copy it: numpy.ascontiguousarray");
  }
}

bool Array::TakeBuffer() {
  if (PyObject_GetBuffer(object_, &buffer_, PyBUF_RECORDS_RO) != 0) {
    PyErr_Clear();
    return false;
  }
  has_buffer_ = true;
  CheckRank(buffer_.ndim);
  SetDType(buffer_.format, buffer_.itemsize);
  data_ = buffer_.buf;
  rank_ = buffer_.ndim;
  read_only_ = buffer_.readonly != 0;
  std::array<std::int64_t, kMaxRank> bytes;
  std::int64_t dense = buffer_.itemsize;
  for (int i = rank_ - 1; i >= 0; --i) {
    shape_[i] = buffer_.shape[i];
    bytes[i] = buffer_.strides != nullptr ? buffer_.strides[i] : dense;  // null: of ctypes
    dense *= shape_[i];
  }
  SetStrides(bytes);
  return true;
}

/// NumPy exports arrays of ml_dtypes' types by this alone, as bytes without a meaning; what they mean says the dtype.
void Array::TakeInterface() {
  const Ref interface(PyObject_GetAttrString(object_, "__array_interface__"));
  const Ref dtype(PyObject_GetAttrString(object_, "dtype"));
  PyObject* const shape = PyDict_GetItemString(interface.get(), "shape");
  PyObject* const data = PyDict_GetItemString(interface.get(), "data");
  PyObject* const strides = PyDict_GetItemString(interface.get(), "strides");
  PyObject* const type = PyDict_GetItemString(interface.get(), "typestr");
  if (shape == nullptr || data == nullptr || type == nullptr || !PyTuple_Check(shape) || !PyTuple_Check(data))
    throw TypeMismatch(std::string(name_) + " has an __array_interface__ without shape, data or typestr");
  if (Text(type).starts_with(">"))
    throw TypeMismatch(std::string(name_) + " is big-endian", "convert it: a.astype(a.dtype.newbyteorder('='))");
  dtype_ = DTypeOfObject(dtype.get());
  const Py_ssize_t rank = PyTuple_Size(shape);
  CheckRank(rank);
  rank_ = static_cast<int>(rank);
  data_ = PyLong_AsVoidPtr(Checked(PyTuple_GetItem(data, 0)));
  read_only_ = PyObject_IsTrue(Checked(PyTuple_GetItem(data, 1))) == 1;
  std::array<std::int64_t, kMaxRank> bytes;
  auto dense = static_cast<std::int64_t>(SizeOf(dtype_));
  for (int i = rank_ - 1; i >= 0; --i) {
    shape_[i] = PyLong_AsLongLong(Checked(PyTuple_GetItem(shape, i)));
    bytes[i] = dense;
    if (strides != nullptr && PyTuple_Check(strides))
      bytes[i] = PyLong_AsLongLong(Checked(PyTuple_GetItem(strides, i)));
    dense *= shape_[i];
  }
  if (PyErr_Occurred() != nullptr) throw PythonRaised();
  SetStrides(bytes);
  Py_INCREF(object_);
  interface_ = object_;
}

void Array::TakeTensor(const dlpack::Tensor& tensor) {
  if (tensor.rank != 0 && tensor.shape == nullptr)
    throw Error(Code::kInvalidArgument, std::string(name_) + " comes by a DLPack capsule without a shape");
  CheckRank(tensor.rank);
  rank_ = tensor.rank;
  data_ = static_cast<char*>(tensor.data) + tensor.byte_offset;
  std::int64_t dense = 1;
  for (int i = rank_ - 1; i >= 0; --i) {
    shape_[i] = tensor.shape[i];
    strides_[i] = tensor.strides != nullptr ? tensor.strides[i] : dense;
    dense *= shape_[i];
  }
  const DTypeInfo* found = nullptr;
  for (const DTypeInfo& info : AllDTypes())
    if (info.dlpack_code == tensor.dtype.code && info.dlpack_bits == tensor.dtype.bits) found = &info;
  if (found == nullptr || tensor.dtype.lanes != 1)
    throw TypeMismatch(std::string(name_) + " has elements of DLPack's type (code " +
                           std::to_string(tensor.dtype.code) + ", " + std::to_string(tensor.dtype.bits) + " bits, " +
                           std::to_string(tensor.dtype.lanes) + " lanes), which no kernel takes",
                       "convert it to f32, f64, f16, bf16, e4m3, e5m2, s8, u8 or s32");
  dtype_ = found->dtype;
  switch (tensor.device.type) {
    case dlpack::kCpu:
    case dlpack::kCudaHost:
      device_ = {};
      break;
    case dlpack::kCuda:
    case dlpack::kCudaManaged:
      SetOnGpu(tensor.device.index);
      break;
    default:
      throw Error(Code::kInvalidArgument,
                  std::string(name_) + " is on a device of DLPack's type " + std::to_string(tensor.device.type),
                  "copy it to the CPU or a CUDA GPU");
  }
  if (device_.kind == DeviceKind::kCuda) UseCuda();
}

void Array::TakeCapsule(PyObject* capsule) {
  if (PyCapsule_IsValid(capsule, "dltensor_versioned")) {
    auto* const managed = static_cast<dlpack::ManagedVersioned*>(PyCapsule_GetPointer(capsule, "dltensor_versioned"));
    if (managed->major != dlpack::kMajor)
      throw TypeMismatch(std::string(name_) + " comes by DLPack " + std::to_string(managed->major) + "." +
                         std::to_string(managed->minor) + ", which is not known here");
    PyCapsule_SetName(capsule, "used_dltensor_versioned");
    versioned_ = managed;
    read_only_ = (managed->flags & dlpack::kReadOnly) != 0;
    TakeTensor(managed->tensor);
  } else if (PyCapsule_IsValid(capsule, "dltensor")) {
    managed_ = static_cast<dlpack::Managed*>(PyCapsule_GetPointer(capsule, "dltensor"));
    PyCapsule_SetName(capsule, "used_dltensor");
    TakeTensor(managed_->tensor);
  } else {
    const char* const name = PyCapsule_CheckExact(capsule) != 0 ? PyCapsule_GetName(capsule) : nullptr;
    PyErr_Clear();
    throw Error(Code::kInvalidArgument,
                std::string(name_) + " is a DLPack capsule that was used already, or none" +
                    (name != nullptr ? ": it is called \"" + std::string(name) + "\"" : ""),
                "give the array itself");
  }
}

/// Versions of torch that do not give out 8-bit floats give out their bytes. The exception stays set if that is not it.
bool Array::TakeBytesOfTorch() {
  PyObject *type = nullptr, *value = nullptr, *trace = nullptr;
  PyErr_Fetch(&type, &value, &trace);
  const Ref view = LibraryFunction("bytes_of_torch");
  const Ref bytes(PyObject_CallFunctionObjArgs(view.get(), object_, nullptr));
  if (bytes.get() == Py_None) {
    PyErr_Restore(type, value, trace);
    return false;
  }
  Py_XDECREF(type);
  Py_XDECREF(value);
  Py_XDECREF(trace);
  PyObject* const tensor = std::exchange(object_, bytes.get());
  TakeDlpack();
  object_ = tensor;
  const Ref dtype(PyObject_GetAttrString(tensor, "dtype"));
  dtype_ = DTypeOfObject(dtype.get());
  return true;
}

void Array::TakeDlpack() {
  PyObject* stream = Py_None;
  Ref handle;
  const Ref device(PyObject_CallMethod(object_, "__dlpack_device__", nullptr));
  const std::int64_t kind = Whole(device.get(), 0), index = Whole(device.get(), 1);
  if (kind == dlpack::kCuda) {
    SetOnGpu(index);
    // By DLPack's numbering, 1 is the legacy default stream.
    const auto current = reinterpret_cast<std::uintptr_t>(CurrentStream(*this).handle);
    handle = Ref(PyLong_FromUnsignedLongLong(current == 0 ? 1 : current));
    stream = handle.get();
  }
  const Ref method(PyObject_GetAttrString(object_, "__dlpack__"));
  const Ref none(PyTuple_New(0)), keywords(Py_BuildValue("{s:O,s:(ii)}", "stream", stream, "max_version", 1, 0));
  PyObject* capsule = PyObject_Call(method.get(), none.get(), keywords.get());
  if (capsule == nullptr && PyErr_ExceptionMatches(PyExc_TypeError) != 0) {  // of before DLPack 1.0
    PyErr_Clear();
    PyDict_DelItemString(keywords.get(), "max_version");
    capsule = PyObject_Call(method.get(), none.get(), keywords.get());
  }
  if (capsule == nullptr && library_ == Library::kTorch && TakeBytesOfTorch()) return;
  if (capsule == nullptr && PyErr_ExceptionMatches(PyExc_BufferError) != 0) {
    const std::string reason = TakeErrorText();
    throw Error(Code::kInvalidArgument, std::string(name_) + " is not given out by its library: " + reason);
  }
  const Ref held(capsule);
  TakeCapsule(held.get());
}

void Array::Take(const char* name, PyObject* object) {
  name_ = name;
  object_ = object;
  library_ = LibraryOf(object);
  if (PyObject_CheckBuffer(object) != 0 && TakeBuffer()) {
  } else if (library_ == Library::kNumpy) {
    TakeInterface();
  } else if (PyCapsule_CheckExact(object) != 0) {
    TakeCapsule(object);
  } else if (PyObject_HasAttrString(object, "__dlpack__") != 0 &&
             PyObject_HasAttrString(object, "__dlpack_device__") != 0) {
    TakeDlpack();
  } else if (PyObject_HasAttrString(object, "__array_interface__") != 0) {
    TakeInterface();
  } else if (library_ == Library::kJax && PyObject_HasAttrString(object, "aval") != 0) {
    throw TypeMismatch(
        std::string(name) + " is a " + TypeName(Py_TYPE(object)) + ": JAX traces this call, and has no array yet",
        "call it outside of jax.jit, grad and vmap, or through jax.pure_callback");
  } else if (PyObject_CheckBuffer(object) != 0) {
    PyObject_GetBuffer(object, &buffer_, PyBUF_RECORDS_RO);  // for its reason
    throw Error(Code::kInvalidArgument, std::string(name) + " is a " + TypeName(Py_TYPE(object)) +
                                            " that gives out no memory: " + TakeErrorText());
  } else {
    throw TypeMismatch(std::string(name) + " is a " + TypeName(Py_TYPE(object)) +
                           ", which is no array: it has neither the buffer protocol nor __dlpack__",
                       "give an array of NumPy, torch, CuPy or JAX");
  }
  CheckStrides();
}

void Array::Take(const char* name, PyObject* object, const Tensor& tensor) {
  name_ = name;
  object_ = object;
  data_ = tensor.data;
  dtype_ = tensor.dtype;
  device_ = tensor.device;
  rank_ = tensor.rank;
  for (int i = 0; i < rank_; ++i) shape_[i] = tensor.shape[i], strides_[i] = tensor.strides[i];
}

Tensor Array::tensor() const {
  if (rank_ > Tensor::kMaxRank)
    throw Error(Code::kInvalidArgument, std::string(name_) + " " + Describe() + " has more than 3 dimensions");
  Tensor t;
  t.data = data_;
  t.dtype = dtype_;
  t.rank = static_cast<std::uint8_t>(rank_);
  t.device = device_;
  t.read_only = read_only_;
  for (int i = 0; i < rank_; ++i) t.shape[i] = shape_[i], t.strides[i] = strides_[i];
  return t;
}

}  // namespace gemmsmith::python
