#include "kernels/bulk_gemm.h"

#include <algorithm>
#include <limits>
#include <vector>

#include "kernels/cuda_gemm.h"
#include "util/log.h"

namespace gemmsmith {
namespace {

constexpr std::int64_t kMaxExtent = std::numeric_limits<std::int32_t>::max() - 0xffff;

std::int64_t CeilDiv(std::int64_t x, std::int64_t y) { return (x + y - 1) / y; }

/// A matrix and its batch as bulk copies see it.
struct Plane {
  std::string_view name;
  DType dtype;
  std::int64_t across, down;  ///< Elements of a line, which are contiguous; lines.
  std::int64_t ld, batch_stride, batch;

  std::int64_t bytes(std::int64_t elements) const { return elements * static_cast<std::int64_t>(SizeOf(dtype)); }
  bool shared() const { return batch <= 1 || batch_stride == 0; }
  std::string WhyNot() const {
    constexpr std::int64_t kLimit = std::int64_t{1} << 40;
    if (bytes(ld) % 16 != 0 || (!shared() && bytes(batch_stride) % 16 != 0))
      return fmt::format("{}: bulk copies need strides of multiples of 16 bytes, not of {}", name,
                         bytes(bytes(ld) % 16 != 0 ? ld : batch_stride));
    if (bytes(ld) >= kLimit || bytes(shared() ? ld * down : batch_stride) >= kLimit)
      return fmt::format("{}: bulk copies need strides below 2^40 bytes", name);
    return "";
  }
  TensorMapShape Shape(int box_across, int box_down, bool tf32) const {
    TensorMapShape shape;
    shape.dtype = dtype;
    shape.tf32 = tf32;
    shape.rank = 3;
    shape.swizzle = kBulkRowBytes;
    shape.extents = {static_cast<std::uint64_t>(across), static_cast<std::uint64_t>(down),
                     static_cast<std::uint64_t>(shared() ? 1 : batch)};
    shape.strides = {static_cast<std::uint64_t>(bytes(ld)),
                     static_cast<std::uint64_t>(bytes(shared() ? ld * down : batch_stride))};
    shape.box = {static_cast<std::uint32_t>(box_across), static_cast<std::uint32_t>(box_down), 1};
    return shape;
  }
};
Plane PlaneA(const GemmProblem& p) {
  return {"a", p.a_type, AAlongK(p) ? p.k : p.m, AAlongK(p) ? p.m : p.k, p.lda, p.batch_stride_a, p.entries_a()};
}
Plane PlaneB(const GemmProblem& p) {
  return {"b", p.b_type, BAlongK(p) ? p.k : p.n, BAlongK(p) ? p.n : p.k, p.ldb, p.batch_stride_b, p.entries_b()};
}
Plane PlaneD(const GemmProblem& p) { return {"d", p.d_type, p.n, p.m, p.ldd, p.batch_stride_d, p.entries_d()}; }

/// The rows of tiles that are made together: what the CTAs read at once is least where it is nearly a square.
int GroupOf(const BulkTiling& t) {
  const auto read = [&](int group) {
    const int clusters = std::max(1, t.ctas / (t.cluster_m * t.cluster_n));
    return group * t.block_m * t.cluster_m + CeilDiv(clusters, group) * t.block_n * t.cluster_n;
  };
  int best = 1;
  for (const int group : {2, 4, 8, 16, 32})
    if (read(group) < read(best)) best = group;
  return best;
}

template <bool kFused>
void BindAll(const GemmArgs& args, std::byte* bytes) {
  BindBulk(args, /*swap=*/false, *reinterpret_cast<Sm90Params*>(bytes));  // first in both structures
  if constexpr (kFused) Bind(*args.epilogue, reinterpret_cast<Sm90FusedParams*>(bytes)->epilogue);
}
void BindPartial(void* workspace, std::byte* bytes) { reinterpret_cast<Sm90Params*>(bytes)->base.partial = workspace; }

Sm90Params MakeParams(const GemmProblem& p, const BulkTiling& t, const SplitK& split) {
  Sm90Params params{};
  params.base = MakeTensorParams(p, split);
  params.tiles_m = static_cast<int>(CeilDiv(t.swap ? p.n : p.m, t.block_m * t.cluster_m));
  params.tiles_n = static_cast<int>(CeilDiv(t.swap ? p.m : p.n, t.block_n * t.cluster_n));
  params.group = GroupOf(t);
  params.batch_a = (t.swap ? PlaneB(p) : PlaneA(p)).shared() ? 0 : 1;
  params.batch_b = (t.swap ? PlaneA(p) : PlaneB(p)).shared() ? 0 : 1;
  params.group_count = p.groups;
  if (p.grouping == Grouping::kAlongK) params.base.gemm.batch = p.groups;  // of D, tile by tile
  return params;
}

std::vector<LaunchStep::Map> MakeMaps(const GemmProblem& p, const BulkTiling& t, int rows_d) {
  const int k = kBulkRowBytes / static_cast<int>(SizeOf(p.a_type));  // in a row; or as many lines
  const bool tf32 = p.a_type == DType::kF32;
  const auto box = [&](const Plane& plane, bool along_k, int lines, int sharers) {
    return plane.Shape(k, (along_k ? lines : k) / sharers, tf32);
  };
  const int a_lines = t.swap ? t.block_n : t.block_m, a_sharers = t.swap ? t.cluster_m : t.cluster_n;
  const int b_lines = t.swap ? t.block_m : t.block_n, b_sharers = t.swap ? t.cluster_n : t.cluster_m;
  const std::size_t first = offsetof(Sm90Params, map_a), second = offsetof(Sm90Params, map_b);
  std::vector<LaunchStep::Map> maps = {
      {box(PlaneA(p), AAlongK(p), a_lines, a_sharers), t.swap ? second : first, &GemmArgs::a},
      {box(PlaneB(p), BAlongK(p), b_lines, b_sharers), t.swap ? first : second, &GemmArgs::b}};
  if (rows_d > 0)
    maps.push_back({PlaneD(p).Shape(kBulkRowBytes / static_cast<int>(SizeOf(p.d_type)), rows_d, false),
                    offsetof(Sm90Params, map_d), &GemmArgs::d});
  return maps;
}

}  // namespace

bool AAlongK(const GemmProblem& p) { return p.a_layout == Layout::kRowMajor; }
bool BAlongK(const GemmProblem& p) { return p.b_layout == Layout::kColMajor; }

std::string WhyNotBulk(const GemmProblem& p, double tiles) {
  if (p.k == 0) return "k=0: there is nothing to copy";
  if (std::max({p.m, p.n, p.k}) > kMaxExtent || tiles > kMaxExtent)
    return fmt::format("m={} n={} k={} batch={}: more than {} elements or tiles", p.m, p.n, p.k, p.batch, kMaxExtent);
  if (p.alignment < 4)
    return fmt::format("bulk copies need pointers and leading dimensions of multiples of 16 bytes, not of {}",
                       1 << p.alignment);
  if (std::string reason = PlaneA(p).WhyNot(); !reason.empty()) return reason;
  return PlaneB(p).WhyNot();
}

bool CanBulkD(const GemmProblem& p, int block_n) {
  const bool plain = p.beta == BetaClass::kZero && p.epilogue_id == 0;
  const bool overlapping = p.entries_d() > 1 && p.batch_stride_d == 0;
  // Tiles that a group cuts leave in accesses of 16 bytes.
  const bool cut = p.grouping != Grouping::kNone && p.n * SizeOf(p.d_type) % 16 != 0;
  return plain && !overlapping && !cut && block_n * SizeOf(p.d_type) % kBulkRowBytes == 0 && PlaneD(p).WhyNot().empty();
}

void BindBulk(const GemmArgs& args, bool swap, Sm90Params& params) {
  Bind(args, params.base.gemm);
  if (args.scales == nullptr) return;
  const Tensor& a = swap ? args.scales->b : args.scales->a;
  const Tensor& b = swap ? args.scales->a : args.scales->b;
  params.scale_a = static_cast<const float*>(a.data), params.scale_b = static_cast<const float*>(b.data);
  const int ra = a.rank - 2, rb = b.rank - 2;  // what comes first is the group
  params.scale_a_row = a.strides[ra], params.scale_a_k = a.strides[ra + 1];
  params.scale_b_column = b.strides[rb], params.scale_b_k = b.strides[rb + 1];
  params.scale_a_group = ra > 0 ? a.strides[0] : 0;
  params.scale_b_group = rb > 0 ? b.strides[0] : 0;
}

void SetBulkParams(LaunchStep& step, const GemmProblem& p, const BulkTiling& tiling, const SplitK& split, int rows_d) {
  if (p.epilogue_id == 0) {
    step.SetParams(MakeParams(p, tiling, split));
    step.bind = BindAll<false>;
  } else {
    step.SetParams(Sm90FusedParams{MakeParams(p, tiling, split), MakeEpilogueParams(p)});
    step.bind = BindAll<true>;
  }
  step.maps = MakeMaps(p, tiling, rows_d);
  step.prepare = PrepareOf(p);
  if (split.splits > 1) {
    step.workspace_bytes = static_cast<std::size_t>(PartialBytes(p, split));
    step.bind_workspace = BindPartial;
  }
}

}  // namespace gemmsmith
