#pragma once

#include <memory>
#include <string>

#include "gemmsmith/target.h"
#include "kernels/cpu_gemm.h"

namespace gemmsmith {

/// Writes the machine code of micro-kernels for one instruction set. Stateless.
class MicroKernelEmitter {
 public:
  virtual ~MicroKernelEmitter() = default;
  /// The artifact part: MicroKernelHeader and code. Throws kUnsupported where the tile does not fit the registers.
  /// `listing`, unless null, gets the code in words.
  virtual std::string Emit(const MicroKernelRecipe& recipe, std::string* listing = nullptr) const = 0;
};

/// AVX2 with FMA: 16 registers of 32 bytes, broadcasts by load, tails by vmaskmov.
const MicroKernelEmitter& Avx2Emitter();
/// AVX-512: 32 registers of 64 bytes, broadcasts embedded where each is used once, tails by opmask.
const MicroKernelEmitter& Avx512Emitter();

}  // namespace gemmsmith
