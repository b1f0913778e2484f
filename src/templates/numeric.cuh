#pragma once

#include "ptx/convert.cuh"

namespace gemmsmith {

struct Half {
  unsigned short bits;
};
struct Bfloat16 {
  unsigned short bits;
};
struct E4m3 {
  unsigned char bits;
};
struct E5m2 {
  unsigned char bits;
};

/// N values that one instruction loads or stores; at most 16 bytes.
template <class T, int N>
struct alignas(sizeof(T) * N) Vector {
  static_assert(sizeof(T) * N <= 16 && (N & (N - 1)) == 0, "one load or store instruction");
  T at[N];
};

/// Widening to the accumulator's type, exact.
__device__ __forceinline__ float Widen(float value) { return value; }
__device__ __forceinline__ double Widen(double value) { return value; }
__device__ __forceinline__ int Widen(int value) { return value; }
__device__ __forceinline__ float Widen(Half value) { return ptx::HalfToFloat(value.bits); }
__device__ __forceinline__ float Widen(Bfloat16 value) {
  return __uint_as_float(static_cast<unsigned>(value.bits) << 16);
}
__device__ __forceinline__ int Widen(signed char value) { return value; }
__device__ __forceinline__ int Widen(unsigned char value) { return value; }

/// Rounding from the accumulator's type: to nearest, ties to even. Integers become the nearest float first.
__device__ __forceinline__ void Narrow(float value, float& to) { to = value; }
__device__ __forceinline__ void Narrow(double value, double& to) { to = value; }
__device__ __forceinline__ void Narrow(int value, int& to) { to = value; }
/// Saturates; NaN becomes 0.
__device__ __forceinline__ void Narrow(float value, int& to) { to = __float2int_rn(value); }
__device__ __forceinline__ void Narrow(float value, Half& to) { to.bits = ptx::FloatToHalf(value); }
__device__ __forceinline__ void Narrow(float value, Bfloat16& to) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  to.bits = ptx::FloatToBfloat16(value);
#else
  // By bits: rounding carries into the exponent, and to infinity, as it should.
  const unsigned bits = __float_as_uint(value);
  const unsigned quiet_nan = bits >> 16 | 0x40, rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
  to.bits = static_cast<unsigned short>(value != value ? quiet_nan : rounded);
#endif
}
/// Saturates; NaN becomes 0.
__device__ __forceinline__ void Narrow(float value, signed char& to) {
  to = static_cast<signed char>(max(-128, min(__float2int_rn(value), 127)));
}
__device__ __forceinline__ void Narrow(float value, unsigned char& to) {
  to = static_cast<unsigned char>(max(0, min(__float2int_rn(value), 255)));
}
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 890
__device__ __forceinline__ float Widen(E4m3 value) { return ptx::E4m3ToFloat(value.bits); }
__device__ __forceinline__ float Widen(E5m2 value) { return ptx::E5m2ToFloat(value.bits); }
/// Saturates; but infinity stays one, and becomes NaN where there is none: both follow the largest number.
__device__ __forceinline__ void Narrow(float value, E4m3& to) {
  to.bits =
      static_cast<unsigned char>(ptx::FloatToE4m3(value) + (fabsf(value) == __uint_as_float(0x7f800000u) ? 1 : 0));
}
__device__ __forceinline__ void Narrow(float value, E5m2& to) {
  to.bits =
      static_cast<unsigned char>(ptx::FloatToE5m2(value) + (fabsf(value) == __uint_as_float(0x7f800000u) ? 1 : 0));
}
#endif
template <class T>
__device__ __forceinline__ void Narrow(int value, T& to) {
  Narrow(__int2float_rn(value), to);
}

}  // namespace gemmsmith
