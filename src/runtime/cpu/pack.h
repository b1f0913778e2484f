#pragma once

#include <cstdint>

namespace gemmsmith {

/// Copies `k` slices of `width` elements into a panel (k, panel), contiguous and zero beyond `width`. Element `i` of
/// slice `p` comes from source[i * width_stride + p * k_stride]; one of the strides must be 1 (or its extent is 1).
template <class T>
using PackPanel = void (*)(const T* source, std::int64_t width_stride, std::int64_t k_stride, std::int64_t width,
                           std::int64_t panel, std::int64_t k, T* packed);

template <class T>
void PackPanelPortable(const T* source, std::int64_t width_stride, std::int64_t k_stride, std::int64_t width,
                       std::int64_t panel, std::int64_t k, T* packed);

/// The fastest for this CPU.
template <class T>
PackPanel<T> FindPackPanel();

}  // namespace gemmsmith
