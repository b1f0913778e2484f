#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <optional>
#include <string>

#include "array.h"
#include "bindings.h"
#include "call.h"
#include "errors.h"
#include "gemmsmith/epilogue.h"
#include "gemmsmith/serving.h"
#include "gemmsmith/shapes.h"
#include "rows.h"

namespace gemmsmith::python {
namespace {

void SetGroups(GemmProblem& p, const std::string& grouping, std::int64_t groups, std::int64_t expected_m) {
  if (grouping == ToString(Grouping::kNone)) {
    p.groups = groups, p.expected_m = expected_m;  // Validate refuses any
    return;
  }
  std::string words;
  for (const Grouping one : {Grouping::kContiguous, Grouping::kEnds, Grouping::kMasked, Grouping::kAlongK}) {
    if (grouping == ToString(one))
      return SetGrouping(
          p, grouping + ":" + std::to_string(groups) + (expected_m != 0 ? ":" + std::to_string(expected_m) : ""));
    words += ", " + std::string(ToString(one));
  }
  throw Error(Code::kInvalidArgument, "unknown grouping \"" + grouping + "\"", "there are none" + words);
}

GemmProblem Make(std::int64_t m, std::int64_t n, std::int64_t k, nb::handle dtype, const std::string& layout,
                 std::int64_t batch, double beta, nb::handle epilogue, nb::handle bias_dtype,
                 const std::string& compute, const std::string& scaling, const std::string& grouping,
                 std::int64_t groups, std::int64_t expected_m) {
  GemmProblem p = MakeProblem(m, n, k, DType::kF32, layout, beta == 0 ? BetaClass::kZero : BetaClass::kGeneral);
  SetDTypes(p, DTypesText(dtype));
  if (batch != 1) SetBatch(p, batch);
  SetCompute(p, compute);
  SetGroups(p, grouping, groups, expected_m);
  SetScaling(p, scaling);
  if (const Epilogue* const e = EpilogueOf(epilogue.ptr()))
    SetEpilogue(p, *e, Given(bias_dtype) ? DTypeOfObject(bias_dtype.ptr()) : DType::kF32);
  Validate(p);
  return p;
}

nb::list Named(const std::vector<NamedProblem>& problems) {
  nb::list list;
  for (const NamedProblem& named : problems) list.append(nb::make_tuple(named.name, named.problem));
  return list;
}

constexpr const char* kProblemDoc =
    R"(A product's sizes, types and layout: what kernels are chosen for. A value.

dtype     "bf16", or of a, b and the result: "e4m3,e4m3,bf16".
layout    "nn", "nt", ...: t is stored transposed.
scaling   "none", "1x128", "128x128": of 8-bit operands.
grouping  "none", "contiguous" (by index), "ends", "masked" (by counts), "along_k": what grouped_gemm does; m is that of
          one group where each has a matrix of its own.
groups, expected_m  how many, and the rows that each is expected to have; 0: as many as it can, or m / groups.)";

}  // namespace

void BindProblem(nb::module_& m) {
  nb::class_<GemmProblem>(m, "Problem", kProblemDoc)
      .def(
          "__init__",
          [](GemmProblem* self, std::int64_t rows, std::int64_t n, std::int64_t k, nb::handle dtype,
             const std::string& layout, std::int64_t batch, double beta, nb::handle epilogue, nb::handle bias_dtype,
             const std::string& compute, const std::string& scaling, const std::string& grouping, std::int64_t groups,
             std::int64_t expected_m) {
            new (self) GemmProblem(Make(rows, n, k, dtype, layout, batch, beta, epilogue, bias_dtype, compute, scaling,
                                        grouping, groups, expected_m));
          },
          nb::arg("m"), nb::arg("n"), nb::arg("k"), nb::arg("dtype") = "f32", nb::arg("layout") = "nn", nb::kw_only(),
          nb::arg("batch") = 1, nb::arg("beta") = 0.0, nb::arg("epilogue") = nb::none(),
          nb::arg("bias_dtype") = nb::none(), nb::arg("compute") = "ieee", nb::arg("scaling") = "none",
          nb::arg("grouping") = "none", nb::arg("groups") = 1, nb::arg("expected_m") = 0,
          nb::sig(
              "def __init__(self, m: int, n: int, k: int, dtype: typing.Any = 'f32', layout: str = 'nn', *, "
              "batch: int = 1, beta: float = 0.0, epilogue: str | Epilogue | None = None, "
              "bias_dtype: typing.Any = None, compute: str = 'ieee', scaling: str = 'none', grouping: str = 'none', "
              "groups: int = 1, expected_m: int = 0) -> None"))
      .def_ro("m", &GemmProblem::m)
      .def_ro("n", &GemmProblem::n)
      .def_ro("k", &GemmProblem::k)
      .def_ro("batch", &GemmProblem::batch)
      .def_ro("groups", &GemmProblem::groups)
      .def_ro("expected_m", &GemmProblem::expected_m)
      .def_prop_ro("grouping", [](const GemmProblem& p) { return std::string(ToString(p.grouping)); })
      .def_prop_ro("layout", [](const GemmProblem& p) { return LayoutName(p); })
      .def_prop_ro(
          "dtype", [](const GemmProblem& p) { return std::string(ToString(p.a_type)); }, "Of a.")
      .def_prop_ro("flops", &GemmProblem::flops)
      .def(
          "__eq__",
          [](const GemmProblem& x, nb::handle y) {
            return nb::isinstance<GemmProblem>(y) && x == *nb::inst_ptr<GemmProblem>(y);
          },
          nb::sig("def __eq__(self, other: object) -> bool"))
      .def("__hash__", [](const GemmProblem& p) { return static_cast<std::int64_t>(Hash(p) >> 2); })
      .def("__repr__", [](const GemmProblem& p) { return "Problem(" + ToString(p) + ")"; });
  CopyIsItself<GemmProblem>();

  m.def(
      "read_shapes", [](const std::string& path) { return Named(ReadShapes(path)); }, nb::arg("path"),
      nb::sig("def read_shapes(path: str) -> list[tuple[str, Problem]]"),
      "The problems of a shapes file (docs/shapes-format.md), or of a list that the library carries.");
  m.def("builtin_shapes", &BuiltinShapes, "Lists that the library carries, for read_shapes.");
  m.def(
      "model_weights", [](const std::string& model) { return Named(ModelWeights(model)); }, nb::arg("model"),
      nb::sig("def model_weights(model: str) -> list[tuple[str, Problem]]"),
      "The products of a model with its weights, for one row: of a built-in list's name, or a config.json.");
  m.def(
      "model_experts",
      [](const std::string& model, nb::handle dtype) {
        std::vector<NamedProblem> experts = ModelExperts(model);
        for (NamedProblem& expert : experts)
          if (Given(dtype)) SetDTypes(expert.problem, DTypesText(dtype));
        return Named(experts);
      },
      nb::arg("model"), nb::arg("dtype") = nb::none(),
      nb::sig("def model_experts(model: str, dtype: typing.Any = None) -> list[tuple[str, Problem]]"),
      "The products of a model's experts, each as one call for groups of rows; none for a model without experts.");
}

}  // namespace gemmsmith::python
