#pragma once

// Launches on one stream that may overlap; sm_90 and newer. Without the launch attribute both do nothing.
#ifdef __CUDACC__

namespace gemmsmith::ptx {

/// Until the launch before this one is complete, and all that it wrote is visible. For each thread that reads what
/// others made, or writes what they may still read.
__device__ __forceinline__ void WaitForLaunchBefore() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}
/// The next launch may start when one thread of each block has said so, or has ended.
__device__ __forceinline__ void LetNextLaunchStart() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

}  // namespace gemmsmith::ptx

#endif
