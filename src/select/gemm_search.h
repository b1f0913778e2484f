#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "gemmsmith/evaluate.h"
#include "select/gemm_cost.h"

namespace gemmsmith {

/// Tile sizes in one dimension, in cubes, largest first: for each number of trips that is possible, the smallest that
/// needs no more. Nothing is lost by it: traffic depends on the trips alone, and a smaller tile begins sooner.
std::vector<std::int64_t> TileSizes(std::int64_t cubes);

/// TileSizes, or what somebody remembers of it.
using TileSizesOf = std::function<std::shared_ptr<const std::vector<std::int64_t>>(std::int64_t cubes)>;

struct GemmSearch {
  std::span<const Partition> partitions;
  bool tile_search = true;
  std::size_t largest_tiles = 0;  ///< So many of the largest tiles of each partition; 0: all tiles.
  TileSizesOf tile_sizes;
};

/// The best of all partitions, tiles and loop orders: least latency, of equals least traffic, then the partition that
/// sorts first, then the fewest trips in m, n and k, then the order that is listed first. What a lower bound rules out
/// is not looked at.
GEMMResult Search(const ChipProblem& problem, const GemmSearch& search);

}  // namespace gemmsmith
