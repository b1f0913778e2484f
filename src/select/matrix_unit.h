#pragma once

#include <cstdint>

namespace gemmsmith {

/// Sizes in the three dimensions of a product: of a tile, of a matrix unit, or how many of something there are in each.
struct Extent {
  std::int64_t m = 1, n = 1, k = 1;
  friend bool operator==(const Extent&, const Extent&) = default;
};

/// How many steps of `step` it takes to cover `size`.
constexpr std::int64_t TripsOf(std::int64_t size, std::int64_t step) { return (size + step - 1) / step; }

constexpr std::int64_t kPartialBytes = 4;  ///< Of a sum that is not final: f32 or s32.

/// SRAM of a tile of whole cubes: two of A and of B, so that the next pair comes while this one is multiplied, and two
/// of the sums, so that the last ones go while the next ones grow.
constexpr std::int64_t TileBytes(const Extent& tile, std::int64_t input_bytes) {
  return 2 * (tile.m + tile.n) * tile.k * input_bytes + 2 * tile.m * tile.n * kPartialBytes;
}

/// Clocks that a unit waits for its operands to pass through: rows and columns of a systolic array (cube_k = 1) are
/// started one after the other. SCALE-Sim, output stationary.
constexpr std::int64_t Skew(const Extent& cube) { return cube.k == 1 ? cube.m + cube.n - 2 : 0; }

/// Clocks of a unit for `products` of (m, k) by (k, n), all given in cubes, where k is done in `k_trips` parts: a part
/// takes its length in k for each block of the result, and the skew. For an array of H rows and W columns and one
/// product in one part: ceil(M/H) ceil(N/W) (K + H + W - 2) - 1, as SCALE-Sim.
constexpr std::int64_t Cycles(const Extent& cube, const Extent& cubes, std::int64_t k_trips = 1,
                              std::int64_t products = 1) {
  const std::int64_t skew = Skew(cube);
  return products * cubes.m * cubes.n * (cubes.k + k_trips * skew) - (skew > 0 ? 1 : 0);
}

}  // namespace gemmsmith
