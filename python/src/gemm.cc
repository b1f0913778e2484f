#include <nanobind/stl/string.h>
#include <nanobind/stl/unique_ptr.h>

#include <memory>
#include <vector>

#include "bindings.h"
#include "call.h"
#include "engine_access.h"
#include "errors.h"
#include "gemmsmith/engine.h"
#include "objects.h"
#include "operand_arguments.h"
#include "packed.h"

namespace gemmsmith::python {
namespace {

/// A product planned for one weight shape, with m open.
class PlannedGemm {
 public:
  PlannedGemm(std::int64_t n, std::int64_t k, nb::handle dtype, const std::string& layout, const std::string& device,
              nb::object epilogue, const std::string& compute, nb::object alpha, nb::object beta)
      : epilogue_(std::move(epilogue)), alpha_(std::move(alpha)), beta_(std::move(beta)) {
    GemmProblem& p = promise_.problem;
    p = MakeProblem(1, n, k, DType::kF32, layout);
    SetDTypes(p, DTypesText(dtype));
    SetCompute(p, compute);
    options_.epilogue = EpilogueOf(epilogue_.ptr());
    if (options_.epilogue != nullptr) SetEpilogue(p, *options_.epilogue);
    Validate(p);
    layout_ = layout;
    dtypes_ = DTypesText(dtype);
    promise_.device = ParseDeviceId(device);
    if (promise_.device.kind == DeviceKind::kCuda) UseCuda();
    CurrentEngine()->devices().Get(promise_.device);  // throws where there is none
    options_.transposed_a = layout[0] == 't', options_.transposed_b = layout[1] == 't';
    options_.alpha = alpha_.ptr(), options_.beta = beta_.ptr();
    options_.compute = p.compute;
    options_.promise = &promise_;
  }
  PlannedGemm(const PlannedGemm&) = delete;

  PyObject* Call(PyObject* a, PyObject* b, PyObject* out, const Operands& operands) const {
    return Multiply(a, b, out, options_, operands);
  }

  std::unique_ptr<BoundCall> Bind(PyObject* a, PyObject* b, PyObject* out, const Operands& operands) const {
    return python::Bind(a, b, out, options_, operands);
  }

  void Prepare(const std::vector<std::int64_t>& rows, bool auto_tune) const {
    const std::shared_ptr<Engine> engine = CurrentEngine();
    Interruptibly([&](const CancellationToken& cancel) {
      for (const std::int64_t m : rows) engine->Prepare(ProblemOf(m), promise_.device, {auto_tune, cancel});
      return true;
    });
  }

  /// `b` itself where the device reads it as it comes.
  nb::object Pack(nb::handle b) const {
    const GemmProblem& p = promise_.problem;
    Array array;
    array.Take("b", b.ptr());
    Tensor tensor = array.tensor();
    if (options_.transposed_b) tensor = tensor.Transposed();
    if (tensor.rank != 2 || tensor.shape[0] != p.k || tensor.shape[1] != p.n)
      throw Error(Code::kInvalidArgument, "pack: b is " + array.Describe() + ", this Gemm was made for k=" +
                                              std::to_string(p.k) + ", n=" + std::to_string(p.n));
    if (array.dtype() != p.b_type)
      throw TypeMismatch("pack: b is " + array.Describe() + ", this Gemm was made for " +
                         std::string(ToString(p.b_type)));
    const std::shared_ptr<Engine> engine = CurrentEngine();
    std::optional<Engine::PackedWeight> packed;
    {
      const WithoutGil others;
      packed = engine->Pack(tensor, promise_.device);
    }
    if (!packed) return nb::borrow(b);
    return nb::cast(std::unique_ptr<PackedWeight>(new PackedWeight{engine, std::move(*packed)}));
  }

  std::string Describe() const {
    const GemmProblem& p = promise_.problem;
    return "Gemm(n=" + std::to_string(p.n) + ", k=" + std::to_string(p.k) + ", dtype='" + dtypes_ + "', layout='" +
           layout_ + "', device='" + ToString(promise_.device) + "')";
  }
  std::int64_t n() const { return promise_.problem.n; }
  std::int64_t k() const { return promise_.problem.k; }
  const std::string& layout() const { return layout_; }
  const std::string& dtype() const { return dtypes_; }
  std::string device() const { return ToString(promise_.device); }

 private:
  GemmProblem ProblemOf(std::int64_t m) const {
    const bool reads_c = Given(beta_) && !beta_.equal(nb::float_(0.0));
    GemmProblem p = MakeProblem(m, n(), k(), DType::kF32, layout_, reads_c ? BetaClass::kGeneral : BetaClass::kZero);
    SetDTypes(p, dtypes_);
    p.compute = promise_.problem.compute;
    if (options_.epilogue != nullptr) SetEpilogue(p, *options_.epilogue);
    return p;
  }

  Promise promise_;
  CallOptions options_;
  std::string layout_, dtypes_;
  nb::object epilogue_, alpha_, beta_;
};

/// An int, or whatever gives ints.
std::vector<std::int64_t> Rows(nb::handle m) {
  if (nb::isinstance<nb::int_>(m)) return {nb::cast<std::int64_t>(m)};
  std::vector<std::int64_t> rows;
  for (const nb::handle row : nb::iter(m)) rows.push_back(nb::cast<std::int64_t>(row));
  return rows;
}

constexpr const char* kGemmDoc =
    R"(a @ b, as numpy.matmul: matrices, stacks of matrices (..., m, k) by (..., k, n), which are
broadcast, and vectors. Written to `out`, else to a new array of a's library on its device.

out = epilogue(alpha * a @ b + beta * c)

a, b       f32, f16, bf16, e4m3, e5m2 by any of these; f64 by f64; s8, u8 by either. One of the last two strides is 1.
out        (..., m, n), any floating dtype, s32 for integers. May be c; may not overlap a or b.
dtype      of a new result. Default: that of a and b, f32 where they differ, s32 for integers.
c          as out; beta then is 1 unless given. beta without c: out itself.
alpha, beta  numbers, or arrays of one element.
epilogue   a name such as "bias+gelu" (docs/epilogues.md), or an Epilogue. `bias` alone means "bias".
bias (n), bias_m (m), residual (as out), scale_row (m), scale_column (n), ...: what the epilogue reads or makes.
scale_a, scale_b  f32 factors of 8-bit operands: (m, k / 128), and (n, k / 128) or (n / 128, k / 128).
compute    "ieee", or "tf32" for f32 operands.
stream     a CUDA stream; default: the current one of torch or CuPy, if a is theirs.
overlap    on sm_90 and newer it may start while the launch before it on the stream ends; it waits for what that leaves.

Raises InvalidArgument (a ValueError), DTypeError (a TypeError) and Unsupported before anything is computed.)";

constexpr const char* kPlannedDoc = R"(A product with weights of one shape, planned once for each m.

n, k, dtype   of the product; dtype "bf16", or those of a, b and the result: "f16,f16,f32".
layout        "nn", "nt", "tn", "tt": t is stored transposed, b as (n, k), a as (k, m).
device        "cpu", "cuda:0", or "emulator:sm_90a", which takes arrays on the host, and copies them there and back.
epilogue, compute, alpha, beta  as for gemm; what the epilogue reads comes with each call.)";

}  // namespace

ComputeMode ModeOf(std::string_view compute) {
  for (const ComputeMode mode : {ComputeMode::kIeee, ComputeMode::kTf32})
    if (compute == ToString(mode)) return mode;
  throw Error(Code::kInvalidArgument, "unknown compute mode \"" + std::string(compute) + "\"",
              "there are ieee and tf32");
}

std::string DTypesText(nb::handle dtype) {
  if (nb::isinstance<nb::tuple>(dtype) || nb::isinstance<nb::list>(dtype)) {
    std::string text;
    for (const nb::handle one : nb::iter(dtype))
      text += (text.empty() ? "" : ",") + std::string(ToString(DTypeOfObject(one.ptr())));
    return text;
  }
  if (nb::isinstance<nb::str>(dtype) && nb::cast<std::string>(dtype).find(',') != std::string::npos)
    return nb::cast<std::string>(dtype);
  return std::string(ToString(DTypeOfObject(dtype.ptr())));
}

void BindGemm(nb::module_& m) {
  m.def(
      "gemm",
      [](nb::handle a, nb::handle b, nb::handle out, nb::handle alpha, nb::handle beta, nb::handle epilogue,
         nb::handle dtype, const char* compute, GEMMSMITH_OPERAND_PARAMETERS) {
        const CallOptions options = OptionsOf(alpha, beta, epilogue, dtype, compute, bias);
        return nb::steal(Multiply(a.ptr(), b.ptr(), out.ptr(), options, {GEMMSMITH_OPERAND_VALUES}));
      },
      nb::arg("a").none(), nb::arg("b").none(), nb::arg("out") = nb::none(), nb::kw_only(),
      nb::arg("alpha") = nb::none(), nb::arg("beta") = nb::none(), nb::arg("epilogue") = nb::none(),
      nb::arg("dtype") = nb::none(), nb::arg("compute") = "ieee", GEMMSMITH_OPERANDS, kGemmDoc,
      nb::sig("def gemm(a: typing.Any, b: typing.Any, out: typing.Any = None, *, alpha: typing.Any = None, "
              "beta: typing.Any = None, epilogue: str | Epilogue | None = None, dtype: typing.Any = None, "
              "compute: str = 'ieee', " GEMMSMITH_OPERAND_SIGNATURE ") -> typing.Any"));

  nb::class_<BoundCall>(m, "BoundGemm", "A call of given arrays, made by Gemm.bind. Threads may run it side by side.")
      .def(
          "__call__", [](const BoundCall& self, nb::handle stream) { return nb::steal(self.Run(stream.ptr())); },
          nb::arg("stream") = nb::none(), "Runs it, and returns out.",
          nb::sig("def __call__(self, stream: typing.Any = None) -> typing.Any"));
  nb::class_<PlannedGemm>(m, "Gemm", kPlannedDoc)
      .def(nb::init<std::int64_t, std::int64_t, nb::handle, const std::string&, const std::string&, nb::object,
                    const std::string&, nb::object, nb::object>(),
           nb::arg("n"), nb::arg("k"), nb::arg("dtype") = "f32", nb::arg("layout") = "nn", nb::arg("device") = "cpu",
           nb::kw_only(), nb::arg("epilogue") = nb::none(), nb::arg("compute") = "ieee", nb::arg("alpha") = nb::none(),
           nb::arg("beta") = nb::none(),
           nb::sig("def __init__(self, n: int, k: int, dtype: typing.Any = 'f32', layout: str = 'nn', "
                   "device: str = 'cpu', *, epilogue: str | Epilogue | None = None, compute: str = 'ieee', "
                   "alpha: typing.Any = None, beta: typing.Any = None) -> None"))
      .def(
          "__call__",
          [](const PlannedGemm& self, nb::handle a, nb::handle b, nb::handle out, GEMMSMITH_OPERAND_PARAMETERS) {
            return nb::steal(self.Call(a.ptr(), b.ptr(), out.ptr(), {GEMMSMITH_OPERAND_VALUES}));
          },
          nb::arg("a").none(), nb::arg("b").none(), nb::arg("out") = nb::none(), nb::kw_only(), GEMMSMITH_OPERANDS,
          "The product of a and b as they are stored, into out or a new array. The rest is as for gemm.",
          nb::sig("def __call__(self, a: typing.Any, b: typing.Any, out: typing.Any = None, "
                  "*, " GEMMSMITH_OPERAND_SIGNATURE ") -> typing.Any"))
      .def(
          "prepare",
          [](const PlannedGemm& self, nb::handle rows, bool auto_tune) { self.Prepare(Rows(rows), auto_tune); },
          nb::arg("m"), nb::kw_only(), nb::arg("auto_tune") = false,
          "Plans and compiles for these m, an int or any of ints, so that calls do not; with auto_tune after a short "
          "tuning of those that are not tuned. Ctrl-C ends it.",
          nb::sig("def prepare(self, m: int | collections.abc.Iterable[int], *, auto_tune: bool = False) -> None"))
      .def(
          "bind",
          [](const PlannedGemm& self, nb::handle a, nb::handle b, nb::handle out, GEMMSMITH_OPERAND_PARAMETERS) {
            return self.Bind(a.ptr(), b.ptr(), out.ptr(), {GEMMSMITH_OPERAND_VALUES});
          },
          nb::arg("a"), nb::arg("b"), nb::arg("out"), nb::kw_only(), GEMMSMITH_OPERANDS,
          "This very call, checked and planned now: for loops over small products. What is wrong is raised here. It "
          "keeps the arrays; numbers are those of now.",
          nb::sig("def bind(self, a: typing.Any, b: typing.Any, out: typing.Any, *, " GEMMSMITH_OPERAND_SIGNATURE
                  ") -> BoundGemm"))
      .def(
          "pack", &PlannedGemm::Pack, nb::arg("b"),
          "A weight, as it is stored, in the form that the device reads fastest, for b of calls: a PackedWeight, or b "
          "itself where the device reads it as it comes (GPUs; a few columns). What is written to b later, it has not.",
          nb::sig("def pack(self, b: typing.Any) -> typing.Any"))
      .def_prop_ro("n", &PlannedGemm::n)
      .def_prop_ro("k", &PlannedGemm::k)
      .def_prop_ro("dtype", &PlannedGemm::dtype)
      .def_prop_ro("layout", &PlannedGemm::layout)
      .def_prop_ro("device", &PlannedGemm::device)
      .def("__repr__", &PlannedGemm::Describe);
  CopyIsItself<PlannedGemm>();
}

}  // namespace gemmsmith::python
