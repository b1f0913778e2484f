#pragma once

#include <asmjit/x86.h>

#include <optional>

#include "kernels/cpu_gemm.h"

namespace gemmsmith {

/// Where the sums of a tile are when its loop over k has ended: register first + row * vectors + vector, each of
/// vector_bytes (64, 32 or 16) bytes. All other vector registers are free, and k1 to k7.
struct TileSums {
  int first, rows, vectors;
  bool masked;  ///< The last vector has fewer valid columns than lanes.
  int vector_bytes;
  bool avx512;
};

/// Two entries whose sums lie in the same registers, the second with fewer rows, may end in the same code.
struct SharedFinish {
  int fewer_rows = 0;                   ///< Of the second entry; 0: there is none.
  std::optional<asmjit::Label> finish;  ///< Where it goes on, if the first one loops over its rows there.
  int passes = 0;                       ///< Of that loop, for the second entry.
  std::optional<asmjit::Label> sums;    ///< Where the first one has its sums, as an entry that keeps B has them, too.
};

/// Writes what is done to the sums: D = epilogue(alpha * sums + beta * C), or the sums so far (MicroKernelArgs). rdi
/// holds the MicroKernelArgs; the registers that a function need not keep are free. `shared`: of the first of two
/// entries.
void EmitFinish(asmjit::x86::Assembler& assembler, const MicroKernelRecipe& recipe, const TileSums& sums,
                SharedFinish* shared = nullptr);
/// The same for the second entry, of `rows` rows, by going on in the first one's; false if it shares nothing.
bool GoOnInShared(asmjit::x86::Assembler& assembler, const SharedFinish& shared, int rows);

}  // namespace gemmsmith
