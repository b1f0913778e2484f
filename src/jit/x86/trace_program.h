#pragma once

#include "epilogue/trace.h"
#include "jit/x86/vector_program.h"
#include "kernels/cpu_gemm.h"

namespace gemmsmith {

// Sources of programs: inputs of the trace by their Op, and these. Sinks: outputs by their OutputKind, and kSumSink.
constexpr int kSourceC = 100, kSourceBeta = 101;
constexpr int kSumSink = 100;

/// What is done to a sum: the epilogue, and D's value made ready to be stored. `sum`: the type of the accumulators.
VectorProgram FinishProgram(const MicroKernelRecipe& recipe, DType sum, bool avx512);
/// sum + beta * C for a C of another type than the sums'.
VectorProgram AddCProgram(const MicroKernelRecipe& recipe, DType sum, bool avx512);

}  // namespace gemmsmith
