#pragma once

// Conversions to 8-bit floats that one instruction does.
#ifdef __CUDACC__
#if __CUDA_ARCH__ >= 890

namespace gemmsmith::ptx {

/// Two at once, to nearest, saturating; `low` becomes the lower byte.
__device__ __forceinline__ unsigned short FloatsToE4m3s(float low, float high) {
  unsigned short bits;
  asm("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %2;" : "=h"(bits) : "f"(high), "f"(low));
  return bits;
}
__device__ __forceinline__ unsigned short FloatsToE5m2s(float low, float high) {
  unsigned short bits;
  asm("cvt.rn.satfinite.e5m2x2.f32 %0, %1, %2;" : "=h"(bits) : "f"(high), "f"(low));
  return bits;
}

}  // namespace gemmsmith::ptx

#endif
#endif
