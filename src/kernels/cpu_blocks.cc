#include "kernels/cpu_blocks.h"

#include <algorithm>
#include <bit>

#include "kernels/cpu_traits.h"

namespace gemmsmith {
namespace {

// Of k: so many units stay near for the next tile of rows; more rows take longer to begin and to end than to read them
// from L2.
constexpr std::int64_t kJoinSteps = 128, kMoreJoinSteps = 256, kManyJoinRows = 32, kManyStreamedRows = 48;
constexpr std::int64_t kSweptSums = 4;       // Of a sweep: so small a share of L2, longer runs of B being worth more.
constexpr std::int64_t kFewRowsSteps = 384;  // Of k, in a block of B that is packed for few rows of A.
constexpr std::int64_t kDotBlock = 512, kLongDotBlock = 4096, kDotRowBlock = 8192;  // Of k: in L2, several times.
constexpr std::int64_t kFewDotRows = 8;       // They are multiplied before the next columns have come.
constexpr std::int64_t kTallDots = 4;         // Rows of a tile; lower ones read B too often for L2.
constexpr std::int64_t kDotBytes = 48 << 10;  // Of A in such a block: it stays in L1.
constexpr std::int64_t kFewestDotRows = 4, kFarDotBytes = 64 << 10;  // Theirs, of a far B.
constexpr std::int64_t kPanelSteps = 1024;                           // Of k: a contiguous panel leaves L2 to A.
constexpr std::int64_t kLeastPanels = 4, kMostColumns = 2048;        // Of a B in place, worked on for one block of k.
constexpr std::int64_t kPackedPanels = 8;                            // Of B, where A is packed once: they stay in L2.
constexpr std::int64_t kSumsBytes = 4 << 20;                         // Of sums kept apart from D: a part of L3.
constexpr std::int64_t kNearBytes = 16 << 10;                        // Of a B in place, which L1 has anyway.
constexpr std::int64_t kLine = 64, kPage = 4096;

/// Numbers that all paths reckon with.
struct Sizes {
  Sizes(const GemmProblem& problem, const CpuTiling& tiling)
      : unit(Info(tiling.math).unit_bytes),
        sum(static_cast<std::int64_t>(SizeOf(Info(tiling.math).sum))),
        rows(std::max<std::int64_t>(1, problem.m)),
        columns(std::max<std::int64_t>(1, problem.n)),
        steps(DivideUp(problem.k, Info(tiling.math).group)) {}
  std::int64_t unit, sum;  ///< Bytes.
  std::int64_t rows, columns;
  std::int64_t steps;  ///< Of k.
};

/// A block of A takes three eighths of L2, two panels of B at most a half; a block of B has a share of L3. A longer kc
/// saves passes over D, which cost more than panels of B that L1 does not hold.
CpuBlocks UsualBlocks(const DeviceSpec& spec, const CpuTiling& t, std::int64_t unit) {
  const std::int64_t kc = std::clamp<std::int64_t>(RoundDown(spec.l2_bytes / 4 / (t.nr * unit), 8), 128, 512);
  return {RoundDown(spec.l2_bytes * 3 / 8 / (kc * unit), t.mr),
          RoundDown(std::clamp<std::int64_t>(spec.l3_bytes / 4, 2 << 20, 8 << 20) / (kc * unit), t.nr), kc};
}

/// The sums stay in a part of L2.
void FitSweep(const DeviceSpec& spec, const CpuTiling& t, const Sizes& s, CpuBlocks& b) {
  b.nc = BalancedBlock(s.columns, spec.l2_bytes / kSweptSums / (s.rows * s.sum), t.nr);
  b.kc = RoundUp(s.steps, 8);
}

/// A, which is read again for each few columns, stays in L1 while B's memory decides, and a single tile of it takes
/// whole pages of B's columns, in each of which the hardware begins to look ahead anew; the fewest rows, as many
/// pages of a far B as they can. More rows stay in half of L2: that sums are added up less often counts for more.
std::int64_t StepsOfDots(const GemmProblem& problem, const DeviceSpec& spec, const CpuTiling& t, const Sizes& s) {
  const auto in = [&](std::int64_t bytes) { return RoundDown(bytes / (s.rows * s.unit), 16); };
  std::int64_t block = kDotBlock;
  if (s.rows == 1) {
    block = kDotRowBlock;
  } else if (problem.n > kDotMostColumns && s.rows > kFewDotRows && t.mr >= kTallDots) {
    block = std::clamp(in(spec.l2_bytes / 2), kDotBlock, kLongDotBlock);
  } else if (problem.n > kDotMostColumns) {
    block = std::min(std::max(kDotBlock, in(kDotBytes / 3)), in(kDotBytes));  // A third goes with any B.
    if (s.rows <= t.mr) {
      if (s.rows <= kFewestDotRows && IsFarB(problem, spec)) block = in(kFarDotBytes);
      block = RoundUp(block, kPage / s.unit);
    }
  }
  return RoundUp(std::clamp<std::int64_t>(s.steps, 1, block), 16);
}

/// A B in place from memory. Where it does not stay in a share of L3, and few rows of A leave its memory to decide, it
/// is read fastest in blocks that are somewhat shorter than usual.
void FitStream(const GemmProblem& problem, const DeviceSpec& spec, bool joins, const Sizes& s, CpuBlocks& b) {
  const bool many = s.rows > (joins ? kManyJoinRows : kManyStreamedRows);
  if (joins) b.kc = std::min(b.kc, many ? kMoreJoinSteps : kJoinSteps);
  const std::int64_t b_bytes = s.columns * problem.k * static_cast<std::int64_t>(SizeOf(problem.b_type));
  if (!many && b_bytes > spec.l3_bytes / 4 && s.steps > b.kc) b.kc = BalancedBlock(s.steps, b.kc * 3 / 4, 8);
}

/// What is kept of D between blocks of k stays in L2.
void FitInPlace(const GemmProblem& problem, const DeviceSpec& spec, const CpuTiling& t, const Sizes& s, CpuBlocks& b) {
  const std::int64_t least = kLeastPanels * t.nr, most = std::max(least, RoundDown(kMostColumns, t.nr));
  b.nc = std::clamp(RoundDown(spec.l2_bytes / 2 / (s.rows * s.sum), t.nr), least, most);
  if (t.path == CpuPath::kDots) {
    b.kc = StepsOfDots(problem, spec, t, s);
    return;
  }
  const bool packed = problem.b_layout == Layout::kPacked;
  if (t.path == CpuPath::kPanels || packed)
    b.kc = std::clamp<std::int64_t>(RoundDown(spec.l2_bytes / 4 / (t.nr * s.unit), 8), 128, kPanelSteps);
  const bool streams = StreamsB(problem, spec, t.path);
  if (!streams && t.path != CpuPath::kPanels) b.nc = RoundUp(s.columns, t.nr);
  if (streams) FitStream(problem, spec, JoinsB(problem, t.math, t.path), s, b);
  if (StreamsA(problem, spec, t.path, t.nr)) b.kc = std::max(b.kc, RoundDown(spec.l2_bytes / 2 / (t.nr * s.unit), 8));
  // Each panel is read once, from end to end, as the hardware follows it.
  if (packed && s.rows <= t.mr) b.kc = RoundUp(std::max<std::int64_t>(1, s.steps), 8);
}

void FitPacked(const GemmProblem& problem, const DeviceSpec& spec, const CpuTiling& t, const Sizes& s, CpuBlocks& b) {
  const std::int64_t a_bytes = s.rows * s.steps * s.unit;
  if (a_bytes <= kKeptCopyOfA) b.nc = std::min(b.nc, (a_bytes <= kStreamedCopyOfA ? 1 : 2) * kPackedPanels * t.nr);
  if (problem.b_layout == Layout::kRowMajor && s.rows <= kFewTiles * t.mr) {
    // B is read once: packed into half of L2, from long runs of few rows, and multiplied there.
    b.kc = kFewRowsSteps;
    b.nc = RoundDown(spec.l2_bytes / 2 / (b.kc * s.unit), t.nr);
  }
  // All of B stays in L2, where strips of D are written from end to end.
  if (HasShortColumns(problem))
    b.nc = RoundDown(spec.l2_bytes / 2 / (std::max<std::int64_t>(1, s.steps) * s.unit), t.nr);
  if (KeepsSumsApart(problem, t.math) && s.steps > b.kc)
    b.nc = std::clamp(RoundDown(kSumsBytes / (s.rows * s.sum), t.nr), t.nr, b.nc);
}

}  // namespace

CpuBlocks ChooseBlocks(const GemmProblem& problem, const DeviceSpec& spec, const CpuTiling& tiling) {
  const Sizes sizes(problem, tiling);
  CpuBlocks blocks = UsualBlocks(spec, tiling, sizes.unit);
  if (tiling.path == CpuPath::kSweep)
    FitSweep(spec, tiling, sizes, blocks);
  else if (tiling.path == CpuPath::kPacked)
    FitPacked(problem, spec, tiling, sizes, blocks);
  else
    FitInPlace(problem, spec, tiling, sizes, blocks);
  return blocks;
}

std::int64_t LinesToFetch(const GemmProblem& problem, const CpuTiling& t) {
  const Sizes s(problem, t);
  const std::int64_t tiles = DivideUp(s.rows, t.mr);
  const auto lines_of = [](std::int64_t bytes) { return std::max<std::int64_t>(1, bytes / kLine); };
  switch (t.path) {
    case CpuPath::kDots:
      return problem.b_layout == Layout::kRowMajor ? 0 : 1;
    case CpuPath::kSweep:   // It fetches along whole rows of B.
    case CpuPath::kPanels:  // Whoever copies sees to that.
      return 0;
    case CpuPath::kPacked: {
      if (problem.b_layout == Layout::kPacked) return DivideUp(lines_of(t.nr * s.unit), tiles);
      // Of a row of B that will be packed: all columns of a panel, or a piece of k.
      constexpr std::int64_t kMostLines = 4;
      if (problem.b_layout == Layout::kColMajor) return kMostLines;
      const std::int64_t bytes = t.nr * static_cast<std::int64_t>(SizeOf(problem.b_type));
      const auto lines = static_cast<std::uint64_t>(std::clamp<std::int64_t>(DivideUp(bytes, kLine), 1, kMostLines));
      return static_cast<std::int64_t>(std::bit_floor(lines));
    }
    default:
      if (problem.b_layout == Layout::kPacked && tiles == 1) return 0;  // The hardware follows it.
      if (t.path == CpuPath::kDirect && problem.k * problem.n * s.unit <= kNearBytes) return 0;
      if (JoinsB(problem, t.math, t.path)) return lines_of(t.nr * s.unit);
      return DivideUp(lines_of(t.nr * s.unit), tiles);  // All tiles of a column fetch the next column's B together.
  }
}

/// To tiles after the first, B comes from a cache.
bool ComesFromMemory(const GemmProblem& problem, const DeviceSpec& spec, const CpuTiling& t) {
  const bool once = t.path == CpuPath::kSweep || (t.path == CpuPath::kDots && problem.m <= t.mr);
  return once && IsFarB(problem, spec);
}

}  // namespace gemmsmith
