#pragma once

#include "runtime/emulator/ptx/ast.h"
#include "runtime/emulator/ptx/token_reader.h"

namespace gemmsmith::emulator::ptx {

/// Reads one instruction with its guard, up to and with the semicolon.
Instruction ParseInstruction(TokenReader& tokens);

}  // namespace gemmsmith::emulator::ptx
