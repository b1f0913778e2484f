#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gemmsmith/dtype.h"
#include "gemmsmith/export.h"

namespace gemmsmith {

struct Expression;
struct OpTrace;

/// A part of D that shares one scale or one maximum: `rows` x `columns` elements, the last ones of D may be cut short.
struct EpilogueBlock {
  std::int32_t rows = 1, columns = 128;
  friend bool operator==(const EpilogueBlock&, const EpilogueBlock&) = default;
};

/// A scalar of an operator while it is traced: f32, s32 or bool; doubles become f32. Operators between an s32 and an
/// f32 convert the s32, as C++ does. Throws kInvalidArgument where an operation does not take operands of these types,
/// and for expressions of more than 1000 operations.
class GEMMSMITH_API Value {
 public:
  Value(float constant);
  Value(double constant) : Value(static_cast<float>(constant)) {}
  Value(std::int32_t constant);

  explicit Value(std::shared_ptr<const Expression> expression) : expression_(std::move(expression)) {}
  const Expression& expression() const { return *expression_; }
  const std::shared_ptr<const Expression>& shared_expression() const { return expression_; }

 private:
  std::shared_ptr<const Expression> expression_;
};

GEMMSMITH_API Value operator+(const Value& x, const Value& y);
GEMMSMITH_API Value operator-(const Value& x, const Value& y);
GEMMSMITH_API Value operator*(const Value& x, const Value& y);
GEMMSMITH_API Value operator/(const Value& x, const Value& y);  ///< f32 only.
GEMMSMITH_API Value operator-(const Value& x);                  ///< f32 only.
GEMMSMITH_API Value operator<(const Value& x, const Value& y);
GEMMSMITH_API Value operator<=(const Value& x, const Value& y);
GEMMSMITH_API Value operator>(const Value& x, const Value& y);
GEMMSMITH_API Value operator>=(const Value& x, const Value& y);
GEMMSMITH_API Value operator==(const Value& x, const Value& y);
GEMMSMITH_API Value operator!=(const Value& x, const Value& y);
GEMMSMITH_API Value operator&&(const Value& x, const Value& y);  ///< Of bools; both are evaluated.
GEMMSMITH_API Value operator||(const Value& x, const Value& y);
GEMMSMITH_API Value operator!(const Value& x);
/// `condition` ? x : y.
GEMMSMITH_API Value Select(const Value& condition, const Value& x, const Value& y);

GEMMSMITH_API Value Fma(const Value& x, const Value& y, const Value& z);  ///< x * y + z, rounded once.
GEMMSMITH_API Value Min(const Value& x, const Value& y);                  ///< NaN if either is; -0 is less than +0.
GEMMSMITH_API Value Max(const Value& x, const Value& y);                  ///< Likewise.
GEMMSMITH_API Value Abs(const Value& x);
GEMMSMITH_API Value Sqrt(const Value& x);
GEMMSMITH_API Value Rsqrt(const Value& x);
GEMMSMITH_API Value Recip(const Value& x);
GEMMSMITH_API Value Exp(const Value& x);
GEMMSMITH_API Value Log(const Value& x);
GEMMSMITH_API Value Tanh(const Value& x);
GEMMSMITH_API Value Erf(const Value& x);
GEMMSMITH_API Value Round(const Value& x);  ///< To a whole number, ties to even.
GEMMSMITH_API Value ToF32(const Value& x);  ///< Of an s32.
GEMMSMITH_API Value ToS32(const Value& x);  ///< Of an f32: towards zero; saturates, and NaN becomes 0.
/// The nearest value of a narrower type, ties to even, as an f32. f16 and bf16 overflow to infinity; e4m3, e5m2, s8 and
/// u8 saturate, infinities too; NaN becomes 0 in s8 and u8. Throws kInvalidArgument for other types.
GEMMSMITH_API Value RoundTo(DType dtype, const Value& x);

GEMMSMITH_API Value Relu(const Value& x);      ///< x < 0 ? 0 : x.
GEMMSMITH_API Value Gelu(const Value& x);      ///< x / 2 * (1 + erf(x / sqrt(2))).
GEMMSMITH_API Value GeluTanh(const Value& x);  ///< x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3))).
GEMMSMITH_API Value Sigmoid(const Value& x);   ///< 1 / (1 + exp(-x)).
GEMMSMITH_API Value Silu(const Value& x);      ///< x / (1 + exp(-x)).
GEMMSMITH_API Value Swiglu(const Value& gate, const Value& linear);  ///< Silu(gate) * linear.

/// What an element can be computed from besides its accumulator. What is used must be given with the call.
struct GEMMSMITH_API Inputs {
  /// The accumulator of the column beside it: D then has half as many columns as B, and its column j is made of columns
  /// 2j (the accumulator) and 2j + 1 (this) of the product.
  Value Paired() const;
  Value Bias() const;         ///< One per column of the product (n).
  Value PairedBias() const;   ///< The paired column's.
  Value BiasM() const;        ///< One per row (m).
  Value Residual() const;     ///< A matrix of D's shape.
  Value Scalar() const;       ///< One value.
  Value ScaleRow() const;     ///< One per row (m).
  Value ScaleColumn() const;  ///< One per column of the product (n).
  Value PairedScaleColumn() const;
  Value ScaleBlock(EpilogueBlock block = {}) const;
  Value DScale() const;  ///< What D is multiplied by before it is quantised: one value; or per row, column, block of D.
  Value DScaleRow() const;
  Value DScaleColumn() const;
  Value DScaleBlock(EpilogueBlock block = {}) const;
  Value Row() const;  ///< The element's place in D, s32.
  Value Column() const;
};

/// What an epilogue makes: the element of D, rounded to D's type when it is stored; and, where asked for, the largest
/// magnitudes of a value over rows, columns or blocks of D. A NaN among them makes NaN.
class GEMMSMITH_API Outputs {
 public:
  Outputs(const Value& d);
  Outputs& AmaxRow(const Value& x);
  Outputs& AmaxColumn(const Value& x);
  Outputs& AmaxBlock(const Value& x, EpilogueBlock block = {});

 private:
  friend class Epilogue;
  struct Output {
    std::uint8_t kind;
    Value value;
    EpilogueBlock block;
  };
  std::vector<Output> outputs_;
};

/// All that one element of D may be computed from. Members that the epilogue does not read are ignored.
struct EpilogueElement {
#define GEMMSMITH_EPILOGUE_INPUT(name, text, type, member, ...) type member = 0;
#include "gemmsmith/epilogue.def"
#undef GEMMSMITH_EPILOGUE_INPUT
};
/// What an element may be computed from, as the members of EpilogueElement.
enum class EpilogueInput : std::uint8_t {
#define GEMMSMITH_EPILOGUE_INPUT(name, ...) name,
#include "gemmsmith/epilogue.def"
#undef GEMMSMITH_EPILOGUE_INPUT
};
/// What an element makes, as the members of EpilogueResult.
enum class EpilogueOutput : std::uint8_t {
#define GEMMSMITH_EPILOGUE_OUTPUT(name, ...) name,
#include "gemmsmith/epilogue.def"
#undef GEMMSMITH_EPILOGUE_OUTPUT
};
/// What one element makes: `d` before it is rounded to D's type, and magnitudes, 0 where they are not asked for.
struct EpilogueResult {
#define GEMMSMITH_EPILOGUE_OUTPUT(name, text, member, ...) float member = 0;
#include "gemmsmith/epilogue.def"
#undef GEMMSMITH_EPILOGUE_OUTPUT
};

/// What is done to alpha * A * B + beta * C, element by element, before it is stored in D: a scalar expression in f32
/// that becomes part of the kernel. An immutable value in canonical form: constants folded, common subexpressions
/// shared, what nobody uses dropped. Equal expressions by these rules are equal epilogues.
class GEMMSMITH_API Epilogue {
 public:
  /// D is the accumulator: no epilogue.
  Epilogue();
  /// Throws kInvalidArgument for an output that is not f32.
  Epilogue(const Outputs& outputs);
  /// By names, applied from left to right: "bias+gelu" (docs/epilogues.md; EpilogueNames lists them). Throws
  /// kInvalidArgument, naming what is unknown or out of place.
  static Epilogue Parse(std::string_view chain);

  /// The canonical form, one operation per line.
  const std::string& text() const { return *text_; }
  /// The type that D's values are already rounded to, which D should be of; kF32 if none.
  DType rounded_to() const;
  /// The definition, computed by an interpreter: what every kernel is compared with. `ulps` moves the results of Exp,
  /// Log, Tanh, Erf and Rsqrt by so many units in the last place, which backends may be 2 off.
  EpilogueResult Evaluate(const EpilogueElement& element, int ulps = 0) const;
  /// What GemmProblem::epilogue_id holds: a digest of the text; 0 for no epilogue.
  std::uint64_t id() const { return id_; }
  /// The epilogue of that id, if this process has made one.
  static std::optional<Epilogue> Find(std::uint64_t id);

  bool Reads(EpilogueInput input) const { return inputs_ >> static_cast<int>(input) & 1; }
  bool Makes(EpilogueOutput output) const { return outputs_ >> static_cast<int>(output) & 1; }
  /// Whether columns 2j and 2j + 1 of the product make column j of D.
  bool pairs_columns() const;
  /// The block size of an input that is read, or of an output that is made, per block.
  EpilogueBlock block(EpilogueInput input) const;
  EpilogueBlock block(EpilogueOutput output) const;

  const OpTrace& trace() const { return *trace_; }
  friend bool operator==(const Epilogue& x, const Epilogue& y) { return x.text() == y.text(); }

 private:
  std::shared_ptr<const OpTrace> trace_;
  std::shared_ptr<const std::string> text_;
  std::uint64_t id_ = 0;
  std::uint32_t inputs_ = 0, outputs_ = 0;  // a bit for each EpilogueInput, EpilogueOutput
};

/// alpha * A * B + beta * C, which Trace calls its function with.
GEMMSMITH_API Value TracedAccumulator();

/// An epilogue from a function of the accumulator, which returns D's value or Outputs:
///   Trace([](Value acc, Inputs in) { return Gelu(acc + in.Bias()); })
/// The function runs once, here; an `if` in it decides what is traced. Throws what the operators and Epilogue throw.
template <class Function>
Epilogue Trace(const Function& function) {
  return Epilogue(Outputs(function(TracedAccumulator(), Inputs())));
}

/// A name that Epilogue::Parse knows.
struct EpilogueName {
  std::string_view name;
  std::string_view meaning;  ///< Formula, for x the value so far.
};
GEMMSMITH_API std::span<const EpilogueName> EpilogueNames();

}  // namespace gemmsmith
