// Tensor-core products by mma.h: a warp makes one tile, D = A * B + C over k in steps of the tile.
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <mma.h>

namespace wmma = nvcuda::wmma;

template <class T, class Kept, class Sum, int kM, int kN, int kK, class LayoutA, class LayoutB>
__device__ void Product(const Kept* a, const Kept* b, const Sum* c, Sum* d, int k, int lda, int ldb) {
  constexpr bool kRows = std::is_same<LayoutA, wmma::row_major>::value;
  constexpr bool kColumns = std::is_same<LayoutB, wmma::col_major>::value;
  wmma::fragment<wmma::matrix_a, kM, kN, kK, T, LayoutA> x;
  wmma::fragment<wmma::matrix_b, kM, kN, kK, T, LayoutB> y;
  wmma::fragment<wmma::accumulator, kM, kN, kK, Sum> sum;
  wmma::load_matrix_sync(sum, c, kN, wmma::mem_row_major);
  for (int i = 0; i < k; i += kK) {
    wmma::load_matrix_sync(x, a + (kRows ? i : i * lda), lda);
    wmma::load_matrix_sync(y, b + (kColumns ? i : i * ldb), ldb);
    wmma::mma_sync(sum, x, y, sum);
  }
  wmma::store_matrix_sync(d, sum, kN, wmma::mem_row_major);
}
using Row = wmma::row_major;
using Column = wmma::col_major;

extern "C" __global__ void wmma_f16(const __half* a, const __half* b, const float* c, float* d, int k) {
  Product<__half, __half, float, 16, 16, 16, Row, Column>(a, b, c, d, k, k, k);
}
extern "C" __global__ void wmma_f16_wide(const __half* a, const __half* b, const float* c, float* d, int k) {
  Product<__half, __half, float, 8, 32, 16, Column, Row>(a, b, c, d, k, 8, 32);
}
extern "C" __global__ void wmma_f16_tall(const __half* a, const __half* b, const __half* c, __half* d, int k) {
  Product<__half, __half, __half, 32, 8, 16, Row, Column>(a, b, c, d, k, k, k);
}
extern "C" __global__ void wmma_bf16(const __nv_bfloat16* a, const __nv_bfloat16* b, const float* c, float* d, int k) {
  Product<__nv_bfloat16, __nv_bfloat16, float, 16, 16, 16, Row, Row>(a, b, c, d, k, k, 16);
}
extern "C" __global__ void wmma_tf32(const float* a, const float* b, const float* c, float* d, int k) {
  Product<wmma::precision::tf32, float, float, 16, 16, 8, Row, Column>(a, b, c, d, k, k, k);
}
extern "C" __global__ void wmma_s8(const signed char* a, const signed char* b, const int* c, int* d, int k) {
  Product<signed char, signed char, int, 16, 16, 16, Row, Column>(a, b, c, d, k, k, k);
}
extern "C" __global__ void wmma_f64(const double* a, const double* b, const double* c, double* d, int k) {
  Product<double, double, double, 8, 8, 4, Row, Column>(a, b, c, d, k, k, k);
}
