#pragma once

#include <Python.h>

#include <memory>

#include "gemmsmith/engine.h"

namespace gemmsmith::python {

/// A weight in the form that kernels read fastest.
struct PackedWeight {
  std::shared_ptr<Engine> engine;  ///< Whose kernels: others may read another form.
  Engine::PackedWeight weight;
};

/// The PackedWeight in a Python object; null if it is none.
const PackedWeight* AsPacked(PyObject* object);

}  // namespace gemmsmith::python
