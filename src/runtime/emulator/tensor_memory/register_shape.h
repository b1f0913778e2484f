#pragma once

#include <string_view>

#include "runtime/emulator/tensor_memory/fragments.h"

namespace gemmsmith::emulator {

/// Which words of tensor memory the registers of a warp hold in tcgen05.ld and tcgen05.st (PTX ISA, "Data Movement
/// Shape").
struct RegisterShape {
  int lanes = 32;  ///< Of tensor memory.
  int words = 1;   ///< Of each lane, in one repetition.
  int repeats = 1;
  bool halves = false;  ///< .16x32bx2: the upper 16 threads have columns of their own.

  /// "32x32b", "16x256b"
  static RegisterShape Parse(std::string_view shape, int repeats) {
    if (shape == "16x32bx2") return {16, 1, repeats, true};
    const int words = shape == "16x64b" ? 2 : shape == "16x128b" ? 4 : shape == "16x256b" ? 8 : 1;
    return {words == 1 ? 32 : 16, words, repeats, false};
  }
  int registers() const { return repeats * (lanes * words * (halves ? 2 : 1)) / 32; }
  int columns() const { return words * repeats; }  ///< Of one half, where there are two.

  /// Lane and column of register r of a thread, from where the instruction (for .16x32bx2, the thread's half) begins.
  Position At(int thread, int r) const {
    switch (words) {
      case 2:
        return {thread / 4 + thread % 2 * 8, r * 2 + thread / 2 % 2};
      case 4:
        return {thread / 4 + r % 2 * 8, r / 2 * 4 + thread % 4};
      case 8:
        return {thread / 4 + r / 2 % 2 * 8, r / 4 * 8 + thread % 4 * 2 + r % 2};
      default:
        return {thread % lanes, r};
    }
  }
};

}  // namespace gemmsmith::emulator
