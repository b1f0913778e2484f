#pragma once

#include "float8.cuh"
#include "layout_params.h"

// Factors of operands with other strides, or packed.

namespace gemmsmith {

/// Tiles go through shared memory, so that reads may follow each other along steps, and writes along rows.
/// Config: kPacked, whether four factors become the bytes of a word.
template <class Config>
struct ScaleLayout {
  enum : int { kThreads = 256, kRows = 64, kSteps = 32 };

  static __device__ __forceinline__ void Run(const ScaleLayoutParams& params) {
    __shared__ float tile[kRows][kSteps + 1];
    for (long long batch = blockIdx.z; batch < params.batch; batch += gridDim.z)
      for (long long step = static_cast<long long>(blockIdx.y) * kSteps; step < params.steps;
           step += gridDim.y * kSteps)
        for (long long row = static_cast<long long>(blockIdx.x) * kRows; row < params.rows; row += gridDim.x * kRows)
          Tile(params, batch, row, step, tile);
  }

 private:
  static __device__ __forceinline__ void Tile(const ScaleLayoutParams& params, long long batch, long long row,
                                              long long step, float (&tile)[kRows][kSteps + 1]) {
    Read(params, batch, row, step, tile);
    __syncthreads();
    if constexpr (Config::kPacked) {
      WritePacked(params, batch, row, step, tile);
    } else {
      Write(params, batch, row, step, tile);
    }
    __syncthreads();  // All have read the tile.
  }
  /// Past the last step: bits of 0, whose exponent is 0.
  static __device__ __forceinline__ void Read(const ScaleLayoutParams& params, long long batch, long long row,
                                              long long step, float (&tile)[kRows][kSteps + 1]) {
    const float* from = params.from + batch * params.from_batch;
    const bool along_steps = params.from_step <= params.from_row;
    for (int i = static_cast<int>(threadIdx.x); i < kRows * kSteps; i += kThreads) {
      const int r = along_steps ? i / kSteps : i % kRows, s = along_steps ? i % kSteps : i / kRows;
      const bool inside = row + r < params.rows && step + s < params.steps;
      tile[r][s] = inside ? from[static_cast<unsigned>(row + r) / static_cast<unsigned>(params.gran) * params.from_row +
                                 (step + s) * params.from_step]
                          : 0.0f;
    }
  }
  static __device__ __forceinline__ void Write(const ScaleLayoutParams& params, long long batch, long long row,
                                               long long step, const float (&tile)[kRows][kSteps + 1]) {
    float* to = static_cast<float*>(params.to) + batch * params.to_batch;
    for (int i = static_cast<int>(threadIdx.x); i < kRows * kSteps; i += kThreads) {
      const int r = i % kRows, s = i / kRows;
      if (row + r < params.rows && step + s < params.steps)
        to[(row + r) * params.to_row + (step + s) * params.to_step] = tile[r][s];
    }
  }
  static __device__ __forceinline__ void WritePacked(const ScaleLayoutParams& params, long long batch, long long row,
                                                     long long step, const float (&tile)[kRows][kSteps + 1]) {
    unsigned* to = static_cast<unsigned*>(params.to) + batch * params.to_batch;
    for (int i = static_cast<int>(threadIdx.x); i < kRows * kSteps / 4; i += kThreads) {
      const int r = i % kRows, word = i / kRows;
      if (row + r >= params.rows || step + 4 * word >= params.steps) continue;
      unsigned bits = 0;
#pragma unroll
      for (int b = 0; b < 4; ++b) bits |= Ue8m0(tile[r][4 * word + b]) << 8 * b;
      to[(row + r) * params.to_row + (step / 4 + word) * params.to_step] = bits;
    }
  }
};

}  // namespace gemmsmith
