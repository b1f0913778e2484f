#include <algorithm>

#include "kernels/cpu_gemm.h"
#include "runtime/cpu/cpu_device.h"
#include "runtime/cpu/pack.h"
#include "util/log.h"

namespace gemmsmith {
namespace {

template <class T>
void PackMatrix(const T* b, std::int64_t k, std::int64_t n, std::int64_t row, std::int64_t column, std::int64_t nr,
                T* packed) {
  const PackPanel<T> pack = FindPackPanel<T>();
  for (std::int64_t j = 0; j < n; j += nr)
    pack(b + j * column, column, row, std::min(nr, n - j), nr, k, packed + j * k);
}

template <class T>
void PackAll(const Tensor& b, std::int64_t nr, T* packed) {
  const int row = b.rank - 2, column = b.rank - 1;
  const std::int64_t k = b.shape[row], n = b.shape[column], matrices = b.rank == 3 ? b.shape[0] : 1;
  for (std::int64_t i = 0; i < matrices; ++i)
    PackMatrix(static_cast<const T*>(b.data) + i * (b.rank == 3 ? b.strides[0] : 0), k, n, b.strides[row],
               b.strides[column], nr, packed + i * PackedBElements(k, n, nr));
}

}  // namespace

void PackB(const Tensor& b, std::int64_t nr, void* packed) {
  if (b.rank < 2 || nr < 1) throw Fail(Code::kInvalidArgument, "", "pack: B has rank {}, panels of {}", b.rank, nr);
  switch (b.dtype) {
    case DType::kF32:
      return PackAll(b, nr, static_cast<float*>(packed));
    case DType::kF64:
      return PackAll(b, nr, static_cast<double*>(packed));
    default:
      throw Fail(Code::kUnsupported, "", "pack: the CPU computes f32 and f64 only; B is {}", ToString(b.dtype));
  }
}

}  // namespace gemmsmith
