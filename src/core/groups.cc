#include "core/groups.h"

#include <algorithm>
#include <span>
#include <utility>

#include "util/log.h"

namespace gemmsmith {
namespace {

std::int64_t CeilDiv(std::int64_t x, std::int64_t y) { return (x + y - 1) / y; }

Tensor Moved(Tensor tensor, std::int64_t elements) {
  tensor.data = static_cast<char*>(tensor.data) + elements * static_cast<std::int64_t>(SizeOf(tensor.dtype));
  return tensor;
}
/// Entry `i` of a tensor of rank 3.
Tensor Entry(const Tensor& tensor, std::int64_t i) {
  Tensor entry = Moved(tensor, i * tensor.strides[0]);
  entry.rank = 2;
  entry.shape = {tensor.shape[1], tensor.shape[2], 0};
  entry.strides = {tensor.strides[1], tensor.strides[2], 0};
  return entry;
}
/// From `begin` to before `end` along one dimension, counted from the last.
Tensor Cut(const Tensor& tensor, int from_last, std::int64_t begin, std::int64_t end) {
  const int dimension = tensor.rank - 1 - from_last;
  Tensor cut = Moved(tensor, begin * tensor.strides[dimension]);
  cut.shape[dimension] = end - begin;
  return cut;
}

std::span<const std::int32_t> Values(const Tensor& t) {
  if (t.device.kind != DeviceKind::kCpu)
    throw Fail(Code::kInvalidArgument, "give it in host memory", "groups are on {}", ToString(t.device));
  return {static_cast<const std::int32_t*>(t.data), static_cast<std::size_t>(t.size())};
}

std::vector<GroupPart> RunsOf(const GemmProblem& p, std::span<const std::int32_t> index, std::int64_t alignment) {
  std::vector<GroupPart> parts;
  const auto rows = static_cast<std::int64_t>(index.size());
  for (std::int64_t row = 0, end; row < rows; row = end) {
    const std::int64_t group = index[static_cast<std::size_t>(row)];
    for (end = row + 1; end < rows && index[static_cast<std::size_t>(end)] == group;) ++end;
    if (group < -1 || group >= p.groups)
      throw Fail(Code::kInvalidArgument, "give 0 to groups - 1, or -1 for rows of none",
                 "gemm: groups.index of row {} is {}; there are {} groups", row, group, p.groups);
    if (group == -1) continue;
    if (row % alignment != 0)
      throw Fail(Code::kInvalidArgument, "fill the rows before it up with -1",
                 "gemm: rows of group {} begin at row {}; groups begin at multiples of {}", group, row, alignment);
    parts.push_back({group, row, end});
  }
  return parts;
}

std::vector<GroupPart> PartsByEnds(const GemmProblem& p, std::span<const std::int32_t> ends) {
  const bool along_k = p.grouping == Grouping::kAlongK;
  const std::int64_t most = along_k ? p.k : p.m;
  std::vector<GroupPart> parts;
  std::int64_t begin = 0;
  for (std::int64_t group = 0; group < p.groups; ++group) {
    const std::int64_t end = ends[static_cast<std::size_t>(group)];
    if (end < begin || end > most)
      throw Fail(Code::kInvalidArgument, "", "gemm: groups.ends of group {} is {}; it must be from {} to {}={}", group,
                 end, begin, along_k ? "k" : "m", most);
    if (end > begin || along_k) parts.push_back({group, begin, end});
    begin = end;
  }
  return parts;
}

std::vector<GroupPart> PartsByCounts(const GemmProblem& p, std::span<const std::int32_t> counts) {
  std::vector<GroupPart> parts;
  for (std::int64_t group = 0; group < p.groups; ++group) {
    const std::int64_t count = counts[static_cast<std::size_t>(group)];
    if (count < 0 || count > p.m)
      throw Fail(Code::kInvalidArgument, "", "gemm: groups.counts of group {} is {}; it must be from 0 to m={}", group,
                 count, p.m);
    if (count > 0) parts.push_back({group, 0, count});
  }
  return parts;
}

}  // namespace

std::int64_t GroupAlignment(Grouping grouping) { return grouping == Grouping::kContiguous ? 128 : 1; }

std::int64_t GroupElements(const GemmProblem& p) { return p.grouping == Grouping::kContiguous ? p.m : p.groups; }

const Tensor& GroupTensor(Grouping grouping, const GroupArgs& groups) {
  return grouping == Grouping::kContiguous ? groups.index : grouping == Grouping::kMasked ? groups.counts : groups.ends;
}
Tensor& GroupTensor(Grouping grouping, GroupArgs& groups) {
  return const_cast<Tensor&>(GroupTensor(grouping, std::as_const(groups)));
}

GemmProblem AsBatch(const GemmProblem& p) {
  if (p.grouping == Grouping::kNone) return p;
  GemmProblem batch = p;
  batch.grouping = Grouping::kNone;
  batch.groups = 1;
  batch.expected_m = 0;
  batch.batch = p.groups;
  if (p.grouping == Grouping::kAlongK) {
    batch.k = CeilDiv(p.k, p.groups);
    batch.batch_stride_a = batch.k * (p.a_layout == Layout::kRowMajor ? 1 : p.lda);
    batch.batch_stride_b = batch.k * (p.b_layout == Layout::kRowMajor ? p.ldb : 1);
  } else if (p.grouping != Grouping::kMasked) {
    // No more groups than begin within m.
    const std::int64_t most = std::max<std::int64_t>(1, CeilDiv(p.m, GroupAlignment(p.grouping)));
    batch.batch = std::min(p.groups, most);
    batch.m = CeilDiv(p.m, batch.batch);
  }
  if (p.expected_m > 0) batch.m = std::min(p.m, p.expected_m);
  if (p.grouping == Grouping::kContiguous || p.grouping == Grouping::kEnds) {
    batch.batch_stride_a = batch.m * (p.a_layout == Layout::kRowMajor ? p.lda : 1);
    batch.batch_stride_c = batch.m * p.ldc, batch.batch_stride_d = batch.m * p.ldd;
  }
  return batch;
}

GemmProblem OneGroup(const GemmProblem& p) {
  GemmProblem one = AsBatch(p);
  if (p.grouping != Grouping::kNone) one.batch = 1;
  return Normalized(one);
}

std::vector<GroupPart> PartsOf(const GemmProblem& p, const Tensor& groups, std::int64_t alignment) {
  const std::span<const std::int32_t> values = Values(groups);
  if (p.grouping == Grouping::kContiguous) return RunsOf(p, values, alignment);
  return p.grouping == Grouping::kMasked ? PartsByCounts(p, values) : PartsByEnds(p, values);
}

PartOfCall::PartOfCall(const GemmProblem& p, const GemmArgs& args, const GroupPart& part)
    : part_(part), grouping_(p.grouping), args_(args) {
  args_.groups = nullptr;
  if (grouping_ == Grouping::kAlongK) {
    args_.a = Cut(args.a, 0, part.begin, part.end);
    args_.b = Cut(args.b, 1, part.begin, part.end);
  } else {
    args_.a = Rows(args.a);
    args_.b = Entry(args.b, part.group);
  }
  args_.d = OfD(args.d);
  if (args.c.given()) args_.c = OfD(args.c);
  if (args.scales != nullptr) {
    scales_ = {Rows(args.scales->a), Entry(args.scales->b, part.group)};
    args_.scales = &scales_;
  }
  if (args.epilogue != nullptr) TakeEpilogue(*args.epilogue);
  problem_ = Describe(args_, p.acc_type, p.compute);
}

void PartOfCall::TakeEpilogue(const EpilogueArgs& epilogue) {
  epilogue_ = epilogue;
  args_.epilogue = &epilogue_;
  if (epilogue_.residual.given()) epilogue_.residual = OfD(epilogue_.residual);
  if (grouping_ == Grouping::kAlongK) return;
  for (Tensor* of_rows : {&epilogue_.bias_m, &epilogue_.scale_row, &epilogue_.d_scale_row})
    if (of_rows->given()) *of_rows = Cut(*of_rows, 0, part_.begin, part_.end);
}

Tensor PartOfCall::OfD(const Tensor& d) const {
  return grouping_ == Grouping::kAlongK ? Entry(d, part_.group) : Rows(d);
}

Tensor PartOfCall::Rows(Tensor tensor) const {
  if (grouping_ == Grouping::kMasked) tensor = Entry(tensor, part_.group);
  return Cut(tensor, 1, part_.begin, part_.end);
}

}  // namespace gemmsmith
