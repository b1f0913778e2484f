#include <algorithm>
#include <bit>
#include <cmath>
#include <utility>
#include <vector>

#include "kernels/cuda_gemm.h"
#include "kernels/split_k.h"
#include "util/log.h"

namespace gemmsmith {
namespace {

enum Field { kBlockM, kBlockN, kBlockK, kWarpsM, kWarpsN, kStages, kVectorA, kVectorB, kVectorD, kSplits };
constexpr ConfigField kFields[] = {{"block_m", true},  {"block_n", true}, {"block_k", true},  {"warps_m", true},
                                   {"warps_n", true},  {"stages", true},  {"vector_a", true}, {"vector_b", true},
                                   {"vector_d", true}, {"splits", false}};

/// A shape of the template: a block's part of D, bytes along k of a step, warps, and steps in shared memory at once.
struct Tile {
  int block_m, block_n, depth, warps_m, warps_n, stages;

  int threads() const { return warps_m * warps_n * 32; }
  int warp_m() const { return block_m / warps_m; }
  int warp_n() const { return block_n / warps_n; }
  /// As in gemm_sm80.cuh.
  int shared_bytes(bool split) const {
    const int ring = stages * (block_m + block_n) * depth, sums = warps_m * 16 * (block_n + 8) * 4;
    return split ? ring : std::max(ring, sums);
  }
  /// What a thread holds at once: sums, the fragments of 32 bytes of k, and addresses.
  int registers(bool short_sums) const {
    return warp_m() * warp_n() / (short_sums ? 16 : 32) + (warp_m() + warp_n()) / 4 + 40;
  }
};
constexpr Tile kTiles[] = {
    {256, 128, 64, 4, 2, 3},  {128, 256, 64, 2, 4, 3}, {128, 128, 64, 2, 2, 4}, {128, 128, 64, 2, 4, 4},
    {128, 128, 128, 2, 4, 3}, {128, 64, 128, 2, 2, 3}, {64, 128, 128, 2, 2, 3}, {64, 64, 128, 2, 2, 4},
    {64, 32, 128, 2, 1, 4},   {32, 64, 128, 1, 2, 4},  {32, 32, 128, 2, 1, 4},  {16, 128, 128, 1, 4, 4},
    {16, 64, 128, 1, 2, 4},
};
/// Copies that a thread may start for one step, and accesses through registers: more cost more than the products.
constexpr int kMostCopies = 16, kMostAccesses = 64;
constexpr std::int64_t kMaxK = 0x7fffffff - 0xffff;  // so that a step past the end is counted as it should

Tile TileOf(const GemmProblem& p, const TileConfig& c) {
  return {c[kBlockM], c[kBlockN], c[kBlockK] * static_cast<int>(SizeOf(p.a_type)), c[kWarpsM], c[kWarpsN], c[kStages]};
}

/// How one operand comes into shared memory.
struct Operand {
  DType dtype;
  bool along_k;
  int lines;

  int size() const { return static_cast<int>(SizeOf(dtype)); }
  /// As in staged_tile.cuh.
  bool ThroughRegisters(int vector) const { return vector * size() < 4 || (size() == 1 && !along_k); }
  bool Legal(const Tile& tile, int vector) const {
    const int accesses = lines * tile.depth / size() / vector / tile.threads();
    if (ThroughRegisters(vector)) return accesses <= kMostAccesses;
    const int row = along_k ? tile.depth : lines * size();
    return accesses <= kMostCopies && row / (vector * size()) <= tile.threads();
  }
};
Operand OperandA(const GemmProblem& p, const Tile& tile) {
  return {p.a_type, p.a_layout == Layout::kRowMajor, tile.block_m};
}
Operand OperandB(const GemmProblem& p, const Tile& tile) {
  return {p.b_type, p.b_layout == Layout::kColMajor, tile.block_n};
}

/// Accesses of A and B may reach past the ends of lines, where nothing is read; but bytes that are transposed come
/// whole.
int VectorOf(const GemmProblem& p, const Operand& operand, std::int64_t extent, std::int64_t ld,
             std::int64_t batch_stride) {
  const bool transposed = operand.size() == 1 && !operand.along_k;
  const std::int64_t stride = p.batch > 1 ? batch_stride : 0;
  const int limit = transposed ? 4 : 16 / operand.size();
  const int length = VectorLength(p, operand.dtype, limit, {ld, stride, transposed ? extent : 0});
  return transposed || length * operand.size() >= 4 ? length : 1;
}

SplitK SplitOf(const TileConfig& c) { return {c[kBlockM], c[kBlockN], c[kBlockK], c[kSplits]}; }

/// Where 8-bit floats are not what the tensor cores of this instruction take, conversions want registers.
bool Converts(const GemmProblem& p, const CodeTarget& target) {
  return Is8BitFloat(p.a_type) && target.version >= 90 && target.version < 120;
}
/// Tensor cores of sm_89 sum products of 8-bit floats to 13 bits ("SageAttention2", arXiv:2411.10958, section 3.2), so
/// that each step of k wants sums of its own.
bool HasShortSums(const GemmProblem& p, const CodeTarget& target) {
  return Is8BitFloat(p.a_type) && target.version == 89;
}

double Blocks(const GemmProblem& p, const Tile& tile) {
  return CountTiles(p, tile.block_m, tile.block_n) * static_cast<double>(p.batch);
}

bool Fits(const GemmProblem& p, const CodeTarget& target, const DeviceSpec& spec, const Tile& tile,
          const TileConfig& config) {
  constexpr int kFewSums = 32 * 64;  // of a warp
  const bool wants_registers = Converts(p, target) || HasShortSums(p, target);
  return tile.shared_bytes(false) <= SharedLimit(target, spec) &&
         (!wants_registers || tile.warp_m() * tile.warp_n() <= kFewSums) &&
         OperandA(p, tile).Legal(tile, config[kVectorA]) && OperandB(p, tile).Legal(tile, config[kVectorB]) &&
         Blocks(p, tile) <= kMaxGridX;
}

TileConfig MakeConfig(std::string_view family, const GemmProblem& p, const Tile& tile) {
  TileConfig config{family, kFields, {}};
  config[kBlockM] = tile.block_m;
  config[kBlockN] = tile.block_n;
  config[kBlockK] = tile.depth / static_cast<int>(SizeOf(p.a_type));
  config[kWarpsM] = tile.warps_m;
  config[kWarpsN] = tile.warps_n;
  config[kStages] = tile.stages;
  config[kVectorA] = VectorOf(p, OperandA(p, tile), p.m, p.lda, p.batch_stride_a);
  config[kVectorB] = VectorOf(p, OperandB(p, tile), p.n, p.ldb, p.batch_stride_b);
  config[kVectorD] = VectorLengthOfD(p, 16);
  config[kSplits] = 1;
  return config;
}

/// The same tile for every problem of its types and layouts, however they are aligned: where nothing can be compiled, a
/// few such kernels serve all.
TileConfig Generic(TileConfig config) {
  config[kVectorA] = config[kVectorB] = config[kVectorD] = config[kSplits] = 1;
  return config;
}

/// Multiply-adds count 2, per multiprocessor and clock: of 16-bit types in the table; the others by their width. From
/// sm_90 on these instructions reach a part of what the newer ones do.
double TensorFlopsPerClock(const GemmProblem& p, const DeviceSpec& spec) {
  constexpr double kHopperShare = 0.62, kBlackwellShare = 0.25;
  constexpr double kUnknown = 1024;  // what no row of devices.json describes
  const int version = spec.target.version;
  const double share = version >= 120 || version < 90 ? 1 : version == 90 ? kHopperShare : kBlackwellShare;
  const double peak = spec.tensor_flops_per_clock > 0 ? spec.tensor_flops_per_clock : kUnknown;
  return peak * share * 2 / static_cast<double>(SizeOf(p.a_type));
}

/// Products overlap with the reads of fragments and the copies into shared memory (128 bytes per clock), but not all.
double Efficiency(const GemmProblem& p, const Tile& tile, const TileConfig& config, const DeviceSpec& spec) {
  constexpr double kExposed = 0.25, kSharedBytesPerClock = 128, kBytes = 32;  // of k, a fragment
  const double products =
      2.0 * tile.block_m * tile.block_n * kBytes / static_cast<double>(SizeOf(p.a_type)) / TensorFlopsPerClock(p, spec);
  const double reads = static_cast<double>(tile.warp_m() + tile.warp_n()) * tile.threads() / 32 * kBytes;
  const double writes = static_cast<double>(tile.block_m + tile.block_n) * kBytes;
  const double shared = (reads + writes) / kSharedBytesPerClock;
  double issue = 0, waits = 0;
  const auto copies = [&](const Operand& operand, int vector) {
    constexpr double kLanesPerClock = 128, kAsync = 2, kRegisters = 8, kLatency = 600;  // instructions, and clocks
    const bool slow = operand.ThroughRegisters(vector);
    issue += operand.lines * kBytes / (vector * operand.size()) * (slow ? kRegisters : kAsync) / kLanesPerClock;
    if (slow) waits = kLatency * kBytes / tile.depth;
  };
  copies(OperandA(p, tile), config[kVectorA]), copies(OperandB(p, tile), config[kVectorB]);
  return products / (std::max({products, shared, issue}) + kExposed * std::min(products, shared + issue) + waits);
}

std::string KernelName(const GemmProblem& p, const TileConfig& c) {
  return fmt::format("sm80_{}_{}x{}x{}_{}x{}_s{}_v{}_{}_{}{}", OperandsName(p), c[kBlockM], c[kBlockN], c[kBlockK],
                     c[kWarpsM], c[kWarpsN], c[kStages], c[kVectorA], c[kVectorB], c[kVectorD],
                     c[kSplits] > 1 ? "_split" : FinishName(p));
}

std::string RenderText(const GemmProblem& p, const TileConfig& c, const CodeTarget& target, std::string_view entry) {
  const bool split = c[kSplits] > 1;
  KernelText text(p, "gemm_sm80.cuh");
  text.Type("A", p.a_type), text.Type("B", p.b_type), text.Type("D", p.d_type), text.Type("Accumulator", p.acc_type);
  for (const auto& [name, field] : {std::pair{"kBlockM", kBlockM},
                                    {"kBlockN", kBlockN},
                                    {"kBlockK", kBlockK},
                                    {"kWarpsM", kWarpsM},
                                    {"kWarpsN", kWarpsN},
                                    {"kStages", kStages}})
    text.Number(name, c[field]);
  text.Flag("kAAlongK", p.a_layout == Layout::kRowMajor), text.Flag("kBAlongK", p.b_layout == Layout::kColMajor);
  text.Number("kVectorA", c[kVectorA]), text.Number("kVectorB", c[kVectorB]), text.Number("kVectorD", c[kVectorD]);
  text.Flag("kReadC", p.beta != BetaClass::kZero);
  text.Flag("kSplit", split);
  text.Flag("kShortSums", HasShortSums(p, target));
  return std::move(text).Finished({.name = entry,
                                   .threads = TileOf(p, c).threads(),
                                   .params = "Sm80Params",
                                   .fused_params = "Sm80FusedParams",
                                   .gemm = "params.tensor.gemm",
                                   .plain = "params.tensor",
                                   .call = "gemmsmith::Sm80Gemm<Config>::Run",
                                   .shared = true});
}

/// The tensor cores of sm_80 (mma.sync) and of all since, fed by asynchronous copies.
class Sm80 final : public KernelFamily {
 public:
  std::string_view name() const override { return "sm80"; }
  std::span<const ConfigField> fields() const override { return kFields; }
  bool Targets(const CodeTarget& target) const override { return target.isa == Isa::kCuda && target.version >= 80; }

  std::string WhyNot(const GemmProblem& p, const CodeTarget& target) const override {
    if (!Targets(target)) return fmt::format("needs sm_80 or newer, not {}", ToString(target));
    if (std::string reason = WhyNotTensorTypes(p, target); !reason.empty()) return reason;
    if (std::string reason = WhyNotForm(p); !reason.empty()) return reason;
    if (std::string reason = WhyNotEpilogue(p); !reason.empty()) return reason;
    if (p.k > kMaxK) return fmt::format("k={} is more than {}", p.k, kMaxK);
    const Tile& largest = kTiles[0];
    if (Blocks(p, largest) > kMaxGridX)
      return fmt::format("m={} n={} batch={} is more than a grid of {} blocks", p.m, p.n, p.batch, kMaxGridX);
    return "";
  }

  std::vector<TileConfig> Candidates(const GemmProblem& p, const CodeTarget& target,
                                     const DeviceSpec& spec) const override {
    std::vector<TileConfig> configs, generic;
    for (const Tile& tile : kTiles) {
      const TileConfig config = MakeConfig(name(), p, tile);
      if (Fits(p, target, spec, tile, config)) configs.push_back(config);
      if (const TileConfig g = Generic(config); !(g == config) && Fits(p, target, spec, tile, g)) generic.push_back(g);
    }
    const auto cost = [&](const TileConfig& c) {
      const Tile tile = TileOf(p, c);
      const double per_sm = std::ceil(Blocks(p, tile) / std::max(1, spec.multiprocessors));
      return per_sm * tile.block_m * tile.block_n / Efficiency(p, tile, c, spec);
    };
    const auto sort = [&](std::vector<TileConfig>& list) {
      std::vector<std::pair<double, TileConfig>> costs;
      costs.reserve(list.size());
      for (const TileConfig& c : list) costs.emplace_back(cost(c), c);
      std::stable_sort(costs.begin(), costs.end(), [](const auto& x, const auto& y) { return x.first < y.first; });
      std::transform(costs.begin(), costs.end(), list.begin(), [](const auto& x) { return x.second; });
    };
    sort(configs), sort(generic);
    for (std::size_t i = 0, count = configs.size(); i < count; ++i) {
      TileConfig split = configs[i];
      split[kSplits] = ChooseSplits(p, Blocks(p, TileOf(p, split)), split[kBlockK], spec);
      if (split[kSplits] > 1) configs.push_back(split);
    }
    configs.insert(configs.end(), generic.begin(), generic.end());
    return configs;
  }

  TileShape Shape(const GemmProblem& p, const TileConfig& c, const DeviceSpec& spec) const override {
    const Tile tile = TileOf(p, c);
    const std::int64_t shared = tile.shared_bytes(c[kSplits] > 1) + 1024;  // the driver's own share
    const std::int64_t registers = std::int64_t{tile.registers(HasShortSums(p, spec.target))} * tile.threads();
    const std::int64_t workers = std::min(
        {spec.registers_per_sm / registers, spec.shared_bytes_per_sm / shared, std::int64_t{1536} / tile.threads()});
    TileShape shape;
    shape.block_m = tile.block_m;
    shape.block_n = tile.block_n;
    shape.micro_m = tile.warp_m();
    shape.micro_n = tile.warp_n();
    shape.workers = static_cast<int>(std::max<std::int64_t>(1, workers));
    shape.threads = tile.threads();
    shape.issue_efficiency = Efficiency(p, tile, c, spec);
    shape.flops_per_clock = TensorFlopsPerClock(p, spec);
    shape.busy_warps = 4;  // one for each of an SM's tensor cores: products do not wait for each other
    shape.copies = TileShape::Copies::kAsync;
    shape.step_k = c[kBlockK];
    shape.splits = c[kSplits];
    shape.partial_bytes = static_cast<double>(PartialBytes(p, SplitOf(c)));
    return shape;
  }

  KernelSource Render(const GemmProblem& p, const TileConfig& config, const CodeTarget& target,
                      const CompileOptions& options) const override {
    if (config[kSplits] <= 1) return SourceOf(p, config, target, options);
    TileConfig raw = config;
    raw[kVectorD] = 1;  // D is the other kernel's business
    return SourceOf(WithoutFinish(p), raw, target, options);
  }

  LaunchStep MakeLaunch(const GemmProblem& p, const TileConfig& config) const override {
    const Tile tile = TileOf(p, config);
    const bool split = config[kSplits] > 1;
    LaunchStep step;
    step.grid.x = static_cast<std::uint32_t>(std::max(1.0, Blocks(p, tile)));
    step.grid.y = static_cast<std::uint32_t>(config[kSplits]);
    step.block.x = static_cast<std::uint32_t>(tile.threads());
    step.shared_bytes = static_cast<std::uint32_t>(tile.shared_bytes(split));
    SetTensorParams(step, split ? WithoutFinish(p) : p, SplitOf(config));
    return step;
  }

  std::optional<FollowUp> After(const GemmProblem& p, const TileConfig& config, const CodeTarget& target,
                                const CompileOptions& options) const override {
    if (config[kSplits] <= 1) return std::nullopt;
    return AddParts(p, SplitOf(config), config[kVectorD], target, options);
  }

 private:
  static KernelSource SourceOf(const GemmProblem& p, const TileConfig& config, const CodeTarget& target,
                               const CompileOptions& options) {
    const std::string kernel = KernelName(p, config);
    return MakeSource(p, kernel, config, target, options, RenderText(p, config, target, "gemmsmith_" + kernel));
  }
};

}  // namespace

const KernelFamily& Sm80Family() {
  static const Sm80 family;
  return family;
}

}  // namespace gemmsmith
