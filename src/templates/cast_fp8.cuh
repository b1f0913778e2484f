#pragma once

#include "float8.cuh"
#include "layout_params.h"

// Casts to 8-bit floats, with a factor for each 1 x 128, 128 x 128 or 128 x 1 elements.

namespace gemmsmith {

/// A block of threads takes 128 columns, of which each lane has 4, and some rows for each warp.
/// Config: From, To; kPerRow, kPerColumn: what shares no factor with its neighbours; kFours: four elements of a row are
/// one access, on either side, and there are no fewer.
template <class Config>
struct CastFp8 {
  using From = typename Config::From;
  using To = typename Config::To;
  enum : int {
    kThreads = Config::kPerRow ? 256 : 512,
    kWarps = kThreads / 32,
    kColumns = 128,
    kRows = Config::kPerRow ? 4 : 8,  // of a warp
    kTileRows = kWarps * kRows
  };
  static_assert(Config::kPerRow || kTileRows == 128, "one factor");

  static __device__ __forceinline__ void Run(const CastParams& params) {
    for (long long batch = blockIdx.z; batch < params.batch; batch += gridDim.z)
      for (long long tile = blockIdx.y; tile < params.tiles_down; tile += gridDim.y)
        for (long long block = blockIdx.x; block < params.tiles_across; block += gridDim.x)
          Tile(params, batch, tile, block);
  }

 private:
  enum : int { kLane = 4 };
  using Values = float[kRows][kLane];

  static __device__ __forceinline__ void Tile(const CastParams& params, long long batch, long long tile,
                                              long long block) {
    const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
    const long long row = tile * kTileRows + warp * kRows, column = block * kColumns + lane * kLane;
    Values values;
#pragma unroll
    for (int r = 0; r < kRows; ++r) Load(params, batch, row + r, column, values[r]);
    if constexpr (Config::kPerRow) {
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        const float scale = ScaleOf(params, WarpMaximum(Maximum(values[r])));
        if (lane == 0 && row + r < params.rows) StoreScale(params, batch, row + r, block, scale);
        const float inverse[kLane] = {1 / scale, 1 / scale, 1 / scale, 1 / scale};
        Store(params, batch, row + r, column, values[r], inverse);
      }
    } else if constexpr (Config::kPerColumn) {
      float inverse[kLane];
      OfColumns(params, batch, tile, column, values, inverse);
#pragma unroll
      for (int r = 0; r < kRows; ++r) Store(params, batch, row + r, column, values[r], inverse);
    } else {
      unsigned most = 0;
#pragma unroll
      for (int r = 0; r < kRows; ++r) most = max(most, Maximum(values[r]));
      const float scale = ScaleOf(params, BlockMaximum(WarpMaximum(most)));
      if (threadIdx.x == 0) StoreScale(params, batch, tile, block, scale);
      const float inverse[kLane] = {1 / scale, 1 / scale, 1 / scale, 1 / scale};
#pragma unroll
      for (int r = 0; r < kRows; ++r) Store(params, batch, row + r, column, values[r], inverse);
    }
  }

  static __device__ __forceinline__ void Load(const CastParams& params, long long batch, long long row,
                                              long long column, float (&values)[kLane]) {
    const From* from =
        static_cast<const From*>(params.from) + batch * params.from_batch + row * params.from_row + column;
    const long long left = row < params.rows ? params.columns - column : 0;
    if constexpr (Config::kFours) {
      Vector<From, kLane> four{};
      if (left > 0) four = *reinterpret_cast<const Vector<From, kLane>*>(from);
#pragma unroll
      for (int i = 0; i < kLane; ++i) values[i] = Widen(four.at[i]);
    } else {
#pragma unroll
      for (int i = 0; i < kLane; ++i) values[i] = i < left ? Widen(from[i]) : 0.0f;
    }
  }
  static __device__ __forceinline__ void Store(const CastParams& params, long long batch, long long row,
                                               long long column, const float (&values)[kLane],
                                               const float (&inverse)[kLane]) {
    const unsigned low = Float8<To>::Pair(values[0] * inverse[0], values[1] * inverse[1]),
                   high = Float8<To>::Pair(values[2] * inverse[2], values[3] * inverse[3]), bits = low | high << 16;
    unsigned char* to = static_cast<unsigned char*>(params.to) + batch * params.to_batch + row * params.to_row + column;
    const long long left = row < params.rows ? params.columns - column : 0;
    if constexpr (Config::kFours) {
      if (left > 0) *reinterpret_cast<unsigned*>(to) = bits;
    } else {
#pragma unroll
      for (int i = 0; i < kLane; ++i)
        if (i < left) to[i] = static_cast<unsigned char>(bits >> 8 * i);
    }
  }

  /// Of magnitudes, as bits: their order is that of the numbers, with infinity above them, and NaN above all.
  static __device__ __forceinline__ unsigned Magnitude(float value) { return __float_as_uint(value) & 0x7fffffff; }
  static __device__ __forceinline__ unsigned Maximum(const float (&values)[kLane]) {
    return max(max(Magnitude(values[0]), Magnitude(values[1])), max(Magnitude(values[2]), Magnitude(values[3])));
  }
  static __device__ __forceinline__ unsigned WarpMaximum(unsigned most) {
#pragma unroll
    for (int distance = 16; distance > 0; distance /= 2) most = max(most, __shfl_xor_sync(0xffffffff, most, distance));
    return most;
  }
  static __device__ __forceinline__ unsigned BlockMaximum(unsigned most) {
    __shared__ unsigned maxima[kWarps];
    __syncthreads();  // All have read those of the tile before.
    if (threadIdx.x % 32 == 0) maxima[threadIdx.x / 32] = most;
    __syncthreads();
#pragma unroll
    for (int warp = 0; warp < kWarps; ++warp) most = max(most, maxima[warp]);
    return most;
  }
  /// What each of a lane's columns is multiplied by.
  static __device__ __forceinline__ void OfColumns(const CastParams& params, long long batch, long long tile,
                                                   long long column, const Values& values, float (&inverse)[kLane]) {
    using Four = Vector<unsigned, kLane>;
    __shared__ Four maxima[kWarps][32];
    const unsigned warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    Four most{};
#pragma unroll
    for (int r = 0; r < kRows; ++r)
#pragma unroll
      for (int i = 0; i < kLane; ++i) most.at[i] = max(most.at[i], Magnitude(values[r][i]));
    __syncthreads();  // All have read those of the tile before.
    maxima[warp][lane] = most;
    __syncthreads();
#pragma unroll 4
    for (int w = 0; w < kWarps; ++w)
#pragma unroll
      for (int i = 0; i < kLane; ++i) most.at[i] = max(most.at[i], maxima[w][lane].at[i]);
#pragma unroll
    for (int i = 0; i < kLane; ++i) {
      const float scale = ScaleOf(params, most.at[i]);
      if (warp == 0 && column + i < params.columns) StoreScale(params, batch, tile, column + i, scale);
      inverse[i] = 1 / scale;
    }
  }

  static __device__ __forceinline__ float ScaleOf(const CastParams& params, unsigned most) {
    const float scale = __uint_as_float(max(most, __float_as_uint(params.least))) / Float8<To>::Largest();
    return params.form == CastParams::kPlain ? scale : UpToPowerOfTwo(scale);
  }
  static __device__ __forceinline__ void StoreScale(const CastParams& params, long long batch, long long row,
                                                    long long column, float scale) {
    const long long at = batch * params.scale_batch + row * params.scale_row;
    if (params.form != CastParams::kPacked) {
      static_cast<float*>(params.scales)[at + column * params.scale_column] = scale;
      return;
    }
    auto* bytes =
        reinterpret_cast<unsigned char*>(static_cast<unsigned*>(params.scales) + at + column / 4 * params.scale_column);
    bytes[column % 4] = static_cast<unsigned char>(Ue8m0(scale));
    if (column + 1 == params.tiles_across)
      for (long long i = column % 4 + 1; i < 4; ++i) bytes[i] = 0;
  }
};

}  // namespace gemmsmith
