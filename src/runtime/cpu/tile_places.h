#pragma once

#include <cstddef>
#include <cstdint>

namespace gemmsmith {

/// Where the tiles of an operand are: the first one, and bytes from each to the next.
struct TileSource {
  const std::byte* first;
  std::int64_t step;
  const std::byte* next = nullptr;  ///< Of B: the tile to be read after the last, if known.
  bool starts = false;              ///< Of a packed B: before each panel is what its columns' sums start with.
  std::int64_t column_step = 0;     ///< Of sums in the place of A: from the tile of one column to that of the next.
};

inline const std::byte* Bytes(const void* p) { return static_cast<const std::byte*>(p); }

/// A matrix that tiles are read from or written to. Its first element is (row, column) of the product.
struct Place {
  const std::byte* first;
  std::int64_t row_bytes, size, row, column;
  std::int64_t columns_per_element = 1;
  std::byte* At(std::int64_t i, std::int64_t j) const {
    return const_cast<std::byte*>(first) + (i - row) * row_bytes + (j - column) / columns_per_element * size;
  }
};

}  // namespace gemmsmith
