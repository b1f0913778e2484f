#pragma once

#include <Python.h>

#include <string>
#include <string_view>
#include <utility>

#include "errors.h"

namespace gemmsmith::python {

/// Owns one reference. Of a null pointer it throws PythonRaised.
class Ref {
 public:
  Ref() = default;
  explicit Ref(PyObject* object) : object_(Checked(object)) {}
  Ref(Ref&& other) noexcept : object_(std::exchange(other.object_, nullptr)) {}
  Ref& operator=(Ref&& other) noexcept {
    std::swap(object_, other.object_);
    return *this;
  }
  ~Ref() { Py_XDECREF(object_); }

  PyObject* get() const { return object_; }
  PyObject* release() { return std::exchange(object_, nullptr); }

 private:
  PyObject* object_ = nullptr;
};

/// Of a str; valid while it lives.
inline std::string_view Text(PyObject* text) {
  Py_ssize_t size = 0;
  const char* const data = Checked(PyUnicode_AsUTF8AndSize(text, &size));
  return {data, static_cast<std::size_t>(size)};
}

/// "float32" of numpy.float32, without the module.
inline std::string TypeName(PyTypeObject* type) {
  const Ref name(PyType_GetName(type));
  return std::string(Text(name.get()));
}

/// str() of the exception that is set, which is cleared.
inline std::string TakeErrorText() {
  PyObject *type = nullptr, *value = nullptr, *trace = nullptr;
  PyErr_Fetch(&type, &value, &trace);
  const Ref text(PyObject_Str(value != nullptr ? value : Py_None));
  Py_XDECREF(type);
  Py_XDECREF(value);
  Py_XDECREF(trace);
  return std::string(Text(text.get()));
}

/// A function of module gemmsmith._libraries, which knows the array libraries by their own names.
inline Ref LibraryFunction(const char* name) {
  const Ref module(PyImport_ImportModule("gemmsmith._libraries"));
  return Ref(PyObject_GetAttrString(module.get(), name));
}

}  // namespace gemmsmith::python
