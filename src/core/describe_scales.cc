#include "core/describe_scales.h"

#include <cstddef>
#include <cstdint>

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

bool Is(const Tensor& t, std::int64_t rows, std::int64_t columns) {
  return t.rank == 2 && t.shape[0] == rows && t.shape[1] == columns;
}

}  // namespace

Scaling DescribeScales(const GemmArgs& args, const GemmProblem& p) {
  const Tensor &a = args.scales->a, &b = args.scales->b;
  Check("scale_a", a, args);
  Check("scale_b", b, args);
  const std::int64_t k = Blocks(p.k);
  if (!Is(a, p.m, k))
    throw Fail(Code::kInvalidArgument, "", "gemm: scale_a must be a matrix ({}, {}), one factor for 128 of k", p.m, k);
  if (Is(b, Blocks(p.n), k)) return Scaling::kBlock128x128;
  if (Is(b, p.n, k)) return Scaling::kBlock1x128;
  throw Fail(Code::kInvalidArgument, "",
             "gemm: scale_b must be a matrix ({}, {}), one factor for 128 by 128, or ({}, {})", Blocks(p.n), k, p.n, k);
}

}  // namespace gemmsmith
