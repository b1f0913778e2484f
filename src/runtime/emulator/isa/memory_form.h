#pragma once

#include "runtime/emulator/isa/decoder.h"
#include "runtime/emulator/machine/access.h"

namespace gemmsmith::emulator {

/// The space that the modifiers name.
Window FindWindow(const Form& form);
/// Notes the window in options[0], and whether the scheduler has to know of the access.
void PrepareMemory(Decoder& decoder, Instruction& out);

}  // namespace gemmsmith::emulator
