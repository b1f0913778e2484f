#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "core/groups.h"
#include "kernels/bulk_gemm.h"
#include "kernels/cuda_gemm.h"
#include "util/log.h"

namespace gemmsmith {
namespace {

enum Field {
  kBlockM,
  kBlockN,
  kStages,
  kConsumers,
  kPingPong,
  kClusterM,
  kClusterN,
  kSwap,
  kBulkD,
  kVectorD,
  kSplits,
  kCtas
};
constexpr ConfigField kFields[] = {{"block_m", true},   {"block_n", true},   {"stages", true},
                                   {"consumers", true}, {"ping_pong", true}, {"cluster_m", true},
                                   {"cluster_n", true}, {"swap", true},      {"bulk_d", true},
                                   {"vector_d", true},  {"splits", false},   {"ctas", false, /*follows=*/true}};

constexpr int kPanelRows = 64;  // of D, stored at once

/// A shape of the template: one tile of D, or with `swap` of D^T = B^T * A^T, and the warp groups that multiply.
struct Tile {
  int block_m, block_n, consumers;
  bool ping_pong;
  bool swap = false;

  int rows() const { return block_m / (ping_pong ? 1 : consumers); }  ///< Of one warp group.
  int threads() const { return (consumers + 1) * 128; }
  int stage_bytes() const { return (block_m + block_n) * kBulkRowBytes; }
  /// As in gemm_sm90.cuh: what D leaves through.
  int out_bytes(bool split, bool bulk_d) const {
    const int piece = block_n % 64 == 0 && block_n < 256 ? 64 : block_n % 32 == 0 ? 32 : 16;
    if (split) return 0;
    return consumers * (bulk_d ? 2 * kPanelRows * kBulkRowBytes
                        : swap ? piece * (64 + 4) * 4
                               : 4 * 16 * (piece + 8) * 4);
  }
};
constexpr Tile kTiles[] = {
    {128, 256, 2, false}, {256, 128, 2, false}, {128, 192, 2, false}, {256, 64, 2, false}, {128, 128, 2, false},
    {128, 128, 2, true},  {64, 256, 2, true},   {64, 192, 2, true},   {64, 128, 2, true},  {128, 64, 2, true},
    {64, 64, 2, true},    {64, 32, 2, true},    {64, 16, 2, true},
};
/// A product makes 64 rows, of which few rows of D would leave most empty: n takes their place.
constexpr Tile kSwappedTiles[] = {
    {256, 16, 2, false, true}, {256, 32, 2, false, true}, {128, 16, 2, false, true},
    {128, 32, 2, false, true}, {64, 16, 2, true, true},   {64, 32, 2, true, true},
};
constexpr std::int64_t kMostSwappedRows = 32;
/// Of groups, whose sizes nobody knows: few, so that a model's experts need few kernels.
constexpr Tile kGroupedTiles[] = {
    {128, 256, 2, false}, {128, 128, 2, false}, {64, 256, 2, true}, {64, 128, 2, true}, {256, 32, 2, false, true}};
/// Blocks of a cluster, by m and by n.
constexpr int kClusters[][2] = {{1, 1}, {2, 1}, {1, 2}};
constexpr int kMostStages = 12;

std::int64_t CeilDiv(std::int64_t x, std::int64_t y) { return (x + y - 1) / y; }

/// What tells products apart: the depth and the types of the instruction.
std::string_view ProductTypes(const GemmProblem& p) {
  struct Row {
    DType a, b;
    std::string_view text;
  };
  static constexpr Row kRows[] = {
      {DType::kF16, DType::kF16, "k16.f32.f16.f16"},     {DType::kBf16, DType::kBf16, "k16.f32.bf16.bf16"},
      {DType::kF32, DType::kF32, "k8.f32.tf32.tf32"},    {DType::kE4m3, DType::kE4m3, "k32.f32.e4m3.e4m3"},
      {DType::kE4m3, DType::kE5m2, "k32.f32.e4m3.e5m2"}, {DType::kE5m2, DType::kE4m3, "k32.f32.e5m2.e4m3"},
      {DType::kE5m2, DType::kE5m2, "k32.f32.e5m2.e5m2"}, {DType::kS8, DType::kS8, "k32.s32.s8.s8"},
      {DType::kS8, DType::kU8, "k32.s32.s8.u8"},         {DType::kU8, DType::kS8, "k32.s32.u8.s8"},
      {DType::kU8, DType::kU8, "k32.s32.u8.u8"},
  };
  const auto* const row = std::find_if(std::begin(kRows), std::end(kRows),
                                       [&](const Row& r) { return r.a == p.a_type && r.b == p.b_type; });
  return row == std::end(kRows) ? std::string_view() : row->text;
}

Tile TileOf(const TileConfig& c) {
  const bool swap = c[kSwap] != 0;
  return {c[swap ? kBlockN : kBlockM], c[swap ? kBlockM : kBlockN], c[kConsumers], c[kPingPong] != 0, swap};
}
/// The problem that the template is given: with `swap` that of D^T.
GemmProblem AsMultiplied(GemmProblem p, bool swap) {
  if (swap) p.d_layout = Layout::kColMajor;
  return Canonical(p);
}
SplitK SplitOf(const GemmProblem& p, const TileConfig& c) {
  return {c[kBlockM] * c[kClusterM], c[kBlockN] * c[kClusterN], kBulkRowBytes / static_cast<int>(SizeOf(p.a_type)),
          c[kSplits]};
}
int SharedBytes(const TileConfig& c) {
  const Tile tile = TileOf(c);
  return c[kStages] * (tile.stage_bytes() + 16) + tile.out_bytes(c[kSplits] > 1, c[kBulkD] != 0);
}

bool CanBulk(const GemmProblem& p, const Tile& tile) {
  const bool known =
      p.d_type == p.acc_type || SizeOf(p.d_type) == 1 || (p.acc_type == DType::kF32 && SizeOf(p.d_type) == 2);
  return known && !tile.swap && CanBulkD(p, tile.block_n);
}

/// Tiles of groups are reckoned with as if all were alike.
double Blocks(const GemmProblem& grouped, const TileConfig& c) {
  const GemmProblem p = AsBatch(grouped);
  return static_cast<double>(CeilDiv(p.m, c[kBlockM]) * CeilDiv(p.n, c[kBlockN])) * static_cast<double>(p.batch);
}
/// Tiles of whole clusters, times parts of k. Of groups, the most that there can be.
double Clusters(const GemmProblem& p, const TileConfig& c) {
  const double tiles = CountTiles(p, c[kBlockM] * c[kClusterM], c[kBlockN] * c[kClusterN]);
  if (p.grouping == Grouping::kEnds) return tiles + static_cast<double>(p.groups * CeilDiv(p.n, c[kBlockN]));
  if (p.grouping != Grouping::kNone) return tiles * static_cast<double>(p.entries_d());
  return CountTiles(p, c[kBlockM] * c[kClusterM], c[kBlockN] * c[kClusterN]) * static_cast<double>(p.batch) *
         c[kSplits];
}

/// Tensor cores read both operands from shared memory: of each product, 64 rows of A and all of B.
double Efficiency(const GemmProblem& p, const Tile& tile, const DeviceSpec& spec) {
  // By 8-bit floats, each step is awaited and added before the same warp group goes on. An estimate.
  constexpr double kPromotion = 0.85;
  const double size = static_cast<double>(SizeOf(p.a_type)), slice = 32 / size;
  const double peak = spec.tensor_flops_per_clock > 0 ? spec.tensor_flops_per_clock * 2 / size : 8192 / size;
  const double products = 2.0 * tile.block_m * tile.block_n * slice / peak;
  const double reads = tile.block_m / 64 * (64.0 + tile.block_n) * 32 / spec.shared_bytes_per_clock;
  return std::min(1.0, products / reads) * (Is8BitFloat(p.a_type) ? kPromotion : 1);
}

/// Registers allow for the sums of one warp group, and once more of 8-bit floats.
bool Fits(const GemmProblem& p, const Tile& tile, int cluster_m, int cluster_n) {
  const int sums = tile.rows() * tile.block_n / 128 * (Is8BitFloat(p.a_type) ? 2 : 1);
  if (sums > 160) return false;
  if (!BAlongK(AsMultiplied(p, tile.swap)) && tile.block_n % 64 != 0) return false;
  // One factor for a tile's step.
  if (p.scaling == Scaling::kBlock128x128 && !tile.swap && 128 % tile.block_n != 0) return false;
  // Blocks without work of their own would only help others.
  return AsBatch(p).m > (cluster_m - 1) * tile.block_m && p.n > (cluster_n - 1) * tile.block_n;
}

TileConfig MakeConfig(const GemmProblem& p, const CodeTarget& target, const DeviceSpec& spec, const Tile& tile,
                      const int (&cluster)[2], std::string_view family) {
  TileConfig c{family, kFields, {}};
  c[tile.swap ? kBlockN : kBlockM] = tile.block_m, c[tile.swap ? kBlockM : kBlockN] = tile.block_n;
  c[kConsumers] = tile.consumers, c[kPingPong] = tile.ping_pong ? 1 : 0;
  c[kClusterM] = cluster[0], c[kClusterN] = cluster[1];
  c[kSwap] = tile.swap ? 1 : 0;
  c[kBulkD] = CanBulk(p, tile) ? 1 : 0;
  c[kVectorD] = c[kBulkD] != 0 ? 1 : VectorLengthOfD(p, 8);
  c[kSplits] = 1;
  const int out = tile.out_bytes(false, c[kBulkD] != 0);
  c[kStages] = std::min(kMostStages, (SharedLimit(target, spec) - out) / (tile.stage_bytes() + 16));
  return c;
}

/// With as many blocks as there is work for.
TileConfig WithCtas(TileConfig c, const GemmProblem& p, const DeviceSpec& spec) {
  const int size = c[kClusterM] * c[kClusterN];
  c[kCtas] = static_cast<int>(std::min(Clusters(p, c),
                                       std::floor(std::max(1.0, spec.multiprocessors / static_cast<double>(size))))) *
             size;
  return c;
}

/// The template's walk over the tiles, and the header that has it.
std::string_view WalkOf(Grouping grouping) {
  switch (grouping) {
    case Grouping::kNone:
      break;
    case Grouping::kContiguous:
      return "IndexedRows";
    case Grouping::kMasked:
      return "MaskedRows";
    case Grouping::kAlongK:
      return "GroupsOfK";
    case Grouping::kEnds:
      return "EndedRows";
  }
  return "";
}

/// `p`: as multiplied.
std::string Macros(const GemmProblem& p, const Tile& tile) {
  const bool transposes = SizeOf(p.a_type) == 2, integer = p.acc_type == DType::kS32;
  std::string text = fmt::format("#define GEMMSMITH_WGMMA_N {}\n#define GEMMSMITH_WGMMA_TYPES \"{}\"\n", tile.block_n,
                                 ProductTypes(p));
  text += fmt::format("#define GEMMSMITH_WGMMA_MAJORS \"{}\"\n",
                      integer      ? ""
                      : transposes ? fmt::format(", 1, 1, {:d}, {:d}", !AAlongK(p), !BAlongK(p))
                                   : ", 1, 1");
  // Of 16 bytes: 32 along k; across it two atoms of 8 rows.
  const auto step = [](bool along_k) { return along_k ? 2 : 128; };
  text += fmt::format("#define GEMMSMITH_WGMMA_STEP_A \"{}\"\n#define GEMMSMITH_WGMMA_STEP_B \"{}\"\n",
                      step(AAlongK(p)), step(BAlongK(p)));
  if (integer) text += "#define GEMMSMITH_WGMMA_INTEGER\n";
  return text;
}

std::string KernelName(const GemmProblem& p, const TileConfig& c) {
  return fmt::format("sm90_{}_{}x{}{}_{}{}_c{}x{}_s{}_{}{}{}{}", OperandsName(p), c[kBlockM], c[kBlockN],
                     c[kSwap] != 0 ? "t" : "", c[kPingPong] != 0 ? "p" : "w", c[kConsumers], c[kClusterM], c[kClusterN],
                     c[kStages], c[kBulkD] != 0 ? "b" : fmt::format("v{}", c[kVectorD]),
                     p.grouping == Grouping::kNone ? "" : fmt::format("_{}", ToString(p.grouping)),
                     p.scaling == Scaling::kNone ? "" : fmt::format("_x{}", ToString(p.scaling)),
                     c[kSplits] > 1 ? "_split" : FinishName(p));
}

std::string RenderText(const GemmProblem& p, const TileConfig& c, std::string_view entry) {
  const Tile tile = TileOf(c);
  const GemmProblem multiplied = AsMultiplied(p, tile.swap);
  const std::string_view walk = WalkOf(p.grouping);
  KernelText text(p, walk.empty() ? "gemm_sm90.cuh" : "grouped_tiles.cuh", Macros(multiplied, tile));
  text.Type("A", multiplied.a_type), text.Type("B", multiplied.b_type);
  text.Type("D", p.d_type), text.Type("Accumulator", p.acc_type);
  text.Number("kBlockM", tile.block_m), text.Number("kBlockN", tile.block_n);
  for (const auto& [name, field] : {std::pair{"kStages", kStages},
                                    {"kConsumers", kConsumers},
                                    {"kClusterM", kClusterM},
                                    {"kClusterN", kClusterN},
                                    {"kVectorD", kVectorD}})
    text.Number(name, c[field]);
  text.Flag("kPingPong", tile.ping_pong), text.Flag("kSwap", tile.swap);
  text.Flag("kAAlongK", AAlongK(multiplied)), text.Flag("kBAlongK", BAlongK(multiplied));
  text.Flag("kShortSums", Is8BitFloat(p.a_type));
  text.Flag("kScaled", p.scaling != Scaling::kNone);
  const bool each_of_b = p.scaling == Scaling::kBlock1x128;
  text.Flag("kScaledRows", !tile.swap || each_of_b), text.Flag("kScaledColumns", tile.swap || each_of_b);
  text.Flag("kBulkD", c[kBulkD] != 0 && c[kSplits] <= 1);
  text.Flag("kReadC", p.beta != BetaClass::kZero);
  text.Flag("kSplit", c[kSplits] > 1);
  const std::string call = walk.empty() ? "gemmsmith::Sm90Gemm<Config>::Run"
                                        : fmt::format("gemmsmith::Sm90Gemm<Config, gemmsmith::{}>::Run", walk);
  return std::move(text).Finished({.name = entry,
                                   .threads = tile.threads(),
                                   .params = "Sm90Params",
                                   .fused_params = "Sm90FusedParams",
                                   .gemm = "params.tensor.base.gemm",
                                   .plain = "params.tensor",
                                   .call = call,
                                   .shared = true,
                                   .shared_alignment = 1024});
}

template <Grouping kGrouping, bool kFused, bool kSwapped>
void BindAll(const GemmArgs& args, std::byte* bytes) {
  BindBulk(args, kSwapped, *reinterpret_cast<Sm90Params*>(bytes));  // first in both structures
  if constexpr (kGrouping != Grouping::kNone)
    reinterpret_cast<Sm90Params*>(bytes)->groups = static_cast<const int*>(GroupTensor(kGrouping, *args.groups).data);
  if constexpr (kFused) Bind(*args.epilogue, reinterpret_cast<Sm90FusedParams*>(bytes)->epilogue);
}
template <bool kFused, bool kSwapped>
void (*BindFor(Grouping grouping))(const GemmArgs&, std::byte*) {
  switch (grouping) {
    case Grouping::kNone:
      break;
    case Grouping::kContiguous:
      return BindAll<Grouping::kContiguous, kFused, kSwapped>;
    case Grouping::kMasked:
      return BindAll<Grouping::kMasked, kFused, kSwapped>;
    case Grouping::kAlongK:
      return BindAll<Grouping::kAlongK, kFused, kSwapped>;
    case Grouping::kEnds:
      return BindAll<Grouping::kEnds, kFused, kSwapped>;
  }
  return BindAll<Grouping::kNone, kFused, kSwapped>;
}
void (*BindOf(const GemmProblem& p, bool swapped))(const GemmArgs&, std::byte*) {
  if (p.epilogue_id == 0) return swapped ? BindFor<false, true>(p.grouping) : BindFor<false, false>(p.grouping);
  return swapped ? BindFor<true, true>(p.grouping) : BindFor<true, false>(p.grouping);
}
/// Hopper's tensor cores (wgmma), fed by bulk copies.
class Sm90 final : public KernelFamily {
 public:
  std::string_view name() const override { return "sm90"; }
  std::span<const ConfigField> fields() const override { return kFields; }
  bool Targets(const CodeTarget& target) const override {
    return target.isa == Isa::kCuda && target.version == 90 && target.suffix == 'a';
  }

  std::string WhyNot(const GemmProblem& p, const CodeTarget& target) const override {
    if (!Targets(target)) return fmt::format("needs sm_90a, not {}", ToString(target));
    if (std::string reason = WhyNotTensorTypes(p, target); !reason.empty()) return reason;
    if (std::string reason = WhyNotForm(p, {.scales = true, .groups = true}); !reason.empty()) return reason;
    if (p.scaling != Scaling::kNone && !Is8BitFloat(p.a_type))
      return fmt::format("scaling {}: block scales are of 8-bit floats, not of {}", ToString(p.scaling),
                         ToString(p.a_type));
    if (std::string reason = WhyNotEpilogue(p); !reason.empty()) return reason;
    if (SizeOf(p.a_type) != 2 && !(AAlongK(p) && BAlongK(p)))
      return fmt::format("layout {}: tensor cores of sm_90a read {} along k only; store them as nt", LayoutName(p),
                         ToString(p.a_type));
    return WhyNotBulk(p, Clusters(p, Smallest()));
  }

  std::vector<TileConfig> Candidates(const GemmProblem& p, const CodeTarget& target,
                                     const DeviceSpec& spec) const override {
    std::vector<TileConfig> configs;
    const auto offer = [&](const Tile& tile, const int(&cluster)[2]) {
      if (!Fits(p, tile, cluster[0], cluster[1])) return;
      const TileConfig config = MakeConfig(p, target, spec, tile, cluster, name());
      if (config[kStages] < 2) return;
      configs.push_back(WithCtas(config, p, spec));
      if (cluster[0] * cluster[1] > 1 || p.grouping != Grouping::kNone) return;
      TileConfig split = config;
      split[kSplits] = ChooseSplits(p, Blocks(p, config), SplitOf(p, config).block_k, spec);
      split[kBulkD] = 0, split[kVectorD] = VectorLengthOfD(p, 16);
      if (split[kSplits] > 1) configs.push_back(WithCtas(split, p, spec));
    };
    const auto wants_rows = [&](const Tile& tile) { return tile.swap && AsBatch(p).m > kMostSwappedRows; };
    if (p.grouping == Grouping::kNone) {
      for (const Tile& tile : kTiles)
        for (const auto& cluster : kClusters) offer(tile, cluster);
      for (const Tile& tile : kSwappedTiles)
        if (!wants_rows(tile)) offer(tile, kClusters[0]);
      return configs;
    }
    for (const Tile& tile : kGroupedTiles) {
      // Groups that begin at multiples of 128 rows fill no smaller tiles better.
      if (wants_rows(tile) || (p.grouping == Grouping::kContiguous && tile.block_m != GroupAlignment(p.grouping)))
        continue;
      offer(tile, kClusters[0]);
      if (!tile.swap) offer(tile, kClusters[2]);
    }
    return configs;
  }

  TileShape Shape(const GemmProblem& p, const TileConfig& c, const DeviceSpec& spec) const override {
    const Tile tile = TileOf(c);
    TileShape shape;
    shape.block_m = c[kBlockM];
    shape.block_n = c[kBlockN];
    shape.micro_m = tile.swap ? tile.block_n : 64;
    shape.micro_n = tile.swap ? 64 : tile.block_n;
    shape.threads = tile.threads();
    shape.issue_efficiency = Efficiency(p, tile, spec);
    shape.flops_per_clock = std::max(spec.tensor_flops_per_clock, 1.0) * 2 / static_cast<double>(SizeOf(p.a_type));
    shape.busy_warps = 4;
    shape.copies = TileShape::Copies::kBulk;
    shape.step_k = kBulkRowBytes / static_cast<int>(SizeOf(p.a_type));
    shape.cluster_m = c[kClusterM];
    shape.cluster_n = c[kClusterN];
    shape.splits = c[kSplits];
    shape.partial_bytes = static_cast<double>(PartialBytes(p, SplitOf(p, c)));
    return shape;
  }

  KernelSource Render(const GemmProblem& p, const TileConfig& config, const CodeTarget& target,
                      const CompileOptions& options) const override {
    if (options.opt_level < 1)
      throw Fail(Code::kUnsupported, "set CompileOptions::opt_level (--opt-level) to 1 or more",
                 "compile for {}: with opt_level={} each of the tensor cores' products waits for the one before",
                 ToString(target), options.opt_level);
    if (config[kSplits] <= 1) return SourceOf(p, config, target, options);
    TileConfig raw = config;
    raw[kVectorD] = 1;  // D is the other kernel's business
    return SourceOf(WithoutFinish(p), raw, target, options);
  }

  LaunchStep MakeLaunch(const GemmProblem& problem, const TileConfig& config) const override {
    const bool split = config[kSplits] > 1;
    const GemmProblem p = split ? WithoutFinish(problem) : problem;
    LaunchStep step;
    step.grid.x = static_cast<std::uint32_t>(config[kCtas]);
    step.block.x = static_cast<std::uint32_t>(TileOf(config).threads());
    step.cluster.x = static_cast<std::uint32_t>(config[kClusterM] * config[kClusterN]);
    step.shared_bytes = static_cast<std::uint32_t>(SharedBytes(config));
    const Tile tile = TileOf(config);
    const BulkTiling tiling{tile.block_m, tile.block_n, config[kClusterM], config[kClusterN], config[kCtas], tile.swap};
    SetBulkParams(step, p, tiling, SplitOf(p, config), config[kBulkD] != 0 && !split ? kPanelRows : 0);
    step.bind = BindOf(p, tile.swap);
    step.waits = true;
    return step;
  }

  std::optional<FollowUp> After(const GemmProblem& p, const TileConfig& config, const CodeTarget& target,
                                const CompileOptions& options) const override {
    if (config[kSplits] <= 1) return std::nullopt;
    return AddParts(p, SplitOf(p, config), config[kVectorD], target, options);
  }

 private:
  TileConfig Smallest() const {
    TileConfig c{name(), kFields, {}};
    c[kBlockM] = 64, c[kBlockN] = 16, c[kClusterM] = c[kClusterN] = 1, c[kSplits] = 32;
    return c;
  }
  static KernelSource SourceOf(const GemmProblem& p, const TileConfig& config, const CodeTarget& target,
                               const CompileOptions& options) {
    const std::string kernel = KernelName(p, config);
    return MakeSource(p, kernel, config, target, options, RenderText(p, config, "gemmsmith_" + kernel));
  }
};

}  // namespace

const KernelFamily& Sm90Family() {
  static const Sm90 family;
  return family;
}

}  // namespace gemmsmith
