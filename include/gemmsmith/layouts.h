#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "gemmsmith/dtype.h"
#include "gemmsmith/export.h"
#include "gemmsmith/kernel_config.h"
#include "gemmsmith/stream.h"
#include "gemmsmith/target.h"
#include "gemmsmith/tensor.h"

namespace gemmsmith {

class Engine;

// What operands and their scales look like, and how they come to look so: sizes, casts to 8-bit floats, transposes and
// packing of scales, padding of groups. Names are those of DeepGEMM (docs/layouts.md has the table).

/// x / y, rounded up. x >= 0, y > 0.
constexpr std::int64_t CeilDiv(std::int64_t x, std::int64_t y) { return (x + y - 1) / y; }
/// The next multiple of `alignment`. x >= 0, alignment > 0.
constexpr std::int64_t AlignedTo(std::int64_t x, std::int64_t alignment) { return CeilDiv(x, alignment) * alignment; }

/// Strides that bulk copies (TMA) take are multiples of so many bytes (CUDA driver API, cuTensorMapEncodeTiled).
inline constexpr std::int64_t kTmaAlignment = 16;
/// The least stride, in elements, that a line of `elements` can have for bulk copies.
constexpr std::int64_t GetTmaAlignedSize(std::int64_t elements, DType dtype) {
  return AlignedTo(elements, kTmaAlignment / static_cast<std::int64_t>(SizeOf(dtype)));
}
/// Rows that each group of a contiguous grouped product is padded to a multiple of, unless a call says otherwise: the
/// rows of a tile, so that none has rows of two groups.
constexpr std::int64_t GetMAlignmentForContiguousLayout() { return 128; }
/// The same of k, where it is k that is cut into groups: that of one scale, so that none has elements of two groups.
constexpr std::int64_t GetKAlignmentForContiguousLayout() { return 128; }

/// Rows of a padded layout that holds `rows` rows in `groups` groups, whatever their sizes:
/// (rows + min(rows, groups) * (alignment - 1)), rounded down to a multiple of `alignment`. Throws kInvalidArgument.
GEMMSMITH_API std::int64_t PaddedRows(std::int64_t rows, std::int64_t groups, std::int64_t alignment);

/// A tensor that is to be made: without memory, which must have `bytes`.
struct WantedTensor {
  Tensor tensor;
  std::size_t bytes = 0;
};
/// Scales in the form of bulk copies: as `scales` (rows, steps), or (batch, rows, steps), in f32, with rows next to
/// each other and steps GetTmaAlignedSize(rows) apart. `gran_mn`: each of `scales` stands for so many rows; there are
/// `mn` of them, or gran_mn times the rows of `scales` where it is 0. Throws kInvalidArgument.
GEMMSMITH_API WantedTensor MnMajorTmaAligned(const Tensor& scales, std::int64_t gran_mn = 1, std::int64_t mn = 0);
/// The same, packed: (rows, steps / 4), rounded up, in s32 (ScaleFormat::kPackedUe8m0).
GEMMSMITH_API WantedTensor MnMajorTmaAlignedPackedUe8m0(const Tensor& scales, std::int64_t gran_mn = 1,
                                                        std::int64_t mn = 0);
/// The one or the other, as `config.scale_format` says.
inline WantedTensor MnMajorTmaAligned(const Tensor& scales, const FP8Config& config, std::int64_t gran_mn = 1,
                                      std::int64_t mn = 0) {
  const bool packed = config.scale_format == ScaleFormat::kPackedUe8m0;
  return packed ? MnMajorTmaAlignedPackedUe8m0(scales, gran_mn, mn) : MnMajorTmaAligned(scales, gran_mn, mn);
}

struct CastOptions {
  /// Scales are rounded up to powers of two. Those stored as kPackedUe8m0 always are.
  bool use_ue8m0 = false;
  /// The least maximum that a scale is made of: what is smaller, zeros above all, is scaled as if it were there. At
  /// least 2^-100, so that scales and their inverses are normal numbers.
  float least_amax = 1e-4f;
};
inline CastOptions CastOptionsOf(const FP8Config& config) {
  CastOptions options;
  options.use_ue8m0 = config.use_ue8m0_cast;
  return options;
}

/// What rows of groups are padded to: outputs of PadGroups.
struct PaddedGroups {
  Tensor rows;     ///< (padded rows, n), as the rows that are padded; those of no group become 0.
  Tensor indices;  ///< (padded rows), s32: the group of each row, -1 of padding. May be not given.
  Tensor ends;     ///< (groups), s32: the end of each group's own rows, among the padded ones. May be not given.
};

/// Casts, transposes and paddings, on the device that holds the tensors: on a GPU by kernels that go through the
/// engine's compilers and cache, and start on a stream; on the CPU by the library's own code. A device's results and
/// the CPU's are the same, bit by bit, but for the bits of NaNs. Each kernel is made when first needed (while a CUDA
/// graph is captured it must be there already). Thread-safe. The engine must live as long.
///
/// All tensors of a call are on one device and overlap nowhere. Each function throws kInvalidArgument, before anything
/// is launched, for dtypes, shapes or strides other than it says, null pointers, outputs that are read-only.
class GEMMSMITH_API Layouts {
 public:
  explicit Layouts(Engine& engine);
  ~Layouts();
  Layouts(const Layouts&) = delete;
  Layouts& operator=(const Layouts&) = delete;

  /// Copies f32 `scales` (rows, steps), or (batch, rows, steps), with any strides, to `out`, as MnMajorTmaAligned wants
  /// it or with any other strides: out[i, j] = scales[i / gran_mn, j]. What lies between rows and their stride is left
  /// as it is.
  void GetMnMajorTmaAlignedTensor(const Tensor& scales, const Tensor& out, std::int64_t gran_mn = 1,
                                  Stream stream = {}) const;
  /// The same into s32 (rows, steps / 4), rounded up: byte j % 4 of word j / 4 is the exponent of the least power of
  /// two that is not below scales[i / gran_mn, j], plus 127 (OCP Microscaling Formats, E8M0): at least 0, and 255,
  /// which is NaN, for what has none: NaN, infinity, above 2^127, or a sign. Bytes past the last step are 0.
  void GetMnMajorTmaAlignedPackedUe8m0Tensor(const Tensor& scales, const Tensor& out, std::int64_t gran_mn = 1,
                                             Stream stream = {}) const;

  /// Casts `x` (m, k), or (batch, m, k), of f32, f16 or bf16 and with rows of unit stride, to `out` of the same shape,
  /// of e4m3 or e5m2, by factors of 1 x 128 elements, `scales` (m, k / 128), rounded up:
  ///   scale = max(amax, least_amax) / most,  out = x * (1 / scale),
  /// amax the largest magnitude of the elements and most the type's largest number, 448 or 57344; both quotients are
  /// rounded to f32, out to nearest. A scale of NaN or infinity is what an x of NaN or infinity gives to all elements
  /// of a factor, so that their products with `out` are all NaN. `scales` is f32, or s32 for packed exponents (as
  /// above, with k in steps of 128), with any strides: those of MnMajorTmaAligned spare a transpose.
  void PerTokenCastToFp8(const Tensor& x, const Tensor& out, const Tensor& scales, const CastOptions& options = {},
                         Stream stream = {}) const;
  /// The same by factors of 128 x 128 elements: `scales` (m / 128, k / 128), rounded up.
  void PerBlockCastToFp8(const Tensor& x, const Tensor& out, const Tensor& scales, const CastOptions& options = {},
                         Stream stream = {}) const;
  /// The same by factors of 128 x 1 elements: `scales` (m / 128, k), rounded up, f32. For products along m.
  void PerChannelCastToFp8(const Tensor& x, const Tensor& out, const Tensor& scales, const CastOptions& options = {},
                           Stream stream = {}) const;

  /// Copies `rows` (rows, n) of any dtype, with rows of unit stride, in groups one after the other, so that each group
  /// begins at a multiple of `alignment`: `counts` (groups), s32, dense and on the device, has the rows of each, and
  /// nobody waits for it. `padded.rows` has at least PaddedRows(rows, groups, alignment) rows. Rows beyond the sum of
  /// the counts are in no group; a count below 0 is 0, and rows that counts say and `rows` has not are padding (on the
  /// CPU both are kInvalidArgument).
  void PadGroups(const Tensor& rows, const Tensor& counts, const PaddedGroups& padded,
                 std::int64_t alignment = GetMAlignmentForContiguousLayout(), Stream stream = {}) const;
  /// The way back: copies the groups' own rows of `padded` to `rows`. Rows that are in no group are left as they are.
  void UnpadGroups(const Tensor& padded, const Tensor& counts, const Tensor& rows,
                   std::int64_t alignment = GetMAlignmentForContiguousLayout(), Stream stream = {}) const;

  /// Compiles (or finds) every kernel for `target`; needs no device. Returns how many there are. Throws kUnsupported
  /// for one that is no GPU's.
  int CompileAhead(const CodeTarget& target) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace gemmsmith
