#pragma once

#include "kernels/cpu_gemm.h"
#include "kernels/family.h"

namespace gemmsmith {

/// A register tile, and the way it is used.
struct CpuTiling {
  CpuMath math;
  CpuPath path;
  std::int64_t mr, nr;  ///< Rows and columns.
};

/// How much of a problem is worked on at once, by one thread.
struct CpuBlocks {
  std::int64_t mc, nc;  ///< Rows and columns.
  std::int64_t kc;      ///< Units; dot products: elements.
};
CpuBlocks ChooseBlocks(const GemmProblem& problem, const DeviceSpec& spec, const CpuTiling& tiling);

/// MicroKernelRecipe::fetch.
std::int64_t LinesToFetch(const GemmProblem& problem, const CpuTiling& tiling);
/// MicroKernelRecipe::far.
bool ComesFromMemory(const GemmProblem& problem, const DeviceSpec& spec, const CpuTiling& tiling);

}  // namespace gemmsmith
