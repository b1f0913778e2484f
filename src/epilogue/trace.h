#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "gemmsmith/epilogue.h"

namespace gemmsmith {

/// Inputs, constants and operations of epilogue.def, in its order.
enum class Op : std::uint8_t {
#define GEMMSMITH_EPILOGUE_INPUT(name, ...) name,
#define GEMMSMITH_EPILOGUE_CONSTANT(name, ...) name,
#define GEMMSMITH_EPILOGUE_OP(name, ...) name,
#include "gemmsmith/epilogue.def"
#undef GEMMSMITH_EPILOGUE_INPUT
#undef GEMMSMITH_EPILOGUE_CONSTANT
#undef GEMMSMITH_EPILOGUE_OP
};
enum class ValueType : std::uint8_t { kF32, kS32, kBool };
/// As epilogue.def explains them.
enum class OpTrait : std::uint8_t { kExact, kCommutative, kApproximate };
enum class OpKind : std::uint8_t { kInput, kConstant, kComputed };

/// A row of epilogue.def. Values travel as 32 bits: f32 and s32 as they are, bool as 0 or 1.
struct OpInfo {
  Op op;
  OpKind kind;
  std::string_view text;
  ValueType type;
  int arity;
  std::array<ValueType, 3> operands;
  OpTrait trait;
  std::string_view cuda;                                     ///< Method of the inputs, or the pattern of an expression.
  std::uint32_t (*evaluate)(const std::uint32_t* operands);  ///< Computed ones only. Every NaN is kNanBits.
};
const OpInfo& Info(Op op);
std::span<const OpInfo> AllOps();
/// The operation called `text` on operands of these types; null if there is none.
const OpInfo* FindOp(std::string_view text, std::span<const ValueType> operands);
std::string_view ToString(ValueType type);

constexpr std::uint32_t kNanBits = 0x7fc00000;

using OutputKind = EpilogueOutput;
struct OutputInfo {
  OutputKind kind;
  std::string_view text, cuda;
};
const OutputInfo& Info(OutputKind kind);

struct OpNode {
  Op op;
  std::array<std::int32_t, 3> operands{-1, -1, -1};  ///< Indices of earlier nodes; -1 past the arity.
  std::uint32_t bits = 0;                            ///< A constant's value.
  EpilogueBlock block{0, 0};                         ///< Of inputs per block; 0 x 0 for all others.
  friend bool operator==(const OpNode&, const OpNode&) = default;
};
struct OpOutput {
  OutputKind kind;
  std::int32_t value;         ///< Index of an f32 node.
  EpilogueBlock block{0, 0};  ///< As in OpNode.
  friend bool operator==(const OpOutput&, const OpOutput&) = default;
};

/// What a kernel must do besides computing each element of D from its own accumulator. Derived, never declared.
enum class OpPattern : std::uint8_t {
  kElementwise,
  kPairwise,   ///< Two neighbouring accumulators make one element.
  kReduction,  ///< Elements are reduced besides; may be paired too.
};

/// Single assignments in an order that can be executed. Whoever makes one (traced values now; a lifted compiled
/// function fits as well) need not tidy it: Canonical does.
struct OpTrace {
  static constexpr std::size_t kMaxNodes = 1000;

  std::vector<OpNode> body;
  std::vector<OpOutput> outputs;

  bool Reads(Op input) const;
  /// Whether an element is made of two columns of the product.
  bool paired() const { return Reads(Op::kPaired) || Reads(Op::kPairedBias) || Reads(Op::kPairedScaleColumn); }
  OpPattern pattern() const;
  friend bool operator==(const OpTrace&, const OpTrace&) = default;
};

/// The same function in canonical form: constants folded by Evaluate's own arithmetic, equal nodes shared, unused ones
/// dropped, operands and nodes in an order that does not depend on how the trace was built. Throws kInvalidArgument for
/// a trace that is none: operands of wrong types or out of order, no D, an output twice, inputs of several block sizes.
OpTrace Canonical(const OpTrace& trace);
/// One line per node and output: "v2 = add v0 v1". Equal canonical traces have equal texts.
std::string ToText(const OpTrace& trace);
EpilogueResult Evaluate(const OpTrace& trace, const EpilogueElement& element, int ulps = 0);

/// The shortest decimal number that reads back as `value`, the same on every machine.
std::string ShortestDecimal(float value);

}  // namespace gemmsmith
