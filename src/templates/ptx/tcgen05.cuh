#pragma once

// Products on tensor cores whose sums lie in tensor memory (tcgen05): sm_100a and its kin, one block alone. Tensor
// memory has 128 lanes of 512 columns of 32 bits; an address has the lane in its upper half, the column in its lower.
#ifdef __CUDACC__

namespace gemmsmith::ptx {

/// kColumns (a power of two, at least 32) of tensor memory, whose address goes to shared address `to`. One warp calls
/// it, and later frees what it got.
template <int kColumns>
__device__ __forceinline__ void AllocateTensorMemory(unsigned to) {
  asm volatile("tcgen05.alloc.cta_group::1.sync.aligned.shared::cta.b32 [%0], %1;" ::"r"(to), "n"(kColumns) : "memory");
  asm volatile("tcgen05.relinquish_alloc_permit.cta_group::1.sync.aligned;" ::: "memory");
}
template <int kColumns>
__device__ __forceinline__ void FreeTensorMemory(unsigned at) {
  asm volatile("tcgen05.dealloc.cta_group::1.sync.aligned.b32 %0, %1;" ::"r"(at), "n"(kColumns) : "memory");
}

/// What this thread has done with tensor memory comes before, or after, what it tells to, or hears from, others by a
/// barrier.
__device__ __forceinline__ void FenceTensorBeforeSync() {
  asm volatile("tcgen05.fence::before_thread_sync;" ::: "memory");
}
__device__ __forceinline__ void FenceTensorAfterSync() {
  asm volatile("tcgen05.fence::after_thread_sync;" ::: "memory");
}

/// What distinguishes the instructions; and, of an element, its kind and its number among those (PTX ISA, instruction
/// descriptor).
enum class TensorKind { kF16, kTf32, kF8, kI8 };
template <TensorKind kOf, unsigned kNumber>
struct TensorFormat {
  static constexpr TensorKind kKind = kOf;
  static constexpr unsigned kFormat = kNumber;
};

/// Sums (128, columns) += or = A (128, 32 bytes of k) * B (32 bytes of k, columns), asynchronous; products of one block
/// follow each other. `a` and `b` say where the operands are in shared memory, `form` what they are.
template <TensorKind kKind>
__device__ __forceinline__ void AddTensorProduct(unsigned sums, unsigned long long a, unsigned long long b,
                                                 unsigned form, int adds) {
#define GEMMSMITH_TENSOR_PRODUCT(kind)       \
  asm volatile(                              \
      "{\n"                                  \
      ".reg .pred adds;\n"                   \
      "setp.ne.b32 adds, %4, 0;\n"           \
      "tcgen05.mma.cta_group::1.kind::" kind \
      " [%0], %1, %2, %3, adds;\n"           \
      "}" ::"r"(sums),                       \
      "l"(a), "l"(b), "r"(form), "r"(adds)   \
      : "memory")
  if constexpr (kKind == TensorKind::kF16) {
    GEMMSMITH_TENSOR_PRODUCT("f16");
  } else if constexpr (kKind == TensorKind::kTf32) {
    GEMMSMITH_TENSOR_PRODUCT("tf32");
  } else if constexpr (kKind == TensorKind::kF8) {
    GEMMSMITH_TENSOR_PRODUCT("f8f6f4");
  } else {
    GEMMSMITH_TENSOR_PRODUCT("i8");
  }
#undef GEMMSMITH_TENSOR_PRODUCT
}

/// Arrives at `barrier` when this thread's products so far have read their operands and are in their sums.
__device__ __forceinline__ void ArriveAfterProducts(unsigned barrier) {
  asm volatile("tcgen05.commit.cta_group::1.mbarrier::arrive::one.shared::cluster.b64 [%0];" ::"r"(barrier) : "memory");
}

#define GEMMSMITH_TENSOR_EIGHT(i)                                                                                    \
  "=r"(to[i]), "=r"(to[i + 1]), "=r"(to[i + 2]), "=r"(to[i + 3]), "=r"(to[i + 4]), "=r"(to[i + 5]), "=r"(to[i + 6]), \
      "=r"(to[i + 7])
/// 32 columns from `from` on, of the lane of this thread: a warp reads the 32 lanes of its place among four, with the
/// first of which `from` begins. They have arrived when the call returns: a wait of its own would not hold the
/// compiler back from using them before.
__device__ __forceinline__ void LoadTensorWords(unsigned from, unsigned* to) {
  asm volatile(
      "tcgen05.ld.sync.aligned.32x32b.x32.b32 {%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
      "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31}, [%32];\n"
      "tcgen05.wait::ld.sync.aligned;"
      : GEMMSMITH_TENSOR_EIGHT(0), GEMMSMITH_TENSOR_EIGHT(8), GEMMSMITH_TENSOR_EIGHT(16), GEMMSMITH_TENSOR_EIGHT(24)
      : "r"(from)
      : "memory");
}
#undef GEMMSMITH_TENSOR_EIGHT

}  // namespace gemmsmith::ptx

#endif
