#pragma once

#include <optional>
#include <string_view>

#include "runtime/emulator/isa/decoder.h"
#include "runtime/emulator/numeric/matmul.h"
#include "runtime/emulator/tensor_memory/fragments.h"

namespace gemmsmith::emulator {

/// "f16", "s4": the elements of A and B; nothing for other words.
std::optional<TensorType> ParseTensorType(std::string_view word);

/// "m16n8k16"
TileShape ParseShape(std::string_view word);

/// D = A * B + C of one warp, all in registers: what mma.sync and wmma.mma do.
struct MatrixProduct {
  enum class Arithmetic : std::uint8_t { kFloat, kReduced, kInteger, kDouble, kBits, kQuads };
  enum class Sum : std::uint8_t { kF16, kF32, kS32, kF64 };

  TileShape shape;
  Arithmetic arithmetic{};
  FragmentLayout a, b, c, d;
  TensorType a_type{}, b_type{};
  Sum c_type{}, d_type{};
  bool saturate = false;  ///< Integers.
  BitOperation bit_operation = BitOperation::kXor;
  bool a_by_rows = true, b_by_rows = false;  ///< Of kQuads.

  static Sum ParseSum(std::string_view word);
  static int BitsOf(Sum type) { return type == Sum::kF16 ? 16 : type == Sum::kF64 ? 64 : 32; }
  /// Operands: the registers of D, A, B, C.
  void Run(Warp& warp, const Instruction& i) const;
  void Push(Decoder& decoder) const;
};

/// Executes the product in Instruction::extra.
void RunProduct(Warp& warp, const Instruction& i);

}  // namespace gemmsmith::emulator
