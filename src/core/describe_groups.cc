#include "core/describe_groups.h"

#include <cstddef>
#include <cstdint>

#include "core/groups.h"
#include "util/log.h"

namespace gemmsmith {
namespace {

struct Form {
  Grouping grouping;
  const char* name;  ///< Of the tensor.
  int a_rank, b_rank, d_rank;
  const char* matrices;
};
constexpr Form kForms[] = {
    {Grouping::kContiguous, "index", 2, 3, 2, "a (m, k), b (groups, k, n) and d (m, n)"},
    {Grouping::kMasked, "counts", 3, 3, 3, "a (groups, m, k), b (groups, k, n) and d (groups, m, n)"},
    {Grouping::kEnds, "ends", 2, 3, 2, "a (m, k), b (groups, k, n) and d (m, n)"},
    {Grouping::kAlongK, "ends", 2, 2, 3, "a (m, k), b (k, n) and d (groups, m, n)"},
};

const Form& FormOf(const GemmArgs& args) {
  const GroupArgs& g = *args.groups;
  const int given = (g.index.given() ? 1 : 0) + (g.ends.given() ? 1 : 0) + (g.counts.given() ? 1 : 0);
  if (given != 1)
    throw Fail(Code::kInvalidArgument, "", "gemm: groups have {} of index, ends and counts; one of them is wanted",
               given);
  const Form& form = g.index.given()    ? kForms[0]
                     : g.counts.given() ? kForms[1]
                     : args.b.rank == 3 ? kForms[2]
                                        : kForms[3];
  if (args.a.rank != form.a_rank || args.b.rank != form.b_rank || args.d.rank != form.d_rank)
    throw Fail(Code::kInvalidArgument, "", "gemm: groups.{} want {}; their ranks are {}, {} and {}", form.name,
               form.matrices, args.a.rank, args.b.rank, args.d.rank);
  return form;
}

/// D must lie elsewhere.
void CheckApart(const char* name, const Tensor& t, const Tensor& d) {
  const auto end_of = [](const Tensor& x) {
    std::int64_t last = 0;
    for (int i = 0; i < x.rank; ++i) last += (x.shape[i] - 1) * x.strides[i];
    return reinterpret_cast<std::uintptr_t>(x.data) +
           (x.size() == 0 ? 0 : static_cast<std::size_t>(last + 1) * SizeOf(x.dtype));
  };
  if (reinterpret_cast<std::uintptr_t>(t.data) < end_of(d) && reinterpret_cast<std::uintptr_t>(d.data) < end_of(t))
    throw Fail(Code::kInvalidArgument, "write to other memory", "gemm: d overlaps groups.{}", name);
}

}  // namespace

void DescribeGroups(const GemmArgs& args, GemmProblem& p) {
  const Form& form = FormOf(args);
  p.grouping = form.grouping;
  p.groups = form.b_rank == 3 ? args.b.shape[0] : args.d.shape[0];
  p.batch = 1;
  p.expected_m = args.groups->expected_m;
  const Tensor& t = GroupTensor(form.grouping, *args.groups);
  const std::int64_t elements = form.grouping == Grouping::kContiguous ? args.a.shape[0] : p.groups;
  if (t.dtype != DType::kS32 || t.rank != 1 || t.shape[0] != elements || (elements > 1 && t.strides[0] != 1))
    throw Fail(Code::kInvalidArgument, "", "gemm: groups.{} must be {} s32, one for each {}, side by side; it is {} {}",
               form.name, elements, form.grouping == Grouping::kContiguous ? "row" : "group", t.size(),
               ToString(t.dtype));
  if (t.data == nullptr && elements > 0)
    throw Fail(Code::kInvalidArgument, "", "gemm: groups.{} is a null pointer", form.name);
  if (t.device != args.d.device)
    throw Fail(Code::kInvalidArgument, "copy it", "gemm: groups.{} is on {}, d on {}", form.name, ToString(t.device),
               ToString(args.d.device));
  if (reinterpret_cast<std::uintptr_t>(t.data) % sizeof(std::int32_t) != 0)
    throw Fail(Code::kInvalidArgument, "", "gemm: groups.{} is not aligned to 4 bytes", form.name);
  CheckApart(form.name, t, args.d);
}

}  // namespace gemmsmith
