#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "runtime/emulator/numeric/matmul.h"
#include "runtime/emulator/tensor_memory/swizzle.h"

namespace gemmsmith::emulator {

/// Along which index neighbours of a factor lie beside each other: k, or the other one (m of A, n of B).
enum class Major { kK, kMn };

/// Where a tensor core finds a factor in shared memory. PTX ISA, "Matrix Descriptor" of wgmma and "Shared memory
/// descriptor" of tcgen05. All numbers in bytes.
struct MatrixDescriptor {
  std::uint32_t start = 0, leading = 0, stride = 0;
  std::uint32_t first_line = 0;  ///< The base offset.
  Swizzle swizzle = Swizzle::kNone;

  /// Throws kDevice for a malformed one.
  static MatrixDescriptor OfWgmma(std::uint64_t bits);
  static MatrixDescriptor OfTcgen05(std::uint64_t bits);

  /// The addresses of the 16-byte pieces of a factor with `extent` rows of A or columns of B (a multiple of 8) and `k`
  /// elements of `element_bits`, swizzled: for kK (extent, pieces of k), for kMn (k, pieces of extent).
  void ListPieces(Major major, int extent, int k, int element_bits, std::vector<std::uint32_t>& pieces) const;
};

/// The 32-bit instruction descriptor of tcgen05.mma (PTX ISA, "Instruction descriptor"), without block scaling.
struct InstructionDescriptor {
  enum class Kind { kF16, kTf32, kF8f6f4, kI8 };
  enum class Accumulator { kF16, kF32, kS32 };

  int m = 0, n = 0;
  TensorType a = TensorType::kF16, b = TensorType::kF16;
  Accumulator accumulator = Accumulator::kF32;
  bool negate_a = false, negate_b = false, saturate = false;
  Major a_major = Major::kK, b_major = Major::kK;

  /// Throws kDevice for a malformed one, kUnsupported for sparse ones and elements of 4 and 6 bits.
  static InstructionDescriptor Decode(Kind kind, std::uint32_t bits);
};

/// The factors of one instruction; keeps its arrays between instructions.
class FactorReader {
 public:
  /// What becomes of the elements: A as (m, k), B as (k, n), both by rows; `negate` for imm-scale -1.
  enum class Side { kA, kB };
  /// Reads into `tile`. Throws kDevice when a piece lies outside of `shared`.
  void Read(std::span<const std::byte> shared, const MatrixDescriptor& descriptor, Side side, Major major, int extent,
            int k, TensorType type, bool negate, float* tile);
  /// The pieces that were read last.
  std::span<const std::uint32_t> pieces() const { return pieces_; }

 private:
  std::vector<std::uint32_t> pieces_;
  std::vector<std::byte> bytes_;
  std::vector<float> widened_;
};

}  // namespace gemmsmith::emulator
