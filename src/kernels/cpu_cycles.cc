#include "kernels/cpu_cycles.h"

#include <algorithm>

namespace gemmsmith {

double StepCycles(std::int64_t rows, double vectors) {
  // Of all CPUs since Skylake and Zen: fewer accumulators than twice that leave the units waiting.
  constexpr double kFmaLatency = 4;
  if (rows == 0 || vectors == 0) return 0;
  const double share = std::min(1.0, vectors), m = static_cast<double>(rows);
  return std::max({m * vectors / 2, (m * share + vectors) / 2, kFmaLatency * share});
}

double JoinCycles(int group) { return group == 1 ? 0 : group == 2 ? 0.5 : 1.5; }

double TileCycles(const GemmProblem& problem, std::int64_t steps, std::int64_t mr, std::int64_t nr, std::int64_t lanes,
                  int tail_steps, double join_cycles) {
  const auto vectors = [&](std::int64_t columns) {
    const std::int64_t whole = columns / lanes;
    return static_cast<double>(whole) + (columns % lanes == 0 ? 0 : 1.0 / tail_steps);
  };
  const auto step = [&](std::int64_t rows, double count) {
    return StepCycles(rows, count) + (rows == 0 ? 0 : join_cycles * count);
  };
  const std::int64_t m = problem.m / mr, n = problem.n / nr, m_tail = problem.m % mr, n_tail = problem.n % nr;
  const auto tiles = static_cast<double>(DivideUp(problem.m, mr) * DivideUp(problem.n, nr));
  const auto k = static_cast<double>(std::max<std::int64_t>(steps, 1)), whole_rows = static_cast<double>(m),
             whole_columns = static_cast<double>(n);
  constexpr double kTileCycles = 20;
  return whole_rows * whole_columns * step(mr, vectors(nr)) + whole_columns * step(m_tail, vectors(nr)) +
         whole_rows * step(mr, vectors(n_tail)) + step(m_tail, vectors(n_tail)) + tiles * kTileCycles / k;
}

std::int64_t EvenRows(std::int64_t m, std::int64_t most, double vectors, int threads) {
  const auto cycles = [&](std::int64_t rows) {
    const std::int64_t busiest = DivideUp(DivideUp(m, rows), threads);  // In tiles.
    return static_cast<double>(busiest) * StepCycles(rows, vectors);
  };
  constexpr double kWorth = 0.98;  // Lower tiles load B more often.
  std::int64_t best = most;
  for (std::int64_t rows = most - 1; rows >= (most + 1) / 2; --rows)
    if (cycles(rows) < kWorth * cycles(best)) best = rows;
  return best;
}

int TailSteps(const GemmProblem& problem, CpuMath math, CpuPath path, std::int64_t lanes) {
  constexpr std::int64_t kLeastSteps = 8;  // Adding up what they make takes some time, too.
  const std::int64_t columns = problem.n % lanes;
  const bool fits = math == CpuMath::kF32 && lanes == kTailLanes && path == CpuPath::kDirect &&
                    problem.a_layout == Layout::kRowMajor && problem.k >= kLeastSteps;
  return !fits || columns == 0 || columns > 8 ? 1 : columns > 4 ? 2 : 4;
}

bool RowsCollide(const GemmProblem& problem) {
  constexpr std::int64_t kSets = 2048;  // Bytes: half of what the sets of 32 or 48 KB span.
  const std::int64_t stride = problem.lda * static_cast<std::int64_t>(SizeOf(problem.a_type));
  return problem.a_layout == Layout::kRowMajor && stride % kSets == 0;
}

}  // namespace gemmsmith
