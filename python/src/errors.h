#pragma once

#include <Python.h>

#include <exception>
#include <string>
#include <utility>

#include "gemmsmith/error.h"

namespace gemmsmith::python {

/// What becomes gemmsmith.DTypeError, which is a TypeError.
class TypeMismatch : public Error {
 public:
  TypeMismatch(std::string message, std::string remedy = {})
      : Error(Code::kInvalidArgument, std::move(message), std::move(remedy)) {}
};

/// A Python exception is set.
class PythonRaised : public std::exception {
 public:
  const char* what() const noexcept override { return "a Python exception is set"; }
};

/// `object`, unless it is null, which says that a Python exception is set: then PythonRaised is thrown.
template <class Object>
Object* Checked(Object* object) {
  if (object == nullptr) throw PythonRaised();
  return object;
}

/// Sets the exception of package gemmsmith that stands for `failure`.
void SetPythonError(const std::exception_ptr& failure);

}  // namespace gemmsmith::python
