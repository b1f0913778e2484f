#include "runtime/emulator/numeric/matmul_kernels.h"

namespace gemmsmith::emulator {
namespace {

#define GEMMSMITH_TARGET
constexpr int kWide = 4, kRows = 4, kColumns = 2;

template <class Vector>
inline Vector MultiplyAdd(Vector columns, float a, Vector sum) {
  return columns * a + sum;
}
template <class Vector>
inline Vector MultiplyAdd(Vector columns, double a, Vector sum) {
  for (std::size_t i = 0; i < sizeof sum / sizeof(double); ++i) sum[i] = __builtin_fma(columns[i], a, sum[i]);
  return sum;
}

#include "runtime/emulator/numeric/matmul_kernels.inc"

}  // namespace

const MatmulKernels kPortableMatmul{"portable",     MultiplyAddF32, MultiplyAddF64, MultiplyAddReduced,
                                    MultiplyAddS32, Widen,          Transpose};

}  // namespace gemmsmith::emulator
