// cuda::atomic_ref and the classical atomic functions, over many CTAs that meet in the same words.
#include <cuda/atomic>
#include <cuda/std/cstdint>

// out: sums, largest, smallest, and, or, xor, a sum of floats, a sum of doubles (two words) of all of in.
extern "C" __global__ void atomic_refs(const unsigned* in, unsigned* out) {
  const unsigned value = in[blockIdx.x * blockDim.x + threadIdx.x];
  using Ref = cuda::atomic_ref<unsigned, cuda::thread_scope_device>;
  Ref(out[0]).fetch_add(value, cuda::memory_order_relaxed);
  Ref(out[1]).fetch_max(value);
  Ref(out[2]).fetch_min(value, cuda::memory_order_acq_rel);
  Ref(out[3]).fetch_and(value);
  Ref(out[4]).fetch_or(value, cuda::memory_order_release);
  cuda::atomic_ref<unsigned, cuda::thread_scope_system>(out[5]).fetch_xor(value);
  cuda::atomic_ref<float, cuda::thread_scope_device>(*reinterpret_cast<float*>(&out[6])).fetch_add(float(value % 64));
  cuda::atomic_ref<double, cuda::thread_scope_device>(*reinterpret_cast<double*>(&out[8])).fetch_add(0.5 * (value % 64));
}

// A list through a 64-bit exchange of heads: out[0..1] the head, out[2 + i] the next of i; all must be on it once.
extern "C" __global__ void linked_list(const unsigned*, unsigned* out) {
  const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
  cuda::atomic_ref<cuda::std::uint64_t, cuda::thread_scope_device> head(*reinterpret_cast<cuda::std::uint64_t*>(out));
  cuda::std::uint64_t old = head.load(cuda::memory_order_relaxed);
  do {
    out[2 + i] = static_cast<unsigned>(old);
  } while (!head.compare_exchange_weak(old, i + 1 + (((old >> 32) + 1) << 32), cuda::memory_order_acq_rel));
}

// Locks of one lane at a time: 8 counters behind 8 locks that all warps fight for.
extern "C" __global__ void locks(const unsigned* in, unsigned* out) {
  const unsigned which = in[blockIdx.x * blockDim.x + threadIdx.x] % 8;
  cuda::atomic_ref<unsigned, cuda::thread_scope_device> lock(out[which]);
  for (bool done = false; !done;) {
    if (lock.exchange(1, cuda::memory_order_acquire) == 0) {
      *const_cast<volatile unsigned*>(out + 8 + which) = *const_cast<volatile unsigned*>(out + 8 + which) + 1;
      lock.store(0, cuda::memory_order_release);
      done = true;
    }
  }
}

// Bytes and 16-bit words, which the hardware has no operations for; flags; waiting for another CTA.
extern "C" __global__ void small_atomics(const unsigned* in, unsigned* out) {
  const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
  using Byte = cuda::atomic_ref<cuda::std::uint8_t, cuda::thread_scope_device>;
  using Short = cuda::atomic_ref<cuda::std::uint16_t, cuda::thread_scope_device>;
  Byte(reinterpret_cast<cuda::std::uint8_t*>(out)[in[i] % 4]).fetch_add(1);
  Short(reinterpret_cast<cuda::std::uint16_t*>(out + 1)[in[i] % 2]).fetch_add(in[i] % 5);
  if (i == 0) {
    cuda::atomic_ref<unsigned, cuda::thread_scope_device> flag(out[2]);
    flag.store(42, cuda::memory_order_release);
    flag.notify_all();
  }
  if (i == gridDim.x * blockDim.x - 1) {
    cuda::atomic_ref<unsigned, cuda::thread_scope_device> flag(out[2]);
    flag.wait(0, cuda::memory_order_acquire);
    out[3] = flag.load();
  }
}

// The functions of the CUDA language, in shared memory, then added up.
extern "C" __global__ void classical(const unsigned* in, unsigned* out) {
  __shared__ unsigned words[8];
  __shared__ unsigned long long wide;
  if (threadIdx.x < 8) words[threadIdx.x] = threadIdx.x == 2 || threadIdx.x == 3 ? ~0u : 0;
  if (threadIdx.x == 0) wide = 0;
  __syncthreads();
  const unsigned value = in[blockIdx.x * blockDim.x + threadIdx.x];
  atomicAdd(&words[0], value);
  atomicMax(reinterpret_cast<int*>(&words[1]), static_cast<int>(value));
  atomicMin(&words[2], value);
  atomicAnd(&words[3], value);
  atomicOr_block(&words[4], value);
  atomicXor(&words[5], value);
  atomicInc(&words[6], 9);
  atomicAdd(reinterpret_cast<float*>(&words[7]), static_cast<float>(value % 16));
  atomicAdd(&wide, static_cast<unsigned long long>(value) << 8);
  __syncthreads();
  if (threadIdx.x < 8) out[blockIdx.x * 10 + threadIdx.x] = words[threadIdx.x];
  if (threadIdx.x == 0) {
    out[blockIdx.x * 10 + 8] = static_cast<unsigned>(wide);
    out[blockIdx.x * 10 + 9] = static_cast<unsigned>(wide >> 32);
  }
}
