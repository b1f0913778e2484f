#pragma once

// Shared memory by its 32-bit addresses, and asynchronous copies into it (sm_80 and newer). A test that runs a template
// on the host brings its own.
#ifdef __CUDACC__

namespace gemmsmith::ptx {

__device__ __forceinline__ unsigned SharedAddress(const void* pointer) {
  return static_cast<unsigned>(__cvta_generic_to_shared(pointer));
}

/// Copies the first `bytes` of kBytes (4, 8 or 16) and sets the rest to 0; both addresses are multiples of kBytes. Not
/// before WaitForCopies.
template <int kBytes>
__device__ __forceinline__ void CopyAsync(unsigned to, const void* from, int bytes) {
  const unsigned long long address = __cvta_generic_to_global(from);
  if constexpr (kBytes == 16) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(address), "r"(bytes) : "memory");
  } else if constexpr (kBytes == 8) {
    asm volatile("cp.async.ca.shared.global [%0], [%1], 8, %2;" ::"r"(to), "l"(address), "r"(bytes) : "memory");
  } else {
    static_assert(kBytes == 4, "4, 8 or 16");
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(to), "l"(address), "r"(bytes) : "memory");
  }
}

/// Closes the group of this thread's copies since the last call.
__device__ __forceinline__ void CommitCopies() { asm volatile("cp.async.commit_group;" ::: "memory"); }

/// Until all but the last kPending groups of this thread have arrived. Other threads see them after a barrier.
template <int kPending>
__device__ __forceinline__ void WaitForCopies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
}

__device__ __forceinline__ unsigned LoadShared(unsigned address) {
  unsigned word;
  asm volatile("ld.shared.b32 %0, [%1];" : "=r"(word) : "r"(address) : "memory");
  return word;
}
__device__ __forceinline__ void StoreShared(unsigned address, unsigned word) {
  asm volatile("st.shared.b32 [%0], %1;" ::"r"(address), "r"(word) : "memory");
}
/// Of a word its first bytes, less than 4, stay; the others become 0.
__device__ __forceinline__ void KeepFirstBytes(unsigned address, int bytes) {
  StoreShared(address, bytes > 0 ? LoadShared(address) & ((1u << bytes * 8) - 1) : 0);
}
/// Two values with one instruction; `address` is a multiple of 8. (A pair in a structure takes the compiler longer.)
__device__ __forceinline__ void StoreSharedHalf(unsigned address, unsigned short half_word) {
  asm volatile("st.shared.b16 [%0], %1;" ::"r"(address), "h"(half_word) : "memory");
}
__device__ __forceinline__ void StoreSharedPair(unsigned address, float first, float second) {
  asm volatile("st.shared.v2.f32 [%0], {%1, %2};" ::"r"(address), "f"(first), "f"(second) : "memory");
}
__device__ __forceinline__ void StoreSharedPair(unsigned address, int first, int second) {
  asm volatile("st.shared.v2.b32 [%0], {%1, %2};" ::"r"(address), "r"(first), "r"(second) : "memory");
}
/// `address` is a multiple of 16.
__device__ __forceinline__ void StoreSharedQuad(unsigned address, const unsigned (&words)[4]) {
  asm volatile("st.shared.v4.b32 [%0], {%1, %2, %3, %4};" ::"r"(address), "r"(words[0]), "r"(words[1]), "r"(words[2]),
               "r"(words[3])
               : "memory");
}

}  // namespace gemmsmith::ptx

#endif
