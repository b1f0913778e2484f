#include <nanobind/nanobind.h>
#include <nanobind/operators.h>
#include <nanobind/stl/string.h>

#include "bindings.h"
#include "epilogue_object.h"
#include "gemmsmith/epilogue.h"

namespace gemmsmith::python {

const Epilogue* AsEpilogue(PyObject* object) {
  const nb::handle handle(object);
  return nb::isinstance<Epilogue>(handle) ? nb::inst_ptr<Epilogue>(handle) : nullptr;
}

void BindEpilogue(nb::module_& m) {
  nb::class_<Epilogue>(m, "Epilogue", "What is done to alpha * a @ b + beta * c before it is stored: a value.")
      .def(
          "__init__", [](Epilogue* self, const std::string& chain) { new (self) Epilogue(Epilogue::Parse(chain)); },
          nb::arg("chain"), "By names, from left to right: \"bias+gelu\" (docs/epilogues.md).")
      .def_prop_ro("text", &Epilogue::text, "The canonical form, one operation per line.")
      .def_prop_ro("pairs_columns", &Epilogue::pairs_columns,
                   "Whether two columns of the product make one of the result.")
      .def(
          "__eq__",
          [](const Epilogue& x, nb::handle y) {
            const Epilogue* const other = AsEpilogue(y.ptr());
            return other != nullptr && x == *other;
          },
          nb::sig("def __eq__(self, other: object) -> bool"))
      .def("__hash__", [](const Epilogue& x) { return static_cast<std::int64_t>(x.id() >> 2); })
      .def("__repr__", [](const Epilogue& x) { return "Epilogue:\n" + x.text(); });
  CopyIsItself<Epilogue>();
}

}  // namespace gemmsmith::python
