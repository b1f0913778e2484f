#include "kernels/cpu_family.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "util/log.h"

namespace gemmsmith {
namespace {

enum Field { kMr, kNr, kMTail, kNTail, kMc, kNc, kKc, kThreads, kPath };
constexpr ConfigField kFields[] = {{"mr", true},  {"nr", true},  {"m_tail", true},   {"n_tail", true}, {"mc", false},
                                   {"nc", false}, {"kc", false}, {"threads", false}, {"path", false}};

// Below it, handing work to a thread, even one that is awake, costs more than the thread does. In multiply-adds.
constexpr double kWorthAThread = 1e5;
// This many tiles of rows gain little from a B that was packed.
constexpr int kFewTiles = 6;
// Rows up to which B is better read where it is: with A in place, with a copy of A, by dot products.
constexpr std::int64_t kDirectRows = 8, kCopyRows = 64, kDotRows = 16;
constexpr std::int64_t kDotK = 64;        // Adding up the lanes of shorter dot products takes too long.
constexpr std::int64_t kDotBlock = 4096;  // Of k: four columns of B fit L2 several times.
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
double Cycles(const GemmProblem& problem, std::int64_t mr, std::int64_t nr, std::int64_t lanes) {
  const auto vectors = [&](std::int64_t columns) { return DivideUp(columns, lanes); };
  const std::int64_t m = problem.m / mr, n = problem.n / nr, m_tail = problem.m % mr, n_tail = problem.n % nr;
  const auto tiles = static_cast<double>(DivideUp(problem.m, mr) * DivideUp(problem.n, nr));
  const auto k = static_cast<double>(std::max<std::int64_t>(problem.k, 1));
  constexpr double kTileCycles = 20;
  return m * n * StepCycles(mr, vectors(nr)) + n * StepCycles(m_tail, vectors(nr)) +
         m * StepCycles(mr, vectors(n_tail)) + StepCycles(m_tail, vectors(n_tail)) + tiles * kTileCycles / k;
}

/// A and B fit L2, or nearly.
bool IsSmall(const GemmProblem& problem, const DeviceSpec& spec) {
  const auto size = static_cast<std::int64_t>(SizeOf(problem.a_type));
  return (problem.m * problem.k + problem.k * problem.n) * size <= 2 * spec.l2_bytes;
}

/// A single column, contiguous, is computed as a single row.
bool IsColumn(const GemmProblem& p) {
  const bool contiguous = p.ldd == 1 && (p.ldc == 1 || p.beta == BetaClass::kZero);
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
  std::swap(row.lda, row.ldb);
  std::swap(row.batch_stride_a, row.batch_stride_b);
  row.a_layout = transposed(problem.b_layout);
  row.b_layout = transposed(problem.a_layout);
  row.ldc = row.ldd = row.n;
  return row;
}

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
  const std::pair<const char*, DType> types[] = {{"a", p.a_type}, {"b", p.b_type}, {"c", p.c_type}, {"d", p.d_type}};
  for (const auto& [operand, dtype] : types) {
    if (dtype != DType::kF32 && dtype != DType::kF64)
      return fmt::format("{}: computes f32 and f64 only; {} is {}", name(), operand, ToString(dtype));
    if (dtype != p.a_type)
      return fmt::format("{}: all operands are of one dtype; a is {}, {} is {}", name(), ToString(p.a_type), operand,
                         ToString(dtype));
  }
  if (p.acc_type != p.a_type)
    return fmt::format("{}: sums {} in {} only, not in {}", name(), ToString(p.a_type), ToString(p.a_type),
                       ToString(p.acc_type));
  if (p.a_layout == Layout::kPacked) return fmt::format("{}: only b may be packed", name());
  if (p.scaling != Scaling::kNone) return fmt::format("{}: has no scaled operands", name());
  if (p.grouping != Grouping::kNone) return fmt::format("{}: has no grouped GEMM", name());
  if (p.epilogue_id != 0) return fmt::format("{}: has no epilogues", name());
  return {};
}

/// Ways to run `problem`, the best first.
std::vector<CpuPath> CpuFamily::RankPaths(const GemmProblem& problem, const CodeTarget& target,
                                          const DeviceSpec& spec) const {
  const bool small = IsSmall(problem, spec);
  const bool few = problem.m <= kFewTiles * Tiles(target)[0].rows;
  switch (problem.b_layout) {
    case Layout::kPacked:
      if (small || few) return {CpuPath::kDirect, CpuPath::kPacked};
      return {CpuPath::kPacked, CpuPath::kDirect};
    case Layout::kColMajor:
      if (DotRows(target) == 0) return {CpuPath::kPacked};
      if (problem.m <= kDotRows && problem.k >= kDotK) return {CpuPath::kDots, CpuPath::kPacked};
      return {CpuPath::kPacked, CpuPath::kDots};
    default:
      if (small) return {CpuPath::kDirect, CpuPath::kPacked};
      if (problem.m <= kDirectRows) return {CpuPath::kDirect, CpuPath::kPacked};
      if (problem.m <= kCopyRows) return {CpuPath::kStream, CpuPath::kPacked};
      return {CpuPath::kPacked, CpuPath::kStream};
  }
}

/// Tiles of every width, with rows that cut m evenly, fewest cycles first; the first of Tiles() unless clearly worse.
std::vector<CpuFamily::Tile> CpuFamily::RankTiles(const GemmProblem& problem, const CodeTarget& target,
                                                  CpuPath path) const {
  if (path == CpuPath::kDots) {
    const std::int64_t tiles = std::max<std::int64_t>(1, DivideUp(problem.m, DotRows(target)));
    return {{static_cast<int>(std::max<std::int64_t>(1, DivideUp(problem.m, tiles))), kDotColumns}};
  }
  const std::int64_t lanes = VectorBytes(target) / static_cast<std::int64_t>(SizeOf(problem.a_type));
  std::vector<std::pair<double, Tile>> ranked;
  for (Tile tile : Tiles(target)) {
    const double bonus = ranked.empty() ? 0.97 : 1;
    if (FitsRows() && problem.m > 0) {
      const std::int64_t tiles = DivideUp(problem.m, tile.rows);
      if (tiles <= 8) tile.rows = static_cast<int>(DivideUp(problem.m, tiles));
    }
    ranked.emplace_back(bonus * Cycles(problem, tile.rows, tile.vectors * lanes, lanes), tile);
    if (problem.b_layout == Layout::kPacked) break;
  }
  std::stable_sort(ranked.begin(), ranked.end(), [](const auto& x, const auto& y) { return x.first < y.first; });
  std::vector<Tile> tiles;
  for (const auto& [cycles, tile] : ranked) tiles.push_back(tile);
  return tiles;
}

TileConfig CpuFamily::MakeConfig(const GemmProblem& problem, const CodeTarget& target, const DeviceSpec& spec,
                                 Tile tile, int threads, CpuPath path) const {
  const auto size = static_cast<std::int64_t>(SizeOf(problem.a_type));
  const bool dots = path == CpuPath::kDots;
  const std::int64_t lanes = VectorBytes(target) / size, nr = dots ? tile.vectors : tile.vectors * lanes;
  // A block of A takes three eighths of L2, two panels of B a quarter; a block of B has a share of L3. A longer kc
  // saves passes over D, which cost more than panels of B that L1 does not hold.
  std::int64_t kc = std::clamp<std::int64_t>(RoundDown(spec.l2_bytes / 8 / (nr * size), 8), 128, 512);
  const std::int64_t mc = RoundDown(spec.l2_bytes * 3 / 8 / (kc * size), tile.rows);
  std::int64_t nc = RoundDown(std::clamp<std::int64_t>(spec.l3_bytes / 4, 2 << 20, 8 << 20) / (kc * size), nr);
  // In place, whatever is kept of D between blocks of k stays in L2.
  const std::int64_t rows = std::max<std::int64_t>(1, problem.m), d_columns = spec.l2_bytes / 2 / (rows * size);
  if (path == CpuPath::kStream) {
    kc = 256;
    nc = RoundDown(d_columns, nr);
  } else if (dots) {
    kc = RoundUp(std::clamp<std::int64_t>(problem.k, 1, kDotBlock), 16);
    nc = RoundDown(d_columns, nr);
  } else if (path == CpuPath::kDirect) {
    const bool streams = problem.b_layout != Layout::kPacked && !IsSmall(problem, spec);
    if (streams) kc = kStreamRows;
    nc = streams ? RoundDown(d_columns, nr) : RoundUp(std::max<std::int64_t>(1, problem.n), nr);
  }

  TileConfig config;
  config.family = name();
  config.fields = kFields;
  const auto set = [&](Field field, std::int64_t value) { config[field] = static_cast<std::int32_t>(value); };
  set(kMr, tile.rows);
  set(kNr, nr);
  set(kMTail, problem.m % tile.rows);
  set(kNTail, dots && problem.n % nr != 0 ? nr : DivideUp(problem.n % nr, lanes) * lanes);
  set(kMc, mc);
  set(kNc, nc);
  set(kKc, kc);
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
  const std::int64_t vectors =
      dots ? nr : std::max<std::int64_t>(1, nr * static_cast<std::int64_t>(SizeOf(problem.a_type)) / 64);
  shape.issue_efficiency = mr * vectors / 2.0 / StepCycles(mr, vectors);
  if (static_cast<CpuPath>(config[kPath]) == CpuPath::kPacked) {
    const double b = problem.b_layout == Layout::kPacked ? 0 : static_cast<double>(problem.k) * problem.n;
    const auto size = static_cast<double>(SizeOf(problem.a_type));
    shape.packed_bytes = 2 * size * problem.batch * (static_cast<double>(problem.m) * problem.k + b);
  }
  return shape;
}

KernelSource CpuFamily::Render(const GemmProblem& problem, const TileConfig& config, const CodeTarget& target,
                               const CompileOptions&) const {
  const bool dots = static_cast<CpuPath>(config[kPath]) == CpuPath::kDots;
  const MicroKernelRecipe recipe{problem.a_type, config[kMr], config[kNr], config[kMTail], config[kNTail], dots};
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
  p.dtype = problem.a_type;
  p.path = static_cast<CpuPath>(config[kPath]);
  p.packed_b = problem.b_layout == Layout::kPacked;

  LaunchStep step;
  step.SetParams(p);
  step.bind = IsColumn(asked) ? BindColumn : Bind;
  return step;
}

std::int64_t CpuFamily::PackedPanel(DType dtype, const CodeTarget& target) const {
  if (!Targets(target) || (dtype != DType::kF32 && dtype != DType::kF64)) return 0;
  return Tiles(target)[0].vectors * VectorBytes(target) / static_cast<std::int64_t>(SizeOf(dtype));
}

}  // namespace gemmsmith
