#pragma once

// Products of a warp group on tensor cores (sm_90a): both operands lie in shared memory, sums in registers. One kernel
// uses one instruction of the many, and macros that are defined before this is included say which:
//
//   GEMMSMITH_WGMMA_N        columns of the product: a multiple of 16, at most 256
//   GEMMSMITH_WGMMA_TYPES    "k16.f32.bf16.bf16": depth and types
//   GEMMSMITH_WGMMA_MAJORS   what follows the predicate: ", 1, 1, 0, 1" for signs and, of 16-bit types, transpositions
//   GEMMSMITH_WGMMA_INTEGER  defined where sums are integers
//
// Written out for all of them, the header would take longer to read than a kernel takes to compile.
#ifdef __CUDACC__

#ifdef GEMMSMITH_WGMMA_INTEGER
#define GEMMSMITH_WGMMA_SUM int
#define GEMMSMITH_WGMMA_CLASS "+r"
#else
#define GEMMSMITH_WGMMA_SUM float
#define GEMMSMITH_WGMMA_CLASS "+f"
#endif
#define GEMMSMITH_WGMMA_TEXT_OF(n) #n
#define GEMMSMITH_WGMMA_TEXT(n) GEMMSMITH_WGMMA_TEXT_OF(n)

// Eight sums from the i-th on, as operands; and their names, which begin at %3.
#define GEMMSMITH_WGMMA_EIGHT(i)                                                                                  \
  GEMMSMITH_WGMMA_CLASS(sums[i]), GEMMSMITH_WGMMA_CLASS(sums[i + 1]), GEMMSMITH_WGMMA_CLASS(sums[i + 2]),         \
      GEMMSMITH_WGMMA_CLASS(sums[i + 3]), GEMMSMITH_WGMMA_CLASS(sums[i + 4]), GEMMSMITH_WGMMA_CLASS(sums[i + 5]), \
      GEMMSMITH_WGMMA_CLASS(sums[i + 6]), GEMMSMITH_WGMMA_CLASS(sums[i + 7])
#define GEMMSMITH_WGMMA_NAMES_0 "%3, %4, %5, %6, %7, %8, %9, %10"
#define GEMMSMITH_WGMMA_SUMS_0 GEMMSMITH_WGMMA_EIGHT(0)
#if GEMMSMITH_WGMMA_N >= 32
#define GEMMSMITH_WGMMA_NAMES_1 GEMMSMITH_WGMMA_NAMES_0 ", %11, %12, %13, %14, %15, %16, %17, %18"
#define GEMMSMITH_WGMMA_SUMS_1 GEMMSMITH_WGMMA_SUMS_0, GEMMSMITH_WGMMA_EIGHT(8)
#else
#define GEMMSMITH_WGMMA_NAMES_1 GEMMSMITH_WGMMA_NAMES_0
#define GEMMSMITH_WGMMA_SUMS_1 GEMMSMITH_WGMMA_SUMS_0
#endif
#if GEMMSMITH_WGMMA_N >= 48
#define GEMMSMITH_WGMMA_NAMES_2 GEMMSMITH_WGMMA_NAMES_1 ", %19, %20, %21, %22, %23, %24, %25, %26"
#define GEMMSMITH_WGMMA_SUMS_2 GEMMSMITH_WGMMA_SUMS_1, GEMMSMITH_WGMMA_EIGHT(16)
#else
#define GEMMSMITH_WGMMA_NAMES_2 GEMMSMITH_WGMMA_NAMES_1
#define GEMMSMITH_WGMMA_SUMS_2 GEMMSMITH_WGMMA_SUMS_1
#endif
#if GEMMSMITH_WGMMA_N >= 64
#define GEMMSMITH_WGMMA_NAMES_3 GEMMSMITH_WGMMA_NAMES_2 ", %27, %28, %29, %30, %31, %32, %33, %34"
#define GEMMSMITH_WGMMA_SUMS_3 GEMMSMITH_WGMMA_SUMS_2, GEMMSMITH_WGMMA_EIGHT(24)
#else
#define GEMMSMITH_WGMMA_NAMES_3 GEMMSMITH_WGMMA_NAMES_2
#define GEMMSMITH_WGMMA_SUMS_3 GEMMSMITH_WGMMA_SUMS_2
#endif
#if GEMMSMITH_WGMMA_N >= 80
#define GEMMSMITH_WGMMA_NAMES_4 GEMMSMITH_WGMMA_NAMES_3 ", %35, %36, %37, %38, %39, %40, %41, %42"
#define GEMMSMITH_WGMMA_SUMS_4 GEMMSMITH_WGMMA_SUMS_3, GEMMSMITH_WGMMA_EIGHT(32)
#else
#define GEMMSMITH_WGMMA_NAMES_4 GEMMSMITH_WGMMA_NAMES_3
#define GEMMSMITH_WGMMA_SUMS_4 GEMMSMITH_WGMMA_SUMS_3
#endif
#if GEMMSMITH_WGMMA_N >= 96
#define GEMMSMITH_WGMMA_NAMES_5 GEMMSMITH_WGMMA_NAMES_4 ", %43, %44, %45, %46, %47, %48, %49, %50"
#define GEMMSMITH_WGMMA_SUMS_5 GEMMSMITH_WGMMA_SUMS_4, GEMMSMITH_WGMMA_EIGHT(40)
#else
#define GEMMSMITH_WGMMA_NAMES_5 GEMMSMITH_WGMMA_NAMES_4
#define GEMMSMITH_WGMMA_SUMS_5 GEMMSMITH_WGMMA_SUMS_4
#endif
#if GEMMSMITH_WGMMA_N >= 112
#define GEMMSMITH_WGMMA_NAMES_6 GEMMSMITH_WGMMA_NAMES_5 ", %51, %52, %53, %54, %55, %56, %57, %58"
#define GEMMSMITH_WGMMA_SUMS_6 GEMMSMITH_WGMMA_SUMS_5, GEMMSMITH_WGMMA_EIGHT(48)
#else
#define GEMMSMITH_WGMMA_NAMES_6 GEMMSMITH_WGMMA_NAMES_5
#define GEMMSMITH_WGMMA_SUMS_6 GEMMSMITH_WGMMA_SUMS_5
#endif
#if GEMMSMITH_WGMMA_N >= 128
#define GEMMSMITH_WGMMA_NAMES_7 GEMMSMITH_WGMMA_NAMES_6 ", %59, %60, %61, %62, %63, %64, %65, %66"
#define GEMMSMITH_WGMMA_SUMS_7 GEMMSMITH_WGMMA_SUMS_6, GEMMSMITH_WGMMA_EIGHT(56)
#else
#define GEMMSMITH_WGMMA_NAMES_7 GEMMSMITH_WGMMA_NAMES_6
#define GEMMSMITH_WGMMA_SUMS_7 GEMMSMITH_WGMMA_SUMS_6
#endif
#if GEMMSMITH_WGMMA_N >= 144
#define GEMMSMITH_WGMMA_NAMES_8 GEMMSMITH_WGMMA_NAMES_7 ", %67, %68, %69, %70, %71, %72, %73, %74"
#define GEMMSMITH_WGMMA_SUMS_8 GEMMSMITH_WGMMA_SUMS_7, GEMMSMITH_WGMMA_EIGHT(64)
#else
#define GEMMSMITH_WGMMA_NAMES_8 GEMMSMITH_WGMMA_NAMES_7
#define GEMMSMITH_WGMMA_SUMS_8 GEMMSMITH_WGMMA_SUMS_7
#endif
#if GEMMSMITH_WGMMA_N >= 160
#define GEMMSMITH_WGMMA_NAMES_9 GEMMSMITH_WGMMA_NAMES_8 ", %75, %76, %77, %78, %79, %80, %81, %82"
#define GEMMSMITH_WGMMA_SUMS_9 GEMMSMITH_WGMMA_SUMS_8, GEMMSMITH_WGMMA_EIGHT(72)
#else
#define GEMMSMITH_WGMMA_NAMES_9 GEMMSMITH_WGMMA_NAMES_8
#define GEMMSMITH_WGMMA_SUMS_9 GEMMSMITH_WGMMA_SUMS_8
#endif
#if GEMMSMITH_WGMMA_N >= 176
#define GEMMSMITH_WGMMA_NAMES_10 GEMMSMITH_WGMMA_NAMES_9 ", %83, %84, %85, %86, %87, %88, %89, %90"
#define GEMMSMITH_WGMMA_SUMS_10 GEMMSMITH_WGMMA_SUMS_9, GEMMSMITH_WGMMA_EIGHT(80)
#else
#define GEMMSMITH_WGMMA_NAMES_10 GEMMSMITH_WGMMA_NAMES_9
#define GEMMSMITH_WGMMA_SUMS_10 GEMMSMITH_WGMMA_SUMS_9
#endif
#if GEMMSMITH_WGMMA_N >= 192
#define GEMMSMITH_WGMMA_NAMES_11 GEMMSMITH_WGMMA_NAMES_10 ", %91, %92, %93, %94, %95, %96, %97, %98"
#define GEMMSMITH_WGMMA_SUMS_11 GEMMSMITH_WGMMA_SUMS_10, GEMMSMITH_WGMMA_EIGHT(88)
#else
#define GEMMSMITH_WGMMA_NAMES_11 GEMMSMITH_WGMMA_NAMES_10
#define GEMMSMITH_WGMMA_SUMS_11 GEMMSMITH_WGMMA_SUMS_10
#endif
#if GEMMSMITH_WGMMA_N >= 208
#define GEMMSMITH_WGMMA_NAMES_12 GEMMSMITH_WGMMA_NAMES_11 ", %99, %100, %101, %102, %103, %104, %105, %106"
#define GEMMSMITH_WGMMA_SUMS_12 GEMMSMITH_WGMMA_SUMS_11, GEMMSMITH_WGMMA_EIGHT(96)
#else
#define GEMMSMITH_WGMMA_NAMES_12 GEMMSMITH_WGMMA_NAMES_11
#define GEMMSMITH_WGMMA_SUMS_12 GEMMSMITH_WGMMA_SUMS_11
#endif
#if GEMMSMITH_WGMMA_N >= 224
#define GEMMSMITH_WGMMA_NAMES_13 GEMMSMITH_WGMMA_NAMES_12 ", %107, %108, %109, %110, %111, %112, %113, %114"
#define GEMMSMITH_WGMMA_SUMS_13 GEMMSMITH_WGMMA_SUMS_12, GEMMSMITH_WGMMA_EIGHT(104)
#else
#define GEMMSMITH_WGMMA_NAMES_13 GEMMSMITH_WGMMA_NAMES_12
#define GEMMSMITH_WGMMA_SUMS_13 GEMMSMITH_WGMMA_SUMS_12
#endif
#if GEMMSMITH_WGMMA_N >= 240
#define GEMMSMITH_WGMMA_NAMES_14 GEMMSMITH_WGMMA_NAMES_13 ", %115, %116, %117, %118, %119, %120, %121, %122"
#define GEMMSMITH_WGMMA_SUMS_14 GEMMSMITH_WGMMA_SUMS_13, GEMMSMITH_WGMMA_EIGHT(112)
#else
#define GEMMSMITH_WGMMA_NAMES_14 GEMMSMITH_WGMMA_NAMES_13
#define GEMMSMITH_WGMMA_SUMS_14 GEMMSMITH_WGMMA_SUMS_13
#endif
#if GEMMSMITH_WGMMA_N >= 256
#define GEMMSMITH_WGMMA_NAMES_15 GEMMSMITH_WGMMA_NAMES_14 ", %123, %124, %125, %126, %127, %128, %129, %130"
#define GEMMSMITH_WGMMA_SUMS_15 GEMMSMITH_WGMMA_SUMS_14, GEMMSMITH_WGMMA_EIGHT(120)
#else
#define GEMMSMITH_WGMMA_NAMES_15 GEMMSMITH_WGMMA_NAMES_14
#define GEMMSMITH_WGMMA_SUMS_15 GEMMSMITH_WGMMA_SUMS_14
#endif

namespace gemmsmith::ptx {

/// Of a thread. With warp w of the group, g = lane / 4 and t = lane % 4: sums[4 j + i] is row 16 w + g + i / 2 * 8,
/// column 8 j + 2 t + i % 2.
using ProductSums = GEMMSMITH_WGMMA_SUM[GEMMSMITH_WGMMA_N / 2];

/// Before the first product, and after sums were touched by anything else.
__device__ __forceinline__ void FenceProducts() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }

/// sums (64, N) = A (64, 32 bytes of k) * B (the same, N), added to what they are if `adds`. The descriptors say where
/// A and B lie. Not complete before WaitForProducts. They and `adds` come first as operands, so that their numbers do
/// not depend on N.
__device__ __forceinline__ void AddProduct(ProductSums& sums, unsigned long long a, unsigned long long b, int adds) {
  asm volatile(
      "{\n"
      ".reg .pred adds;\n"
      "setp.ne.s32 adds, %2, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n" GEMMSMITH_WGMMA_TEXT(GEMMSMITH_WGMMA_N) GEMMSMITH_WGMMA_TYPES
      " {" GEMMSMITH_WGMMA_NAMES_15 "}, %0, %1, adds" GEMMSMITH_WGMMA_MAJORS
      ";\n"
      "}"
      : "+l"(a), "+l"(b), "+r"(adds), GEMMSMITH_WGMMA_SUMS_15);
}
/// Closes the group of products since the last call.
__device__ __forceinline__ void CommitProducts() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
/// Until all but the last kPending groups are complete.
template <int kPending>
__device__ __forceinline__ void WaitForProducts() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kPending) : "memory");
}
/// After the wait, for each of the sums: keeps the compiler from using them before.
__device__ __forceinline__ void Settle(ProductSums& sums) { asm volatile("" : GEMMSMITH_WGMMA_SUMS_15::"memory"); }

/// Four matrices of 8 rows of 16 bytes each: lane l gives the shared address of row l % 8 of matrix l / 8, and word
/// l % 4 of row l / 4 of each. All 32 lanes together.
__device__ __forceinline__ void StoreMatrices(unsigned address, const unsigned (&from)[4]) {
  asm volatile("stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(address), "r"(from[0]),
               "r"(from[1]), "r"(from[2]), "r"(from[3])
               : "memory");
}

}  // namespace gemmsmith::ptx

#endif
