#pragma once

#include <cstdint>

#include "kernels/cpu_gemm.h"

namespace gemmsmith {

/// Cycles of one step of k: products at two per cycle, loads at two per cycle, or the latency of the sums. Less than a
/// vector: it holds several steps.
double StepCycles(std::int64_t rows, double vectors);

/// Those in which micro-kernels make a vector of units of `group` rows of B.
double JoinCycles(int group);

/// Cycles of one step of k over all tiles of `mr` rows and `nr` columns, `lanes` of them in a vector that takes
/// `join_cycles` to make, plus what each tile costs besides, for `steps` in all.
double TileCycles(const GemmProblem& problem, std::int64_t steps, std::int64_t mr, std::int64_t nr, std::int64_t lanes,
                  int tail_steps, double join_cycles);

/// Rows of tiles, `most` or fewer, that threads share most evenly: the busiest one has the fewest cycles.
std::int64_t EvenRows(std::int64_t m, std::int64_t most, double vectors, int threads);

/// The steps of k that lie side by side in a last vector of few columns: see MicroKernelRecipe::tail_steps.
int TailSteps(const GemmProblem& problem, CpuMath math, CpuPath path, std::int64_t lanes);

/// Rows of A that are read where they lie share few sets of L1.
bool RowsCollide(const GemmProblem& problem);

}  // namespace gemmsmith
