#pragma once

// Matrix fragments of one warp, and their products on tensor cores: one wrapper per instruction. All 32 lanes call them
// together. A test that runs a template on the host brings its own.
#ifdef __CUDACC__

namespace gemmsmith::ptx {

/// Four matrices of 8 rows of 16 bytes each: lane l gives the shared address of row l % 8 of matrix l / 8, and gets
/// from each matrix word l % 4 of row l / 4.
__device__ __forceinline__ void LoadMatrices(unsigned address, unsigned (&to)[4]) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
               : "r"(address)
               : "memory");
}

/// The same of matrices of 8 by 8 16-bit values, each transposed: lane l gets rows l % 4 * 2 and the next of column l
/// / 4.
__device__ __forceinline__ void LoadMatricesTransposed(unsigned address, unsigned (&to)[4]) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
               : "r"(address)
               : "memory");
}

// sums (16, 8) += a (16, 32 bytes of k) * b (32 bytes of k, 8). With g = lane / 4 and t = lane % 4, words of k counted
// from 0 to 7: sums are rows g, g, g + 8, g + 8 of columns 2t, 2t + 1, 2t, 2t + 1; a is rows g, g + 8, g, g + 8 of
// words t, t, t + 4, t + 4; b is column g of words t, t + 4.
#define GEMMSMITH_MMA(Name, Sum, constraint, instruction)                                                    \
  __device__ __forceinline__ void Name(Sum(&sums)[4], const unsigned(&a)[4], unsigned b0, unsigned b1) {     \
    asm("mma.sync.aligned." instruction " {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"   \
        : "+" constraint(sums[0]), "+" constraint(sums[1]), "+" constraint(sums[2]), "+" constraint(sums[3]) \
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));                                     \
  }
GEMMSMITH_MMA(MmaF16, float, "f", "m16n8k16.row.col.f32.f16.f16.f32")
GEMMSMITH_MMA(MmaBf16, float, "f", "m16n8k16.row.col.f32.bf16.bf16.f32")
GEMMSMITH_MMA(MmaTf32, float, "f", "m16n8k8.row.col.f32.tf32.tf32.f32")
GEMMSMITH_MMA(MmaS8S8, int, "r", "m16n8k32.row.col.s32.s8.s8.s32")
GEMMSMITH_MMA(MmaS8U8, int, "r", "m16n8k32.row.col.s32.s8.u8.s32")
GEMMSMITH_MMA(MmaU8S8, int, "r", "m16n8k32.row.col.s32.u8.s8.s32")
GEMMSMITH_MMA(MmaU8U8, int, "r", "m16n8k32.row.col.s32.u8.u8.s32")
// sm_89 and newer.
GEMMSMITH_MMA(MmaE4m3E4m3, float, "f", "m16n8k32.row.col.f32.e4m3.e4m3.f32")
GEMMSMITH_MMA(MmaE4m3E5m2, float, "f", "m16n8k32.row.col.f32.e4m3.e5m2.f32")
GEMMSMITH_MMA(MmaE5m2E4m3, float, "f", "m16n8k32.row.col.f32.e5m2.e4m3.f32")
GEMMSMITH_MMA(MmaE5m2E5m2, float, "f", "m16n8k32.row.col.f32.e5m2.e5m2.f32")
#undef GEMMSMITH_MMA

/// The nearest tf32, ties away from zero: multiplying cuts the other bits off.
__device__ __forceinline__ unsigned RoundToTf32(unsigned bits) {
  unsigned rounded;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(rounded) : "f"(__uint_as_float(bits)));
  return rounded;
}

}  // namespace gemmsmith::ptx

#endif
