#include "runtime/emulator/statistics/instruction_facts.h"

#include <algorithm>
#include <optional>

#include "runtime/emulator/isa/matrix_product.h"
#include "runtime/emulator/isa/row.h"

namespace gemmsmith::emulator {
namespace {

using Access = InstructionFact::Access;

Access BulkAccessOf(std::string_view opcode) {
  // What comes first is the destination.
  const std::size_t global = opcode.find(".global"), shared = opcode.find(".shared::");
  if (opcode.find(".prefetch") != std::string_view::npos) return Access::kNone;
  if (global == std::string_view::npos) return Access::kBulkExchange;
  if (global > shared) return Access::kBulkLoad;
  return opcode.starts_with("cp.reduce.") ? Access::kBulkReduction : Access::kBulkStore;
}

Access AccessOf(std::string_view opcode) {
  const auto is = [&](std::string_view begin) { return opcode.starts_with(begin); };
  if (is("cp.async.ca.") || is("cp.async.cg.")) return Access::kCopy;
  if (is("cp.async.bulk.commit") || is("cp.async.bulk.wait")) return Access::kNone;
  if (is("cp.async.bulk.") || is("cp.reduce.async.bulk.")) return BulkAccessOf(opcode);
  if (is("ldmatrix.") || is("stmatrix.")) return Access::kMatrix;
  // Constants and parameters come by a way of their own.
  if (HasModifier(opcode, "const") || opcode.find(".param") != opcode.npos) return Access::kNone;
  for (const std::string_view begin : {"ld.", "ldu.", "st.", "atom.", "red.", "wmma.load.", "wmma.store."})
    if (is(begin)) return Access::kLanes;
  return Access::kNone;
}

/// The modifiers that tell what a product is of: its shape, then its types.
std::string NameOfProduct(std::string_view opcode, TileShape& shape) {
  std::string name;
  for (std::size_t at = 0; at < opcode.size();) {
    const std::size_t end = std::min(opcode.find('.', at), opcode.size());
    const std::string_view word = opcode.substr(at, end - at);
    const TileShape parsed = word.starts_with('m') && word.find('k') != word.npos ? ParseShape(word) : TileShape{};
    const bool sized = parsed.m > 0 && parsed.n > 0 && parsed.k > 0;
    if (sized) shape = parsed;
    if (at == 0 || sized || word == "b1" || ParseTensorType(word) || ptx::ParseScalarType(word))
      name += (at == 0 ? "" : ".") + std::string(word);
    at = end + 1;
  }
  return name;
}

}  // namespace

void InstructionFacts::AddProduct(std::string_view opcode, InstructionFact& fact) {
  const bool group = opcode.starts_with("wgmma.mma_async.");
  if (!group && !opcode.starts_with("mma.") && !opcode.starts_with("wmma.mma.")) return;
  TileShape shape{};
  ProductKind kind;
  kind.name = NameOfProduct(opcode, shape);
  kind.multiply_adds =
      static_cast<std::uint64_t>(shape.m) * static_cast<std::uint64_t>(shape.n) * static_cast<std::uint64_t>(shape.k);
  kind.warps = group ? 4 : 1;
  const auto same = std::find_if(products_.begin(), products_.end(),
                                 [&](const ProductKind& product) { return product.name == kind.name; });
  fact.product = static_cast<std::int16_t>(same - products_.begin());
  if (same == products_.end()) products_.push_back(std::move(kind));
}

InstructionFacts::InstructionFacts(const CodeIndex& code) : code_(code), facts_(code.end()) {
  for (std::uint32_t number = 1; number < code.end(); ++number) {
    const Instruction& instruction = code.InstructionOf(number);
    const auto& origins = code.FunctionOf(number).origins;
    InstructionFact& fact = facts_[number];
    fact.category = static_cast<std::uint8_t>(Category::kControl);  // Of an end that the text leaves out.
    if (instruction.index >= origins.size()) continue;
    const Origin& origin = origins[instruction.index];
    if (origin.row != nullptr) fact.category = static_cast<std::uint8_t>(origin.row->category);
    const std::string_view opcode = OpcodeOf(origin.text);
    fact.access = AccessOf(opcode);
    fact.branch = opcode == "bra" || opcode == "bra.uni";
    AddProduct(opcode, fact);
  }
}

}  // namespace gemmsmith::emulator
