#pragma once

#include <nanobind/nanobind.h>

#include "gemmsmith/epilogue.h"

namespace gemmsmith::python {

/// Class Value.
void BindValue(nanobind::module_& m);
/// The Value in a Python object, or of a number. Throws TypeMismatch, or what converting it raised.
Value ValueOf(nanobind::handle object);
/// The epilogue that a Python function is, which is called once: with the accumulator, and by name with the inputs that
/// its parameters name. Throws Error, or what the function raised.
Epilogue TraceFunction(nanobind::handle function);

}  // namespace gemmsmith::python
