#pragma once

#include "numeric.cuh"
#include "ptx/narrow.cuh"

// 8-bit floats and powers of two made of f32.

namespace gemmsmith {

/// By bits, where no instruction does it: to nearest, ties to even, saturating; NaN becomes 0x7f.
template <int kMantissa, int kBias, unsigned kLargest>
__device__ __forceinline__ unsigned ToFloat8(float value) {
  constexpr int kDropped = 23 - kMantissa;
  const unsigned bits = __float_as_uint(value), magnitude = bits & 0x7fffffff, sign = bits >> 24 & 0x80;
  if (magnitude > 0x7f800000) return 0x7f;
  unsigned rounded;
  if (magnitude < static_cast<unsigned>(128 - kBias) << 23) {
    // Below the least normal number: in units of the least one that is not 0.
    rounded = __float2uint_rn(__uint_as_float(magnitude) * (1 << (kBias - 1 + kMantissa)));
  } else {
    const unsigned even = (1u << (kDropped - 1)) - 1 + (magnitude >> kDropped & 1);
    rounded = ((magnitude + even) >> kDropped) - (static_cast<unsigned>(127 - kBias) << kMantissa);
  }
  return sign | (rounded < kLargest ? rounded : kLargest);
}

template <class T>
struct Float8;
template <>
struct Float8<E4m3> {
  static __device__ __forceinline__ float Largest() { return 448; }
  static __device__ __forceinline__ unsigned Pair(float low, float high) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 890
    return ptx::FloatsToE4m3s(low, high);
#else
    return ToFloat8<3, 7, 0x7e>(low) | ToFloat8<3, 7, 0x7e>(high) << 8;
#endif
  }
};
template <>
struct Float8<E5m2> {
  static __device__ __forceinline__ float Largest() { return 57344; }
  static __device__ __forceinline__ unsigned Pair(float low, float high) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 890
    return ptx::FloatsToE5m2s(low, high);
#else
    return ToFloat8<2, 15, 0x7b>(low) | ToFloat8<2, 15, 0x7b>(high) << 8;
#endif
  }
};

/// The exponent of the least power of two that is not below `scale`, plus 127; 255 where there is none.
__device__ __forceinline__ unsigned Ue8m0(float scale) {
  const unsigned bits = __float_as_uint(scale);
  if (bits > 0x7f000000) return 255;  // above 2^127, infinity, NaN, or with a sign
  return bits <= 0x00400000 ? 0 : (bits + 0x007fffff) >> 23;
}
/// The same as a number, for what is not below 2^-126; NaN and infinity as they are.
__device__ __forceinline__ float UpToPowerOfTwo(float scale) {
  const unsigned bits = __float_as_uint(scale);
  return bits < 0x7f800000 ? __uint_as_float((bits + 0x007fffff) & 0x7f800000) : scale;
}

}  // namespace gemmsmith
