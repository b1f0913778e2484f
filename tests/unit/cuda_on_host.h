#pragma once
// A system header to the compiler: what is included here may use CUDA's pragmas and attributes without a warning.
#pragma GCC system_header

// Runs the device templates as ordinary C++: one thread per CUDA thread, a barrier for __syncthreads, and static
// variables for shared memory, since one block runs at a time. The thread sanitizer then sees the races of the kernel.

#include <algorithm>
#include <atomic>
#include <barrier>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <vector>

#include "gemmsmith/dtype.h"
#include "gemmsmith/kernel.h"

namespace cuda_on_host {

struct Index {
  unsigned x = 0, y = 0, z = 0;
};
inline thread_local Index thread_index;
inline Index block_index, grid_size;
inline std::barrier<>* block_barrier = nullptr;

/// Runs `kernel` once per thread of each block, block after block.
template <class Kernel>
void Launch(gemmsmith::Dim3 grid, unsigned threads, const Kernel& kernel) {
  std::barrier<> barrier(static_cast<std::ptrdiff_t>(threads));
  block_barrier = &barrier;
  grid_size = {grid.x, grid.y, grid.z};
  const auto run_thread = [&](unsigned thread) {
    thread_index = {thread, 0, 0};
    for (unsigned z = 0; z < grid.z; ++z)
      for (unsigned x = 0; x < grid.x; ++x) {
        if (thread == 0) block_index = {x, 0, z};
        barrier.arrive_and_wait();
        kernel();
        barrier.arrive_and_wait();
      }
  };
  std::vector<std::jthread> pool;
  for (unsigned thread = 0; thread < threads; ++thread) pool.emplace_back(run_thread, thread);
}

}  // namespace cuda_on_host

// Device code knows these by their bare names.
using std::max;
using std::min;

#define __device__
#define __forceinline__ inline
#define __shared__ static
#define threadIdx cuda_on_host::thread_index
#define blockIdx cuda_on_host::block_index
#define gridDim cuda_on_host::grid_size
#define __syncthreads() cuda_on_host::block_barrier->arrive_and_wait()
#define __uint_as_float(bits) std::bit_cast<float>(bits)
#define __float_as_uint(value) std::bit_cast<unsigned>(value)

namespace device {

// CUDA's functions that epilogues call: exact ones as they are, the others as include/gemmsmith/epilogue.def defines
// them.
inline float __fadd_rn(float x, float y) { return x + y; }
inline float __fsub_rn(float x, float y) { return x - y; }
inline float __fmul_rn(float x, float y) { return x * y; }
inline float __fdiv_rn(float x, float y) { return x / y; }
inline float __fmaf_rn(float x, float y, float z) { return std::fma(x, y, z); }
inline float __fsqrt_rn(float x) { return std::sqrt(x); }
inline float __frcp_rn(float x) { return 1 / x; }
inline float __int2float_rn(int x) { return static_cast<float>(x); }
inline int ToInt(double x) {
  return std::isnan(x) ? 0 : static_cast<int>(x < -0x1p31 ? -0x1p31 : x > 0x1p31 - 1 ? 0x1p31 - 1 : x);
}
inline int __float2int_rz(float x) { return ToInt(x); }
inline int __float2int_rn(float x) { return ToInt(std::nearbyint(x)); }
inline unsigned atomicMax(unsigned* to, unsigned value) {
  std::atomic_ref<unsigned> maximum(*to);
  unsigned old = maximum.load();
  while (old < value && !maximum.compare_exchange_weak(old, value)) {
  }
  return old;
}
inline float fabsf(float x) { return std::fabs(x); }
inline float rintf(float x) { return std::nearbyint(x); }
inline float rsqrtf(float x) { return static_cast<float>(1 / std::sqrt(double{x})); }
inline float expf(float x) { return static_cast<float>(std::exp(double{x})); }
inline float logf(float x) { return static_cast<float>(std::log(double{x})); }
inline float tanhf(float x) { return static_cast<float>(std::tanh(double{x})); }
inline float erff(float x) { return static_cast<float>(std::erf(double{x})); }

namespace gemmsmith::ptx {

inline float HalfToFloat(unsigned short bits) {
  return static_cast<float>(::gemmsmith::Decode(::gemmsmith::DType::kF16, &bits, 0));
}
inline unsigned short FloatToHalf(float value) {
  unsigned short bits;
  ::gemmsmith::Encode(::gemmsmith::DType::kF16, &bits, 0, value);
  return bits;
}
template <class T>
void StoreGlobal(void* to, const T& value) {
  if (reinterpret_cast<std::uintptr_t>(to) % sizeof(T) != 0) std::abort();  // as the GPU would
  std::memcpy(to, &value, sizeof(T));
}

}  // namespace gemmsmith::ptx

#include "templates/epilogue.cuh"
#include "templates/gemm_simt.cuh"

}  // namespace device
