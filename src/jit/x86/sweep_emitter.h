#pragma once

#include "jit/x86/tile_emitter.h"

namespace gemmsmith {

/// Writes the sweep of a set (see MicroKernel), with AVX-512.
void EmitSweep(asmjit::x86::Assembler& assembler, const MicroKernelRecipe& recipe);
/// Writes an entry of such a set: a tile of sums into order, and finished.
void EmitSweptTile(asmjit::x86::Assembler& assembler, const RegisterTile& tile);

}  // namespace gemmsmith
