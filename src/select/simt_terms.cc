#include "select/simt_terms.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "select/group_rows.h"

namespace gemmsmith {
namespace {

constexpr int kLanes = 32;          // of a warp
constexpr int kSchedulers = 4;      // of an SM; each issues one instruction a clock to its share of the FMA units
constexpr int kBanks = 32;          // of shared memory, words wide; an L1 line has as many words
constexpr int kSectorWords = 8;     // L1 is filled by sectors
constexpr int kMostWords = 4;       // of one access of a thread
constexpr int kFarWords = 1 << 14;  // of global memory, from one line, or step of k, to the next
constexpr int kMostRegisters = 255;
constexpr int kRegisterUnit = 8;

/// Moves the different ones to the front. They mostly grow from lane to lane, and then nothing is searched.
int CountDistinct(std::array<int, kLanes>& values, int count) {
  int distinct = 0, most = std::numeric_limits<int>::min();
  for (int i = 0; i < count; ++i) {
    const int value = values[i];
    if (value > most) {
      most = value;
    } else if (value == most ||
               std::find(values.begin(), values.begin() + distinct, value) != values.begin() + distinct) {
      continue;
    }
    values[distinct++] = value;
  }
  return distinct;
}

// Of one access of a warp. `first` gives a lane's first word, a multiple of `width`. Wide accesses pass in phases of 32
// words.

/// Sums `of(starts, how many different ones lie in front)` over the phases.
template <class First, class Count>
int SumOfPhases(int width, First first, Count of) {
  int sum = 0;
  const int phase_lanes = kLanes / width;
  std::array<int, kLanes> starts{};
  for (int begin = 0; begin < kLanes; begin += phase_lanes) {
    for (int i = 0; i < phase_lanes; ++i) starts[i] = first(begin + i);
    sum += of(starts, CountDistinct(starts, phase_lanes));
  }
  return sum;
}

/// Turns of shared memory's banks.
template <class First>
int Wavefronts(int width, First first) {
  return SumOfPhases(width, first, [](const std::array<int, kLanes>& starts, int count) {
    std::array<int, kBanks> turns{};
    int most = 0;
    for (int i = 0; i < count; ++i) most = std::max(most, ++turns[starts[i] % kBanks]);
    return most;
  });
}

/// Lines that L1 looks up, one at a time.
template <class First>
int Lines(int width, First first) {
  return SumOfPhases(width, first, [](std::array<int, kLanes>& starts, int count) {
    for (int i = 0; i < count; ++i) starts[i] /= kBanks;
    return CountDistinct(starts, count);
  });
}

/// That the warp touches.
template <class First>
int Sectors(First first) {
  std::array<int, kLanes> sectors{};
  for (int lane = 0; lane < kLanes; ++lane) sectors[lane] = first(lane) / kSectorWords;
  return CountDistinct(sectors, kLanes);
}

/// What one warp does for an operand: in each step of k, and to copy its share of a tile.
struct OperandCost {
  double reads = 0;                             ///< Instructions, in one step.
  double shared_words = 0;                      ///< That a lane gets from shared memory, in one step.
  double conflicts = 0;                         ///< Wavefronts beyond one for each such word.
  double l1_lines = 0;                          ///< In one step, if it is not staged.
  double global_copies = 0, shared_copies = 0;  ///< Instructions, for one tile.
  double copy_wavefronts = 0, copy_sectors = 0;
  double tile_bytes = 0;        ///< Of global memory, a block's.
  double shared_bytes = 0;      ///< Of one buffer.
  double thread_registers = 0;  ///< For a thread's share of a tile.
};

/// lane / divisor and lane % divisor, without dividing: this is most of what choosing a kernel costs.
struct Split {
  std::array<int, kLanes> quotient{}, remainder{};

  explicit Split(int divisor) {
    for (int lane = 1; lane < kLanes; ++lane) {
      const bool wraps = remainder[lane - 1] + 1 == divisor;
      quotient[lane] = quotient[lane - 1] + (wraps ? 1 : 0);
      remainder[lane] = wraps ? 0 : remainder[lane - 1] + 1;
    }
  }
};

/// Of a lane's first element in a tile that a warp copies.
class CopyPlace {
 public:
  CopyPlace(const SimtOperand& operand, const SimtKernel& kernel)
      : operand_(operand),
        lanes_(std::max(
            1, operand.along_k ? kernel.tile_steps / operand.copy_steps : operand.block_lines / operand.copy_lines)) {}

  int line(int lane) const {
    return (operand_.along_k ? lanes_.quotient : lanes_.remainder)[lane] * operand_.copy_lines;
  }
  int step(int lane) const {
    return (operand_.along_k ? lanes_.remainder : lanes_.quotient)[lane] * operand_.copy_steps;
  }

 private:
  const SimtOperand& operand_;
  const Split lanes_;  // those that stand side by side
};

OperandCost CostOf(const SimtOperand& operand, const SimtKernel& kernel) {
  OperandCost cost;
  const int words = operand.thread_lines * kernel.element_words;
  const int width = std::min({kMostWords, operand.read_vector * kernel.element_words, words});
  cost.reads = static_cast<double>(words) / width;
  const Split sharing(operand.lane_divisor), parts(operand.lane_parts);
  const auto read_word = [&](int lane) { return parts.remainder[sharing.quotient[lane]] * words; };
  cost.tile_bytes = static_cast<double>(operand.block_lines) * kernel.tile_steps * operand.element_bytes;
  if (!operand.staged) {
    cost.l1_lines = cost.reads * Lines(width, read_word);
    return cost;
  }
  cost.shared_words = words;
  cost.conflicts = cost.reads * Wavefronts(width, read_word) - words;

  const double elements = static_cast<double>(operand.block_lines) * kernel.tile_steps / kernel.threads;
  const int pitch = operand.block_lines * kernel.element_words + operand.padding_words;
  const int shared_width =
      operand.along_k ? kernel.element_words : std::min(kMostWords, operand.copy_vector * kernel.element_words);
  const int global_bytes = std::min(kMostWords * 4, operand.copy_vector * operand.element_bytes);
  const CopyPlace place(operand, kernel);
  cost.shared_copies = elements * kernel.element_words / shared_width;
  cost.global_copies = elements * operand.element_bytes / global_bytes;
  const auto shared_word = [&](int lane) { return place.line(lane) * kernel.element_words + place.step(lane) * pitch; };
  const auto global_word = [&](int lane) {
    const int line = place.line(lane), step = place.step(lane);
    return operand.along_k ? line * kFarWords + step * operand.element_bytes / 4
                           : line * operand.element_bytes / 4 + step * kFarWords;
  };
  cost.copy_wavefronts = cost.shared_copies * Wavefronts(shared_width, shared_word);
  cost.copy_sectors = cost.global_copies * Sectors(global_word);
  cost.shared_bytes = static_cast<double>(pitch) * 4 * kernel.tile_steps;
  cost.thread_registers = elements * operand.element_bytes / 4;
  return cost;
}

struct Residency {
  double blocks = 1;
  double registers = 0;
  double spilled = 0;  ///< Registers of a thread.
};

Residency ResidencyOf(const SimtKernel& kernel, const OperandCost& a, const OperandCost& b, const DeviceSpec& spec,
                      const SimtConstants& constants) {
  const double products = static_cast<double>(kernel.a.thread_lines) * kernel.b.thread_lines;
  double wanted =
      constants.extra_registers + kernel.element_words * (products + kernel.a.thread_lines + kernel.b.thread_lines);
  if (kernel.double_buffered) wanted += a.thread_registers + b.thread_registers;
  wanted = std::max(wanted, constants.least_registers);
  const auto whole_units = [](double registers) { return std::floor(registers / kRegisterUnit) * kRegisterUnit; };
  const double most =
      std::min<double>(kMostRegisters, whole_units(static_cast<double>(spec.registers_per_sm) / kernel.threads));
  Residency residency;
  residency.registers = std::min(wanted, most);
  residency.spilled = wanted - residency.registers;
  const double allocated = std::ceil(residency.registers / kRegisterUnit) * kRegisterUnit * kernel.threads;
  const double shared = (kernel.double_buffered ? 2 : 1) * (a.shared_bytes + b.shared_bytes);
  // What one block cannot have of an SM's shared memory is what the driver takes of it for each block.
  const auto reserved = static_cast<double>(spec.shared_bytes_per_sm - spec.shared_bytes);
  residency.blocks =
      std::min({spec.registers_per_sm / allocated, spec.warps_per_sm * 32.0 / kernel.threads, spec.warps_per_sm / 2.0});
  if (shared > 0) residency.blocks = std::min(residency.blocks, spec.shared_bytes_per_sm / (shared + reserved));
  residency.blocks = std::max(1.0, std::floor(residency.blocks + 1e-9));
  return residency;
}

/// Clocks of an SM for one tile of k of one block.
struct TileClocks {
  double fma = 0, issue = 0, load = 0, l2 = 0;
  double stall = 0;  ///< That a warp waits for its reads.

  double longest() const { return std::max({fma, issue, load, l2}); }
  /// Products are instructions too: of these two units one hides the other entirely.
  double sum() const { return std::max(fma, issue) + load + l2; }
};

TileClocks ClocksOf(const SimtKernel& kernel, const OperandCost& a, const OperandCost& b, const Residency& residency,
                    const GemmProblem& problem, const DeviceSpec& spec, const SimtConstants& constants,
                    SimtPart without) {
  const double warps = kernel.threads / 32.0, steps = kernel.tile_steps;
  const double products = static_cast<double>(kernel.a.thread_lines) * kernel.b.thread_lines;
  const double flops_per_clock = problem.acc_type == DType::kF64 ? spec.f64_flops_per_clock : spec.f32_flops_per_clock;
  const double spilled = without == SimtPart::kSpills ? 0 : residency.spilled;
  const double global_reads = (kernel.a.staged ? 0 : a.reads) + (kernel.b.staged ? 0 : b.reads);
  const double global_copies = a.global_copies + b.global_copies;
  TileClocks clocks;
  if (without != SimtPart::kFma) clocks.fma = warps * steps * products * kLanes * 2 / flops_per_clock;
  if (without != SimtPart::kIssue) {
    const double step = products + a.reads + b.reads + constants.loop_instructions / kernel.unrolled +
                        constants.address_instructions * global_reads + 2 * spilled;
    const double copies = a.shared_copies + b.shared_copies + (1 + constants.address_instructions) * global_copies;
    clocks.issue = warps * (steps * step + copies) / kSchedulers;
  }
  // Lanes that share a word still each get it written to their registers.
  if (without != SimtPart::kShared) {
    const double conflicts = without == SimtPart::kConflicts ? 0 : a.conflicts + b.conflicts;
    const double reads = constants.broadcast * (a.shared_words + b.shared_words) + conflicts;
    clocks.load +=
        warps * (steps * reads + a.copy_wavefronts + b.copy_wavefronts) * (kBanks * 4) / spec.shared_bytes_per_clock;
  }
  if (without != SimtPart::kL1) {
    const double fill = (a.copy_sectors + b.copy_sectors) * kSectorWords * 4 / constants.l2_bytes_per_clock;
    clocks.load += warps * (steps * (a.l1_lines + b.l1_lines + constants.spill_clocks * spilled) + fill);
  }
  if (without != SimtPart::kL2) clocks.l2 = (a.tile_bytes + b.tile_bytes) / constants.l2_bytes_per_clock;
  if (without != SimtPart::kLatency) {
    const int unstaged = (kernel.a.staged ? 0 : 1) + (kernel.b.staged ? 0 : 1);
    const double tile_latency = unstaged == 2 ? 0 : constants.tile_latency;
    clocks.stall = steps / kernel.unrolled * (constants.shared_latency + unstaged * constants.l1_latency);
    clocks.stall +=
        kernel.double_buffered ? std::max(0.0, tile_latency - clocks.longest() * kSchedulers / warps) : tile_latency;
  }
  return clocks;
}

/// How much of the time a scheduler has a warp that does not wait, where each waits independently of the others.
double BusyShare(double busy, double stall, double blocks, int threads) {
  const double warps = threads / 32.0, resident = blocks * warps / kSchedulers;
  const double waiting = stall / (stall + busy * kSchedulers / warps);
  return resident >= 1 ? 1 - std::pow(waiting, resident) : resident * (1 - waiting);
}

double CeilDiv(std::int64_t x, std::int64_t y) { return static_cast<double>((x + y - 1) / y); }

}  // namespace

std::vector<CostTerm> SimtTime::Terms() const {
  return {{"fma", fma},         {"issue", issue},     {"load", load}, {"l2", l2},
          {"overlap", overlap}, {"latency", latency}, {"tail", tail}};
}

SimtTime PredictSimt(const SimtKernel& kernel, const GemmProblem& problem, const DeviceSpec& spec,
                     const SimtConstants& constants, SimtPart without, std::span<const std::int64_t> group_rows) {
  const OperandCost a = CostOf(kernel.a, kernel), b = CostOf(kernel.b, kernel);
  const Residency residency = ResidencyOf(kernel, a, b, spec, constants);
  const TileClocks clocks = ClocksOf(kernel, a, b, residency, problem, spec, constants, without);
  const double exposed = without == SimtPart::kOverlap ? 0 : constants.exposed * (clocks.sum() - clocks.longest());
  const double busy = clocks.longest() + exposed;

  // The busiest SM decides. Its last blocks are fewer than fit, and hide less of their latency.
  const double tiles_along_m =
      group_rows.empty() ? CeilDiv(problem.m, kernel.a.block_lines) : TilesOfGroups(group_rows, kernel.a.block_lines);
  const double tiles = tiles_along_m * CeilDiv(problem.n, kernel.b.block_lines) * static_cast<double>(problem.batch);
  const double even = tiles / spec.multiprocessors, most = without == SimtPart::kTail ? even : std::ceil(even);
  const double last = without == SimtPart::kTail ? 0 : std::fmod(most, residency.blocks);
  double clocks_of_sm = (most - last) * busy / BusyShare(busy, clocks.stall, residency.blocks, kernel.threads);
  if (last > 0) clocks_of_sm += last * busy / BusyShare(busy, clocks.stall, last, kernel.threads);

  const double to_us = CeilDiv(problem.k, kernel.tile_steps) / (spec.clock_ghz * 1e3);
  SimtTime time;
  time.microseconds = clocks_of_sm * to_us;
  time.blocks_per_sm = static_cast<int>(residency.blocks);
  time.registers = static_cast<int>(residency.registers);
  const double even_us = even * to_us;
  time.fma = clocks.fma * even_us;
  time.issue = clocks.issue * even_us;
  time.load = clocks.load * even_us;
  time.l2 = clocks.l2 * even_us;
  time.overlap = exposed * even_us;
  time.latency = (clocks_of_sm - most * busy) * to_us;
  time.tail = (most - even) * busy * to_us;
  return time;
}

}  // namespace gemmsmith
