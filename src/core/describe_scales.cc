#include "core/describe_scales.h"

#include <cstddef>
#include <cstdint>
#include <string>

#include "util/log.h"

namespace gemmsmith {
namespace {

constexpr std::int64_t kBlock = 128;

std::int64_t Blocks(std::int64_t extent) { return (extent + kBlock - 1) / kBlock; }

struct Bytes {
  std::uintptr_t begin, end;
};
/// From the first to past the last element, a bounding range.
Bytes BytesOf(const Tensor& t) {
  std::int64_t last = 0;
  for (int i = 0; i < t.rank; ++i) last += (t.shape[i] - 1) * t.strides[i];
  const auto begin = reinterpret_cast<std::uintptr_t>(t.data);
  return {begin, t.size() == 0 ? begin : begin + static_cast<std::size_t>(last + 1) * SizeOf(t.dtype)};
}

void Check(const char* name, const Tensor& t, const GemmArgs& args) {
  if (t.dtype != DType::kF32)
    throw Fail(Code::kUnsupported, "convert it", "gemm: {} is {}; scales are f32", name, ToString(t.dtype));
  if (t.data == nullptr && t.size() > 0) throw Fail(Code::kInvalidArgument, "", "gemm: {} is a null pointer", name);
  if (t.device != args.d.device)
    throw Fail(Code::kInvalidArgument, "copy it", "gemm: {} is on {}, d on {}", name, ToString(t.device),
               ToString(args.d.device));
  const Bytes scales = BytesOf(t), d = BytesOf(args.d);
  if (scales.begin < d.end && d.begin < scales.end)
    throw Fail(Code::kInvalidArgument, "write to other memory", "gemm: d overlaps {}", name);
}

/// A matrix, or with groups of its own one for each.
struct Shape {
  std::int64_t groups, rows, columns;  ///< 0 groups: a matrix.

  bool Is(const Tensor& t) const {
    const int r = groups > 0 ? 1 : 0;
    return t.rank == r + 2 && (r == 0 || t.shape[0] == groups) && t.shape[r] == rows && t.shape[r + 1] == columns;
  }
  std::string Text() const {
    return groups > 0 ? fmt::format("({}, {}, {})", groups, rows, columns) : fmt::format("({}, {})", rows, columns);
  }
};

}  // namespace

Scaling DescribeScales(const GemmArgs& args, const GemmProblem& p) {
  const Tensor &a = args.scales->a, &b = args.scales->b;
  Check("scale_a", a, args);
  Check("scale_b", b, args);
  const std::int64_t k = Blocks(p.k);
  const bool grouped = p.grouping != Grouping::kNone;
  const Shape of_rows{p.grouping == Grouping::kMasked ? p.groups : 0, p.m, k};
  const Shape of_blocks{grouped ? p.groups : 0, Blocks(p.n), k}, of_columns{grouped ? p.groups : 0, p.n, k};
  if (!of_rows.Is(a))
    throw Fail(Code::kInvalidArgument, "", "gemm: scale_a must be a tensor {}, one factor for 128 of k",
               of_rows.Text());
  if (of_blocks.Is(b)) return Scaling::kBlock128x128;
  if (of_columns.Is(b)) return Scaling::kBlock1x128;
  throw Fail(Code::kInvalidArgument, "", "gemm: scale_b must be a tensor {}, one factor for 128 by 128, or {}",
             of_blocks.Text(), of_columns.Text());
}

}  // namespace gemmsmith
