#pragma once

#include <nanobind/nanobind.h>

#include <string>
#include <string_view>

#include "gemmsmith/problem.h"

namespace gemmsmith::python {

namespace nb = nanobind;

// Each part of the module, in a file of its own.
void BindGemm(nb::module_& m);
void BindGrouped(nb::module_& m);
void BindLayouts(nb::module_& m);
void BindEpilogue(nb::module_& m);
void BindPacked(nb::module_& m);
void BindProblem(nb::module_& m);
void BindAhead(nb::module_& m);
void BindCache(nb::module_& m);
void BindEvaluate(nb::module_& m);
void BindKernel(nb::module_& m);
void BindProfile(nb::module_& m);
void BindResults(nb::module_& m);
void BindSettings(nb::module_& m);

/// "bf16,bf16,f32", a dtype, or a tuple of dtypes, as the library spells it.
std::string DTypesText(nb::handle dtype);
/// copy and deepcopy of what cannot change, a class that is bound, are itself.
template <class Class>
void CopyIsItself() {
  auto type = nb::borrow<nb::class_<Class>>(nb::type<Class>());
  type.def("__copy__", [](nb::object self) { return self; });
  type.def(
      "__deepcopy__", [](nb::object self, nb::handle) { return self; }, nb::arg("memo").none());
}
/// "ieee", "tf32". Throws Error.
ComputeMode ModeOf(std::string_view compute);
/// 5, "5" or None: nothing.
inline bool Given(nb::handle object) { return object.is_valid() && !object.is_none(); }

}  // namespace gemmsmith::python
