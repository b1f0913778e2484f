#pragma once

#include <cstdint>

#include "gemmsmith/evaluate.h"
#include "select/loop_order.h"
#include "select/matrix_unit.h"
#include "select/partition.h"

namespace gemmsmith {

/// A shape on a chip in numbers: what all partitions, tiles and orders have in common. Bytes, microseconds.
struct ChipProblem {
  GEMMShape shape;
  Extent cube;
  std::int64_t cores = 1, sram_bytes = 0, input_bytes = 0, output_bytes = 0;
  double flops_per_us = 0, us_per_cycle = 0;
  double us_per_dram_byte = 0, us_per_noc_byte = 0;  ///< The latter 0 where there is no network.
  double us_per_add = 0, launch_us = 0;

  bool has_noc() const { return us_per_noc_byte > 0; }
  double flops() const;
  /// Every operand read once, the result written once.
  std::int64_t CompulsoryBytes() const;
  /// What no schedule can do with less DRAM traffic, all SRAM taken as one: CompulsoryBytes, and for sums of products
  /// in S elements of memory 2 MNK / sqrt(S) - 2 S (Smith, Lowery, Langou, van de Geijn 2019, a red-blue pebble game).
  double LeastTraffic() const;
  /// The longer of all flops at the peak and CompulsoryBytes at DRAM speed.
  double Roofline() const;
};

/// `arch` has its defaults filled in. Throws as GEMMEvaluator::evaluate.
ChipProblem Describe(const GEMMShape& shape, const AcceleratorMicroArch& arch);

/// What one partition costs. All cores run the loops of the largest part, which is the busiest core's; those at the
/// edges have less in their tiles. Lower bounds are sums and products of the same terms in the same order, each no
/// larger, and so never above the exact value, rounding included.
class PartitionCost {
 public:
  PartitionCost(const ChipProblem& problem, const Partition& partition);

  /// The largest part, in cubes.
  const Extent& cubes() const { return cubes_; }

  /// Of tiles in cubes, where `trips` are their number in each dimension. Two sides that both bound the time from
  /// below: its transfers with the last tile's compute, and its compute between the first transfers and the last.
  double MemorySide(const Extent& tile, const Reloads& reloads) const;
  double ComputeSide(const Extent& tile, std::int64_t k_trips) const;
  double Latency(const Extent& tile, const Extent& trips, const Reloads& reloads) const;
  /// The least MemorySide of all orders.
  double LeastMemorySide(const Extent& tile, const Extent& trips) const;

  std::int64_t Traffic(const Reloads& reloads) const;
  double ComputeTime(std::int64_t k_trips) const;
  double MemoryTime(const Reloads& reloads) const;

 private:
  std::int64_t InputBytes(const Reloads& reloads) const;
  std::int64_t SumBytes(const Reloads& reloads) const;
  double Transfer(std::int64_t input_bytes, std::int64_t other_bytes) const;

  const ChipProblem& problem_;
  Extent part_;                // The largest, in elements.
  Extent cubes_;               // The same in cubes.
  Extent active_;              // Cores that have something to do, by dimension.
  std::int64_t products_ = 1;  // Of the busiest core.
  std::int64_t active_groups_ = 1;
  std::int64_t a_copies_ = 1, b_copies_ = 1;         // To how many cores memory sends the same tile.
  std::int64_t a_bytes_ = 0, b_bytes_ = 0;           // Read by all cores, if each element came once to each.
  std::int64_t spill_bytes_ = 0, stored_bytes_ = 0;  // Written by all cores: sums that come back, results.
  std::int64_t last_bytes_ = 0;                      // Of one element of what is stored last.
  std::int64_t reduction_dram_bytes_ = 0;
  double reduction_transfer_us_ = 0;
  double after_us_ = 0;  // Launch, and adding the parts of k.
};

}  // namespace gemmsmith
