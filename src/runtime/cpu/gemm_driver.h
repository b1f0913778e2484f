#pragma once

#include "kernels/cpu_gemm.h"

namespace gemmsmith {

/// Runs the loops around the micro-kernels: D = alpha * A * B + beta * C for every matrix of the batch, to the end.
/// Results do not depend on the number of threads, nor on timing. Any number of callers at once.
void RunGemm(const MicroKernelSet& kernels, const CpuGemmParams& params);

}  // namespace gemmsmith
