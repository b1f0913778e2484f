#include "jit/x86/trace_program.h"

#include <optional>

#include "jit/x86/vector_math.h"
#include "util/log.h"

namespace gemmsmith {
namespace {

/// A trace in the instructions of vectors.
class Lowering {
 public:
  Lowering(const OpTrace& trace, const MicroKernelRecipe& recipe, DType sum, VectorProgram& program)
      : trace_(trace), recipe_(recipe), sum_(sum), program_(program), values_(trace.body.size()) {}

  /// D comes last: storing may take its place in the registers.
  void Run() {
    for (std::size_t i = 0; i < trace_.body.size(); ++i) {
      values_[i] = Lower(trace_.body[i]);
      for (const OpOutput& output : trace_.outputs)
        if (output.kind != OutputKind::kD && output.value == static_cast<std::int32_t>(i))
          program_.Sink(static_cast<int>(output.kind), *values_[i]);
    }
    program_.Sink(static_cast<int>(OutputKind::kD), D(trace_.outputs[0].value));
  }

 private:
  V D(std::int32_t value) const {
    const std::string_view text = Info(trace_.body[value].op).text;
    const bool rounded = text == fmt::format("to_{}", ToString(recipe_.d_type));
    return Encoded(recipe_.d_type, *values_[value], rounded);
  }
  V Operand(const OpNode& node, int i) const { return *values_[node.operands[i]]; }

  V Lower(const OpNode& node) {
    const OpInfo& info = Info(node.op);
    if (info.kind == OpKind::kInput) return Input(node.op);
    if (info.kind == OpKind::kConstant)
      return info.type == ValueType::kBool ? program_.Add({VectorOp::kMaskConstant, {-1, -1, -1}, node.bits})
                                           : program_.Bits(node.bits);
    const V x = Operand(node, 0);
    if (info.arity == 1) return Unary(node.op, x);
    if (info.arity == 2) return Binary(node.op, x, Operand(node, 1));
    return Ternary(node, x, Operand(node, 1), Operand(node, 2));
  }

  V Input(Op op) const {
    const V source = program_.Source(static_cast<int>(op));
    const bool is_sum = op == Op::kAccumulator || op == Op::kPaired;
    return is_sum && sum_ == DType::kS32 ? Apply(VectorOp::kToF32, source) : source;
  }

  static V Unary(Op op, V x) {
    switch (op) {
      case Op::kNeg:
        return Negated(x);
      case Op::kAbs:
        return Abs(x);
      case Op::kSqrt:
        return Apply(VectorOp::kSqrt, x);
      case Op::kRecip:
        return 1.0f / x;
      case Op::kRound:
        return Apply(VectorOp::kRound, x);
      case Op::kRsqrt:
        return Rsqrt(x);
      case Op::kExp:
        return Exp(x);
      case Op::kLog:
        return Log(x);
      case Op::kTanh:
        return Tanh(x);
      case Op::kErf:
        return Erf(x);
      case Op::kNot:
        return Apply(VectorOp::kMaskNot, x);
      case Op::kToF32:
        return Apply(VectorOp::kToF32, x);
      case Op::kToS32:
        return TruncatedS32(x);
      default:
        return RoundedTo(RoundedType(op), x);
    }
  }
  static DType RoundedType(Op op) { return ParseDType(Info(op).text.substr(std::string_view("to_").size())); }

  static V Binary(Op op, V x, V y) {
    switch (op) {
      case Op::kMin:
        return Minimum(x, y);
      case Op::kMax:
        return Maximum(x, y);
      case Op::kLessS32:
        return Apply(VectorOp::kGreaterS32, y, x);
      case Op::kLessEqualS32:
        return Apply(VectorOp::kMaskNot, Apply(VectorOp::kGreaterS32, x, y));
      default:
        return Apply(OneInstruction(op), x, y);
    }
  }
  static VectorOp OneInstruction(Op op) {
    switch (op) {
      case Op::kAdd:
        return VectorOp::kAdd;
      case Op::kSub:
        return VectorOp::kSub;
      case Op::kMul:
        return VectorOp::kMul;
      case Op::kDiv:
        return VectorOp::kDiv;
      case Op::kLess:
        return VectorOp::kLess;
      case Op::kLessEqual:
        return VectorOp::kLessEqual;
      case Op::kEqual:
        return VectorOp::kEqual;
      case Op::kAnd:
        return VectorOp::kMaskAnd;
      case Op::kOr:
        return VectorOp::kMaskOr;
      case Op::kAddS32:
        return VectorOp::kAddS32;
      case Op::kSubS32:
        return VectorOp::kSubS32;
      case Op::kMulS32:
        return VectorOp::kMulS32;
      case Op::kEqualS32:
        return VectorOp::kEqualS32;
      default:
        throw Fail(Code::kInternal, "add its instructions", "x86: epilogue operation {}", Info(op).text);
    }
  }

  V Ternary(const OpNode& node, V x, V y, V z) const {
    if (node.op == Op::kFma) return Fma(x, y, z);
    // The smaller or larger of two, as in relu: one instruction does just this, NaN and zeros included.
    const OpNode& condition = trace_.body[node.operands[0]];
    if (node.op == Op::kSelect && condition.op == Op::kLess) {
      const auto& [low, high, none] = condition.operands;
      if (low == node.operands[1] && high == node.operands[2]) return Apply(VectorOp::kMin, y, z);
      if (high == node.operands[1] && low == node.operands[2]) return Apply(VectorOp::kMax, y, z);
    }
    return Select(x, y, z);
  }

  const OpTrace& trace_;
  const MicroKernelRecipe& recipe_;
  const DType sum_;
  VectorProgram& program_;
  std::vector<std::optional<V>> values_;
};

}  // namespace

VectorProgram FinishProgram(const MicroKernelRecipe& recipe, DType sum, bool avx512) {
  VectorProgram program(avx512);
  if (recipe.epilogue_id != 0) {
    const std::optional<Epilogue> epilogue = Epilogue::Find(recipe.epilogue_id);
    if (!epilogue) throw Fail(Code::kInternal, "", "this process has made no epilogue {:016x}", recipe.epilogue_id);
    Lowering(epilogue->trace(), recipe, sum, program).Run();
    return program;
  }
  const V value = program.Source(static_cast<int>(Op::kAccumulator));
  program.Sink(static_cast<int>(OutputKind::kD),
               sum == DType::kS32 ? EncodedS32(recipe.d_type, value) : Encoded(recipe.d_type, value, false));
  return program;
}

VectorProgram AddCProgram(const MicroKernelRecipe& recipe, DType sum, bool avx512) {
  VectorProgram program(avx512);
  const V so_far = program.Source(static_cast<int>(Op::kAccumulator)), beta = program.Source(kSourceBeta);
  const V c = program.Source(kSourceC);
  program.Sink(kSumSink, sum == DType::kS32 ? AddS32(so_far, Apply(VectorOp::kMulS32, beta, c))
                                            : Fma(beta, Decoded(recipe.d_type, c), so_far));
  return program;
}

}  // namespace gemmsmith
