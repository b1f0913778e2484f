#include "kernels/cpu_family.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <optional>
#include <utility>

#include "gemmsmith/epilogue.h"
#include "kernels/cpu_binding.h"
#include "kernels/cpu_blocks.h"
#include "kernels/cpu_cycles.h"
#include "kernels/cpu_traits.h"
#include "util/log.h"

namespace gemmsmith {
namespace {

enum Field { kMr, kNr, kMTail, kNTail, kTailSteps, kMath, kFetch, kFar, kMc, kNc, kKc, kThreads, kPath };
constexpr ConfigField kFields[] = {{"mr", true, /*follows=*/true},  // From nr and m.
                                   {"nr", true},
                                   {"m_tail", true, /*follows=*/true},
                                   {"n_tail", true, /*follows=*/true},
                                   {"tail_steps", true, /*follows=*/true},
                                   {"math", true},
                                   {"fetch", true, /*follows=*/true},
                                   {"far", true, /*follows=*/true},
                                   {"mc", false, /*follows=*/true},
                                   {"nc", false, /*follows=*/true},
                                   {"kc", false, /*follows=*/true},
                                   {"threads", false},
                                   {"path", false}};

// Below it, handing work to a thread, even one that is awake, costs more than the thread does. In multiply-adds.
constexpr double kWorthAThread = 1e5;
// Dot products are for so few tiles of rows of a column-major B; or for so few columns of a row-major one, and more
// rows.
constexpr std::int64_t kDotTiles = 16, kDotLeastRows = 16;
constexpr std::int64_t kPanelTiles = 24;  // Of rows; fewer do not make up for waiting until memory has brought a panel.
constexpr std::int64_t kJoinRows = 16;    // With more, units of a B in a cache are better made once.
constexpr std::int64_t kKeptRows = 256;   // With more, B is better packed beforehand.
// Of a tile: more leave no registers for the rows of B; or for where units of it are kept.
constexpr int kMostJoinRows = 20, kMostKeepRows = 15;
constexpr int kRegisters = 32;                   // Of instruction sets that join.
constexpr std::int64_t kKeptVectors = 4;         // Of such a tile: rows of B are read whole lines at a time.
constexpr int kCollidingRows = 10;               // Of A in a tile: more would not stay in L1.
constexpr std::int64_t kManyColumns = 256;       // Of D: all threads have many tiles of dot products.
constexpr std::int64_t kDotK = 64;               // Adding up the lanes of shorter dot products takes too long.
constexpr double kUnpackedEfficiency = 0.85;     // Of a B in place that is worth packing.
constexpr double kPackedB = 0.25, kJoinedB = 1;  // Of the cost of packing it: that is done while products are taken.
// Of dot products: rows' worth of time that loading B's vectors takes in a tile; and cycles in which the lanes of a sum
// are added up, for each block of k.
constexpr double kDotLoads = 0.4, kDotSumCycles = 2.4;

// For each vector of B and tile of rows that reads it; with more tiles, memory has kept pace.
constexpr double kReadCycles = 0.3;
constexpr std::int64_t kCostlyReads = 3;
// A panel of B larger than this comes from L2 for each tile of rows, a vector in so many cycles.
constexpr std::int64_t kNearPanel = 40 << 10, kVectorBytes = 64;
constexpr double kFarVectorCycles = 2.2;

/// What one instruction multiplies in each lane.
double ProductsOfLane(CpuMath math) { return math == CpuMath::kS16 ? 1 : Info(math).group; }  // Adding them is another.

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
bool CanStore(DType sum, DType d) { return d == sum || (sum != DType::kF64 && d != DType::kF64 && d != DType::kS32); }

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

/// With how many steps of k a row of a B that will be packed comes nearer: as many in each call of a micro-kernel as
/// bring a panel while another is multiplied, but no fewer than a piece of kPieceRows. They are spread over the call,
/// for lines come no faster than the core can wait for them.
std::int32_t FetchEvery(const GemmProblem& problem, const TileConfig& config) {
  if (static_cast<CpuPath>(config[kPath]) != CpuPath::kPacked || problem.b_layout == Layout::kPacked) return 1;
  const std::int64_t block = BalancedBlock(problem.k, config[kKc], kKGranule);
  const std::int64_t calls = std::max<std::int64_t>(1, DivideUp(problem.m, config[kMr]));
  const std::int64_t rows = problem.b_layout == Layout::kRowMajor ? DivideUp(block, calls) : 0;
  const std::int64_t steps = block / Info(ConfiguredMath(config)).group;
  return static_cast<std::int32_t>(std::clamp<std::int64_t>(steps / std::max(rows, kPieceRows), 2, 16));
}

/// Of D, what the slowest thread computes; columns in whole vectors.
struct Part {
  std::int64_t rows, columns;
};
/// Threads split the batch, or the longer side, or rows where there are too few tiles of columns for all. Those of a
/// packed B are all as wide, and may be shared worse than rows.
Part LargestPart(const GemmProblem& problem, const TileConfig& config) {
  const std::int64_t mr = config[kMr], nr = config[kNr];
  const std::int64_t workers = problem.batch >= config[kThreads] ? 1 : config[kThreads];
  const auto share = [&](std::int64_t size, std::int64_t tile) {
    return std::min(size, DivideUp(DivideUp(size, tile), workers) * tile);
  };
  // Steps of k that share the last vector leave a part of it to columns.
  const std::int64_t spare = kTailLanes - kTailLanes / std::max(1, config[kTailSteps]);
  const std::int64_t columns = problem.n / nr * nr + config[kNTail] - spare;
  const std::int64_t by_rows = share(problem.m, mr) * columns, by_columns = problem.m * share(columns, nr);
  constexpr double kClearly = 1.1;
  const bool evener = kClearly * static_cast<double>(by_rows) < static_cast<double>(by_columns);
  if (problem.m >= problem.n || DivideUp(problem.n, nr) < workers || (evener && problem.b_layout == Layout::kPacked))
    return {share(problem.m, mr), columns};
  return {problem.m, share(columns, nr)};
}

/// Threads that share rows pack several panels together, or each the whole of B; those that share columns, each all of
/// A. Copies of single panels are near, and cost them little.
void SetPacking(const GemmProblem& problem, const TileConfig& config, const Part& part, TileShape& shape) {
  const CpuMathInfo& math = Info(ConfiguredMath(config));
  const double b_share = problem.b_layout == Layout::kPacked     ? 0
                         : problem.b_layout == Layout::kColMajor ? 1
                         : math.group > 1                        ? kJoinedB
                                                                 : kPackedB;
  const bool packs = static_cast<CpuPath>(config[kPath]) == CpuPath::kPacked, one_panel = problem.n <= config[kNr];
  const bool together = packs && !one_panel && part.rows < problem.m;
  const int workers = problem.batch >= shape.workers ? 1 : shape.workers;
  const double rows = packs ? static_cast<double>(part.rows * workers) : 0;
  const double columns = packs && !together ? std::min(part.columns, problem.n) * workers : problem.n;
  const double part_of_unit = math.unit_bytes / static_cast<double>(math.group);
  shape.packed_bytes = 2 * part_of_unit * problem.batch * problem.k * (rows + b_share * columns);
  shape.packs_together = together && workers > 1;
}

/// Integer sums become f32 before a C with fractions is added, so they must be complete: k in one block, and fewer rows
/// and columns in theirs.
void CompleteSumsAtOnce(const GemmProblem& problem, CpuGemmParams& p) {
  const bool adds_fractions =
      problem.beta != BetaClass::kZero && Info(p.math).sum == DType::kS32 && !Info(problem.d_type).is_integer();
  if (!adds_fractions || p.k <= p.kc) return;
  const auto fewer = [&](std::int64_t size, std::int64_t granule) {
    return static_cast<std::int32_t>(RoundDown(size * p.kc / p.k, granule));
  };
  p.mc = fewer(p.mc, p.mr);
  p.nc = fewer(p.nc, p.nr);
  p.kc = static_cast<std::int32_t>(p.k);
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
  if (p.epilogue_id != 0 && !Epilogue::Find(p.epilogue_id))
    return fmt::format("{}: this process has made no epilogue {:016x}", name(), p.epilogue_id);
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
      if (HasShortColumns(problem) && IsLargeD(problem, spec)) return {CpuPath::kPacked};
      if (small || few) return {in_place, CpuPath::kPacked};
      return {CpuPath::kPacked, in_place};
    case Layout::kColMajor: {
      if (DotRows(target) == 0 || !IsNative(problem.a_type, math)) return {CpuPath::kPacked};
      const bool many = problem.a_layout == Layout::kRowMajor && problem.m >= kPanelTiles * Tiles(target, math)[0].rows;
      const CpuPath packs =
          reads_a && (small || many) && PanelsPay(problem, spec) ? CpuPath::kPanels : CpuPath::kPacked;
      if (problem.m <= kDotTiles * DotRows(target) && problem.k >= kDotK) return {CpuPath::kDots, packs};
      return {packs, packs == CpuPath::kPanels ? CpuPath::kPacked : CpuPath::kDots};
    }
    default:
      if (DotRows(target) != 0 && reads_a && Info(math).group == 1 && problem.a_layout == Layout::kRowMajor &&
          problem.n <= kDotMostColumns && problem.m >= kDotLeastRows && problem.k >= kDotK) {
        if (TailSteps(problem, math, in_place, VectorBytes(target) / 4) == 2) return {in_place, CpuPath::kDots};
        return {CpuPath::kDots, in_place};
      }
      if (reads_a && !small && Sweeps(target, math) && SweepsPay(problem, math)) return {CpuPath::kSweep, in_place};
      if (JoinsB(problem, math, in_place)) {
        if (small && reads_a) return {problem.m <= kJoinRows ? CpuPath::kDirect : CpuPath::kPanels, CpuPath::kPacked};
        if (problem.m <= kKeptRows) return {CpuPath::kStream, CpuPath::kPacked};
        if (reads_a && PanelsPay(problem, spec)) return {CpuPath::kPanels, CpuPath::kPacked};
        return {CpuPath::kPacked};
      }
      if (HasShortColumns(problem)) return {CpuPath::kPacked};
      if (!IsWorthPacking(problem, spec)) return {in_place, CpuPath::kPacked};
      return {CpuPath::kPacked, in_place};
  }
}

/// Tiles of every width, with rows that cut m evenly, fewest cycles first; the first of Tiles() unless clearly worse.
std::vector<CpuFamily::Tile> CpuFamily::RankTiles(const GemmProblem& problem, const CodeTarget& target,
                                                  const DeviceSpec& spec, CpuPath path) const {
  const CpuMath math = MathOf(problem.a_type, problem.b_type, target);
  if (path == CpuPath::kDots) {
    const int flips = FlipsA(problem, math) ? 1 : 0;  // Sums of B's columns take the registers of a row.
    const int most = DotRows(target) - flips;
    const std::int64_t tiles = std::max<std::int64_t>(1, DivideUp(problem.m, most));
    // From memory, more columns at once come faster.
    const bool more = VectorBytes(target) == kVectorBytes && problem.m + flips <= kMoreDotRows &&
                      problem.n >= kManyColumns && IsFarB(problem, spec);
    return {{static_cast<int>(std::max<std::int64_t>(1, DivideUp(problem.m, tiles))),
             more ? kMoreDotColumns : kDotColumns}};
  }
  if (path == CpuPath::kSweep) {
    const Tile most = Tiles(target, math)[0];
    return {{static_cast<int>(DivideUp(problem.m, DivideUp(problem.m, most.rows))), most.vectors}};
  }
  const std::int64_t lanes = VectorBytes(target) / Info(math).unit_bytes, steps = DivideUp(problem.k, Info(math).group);
  std::vector<std::pair<double, Tile>> ranked;
  const bool streams = StreamsB(problem, spec, path), joins = JoinsB(problem, math, path);
  const int flips = FlipsA(problem, math) ? 1 : 0;
  // Joining takes a broadcast, two orders, a top bit and, for a vector alone, a spare.
  const auto rows_beside = [&](std::int64_t vectors) {
    const int besides = 3 + flips + static_cast<int>(vectors % 2);
    return static_cast<int>((kRegisters - besides) / vectors) - 1 - flips;
  };
  if (const std::int64_t vectors = std::clamp<std::int64_t>(DivideUp(problem.n, lanes), 1, kKeptVectors); joins) {
    const int rows = std::min(kMostKeepRows, rows_beside(vectors));
    if (KeepsB(problem, math, path, rows)) return {{rows, static_cast<int>(vectors)}};
  }
  for (Tile tile : Tiles(target, math)) {
    // Panels are as wide as the first tile; columns that fill few of its vectors leave registers to more rows.
    if (FitsRows() && problem.b_layout == Layout::kPacked)
      for (const Tile& narrower : Tiles(target, math))
        if (narrower.vectors < tile.vectors && narrower.vectors == DivideUp(problem.n, lanes))
          tile.rows = narrower.rows;
    // Narrow pieces of rows that lie pages apart take long to find.
    if (streams && tile.vectors + 1 < Tiles(target, math)[0].vectors) continue;
    const double bonus = ranked.empty() && problem.n >= tile.vectors * lanes ? 0.97 : 1;
    if (FitsRows() && path == CpuPath::kDirect && RowsCollide(problem)) tile.rows = std::min(tile.rows, kCollidingRows);
    if (FitsRows() && problem.m > 0) {
      const std::int64_t tiles = DivideUp(problem.m, tile.rows);
      if (tiles <= 8) tile.rows = static_cast<int>(DivideUp(problem.m, tiles));
    }
    if (joins) {
      tile.rows = std::min(tile.rows, kMostJoinRows);
      while (rows_beside(tile.vectors) < tile.rows) --tile.vectors;
    }
    double cycles = TileCycles(problem, steps, tile.rows, tile.vectors * lanes, lanes,
                               TailSteps(problem, math, path, lanes), joins ? JoinCycles(Info(math).group) : 0);
    if (streams) {
      const std::int64_t reads = std::min(DivideUp(problem.m, tile.rows), kCostlyReads);
      cycles += kReadCycles * static_cast<double>(reads * DivideUp(problem.n, lanes));
    }
    ranked.emplace_back(bonus * cycles, tile);
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
  const bool dots = path == CpuPath::kDots;
  const std::int64_t lanes = VectorBytes(target) / Info(math).unit_bytes,
                     nr = dots ? tile.vectors : tile.vectors * lanes;
  const CpuTiling tiling{math, path, tile.rows, nr};
  const CpuBlocks blocks = ChooseBlocks(problem, spec, tiling);
  TileConfig config;
  config.family = name();
  config.fields = kFields;
  const auto set = [&](Field field, std::int64_t value) { config[field] = static_cast<std::int32_t>(value); };
  set(kMr, tile.rows);
  set(kNr, nr);
  set(kMTail, problem.m % tile.rows);
  set(kNTail, dots && problem.n % nr != 0 ? nr : DivideUp(problem.n % nr, lanes) * lanes);
  set(kTailSteps, TailSteps(problem, math, path, lanes));
  set(kMath, static_cast<int>(math));
  set(kFetch, LinesToFetch(problem, tiling));
  set(kFar, ComesFromMemory(problem, spec, tiling) ? 1 : 0);
  set(kMc, blocks.mc);
  set(kNc, blocks.nc);
  set(kKc, blocks.kc * Info(math).group);
  set(kThreads, threads);
  set(kPath, static_cast<int>(path));
  return config;
}

std::vector<TileConfig> CpuFamily::Candidates(const GemmProblem& asked, const CodeTarget& target,
                                              const DeviceSpec& spec) const {
  const GemmProblem problem = Oriented(asked);
  const std::vector<CpuPath> paths = RankPaths(problem, target, spec);
  const double worth = problem.flops() / 2 / kWorthAThread;
  const int threads = std::max(1, static_cast<int>(std::min<double>(spec.multiprocessors, worth)));
  const std::vector<Tile> tiles = RankTiles(problem, target, spec, paths[0]);
  std::vector<TileConfig> configs;
  const auto add = [&](Tile tile, int count, CpuPath path) {
    const CpuMath math = MathOf(problem.a_type, problem.b_type, target);
    const std::int64_t lanes = VectorBytes(target) / Info(math).unit_bytes;
    const bool tiled = path == CpuPath::kDirect || path == CpuPath::kStream || path == CpuPath::kPanels;
    if (FitsRows() && tiled && count > 1 && problem.batch == 1 && problem.n <= tile.vectors * lanes) {  // They share m.
      const std::int64_t rows = EvenRows(problem.m, tile.rows, DivideUp(problem.n, lanes), count);
      const bool keeps = KeepsB(problem, math, path, rows), splits = rows * count <= problem.m;
      if (!keeps || splits) tile.rows = static_cast<int>(rows);
    }
    configs.push_back(MakeConfig(problem, target, spec, tile, count, path));
  };
  add(tiles[0], threads, paths[0]);
  if (threads > 1) add(tiles[0], 1, paths[0]);
  if (threads < spec.multiprocessors && worth > 0.25)
    add(tiles[0], std::min(spec.multiprocessors, 2 * threads), paths[0]);
  if (paths.size() > 1) add(RankTiles(problem, target, spec, paths[1])[0], threads, paths[1]);
  if (tiles.size() > 1) add(tiles[1], threads, paths[0]);
  configs.push_back(configs[0]);
  TileConfig& other = configs.back();
  if (paths[0] == CpuPath::kSweep) {
    other[kNc] = static_cast<std::int32_t>(RoundDown(other[kNc] / 2, other[kNr]));
  } else if (paths[0] == CpuPath::kDots) {  // Their blocks are as long as caches allow.
    other[kKc] = static_cast<std::int32_t>(RoundUp(other[kKc] / 2, kKGranule));
  } else {
    other[kKc] *= 2;
    other[kMc] = static_cast<std::int32_t>(RoundDown(other[kMc] / 2, other[kMr]));
  }
  return configs;
}

TileShape CpuFamily::Shape(const GemmProblem& asked, const TileConfig& config, const DeviceSpec& spec) const {
  const GemmProblem problem = Oriented(asked);
  TileShape shape;
  shape.workers = config[kThreads];
  shape.micro_m = config[kMr];
  shape.micro_n = config[kNr];
  const std::int64_t mr = config[kMr], nr = config[kNr];
  const Part part = LargestPart(problem, config);
  shape.block_m = part.rows;
  shape.block_n = part.columns;
  const auto path = static_cast<CpuPath>(config[kPath]);
  const bool dots = path == CpuPath::kDots;
  const std::int64_t unit = Info(ConfiguredMath(config)).unit_bytes;
  const std::int64_t used = problem.n >= nr ? nr : config[kNTail];
  const std::int64_t vectors = dots ? nr : std::max<std::int64_t>(1, used * unit / kVectorBytes);
  double cycles = StepCycles(mr, static_cast<double>(vectors));
  if (JoinsB(problem, ConfiguredMath(config), path)) {
    const double share = KeepsB(problem, ConfiguredMath(config), path, mr) ? static_cast<double>(mr) / problem.m : 1;
    cycles += share * JoinCycles(Info(ConfiguredMath(config)).group) * vectors;
  }
  if (StreamsB(problem, spec, path) && DivideUp(problem.m, mr) <= kCostlyReads)
    cycles += kReadCycles * static_cast<double>(vectors);
  if (!dots && used * problem.k * unit > kNearPanel) cycles = std::max(cycles, kFarVectorCycles * vectors);
  shape.issue_efficiency = mr * vectors / 2.0 / cycles;
  if (dots) {
    const std::int64_t k = std::clamp<std::int64_t>(problem.k, 1, config[kKc]);
    const double steps = static_cast<double>(k * unit) / (Info(ConfiguredMath(config)).group * kVectorBytes);
    const auto tile = static_cast<double>(mr);
    shape.issue_efficiency *= tile / (tile + kDotLoads) * steps / (steps + kDotSumCycles);
  }
  if (path == CpuPath::kSweep) shape.issue_efficiency = 1;
  shape.issue_efficiency *= ProductsOfLane(ConfiguredMath(config));
  if ((path == CpuPath::kDirect || path == CpuPath::kStream) && IsWorthPacking(problem, spec))
    shape.issue_efficiency *= kUnpackedEfficiency;
  if (path == CpuPath::kPacked || path == CpuPath::kPanels) SetPacking(problem, config, part, shape);
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
  recipe.fetch = config[kFetch];
  recipe.far = config[kFar];
  recipe.narrow = problem.n > 0 && problem.n < recipe.nr ? 1 : 0;
  recipe.fetch_every = FetchEvery(problem, config);
  recipe.joins = JoinsB(problem, recipe.math, static_cast<CpuPath>(config[kPath])) ? 1 : 0;
  recipe.keeps = KeepsB(problem, recipe.math, static_cast<CpuPath>(config[kPath]), recipe.mr) ? 1 : 0;
  recipe.adjacent = HasAdjacentRows(problem, static_cast<CpuPath>(config[kPath])) ? 1 : 0;
  if (static_cast<CpuPath>(config[kPath]) == CpuPath::kSweep) recipe.sweep = RowsOfSweep(problem, recipe.math);
  recipe.starts = FlipsA(problem, recipe.math) ? 1 : 0;
  recipe.tail_steps = config[kTailSteps];
  recipe.columns_per_d = static_cast<int>(problem.columns_per_d);
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
  p.fetch = config[kFetch];
  p.fetch_every = FetchEvery(problem, config);
  p.math = ConfiguredMath(config);
  p.path = static_cast<CpuPath>(config[kPath]);
  p.a_type = problem.a_type;
  p.b_type = problem.b_type;
  p.d_type = problem.d_type;
  p.packed_b = problem.b_layout == Layout::kPacked;
  p.flips_a = FlipsA(problem, p.math);
  p.flat = HasShortColumns(problem);
  p.sums_apart = KeepsSumsApart(problem, p.math);
  CompleteSumsAtOnce(problem, p);
  p.columns_per_d = static_cast<std::int8_t>(problem.columns_per_d);
  p.has_epilogue = problem.epilogue_id != 0;

  LaunchStep step;
  if (p.has_epilogue)
    step.SetParams(FusedParams(problem, p));
  else
    step.SetParams(p);
  step.bind = p.has_epilogue ? BindFusedOnCpu : IsColumn(asked) ? BindColumnOnCpu : BindOnCpu;
  return step;
}

PackedForm CpuFamily::Packed(DType dtype, const CodeTarget& target) const {
  if (!Targets(target) || !SumOf(dtype, dtype)) return {};
  const CpuMath math = MathOf(dtype, dtype, target);
  return {Tiles(target, math)[0].vectors * VectorBytes(target) / Info(math).unit_bytes, math};
}

}  // namespace gemmsmith
