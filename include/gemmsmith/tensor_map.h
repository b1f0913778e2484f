#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "gemmsmith/dtype.h"

namespace gemmsmith {

/// A tensor in a GPU's memory and the boxes that bulk copies move (CUDA driver API, cuTensorMapEncodeTiled). `rank`
/// elements of the arrays are in use, of `strides` one less; the innermost dimension comes first.
struct TensorMapShape {
  static constexpr int kMaxRank = 5;

  DType dtype = DType::kF32;
  bool tf32 = false;  ///< Of f32: is rounded to tf32 on its way into shared memory.
  int rank = 0;
  int swizzle = 0;                                    ///< Bytes of a row that are swizzled: 0, 32, 64 or 128.
  std::array<std::uint64_t, kMaxRank> extents{};      ///< Elements.
  std::array<std::uint64_t, kMaxRank - 1> strides{};  ///< Bytes, of dimension 1 and up; multiples of 16.
  std::array<std::uint32_t, kMaxRank> box{};          ///< Elements; at most 256.
};

/// What a kernel takes as a parameter, `const __grid_constant__ CUtensorMap`.
struct alignas(128) EncodedTensorMap {
  std::array<std::byte, 128> bytes;
};

}  // namespace gemmsmith
