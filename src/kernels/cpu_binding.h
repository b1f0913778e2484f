#pragma once

#include <cstddef>

#include "gemmsmith/args.h"
#include "kernels/cpu_gemm.h"

namespace gemmsmith {

// How a call's tensors come into the parameters of a launch on the CPU (LaunchStep::bind).

/// What is known of the epilogue before the call.
CpuFusedParams FusedParams(const GemmProblem& problem, const CpuGemmParams& gemm);

/// Into a CpuGemmParams.
void BindOnCpu(const GemmArgs& args, std::byte* params);
/// Into a CpuFusedParams.
void BindFusedOnCpu(const GemmArgs& args, std::byte* params);
/// Into the CpuGemmParams of D^T = B^T * A^T.
void BindColumnOnCpu(const GemmArgs& args, std::byte* params);

}  // namespace gemmsmith
