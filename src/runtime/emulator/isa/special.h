#pragma once

#include <string_view>

#include "runtime/emulator/machine/warp.h"

namespace gemmsmith::emulator {

struct SpecialRow {
  std::string_view name;
  Special special;
  int bits = 32;
  bool ticks = false;  ///< Its value changes while the kernel runs.
};

/// "%tid.x"; null for what is no special register.
const SpecialRow* FindSpecialRegister(std::string_view name);

}  // namespace gemmsmith::emulator
