#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <limits>
#include <optional>

#include "epilogue/cuda_text.h"
#include "gemmsmith/device.h"
#include "kernels/family.h"
#include "kernels/include_closure.h"
#include "templates/params.h"
#include "util/log.h"

namespace gemmsmith {
namespace {

enum Field { kBlockM, kBlockN, kBlockK, kMicroM, kMicroN, kVectorA, kVectorB, kVectorD };
constexpr ConfigField kFields[] = {{"block_m", true}, {"block_n", true},  {"block_k", true},  {"micro_m", true},
                                   {"micro_n", true}, {"vector_a", true}, {"vector_b", true}, {"vector_d", true}};

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
    return 2 * block_k * ((block_m + block_n) * static_cast<int>(SizeOf(accumulator)) + 2 * 16);
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
constexpr std::int64_t kMaxGridX = std::numeric_limits<std::int32_t>::max(), kMaxGridZ = 65535;

Tile TileOf(const TileConfig& config) {
  return {config[kBlockM], config[kBlockN], config[kBlockK], config[kMicroM], config[kMicroN]};
}

double CountTiles(const GemmProblem& problem, const Tile& tile) {
  const auto count = [](std::int64_t extent, int block) { return (extent + block - 1) / block; };
  return std::max(
      1.0, static_cast<double>(count(problem.m, tile.block_m)) * static_cast<double>(count(problem.n, tile.block_n)));
}

bool Fits(const GemmProblem& problem, const Tile& tile) {
  return tile.shared_bytes(problem.acc_type) <= kMaxStaticShared && CountTiles(problem, tile) <= kMaxGridX;
}

/// The most elements, a power of two, that one access may take: `limit` of them at most, and all `multiples` allow it.
int VectorLength(const GemmProblem& problem, DType dtype, int limit, std::initializer_list<std::int64_t> multiples) {
  const int bytes = std::min(16, 1 << problem.alignment);
  int length = std::clamp(bytes / static_cast<int>(SizeOf(dtype)), 1, limit);
  const auto divides = [&](std::int64_t value) { return value % length == 0; };
  while (length > 1 && !std::all_of(multiples.begin(), multiples.end(), divides)) length /= 2;
  return length;
}

TileConfig MakeConfig(std::string_view family, const GemmProblem& p, const Tile& tile) {
  const bool batched = p.batch > 1, reads_c = p.beta != BetaClass::kZero;
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
  config[kVectorD] = VectorLength(p, p.d_type, tile.micro_n / static_cast<int>(p.columns_per_d),
                                  {p.d_columns(), p.ldd, batched ? p.batch_stride_d : 0, reads_c ? p.ldc : 0,
                                   reads_c && batched ? p.batch_stride_c : 0});
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

std::string WhyNotEpilogue(const GemmProblem& p) {
  if (p.epilogue_id == 0) return "";
  const std::optional<Epilogue> epilogue = Epilogue::Find(p.epilogue_id);
  if (!epilogue) return fmt::format("this process has made no epilogue {:016x}", p.epilogue_id);
  if (p.acc_type != DType::kF32) return "fuses epilogues into f32 accumulators only";
  const bool indexed = epilogue->Reads(EpilogueInput::kRow) || epilogue->Reads(EpilogueInput::kColumn);
  if (indexed && std::max(p.m, p.n) > std::numeric_limits<std::int32_t>::max())
    return "an epilogue that reads indices needs m and n below 2^31";
  return "";
}

std::string KernelName(const GemmProblem& p, const TileConfig& config) {
  std::string types(ToString(p.a_type));
  if (p.b_type != p.a_type || p.d_type != p.a_type)
    types += fmt::format("_{}_{}", ToString(p.b_type), ToString(p.d_type));
  std::string suffix = p.beta == BetaClass::kZero ? "" : "_c";
  if (p.epilogue_id != 0) suffix += fmt::format("_e{:016x}", p.epilogue_id);
  return fmt::format("simt_{}_{}{}_{}x{}x{}_{}x{}_v{}{}{}{}", types, p.a_layout == Layout::kRowMajor ? 'n' : 't',
                     p.b_layout == Layout::kRowMajor ? 'n' : 't', config[kBlockM], config[kBlockN], config[kBlockK],
                     config[kMicroM], config[kMicroN], config[kVectorA], config[kVectorB], config[kVectorD], suffix);
}

/// Named fields, never positions: what a constant means can be read off the source.
std::string RenderText(const GemmProblem& p, const TileConfig& config, std::string_view entry) {
  const bool fused = p.epilogue_id != 0;
  std::string text = "#include \"gemm_simt.cuh\"\n";
  if (fused) text += "#include \"epilogue.cuh\"\n";
  text += "\nstruct Config {\n";
  const auto type = [&](std::string_view name, DType dtype) {
    text += fmt::format("  using {} = {};\n", name, Info(dtype).cuda_type);
  };
  const auto number = [&](std::string_view name, int value) {
    text += fmt::format("  enum : int {{ {} = {} }};\n", name, value);
  };
  const auto flag = [&](std::string_view name, bool value) {
    text += fmt::format("  enum : bool {{ {} = {} }};\n", name, value);
  };
  type("A", p.a_type), type("B", p.b_type), type("D", p.d_type), type("Accumulator", p.acc_type);
  number("kBlockM", config[kBlockM]), number("kBlockN", config[kBlockN]), number("kBlockK", config[kBlockK]);
  number("kMicroM", config[kMicroM]), number("kMicroN", config[kMicroN]);
  flag("kAAlongK", p.a_layout == Layout::kRowMajor), flag("kBAlongK", p.b_layout == Layout::kColMajor);
  number("kVectorA", config[kVectorA]), number("kVectorB", config[kVectorB]), number("kVectorD", config[kVectorD]);
  flag("kReadC", p.beta != BetaClass::kZero);
  text += "};\n\n";
  std::string params = "SimtParams", arguments = "params";
  if (fused) {
    text += CudaText(Epilogue::Find(p.epilogue_id).value().trace(), "Epilogue") + '\n';
    params = "SimtFusedParams";
    arguments =
        fmt::format("params.gemm, gemmsmith::Fused<Epilogue, {}, {}>{{params.epilogue, params.gemm.m, params.gemm.n}}",
                    Info(p.bias_type).cuda_type, Info(p.residual_type).cuda_type);
  }
  text += fmt::format(
      "extern \"C\" __global__ void __launch_bounds__({})\n"
      "{}(const __grid_constant__ gemmsmith::{} params) {{\n"
      "  gemmsmith::SimtGemm<Config>::Run({});\n"
      "}}\n",
      TileOf(config).threads(), entry, params, arguments);
  return text;
}

void Bind(const GemmArgs& args, std::byte* bytes) {
  auto& params = *reinterpret_cast<SimtParams*>(bytes);
  params.a = args.a.data;
  params.b = args.b.data;
  params.c = args.c.data;
  params.d = args.d.data;
  params.alpha = args.alpha.value;
  params.beta = args.beta.value;
  params.alpha_pointer = args.alpha.device_pointer;
  params.beta_pointer = args.beta.device_pointer;
}

void BindFused(const GemmArgs& args, std::byte* bytes) {
  Bind(args, bytes);
  EpilogueParams& params = reinterpret_cast<SimtFusedParams*>(bytes)->epilogue;
  const EpilogueArgs& e = *args.epilogue;
  const auto floats = [](const Tensor& tensor) { return static_cast<const float*>(tensor.data); };
  params.bias = e.bias.data;
  params.bias_m = e.bias_m.data;
  params.residual = e.residual.data;
  params.scale_row = floats(e.scale_row);
  params.scale_column = floats(e.scale_column);
  params.scale_block = floats(e.scale_block);
  params.d_scale_row = floats(e.d_scale_row);
  params.d_scale_column = floats(e.d_scale_column);
  params.d_scale_block = floats(e.d_scale_block);
  const auto maxima = [](const Tensor& tensor) { return static_cast<float*>(tensor.data); };
  params.amax_row = maxima(e.amax_row);
  params.amax_column = maxima(e.amax_column);
  params.amax_block = maxima(e.amax_block);
  params.scalar_pointer = static_cast<const float*>(e.scalar.device_pointer);
  params.d_scale_pointer = static_cast<const float*>(e.d_scale.device_pointer);
  params.scalar = static_cast<float>(e.scalar.value);
  params.d_scale = static_cast<float>(e.d_scale.value);
}

/// The kernel raises maxima from 0 on.
void ClearMaxima(const GemmArgs& args, Device& device, Stream stream) {
  const EpilogueArgs& e = *args.epilogue;
  const auto clear = [&](EpilogueOutput output, const Tensor& tensor) {
    const std::size_t bytes = static_cast<std::size_t>(tensor.size()) * sizeof(float);
    if (e.epilogue.Makes(output)) device.Fill(tensor.data, 0, bytes, stream);
  };
  clear(EpilogueOutput::kAmaxRow, e.amax_row);
  clear(EpilogueOutput::kAmaxColumn, e.amax_column);
  clear(EpilogueOutput::kAmaxBlock, e.amax_block);
}

/// Plain FMA units: runs everything that has no better kernel.
class Simt final : public KernelFamily {
 public:
  std::string_view name() const override { return "simt"; }
  std::span<const ConfigField> fields() const override { return kFields; }
  bool Targets(const CodeTarget& target) const override { return target.isa == Isa::kCuda && target.version >= 75; }

  std::string WhyNot(const GemmProblem& p, const CodeTarget& target) const override {
    if (!Targets(target)) return fmt::format("needs sm_75 or newer, not {}", ToString(target));
    if (std::string reason = WhyNotTypes(p); !reason.empty()) return reason;
    if (p.a_layout == Layout::kPacked || p.b_layout == Layout::kPacked) return "reads no packed operands";
    if (p.d_layout != Layout::kRowMajor) return "writes row-major D only";
    if (p.scaling != Scaling::kNone) return "scales no operands";
    if (p.grouping != Grouping::kNone || p.groups != 1) return "runs no grouped problems";
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
      const double per_sm = std::ceil(CountTiles(problem, tile) * problem.batch / std::max(1, spec.multiprocessors));
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
    SimtParams params{};
    params.m = p.m, params.n = p.n, params.k = p.k, params.batch = p.batch;
    params.lda = p.lda, params.ldb = p.ldb, params.ldc = p.ldc, params.ldd = p.ldd;
    params.batch_stride_a = p.batch_stride_a, params.batch_stride_b = p.batch_stride_b;
    params.batch_stride_c = p.batch_stride_c, params.batch_stride_d = p.batch_stride_d;
    LaunchStep step;
    step.grid.x = static_cast<std::uint32_t>(CountTiles(p, tile));
    step.grid.z = static_cast<std::uint32_t>(std::clamp<std::int64_t>(p.batch, 1, kMaxGridZ));
    step.block.x = static_cast<std::uint32_t>(tile.threads());
    step.SetParams(params);
    step.bind = Bind;
    if (p.epilogue_id != 0) {
      SimtFusedParams fused{params, {}};
      fused.epilogue.ld_residual = p.ld_residual;
      fused.epilogue.batch_stride_residual = p.batch_stride_residual;
      step.SetParams(fused);
      step.bind = BindFused;
      if (Epilogue::Find(p.epilogue_id).value().trace().pattern() == OpPattern::kReduction) step.prepare = ClearMaxima;
    }
    return step;
  }
};

}  // namespace

const KernelFamily& SimtFamily() {
  static const Simt family;
  return family;
}

}  // namespace gemmsmith
