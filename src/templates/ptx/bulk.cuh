#pragma once

// Copies of whole tiles by the engine that sm_90 and its successors have for it (TMA). One thread starts them. Maps are
// kernel parameters; coordinates are elements, the innermost first; what lies outside of a tensor is 0, and not stored.
#ifdef __CUDACC__

namespace gemmsmith::ptx {

/// Fetches a map before it is used.
__device__ __forceinline__ void PrefetchMap(const void* map) {
  asm volatile("prefetch.tensormap [%0];" ::"l"(map) : "memory");
}

/// A box into shared memory. Its bytes arrive at `barrier`.
__device__ __forceinline__ void LoadTile(unsigned to, const void* map, unsigned barrier, int x, int y, int z) {
  asm volatile(
      "cp.async.bulk.tensor.3d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4, %5}], [%2];" ::
          "r"(to),
      "l"(map), "r"(barrier), "r"(x), "r"(y), "r"(z)
      : "memory");
}
/// The same into the shared memory of all blocks of the cluster whose bits are set, and at their barriers.
__device__ __forceinline__ void LoadTileForAll(unsigned to, const void* map, unsigned barrier, int x, int y, int z,
                                               unsigned short blocks) {
  asm volatile(
      "cp.async.bulk.tensor.3d.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster [%0], [%1, {%3, "
      "%4, %5}], [%2], %6;" ::"r"(to),
      "l"(map), "r"(barrier), "r"(x), "r"(y), "r"(z), "h"(blocks)
      : "memory");
}

/// A box from shared memory.
__device__ __forceinline__ void StoreTile(const void* map, unsigned from, int x, int y, int z) {
  asm volatile("cp.async.bulk.tensor.3d.global.shared::cta.bulk_group [%0, {%1, %2, %3}], [%4];" ::"l"(map), "r"(x),
               "r"(y), "r"(z), "r"(from)
               : "memory");
}
/// Closes the group of this thread's stores since the last call.
__device__ __forceinline__ void CommitStores() { asm volatile("cp.async.bulk.commit_group;" ::: "memory"); }
/// Until this thread's stores, all but the last kPending groups of them, have read their shared memory.
template <int kPending = 0>
__device__ __forceinline__ void WaitForStoresToRead() {
  asm volatile("cp.async.bulk.wait_group.read %0;" ::"n"(kPending) : "memory");
}

/// Between this thread's ordinary stores to shared memory and what bulk copies and tensor cores read there.
__device__ __forceinline__ void FenceForBulk() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }

}  // namespace gemmsmith::ptx

#endif
