#pragma once

#include <cstdint>

#include "kernels/cpu_gemm.h"

namespace gemmsmith {

/// A whole product by one call of a micro-kernel.
inline bool IsSingleTile(const CpuGemmParams& p) {
  return p.m <= p.mr && p.n <= p.nr && p.k <= p.kc && p.k > 0 && p.batch == 1 && p.path == CpuPath::kDirect &&
         p.math == CpuMath::kF32 && !p.has_epilogue && !p.sums_apart;
}
/// What Call would do, in a few nanoseconds: such a product takes not many more.
inline void RunSingleTile(const MicroKernelSet& kernels, const CpuGemmParams& p) {
  constexpr std::int64_t kSize = sizeof(float);
  const float alpha =
      p.alpha_pointer != nullptr ? *static_cast<const float*>(p.alpha_pointer) : static_cast<float>(p.alpha);
  const float beta =
      p.beta_pointer != nullptr ? *static_cast<const float*>(p.beta_pointer) : static_cast<float>(p.beta);
  MicroKernelArgs args;
  args.a = p.a, args.b = p.b, args.c = p.c, args.d = p.d;
  args.a_row = p.a_row * kSize, args.a_col = p.a_col * kSize;
  args.b_step = (p.packed_b ? p.nr : p.b_row) * kSize;
  args.ahead = p.b;
  args.ahead_step = args.b_step;
  args.c_row = p.c_row * kSize, args.d_row = p.d_row * kSize;
  args.k = p.k;
  args.alpha = &alpha, args.beta = &beta;
  args.columns = p.n;
  args.c_is_sum = args.d_is_sum = 0;
  args.recipe = kernels.recipe;
  const bool whole_rows = p.m == p.mr, whole_columns = p.n == p.nr;
  const MicroKernel rows = whole_columns ? kernels.full_full : kernels.full_last;
  const MicroKernel tail = whole_columns ? kernels.last_full : kernels.last_last;
  (whole_rows ? rows : tail)(&args);
}

}  // namespace gemmsmith
