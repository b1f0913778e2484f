#pragma once

// Barriers in shared memory (mbarrier), of some of a block's threads, and of a cluster's blocks; sm_90 and newer.
// Shared memory is named by 32-bit addresses.
#ifdef __CUDACC__

namespace gemmsmith::ptx {

/// A barrier of 8 bytes whose phase ends with `arrivals` arrivals and all the bytes that were announced.
__device__ __forceinline__ void InitBarrier(unsigned barrier, unsigned arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(barrier), "r"(arrivals) : "memory");
}
/// Before other threads of the cluster, and copies, meet barriers that this thread has made.
__device__ __forceinline__ void FenceBarrierInit() {
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}

/// Arrives, and announces bytes that copies will bring.
__device__ __forceinline__ void ArriveExpecting(unsigned barrier, unsigned bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(barrier), "r"(bytes) : "memory");
}
__device__ __forceinline__ void Arrive(unsigned barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(barrier) : "memory");
}
/// At the barrier that lies at the same place in block `rank` of the cluster. It orders nothing that other blocks read
/// or write in memory: that would take a fence of the whole GPU.
__device__ __forceinline__ void ArriveAt(unsigned barrier, unsigned rank) {
  unsigned there;
  asm volatile("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(there) : "r"(barrier), "r"(rank));
  asm volatile("mbarrier.arrive.shared::cluster.b64 _, [%0];" ::"r"(there) : "memory");
}

/// Until the phase of this parity has ended: the first has parity 0. Of a barrier in its first phase, that of parity 1
/// has. What bulk copies announced there is visible then.
__device__ __forceinline__ void WaitFor(unsigned barrier, unsigned parity) {
  asm volatile(
      "{\n"
      ".reg .pred ended;\n"
      "AGAIN:\n"
      "mbarrier.try_wait.parity.shared::cta.b64 ended, [%0], %1;\n"
      "@!ended bra AGAIN;\n"
      "}" ::"r"(barrier),
      "r"(parity)
      : "memory");
}

/// True in one lane of the warp, all of which call it. Only of that one ptxas knows that it is alone: around what one
/// thread issues that was chosen otherwise it puts a loop over lanes.
__device__ __forceinline__ bool IsElected() {
  unsigned elected;
  asm volatile(
      "{\n"
      ".reg .pred elected;\n"
      "elect.sync _|elected, 0xffffffff;\n"
      "selp.b32 %0, 1, 0, elected;\n"
      "}"
      : "=r"(elected));
  return elected != 0;
}

/// kThreads threads, whole warps, that say the same id. __syncthreads has id 0.
template <int kThreads>
__device__ __forceinline__ void SyncThreads(int id) {
  asm volatile("bar.sync %0, %1;" ::"r"(id), "n"(kThreads) : "memory");
}

/// All threads of all blocks of the cluster.
__device__ __forceinline__ void SyncCluster() {
  asm volatile("barrier.cluster.arrive.release.aligned;" ::: "memory");
  asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory");
}
__device__ __forceinline__ unsigned ClusterRank() {
  unsigned rank;
  asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
  return rank;
}

/// Registers of each thread, for all warps of a warp group: the others of the block may then have more.
template <int kRegisters>
__device__ __forceinline__ void LowerRegisters() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kRegisters));
}
template <int kRegisters>
__device__ __forceinline__ void RaiseRegisters() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kRegisters));
}

}  // namespace gemmsmith::ptx

#endif
