#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/bulk_gemm.h"
#include "kernels/cuda_gemm.h"
#include "util/log.h"

namespace gemmsmith {
namespace {

enum Field { kBlockM, kBlockN, kStages, kBulkD, kVectorD, kSplits, kCtas };
constexpr ConfigField kFields[] = {{"block_m", true},
                                   {"block_n", true},
                                   {"stages", true},
                                   {"bulk_d", true},
                                   {"vector_d", true},
                                   {"splits", false},
                                   {"ctas", false, /*follows=*/true}};

constexpr int kRows = 128;  // of a tile, and of one product
constexpr int kColumns[] = {256, 192, 128, 64, 32};
constexpr int kFewestScaled = 64, kMostScaled = 128;  // columns: two threads hold a row of sums
constexpr int kMostStages = 12;

SplitK SplitOf(const GemmProblem& p, const TileConfig& c) {
  return {c[kBlockM], c[kBlockN], kBulkRowBytes / static_cast<int>(SizeOf(p.a_type)), c[kSplits]};
}
/// Times parts of k.
double Tiles(const GemmProblem& p, int block_n, int splits) {
  return CountTiles(p, kRows, block_n) * static_cast<double>(p.batch) * splits;
}
/// Whether D can leave by bulk copies from tiles of so many columns.
bool CanBulk(const GemmProblem& p, int columns) {
  const bool known = p.d_type == p.acc_type || (p.acc_type == DType::kF32 && SizeOf(p.d_type) == 2);
  return known && CanBulkD(p, columns);
}

bool IsScaled(const GemmProblem& p) { return p.scaling != Scaling::kNone; }
/// As in gemm_sm100.cuh: the warps that store, and the columns of each.
int Warps(const GemmProblem& p) { return IsScaled(p) ? 8 : 4; }
int ColumnsOf(const GemmProblem& p, int block_n) { return IsScaled(p) ? block_n / 2 : block_n; }
int Threads(const GemmProblem& p) { return (Warps(p) + 2) * 32; }

int StageBytes(int block_n) { return (kRows + block_n) * kBulkRowBytes + 16; }
/// What D leaves through, factors of columns, and what tells of sums.
int RestBytes(const GemmProblem& p, const TileConfig& c) {
  const int columns = ColumnsOf(p, c[kBlockN]), piece = columns % 64 == 0 ? 64 : 32;
  const int out = c[kSplits] > 1 ? 0 : c[kBulkD] != 0 ? 2 * 32 * kBulkRowBytes : 32 * (piece + 4) * 4;
  const int factors = p.scaling == Scaling::kBlock1x128 ? columns * 4 : 0;
  return Warps(p) * (out + factors) + 48;
}
int SharedBytes(const GemmProblem& p, const TileConfig& c) {
  return c[kStages] * StageBytes(c[kBlockN]) + RestBytes(p, c);
}

/// Tensor cores read both operands from shared memory once for each product.
double Efficiency(const GemmProblem& p, int block_n, const DeviceSpec& spec) {
  constexpr double kPromotion = 0.85;  // Eight warps add what is scaled, while the next step is made. An estimate.
  const double size = static_cast<double>(SizeOf(p.a_type)), slice = 32 / size;
  const double peak = std::max(spec.tensor_flops_per_clock, 1.0) * 2 / size;
  const double products = 2.0 * kRows * block_n * slice / peak;
  const double reads = (kRows + block_n) * 32.0 / std::max(spec.shared_bytes_per_clock, 1.0);
  return std::min(1.0, products / reads) * (IsScaled(p) ? kPromotion : 1);
}

TileConfig MakeConfig(const GemmProblem& p, const CodeTarget& target, const DeviceSpec& spec, int block_n, int splits,
                      std::string_view family) {
  TileConfig c{family, kFields, {}};
  c[kBlockM] = kRows, c[kBlockN] = block_n, c[kSplits] = splits;
  c[kBulkD] = splits == 1 && CanBulk(p, ColumnsOf(p, block_n)) ? 1 : 0;
  c[kVectorD] = c[kBulkD] != 0 ? 1 : VectorLengthOfD(p, splits > 1 ? 16 : 8);
  c[kStages] = std::min(kMostStages, (SharedLimit(target, spec) - RestBytes(p, c)) / StageBytes(block_n));
  c[kCtas] = static_cast<int>(std::min<double>(Tiles(p, block_n, splits), std::max(1, spec.multiprocessors)));
  return c;
}

std::string KernelName(const GemmProblem& p, const TileConfig& c) {
  return fmt::format("sm100_{}_{}x{}_s{}_{}{}{}", OperandsName(p), c[kBlockM], c[kBlockN], c[kStages],
                     c[kBulkD] != 0 ? "b" : fmt::format("v{}", c[kVectorD]),
                     p.scaling == Scaling::kNone ? "" : fmt::format("_x{}", ToString(p.scaling)),
                     c[kSplits] > 1 ? "_split" : FinishName(p));
}

std::string RenderText(const GemmProblem& p, const TileConfig& c, std::string_view entry) {
  KernelText text(p, "gemm_sm100.cuh");
  text.Type("A", p.a_type), text.Type("B", p.b_type), text.Type("D", p.d_type), text.Type("Accumulator", p.acc_type);
  for (const auto& [name, field] :
       {std::pair{"kBlockM", kBlockM}, {"kBlockN", kBlockN}, {"kStages", kStages}, {"kVectorD", kVectorD}})
    text.Number(name, c[field]);
  text.Number("kClusterM", 1), text.Number("kClusterN", 1);
  text.Flag("kAAlongK", AAlongK(p)), text.Flag("kBAlongK", BAlongK(p));
  text.Flag("kScaled", p.scaling != Scaling::kNone);
  text.Flag("kScaledColumns", p.scaling == Scaling::kBlock1x128);
  text.Flag("kBulkD", c[kBulkD] != 0);
  text.Flag("kReadC", p.beta != BetaClass::kZero);
  text.Flag("kSplit", c[kSplits] > 1);
  return std::move(text).Finished({.name = entry,
                                   .threads = Threads(p),
                                   .params = "Sm90Params",
                                   .fused_params = "Sm90FusedParams",
                                   .gemm = "params.tensor.base.gemm",
                                   .plain = "params.tensor",
                                   .call = "gemmsmith::Sm100Gemm<Config>::Run",
                                   .shared = true,
                                   .shared_alignment = 1024});
}

/// Blackwell's tensor cores (tcgen05), fed by bulk copies.
class Sm100 final : public KernelFamily {
 public:
  std::string_view name() const override { return "sm100"; }
  std::span<const ConfigField> fields() const override { return kFields; }
  bool Targets(const CodeTarget& target) const override {
    constexpr CodeTarget kTargets[] = {
        {Isa::kCuda, 100, 'a'}, {Isa::kCuda, 100, 'f'}, {Isa::kCuda, 103, 'a'}, {Isa::kCuda, 110, 'a'}};
    return std::find(std::begin(kTargets), std::end(kTargets), target) != std::end(kTargets);
  }

  std::string WhyNot(const GemmProblem& p, const CodeTarget& target) const override {
    if (!Targets(target)) return fmt::format("needs sm_100a or its kin, not {}", ToString(target));
    if (std::string reason = WhyNotTensorTypes(p, target); !reason.empty()) return reason;
    if (p.acc_type == DType::kS32 && (target.version == 103 || target.suffix != 'a'))
      return fmt::format("tensor cores that sum integers need sm_100a or sm_110a, not {}", ToString(target));
    if (std::string reason = WhyNotForm(p, {.scales = true}); !reason.empty()) return reason;
    if (IsScaled(p) && !Is8BitFloat(p.a_type))
      return fmt::format("scaling {}: block scales are of 8-bit floats, not of {}", ToString(p.scaling),
                         ToString(p.a_type));
    if (std::string reason = WhyNotEpilogue(p); !reason.empty()) return reason;
    if (SizeOf(p.a_type) > 2 && !(AAlongK(p) && BAlongK(p)))
      return fmt::format("layout {}: reads {} along k only; store them as nt", LayoutName(p), ToString(p.a_type));
    return WhyNotBulk(p, Tiles(p, kColumns[std::size(kColumns) - 1], 32));
  }

  std::vector<TileConfig> Candidates(const GemmProblem& p, const CodeTarget& target,
                                     const DeviceSpec& spec) const override {
    const int row = kBulkRowBytes / static_cast<int>(SizeOf(p.b_type));  // of columns, where they are contiguous
    std::vector<TileConfig> configs;
    for (const int block_n : kColumns) {
      if (!BAlongK(p) && block_n % row != 0) continue;
      if (IsScaled(p) && (block_n < kFewestScaled || block_n > kMostScaled)) continue;
      const TileConfig config = MakeConfig(p, target, spec, block_n, 1, name());
      configs.push_back(config);
      const int splits = ChooseSplits(p, Tiles(p, block_n, 1), SplitOf(p, config).block_k, spec);
      if (splits > 1) configs.push_back(MakeConfig(p, target, spec, block_n, splits, name()));
    }
    return configs;
  }

  TileShape Shape(const GemmProblem& p, const TileConfig& c, const DeviceSpec& spec) const override {
    TileShape shape;
    shape.block_m = shape.micro_m = c[kBlockM];
    shape.block_n = shape.micro_n = c[kBlockN];
    shape.threads = Threads(p);
    shape.issue_efficiency = Efficiency(p, c[kBlockN], spec);
    shape.flops_per_clock = std::max(spec.tensor_flops_per_clock, 1.0) * 2 / static_cast<double>(SizeOf(p.a_type));
    shape.busy_warps = 1;  // one thread has all products made
    shape.copies = TileShape::Copies::kBulk;
    shape.step_k = SplitOf(p, c).block_k;
    shape.splits = c[kSplits];
    // Rows of tiles that lie beyond D are not stored.
    const double rows = static_cast<double>(p.m) / static_cast<double>((p.m + kRows - 1) / kRows * kRows);
    shape.partial_bytes = static_cast<double>(PartialBytes(p, SplitOf(p, c))) * rows;
    return shape;
  }

  KernelSource Render(const GemmProblem& p, const TileConfig& config, const CodeTarget& target,
                      const CompileOptions& options) const override {
    if (config[kSplits] <= 1) return SourceOf(p, config, target, options);
    TileConfig raw = config;
    raw[kVectorD] = 1;  // D is the other kernel's business
    return SourceOf(WithoutFinish(p), raw, target, options);
  }

  LaunchStep MakeLaunch(const GemmProblem& problem, const TileConfig& config) const override {
    LaunchStep step;
    step.grid.x = static_cast<std::uint32_t>(config[kCtas]);
    step.block.x = static_cast<std::uint32_t>(Threads(problem));
    step.shared_bytes = static_cast<std::uint32_t>(SharedBytes(problem, config));
    SetBulkParams(step, config[kSplits] > 1 ? WithoutFinish(problem) : problem,
                  {config[kBlockM], config[kBlockN], 1, 1, config[kCtas]}, SplitOf(problem, config),
                  config[kBulkD] != 0 ? 32 : 0);
    return step;
  }

  std::optional<FollowUp> After(const GemmProblem& p, const TileConfig& config, const CodeTarget& target,
                                const CompileOptions& options) const override {
    if (config[kSplits] <= 1) return std::nullopt;
    return AddParts(p, SplitOf(p, config), config[kVectorD], target, options);
  }

 private:
  static KernelSource SourceOf(const GemmProblem& p, const TileConfig& config, const CodeTarget& target,
                               const CompileOptions& options) {
    const std::string kernel = KernelName(p, config);
    return MakeSource(p, kernel, config, target, options, RenderText(p, config, "gemmsmith_" + kernel));
  }
};

}  // namespace

const KernelFamily& Sm100Family() {
  static const Sm100 family;
  return family;
}

}  // namespace gemmsmith
