#pragma once

#include <cstdint>
#include <span>

namespace gemmsmith {

/// Tiles of `block` rows that cover every group's own rows; a group never shares a tile with another.
double TilesOfGroups(std::span<const std::int64_t> group_rows, std::int64_t block);

}  // namespace gemmsmith
