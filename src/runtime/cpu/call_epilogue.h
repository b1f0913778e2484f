#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/cpu_gemm.h"

namespace gemmsmith {

/// The epilogue of one product on the CPU, if it has one: what tiles of each batch entry read and write.
class CallEpilogue {
 public:
  CallEpilogue() = default;
  CallEpilogue(const CpuGemmParams& p, const CpuFusedParams& fused)
      : epilogue_(fused.epilogue), batch_(p.batch), batch_residual_(fused.batch_residual) {
    if (epilogue_.scalar == nullptr) epilogue_.scalar = &fused.scalar;
    if (epilogue_.d_scale == nullptr) epilogue_.d_scale = &fused.d_scale;
    const std::int64_t block_rows = std::max<std::int64_t>(1, fused.amax_block_rows);
    if (epilogue_.amax_row != nullptr) maxima_of_[0] = p.m;
    if (epilogue_.amax_column != nullptr) maxima_of_[1] = p.n / p.columns_per_d;
    if (epilogue_.amax_block != nullptr) maxima_of_[2] = DivideUp(p.m, block_rows) * epilogue_.amax_block_row;
  }

  /// Maxima of rows, columns and blocks, of the whole batch.
  std::int64_t maxima() const { return (maxima_of_[0] + maxima_of_[1] + maxima_of_[2]) * batch_; }

  /// For tiles of `batch`, whose maxima lie among those of one thread.
  CpuEpilogue Of(std::int64_t batch, float* maxima) const {
    CpuEpilogue e = epilogue_;
    e.residual = static_cast<const std::byte*>(e.residual) + batch * batch_residual_;
    float** const parts[] = {&e.amax_row, &e.amax_column, &e.amax_block};
    for (int i = 0; i < 3; maxima += maxima_of_[i] * batch_, ++i)
      if (maxima_of_[i] > 0) *parts[i] = maxima + batch * maxima_of_[i];
    return e;
  }

  /// The maxima of all threads, `stride` apart, into the first one's, and on to the caller's. NaN is the largest.
  void MergeMaxima(float* first, std::int64_t stride, int threads) const {
    const std::int64_t count = maxima();
    for (int thread = 1; thread < threads; ++thread) {
      const float* const other = first + thread * stride;
      for (std::int64_t i = 0; i < count; ++i)
        if (other[i] > first[i] || other[i] != other[i]) first[i] = other[i];
    }
    const float* from = first;
    float* const to[] = {epilogue_.amax_row, epilogue_.amax_column, epilogue_.amax_block};
    for (int i = 0; i < 3; from += maxima_of_[i] * batch_, ++i) std::copy_n(from, maxima_of_[i] * batch_, to[i]);
  }

 private:
  CpuEpilogue epilogue_{};
  std::int64_t batch_ = 0, batch_residual_ = 0;
  std::int64_t maxima_of_[3] = {};  ///< Of rows, columns, blocks of one batch entry.
};

}  // namespace gemmsmith
