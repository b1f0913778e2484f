#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace gemmsmith::emulator {

/// D (m, n) = A (m, k) * B (k, n) + D. n is a multiple of 8; m up to 64, n up to 256 and k up to 64, which no
/// instruction exceeds.
struct TileShape {
  int m, n, k;
};

/// Elements of a tensor core's operands, as they lie in registers and shared memory: without gaps, low bits first.
enum class TensorType { kF16, kBf16, kTf32, kE4m3, kE5m2, kS8, kU8, kS4, kU4 };
int BitsOf(TensorType type);

/// The arithmetic of tensor cores for one kind of processor. All arrays are row-major without gaps; the elements of A
/// and B are widened to f32 before (Widen), which holds every one of their types exactly.
///
/// Order: each element of D sums its products one by one, k ascending, onto what it held. Their f32 rounding is to
/// nearest. Products of 16-bit, tf32 and 8-bit elements are exact in f32 (but for those of bf16 and tf32 beyond its
/// range), so that processors with and without fused multiply-add agree.
struct MatmulKernels {
  const char* name;  ///< "avx512", "avx2", "portable".
  void (*multiply_add)(TileShape shape, const float* a, const float* b, float* d);
  /// Fused: one rounding for each product.
  void (*multiply_add_f64)(TileShape shape, const double* a, const double* b, double* d);
  /// FP8 as Hopper's wgmma and Ada's mma do it (Hopper's mma widens to f16 first, and is exact): all k products of one
  /// instruction and the accumulator are aligned to the largest of their exponents, cut off 13 bits below it, and
  /// summed; the sum keeps 13 bits of fraction, cut off likewise. (Found by experiment, "MMA-Sim", arXiv:2511.10909;
  /// DeepSeek-V3 promotes to f32 outside the tensor cores for this reason.) `lowest` of each operand: LowestExponent.
  void (*multiply_add_reduced)(TileShape shape, const float* a, float lowest_a, const float* b, float lowest_b,
                               float* d);
  /// Sums that are exact whatever the order: |a * b| * k below 2^24. Then added to D modulo 2^32, or clamped
  /// (.satfinite).
  void (*multiply_add_s32)(TileShape shape, const float* a, const float* b, std::int32_t* d, bool saturate);
  /// `count` elements to f32; `count` is a multiple of 8. tf32 loses its low 13 bits.
  void (*widen)(TensorType type, const void* from, std::size_t count, float* to);
  /// (rows, columns) to (columns, rows).
  void (*transpose)(int rows, int columns, const float* from, float* to);
};

/// The fastest that this processor has.
const MatmulKernels& Matmul();
/// All that this processor has, the fastest first, the portable one last.
std::span<const MatmulKernels* const> AllMatmulKernels();

/// The smallest normal number: elements below it are aligned as if they had its exponent.
float LowestExponent(TensorType type);

/// mma with .b1: D = D + popcount(a op b), where rows of A (m, k / 32) and columns of B (n, k / 32) are words of bits.
enum class BitOperation { kXor, kAnd };
void MultiplyAddBits(TileShape shape, BitOperation operation, const std::uint32_t* a, const std::uint32_t* b,
                     std::int32_t* d);

}  // namespace gemmsmith::emulator
