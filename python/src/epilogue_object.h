#pragma once

#include <Python.h>

#include "gemmsmith/epilogue.h"

namespace gemmsmith::python {

/// The Epilogue in a Python object; null if it is none.
const Epilogue* AsEpilogue(PyObject* object);

}  // namespace gemmsmith::python
