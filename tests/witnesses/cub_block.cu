// Block and warp primitives of CUB. One CTA each; out holds what the test computes on the host too.
#include <cub/block/block_adjacent_difference.cuh>
#include <cub/block/block_exchange.cuh>
#include <cub/block/block_histogram.cuh>
#include <cub/block/block_load.cuh>
#include <cub/block/block_merge_sort.cuh>
#include <cub/block/block_radix_sort.cuh>
#include <cub/block/block_reduce.cuh>
#include <cub/block/block_scan.cuh>
#include <cub/block/block_store.cuh>
#include <cub/warp/warp_merge_sort.cuh>
#include <cub/warp/warp_reduce.cuh>
#include <cub/warp/warp_scan.cuh>

constexpr int kThreads = 128, kItems = 7;

struct Less {
  template <class T>
  __device__ bool operator()(const T& a, const T& b) const { return a < b; }
};
struct Difference {
  __device__ unsigned operator()(unsigned a, unsigned b) const { return a - b; }
};

// out: the sum by each of the three algorithms, then the largest.
extern "C" __global__ void block_reduce(const unsigned* in, unsigned* out) {
  using Shuffles = cub::BlockReduce<unsigned, kThreads, cub::BLOCK_REDUCE_WARP_REDUCTIONS>;
  using Raking = cub::BlockReduce<unsigned, kThreads, cub::BLOCK_REDUCE_RAKING>;
  using Commutative = cub::BlockReduce<unsigned, kThreads, cub::BLOCK_REDUCE_RAKING_COMMUTATIVE_ONLY>;
  __shared__ union {
    typename Shuffles::TempStorage shuffles;
    typename Raking::TempStorage raking;
    typename Commutative::TempStorage commutative;
  } storage;
  unsigned items[kItems];
  cub::LoadDirectStriped<kThreads>(threadIdx.x, in, items);
  const unsigned a = Shuffles(storage.shuffles).Sum(items);
  __syncthreads();
  const unsigned b = Raking(storage.raking).Sum(items);
  __syncthreads();
  const unsigned c = Commutative(storage.commutative).Sum(items);
  __syncthreads();
  const unsigned largest = Shuffles(storage.shuffles).Reduce(items, cuda::maximum<>{});
  if (threadIdx.x == 0) {
    out[0] = a;
    out[1] = b;
    out[2] = c;
    out[3] = largest;
  }
}

// out: inclusive sums, then exclusive ones by another algorithm.
extern "C" __global__ void block_scan(const unsigned* in, unsigned* out) {
  using Load = cub::BlockLoad<unsigned, kThreads, kItems, cub::BLOCK_LOAD_WARP_TRANSPOSE>;
  using Store = cub::BlockStore<unsigned, kThreads, kItems, cub::BLOCK_STORE_TRANSPOSE>;
  using Warps = cub::BlockScan<unsigned, kThreads, cub::BLOCK_SCAN_WARP_SCANS>;
  using Raking = cub::BlockScan<unsigned, kThreads, cub::BLOCK_SCAN_RAKING_MEMOIZE>;
  __shared__ union {
    typename Load::TempStorage load;
    typename Store::TempStorage store;
    typename Warps::TempStorage warps;
    typename Raking::TempStorage raking;
  } storage;
  unsigned items[kItems], sums[kItems];
  Load(storage.load).Load(in, items);
  __syncthreads();
  Warps(storage.warps).InclusiveSum(items, sums);
  __syncthreads();
  Store(storage.store).Store(out, sums);
  __syncthreads();
  Raking(storage.raking).ExclusiveSum(items, sums);
  __syncthreads();
  Store(storage.store).Store(out + kThreads * kItems, sums);
}

// out: the keys in order, then the places they came from.
extern "C" __global__ void block_radix_sort(const unsigned* in, unsigned* out) {
  using Sort = cub::BlockRadixSort<unsigned, kThreads, kItems, unsigned>;
  __shared__ typename Sort::TempStorage storage;
  unsigned keys[kItems], places[kItems];
  cub::LoadDirectBlocked(threadIdx.x, in, keys);
  for (int i = 0; i < kItems; ++i) places[i] = threadIdx.x * kItems + i;
  Sort(storage).Sort(keys, places);
  cub::StoreDirectBlocked(threadIdx.x, out, keys);
  cub::StoreDirectBlocked(threadIdx.x, out + kThreads * kItems, places);
}

// As above, by comparisons, of doubles made of the words.
extern "C" __global__ void block_merge_sort(const unsigned* in, unsigned* out) {
  using Sort = cub::BlockMergeSort<double, kThreads, kItems, unsigned>;
  __shared__ typename Sort::TempStorage storage;
  double keys[kItems];
  unsigned places[kItems];
  for (int i = 0; i < kItems; ++i) {
    places[i] = threadIdx.x * kItems + i;
    keys[i] = 0.25 * static_cast<double>(in[places[i]]) - 1e9;
  }
  Sort(storage).StableSort(keys, places, Less{});
  for (int i = 0; i < kItems; ++i) {
    out[threadIdx.x * kItems + i] = static_cast<unsigned>((keys[i] + 1e9) * 4);
    out[kThreads * kItems + threadIdx.x * kItems + i] = places[i];
  }
}

// out: 64 counts by atomics, 64 by sorting.
extern "C" __global__ void block_histogram(const unsigned* in, unsigned* out) {
  using Atomics = cub::BlockHistogram<unsigned char, kThreads, kItems, 64, cub::BLOCK_HISTO_ATOMIC>;
  using Sorting = cub::BlockHistogram<unsigned char, kThreads, kItems, 64, cub::BLOCK_HISTO_SORT>;
  __shared__ union {
    typename Atomics::TempStorage atomics;
    typename Sorting::TempStorage sorting;
  } storage;
  __shared__ unsigned counts[64];
  unsigned char items[kItems];
  for (int i = 0; i < kItems; ++i) items[i] = in[threadIdx.x * kItems + i] % 64;
  Atomics(storage.atomics).Histogram(items, counts);
  __syncthreads();
  if (threadIdx.x < 64) out[threadIdx.x] = counts[threadIdx.x];
  __syncthreads();
  Sorting(storage.sorting).Histogram(items, counts);
  __syncthreads();
  if (threadIdx.x < 64) out[64 + threadIdx.x] = counts[threadIdx.x];
}

// out: in, striped to blocked and back by way of other threads, then differences of neighbours.
extern "C" __global__ void block_exchange(const unsigned* in, unsigned* out) {
  using Exchange = cub::BlockExchange<unsigned, kThreads, kItems, true>;
  using Adjacent = cub::BlockAdjacentDifference<unsigned, kThreads>;
  __shared__ union {
    typename Exchange::TempStorage exchange;
    typename Adjacent::TempStorage adjacent;
  } storage;
  unsigned items[kItems], differences[kItems];
  cub::LoadDirectStriped<kThreads>(threadIdx.x, in, items);
  Exchange(storage.exchange).StripedToBlocked(items, items);
  cub::StoreDirectBlocked(threadIdx.x, out, items);
  __syncthreads();
  Adjacent(storage.adjacent).SubtractLeft(items, differences, Difference{});
  cub::StoreDirectBlocked(threadIdx.x, out + kThreads * kItems, differences);
}

// Per warp: out: the sum, then inclusive sums of eights of lanes as bytes of 64-bit words, then the words in order.
extern "C" __global__ void warp_primitives(const unsigned* in, unsigned* out) {
  using Reduce = cub::WarpReduce<unsigned>;
  using Eights = cub::WarpScan<unsigned long long, 8>;
  using Sort = cub::WarpMergeSort<unsigned, 1>;
  __shared__ typename Reduce::TempStorage reduce[kThreads / 32];
  __shared__ typename Eights::TempStorage eights[kThreads / 8];
  __shared__ typename Sort::TempStorage sort[kThreads / 32];
  const int warp = threadIdx.x / 32;
  const unsigned value = in[threadIdx.x];
  const unsigned sum = Reduce(reduce[warp]).Sum(value);
  if (threadIdx.x % 32 == 0) out[warp] = sum;
  unsigned long long wide;
  Eights(eights[threadIdx.x / 8]).InclusiveSum(static_cast<unsigned long long>(value), wide);
  out[4 + 2 * threadIdx.x] = static_cast<unsigned>(wide);
  out[5 + 2 * threadIdx.x] = static_cast<unsigned>(wide >> 32);
  unsigned keys[1] = {value};
  Sort(sort[warp]).Sort(keys, Less{});
  out[4 + 2 * kThreads + threadIdx.x] = keys[0];
}
