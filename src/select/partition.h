#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "gemmsmith/evaluate.h"

namespace gemmsmith {

/// Into how many parts each dimension is cut; the product is the number of cores.
struct Partition {
  std::int64_t g = 1, m = 1, n = 1, k = 1;
  friend auto operator<=>(const Partition&, const Partition&) = default;
};

/// All of `cores`, sorted: 20 of 8 cores, 84 of 64. Made once per number and kept.
std::span<const Partition> AllPartitions(std::int64_t cores);
/// (1, p, q, 1) with p <= q as near to each other as can be.
Partition BalancedPartition(std::int64_t cores);

/// All that the score of a partition knows of a shape. kOther: none of m and n much larger, nor both alike.
enum class ShapeForm : std::uint8_t { kTall, kWide, kSquare, kOther };
ShapeForm FormOf(const GEMMShape& shape);
/// All partitions, best first by the specification's score: up to 10 for balance of m and n, 5 for k in one part, 3 for
/// a longer dimension in more parts.
std::vector<Partition> PartitionsByScore(std::int64_t cores, ShapeForm form);

}  // namespace gemmsmith
