#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "gemmsmith/engine.h"
#include "kernels/family.h"
#include "select/simt_terms.h"

namespace gemmsmith {

/// The predicted time of a GPU's kernel, term by term, in microseconds.
struct GpuTime {
  double compute = 0;  ///< The busiest SM's share of the tiles, at the rate of its units.
  double latency = 0;  ///< Steps of k, each of which waits for its copies.
  double memory = 0;   ///< Operands, and D where its stores overlap with products, at the rate of DRAM.
  double l2 = 0;       ///< Tiles of operands into that SM, at the rate of its port to L2.
  double fill = 0;     ///< The first copies and the last sums of each round of tiles.
  double store = 0;    ///< D (and C), where nothing overlaps with it.
  double add = 0;      ///< Parts of k: their sums through L2, and the launch that adds them.
  double launch = 0;
  SimtTime simt;  ///< What compute is made of, on plain FMA units; it has its own l2, and no fill.

  /// compute, latency, memory and l2 overlap, but not wholly: they count by their 3-norm. The others come on top.
  double total() const;
  /// With those that compute is made of in its place.
  std::vector<CostTerm> Terms() const;
  std::string Limiting() const;
};

/// Every term by its name.
struct GpuTerm {
  std::string_view name;
  double GpuTime::*value;
};
std::span<const GpuTerm> AllGpuTerms();

/// Pure. What no datasheet says are constants that all GPUs share; they were
/// chosen in sight of measured tables of cuBLAS's times (docs/select.md).
/// Not empty, `group_rows` are the sizes in m of groups that share the launch, each with a B of its own; they add up to
/// problem.m, and a tile is of one group.
GpuTime PredictGpu(const GemmProblem& problem, const TileShape& shape, const DeviceSpec& spec,
                   std::span<const std::int64_t> group_rows = {});

}  // namespace gemmsmith
