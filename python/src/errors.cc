#include "errors.h"

#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>

#include <typeinfo>

namespace gemmsmith::python {
namespace {

namespace nb = nanobind;

const char* ClassOf(Code code) {
  switch (code) {
    case Code::kInvalidArgument:
      return "InvalidArgument";
    case Code::kUnsupported:
      return "Unsupported";
    case Code::kNotFound:
      return "NotFound";
    case Code::kCompileFailed:
      return "CompileError";
    case Code::kDevice:
      return "DeviceError";
    case Code::kOutOfMemory:
      return "OutOfMemory";
    case Code::kIo:
      return "IoError";
    case Code::kCancelled:
      return "Cancelled";
    case Code::kInternal:
      return "InternalError";
  }
  return "Error";
}

void Set(const char* name, const nb::object& error) {
  PyErr_SetObject(nb::module_::import_("gemmsmith.errors").attr(name).ptr(), error.ptr());
}

void Raise(const char* name, const Error& error) {
  const nb::object type = nb::module_::import_("gemmsmith.errors").attr(name);
  nb::object value = type(error.message(), error.remedy());
  if (const auto* const compile = dynamic_cast<const CompileError*>(&error)) {
    value.attr("log") = compile->log();
    value.attr("source_path") = compile->source_path();
  }
  Set(name, value);
}

}  // namespace

void SetPythonError(const std::exception_ptr& failure) {
  try {
    std::rethrow_exception(failure);
  } catch (const PythonRaised&) {
  } catch (const TypeMismatch& error) {
    Raise("DTypeError", error);
  } catch (const Error& error) {
    Raise(ClassOf(error.code()), error);
  } catch (const std::bad_cast&) {
    PyErr_SetString(PyExc_TypeError, "an argument is of a type that is not taken here");
  }
}

}  // namespace gemmsmith::python
