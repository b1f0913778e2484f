#pragma once

#include "numeric.cuh"
#include "params.h"

// What the rendered text of an epilogue calls besides CUDA's own functions. Exact, and the same on every architecture.

namespace gemmsmith {

/// IEEE 754-2019 minimum and maximum: NaN if either is, and -0 is less than +0.
__device__ __forceinline__ float Minimum(float x, float y) {
  if (x != x || y != y) return __uint_as_float(0x7fc00000u);
  if (x == y) return __uint_as_float(__float_as_uint(x) | __float_as_uint(y));
  return x < y ? x : y;
}
__device__ __forceinline__ float Maximum(float x, float y) {
  if (x != x || y != y) return __uint_as_float(0x7fc00000u);
  if (x == y) return __uint_as_float(__float_as_uint(x) & __float_as_uint(y));
  return x > y ? x : y;
}

/// NaN stays.
__device__ __forceinline__ float Saturate(float x, float low, float high) {
  return x < low ? low : x > high ? high : x;
}

/// The nearest number of kMantissa bits with exponents from kMinExponent, ties to even; the rest is multiples of the
/// smallest one. For x of a magnitude that stays in range.
template <int kMantissa, int kMinExponent>
__device__ __forceinline__ float RoundToGrid(float x) {
  constexpr int kDropped = 23 - kMantissa;
  constexpr float kPerUnit = static_cast<float>(1 << (kMantissa - kMinExponent));
  constexpr float kSmallestNormal = 1.0f / static_cast<float>(1 << -kMinExponent);
  const unsigned bits = __float_as_uint(x);
  const float magnitude = fabsf(x);
  if (magnitude < kSmallestNormal) return rintf(x * kPerUnit) * (1.0f / kPerUnit);
  if (x != x) return x;
  const unsigned half_below = (1u << (kDropped - 1)) - 1;
  return __uint_as_float((bits + half_below + (bits >> kDropped & 1)) & ~((1u << kDropped) - 1));
}

__device__ __forceinline__ float ToE4m3(float x) { return RoundToGrid<3, -6>(Saturate(x, -448.0f, 448.0f)); }
__device__ __forceinline__ float ToE5m2(float x) { return RoundToGrid<2, -14>(Saturate(x, -57344.0f, 57344.0f)); }
/// Through int, which makes NaN and -0 into 0.
__device__ __forceinline__ float ToS8(float x) { return __int2float_rn(__float2int_rn(Saturate(x, -128.0f, 127.0f))); }
__device__ __forceinline__ float ToU8(float x) { return __int2float_rn(__float2int_rn(Saturate(x, 0.0f, 255.0f))); }
__device__ __forceinline__ float ToF16(float x) { return ptx::HalfToFloat(ptx::FloatToHalf(x)); }
__device__ __forceinline__ float ToBf16(float x) {
  Bfloat16 narrow;
  Narrow(x, narrow);
  return Widen(narrow);
}

/// The inputs of one element of D, each read from memory when the epilogue asks for it.
template <class BiasType, class ResidualType>
class EpilogueInputs {
 public:
  __device__ __forceinline__ EpilogueInputs(const EpilogueParams& params, float accumulator, long long batch,
                                            long long row, long long column, long long columns)
      : params_(params), accumulator_(accumulator), batch_(batch), row_(row), column_(column), columns_(columns) {}

  __device__ __forceinline__ float Accumulator() const { return accumulator_; }
  __device__ __forceinline__ float Bias() const { return Read<BiasType>(params_.bias, column_); }
  __device__ __forceinline__ float BiasM() const { return Read<BiasType>(params_.bias_m, row_); }
  __device__ __forceinline__ float Residual() const {
    const long long offset = batch_ * params_.batch_stride_residual + row_ * params_.ld_residual + column_;
    return Read<ResidualType>(params_.residual, offset);
  }
  __device__ __forceinline__ float Scalar() const { return Either(params_.scalar, params_.scalar_pointer); }
  __device__ __forceinline__ float ScaleRow() const { return params_.scale_row[row_]; }
  __device__ __forceinline__ float ScaleColumn() const { return params_.scale_column[column_]; }
  __device__ __forceinline__ float ScaleBlock(int rows, int columns) const {
    return params_.scale_block[Block(rows, columns)];
  }
  __device__ __forceinline__ float DScale() const { return Either(params_.d_scale, params_.d_scale_pointer); }
  __device__ __forceinline__ float DScaleRow() const { return params_.d_scale_row[row_]; }
  __device__ __forceinline__ float DScaleColumn() const { return params_.d_scale_column[column_]; }
  __device__ __forceinline__ float DScaleBlock(int rows, int columns) const {
    return params_.d_scale_block[Block(rows, columns)];
  }
  __device__ __forceinline__ int Row() const { return static_cast<int>(row_); }
  __device__ __forceinline__ int Column() const { return static_cast<int>(column_); }

 private:
  template <class T>
  __device__ __forceinline__ static float Read(const void* data, long long index) {
    return Widen(static_cast<const T*>(data)[index]);
  }
  __device__ __forceinline__ static float Either(float value, const float* pointer) {
    return pointer != nullptr ? *pointer : value;
  }
  __device__ __forceinline__ long long Block(int rows, int columns) const {
    return row_ / rows * ((columns_ + columns - 1) / columns) + column_ / columns;
  }

  const EpilogueParams& params_;
  float accumulator_;
  long long batch_, row_, column_, columns_;
};

struct EpilogueOutput {
  float d;
  __device__ __forceinline__ void D(float value) { d = value; }
};

/// What a GEMM template does to an element before it stores it: the rendered `Epilogue`.
template <class Epilogue, class BiasType, class ResidualType>
struct Fused {
  enum : bool { kFuses = true };
  const EpilogueParams& params;
  long long columns;

  __device__ __forceinline__ float operator()(long long batch, long long row, long long column, float value) const {
    EpilogueOutput out;
    Epilogue::Apply(EpilogueInputs<BiasType, ResidualType>(params, value, batch, row, column, columns), out);
    return out.d;
  }
};

}  // namespace gemmsmith
