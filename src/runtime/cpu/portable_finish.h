#pragma once

#include "kernels/cpu_gemm.h"

namespace gemmsmith {

/// What is done to the sums of a tile, (rows, stride), when its loop over k has ended: D = epilogue(alpha * sums + beta
/// * C), or the sums so far, by the scalar definitions. Works in `sums`. Sum: float, double, std::int32_t.
template <class Sum>
void FinishTile(const MicroKernelArgs& args, Sum* sums, int rows, int stride);

}  // namespace gemmsmith
