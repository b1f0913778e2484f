#pragma once

#include <cstddef>
#include <cstdint>

#include "gemmsmith/tensor.h"

namespace gemmsmith {

/// From the first to past the last element, a bounding range; of a packed B at least what its elements take.
inline std::size_t BytesOf(const Tensor& tensor) {
  std::int64_t last = 0;
  for (int i = 0; i < tensor.rank; ++i) {
    if (tensor.shape[i] == 0) return 0;
    last += (tensor.shape[i] - 1) * tensor.strides[i];
  }
  return static_cast<std::size_t>(last + 1) * SizeOf(tensor.dtype);
}

/// Whether ranges have bytes in common.
inline bool Meet(const void* x, std::size_t x_bytes, const void* y, std::size_t y_bytes) {
  const auto first = reinterpret_cast<std::uintptr_t>(x), second = reinterpret_cast<std::uintptr_t>(y);
  return first < second + y_bytes && second < first + x_bytes;
}

}  // namespace gemmsmith
