#pragma once

#include "kernels/cpu_gemm.h"

namespace gemmsmith {

/// The compiled-in micro-kernels for `recipe`. Throws kDevice if there are none of its tile.
MicroKernelSet FindPortableKernels(const MicroKernelRecipe& recipe);

}  // namespace gemmsmith
