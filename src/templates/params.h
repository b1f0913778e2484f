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

/// What an epilogue reads besides the accumulator, and the maxima it takes; null where it does not. Vectors are
/// contiguous, blocks are dense, and so are the maxima of one batch entry after the other.
struct EpilogueParams {
  const void* bias;      // (n)
  const void* bias_m;    // (m)
  const void* residual;  // (batch, m, columns of D)
  const float* scale_row;
  const float* scale_column;
  const float* scale_block;
  const float* d_scale_row;
  const float* d_scale_column;
  const float* d_scale_block;
  const float* scalar_pointer;  // If set, read instead of scalar.
  const float* d_scale_pointer;
  float* amax_row;  // (batch, m), and 0 before
  float* amax_column;
  float* amax_block;
  float scalar, d_scale;
  long long ld_residual, batch_stride_residual;
};
/// A kernel with an epilogue.
struct SimtFusedParams {
  SimtParams gemm;
  EpilogueParams epilogue;
};
static_assert(sizeof(SimtFusedParams) == sizeof(SimtParams) + 14 * 8 + 2 * 4 + 2 * 8, "no padding");

/// A kernel on tensor cores. With splits, each of several blocks sums a part of k; their sums are added, and finished,
/// by a launch of their own.
struct Sm80Params {
  SimtParams gemm;
  void* partial;    // (splits, batch, rows, columns) of the accumulator's type, whole tiles
  int k_per_split;  // a multiple of kBlockK, or all of k
  int splits;
  long long partial_ld, partial_batch_stride, partial_split_stride;  // elements; multiples of 4
};
static_assert(sizeof(Sm80Params) == sizeof(SimtParams) + 5 * 8, "no padding");
struct Sm80FusedParams {
  Sm80Params tensor;
  EpilogueParams epilogue;
};
static_assert(sizeof(Sm80FusedParams) == sizeof(Sm80Params) + sizeof(EpilogueParams), "no padding");

/// What bulk copies know of a tensor: a CUtensorMap, which hardware reads.
struct alignas(128) TensorMapBytes {
  unsigned long long words[16];
};
/// A kernel fed by bulk copies. The blocks of a grid go from tile to tile.
struct Sm90Params {
  TensorMapBytes map_a, map_b, map_d;
  Sm80Params base;
  int tiles_m, tiles_n;  // of a whole cluster
  int group;             // rows of tiles that are made together, column by column, so that L2 has their operands
  int batch_a, batch_b;  // 0: the whole batch shares the operand; else 1
  const float* scale_a;  // Factors of 128 of k: of rows of A; of B's columns, or of 128 of them. Null: none.
  const float* scale_b;
  long long scale_a_row, scale_a_k, scale_b_column, scale_b_k;  // elements
  const int* groups;  // Of each row its group, or of each group its end or count. Null: there are none.
  long long group_count;
  long long scale_a_group, scale_b_group;  // elements; 0: all groups share the factors
};
static_assert(sizeof(Sm90Params) == 768, "the same on host and device");
struct Sm90FusedParams {
  Sm90Params tensor;
  EpilogueParams epilogue;
};
static_assert(sizeof(Sm90FusedParams) == 1024, "the same on host and device");

}  // namespace gemmsmith
