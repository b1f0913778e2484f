#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <vector>

namespace gemmsmith {

/// What both AVX2 and AVX-512 can do to a vector of 32-bit lanes in one instruction, or nearly. f32 unless the name
/// says otherwise. Masks are a bit or a whole lane, which only the writer of instructions needs to know.
enum class VectorOp : std::uint8_t {
  kSource,    ///< bits: which one; asked for when it is needed.
  kConstant,  ///< bits: of every lane.
  kAdd,
  kSub,
  kMul,
  kDiv,
  kMin,  ///< x < y ? x : y, as the instruction has it: y if either is NaN.
  kMax,  ///< x > y ? x : y.
  kSqrt,
  kRound,  ///< To whole numbers, ties to even.
  kAnd,
  kOr,
  kXor,
  kAddS32,
  kSubS32,
  kMulS32,
  kMinS32,
  kMaxS32,
  kShiftLeft,         ///< By `bits`, as the next two.
  kShiftRight,        ///< Zeros come in.
  kShiftRightSigned,  ///< Signs come in.
  kToF32,             ///< Of s32.
  kNearestS32,        ///< -2^31 for NaN and what is out of range.
  kTruncatedS32,      ///< Likewise.
  kHalf,              ///< To f16 and back.
  kFma,               ///< x * y + z.
  kFnma,              ///< z - x * y.
  kScale,             ///< AVX-512: x * 2^floor(y), rounded once.
  kCopySign,          ///< AVX-512: x with the sign of y.
  kLookup,            ///< AVX-512: an entry of table `bits`, by the lowest four bits of x.
  kLess,              ///< Masks from here: of ordered, quiet comparisons
  kLessEqual,
  kEqual,
  kUnordered,
  kGreaterS32,
  kEqualS32,
  kMaskConstant,  ///< bits: 0 or 1.
  kMaskAnd,
  kMaskOr,
  kMaskNot,
  kSelect,  ///< A vector again: x ? y : z.
  kSink,    ///< Hands x out. bits: where to.
};

struct VectorNode {
  VectorOp op;
  std::array<std::int32_t, 3> operands{-1, -1, -1};
  std::uint32_t bits = 0;
};
inline bool IsMask(VectorOp op) { return op >= VectorOp::kLess && op <= VectorOp::kMaskNot; }

class V;

constexpr int kSourcesOfVector = 128;

/// What one permutation can choose from for each lane of AVX-512.
using LookupTable = std::array<float, 16>;

/// Straight-line code for one vector, in single assignments.
class VectorProgram {
 public:
  explicit VectorProgram(bool avx512) : avx512_(avx512) {}
  bool avx512() const { return avx512_; }
  const std::vector<VectorNode>& nodes() const { return nodes_; }

  V Source(int source);
  V Constant(float value);
  V Bits(std::uint32_t bits);
  V Add(VectorNode node);
  void Sink(int sink, V value);
  const std::vector<LookupTable>& tables() const { return tables_; }
  /// The same for so many vectors at once, instruction by instruction: while one waits for its operands, the processor
  /// need not look far for the others. Sources and sinks of the next vector are kSourcesOfVector further on.
  VectorProgram Interleaved(int vectors) const;
  /// The number of a table with these entries.
  std::uint32_t Table(const LookupTable& entries);

 private:
  bool avx512_;
  std::vector<VectorNode> nodes_;
  std::vector<LookupTable> tables_;
};

/// A value of a program, which formulas are written with. Numbers beside it become constants.
class V {
 public:
  V(VectorProgram& program, std::int32_t index) : program_(&program), index_(index) {}
  VectorProgram& program() const { return *program_; }
  std::int32_t index() const { return index_; }
  V Like(float value) const { return program_->Constant(value); }
  V LikeBits(std::uint32_t bits) const { return program_->Bits(bits); }

 private:
  VectorProgram* program_;
  std::int32_t index_;
};

inline V Apply(VectorOp op, V x, std::uint32_t bits = 0) { return x.program().Add({op, {x.index(), -1, -1}, bits}); }
inline V Apply(VectorOp op, V x, V y) { return x.program().Add({op, {x.index(), y.index(), -1}}); }
inline V Apply(VectorOp op, V x, V y, V z) { return x.program().Add({op, {x.index(), y.index(), z.index()}}); }

inline V operator+(V x, V y) { return Apply(VectorOp::kAdd, x, y); }
inline V operator-(V x, V y) { return Apply(VectorOp::kSub, x, y); }
inline V operator*(V x, V y) { return Apply(VectorOp::kMul, x, y); }
inline V operator/(V x, V y) { return Apply(VectorOp::kDiv, x, y); }
inline V operator/(float x, V y) { return y.Like(x) / y; }
inline V operator+(V x, float y) { return x + x.Like(y); }
inline V operator-(V x, float y) { return x - x.Like(y); }
inline V operator-(float x, V y) { return y.Like(x) - y; }
inline V operator*(V x, float y) { return x * x.Like(y); }
inline V Fma(V x, V y, V z) { return Apply(VectorOp::kFma, x, y, z); }
inline V Fma(V x, float y, V z) { return Fma(x, x.Like(y), z); }
inline V Fma(V x, V y, float z) { return Fma(x, y, x.Like(z)); }
inline V Fma(V x, float y, float z) { return Fma(x, x.Like(y), x.Like(z)); }
inline V Fnma(V x, V y, V z) { return Apply(VectorOp::kFnma, x, y, z); }
inline V operator&(V x, std::uint32_t bits) { return Apply(VectorOp::kAnd, x, x.LikeBits(bits)); }
inline V operator|(V x, V y) { return Apply(VectorOp::kOr, x, y); }
inline V operator<<(V x, int bits) { return Apply(VectorOp::kShiftLeft, x, static_cast<std::uint32_t>(bits)); }
inline V operator>>(V x, int bits) { return Apply(VectorOp::kShiftRight, x, static_cast<std::uint32_t>(bits)); }
inline V AddS32(V x, V y) { return Apply(VectorOp::kAddS32, x, y); }
inline V AddS32(V x, std::uint32_t y) { return AddS32(x, x.LikeBits(y)); }
inline V Select(V mask, V x, V y) { return Apply(VectorOp::kSelect, mask, x, y); }
inline V Lookup(V index, const LookupTable& entries) {
  return Apply(VectorOp::kLookup, index, index.program().Table(entries));
}
inline V IsNan(V x) { return Apply(VectorOp::kUnordered, x, x); }

}  // namespace gemmsmith
