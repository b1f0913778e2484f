// The wrappers of cuda::ptx around tcgen05, which sm_100a has.
#include <cstdint>
#include <cuda/ptx>

// out (128, 64) = 2 * A (128, 16) * B (64, 16) transposed, in bf16, which lie one behind the other; then through
// registers and back, doubled. 128 threads.
extern "C" __global__ void tensor_product(const std::uint16_t* in, float* out) {
  namespace ptx = cuda::ptx;
  constexpr int kRows = 128, kColumns = 64, kDepth = 16;
  __shared__ __align__(128) std::uint16_t tile[(kRows + kColumns) * kDepth];
  __shared__ std::uint32_t slot;
  __shared__ std::uint64_t done;
  // Blocks of 8 rows of 16 bytes, first along k.
  for (int i = threadIdx.x; i < (kRows + kColumns) * kDepth; i += blockDim.x) {
    const int row = i / kDepth, k = i % kDepth;
    tile[row / 8 * 128 + k / 8 * 64 + row % 8 * 8 + k % 8] = in[i];
  }
  if (threadIdx.x < 32) {
    ptx::tcgen05_alloc(ptx::cta_group_1, &slot, kColumns);
    ptx::tcgen05_relinquish_alloc_permit(ptx::cta_group_1);
  }
  if (threadIdx.x == 0) ptx::mbarrier_init(&done, 1);
  ptx::fence_proxy_async();
  ptx::tcgen05_fence_before_thread_sync();
  __syncthreads();
  ptx::tcgen05_fence_after_thread_sync();
  const std::uint32_t sums = slot;
  if (threadIdx.x == 0) {
    const auto descriptor = [](const void* at) {
      return static_cast<std::uint64_t>(__cvta_generic_to_shared(at)) >> 4 | std::uint64_t{8} << 16 |
             std::uint64_t{16} << 32 | std::uint64_t{1} << 46;
    };
    const std::uint64_t a = descriptor(tile), b = descriptor(tile + kRows * kDepth);
    const std::uint32_t form = 1u << 4 | 1u << 7 | 1u << 10 | kColumns / 8 << 17 | kRows / 16 << 24;
    ptx::tcgen05_mma(ptx::kind_f16, ptx::cta_group_1, sums, a, b, form, false);
    ptx::tcgen05_mma(ptx::kind_f16, ptx::cta_group_1, sums, a, b, form, true);
    ptx::tcgen05_commit(ptx::cta_group_1, &done);
  }
  while (!ptx::mbarrier_try_wait_parity(&done, 0)) {
  }
  ptx::tcgen05_fence_after_thread_sync();
  const std::uint32_t mine = sums + (threadIdx.x / 32 << 21);
  std::uint32_t words[kColumns];
  ptx::tcgen05_ld_32x32b(words, mine);
  ptx::tcgen05_wait_ld();
  for (std::uint32_t& word : words) word = __float_as_uint(2 * __uint_as_float(word));
  ptx::tcgen05_st_32x32b(mine, words);
  ptx::tcgen05_wait_st();
  std::uint32_t pairs[8];
  for (int c = 0; c < kColumns; c += 16) {
    // Of the upper 16 lanes and the lower ones: rows thread / 4 and 8 more, columns thread % 4, 4 apart.
    for (int half = 0; half < 2; ++half) {
      ptx::tcgen05_ld_16x128b(pairs, mine + (half * 16 << 16) + c);
      ptx::tcgen05_wait_ld();
      for (int r = 0; r < 8; ++r) {
        const int lane = threadIdx.x % 32, row = threadIdx.x / 32 * 32 + half * 16 + lane / 4 + r % 2 * 8;
        out[row * kColumns + c + r / 2 * 4 + lane % 4] = __uint_as_float(pairs[r]);
      }
    }
  }
  __syncthreads();
  if (threadIdx.x < 32) ptx::tcgen05_dealloc(ptx::cta_group_1, sums, kColumns);
}
