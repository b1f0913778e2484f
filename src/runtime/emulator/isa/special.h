#pragma once

#include <span>
#include <string_view>

#include "runtime/emulator/machine/warp.h"

namespace gemmsmith::emulator {

struct SpecialRow {
  std::string_view name;
  Special special;
  int bits = 32;
  bool ticks = false;  ///< Its value changes while the kernel runs.
};

std::span<const SpecialRow> SpecialRegisters();

/// "%tid.x"; null for what is no special register.
const SpecialRow* FindSpecialRegister(std::string_view name);

}  // namespace gemmsmith::emulator
