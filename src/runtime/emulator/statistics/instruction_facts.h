#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "runtime/emulator/check/code_index.h"

namespace gemmsmith::emulator {

/// What an instruction is to the statistics.
struct InstructionFact {
  /// Who its accesses to memory are counted with.
  enum class Access : std::uint8_t {
    kNone,
    kLanes,   ///< Loads, stores, atomics, and those of wmma.
    kMatrix,  ///< ldmatrix, stmatrix
    kCopy,    ///< cp.async
    kBulkLoad,
    kBulkStore,
    kBulkReduction,
    kBulkExchange,
  };
  std::uint8_t category = 0;
  Access access{};
  bool branch = false;
  std::int16_t product = -1;  ///< Of InstructionFacts::products.
};

/// The products that instructions of one form and shape compute.
struct ProductKind {
  std::string name;                 ///< "mma.m16n8k16.f32.bf16.bf16.f32"
  std::uint64_t multiply_adds = 0;  ///< Of one product.
  std::uint32_t warps = 1;          ///< That execute the instruction for one product.
};

/// All instructions of a program. Immutable.
class InstructionFacts {
 public:
  explicit InstructionFacts(const CodeIndex& code);

  const InstructionFact& Of(const Instruction& instruction) const { return facts_[code_.NumberOf(instruction)]; }
  const std::vector<ProductKind>& products() const { return products_; }

 private:
  void AddProduct(std::string_view opcode, InstructionFact& fact);

  const CodeIndex& code_;
  std::vector<InstructionFact> facts_;  // by number
  std::vector<ProductKind> products_;
};

}  // namespace gemmsmith::emulator
