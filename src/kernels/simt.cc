#include <algorithm>
#include <cmath>

#include "kernels/cuda_gemm.h"
#include "kernels/include_closure.h"
#include "util/log.h"

namespace gemmsmith {
namespace {

enum Field { kBlockM, kBlockN, kBlockK, kMicroM, kMicroN, kVectorA, kVectorB, kVectorD };
constexpr ConfigField kFields[] = {{"block_m", true}, {"block_n", true},  {"block_k", true},  {"micro_m", true},
                                   {"micro_n", true}, {"vector_a", true}, {"vector_b", true}, {"vector_d", true}};

constexpr int kPaddingBytes = 16;  // behind the lines of each step of k in shared memory, as in gemm_simt.cuh

/// A shape of the template: a block's part of D and k-step, and one thread's part.
struct Tile {
  int block_m, block_n, block_k, micro_m, micro_n;

  int threads() const { return block_m / (4 * micro_m) * (block_n / (8 * micro_n)) * 32; }
  /// Operand elements that one thread fetches per k-step.
  int share_a() const { return block_m * block_k / threads(); }
  int share_b() const { return block_n * block_k / threads(); }
  int share() const { return share_a() + share_b(); }
  /// As in gemm_simt.cuh: two buffers of both operands, lines padded by 16 bytes.
  int shared_bytes(DType accumulator) const {
    return 2 * block_k * ((block_m + block_n) * static_cast<int>(SizeOf(accumulator)) + 2 * kPaddingBytes);
  }
  /// Products per instruction of a thread: the others read shared memory, and fetch its share of the operands.
  double efficiency(int vector_a, int vector_b) const {
    const double products = micro_m * micro_n;
    const double fetches =
        (static_cast<double>(share_a()) / vector_a + static_cast<double>(share_b()) / vector_b) / block_k;
    return products / (products + micro_m + micro_n + fetches);
  }
};
constexpr Tile kTiles[] = {{64, 64, 16, 8, 4}, {128, 64, 16, 8, 4}, {32, 32, 16, 4, 4},
                           {16, 64, 32, 4, 4}, {16, 32, 32, 4, 4},  {64, 16, 32, 8, 2}};
constexpr int kMostFetches = 32;  // One by one; each wants an address and a predicate, and soon registers spill.
constexpr int kMaxStaticShared = 48 << 10;

Tile TileOf(const TileConfig& config) {
  return {config[kBlockM], config[kBlockN], config[kBlockK], config[kMicroM], config[kMicroN]};
}

SimtOperand DescribeOperand(DType dtype, int lines, int micro, int vector, bool along_k) {
  SimtOperand operand;
  operand.block_lines = lines;
  operand.thread_lines = operand.read_vector = micro;
  operand.copy_vector = vector;
  (along_k ? operand.copy_steps : operand.copy_lines) = vector;
  operand.along_k = along_k;
  operand.padding_words = kPaddingBytes / 4;
  operand.element_bytes = static_cast<int>(SizeOf(dtype));
  return operand;
}

/// As in gemm_simt.cuh: a warp is 4 threads high and 8 wide.
SimtKernel DescribeKernel(const GemmProblem& p, const TileConfig& config) {
  const Tile tile = TileOf(config);
  SimtKernel kernel;
  kernel.a = DescribeOperand(p.a_type, tile.block_m, tile.micro_m, config[kVectorA], p.a_layout == Layout::kRowMajor);
  kernel.a.lane_divisor = 8;
  kernel.a.lane_parts = 4;
  kernel.b = DescribeOperand(p.b_type, tile.block_n, tile.micro_n, config[kVectorB], p.b_layout == Layout::kColMajor);
  kernel.b.lane_parts = 8;
  kernel.threads = tile.threads();
  kernel.tile_steps = tile.block_k;
  kernel.unrolled = 4;
  kernel.element_words = static_cast<int>(SizeOf(p.acc_type)) / 4;
  kernel.double_buffered = true;
  return kernel;
}

bool Fits(const GemmProblem& problem, const Tile& tile) {
  return tile.shared_bytes(problem.acc_type) <= kMaxStaticShared &&
         CountTiles(problem, tile.block_m, tile.block_n) <= kMaxGridX;
}

TileConfig MakeConfig(std::string_view family, const GemmProblem& p, const Tile& tile) {
  const bool batched = p.batch > 1;
  const std::int64_t contiguous_a = p.a_layout == Layout::kRowMajor ? p.k : p.m;
  const std::int64_t contiguous_b = p.b_layout == Layout::kRowMajor ? p.n : p.k;
  TileConfig config{family, kFields, {}};
  config[kBlockM] = tile.block_m;
  config[kBlockN] = tile.block_n;
  config[kBlockK] = tile.block_k;
  config[kMicroM] = tile.micro_m;
  config[kMicroN] = tile.micro_n;
  config[kVectorA] = VectorLength(p, p.a_type, tile.share_a(), {contiguous_a, p.lda, batched ? p.batch_stride_a : 0});
  config[kVectorB] = VectorLength(p, p.b_type, tile.share_b(), {contiguous_b, p.ldb, batched ? p.batch_stride_b : 0});
  config[kVectorD] = VectorLengthOfD(p, tile.micro_n / static_cast<int>(p.columns_per_d));
  return config;
}

/// The same tile for every problem of its types and layouts, however they are aligned: where nothing can be compiled, a
/// few such kernels serve all.
TileConfig Generic(TileConfig config) {
  config[kVectorA] = config[kVectorB] = config[kVectorD] = 1;
  return config;
}

bool AccumulatesInF32(DType dtype) { return dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBf16; }

std::string WhyNotTypes(const GemmProblem& p) {
  const bool f64 = p.acc_type == DType::kF64;
  if (!f64 && p.acc_type != DType::kF32) return fmt::format("accumulates in f32 or f64, not {}", ToString(p.acc_type));
  for (const auto& [name, dtype] : {std::pair{"a", p.a_type}, {"b", p.b_type}, {"d", p.d_type}})
    if (f64 ? dtype != DType::kF64 : !AccumulatesInF32(dtype))
      return fmt::format("{}={} with accumulator {}: takes {}", name, ToString(dtype), ToString(p.acc_type),
                         f64 ? "f64 only" : "f32, f16 and bf16");
  if (p.beta != BetaClass::kZero && p.c_type != p.d_type)
    return fmt::format("c={} must be of d's type, {}", ToString(p.c_type), ToString(p.d_type));
  return "";
}

std::string KernelName(const GemmProblem& p, const TileConfig& config) {
  return fmt::format("simt_{}_{}x{}x{}_{}x{}_v{}{}{}{}", OperandsName(p), config[kBlockM], config[kBlockN],
                     config[kBlockK], config[kMicroM], config[kMicroN], config[kVectorA], config[kVectorB],
                     config[kVectorD], FinishName(p));
}

std::string RenderText(const GemmProblem& p, const TileConfig& config, std::string_view entry) {
  KernelText text(p, "gemm_simt.cuh");
  text.Type("A", p.a_type), text.Type("B", p.b_type), text.Type("D", p.d_type), text.Type("Accumulator", p.acc_type);
  for (const auto& [name, field] : {std::pair{"kBlockM", kBlockM},
                                    {"kBlockN", kBlockN},
                                    {"kBlockK", kBlockK},
                                    {"kMicroM", kMicroM},
                                    {"kMicroN", kMicroN}})
    text.Number(name, config[field]);
  text.Flag("kAAlongK", p.a_layout == Layout::kRowMajor), text.Flag("kBAlongK", p.b_layout == Layout::kColMajor);
  text.Number("kVectorA", config[kVectorA]), text.Number("kVectorB", config[kVectorB]);
  text.Number("kVectorD", config[kVectorD]);
  text.Flag("kReadC", p.beta != BetaClass::kZero);
  return std::move(text).Finished({.name = entry,
                                   .threads = TileOf(config).threads(),
                                   .params = "SimtParams",
                                   .fused_params = "SimtFusedParams",
                                   .gemm = "params.gemm",
                                   .plain = "params.gemm",
                                   .call = "gemmsmith::SimtGemm<Config>::Run"});
}

void BindPlain(const GemmArgs& args, std::byte* bytes) { Bind(args, *reinterpret_cast<SimtParams*>(bytes)); }

void BindFused(const GemmArgs& args, std::byte* bytes) {
  auto& params = *reinterpret_cast<SimtFusedParams*>(bytes);
  Bind(args, params.gemm);
  Bind(*args.epilogue, params.epilogue);
}

/// Plain FMA units: runs everything that has no better kernel.
class Simt final : public KernelFamily {
 public:
  std::string_view name() const override { return "simt"; }
  std::span<const ConfigField> fields() const override { return kFields; }
  bool IsLastResort() const override { return true; }
  bool Targets(const CodeTarget& target) const override { return target.isa == Isa::kCuda && target.version >= 75; }

  std::string WhyNot(const GemmProblem& p, const CodeTarget& target) const override {
    if (!Targets(target)) return fmt::format("needs sm_75 or newer, not {}", ToString(target));
    if (std::string reason = WhyNotTypes(p); !reason.empty()) return reason;
    if (std::string reason = WhyNotForm(p); !reason.empty()) return reason;
    if (p.epilogue_id != 0 && p.acc_type != DType::kF32) return "fuses epilogues into f32 accumulators only";
    if (std::string reason = WhyNotEpilogue(p); !reason.empty()) return reason;
    if (std::none_of(std::begin(kTiles), std::end(kTiles), [&](const Tile& tile) { return Fits(p, tile); }))
      return fmt::format("m={} n={} is more than a grid of {} blocks", p.m, p.n, kMaxGridX);
    return "";
  }

  std::vector<TileConfig> Candidates(const GemmProblem& problem, const CodeTarget&,
                                     const DeviceSpec& spec) const override {
    std::vector<Tile> tiles;
    std::copy_if(std::begin(kTiles), std::end(kTiles), std::back_inserter(tiles),
                 [&](const Tile& tile) { return Fits(problem, tile); });
    // The busiest multiprocessor's work, padding included.
    const auto cost = [&](const Tile& tile) {
      const double per_sm = std::ceil(CountTiles(problem, tile.block_m, tile.block_n) * problem.batch /
                                      std::max(1, spec.multiprocessors));
      return per_sm * tile.block_m * tile.block_n / tile.efficiency(1, 1);
    };
    std::stable_sort(tiles.begin(), tiles.end(), [&](const Tile& x, const Tile& y) { return cost(x) < cost(y); });
    std::vector<TileConfig> configs;
    for (const Tile& tile : tiles) configs.push_back(MakeConfig(name(), problem, tile));
    for (std::size_t i = 0; i < tiles.size(); ++i)
      if (const TileConfig generic = Generic(configs[i]); !(generic == configs[i]) && tiles[i].share() <= kMostFetches)
        configs.push_back(generic);
    return configs;
  }

  TileShape Shape(const GemmProblem& problem, const TileConfig& config, const DeviceSpec& spec) const override {
    const Tile tile = TileOf(config);
    const int words = static_cast<int>(SizeOf(problem.acc_type)) / 4;
    const int held = tile.micro_m * tile.micro_n + 2 * (tile.micro_m + tile.micro_n) + tile.share();
    const std::int64_t registers = std::int64_t{32 + words * held} * tile.threads();
    const std::int64_t shared = tile.shared_bytes(problem.acc_type) + 1024;  // the driver's own share
    const std::int64_t workers = std::min(
        {spec.registers_per_sm / registers, spec.shared_bytes_per_sm / shared, std::int64_t{1024} / tile.threads()});
    TileShape shape;
    shape.block_m = tile.block_m;
    shape.block_n = tile.block_n;
    shape.micro_m = tile.micro_m;
    shape.micro_n = tile.micro_n;
    shape.workers = static_cast<int>(std::max<std::int64_t>(1, workers));
    shape.threads = tile.threads();
    shape.issue_efficiency = tile.efficiency(config[kVectorA], config[kVectorB]);
    shape.simt = DescribeKernel(problem, config);
    return shape;
  }

  KernelSource Render(const GemmProblem& problem, const TileConfig& config, const CodeTarget& target,
                      const CompileOptions& options) const override {
    KernelSource source;
    source.name = KernelName(problem, config);
    source.target = target;
    source.entry = "gemmsmith_" + source.name;
    source.text = RenderText(problem, config, source.entry);
    source.headers = IncludeClosure(source.text);
    source.options = options;
    source.config = config;
    source.problem = ProblemClass(problem);
    return source;
  }

  LaunchStep MakeLaunch(const GemmProblem& p, const TileConfig& config) const override {
    const Tile tile = TileOf(config);
    const SimtParams params = MakeSimtParams(p);
    LaunchStep step;
    step.grid.x = static_cast<std::uint32_t>(CountTiles(p, tile.block_m, tile.block_n));
    step.grid.z = static_cast<std::uint32_t>(std::clamp<std::int64_t>(p.batch, 1, kMaxGridZ));
    step.block.x = static_cast<std::uint32_t>(tile.threads());
    if (p.epilogue_id == 0) {
      step.SetParams(params);
      step.bind = BindPlain;
    } else {
      step.SetParams(SimtFusedParams{params, MakeEpilogueParams(p)});
      step.bind = BindFused;
    }
    step.prepare = PrepareOf(p);
    return step;
  }
};

}  // namespace

const KernelFamily& SimtFamily() {
  static const Simt family;
  return family;
}

}  // namespace gemmsmith
