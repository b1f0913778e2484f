// cuda::barrier, cuda::pipeline, and on sm_90 bulk copies that complete on a barrier.
#include <cooperative_groups.h>
#include <cuda/barrier>
#include <cuda/latch>
#include <cuda/pipeline>
#include <cuda/ptx>
#include <cuda/semaphore>

#pragma nv_diag_suppress static_var_with_dynamic_init
constexpr int kWords = 256;

// Half the threads fill, half empty a ring of two stages. out = in * 3 + stage.
extern "C" __global__ void producer_consumer(const unsigned* in, unsigned* out, int chunks) {
  using Barrier = cuda::barrier<cuda::thread_scope_block>;
  __shared__ unsigned stage[2][64];
  __shared__ Barrier full[2], empty[2];
  if (threadIdx.x < 2) {
    init(&full[threadIdx.x], blockDim.x);
    init(&empty[threadIdx.x], blockDim.x);
  }
  __syncthreads();
  const int i = threadIdx.x % 64;
  if (threadIdx.x < 64) {
    for (int c = 0; c < chunks; ++c) {
      empty[c % 2].arrive_and_wait();
      stage[c % 2][i] = in[c * 64 + i] * 3;
      static_cast<void>(full[c % 2].arrive());
    }
  } else {
    static_cast<void>(empty[0].arrive());
    static_cast<void>(empty[1].arrive());
    for (int c = 0; c < chunks; ++c) {
      full[c % 2].arrive_and_wait();
      out[c * 64 + i] = stage[c % 2][63 - i] + c % 2;
      static_cast<void>(empty[c % 2].arrive());
    }
  }
}

// A pipeline of the block with three stages; threads copy 16 bytes each. out = in reversed by chunk.
extern "C" __global__ void pipelined(const unsigned* in, unsigned* out, int chunks) {
  constexpr int kStages = 3;
  __shared__ alignas(16) unsigned stage[kStages][kWords];
  __shared__ cuda::pipeline_shared_state<cuda::thread_scope_block, kStages> state;
  const auto block = cooperative_groups::this_thread_block();
  auto pipe = cuda::make_pipeline(block, &state);
  for (int compute = 0, fetch = 0; compute < chunks; ++compute) {
    for (; fetch < chunks && fetch < compute + kStages; ++fetch) {
      pipe.producer_acquire();
      cuda::memcpy_async(block, stage[fetch % kStages], in + fetch * kWords,
                         cuda::aligned_size_t<16>(sizeof stage[0]), pipe);
      pipe.producer_commit();
    }
    pipe.consumer_wait();
    for (int i = threadIdx.x; i < kWords; i += blockDim.x)
      out[compute * kWords + i] = stage[compute % kStages][kWords - 1 - i];
    pipe.consumer_release();
  }
}

// Copies of each thread alone, of 4 and 8 bytes, by the pipeline of the thread.
extern "C" __global__ void thread_pipeline(const unsigned* in, unsigned* out) {
  __shared__ alignas(8) unsigned words[3 * 128];
  auto pipe = cuda::make_pipeline();
  const int i = threadIdx.x;
  pipe.producer_acquire();
  cuda::memcpy_async(&words[i], &in[i], cuda::aligned_size_t<4>(4), pipe);
  pipe.producer_commit();
  pipe.producer_acquire();
  cuda::memcpy_async(&words[128 + 2 * i], &in[128 + 2 * i], cuda::aligned_size_t<8>(8), pipe);
  pipe.producer_commit();
  cuda::pipeline_consumer_wait_prior<1>(pipe);
  __syncthreads();
  out[i] = words[127 - i];
  cuda::pipeline_consumer_wait_prior<0>(pipe);
  __syncthreads();
  out[128 + 2 * i] = words[383 - 2 * i];
  out[129 + 2 * i] = words[382 - 2 * i];
}

// A latch lets all pass when all have counted down; a semaphore lets one CTA at a time add to out[0] without atomics.
__device__ cuda::binary_semaphore<cuda::thread_scope_device> turn{1};
extern "C" __global__ void latch_semaphore(const unsigned* in, unsigned* out) {
  using Latch = cuda::latch<cuda::thread_scope_block>;
  __shared__ alignas(Latch) unsigned char place[sizeof(Latch)];
  __shared__ unsigned words[64];
  Latch& ready = *reinterpret_cast<Latch*>(place);
  if (threadIdx.x == 0) new (&ready) Latch(blockDim.x);
  __syncthreads();
  words[threadIdx.x] = in[blockIdx.x * 64 + threadIdx.x];
  ready.arrive_and_wait();
  if (threadIdx.x != 0) return;
  unsigned sum = 0;
  for (const unsigned word : words) sum += word;
  turn.acquire();
  *const_cast<volatile unsigned*>(out) = *const_cast<volatile unsigned*>(out) + sum;
  turn.release();
}

#if __CUDA_ARCH__ >= 900
// One thread copies in bulk, all wait; the sums go back in bulk. out = in + 7.
extern "C" __global__ void bulk_copies(const unsigned* in, unsigned* out) {
  namespace ptx = cuda::ptx;
  using Barrier = cuda::barrier<cuda::thread_scope_block>;
  __shared__ alignas(128) unsigned words[kWords];
  __shared__ Barrier barrier;
  if (threadIdx.x == 0) {
    init(&barrier, blockDim.x);
    ptx::fence_proxy_async(ptx::space_shared);
  }
  __syncthreads();
  Barrier::arrival_token token;
  if (threadIdx.x == 0) {
    cuda::memcpy_async(words, in + blockIdx.x * kWords, cuda::aligned_size_t<16>(sizeof words), barrier);
  }
  token = barrier.arrive();
  barrier.wait(std::move(token));
  for (int i = threadIdx.x; i < kWords; i += blockDim.x) words[i] += 7;
  ptx::fence_proxy_async(ptx::space_shared);
  __syncthreads();
  if (threadIdx.x == 0) {
    ptx::cp_async_bulk(ptx::space_global, ptx::space_shared, out + blockIdx.x * kWords, words, sizeof words);
    ptx::cp_async_bulk_commit_group();
    ptx::cp_async_bulk_wait_group_read(ptx::n32_t<0>());
  }
}

// As above with the expected bytes told by hand, and the result added to out by the copy.
extern "C" __global__ void bulk_sums(const unsigned* in, unsigned* out) {
  namespace ptx = cuda::ptx;
  __shared__ alignas(128) unsigned words[kWords];
  __shared__ std::uint64_t barrier;
  if (threadIdx.x == 0) {
    ptx::mbarrier_init(&barrier, 1);
    ptx::fence_mbarrier_init(ptx::sem_release, ptx::scope_cluster);
  }
  __syncthreads();
  if (threadIdx.x == 0) {
    ptx::mbarrier_arrive_expect_tx(ptx::sem_release, ptx::scope_cta, ptx::space_shared, &barrier, sizeof words);
    ptx::cp_async_bulk(ptx::space_cluster, ptx::space_global, words, in + blockIdx.x * kWords, sizeof words, &barrier);
  }
  while (!ptx::mbarrier_try_wait_parity(&barrier, 0)) {
  }
  if (threadIdx.x == 0) {
    ptx::cp_reduce_async_bulk(ptx::space_global, ptx::space_shared, ptx::op_add, out, words, sizeof words);
    ptx::cp_async_bulk_commit_group();
    ptx::cp_async_bulk_wait_group(ptx::n32_t<0>());
  }
}
#endif
