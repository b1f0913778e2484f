// The arithmetic of cuda_fp16.h, cuda_bf16.h and cuda_fp8.h; in holds pairs of 16-bit floats.
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>

template <class T>
__device__ unsigned short Bits(T value) {
  unsigned short bits;
  memcpy(&bits, &value, 2);
  return bits;
}

// Ten 16-bit results per pair, in the order of the statements.
template <class T, class T2>
__device__ void Arithmetic(T a, T b, T2 both, unsigned short* out) {
  out[0] = Bits(__hadd(a, b));
  out[1] = Bits(__hmul(a, b));
  out[2] = Bits(__hfma(a, b, a));
  out[3] = Bits(__hsub(a, b));
  out[4] = Bits(__hmax(a, b));
  out[5] = Bits(__hmin_nan(a, b));
  out[6] = Bits(__hneg(a));
  out[7] = Bits(__habs(b));
  const T2 sum = __hadd2(both, both);
  out[8] = Bits(sum.x);
  out[9] = Bits(__hfma2(both, sum, both).y);
  out[10] = static_cast<unsigned short>(__hlt(a, b) | __heq(a, b) << 1 | __hisnan(a) << 2 | __hge(a, b) << 3);
  out[11] = Bits(__hmul2(both, both).y);
}

extern "C" __global__ void f16_arithmetic(const __half2* in, unsigned short* out) {
  const __half2 both = in[threadIdx.x];
  Arithmetic(both.x, both.y, both, out + 12 * threadIdx.x);
}
extern "C" __global__ void bf16_arithmetic(const __nv_bfloat162* in, unsigned short* out) {
  const __nv_bfloat162 both = in[threadIdx.x];
  Arithmetic(both.x, both.y, both, out + 12 * threadIdx.x);
}

// Eight 16-bit results per float.
extern "C" __global__ void conversions(const float* in, unsigned short* out) {
  const float x = in[threadIdx.x];
  out += 8 * threadIdx.x;
  out[0] = Bits(__float2half_rn(x));
  out[1] = Bits(__float2half_rz(x));
  out[2] = Bits(__float2bfloat16_rn(x));
  out[3] = Bits(__float2bfloat16_rz(x));
  out[4] = Bits(__int2half_rn(__float2int_rz(x)));
  out[5] = static_cast<unsigned short>(__half2short_rn(__float2half_rn(x)));
  out[6] = __nv_cvt_float_to_fp8(x, __NV_SATFINITE, __NV_E4M3);
  out[7] = __nv_cvt_float_to_fp8(x, __NV_SATFINITE, __NV_E5M2);
}
