// The mathematics that nvcc links in, and the random numbers of cuRAND, none of whose code is ours.
#include <curand_kernel.h>

// Twelve results per pair of floats.
extern "C" __global__ void math_f32(const float* in, float* out) {
  const float x = in[2 * threadIdx.x], y = in[2 * threadIdx.x + 1];
  out += 12 * threadIdx.x;
  out[0] = sinf(x);
  out[1] = cosf(x * 1e6f);
  out[2] = expf(y);
  out[3] = logf(fabsf(x));
  out[4] = erff(y);
  out[5] = powf(fabsf(x), y);
  out[6] = atan2f(x, y);
  out[7] = tanhf(y);
  out[8] = cbrtf(x);
  out[9] = fmodf(x, y);
  out[10] = tgammaf(fabsf(y) + 0.5f);
  out[11] = x / y;
}
extern "C" __global__ void math_f64(const double* in, double* out) {
  const double x = in[2 * threadIdx.x], y = in[2 * threadIdx.x + 1];
  out += 12 * threadIdx.x;
  out[0] = sin(x);
  out[1] = cos(x * 1e6);
  out[2] = exp(y);
  out[3] = log(fabs(x));
  out[4] = erf(y);
  out[5] = pow(fabs(x), y);
  out[6] = atan2(x, y);
  out[7] = tanh(y);
  out[8] = cbrt(x);
  out[9] = fmod(x, y);
  out[10] = tgamma(fabs(y) + 0.5);
  out[11] = x / y;
}

// Four words of Philox per thread, its own subsequence.
extern "C" __global__ void philox(unsigned long long seed, uint4* out) {
  curandStatePhilox4_32_10_t state;
  curand_init(seed, threadIdx.x, 0, &state);
  out[threadIdx.x] = curand4(&state);
}

// The steps of XORWOW from a state whose words are in.
extern "C" __global__ void xorwow(const unsigned* in, unsigned* out, int steps) {
  curandStateXORWOW_t state;
  state.d = in[6 * threadIdx.x];
  for (int i = 0; i < 5; ++i) state.v[i] = in[6 * threadIdx.x + 1 + i];
  for (int i = 0; i < steps; ++i) out[threadIdx.x * steps + i] = curand(&state);
}
