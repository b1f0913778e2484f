#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "gemmsmith/problem.h"

namespace gemmsmith {

/// How products are made and summed. A and B are multiplied in units: what one lane of B's vectors holds, `group`
/// neighbours along k.
enum class CpuMath : std::int32_t {
  kF32,
  kF64,
  kBf16,  ///< Pairs of bf16, summed in f32 (AVX512-BF16). Denormals count as 0.
  kS16,   ///< Pairs of s16, summed in s32: 8-bit integers where there is no VNNI.
  kU8S8,  ///< Fours, u8 of A and s8 of B, summed in s32 (VNNI).
  kS8U8,  ///< Fours, s8 of A and u8 of B.
};
struct CpuMathInfo {
  std::string_view name;
  int unit_bytes, group;
  DType sum;
};
const CpuMathInfo& Info(CpuMath math);

/// What an epilogue reads and writes: whole matrices and vectors, of one batch entry.
struct CpuEpilogue {
  const void *bias, *bias_m, *residual;
  const float *scale_row, *scale_column, *scale_block, *d_scale_row, *d_scale_column, *d_scale_block, *scalar, *d_scale;
  std::int64_t residual_row;            ///< Bytes.
  std::int64_t block_row, d_block_row;  ///< Scales of one row of blocks.
  /// Maxima so far, of this thread, of non-negative floats: as unsigned integers they are in the same order.
  float *amax_row, *amax_column, *amax_block;
  std::int64_t amax_block_row;
};

struct MicroKernelRecipe;

/// Of a last vector that steps of k share: f32 in AVX-512, there are no others.
constexpr std::int64_t kTailLanes = 16;

/// Arguments of one micro-kernel call: D tile (mr, nr) = epilogue(alpha * A (mr, k) * B (k, nr) + beta * C). Strides in
/// bytes. Columns of B are contiguous within the tile, or, for dot products, k is contiguous in A and B.
struct MicroKernelArgs {
  const void* a;
  const void* b;
  const void* c;  ///< Read only where beta is not 0.
  void* d;
  std::int64_t a_row, a_col;  ///< From one unit to the next. Dot products: no a_col.
  std::int64_t b_step;        ///< From one row of units of B to the next; dot products: from one column to the next.
  const void* ahead;          ///< What comes nearer meanwhile, a few lines at a time: see MicroKernelRecipe::fetch.
  std::int64_t ahead_step;    ///< From those lines to the next. Recipes with `fetch_every` 1 take b_step.
  std::int64_t c_row, d_row;  ///< Columns are contiguous.
  std::int64_t k;             ///< Units; dot products: elements.
  const void* alpha;          ///< One value of the sums' type.
  const void* beta;           ///< Likewise. Exactly 0: C is not read.
  std::int64_t columns;       ///< Valid columns of the tile, 1..nr; the rest is neither read from B or C nor written.
  const std::int32_t* start;  ///< Recipes with `starts`: the sums of the tile's columns of B; null: added already.
  std::int32_t c_is_sum;      ///< C holds the sums of earlier blocks of k, in the sums' type.
  std::int32_t d_is_sum;      ///< D is a buffer of sums: more blocks of k follow, and the epilogue with the last.
                              ///< Not where a C with fractions is added to integer sums, which must be complete.
  void* kept;                 ///< Recipes with `keeps`: where units of B, (k, nr), are.
  const CpuEpilogue* epilogue;
  std::int64_t row, column;                   ///< Of the tile's first element in the product.
  const MicroKernelRecipe* recipe = nullptr;  ///< What compiled-in micro-kernels finish for; null: plain.
};
using MicroKernel = void (*)(const MicroKernelArgs*);

/// A sweep adds A (rows, k) * B (k, columns) to sums: B is read in place, a few of its rows at a time from end to end,
/// as the hardware follows them, and the sums stay in a near cache. Of MicroKernelArgs it takes a, a_row, b, b_step
/// (from one row of B to the next), k, columns, and the sums as d and d_row. Columns are worked on in steps of
/// kSweepColumns: rows of sums are so much longer where need be. Within each step, sums of units of several rows of B
/// lie in the order in which joining those is cheapest; the entries of the set, for which they are the a and a_row,
/// bring them into order before they finish them.
constexpr std::int64_t kSweepColumns = 64;
/// Of A.
constexpr int kMostSweptRows = 6;

/// What one CPU artifact holds: entries for {full, last} rows x {full, last} columns of the tile grid.
struct MicroKernelSet {
  MicroKernel full_full = nullptr;  ///< mr rows, nr columns.
  MicroKernel full_last = nullptr;  ///< mr rows, n % nr columns.
  MicroKernel last_full = nullptr;  ///< m % mr rows, nr columns.
  MicroKernel last_last = nullptr;
  MicroKernel sweep = nullptr;
  MicroKernel keep_full = nullptr;  ///< mr rows, nr columns, of which units of B are kept for the tiles below.
  MicroKernel keep_last = nullptr;  ///< mr rows, n % nr columns, likewise.
  const MicroKernelRecipe* recipe = nullptr;  ///< What they were made of; as long-lived as they.
};

/// What to make a MicroKernelSet of; written as text into KernelSource::text by the families ("f32 d=f32 mr=14 nr=32
/// m_tail=2 n_tail=32 ...", and on further lines the epilogue) and read back by the x86 compiler. Tails of 0 need no
/// entry; n_tail is rounded up to whole vectors, and to nr for dot products.
struct MicroKernelRecipe {
  CpuMath math = CpuMath::kF32;
  int mr = 0, nr = 0, m_tail = 0, n_tail = 0;
  int dots = 0;  ///< 1: vectors lie along k, each element of D is a dot product; 0: along n.
  /// 1: A's bytes count 128 more than they are (u8s8), or 128 less, which `start` makes up for. Dot products read A as
  /// it is, and see to both themselves.
  int starts = 0;
  /// Lines of MicroKernelArgs::ahead that come nearer at once. Dot products: 1: all of its columns do; 0: their begin.
  int fetch = 0;
  int fetch_every = 1;  ///< Those lines come with each so many steps of k. More than 1: with `adjacent`.
  /// 1: B's rows are read where they lie, `group` at once, and made units in registers: k is whole units. Sums of B's
  /// columns, where A is flipped, are made there too.
  int joins = 0;
  int sweep = 0;  ///< Rows of B that a sweep reads at once; 0: there is none.
  /// Steps of k that lie side by side in the last vector of tiles at the end of n, which thus few columns fill: 2 or 4.
  /// A's k is contiguous then. 1: that vector has masked lanes.
  int tail_steps = 1;
  /// Dot products and sweeps: 1: B comes from memory, not from a cache. A few rows of A then read it anew each, not
  /// once for all into registers: loads that run less far ahead leave more ways to memory to what is fetched.
  int far = 0;
  int narrow = 0;  ///< 1: n is less than nr. All tiles are at the end of n, and no entry is for others.
  /// 1: the first tile of rows alone joins B. It keeps the units, and before them, where recipes have `starts`, the
  /// sums of their columns, in the form of a packed B, which the other tiles read.
  int keeps = 0;
  int adjacent = 0;            ///< 1: rows of A are adjacent: `a_row` is one unit. Tiles alone read it.
  int columns_per_d = 1;       ///< Of the product: 2 where the epilogue pairs columns.
  DType d_type = DType::kF32;  ///< C's too.
  DType bias_type = DType::kF32, residual_type = DType::kF32;
  std::uint64_t epilogue_id = 0;

  /// Whether the last of `columns`, fewer than nr, fill no more lanes of their vector than steps of k leave them.
  bool FitsTail(std::int64_t columns) const {
    return tail_steps == 1 || columns == 0 || (columns - 1) % kTailLanes < kTailLanes / tail_steps;
  }
  bool plain() const { return epilogue_id == 0 && d_type == Info(math).sum; }  ///< D can hold the sums so far.
};
std::string ToString(const MicroKernelRecipe& recipe);
/// Throws kInternal, also for an epilogue that this process has not made.
MicroKernelRecipe ParseRecipe(std::string_view text);

/// The artifact part "x86" begins with this; position-independent code follows. The part "builtin" is the text of the
/// recipe: the runtime finds the functions.
struct alignas(64) MicroKernelHeader {
  /// Of full_full, full_last, last_full, last_last, sweep, keep_full, keep_last: bytes from the start of the part; 0:
  /// none.
  std::array<std::uint32_t, 7> entries{};
  MicroKernelRecipe recipe;
};

/// Columns of D that one micro-kernel of dot products computes, nr of its recipe: the latter with AVX-512, of few rows.
constexpr int kDotColumns = 4, kMoreDotColumns = 8, kMoreDotRows = 2;

/// Bytes of a packed A that is kept whole while blocks of B come and go.
constexpr std::int64_t kKeptCopyOfA = 32 << 20;
/// Of one that is also read again for each panel of B.
constexpr std::int64_t kStreamedCopyOfA = 8 << 20;

/// Rows of B, of slices or of columns, that are packed at once while others are multiplied.
constexpr std::int64_t kPieceRows = 64;

/// Of k, in units: so many bring a tile of D a few lines at a time, where A is packed.
constexpr int kStepsOfD = 24;

/// Blocks of k are multiples of it, which is one of every group.
constexpr std::int64_t kKGranule = 4;

constexpr std::int64_t DivideUp(std::int64_t x, std::int64_t y) { return (x + y - 1) / y; }
constexpr std::int64_t RoundUp(std::int64_t x, std::int64_t granule) { return DivideUp(x, granule) * granule; }
/// But not to 0.
constexpr std::int64_t RoundDown(std::int64_t x, std::int64_t granule) {
  return x < granule ? granule : x / granule * granule;
}

/// The block length at most `limit` that cuts [0, size) into equal blocks, in whole granules.
constexpr std::int64_t BalancedBlock(std::int64_t size, std::int64_t limit, std::int64_t granule) {
  const std::int64_t longest = limit > granule ? limit : granule,
                     blocks = size > longest ? (size + longest - 1) / longest : 1;
  const std::int64_t block = (size + blocks - 1) / blocks;
  return block > granule ? (block + granule - 1) / granule * granule : granule;
}

/// What is copied before it is multiplied.
enum class CpuPath : std::int32_t {
  kPacked,  ///< A and B into panels, block by block.
  kDirect,  ///< Nothing.
  kStream,  ///< A, which is small, at once; and units of B, if several rows of it make them, a panel at a time.
  kDots,    ///< At most A, which is small. B's columns are contiguous, and vectors lie along k.
  kSweep,   ///< Nothing. A has few rows, and B's rows are read from end to end.
  kPanels,  ///< B, a panel at a time.
};

/// Parameters of a launch on the CPU device. Blocks: for jc by nc, for pc by kc: pack B; for ic by mc: pack A;
/// micro-kernels.
struct CpuGemmParams {
  const void* a;
  const void* b;
  const void* c;
  void* d;
  double alpha, beta;
  const void* alpha_pointer;  ///< If set, read instead of alpha when the kernel runs: one value of the sums' type.
  const void* beta_pointer;
  std::int64_t m, n, k, batch;
  std::int64_t a_row, a_col, b_row, b_col, c_row, d_row;  ///< Elements. c and d columns are contiguous.
  std::int64_t batch_a, batch_b, batch_c, batch_d;        ///< Elements.
  std::int32_t mr, nr, mc, nc, kc, threads, fetch, fetch_every;
  CpuMath math;
  CpuPath path;  ///< kDirect, kStream: b_col is 1, or B is packed; kDots: b_row is 1; kSweep: a_col and b_col are 1.
  DType a_type, b_type, d_type;
  bool packed_b;      ///< b is made of column panels (see PackedForm): b_row and b_col are not used.
  bool flips_a;       ///< A is unsigned where the math has it signed, or reversed: copies have the top bit flipped.
  bool flat;          ///< D is far larger than A and B, and long in its rows.
  bool has_epilogue;  ///< This is the first member of a CpuFusedParams.
  bool sums_apart;    ///< D cannot hold the sums of blocks of k.
  std::int8_t columns_per_d;

  /// Tiles read A's rows from a copy, or next to each other anyway.
  bool adjacent_a() const { return path == CpuPath::kPacked || path == CpuPath::kStream || a_row == 1; }
  /// Micro-kernels make units of several rows of B.
  bool joins_b() const {
    return Info(math).group > 1 && !packed_b && (path == CpuPath::kDirect || path == CpuPath::kStream);
  }
  /// The first tile of rows makes them for the others, where there is a copy of A, too.
  bool keeps_b() const { return joins_b() && path == CpuPath::kStream && m > mr; }
};
/// With an epilogue. Its pointers are those of the first batch entry.
struct CpuFusedParams {
  CpuGemmParams gemm;
  CpuEpilogue epilogue;
  float scalar, d_scale;         ///< Where the epilogue's own pointers are null.
  std::int64_t batch_residual;   ///< Bytes.
  std::int64_t amax_block_rows;  ///< Rows of one block.
};

/// How B is packed: ceil(n / panel) panels, panel j holding columns [j*panel, (j+1)*panel) as (ceil(k / group), panel)
/// units, zero-filled. VNNI: before these, one row of s32: the sums of the panel's columns.
struct PackedForm {
  std::int64_t panel = 0;  ///< Columns; 0: B is read as it comes.
  CpuMath math = CpuMath::kF32;

  bool has_sums() const { return Info(math).group == 4; }
  std::int64_t rows(std::int64_t k) const {
    return (k + Info(math).group - 1) / Info(math).group + (has_sums() ? 1 : 0);
  }
  std::int64_t panel_bytes(std::int64_t k) const { return rows(k) * panel * Info(math).unit_bytes; }
  std::int64_t bytes(std::int64_t k, std::int64_t n) const { return (n + panel - 1) / panel * panel_bytes(k); }
};

}  // namespace gemmsmith
