#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "gemmsmith/dtype.h"
#include "gemmsmith/export.h"

namespace gemmsmith {

class Epilogue;

/// How a matrix lies in memory. kPacked: the device's own form of a weight, made by Engine::Pack.
enum class Layout : std::uint8_t { kRowMajor, kColMajor, kPacked };
/// What beta is known to be when the kernel is made. kZero: C is not read, and need not exist.
enum class BetaClass : std::uint8_t { kZero, kGeneral };
/// kIeee: products and sums in the accumulator's type. kTf32: f32 operands may be rounded to tf32.
enum class ComputeMode : std::uint8_t { kIeee, kTf32 };
/// "ieee", "tf32".
GEMMSMITH_API std::string_view ToString(ComputeMode mode);
/// By which factors operands are multiplied, all f32. A by one for each row and 128 elements along k; B by the same of
/// its columns (kBlock1x128), or by one for each 128 by 128 elements (kBlock128x128). One factor for all of an operand
/// is alpha's business; one for each row or column of D that of an epilogue ("scale_row+scale_column").
enum class Scaling : std::uint8_t { kNone, kBlock1x128, kBlock128x128 };
/// "none", "1x128", "128x128".
GEMMSMITH_API std::string_view ToString(Scaling scaling);
/// How one call is several products, one for each of `groups` groups, as a tensor on the device says (GroupArgs).
/// kContiguous and kEnds: A (m, k) and D (m, n) hold the rows of all groups, B (groups, k, n) is each group's own; each
/// row says which group it is of (kContiguous), or each group where its rows end (kEnds). kMasked: A (groups, m, k) and
/// D (groups, m, n) have room for m rows of each group, which says how many it has. kAlongK: A (m, k) and B (k, n) are
/// cut along k, and D (groups, m, n) has a product for each group.
enum class Grouping : std::uint8_t { kNone, kContiguous, kMasked, kAlongK, kEnds };
/// "none", "contiguous", "masked", "along_k", "ends".
GEMMSMITH_API std::string_view ToString(Grouping grouping);
/// What groups must begin at multiples of: rows of kContiguous (128), whose tiles are of one group; all others begin
/// anywhere (1).
GEMMSMITH_API std::int64_t GroupAlignment(Grouping grouping);

/// D = epilogue(alpha * A * B + beta * C) for A (m, k), B (k, n), C and D (m, n), once per batch entry, or as Grouping
/// says. Where the epilogue pairs columns of the product, D is (m, n / 2) and beta must be 0. A plain value, hashed as
/// bytes: made by the caller or by Describe from the tensors of a call.
struct GemmProblem {
  std::int64_t m = 0, n = 0, k = 0;
  std::int64_t batch = 1;
  std::int64_t groups = 1;  ///< With a Grouping; batch is 1 then, and its strides are those between groups.
  std::int64_t expected_m =
      0;  ///< Rows that a group is expected to have, to choose by; 0: as many as it can, or m / groups.
  std::int64_t lda = 0, ldb = 0, ldc = 0, ldd = 0;  ///< Elements between rows (kRowMajor) or columns (kColMajor).
  std::int64_t batch_stride_a = 0, batch_stride_b = 0, batch_stride_c = 0, batch_stride_d = 0;  ///< Elements.
  std::int64_t ld_residual = 0, batch_stride_residual = 0;  ///< Of the epilogue's residual; 0 where it reads none.
  std::uint64_t epilogue_id = 0;                            ///< Epilogue::id; 0: none.
  std::int64_t columns_per_d = 1;  ///< Columns of the product that make one of D: 2 for an epilogue that pairs them.
  DType a_type = DType::kF32, b_type = DType::kF32, c_type = DType::kF32, d_type = DType::kF32;
  DType acc_type = DType::kF32;
  Layout a_layout = Layout::kRowMajor, b_layout = Layout::kRowMajor, d_layout = Layout::kRowMajor;  ///< C lies as D.
  BetaClass beta = BetaClass::kZero;
  ComputeMode compute = ComputeMode::kIeee;
  Scaling scaling = Scaling::kNone;
  Grouping grouping = Grouping::kNone;
  std::uint8_t alignment =
      0;  ///< log2 of the bytes (at most 16) that all pointers and leading dimensions are multiples of.
  std::uint8_t deterministic = 1;                              ///< Same inputs, same bits, on the same device.
  DType bias_type = DType::kF32, residual_type = DType::kF32;  ///< Of the epilogue's inputs; the others are f32.

  friend bool operator==(const GemmProblem&, const GemmProblem&) = default;
  /// Of kMasked: with all rows that there is room for.
  double flops() const { return 2.0 * m * n * k * (grouping == Grouping::kMasked ? groups : batch); }
  /// How many matrices A, B, and D (as C and the residual) are, one after the other.
  std::int64_t entries_a() const { return grouping == Grouping::kMasked ? groups : batch; }
  std::int64_t entries_b() const {
    return grouping == Grouping::kNone || grouping == Grouping::kAlongK ? batch : groups;
  }
  std::int64_t entries_d() const {
    return grouping == Grouping::kMasked || grouping == Grouping::kAlongK ? groups : batch;
  }
  /// Columns of D, and of the epilogue's residual.
  std::int64_t d_columns() const { return columns_per_d == 2 ? n / 2 : n; }
};

/// A dense problem in the words of the command line: layout "nn", "nt", "tn" or "tt" (t: stored transposed).
/// Leading dimensions are the tight ones; D is row-major; alignment is that of such buffers from Device::Allocate.
/// Throws kInvalidArgument.
GEMMSMITH_API GemmProblem MakeProblem(std::int64_t m, std::int64_t n, std::int64_t k, DType dtype = DType::kF32,
                                      std::string_view layout = "nn", BetaClass beta = BetaClass::kZero);
/// "f32" sets all types; "a,b,d" or "a,b,d,acc" sets each. The accumulator defaults to f64 for f64, s32 for integers,
/// else f32. What is not f32 by f32 computes as kIeee. Throws kInvalidArgument.
GEMMSMITH_API void SetDTypes(GemmProblem& problem, std::string_view dtypes);
/// "ieee" or "tf32", the latter for problems of f32 by f32 alone. Throws kInvalidArgument.
GEMMSMITH_API void SetCompute(GemmProblem& problem, std::string_view mode);
/// "none", "1x128" or "128x128". Throws kInvalidArgument, or kUnsupported as Validate.
GEMMSMITH_API void SetScaling(GemmProblem& problem, std::string_view scaling);
/// "masked:32", or "masked:32:192" with the rows that each of 32 groups is expected to have; "none". B, and what else
/// each group has its own of, follows the one before in memory. Throws kInvalidArgument, or kUnsupported as Validate.
GEMMSMITH_API void SetGrouping(GemmProblem& problem, std::string_view grouping);
/// Makes it `batch` problems of this size, whose dense operands follow each other in memory.
GEMMSMITH_API void SetBatch(GemmProblem& problem, std::int64_t batch);
/// With this epilogue, whose residual is of D's type (f32, if that is none of f32, f16 and bf16) and dense, and whose
/// biases are of `bias_type`. D is dense if the epilogue gives it another number of columns. Throws kInvalidArgument or
/// kUnsupported as Validate.
GEMMSMITH_API void SetEpilogue(GemmProblem& problem, const Epilogue& epilogue, DType bias_type = DType::kF32);

/// Throws kInvalidArgument or kUnsupported if no kernel could ever run the problem: negative sizes, short leading
/// dimensions, sizes that overflow, dtypes that do not go together, an epilogue that does not fit.
GEMMSMITH_API void Validate(const GemmProblem& problem);

/// The same problem in the words that Describe uses, where there are several: an empty matrix or one of one row or
/// column has many layouts and leading dimensions, a batch of one many strides.
GEMMSMITH_API GemmProblem Normalized(GemmProblem problem);

GEMMSMITH_API std::size_t Hash(const GemmProblem& problem);
/// "m=1 n=2 k=3 f32 nt", with everything that is not a default.
GEMMSMITH_API std::string ToString(const GemmProblem& problem);
/// "nn", "nt", ...; "np" for a packed B; a '^T' is added for a column-major D.
GEMMSMITH_API std::string LayoutName(const GemmProblem& problem);

}  // namespace gemmsmith
