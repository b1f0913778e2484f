#pragma once

#include "jit/x86/tile_emitter.h"

namespace gemmsmith {

/// Writes one micro-kernel of dot products: vectors lie along k, which is contiguous in A and B, and what is left in
/// them is added up at the end. `vector_bytes`: 32 for AVX2, 64 for AVX-512.
void EmitDots(asmjit::x86::Assembler& assembler, const RegisterTile& tile, int vector_bytes);

}  // namespace gemmsmith
