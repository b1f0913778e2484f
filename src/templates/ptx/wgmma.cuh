#pragma once

// Products of a warp group on tensor cores (sm_90a): both operands lie in shared memory, sums in registers. One kernel
// uses one instruction of the many, and macros that are defined before this is included say which:
//
//   GEMMSMITH_WGMMA_N        columns of the product: a multiple of 16, at most 256
//   GEMMSMITH_WGMMA_TYPES    "k16.f32.bf16.bf16": depth and types
//   GEMMSMITH_WGMMA_MAJORS   what follows the predicate: ", 1, 1, 0, 1" for signs and, of 16-bit types, transpositions
//   GEMMSMITH_WGMMA_STEP_A   "2": what leads from a descriptor of A to that of the next 32 bytes of k; of B: STEP_B
//   GEMMSMITH_WGMMA_INTEGER  defined where sums are integers
//
// Written out for all of them, the header would take longer to read than a kernel takes to compile.
//
// The sums are registers of the assembly's own, and variables only when they have been read. As operands of each
// statement they would be copied where loops begin and end, and that took half of the compiler's time.
#ifdef __CUDACC__

#ifdef GEMMSMITH_WGMMA_INTEGER
#define GEMMSMITH_WGMMA_SUM int
#define GEMMSMITH_WGMMA_CLASS "=r"
#else
#define GEMMSMITH_WGMMA_SUM float
#define GEMMSMITH_WGMMA_CLASS "=f"
#endif
#define GEMMSMITH_WGMMA_TEXT_OF(n) #n
#define GEMMSMITH_WGMMA_TEXT(n) GEMMSMITH_WGMMA_TEXT_OF(n)

// FIRST and MORE of eight sums each, for all N / 2 of them.
#define GEMMSMITH_WGMMA_EIGHTS_1(FIRST, MORE, x) FIRST(x, 0, 1, 2, 3, 4, 5, 6, 7)
#if GEMMSMITH_WGMMA_N >= 32
#define GEMMSMITH_WGMMA_EIGHTS_2(FIRST, MORE, x) \
  GEMMSMITH_WGMMA_EIGHTS_1(FIRST, MORE, x) MORE(x, 8, 9, 10, 11, 12, 13, 14, 15)
#else
#define GEMMSMITH_WGMMA_EIGHTS_2 GEMMSMITH_WGMMA_EIGHTS_1
#endif
#if GEMMSMITH_WGMMA_N >= 48
#define GEMMSMITH_WGMMA_EIGHTS_3(FIRST, MORE, x) \
  GEMMSMITH_WGMMA_EIGHTS_2(FIRST, MORE, x) MORE(x, 16, 17, 18, 19, 20, 21, 22, 23)
#else
#define GEMMSMITH_WGMMA_EIGHTS_3 GEMMSMITH_WGMMA_EIGHTS_2
#endif
#if GEMMSMITH_WGMMA_N >= 64
#define GEMMSMITH_WGMMA_EIGHTS_4(FIRST, MORE, x) \
  GEMMSMITH_WGMMA_EIGHTS_3(FIRST, MORE, x) MORE(x, 24, 25, 26, 27, 28, 29, 30, 31)
#else
#define GEMMSMITH_WGMMA_EIGHTS_4 GEMMSMITH_WGMMA_EIGHTS_3
#endif
#if GEMMSMITH_WGMMA_N >= 80
#define GEMMSMITH_WGMMA_EIGHTS_5(FIRST, MORE, x) \
  GEMMSMITH_WGMMA_EIGHTS_4(FIRST, MORE, x) MORE(x, 32, 33, 34, 35, 36, 37, 38, 39)
#else
#define GEMMSMITH_WGMMA_EIGHTS_5 GEMMSMITH_WGMMA_EIGHTS_4
#endif
#if GEMMSMITH_WGMMA_N >= 96
#define GEMMSMITH_WGMMA_EIGHTS_6(FIRST, MORE, x) \
  GEMMSMITH_WGMMA_EIGHTS_5(FIRST, MORE, x) MORE(x, 40, 41, 42, 43, 44, 45, 46, 47)
#else
#define GEMMSMITH_WGMMA_EIGHTS_6 GEMMSMITH_WGMMA_EIGHTS_5
#endif
#if GEMMSMITH_WGMMA_N >= 112
#define GEMMSMITH_WGMMA_EIGHTS_7(FIRST, MORE, x) \
  GEMMSMITH_WGMMA_EIGHTS_6(FIRST, MORE, x) MORE(x, 48, 49, 50, 51, 52, 53, 54, 55)
#else
#define GEMMSMITH_WGMMA_EIGHTS_7 GEMMSMITH_WGMMA_EIGHTS_6
#endif
#if GEMMSMITH_WGMMA_N >= 128
#define GEMMSMITH_WGMMA_EIGHTS_8(FIRST, MORE, x) \
  GEMMSMITH_WGMMA_EIGHTS_7(FIRST, MORE, x) MORE(x, 56, 57, 58, 59, 60, 61, 62, 63)
#else
#define GEMMSMITH_WGMMA_EIGHTS_8 GEMMSMITH_WGMMA_EIGHTS_7
#endif
#if GEMMSMITH_WGMMA_N >= 144
#define GEMMSMITH_WGMMA_EIGHTS_9(FIRST, MORE, x) \
  GEMMSMITH_WGMMA_EIGHTS_8(FIRST, MORE, x) MORE(x, 64, 65, 66, 67, 68, 69, 70, 71)
#else
#define GEMMSMITH_WGMMA_EIGHTS_9 GEMMSMITH_WGMMA_EIGHTS_8
#endif
#if GEMMSMITH_WGMMA_N >= 160
#define GEMMSMITH_WGMMA_EIGHTS_10(FIRST, MORE, x) \
  GEMMSMITH_WGMMA_EIGHTS_9(FIRST, MORE, x) MORE(x, 72, 73, 74, 75, 76, 77, 78, 79)
#else
#define GEMMSMITH_WGMMA_EIGHTS_10 GEMMSMITH_WGMMA_EIGHTS_9
#endif
#if GEMMSMITH_WGMMA_N >= 176
#define GEMMSMITH_WGMMA_EIGHTS_11(FIRST, MORE, x) \
  GEMMSMITH_WGMMA_EIGHTS_10(FIRST, MORE, x) MORE(x, 80, 81, 82, 83, 84, 85, 86, 87)
#else
#define GEMMSMITH_WGMMA_EIGHTS_11 GEMMSMITH_WGMMA_EIGHTS_10
#endif
#if GEMMSMITH_WGMMA_N >= 192
#define GEMMSMITH_WGMMA_EIGHTS_12(FIRST, MORE, x) \
  GEMMSMITH_WGMMA_EIGHTS_11(FIRST, MORE, x) MORE(x, 88, 89, 90, 91, 92, 93, 94, 95)
#else
#define GEMMSMITH_WGMMA_EIGHTS_12 GEMMSMITH_WGMMA_EIGHTS_11
#endif
#if GEMMSMITH_WGMMA_N >= 208
#define GEMMSMITH_WGMMA_EIGHTS_13(FIRST, MORE, x) \
  GEMMSMITH_WGMMA_EIGHTS_12(FIRST, MORE, x) MORE(x, 96, 97, 98, 99, 100, 101, 102, 103)
#else
#define GEMMSMITH_WGMMA_EIGHTS_13 GEMMSMITH_WGMMA_EIGHTS_12
#endif
#if GEMMSMITH_WGMMA_N >= 224
#define GEMMSMITH_WGMMA_EIGHTS_14(FIRST, MORE, x) \
  GEMMSMITH_WGMMA_EIGHTS_13(FIRST, MORE, x) MORE(x, 104, 105, 106, 107, 108, 109, 110, 111)
#else
#define GEMMSMITH_WGMMA_EIGHTS_14 GEMMSMITH_WGMMA_EIGHTS_13
#endif
#if GEMMSMITH_WGMMA_N >= 240
#define GEMMSMITH_WGMMA_EIGHTS_15(FIRST, MORE, x) \
  GEMMSMITH_WGMMA_EIGHTS_14(FIRST, MORE, x) MORE(x, 112, 113, 114, 115, 116, 117, 118, 119)
#else
#define GEMMSMITH_WGMMA_EIGHTS_15 GEMMSMITH_WGMMA_EIGHTS_14
#endif
#if GEMMSMITH_WGMMA_N >= 256
#define GEMMSMITH_WGMMA_EIGHTS_16(FIRST, MORE, x) \
  GEMMSMITH_WGMMA_EIGHTS_15(FIRST, MORE, x) MORE(x, 120, 121, 122, 123, 124, 125, 126, 127)
#else
#define GEMMSMITH_WGMMA_EIGHTS_16 GEMMSMITH_WGMMA_EIGHTS_15
#endif

// Their names: those of a product are numbered from `x` on.
#define GEMMSMITH_WGMMA_NAMES(x, a, b, c, d, e, f, g, h) \
  x #a ", " x #b ", " x #c ", " x #d ", " x #e ", " x #f ", " x #g ", " x #h
#define GEMMSMITH_WGMMA_MORE_NAMES(...) ", " GEMMSMITH_WGMMA_NAMES(__VA_ARGS__)
// What reads them, and where to.
#define GEMMSMITH_WGMMA_READS(x, a, b, c, d, e, f, g, h)                                                          \
  "mov.b32 %" #a ", " x #a ";\nmov.b32 %" #b ", " x #b ";\nmov.b32 %" #c ", " x #c ";\nmov.b32 %" #d ", " x #d    \
  ";\nmov.b32 %" #e ", " x #e ";\nmov.b32 %" #f ", " x #f ";\nmov.b32 %" #g ", " x #g ";\nmov.b32 %" #h ", " x #h \
  ";\n"
#define GEMMSMITH_WGMMA_OUTPUTS(x, a, b, c, d, e, f, g, h)                                                            \
  GEMMSMITH_WGMMA_CLASS(x[a]), GEMMSMITH_WGMMA_CLASS(x[b]), GEMMSMITH_WGMMA_CLASS(x[c]), GEMMSMITH_WGMMA_CLASS(x[d]), \
      GEMMSMITH_WGMMA_CLASS(x[e]), GEMMSMITH_WGMMA_CLASS(x[f]), GEMMSMITH_WGMMA_CLASS(x[g]),                          \
      GEMMSMITH_WGMMA_CLASS(x[h])
#define GEMMSMITH_WGMMA_MORE_OUTPUTS(...) , GEMMSMITH_WGMMA_OUTPUTS(__VA_ARGS__)

// A product of 32 bytes of k, and the way to the next. Of a descriptor only the lower half differs from operand to
// operand: atoms of 8 rows lie 1024 bytes apart, swizzled by 128 bytes.
#define GEMMSMITH_WGMMA_DESCRIPTORS "mov.b64 at_a, {%0, 0x40000040};\nmov.b64 at_b, {%1, 0x40000040};\n"
#define GEMMSMITH_WGMMA_PRODUCT(x, adds)                                                            \
  "wgmma.mma_async.sync.aligned.m64n" GEMMSMITH_WGMMA_TEXT(GEMMSMITH_WGMMA_N) GEMMSMITH_WGMMA_TYPES \
      " {" GEMMSMITH_WGMMA_EIGHTS_16(GEMMSMITH_WGMMA_NAMES, GEMMSMITH_WGMMA_MORE_NAMES,             \
                                     x) "}, at_a, at_b, " adds GEMMSMITH_WGMMA_MAJORS ";\n"
#define GEMMSMITH_WGMMA_NEXT_PRODUCT(x)                                                  \
  "add.s32 %0, %0, " GEMMSMITH_WGMMA_STEP_A ";\nadd.s32 %1, %1, " GEMMSMITH_WGMMA_STEP_B \
  ";\n" GEMMSMITH_WGMMA_DESCRIPTORS                                                      \
  GEMMSMITH_WGMMA_PRODUCT(x, "1")
#define GEMMSMITH_WGMMA_PRODUCTS(x)                                                                    \
  "{\n.reg .pred adds;\n.reg .b64 at_a, at_b;\nsetp.ne.s32 adds, %2, 0;\n" GEMMSMITH_WGMMA_DESCRIPTORS \
  GEMMSMITH_WGMMA_PRODUCT(x, "adds") GEMMSMITH_WGMMA_NEXT_PRODUCT(x) GEMMSMITH_WGMMA_NEXT_PRODUCT(x)   \
      GEMMSMITH_WGMMA_NEXT_PRODUCT(x) "}"

namespace gemmsmith::ptx {

/// Of a thread and a product. With warp w of the group, g = lane / 4 and t = lane % 4: sums[4 j + i] is row
/// 16 w + g + i / 2 * 8, column 8 j + 2 t + i % 2.
using ProductSums = GEMMSMITH_WGMMA_SUM[GEMMSMITH_WGMMA_N / 2];

/// Once in a kernel, before all else: the sums of products 0 and 1.
__device__ __forceinline__ void DeclareProducts() { asm volatile(".reg .b32 sums_a<128>;\n.reg .b32 sums_b<128>;"); }

/// Before the first product.
__device__ __forceinline__ void FenceProducts() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }

/// The sums (64, N) of product i = A (64, 128 bytes of k) * B (the same, N), added to what they are if `adds`. `a` and
/// `b`: the lower halves of descriptors, which say where A and B lie. Not complete before WaitForProducts.
template <int i>
__device__ __forceinline__ void AddProducts(unsigned a, unsigned b, int adds) {
  static_assert(i == 0 || i == 1, "declared");
  if constexpr (i == 0) {
    asm volatile(GEMMSMITH_WGMMA_PRODUCTS("sums_a") : "+r"(a), "+r"(b) : "r"(adds));
  } else {
    asm volatile(GEMMSMITH_WGMMA_PRODUCTS("sums_b") : "+r"(a), "+r"(b) : "r"(adds));
  }
}
/// Closes the group of products since the last call.
__device__ __forceinline__ void CommitProducts() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
/// Until all but the last kPending groups are complete.
template <int kPending>
__device__ __forceinline__ void WaitForProducts() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kPending) : "memory");
}
/// Of product i, when it is complete.
template <int i>
__device__ __forceinline__ void ReadSums(ProductSums& sums) {
  if constexpr (i == 0) {
    asm volatile(GEMMSMITH_WGMMA_EIGHTS_16(GEMMSMITH_WGMMA_READS, GEMMSMITH_WGMMA_READS, "sums_a")
                 : GEMMSMITH_WGMMA_EIGHTS_16(GEMMSMITH_WGMMA_OUTPUTS, GEMMSMITH_WGMMA_MORE_OUTPUTS, sums));
  } else {
    asm volatile(GEMMSMITH_WGMMA_EIGHTS_16(GEMMSMITH_WGMMA_READS, GEMMSMITH_WGMMA_READS, "sums_b")
                 : GEMMSMITH_WGMMA_EIGHTS_16(GEMMSMITH_WGMMA_OUTPUTS, GEMMSMITH_WGMMA_MORE_OUTPUTS, sums));
  }
}

/// Four matrices of 8 rows of 16 bytes each: lane l gives the shared address of row l % 8 of matrix l / 8, and word
/// l % 4 of row l / 4 of each. All 32 lanes together.
__device__ __forceinline__ void StoreMatrices(unsigned address, const unsigned (&from)[4]) {
  asm volatile("stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(address), "r"(from[0]),
               "r"(from[1]), "r"(from[2]), "r"(from[3])
               : "memory");
}

}  // namespace gemmsmith::ptx

#endif
