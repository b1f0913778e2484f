#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <vector>

namespace gemmsmith::emulator {

class Warp;
struct Instruction;

/// A word of tensor memory, as kernels name it: the lane in the upper half.
struct TensorAddress {
  int lane = 0, column = 0;

  TensorAddress() = default;
  explicit TensorAddress(std::uint32_t bits)
      : lane(static_cast<int>(bits >> 16)), column(static_cast<int>(bits & 0xffff)) {}
};

/// The tensor memory of one CTA, and the work that its tensor core has (PTX ISA, tcgen05).
class TensorMemory {
 public:
  static constexpr int kHeight = 128, kColumns = 512;  ///< Lanes, and words of 32 bits in each.
  static constexpr int kUnit = 32;                     ///< Columns, of which allocations are multiples.

  std::uint32_t* At(int lane, int column);

  /// Where so many columns are free; nothing: nowhere.
  std::optional<int> FindFree(int columns) const;
  void Allocate(int column, int columns);
  /// False: that is not what was allocated there.
  bool Free(int column, int columns);
  bool IsAllocated(int column, int columns) const;
  int allocated() const;  ///< Columns.

  /// Two CTAs that allocate or free together: what the warp of this one is there for.
  struct Meeting {
    bool waits = false, done = false;
    bool frees = false;
    std::uint32_t columns = 0;
    int column = 0;  ///< Of what is to be freed, or was allocated.
  };
  Meeting meeting;
  bool permitted = true;   ///< To allocate.
  int last_columns = 512;  ///< Of the last allocation: the next is no larger.
  int group = 0;           ///< CTAs that the kernel's instructions are for; 0: none was executed.

  /// Work of the tensor core, which is done in the order of its issue.
  std::uint64_t issued = 0, ended = 0;

 private:
  std::vector<std::uint32_t> words_;                 // (lane, column); empty until it is used
  std::array<int, kColumns / kUnit> allocations_{};  // column of the allocation + 1, or 0
  std::map<int, int> sizes_;                         // by column
};

/// Words that an instruction uses, `lanes` by `columns`.
struct TensorWords {
  class Cta* cta = nullptr;
  int lane = 0, lanes = 0, column = 0, columns = 0;
  bool reads = false, writes = false;
};

/// Throws for words that do not exist or are not allocated.
void CheckTensorWords(const Warp& warp, const Instruction& i, const TensorWords& words);

}  // namespace gemmsmith::emulator
