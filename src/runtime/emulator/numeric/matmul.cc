#include "runtime/emulator/numeric/matmul.h"

#include <bit>
#include <vector>

#include "runtime/emulator/numeric/matmul_kernels.h"

namespace gemmsmith::emulator {

int BitsOf(TensorType type) {
  switch (type) {
    case TensorType::kTf32:
      return 32;
    case TensorType::kF16:
    case TensorType::kBf16:
      return 16;
    case TensorType::kE4m3:
    case TensorType::kE5m2:
    case TensorType::kS8:
    case TensorType::kU8:
      return 8;
    case TensorType::kS4:
    case TensorType::kU4:
      return 4;
  }
  return 0;
}

float LowestExponent(TensorType type) {
  switch (type) {
    case TensorType::kE4m3:
      return 0x1p-6f;
    case TensorType::kE5m2:
    case TensorType::kF16:
      return 0x1p-14f;
    default:
      return 0x1p-126f;
  }
}

std::span<const MatmulKernels* const> AllMatmulKernels() {
  static const std::vector<const MatmulKernels*> all = [] {
    std::vector<const MatmulKernels*> kernels;
#if defined(__x86_64__)
    const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    if (avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
      kernels.push_back(&kAvx512Matmul);
    if (avx2) kernels.push_back(&kAvx2Matmul);
#endif
    kernels.push_back(&kPortableMatmul);
    return kernels;
  }();
  return all;
}

const MatmulKernels& Matmul() {
  static const MatmulKernels& fastest = *AllMatmulKernels().front();
  return fastest;
}

void MultiplyAddBits(TileShape shape, BitOperation operation, const std::uint32_t* a, const std::uint32_t* b,
                     std::int32_t* d) {
  const int words = shape.k / 32;
  for (int row = 0; row < shape.m; ++row)
    for (int column = 0; column < shape.n; ++column) {
      int count = 0;
      for (int i = 0; i < words; ++i) {
        const std::uint32_t x = a[row * words + i], y = b[column * words + i];
        count += std::popcount(operation == BitOperation::kXor ? x ^ y : x & y);
      }
      d[row * shape.n + column] += count;
    }
}

}  // namespace gemmsmith::emulator
