#include "epilogue/expression.h"

#include <algorithm>
#include <bit>

#include "util/log.h"

namespace gemmsmith {
namespace {

ValueType TypeOf(const Value& value) { return Info(value.expression().node.op).type; }

Value Constant(Op op, std::uint32_t bits) {
  Expression constant{{op}, {}};
  constant.node.bits = bits;
  return Value(std::make_shared<const Expression>(std::move(constant)));
}

[[noreturn]] void NoSuchOp(std::string_view text, std::span<const ValueType> types) {
  const auto list = [](std::span<const ValueType> operands) {
    std::string names;
    for (const ValueType type : operands) names += fmt::format("{}{}", names.empty() ? "" : ", ", ToString(type));
    return names;
  };
  std::string there_is;
  for (const OpInfo& row : AllOps())
    if (row.kind == OpKind::kComputed && row.text == text)
      there_is += fmt::format("{}{}({})", there_is.empty() ? "" : ", ", text,
                              list({row.operands.data(), static_cast<std::size_t>(row.arity)}));
  throw Fail(Code::kInvalidArgument, "convert with ToF32, ToS32 or Select", "epilogue: {}({}): there is {}", text,
             list(types), there_is);
}

/// As C++ does: beside an f32, an s32 becomes one.
void Promote(std::vector<Value>& operands, std::vector<ValueType>& types) {
  if (std::find(types.begin(), types.end(), ValueType::kF32) == types.end()) return;
  for (std::size_t i = 0; i < operands.size(); ++i)
    if (types[i] == ValueType::kS32) {
      operands[i] = Apply("to_f32", {operands[i]});
      types[i] = ValueType::kF32;
    }
}

}  // namespace

Value Input(Op op, EpilogueBlock block) {
  Expression input{{op}, {}};
  input.node.block = block;
  return Value(std::make_shared<const Expression>(std::move(input)));
}

Value Apply(std::string_view text, std::vector<Value> operands) {
  std::vector<ValueType> types;
  for (const Value& operand : operands) types.push_back(TypeOf(operand));
  if (operands.size() > 1) Promote(operands, types);
  const OpInfo* info = FindOp(text, types);
  if (info == nullptr) NoSuchOp(text, types);
  Expression result{{info->op}, {}};
  for (const Value& operand : operands) {
    result.depth = std::max(result.depth, operand.expression().depth + 1);
    result.operands.push_back(operand.shared_expression());
  }
  // Both walking and freeing an expression go as deep as it is.
  if (result.depth > OpTrace::kMaxNodes)
    throw Fail(Code::kInvalidArgument, "", "epilogue: an expression of more than {} operations", OpTrace::kMaxNodes);
  return Value(std::make_shared<const Expression>(std::move(result)));
}

Value::Value(float constant) : Value(Constant(Op::kConstantF32, std::bit_cast<std::uint32_t>(constant))) {}
Value::Value(std::int32_t constant) : Value(Constant(Op::kConstantS32, static_cast<std::uint32_t>(constant))) {}

Value operator+(const Value& x, const Value& y) { return Apply("add", {x, y}); }
Value operator-(const Value& x, const Value& y) { return Apply("sub", {x, y}); }
Value operator*(const Value& x, const Value& y) { return Apply("mul", {x, y}); }
Value operator/(const Value& x, const Value& y) { return Apply("div", {x, y}); }
Value operator-(const Value& x) { return Apply("neg", {x}); }
Value operator<(const Value& x, const Value& y) { return Apply("lt", {x, y}); }
Value operator<=(const Value& x, const Value& y) { return Apply("le", {x, y}); }
Value operator>(const Value& x, const Value& y) { return Apply("lt", {y, x}); }
Value operator>=(const Value& x, const Value& y) { return Apply("le", {y, x}); }
Value operator==(const Value& x, const Value& y) { return Apply("eq", {x, y}); }
Value operator!=(const Value& x, const Value& y) { return !(x == y); }
Value operator&&(const Value& x, const Value& y) { return Apply("and", {x, y}); }
Value operator||(const Value& x, const Value& y) { return Apply("or", {x, y}); }
Value operator!(const Value& x) { return Apply("not", {x}); }
Value Select(const Value& condition, const Value& x, const Value& y) { return Apply("select", {condition, x, y}); }

Value Fma(const Value& x, const Value& y, const Value& z) { return Apply("fma", {x, y, z}); }
Value Min(const Value& x, const Value& y) { return Apply("min", {x, y}); }
Value Max(const Value& x, const Value& y) { return Apply("max", {x, y}); }
Value Abs(const Value& x) { return Apply("abs", {x}); }
Value Sqrt(const Value& x) { return Apply("sqrt", {x}); }
Value Rsqrt(const Value& x) { return Apply("rsqrt", {x}); }
Value Recip(const Value& x) { return Apply("recip", {x}); }
Value Exp(const Value& x) { return Apply("exp", {x}); }
Value Log(const Value& x) { return Apply("log", {x}); }
Value Tanh(const Value& x) { return Apply("tanh", {x}); }
Value Erf(const Value& x) { return Apply("erf", {x}); }
Value Round(const Value& x) { return Apply("round", {x}); }
Value ToF32(const Value& x) { return Apply("to_f32", {x}); }
Value ToS32(const Value& x) { return Apply("to_s32", {x}); }

Value RoundTo(DType dtype, const Value& x) {
  const std::string text = fmt::format("to_{}", ToString(dtype));
  constexpr ValueType kOperand[] = {ValueType::kF32};
  const OpInfo* info = FindOp(text, kOperand);
  if (info == nullptr || info->type != ValueType::kF32)
    throw Fail(Code::kInvalidArgument, "", "epilogue: rounds to f16, bf16, e4m3, e5m2, s8 and u8, not to {}",
               ToString(dtype));
  return Apply(text, {x});
}

Value Relu(const Value& x) { return Select(x < 0.0f, 0.0f, x); }
Value Gelu(const Value& x) { return 0.5f * x * (1.0f + Erf(x * 0.707106781186547524)); }
Value GeluTanh(const Value& x) {
  const Value inner = 0.797884560802865356 * (x + 0.044715 * (x * x * x));
  return 0.5f * x * (1.0f + Tanh(inner));
}
Value Sigmoid(const Value& x) { return Recip(1.0f + Exp(-x)); }
Value Silu(const Value& x) { return x / (1.0f + Exp(-x)); }
Value Swiglu(const Value& gate, const Value& linear) { return Silu(gate) * linear; }

Value TracedAccumulator() { return Input(Op::kAccumulator); }
Value Inputs::Paired() const { return Input(Op::kPaired); }
Value Inputs::Bias() const { return Input(Op::kBias); }
Value Inputs::PairedBias() const { return Input(Op::kPairedBias); }
Value Inputs::BiasM() const { return Input(Op::kBiasM); }
Value Inputs::Residual() const { return Input(Op::kResidual); }
Value Inputs::Scalar() const { return Input(Op::kScalar); }
Value Inputs::ScaleRow() const { return Input(Op::kScaleRow); }
Value Inputs::ScaleColumn() const { return Input(Op::kScaleColumn); }
Value Inputs::PairedScaleColumn() const { return Input(Op::kPairedScaleColumn); }
Value Inputs::ScaleBlock(EpilogueBlock block) const { return Input(Op::kScaleBlock, block); }
Value Inputs::DScale() const { return Input(Op::kDScale); }
Value Inputs::DScaleRow() const { return Input(Op::kDScaleRow); }
Value Inputs::DScaleColumn() const { return Input(Op::kDScaleColumn); }
Value Inputs::DScaleBlock(EpilogueBlock block) const { return Input(Op::kDScaleBlock, block); }
Value Inputs::Row() const { return Input(Op::kRow); }
Value Inputs::Column() const { return Input(Op::kColumn); }

}  // namespace gemmsmith
