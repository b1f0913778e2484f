#pragma once

// Kernel arguments shared by host and device. Plain values only; no includes, so that NVRTC reads it as it is.

namespace gemmsmith {

/// D = alpha * A * B + beta * C with element strides; D's and C's columns are contiguous.
struct SimtParams {
  const void* a;
  const void* b;
  const void* c;
  void* d;
  const void* alpha_pointer;  // If set, read instead of alpha.
  const void* beta_pointer;
  double alpha, beta;
  long long m, n, k, batch;
  long long lda, ldb, ldc, ldd;
  long long batch_stride_a, batch_stride_b, batch_stride_c, batch_stride_d;
};
static_assert(sizeof(SimtParams) == 6 * 8 + 2 * 8 + 12 * 8, "no padding, so that host and device cannot disagree");

}  // namespace gemmsmith
