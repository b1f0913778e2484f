#pragma once

#include <optional>

#include "runtime/emulator/ptx/ast.h"
#include "runtime/emulator/ptx/token_reader.h"

namespace gemmsmith::emulator::ptx {

/// Takes .global, .shared, .shared::cta, .local, .const, .param or .reg if it is next.
std::optional<StateSpace> AcceptSpace(TokenReader& tokens);
/// Takes .f32 and the like.
ScalarType ParseType(TokenReader& tokens);
/// What follows the space: attributes, type, name, extents, initialiser; not the semicolon.
Variable ParseVariable(TokenReader& tokens, StateSpace space, bool external);

}  // namespace gemmsmith::emulator::ptx
