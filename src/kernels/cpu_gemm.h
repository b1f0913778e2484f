#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "gemmsmith/problem.h"

namespace gemmsmith {

/// Arguments of one micro-kernel call: D tile (mr, nr) = alpha * A (mr, k) * B (k, nr) + beta * C. Strides in bytes.
/// Columns of B are contiguous within the tile, or, for dot products, k is contiguous in A and B.
struct MicroKernelArgs {
  const void* a;
  const void* b;
  const void* c;  ///< Read only where beta is not 0.
  void* d;
  std::int64_t a_row, a_col;  ///< Packed A: a_row = sizeof(T), a_col = mr * sizeof(T). Dot products: no a_col.
  std::int64_t b_step;        ///< From one row of B to the next; dot products: from one column to the next.
  const void* ahead;          ///< What comes nearer meanwhile: a tile of B like `b`.
  std::int64_t c_row, d_row;  ///< Columns are contiguous.
  std::int64_t k;
  const void* alpha;     ///< One value of the dtype.
  const void* beta;      ///< Likewise. Exactly 0: C is not read.
  std::int64_t columns;  ///< Valid columns of the tile, 1..nr; the rest is neither read from B or C nor written.
};
using MicroKernel = void (*)(const MicroKernelArgs*);

/// What one CPU artifact holds: entries for {full, last} rows x {full, last} columns of the tile grid.
struct MicroKernelSet {
  MicroKernel full_full = nullptr;  ///< mr rows, nr columns.
  MicroKernel full_last = nullptr;  ///< mr rows, n % nr columns.
  MicroKernel last_full = nullptr;  ///< m % mr rows, nr columns.
  MicroKernel last_last = nullptr;
};

/// What to make a MicroKernelSet of; written as text into KernelSource::text by the families ("f32 mr=14 nr=32
/// m_tail=2 n_tail=32 dots=0") and read back by the x86 compiler. Tails of 0 need no entry; n_tail is rounded up to
/// whole vectors, and to nr for dot products.
struct MicroKernelRecipe {
  DType dtype = DType::kF32;
  int mr = 0, nr = 0, m_tail = 0, n_tail = 0;
  int dots = 0;  ///< 1: vectors lie along k, each element of D is a dot product; 0: along n.
};
std::string ToString(const MicroKernelRecipe& recipe);
/// Throws kInternal.
MicroKernelRecipe ParseRecipe(std::string_view text);

/// The artifact part "x86" begins with this; position-independent code follows. The part "builtin" is the text of the
/// recipe: the runtime finds the functions.
struct alignas(64) MicroKernelHeader {
  /// Of full_full, full_last, last_full, last_last: bytes from the start of the part; 0: none.
  std::array<std::uint32_t, 4> entries{};
  MicroKernelRecipe recipe;
};

/// Columns of D that one micro-kernel of dot products computes: nr of its recipe.
constexpr int kDotColumns = 4;

/// What is copied before it is multiplied.
enum class CpuPath : std::int32_t {
  kPacked,  ///< A and B into panels, block by block.
  kDirect,  ///< Nothing.
  kStream,  ///< A, which is small, at once.
  kDots,    ///< At most A, which is small. B's columns are contiguous, and vectors lie along k.
};

/// Parameters of a launch on the CPU device. Blocks: for jc by nc, for pc by kc: pack B; for ic by mc: pack A;
/// micro-kernels.
struct CpuGemmParams {
  const void* a;
  const void* b;
  const void* c;
  void* d;
  double alpha, beta;
  const void* alpha_pointer;  ///< If set, read instead of alpha when the kernel runs.
  const void* beta_pointer;
  std::int64_t m, n, k, batch;
  std::int64_t a_row, a_col, b_row, b_col, c_row, d_row;  ///< Elements. c and d columns are contiguous.
  std::int64_t batch_a, batch_b, batch_c, batch_d;        ///< Elements.
  std::int32_t mr, nr, mc, nc, kc, threads;
  DType dtype;
  CpuPath path;   ///< kDirect, kStream: b_col is 1, or B is packed; kDots: b_row is 1.
  bool packed_b;  ///< b is made of column panels (see PackedBBytes): b_row and b_col are not used.
};

/// A packed B: ceil(n / nr) panels, panel j holding columns [j*nr, (j+1)*nr) as (k, nr) contiguous, zero-filled.
inline std::int64_t PackedBElements(std::int64_t k, std::int64_t n, std::int64_t nr) {
  return (n + nr - 1) / nr * nr * k;
}

}  // namespace gemmsmith
