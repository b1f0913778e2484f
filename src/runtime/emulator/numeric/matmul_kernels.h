#pragma once

#include <cstddef>
#include <cstdint>

#include "runtime/emulator/numeric/matmul.h"

namespace gemmsmith::emulator {

// One for each matmul_<name>.cc; those of other processors must not be called.
#if defined(__x86_64__)
extern const MatmulKernels kAvx512Matmul, kAvx2Matmul;
#endif
extern const MatmulKernels kPortableMatmul;

}  // namespace gemmsmith::emulator
