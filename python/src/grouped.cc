#include <nanobind/stl/string.h>

#include <algorithm>
#include <array>
#include <string>

#include "bindings.h"
#include "call.h"
#include "engine_access.h"
#include "errors.h"
#include "extras.h"
#include "objects.h"
#include "operand_arguments.h"

namespace gemmsmith::python {
namespace {

/// What says which group owns what, as Python gave it.
struct GivenGroups {
  PyObject* index;
  PyObject* ends;
  PyObject* counts;
  std::int64_t expected_m;
};

struct Form {
  Grouping grouping;
  const char* name;  ///< Of the array that says so.
  Tensor GroupArgs::*tensor;
  int a_rank, b_rank;
  bool stacked;  ///< The result has a matrix for each group.
  const char* matrices;
};
constexpr Form kForms[] = {
    {Grouping::kContiguous, "index", &GroupArgs::index, 2, 3, false, "a (m, k) and b (groups, k, n)"},
    {Grouping::kMasked, "counts", &GroupArgs::counts, 3, 3, true, "a (groups, m, k) and b (groups, k, n)"},
    {Grouping::kEnds, "ends", &GroupArgs::ends, 2, 3, false,
     "a (m, k) and b (groups, k, n), or a (m, k) and b (k, n) cut along k"},
    {Grouping::kAlongK, "ends", &GroupArgs::ends, 2, 2, true,
     "a (m, k) and b (groups, k, n), or a (m, k) and b (k, n) cut along k"},
};

const Form& FormOf(const GivenGroups& groups, int b_rank) {
  const bool index = Given(groups.index), ends = Given(groups.ends), counts = Given(groups.counts);
  const int given = static_cast<int>(index) + static_cast<int>(ends) + static_cast<int>(counts);
  if (given != 1)
    throw Error(Code::kInvalidArgument,
                "grouped_gemm: " + std::to_string(given) + " of index, ends and counts are given", "give one of them");
  return index ? kForms[0] : counts ? kForms[1] : b_rank == 2 ? kForms[3] : kForms[2];
}

/// One call, from what Python gave to what the engine takes.
class GroupedCall {
 public:
  GroupedCall(const CallOptions& options, const Operands& operands) : options_(options), operands_(operands) {}

  PyObject* Run(PyObject* a, PyObject* b, PyObject* out, const GivenGroups& groups) {
    a_.Take("a", a);
    b_.Take("b", b);
    form_ = &FormOf(groups, b_.rank());
    groups_.Take(form_->name, Given(groups.index) ? groups.index : Given(groups.ends) ? groups.ends : groups.counts);
    CheckOperands();
    group_args_.*form_->tensor = groups_.tensor();
    group_args_.expected_m = groups.expected_m;
    const bool given = Given(out);
    const bool reads_c = scalars_.Read(options_, operands_, given, args_);
    Ref made;
    if (!given) made = Ref(Allocate(a_, Shape(), options_.dtype.value_or(ResultType(a_.dtype(), b_.dtype()))));
    out_.Take("out", given ? out : made.get());
    CheckOut("grouped_gemm", a_, b_, out_, given);
    CheckLikeResult(out_);
    if (reads_c) {
      c_.Take("c", operands_.c);
      CheckLikeResult(c_);
    }
    extras_.Take(operands_, options_.epilogue);
    if (extras_.residual() != nullptr) CheckLikeResult(*extras_.residual());
    Launch(!given);
    if (!given) return Deliver(a_, made.release());
    Py_INCREF(out);
    return out;
  }

 private:
  std::string Text() const {
    return "grouped_gemm: a is " + a_.Describe() + ", b is " + b_.Describe() + ", " + form_->name + " is " +
           groups_.Describe() + ": ";
  }
  [[noreturn]] void Fail(const std::string& what) const { throw Error(Code::kInvalidArgument, Text() + what); }

  std::int64_t m() const { return a_.shape()[a_.rank() - 2]; }
  std::int64_t groups() const { return b_.rank() == 3 ? b_.shape()[0] : groups_.shape()[0]; }

  void CheckOperands() {
    if (a_.rank() != form_->a_rank || b_.rank() != form_->b_rank)
      Fail(std::string(form_->name) + " wants " + form_->matrices);
    CheckTypes("grouped_gemm", a_, b_);
    const std::int64_t columns = a_.shape()[a_.rank() - 1], rows = b_.shape()[b_.rank() - 2];
    if (columns != rows) Fail(std::to_string(columns) + " columns by " + std::to_string(rows) + " rows");
    if (a_.rank() == 3 && a_.shape()[0] != b_.shape()[0])
      Fail(std::to_string(a_.shape()[0]) + " groups by " + std::to_string(b_.shape()[0]));
    if (groups_.dtype() != DType::kS32)
      throw TypeMismatch(Text() + "whole numbers of 32 bits are wanted", "convert it to s32");
    const bool by_row = form_->grouping == Grouping::kContiguous;
    const std::int64_t elements = by_row ? m() : groups_.rank() == 1 ? groups() : 0;
    if (groups_.rank() != 1 || groups_.shape()[0] != elements)
      Fail(by_row ? "one element for each row of a is wanted" : "one element for each group is wanted");
  }

  std::span<const std::int64_t> Shape() {
    std::size_t rank = 0;
    if (form_->stacked) shape_[rank++] = groups();
    shape_[rank++] = m();
    const std::int64_t columns = b_.shape()[b_.rank() - 1];
    shape_[rank++] = options_.epilogue != nullptr && options_.epilogue->pairs_columns() ? columns / 2 : columns;
    return {shape_.data(), rank};
  }
  void CheckLikeResult(const Array& array) {
    if (std::ranges::equal(array.shape(), Shape())) return;
    std::string wanted;
    for (const std::int64_t extent : Shape()) wanted += (wanted.empty() ? "" : ", ") + std::to_string(extent);
    Fail(std::string(array.name()) + " is " + array.Describe() + ", the result is (" + wanted + ")");
  }

  /// `made`: out is, and gets zeros first where rows of it may be of no group.
  void Launch(bool made) {
    args_.a = a_.tensor(), args_.b = b_.tensor(), args_.d = out_.tensor();
    if (c_.given()) args_.c = c_.tensor();
    args_.groups = &group_args_;
    const Array* const residual = extras_.residual();
    extras_.Bind(args_, options_.epilogue, residual != nullptr ? residual->tensor() : Tensor());
    const Stream stream = StreamOf(operands_.stream, operands_.overlap, a_);
    const std::shared_ptr<Engine> engine = CurrentEngine();
    const WithoutGil others;
    const GemmProblem problem = gemmsmith::Describe(args_, DefaultAccumulator(args_.a.dtype), options_.compute);
    const std::size_t bytes = static_cast<std::size_t>(args_.d.size()) * SizeOf(args_.d.dtype);
    if (made && form_->grouping != Grouping::kAlongK && bytes != 0)
      engine->devices().Get(args_.d.device).Fill(args_.d.data, 0, bytes, stream);
    engine->Gemm(problem, args_, stream);
  }

  const CallOptions& options_;
  const Operands& operands_;
  const Form* form_ = nullptr;
  Array a_, b_, groups_, c_, out_;
  std::array<std::int64_t, Tensor::kMaxRank> shape_{};
  Scalars scalars_;
  Extras extras_;
  GroupArgs group_args_;
  GemmArgs args_;
};

constexpr const char* kDoc =
    R"(A product for each of several groups, whose sizes only the device may know. One of index, ends and counts says
which rows, or which part of k, is each group's: an s32 array on the device, which no call waits for.

index   a (m, k), b (groups, k, n), out (m, n): the group of each row, -1 for rows of none. Groups begin at multiples
        of 128 rows (gemmsmith.layouts.pad_groups).
ends    the same shapes: the row after each group's last. Groups follow each other, and begin anywhere.
counts  a (groups, m, k), b (groups, k, n), out (groups, m, n): how many of its m rows each group has.
ends    with b (k, n), a (m, k), out (groups, m, n): the k after each group's last, for gradients of weights.
expected_m  rows that a group will have, to choose a kernel by; 0: as many as it can, or m / groups.

out     rows that are of no group stay as they are; in a new array they are 0, which costs writing it once more.
scale_a, scale_b  f32 factors of 8-bit operands, of the ranks of a and b: (m, k / 128) or (groups, m, k / 128), and
        (groups, n / 128, k / 128) or (groups, n, k / 128). Not along k.
epilogue  without maxima, block scales and a row's number; all groups share a bias.

The rest is as for gemm. Numbers that are out of range are refused on the CPU and by configure(check_groups=True);
else what they say is left out. Raises InvalidArgument, DTypeError and Unsupported before anything is computed.)";

}  // namespace

void BindGrouped(nb::module_& m) {
  m.def(
      "grouped_gemm",
      [](nb::handle a, nb::handle b, nb::handle out, nb::handle index, nb::handle ends, nb::handle counts,
         std::int64_t expected_m, nb::handle alpha, nb::handle beta, nb::handle epilogue, nb::handle dtype,
         const char* compute, GEMMSMITH_OPERAND_PARAMETERS) {
        const CallOptions options = OptionsOf(alpha, beta, epilogue, dtype, compute, bias);
        const Operands operands{GEMMSMITH_OPERAND_VALUES};
        return nb::steal(GroupedCall(options, operands)
                             .Run(a.ptr(), b.ptr(), out.ptr(), {index.ptr(), ends.ptr(), counts.ptr(), expected_m}));
      },
      nb::arg("a").none(), nb::arg("b").none(), nb::arg("out") = nb::none(), nb::kw_only(),
      nb::arg("index") = nb::none(), nb::arg("ends") = nb::none(), nb::arg("counts") = nb::none(),
      nb::arg("expected_m") = 0, nb::arg("alpha") = nb::none(), nb::arg("beta") = nb::none(),
      nb::arg("epilogue") = nb::none(), nb::arg("dtype") = nb::none(), nb::arg("compute") = "ieee", GEMMSMITH_OPERANDS,
      kDoc,
      nb::sig("def grouped_gemm(a: typing.Any, b: typing.Any, out: typing.Any = None, *, index: typing.Any = None, "
              "ends: typing.Any = None, counts: typing.Any = None, expected_m: int = 0, alpha: typing.Any = None, "
              "beta: typing.Any = None, epilogue: str | Epilogue | None = None, dtype: typing.Any = None, "
              "compute: str = 'ieee', " GEMMSMITH_OPERAND_SIGNATURE ") -> typing.Any"));
}

}  // namespace gemmsmith::python
