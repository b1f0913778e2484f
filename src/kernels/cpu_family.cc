#include "kernels/cpu_family.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <utility>

#include "util/log.h"

namespace gemmsmith {
namespace {

enum Field { kMr, kNr, kMTail, kNTail, kMath, kMc, kNc, kKc, kThreads, kPath };
constexpr ConfigField kFields[] = {{"mr", true},  {"nr", true},  {"m_tail", true}, {"n_tail", true},   {"math", true},
                                   {"mc", false}, {"nc", false}, {"kc", false},    {"threads", false}, {"path", false}};

// Below it, handing work to a thread, even one that is awake, costs more than the thread does. In multiply-adds.
constexpr double kWorthAThread = 1e5;
// This many tiles of rows gain little from a B that was packed.
constexpr int kFewTiles = 6;
// Rows up to which B is better read where it is: with A in place, with a copy of A, by dot products.
constexpr std::int64_t kDirectRows = 8, kCopyRows = 64, kDotRows = 16;
constexpr std::int64_t kJoinRows = 16;        // With more, units of B are better made once.
constexpr int kMostJoinRows = 20;             // Of a tile: more leave no registers for the rows of B.
constexpr std::int64_t kDotK = 64;            // Adding up the lanes of shorter dot products takes too long.
constexpr std::int64_t kSumsBytes = 4 << 20;  // Of sums kept apart from D: a part of L3.
constexpr std::int64_t kFewRowsSteps = 64;    // Of k, in a block of B that is packed for few rows of A.
constexpr std::int64_t kDotBlock = 4096;      // Of k: four columns of B fit L2 several times.
// Share of the issue rate that dot products keep: both factors come from the caches.
constexpr double kDotEfficiency = 0.85;
// So many rows of B are read at once: as many as the hardware follows, and as L1 holds where they are some power of 2
// apart.
constexpr std::int64_t kStreamRows = 8;

// FMA latency (cycles) of all CPUs since Skylake and Zen: fewer accumulators than twice that leave the units waiting.
constexpr double kFmaLatency = 4;

std::int64_t DivideUp(std::int64_t x, std::int64_t y) { return (x + y - 1) / y; }
std::int64_t RoundUp(std::int64_t x, std::int64_t granule) { return DivideUp(x, granule) * granule; }
std::int64_t RoundDown(std::int64_t x, std::int64_t granule) { return std::max(x / granule * granule, granule); }

/// Cycles of one step of k: products at two per cycle, loads at two per cycle, or the latency of the sums.
double StepCycles(std::int64_t rows, std::int64_t vectors) {
  if (rows == 0 || vectors == 0) return 0;
  return std::max({rows * vectors / 2.0, (rows + vectors) / 2.0, kFmaLatency});
}

/// Cycles of one step of k over all tiles, plus what each tile costs besides.
double Cycles(const GemmProblem& problem, std::int64_t steps, std::int64_t mr, std::int64_t nr, std::int64_t lanes) {
  const auto vectors = [&](std::int64_t columns) { return DivideUp(columns, lanes); };
  const std::int64_t m = problem.m / mr, n = problem.n / nr, m_tail = problem.m % mr, n_tail = problem.n % nr;
  const auto tiles = static_cast<double>(DivideUp(problem.m, mr) * DivideUp(problem.n, nr));
  const auto k = static_cast<double>(std::max<std::int64_t>(steps, 1));
  constexpr double kTileCycles = 20;
  return m * n * StepCycles(mr, vectors(nr)) + n * StepCycles(m_tail, vectors(nr)) +
         m * StepCycles(mr, vectors(n_tail)) + StepCycles(m_tail, vectors(n_tail)) + tiles * kTileCycles / k;
}

/// A and B fit L2, or nearly.
bool IsSmall(const GemmProblem& problem, const DeviceSpec& spec) {
  const auto a = static_cast<std::int64_t>(SizeOf(problem.a_type)),
             b = static_cast<std::int64_t>(SizeOf(problem.b_type));
  return problem.m * problem.k * a + problem.k * problem.n * b <= 2 * spec.l2_bytes;
}

/// The type of sums of such products; none: they are not multiplied.
std::optional<DType> SumOf(DType a, DType b) {
  const auto is_float = [](DType t) { return t == DType::kF32 || t == DType::kF16 || t == DType::kBf16; };
  const auto is_byte = [](DType t) { return t == DType::kS8 || t == DType::kU8; };
  if (a == DType::kF64 && b == DType::kF64) return DType::kF64;
  if (is_float(a) && is_float(b)) return DType::kF32;
  if (is_byte(a) && is_byte(b)) return DType::kS32;
  return {};
}
/// Whether kernels convert such sums to D's type.
bool CanStore(DType sum, DType d) { return d == sum; }

/// A has the other signedness than the math wants.
bool FlipsA(const GemmProblem& problem, CpuMath math) {
  return (math == CpuMath::kU8S8 && problem.a_type == DType::kS8) ||
         (math == CpuMath::kS8U8 && problem.a_type == DType::kU8);
}
/// Whether D cannot hold the sums of blocks of k.
bool KeepsSumsApart(const GemmProblem& problem, CpuMath math) {
  return problem.epilogue_id != 0 || problem.d_type != Info(math).sum;
}
/// Whether elements stored as `dtype` are what the math multiplies.
bool IsNative(DType dtype, CpuMath math) {
  switch (math) {
    case CpuMath::kF32:
      return dtype == DType::kF32;
    case CpuMath::kS16:
      return false;
    default:
      return true;
  }
}
/// Whether micro-kernels can read A where it is: without conversion, in whole units.
bool ReadsA(const GemmProblem& problem, CpuMath math) {
  const int group = Info(math).group;
  const bool whole = group == 1 || (problem.a_layout == Layout::kRowMajor && problem.k % group == 0);
  return IsNative(problem.a_type, math) && !FlipsA(problem, math) && whole;
}
/// Likewise B: its tiles, or its columns for dot products.
bool ReadsB(const GemmProblem& problem, CpuMath math) {
  if (problem.b_layout == Layout::kPacked) return true;
  return IsNative(problem.b_type, math) && (problem.b_layout == Layout::kColMajor || problem.k % Info(math).group == 0);
}

/// Micro-kernels make units of several rows of B. Large ones would do so again for each tile of rows.
bool JoinsB(const GemmProblem& problem, CpuMath math, CpuPath path) {
  const bool in_place = path == CpuPath::kDirect || path == CpuPath::kStream;
  return in_place && problem.b_layout == Layout::kRowMajor && Info(math).group > 1;
}

/// A single column, contiguous, is computed as a single row.
bool IsColumn(const GemmProblem& p) {
  const bool contiguous = p.epilogue_id == 0 && p.ldd == 1 && (p.ldc == 1 || p.beta == BetaClass::kZero);
  return p.n == 1 && p.m > 1 && contiguous && p.b_layout != Layout::kPacked;
}
/// The problem as it is computed: D^T = B^T * A^T for a single column.
GemmProblem Oriented(const GemmProblem& problem) {
  if (!IsColumn(problem)) return problem;
  const auto transposed = [](Layout layout) {
    return layout == Layout::kColMajor ? Layout::kRowMajor : Layout::kColMajor;
  };
  GemmProblem row = problem;
  std::swap(row.m, row.n);
  std::swap(row.a_type, row.b_type);
  std::swap(row.lda, row.ldb);
  std::swap(row.batch_stride_a, row.batch_stride_b);
  row.a_layout = transposed(problem.b_layout);
  row.b_layout = transposed(problem.a_layout);
  row.ldc = row.ldd = row.n;
  return row;
}

CpuMath ConfiguredMath(const TileConfig& config) { return static_cast<CpuMath>(config[kMath]); }

void Bind(const GemmArgs& args, std::byte* bytes) {
  CpuGemmParams& p = *reinterpret_cast<CpuGemmParams*>(bytes);
  p.a = args.a.data;
  p.b = args.b.data;
  p.c = args.c.data;
  p.d = args.d.data;
  if (!args.c.given()) {
    p.c = p.d;
    p.c_row = p.d_row;
    p.batch_c = p.batch_d;
  }
  p.alpha = args.alpha.value;
  p.beta = args.beta.value;
  p.alpha_pointer = args.alpha.device_pointer;
  p.beta_pointer = args.beta.device_pointer;
}
void BindColumn(const GemmArgs& args, std::byte* bytes) {
  Bind(args, bytes);
  CpuGemmParams& p = *reinterpret_cast<CpuGemmParams*>(bytes);
  std::swap(p.a, p.b);
}

}  // namespace

std::span<const ConfigField> CpuFamily::fields() const { return kFields; }

std::string CpuFamily::WhyNot(const GemmProblem& p, const CodeTarget& target) const {
  if (!Targets(target)) return fmt::format("{}: makes no code for {}", name(), ToString(target));
  const std::optional<DType> sum = SumOf(p.a_type, p.b_type);
  if (!sum)
    return fmt::format(
        "{}: multiplies f64, or any of f32, f16, bf16, or 8-bit integers, with each other; a is {}, b {}", name(),
        ToString(p.a_type), ToString(p.b_type));
  if (p.acc_type != *sum)
    return fmt::format("{}: sums {} in {} only, not in {}", name(), ToString(p.a_type), ToString(*sum),
                       ToString(p.acc_type));
  if (!CanStore(*sum, p.d_type) || p.c_type != p.d_type)
    return fmt::format("{}: stores no {} sums as {}, with {} for c", name(), ToString(*sum), ToString(p.d_type),
                       ToString(p.c_type));
  const CpuMath packed_as = MathOf(p.b_type, p.b_type, target);
  if (p.b_layout == Layout::kPacked && MathOf(p.a_type, p.b_type, target) != packed_as)
    return fmt::format("{}: b was packed as {}, for an a of the same dtype; a is {}", name(), Info(packed_as).name,
                       ToString(p.a_type));
  if (p.a_layout == Layout::kPacked) return fmt::format("{}: only b may be packed", name());
  if (p.scaling != Scaling::kNone) return fmt::format("{}: has no scaled operands", name());
  if (p.grouping != Grouping::kNone) return fmt::format("{}: has no grouped GEMM", name());
  if (p.epilogue_id != 0) return fmt::format("{}: has no epilogues", name());
  return {};
}

/// Ways to run `problem`, the best first.
std::vector<CpuPath> CpuFamily::RankPaths(const GemmProblem& problem, const CodeTarget& target,
                                          const DeviceSpec& spec) const {
  const CpuMath math = MathOf(problem.a_type, problem.b_type, target);
  const bool small = IsSmall(problem, spec), reads_a = ReadsA(problem, math);
  const bool few = problem.m <= kFewTiles * Tiles(target, math)[0].rows;
  const CpuPath in_place = reads_a ? CpuPath::kDirect : CpuPath::kStream;
  if (!ReadsB(problem, math)) return {CpuPath::kPacked};
  switch (problem.b_layout) {
    case Layout::kPacked:
      if (small || few) return {in_place, CpuPath::kPacked};
      return {CpuPath::kPacked, in_place};
    case Layout::kColMajor:
      if (DotRows(target) == 0 || !IsNative(problem.a_type, math)) return {CpuPath::kPacked};
      if (problem.m <= kDotRows && problem.k >= kDotK) return {CpuPath::kDots, CpuPath::kPacked};
      return {CpuPath::kPacked, CpuPath::kDots};
    default:
      if (JoinsB(problem, math, in_place))
        return problem.m <= kJoinRows ? std::vector{in_place, CpuPath::kPacked} : std::vector{CpuPath::kPacked};
      if (small) return {in_place, CpuPath::kPacked};
      if (problem.m <= kDirectRows) return {in_place, CpuPath::kPacked};
      if (problem.m <= kCopyRows) return {CpuPath::kStream, CpuPath::kPacked};
      return {CpuPath::kPacked, CpuPath::kStream};
  }
}

/// Tiles of every width, with rows that cut m evenly, fewest cycles first; the first of Tiles() unless clearly worse.
std::vector<CpuFamily::Tile> CpuFamily::RankTiles(const GemmProblem& problem, const CodeTarget& target,
                                                  CpuPath path) const {
  const CpuMath math = MathOf(problem.a_type, problem.b_type, target);
  if (path == CpuPath::kDots) {
    // Sums of B's columns take the registers of a row.
    const int most = DotRows(target) - (FlipsA(problem, math) ? 1 : 0);
    const std::int64_t tiles = std::max<std::int64_t>(1, DivideUp(problem.m, most));
    return {{static_cast<int>(std::max<std::int64_t>(1, DivideUp(problem.m, tiles))), kDotColumns}};
  }
  const std::int64_t lanes = VectorBytes(target) / Info(math).unit_bytes, steps = DivideUp(problem.k, Info(math).group);
  std::vector<std::pair<double, Tile>> ranked;
  for (Tile tile : Tiles(target, math)) {
    const double bonus = ranked.empty() ? 0.97 : 1;
    if (FitsRows() && problem.m > 0) {
      const std::int64_t tiles = DivideUp(problem.m, tile.rows);
      if (tiles <= 8) tile.rows = static_cast<int>(DivideUp(problem.m, tiles));
    }
    if (JoinsB(problem, math, path)) {
      const int flips = FlipsA(problem, math) ? 1 : 0, free = 31 - (Info(math).group == 4 ? 2 : 0) - flips;
      tile.rows = std::min(tile.rows, kMostJoinRows);
      tile.vectors = std::min(tile.vectors, free / (tile.rows + 1 + flips));
    }
    ranked.emplace_back(bonus * Cycles(problem, steps, tile.rows, tile.vectors * lanes, lanes), tile);
    if (problem.b_layout == Layout::kPacked) break;
  }
  std::stable_sort(ranked.begin(), ranked.end(), [](const auto& x, const auto& y) { return x.first < y.first; });
  std::vector<Tile> tiles;
  for (const auto& [cycles, tile] : ranked) tiles.push_back(tile);
  return tiles;
}

TileConfig CpuFamily::MakeConfig(const GemmProblem& problem, const CodeTarget& target, const DeviceSpec& spec,
                                 Tile tile, int threads, CpuPath path) const {
  const CpuMath math = MathOf(problem.a_type, problem.b_type, target);
  const std::int64_t unit = Info(math).unit_bytes, group = Info(math).group;
  const DType sum = Info(math).sum;
  const bool dots = path == CpuPath::kDots;
  const std::int64_t lanes = VectorBytes(target) / unit, nr = dots ? tile.vectors : tile.vectors * lanes;
  const std::int64_t steps = DivideUp(problem.k, group);
  // A block of A takes three eighths of L2, two panels of B a quarter; a block of B has a share of L3. A longer kc
  // saves passes over D, which cost more than panels of B that L1 does not hold.
  std::int64_t kc = std::clamp<std::int64_t>(RoundDown(spec.l2_bytes / 8 / (nr * unit), 8), 128, 512);
  const std::int64_t mc = RoundDown(spec.l2_bytes * 3 / 8 / (kc * unit), tile.rows);
  std::int64_t nc = RoundDown(std::clamp<std::int64_t>(spec.l3_bytes / 4, 2 << 20, 8 << 20) / (kc * unit), nr);
  // In place, whatever is kept of D between blocks of k stays in L2.
  const std::int64_t rows = std::max<std::int64_t>(1, problem.m);
  const std::int64_t d_columns = spec.l2_bytes / 2 / (rows * static_cast<std::int64_t>(SizeOf(sum)));
  if (path == CpuPath::kStream) {
    kc = 256;
    nc = RoundDown(d_columns, nr);
  } else if (dots) {
    kc = RoundUp(std::clamp<std::int64_t>(steps, 1, kDotBlock), 16);
    nc = RoundDown(d_columns, nr);
  } else if (path == CpuPath::kDirect) {
    const bool streams = problem.b_layout != Layout::kPacked && !IsSmall(problem, spec);
    if (streams) kc = kStreamRows;
    nc = streams ? RoundDown(d_columns, nr) : RoundUp(std::max<std::int64_t>(1, problem.n), nr);
  } else if (problem.b_layout == Layout::kRowMajor && rows <= kFewTiles * tile.rows) {
    // B is read once: packed into half of L2, from long runs of few rows, and multiplied there.
    kc = kFewRowsSteps;
    nc = RoundDown(spec.l2_bytes / 2 / (kc * unit), nr);
  } else if (KeepsSumsApart(problem, math) && steps > kc) {
    nc = std::clamp(RoundDown(kSumsBytes / (rows * static_cast<std::int64_t>(SizeOf(sum))), nr), nr, nc);
  }

  TileConfig config;
  config.family = name();
  config.fields = kFields;
  const auto set = [&](Field field, std::int64_t value) { config[field] = static_cast<std::int32_t>(value); };
  set(kMr, tile.rows);
  set(kNr, nr);
  set(kMTail, problem.m % tile.rows);
  set(kNTail, dots && problem.n % nr != 0 ? nr : DivideUp(problem.n % nr, lanes) * lanes);
  set(kMath, static_cast<int>(math));
  set(kMc, mc);
  set(kNc, nc);
  set(kKc, kc * group);
  set(kThreads, threads);
  set(kPath, static_cast<int>(path));
  return config;
}

std::vector<TileConfig> CpuFamily::Candidates(const GemmProblem& asked, const CodeTarget& target,
                                              const DeviceSpec& spec) const {
  const GemmProblem problem = Oriented(asked);
  const std::vector<CpuPath> paths = RankPaths(problem, target, spec);
  const std::vector<Tile> tiles = RankTiles(problem, target, paths[0]);
  const double worth = problem.flops() / 2 / kWorthAThread;
  const int threads = std::max(1, static_cast<int>(std::min<double>(spec.multiprocessors, worth)));
  std::vector<TileConfig> configs;
  const auto add = [&](Tile tile, int count, CpuPath path) {
    configs.push_back(MakeConfig(problem, target, spec, tile, count, path));
  };
  add(tiles[0], threads, paths[0]);
  if (threads > 1) add(tiles[0], 1, paths[0]);
  if (threads < spec.multiprocessors && worth > 0.25)
    add(tiles[0], std::min(spec.multiprocessors, 2 * threads), paths[0]);
  if (paths.size() > 1) add(RankTiles(problem, target, paths[1])[0], threads, paths[1]);
  if (tiles.size() > 1) add(tiles[1], threads, paths[0]);
  configs.push_back(configs[0]);
  configs.back()[kKc] *= 2;
  configs.back()[kMc] = static_cast<std::int32_t>(RoundDown(configs[0][kMc] / 2, tiles[0].rows));
  return configs;
}

TileShape CpuFamily::Shape(const GemmProblem& asked, const TileConfig& config, const DeviceSpec&) const {
  const GemmProblem problem = Oriented(asked);
  TileShape shape;
  shape.workers = config[kThreads];
  shape.micro_m = config[kMr];
  shape.micro_n = config[kNr];
  // Threads split the longer side.
  const std::int64_t mr = config[kMr], nr = config[kNr], workers = std::max(1, shape.workers);
  const bool by_rows = problem.m >= problem.n;
  shape.block_m = by_rows ? DivideUp(DivideUp(problem.m, mr), workers) * mr : problem.m;
  shape.block_n = by_rows ? problem.n : DivideUp(DivideUp(problem.n, nr), workers) * nr;
  const bool dots = static_cast<CpuPath>(config[kPath]) == CpuPath::kDots;
  const std::int64_t vectors = dots ? nr : std::max<std::int64_t>(1, nr * Info(ConfiguredMath(config)).unit_bytes / 64);
  shape.issue_efficiency = mr * vectors / 2.0 / StepCycles(mr, vectors);
  if (dots) shape.issue_efficiency *= kDotEfficiency;
  if (static_cast<CpuPath>(config[kPath]) == CpuPath::kPacked) {
    const double b = problem.b_layout == Layout::kPacked ? 0 : static_cast<double>(problem.k) * problem.n;
    const double part =
        Info(ConfiguredMath(config)).unit_bytes / static_cast<double>(Info(ConfiguredMath(config)).group);
    shape.packed_bytes = 2 * part * problem.batch * (static_cast<double>(problem.m) * problem.k + b);
  }
  return shape;
}

KernelSource CpuFamily::Render(const GemmProblem& asked, const TileConfig& config, const CodeTarget& target,
                               const CompileOptions&) const {
  const GemmProblem problem = Oriented(asked);
  const bool dots = static_cast<CpuPath>(config[kPath]) == CpuPath::kDots;
  MicroKernelRecipe recipe;
  recipe.math = ConfiguredMath(config);
  recipe.d_type = problem.d_type;
  recipe.bias_type = problem.bias_type;
  recipe.residual_type = problem.residual_type;
  recipe.mr = config[kMr];
  recipe.nr = config[kNr];
  recipe.m_tail = config[kMTail];
  recipe.n_tail = config[kNTail];
  recipe.dots = dots ? 1 : 0;
  recipe.joins = JoinsB(problem, recipe.math, static_cast<CpuPath>(config[kPath])) ? 1 : 0;
  recipe.starts = FlipsA(problem, recipe.math) ? 1 : 0;
  recipe.epilogue_id = problem.epilogue_id;
  KernelSource source;  // With default options: none of them changes this code.
  source.name = fmt::format("{}_gemm_{}_{}x{}", name(), ToString(problem.a_type), recipe.mr, recipe.nr);
  source.target = target;
  source.text = ToString(recipe);
  source.entry = "gemm";
  source.config = config;
  return source;
}

LaunchStep CpuFamily::MakeLaunch(const GemmProblem& asked, const TileConfig& config) const {
  const GemmProblem problem = Oriented(asked);
  const auto strides = [](Layout layout, std::int64_t ld, std::int64_t& row, std::int64_t& column) {
    row = layout == Layout::kColMajor ? 1 : ld;
    column = layout == Layout::kColMajor ? ld : 1;
  };
  CpuGemmParams p{};
  p.m = problem.m;
  p.n = problem.n;
  p.k = problem.k;
  p.batch = problem.batch;
  strides(problem.a_layout, problem.lda, p.a_row, p.a_col);
  strides(problem.b_layout, problem.ldb, p.b_row, p.b_col);
  p.c_row = problem.ldc;
  p.d_row = problem.ldd;
  p.batch_a = problem.batch_stride_a;
  p.batch_b = problem.batch_stride_b;
  p.batch_c = problem.batch_stride_c;
  p.batch_d = problem.batch_stride_d;
  p.mr = config[kMr];
  p.nr = config[kNr];
  p.mc = config[kMc];
  p.nc = config[kNc];
  p.kc = config[kKc];
  p.threads = config[kThreads];
  p.math = ConfiguredMath(config);
  p.path = static_cast<CpuPath>(config[kPath]);
  p.a_type = problem.a_type;
  p.b_type = problem.b_type;
  p.d_type = problem.d_type;
  p.packed_b = problem.b_layout == Layout::kPacked;
  p.flips_a = FlipsA(problem, p.math);
  p.sums_apart = KeepsSumsApart(problem, p.math);
  p.columns_per_d = 1;

  LaunchStep step;
  step.SetParams(p);
  step.bind = IsColumn(asked) ? BindColumn : Bind;
  return step;
}

PackedForm CpuFamily::Packed(DType dtype, const CodeTarget& target) const {
  if (!Targets(target) || !SumOf(dtype, dtype)) return {};
  const CpuMath math = MathOf(dtype, dtype, target);
  return {Tiles(target, math)[0].vectors * VectorBytes(target) / Info(math).unit_bytes, math};
}

}  // namespace gemmsmith
