#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <iterator>
#include <limits>
#include <type_traits>
#include <utility>

#include "epilogue/trace.h"

namespace gemmsmith {
namespace {

// What the definitions in epilogue.def are written with.

float Minimum(float x, float y) {
  if (std::isnan(x) || std::isnan(y)) return std::numeric_limits<float>::quiet_NaN();
  if (x == y) return std::signbit(x) ? x : y;
  return x < y ? x : y;
}
float Maximum(float x, float y) { return -Minimum(-x, -y); }

float Rounded(DType dtype, float x) {
  const float largest = dtype == DType::kE4m3 ? 448.0f : dtype == DType::kE5m2 ? 57344.0f : 0.0f;
  if (largest > 0 && !std::isnan(x)) x = std::clamp(x, -largest, largest);
  std::uint32_t storage = 0;
  Encode(dtype, &storage, 0, x);
  return static_cast<float>(Decode(dtype, &storage, 0));
}

std::int32_t Truncated(float x) {
  if (std::isnan(x)) return 0;
  if (x >= 0x1p31f) return std::numeric_limits<std::int32_t>::max();
  if (x < -0x1p31f) return std::numeric_limits<std::int32_t>::min();
  return static_cast<std::int32_t>(x);
}

template <class T>
constexpr ValueType kTypeOf = std::is_same_v<T, float>  ? ValueType::kF32
                              : std::is_same_v<T, bool> ? ValueType::kBool
                                                        : ValueType::kS32;

template <class T>
T FromBits(std::uint32_t bits) {
  if constexpr (std::is_same_v<T, bool>) {
    return bits != 0;
  } else {
    return std::bit_cast<T>(bits);
  }
}
std::uint32_t ToBits(bool value) { return value; }
std::uint32_t ToBits(std::int32_t value) { return static_cast<std::uint32_t>(value); }
std::uint32_t ToBits(float value) { return std::isnan(value) ? kNanBits : std::bit_cast<std::uint32_t>(value); }

/// Arity, types and the evaluation by bits of a definition, from its C++ type.
template <auto kDefinition>
struct Computed;
template <class Result, class... Operands, Result (*kDefinition)(Operands...)>
struct Computed<kDefinition> {
  static std::uint32_t Evaluate(const std::uint32_t* operands) {
    return Apply(operands, std::index_sequence_for<Operands...>());
  }
  template <std::size_t... kIndices>
  static std::uint32_t Apply(const std::uint32_t* operands, std::index_sequence<kIndices...>) {
    return ToBits(kDefinition(FromBits<Operands>(operands[kIndices])...));
  }
  static constexpr OpInfo Row(Op op, std::string_view text, OpTrait trait, std::string_view cuda) {
    return {op,   OpKind::kComputed, text, kTypeOf<Result>, sizeof...(Operands), {kTypeOf<Operands>...}, trait,
            cuda, Evaluate};
  }
};

#define GEMMSMITH_EPILOGUE_OP(name, text, result, parameters, trait, definition, cuda) \
  result name##Definition parameters { return definition; }
#include "gemmsmith/epilogue.def"
#undef GEMMSMITH_EPILOGUE_OP

constexpr OpInfo kOps[] = {
#define GEMMSMITH_EPILOGUE_INPUT(name, text, type, member, method, ...) \
  {Op::name, OpKind::kInput, text, kTypeOf<type>, 0, {}, OpTrait::kExact, #method, nullptr},
#define GEMMSMITH_EPILOGUE_CONSTANT(name, text, type) \
  {Op::name, OpKind::kConstant, text, kTypeOf<type>, 0, {}, OpTrait::kExact, "", nullptr},
#define GEMMSMITH_EPILOGUE_OP(name, text, result, parameters, trait, definition, cuda) \
  Computed<name##Definition>::Row(Op::name, text, OpTrait::trait, cuda),
#include "gemmsmith/epilogue.def"
#undef GEMMSMITH_EPILOGUE_INPUT
#undef GEMMSMITH_EPILOGUE_CONSTANT
#undef GEMMSMITH_EPILOGUE_OP
};

constexpr OutputInfo kOutputs[] = {
#define GEMMSMITH_EPILOGUE_OUTPUT(name, text, member, method, ...) {OutputKind::name, text, #method},
#include "gemmsmith/epilogue.def"
#undef GEMMSMITH_EPILOGUE_OUTPUT
};

std::uint32_t InputBits(Op op, const EpilogueElement& element) {
  switch (op) {
#define GEMMSMITH_EPILOGUE_INPUT(name, text, type, member, ...) \
  case Op::name:                                                \
    return ToBits(element.member);
#include "gemmsmith/epilogue.def"
#undef GEMMSMITH_EPILOGUE_INPUT
    default:
      return 0;
  }
}

std::uint32_t ConstantBits(const OpNode& node) {
  return Info(node.op).type == ValueType::kF32 ? ToBits(FromBits<float>(node.bits)) : node.bits;
}

/// The float that many steps away. NaN and infinities stay.
std::uint32_t Moved(std::uint32_t bits, int ulps) {
  float value = std::bit_cast<float>(bits);
  if (!std::isfinite(value)) return bits;
  const float towards = std::copysign(std::numeric_limits<float>::infinity(), static_cast<float>(ulps));
  for (int i = 0; i < std::abs(ulps); ++i) value = std::nextafter(value, towards);
  return ToBits(value);
}

void SetOutput(OutputKind kind, float value, EpilogueResult& result) {
  switch (kind) {
#define GEMMSMITH_EPILOGUE_OUTPUT(name, text, member, ...)             \
  case OutputKind::name:                                               \
    result.member = kind == OutputKind::kD ? value : std::fabs(value); \
    return;
#include "gemmsmith/epilogue.def"
#undef GEMMSMITH_EPILOGUE_OUTPUT
  }
}

}  // namespace

const OpInfo& Info(Op op) { return kOps[static_cast<std::size_t>(op)]; }
std::span<const OpInfo> AllOps() { return kOps; }
const OutputInfo& Info(OutputKind kind) { return kOutputs[static_cast<std::size_t>(kind)]; }

const OpInfo* FindOp(std::string_view text, std::span<const ValueType> operands) {
  const auto* found = std::find_if(std::begin(kOps), std::end(kOps), [&](const OpInfo& row) {
    return row.kind == OpKind::kComputed && row.text == text &&
           std::equal(operands.begin(), operands.end(), row.operands.begin(), row.operands.begin() + row.arity);
  });
  return found == std::end(kOps) ? nullptr : found;
}

std::string_view ToString(ValueType type) {
  return type == ValueType::kF32 ? "f32" : type == ValueType::kS32 ? "s32" : "bool";
}

EpilogueResult Evaluate(const OpTrace& trace, const EpilogueElement& element, int ulps) {
  std::vector<std::uint32_t> values;
  values.reserve(trace.body.size());
  for (const OpNode& node : trace.body) {
    const OpInfo& info = Info(node.op);
    std::uint32_t operands[3] = {};
    for (int i = 0; i < info.arity; ++i) operands[i] = values[node.operands[i]];
    values.push_back(info.kind == OpKind::kInput      ? InputBits(node.op, element)
                     : info.kind == OpKind::kConstant ? ConstantBits(node)
                                                      : info.evaluate(operands));
    // Limits at infinity are exact everywhere.
    if (ulps != 0 && info.trait == OpTrait::kApproximate && std::isfinite(std::bit_cast<float>(operands[0])))
      values.back() = Moved(values.back(), ulps);
  }
  EpilogueResult result;
  for (const OpOutput& output : trace.outputs)
    SetOutput(output.kind, std::bit_cast<float>(values[output.value]), result);
  return result;
}

}  // namespace gemmsmith
