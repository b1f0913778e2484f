#include "packed.h"

#include <nanobind/stl/string.h>

#include "bindings.h"

namespace gemmsmith::python {
namespace {

// Looked up once: each call asks.
PyTypeObject* packed_type = nullptr;

}  // namespace

const PackedWeight* AsPacked(PyObject* object) {
  return Py_TYPE(object) == packed_type ? nb::inst_ptr<PackedWeight>(nb::handle(object)) : nullptr;
}

void BindPacked(nb::module_& m) {
  constexpr const char* kDoc =
      "A copy of a weight in the form that the device's kernels read fastest, made by Gemm.pack. It stands for b in "
      "gemm and Gemm, as (k, n), and needs the array no more.";
  const nb::object type =
      nb::class_<PackedWeight>(m, "PackedWeight", kDoc)
          .def_prop_ro(
              "shape",
              [](const PackedWeight& self) {
                return nb::make_tuple(self.weight.packed.shape[0], self.weight.packed.shape[1]);
              },
              "(k, n).", nb::sig("def shape(self) -> tuple[int, int]"))
          .def_prop_ro("dtype",
                       [](const PackedWeight& self) { return std::string(ToString(self.weight.packed.dtype)); })
          .def_prop_ro(
              "nbytes", [](const PackedWeight& self) { return self.weight.storage.bytes(); }, "Of its copy.")
          .def("__repr__", [](const PackedWeight& self) {
            const Tensor& b = self.weight.packed;
            return "PackedWeight(" + std::to_string(b.shape[0]) + ", " + std::to_string(b.shape[1]) + ", " +
                   std::string(ToString(b.dtype)) + ")";
          });
  packed_type = reinterpret_cast<PyTypeObject*>(type.ptr());
}

}  // namespace gemmsmith::python
