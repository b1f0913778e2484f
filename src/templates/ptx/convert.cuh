#pragma once

// Conversions that one instruction does. A test that runs a template on the host brings its own.
#ifdef __CUDACC__

namespace gemmsmith::ptx {

__device__ __forceinline__ float HalfToFloat(unsigned short bits) {
  float value;
  asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(bits));
  return value;
}

/// To nearest, ties to even; overflows to infinity.
__device__ __forceinline__ unsigned short FloatToHalf(float value) {
  unsigned short bits;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(value));
  return bits;
}

#if __CUDA_ARCH__ >= 800
/// The same of bf16.
__device__ __forceinline__ unsigned short FloatToBfloat16(float value) {
  unsigned short bits;
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bits) : "f"(value));
  return bits;
}

/// Two at once; `low` becomes the lower half.
__device__ __forceinline__ unsigned FloatsToHalves(float low, float high) {
  unsigned bits;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(bits) : "f"(high), "f"(low));
  return bits;
}
__device__ __forceinline__ unsigned FloatsToBfloat16s(float low, float high) {
  unsigned bits;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(bits) : "f"(high), "f"(low));
  return bits;
}
#endif

#if __CUDA_ARCH__ >= 890
/// Saturates, infinities too.
__device__ __forceinline__ unsigned char FloatToE4m3(float value) {
  unsigned short bits;
  asm("cvt.rn.satfinite.e4m3x2.f32 %0, 0f00000000, %1;" : "=h"(bits) : "f"(value));
  return static_cast<unsigned char>(bits);
}
__device__ __forceinline__ unsigned char FloatToE5m2(float value) {
  unsigned short bits;
  asm("cvt.rn.satfinite.e5m2x2.f32 %0, 0f00000000, %1;" : "=h"(bits) : "f"(value));
  return static_cast<unsigned char>(bits);
}
__device__ __forceinline__ float E4m3ToFloat(unsigned char bits) {
  unsigned halves;
  asm("cvt.rn.f16x2.e4m3x2 %0, %1;" : "=r"(halves) : "h"(static_cast<unsigned short>(bits)));
  return HalfToFloat(static_cast<unsigned short>(halves));
}
__device__ __forceinline__ float E5m2ToFloat(unsigned char bits) {
  unsigned halves;
  asm("cvt.rn.f16x2.e5m2x2 %0, %1;" : "=r"(halves) : "h"(static_cast<unsigned short>(bits)));
  return HalfToFloat(static_cast<unsigned short>(halves));
}
#endif

}  // namespace gemmsmith::ptx

#endif
