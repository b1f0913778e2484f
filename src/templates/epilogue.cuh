#pragma once

#include "numeric.cuh"

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

}  // namespace gemmsmith
