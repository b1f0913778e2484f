#if defined(__x86_64__)
#include "runtime/emulator/numeric/matmul_kernels.h"

namespace gemmsmith::emulator {
namespace {

#define GEMMSMITH_TARGET __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,fma,f16c")))
constexpr int kWide = 16, kRows = 4, kColumns = 4;

/// The compiler fuses the two.
template <class Vector, class Element>
GEMMSMITH_TARGET __attribute__((always_inline)) inline Vector MultiplyAdd(Vector columns, Element a, Vector sum) {
  return columns * a + sum;
}

#include "runtime/emulator/numeric/matmul_kernels.inc"

}  // namespace

const MatmulKernels kAvx512Matmul{"avx512",       MultiplyAddF32, MultiplyAddF64, MultiplyAddReduced,
                                  MultiplyAddS32, Widen,          Transpose};

}  // namespace gemmsmith::emulator
#endif
