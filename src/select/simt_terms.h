#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "gemmsmith/engine.h"
#include "gemmsmith/problem.h"
#include "gemmsmith/target.h"
#include "kernels/simt_kernel.h"

namespace gemmsmith {

/// What no datasheet tells; the same for all GPUs.
struct SimtConstants {
  double broadcast = 0.3;           ///< Clocks for a word that lanes share, as a share of those for 32 different words.
  double exposed = 0.6;             ///< Share of the less busy units' time that does not pass beside the busiest one's.
  double loop_instructions = 20;    ///< Besides products and reads, in one turn of the inner loop.
  double address_instructions = 3;  ///< For one global access.
  double spill_clocks = 10;     ///< Of the load/store unit, for one register that is missing, a warp and a step of k.
  double extra_registers = 16;  ///< Of a thread, besides sums and operands.
  double least_registers = 40;  ///< Compilers use these in any case.
  double tile_latency = 500;    ///< Clocks until a tile has come from global memory and a barrier is passed.
  double shared_latency = 30;   ///< Clocks until a read of shared memory is back.
  double l1_latency = 100;      ///< Clocks until a read through L1 is back; some of them miss.
  double l2_bytes_per_clock = 64;  ///< From L2 to one SM.
};

/// Parts of the model that can be left out, to see what they are worth.
enum class SimtPart { kNone, kFma, kIssue, kShared, kConflicts, kL1, kL2, kSpills, kOverlap, kLatency, kTail };

/// The predicted time on the SMs, without launch and memory. Of the terms fma, issue, load and l2 the longest counts;
/// overlap, latency and tail come on top.
struct SimtTime {
  double fma = 0, issue = 0, load = 0, l2 = 0, overlap = 0, latency = 0, tail = 0;
  double microseconds = 0;
  int blocks_per_sm = 0, registers = 0;  ///< As estimated.

  std::vector<CostTerm> Terms() const;
};
/// `group_rows`: see PredictGpu.
SimtTime PredictSimt(const SimtKernel& kernel, const GemmProblem& problem, const DeviceSpec& spec,
                     const SimtConstants& constants = {}, SimtPart without = SimtPart::kNone,
                     std::span<const std::int64_t> group_rows = {});

}  // namespace gemmsmith
