#include "epilogue/cuda_text.h"

#include <fmt/format.h>

#include <bit>
#include <cmath>
#include <limits>

namespace gemmsmith {
namespace {

std::string_view CudaType(ValueType type) {
  return type == ValueType::kF32 ? "float" : type == ValueType::kS32 ? "int" : "bool";
}

std::string Literal(const OpNode& node) {
  if (node.op == Op::kConstantBool) return node.bits != 0 ? "true" : "false";
  if (node.op == Op::kConstantS32) {
    const auto value = static_cast<std::int32_t>(node.bits);
    return value == std::numeric_limits<std::int32_t>::min() ? "-2147483647 - 1" : fmt::format("{}", value);
  }
  const float value = std::bit_cast<float>(node.bits);
  // Compilers differ on what they say of literals outside the normal range.
  if (!std::isnormal(value) && node.bits != 0) return fmt::format("__uint_as_float(0x{:08x}u)", node.bits);
  const std::string digits = ShortestDecimal(value);
  return digits + (digits.find_first_of(".e") == std::string::npos ? ".0f" : "f");
}

std::string Name(std::int32_t index) { return fmt::format("v{}", index); }

std::string BlockArguments(EpilogueBlock block) {
  return block.rows > 0 ? fmt::format("{}, {}", block.rows, block.columns) : "";
}

std::string Rendered(const OpNode& node) {
  const OpInfo& info = Info(node.op);
  if (info.kind == OpKind::kConstant) return Literal(node);
  if (info.kind == OpKind::kInput) return fmt::format("in.{}({})", info.cuda, BlockArguments(node.block));
  return fmt::format(fmt::runtime(info.cuda), Name(node.operands[0]), Name(node.operands[1]), Name(node.operands[2]));
}

}  // namespace

std::string CudaText(const OpTrace& trace, std::string_view name) {
  std::string text = fmt::format(
      "struct {} {{\n"
      "  enum : bool {{ kPaired = {} }};\n"
      "  template <class Inputs, class Outputs>\n"
      "  __device__ __forceinline__ static void Apply(const Inputs& in, Outputs& out) {{\n",
      name, trace.paired());
  for (std::size_t i = 0; i < trace.body.size(); ++i)
    text += fmt::format("    const {} v{} = {};\n", CudaType(Info(trace.body[i].op).type), i, Rendered(trace.body[i]));
  for (const OpOutput& output : trace.outputs) {
    const std::string block = BlockArguments(output.block);
    text +=
        fmt::format("    out.{}(v{}{}{});\n", Info(output.kind).cuda, output.value, block.empty() ? "" : ", ", block);
  }
  return text + "  }\n};\n";
}

}  // namespace gemmsmith
