#include "select/gpu_time.h"

#include <algorithm>
#include <cmath>
#include <iterator>

#include "select/group_rows.h"

namespace gemmsmith {
namespace {

/// Shares of the datasheets' rates that well-made kernels reach.
constexpr double kTensorShare = 0.87, kMemoryShare = 0.83;
/// Clocks of a step of k of 128 bytes whose copies are waited for, by bulk and by asynchronous copies.
constexpr double kBulkStepClocks = 135, kAsyncStepClocks = 460;
/// Clocks of a round of tiles beside its steps.
constexpr double kRoundClocks = 1100;
/// Clocks that splitting k costs, a second launch or a wait among CTAs.
constexpr double kSplitClocks = 3800;
constexpr double kL2BytesPerClock = 64;  // of one SM

constexpr GpuTerm kTerms[] = {{"compute", &GpuTime::compute}, {"latency", &GpuTime::latency},
                              {"memory", &GpuTime::memory},   {"l2", &GpuTime::l2},
                              {"fill", &GpuTime::fill},       {"store", &GpuTime::store},
                              {"add", &GpuTime::add},         {"launch", &GpuTime::launch}};

double CeilDiv(double x, double y) { return std::ceil(x / y); }

/// Bytes of A and B, each once, and of D (and C).
struct Traffic {
  double operands, results;
};
Traffic CompulsoryTraffic(const GemmProblem& p, std::span<const std::int64_t> group_rows) {
  const double m = static_cast<double>(p.m), n = static_cast<double>(p.n), k = static_cast<double>(p.k);
  const auto batch = static_cast<double>(p.batch);
  const double a = p.batch_stride_a == 0 ? 1 : batch;
  double b = p.batch_stride_b == 0 ? 1 : batch;
  if (!group_rows.empty()) b = TilesOfGroups(group_rows, std::max<std::int64_t>(1, p.m));  // of those that have rows
  const double times = p.beta == BetaClass::kZero ? 1 : 2;
  return {a * m * k * SizeOf(p.a_type) + b * k * n * SizeOf(p.b_type),
          times * batch * m * static_cast<double>(p.d_columns()) * SizeOf(p.d_type)};
}

double StepClocks(TileShape::Copies copies) {
  switch (copies) {
    case TileShape::Copies::kBulk:
      return kBulkStepClocks;
    case TileShape::Copies::kAsync:
      return kAsyncStepClocks;
    case TileShape::Copies::kRegisters:
      break;
  }
  return 0;  // counted by the family, in what its inner loop reaches
}

/// What tensor cores take: the terms of compute, latency, l2, fill and add.
void AddTensorTerms(const GemmProblem& p, const TileShape& shape, const DeviceSpec& spec,
                    std::span<const std::int64_t> group_rows, GpuTime& time) {
  const auto block_m = static_cast<double>(shape.block_m), block_n = static_cast<double>(shape.block_n);
  const double tiles_along_m =
      group_rows.empty() ? CeilDiv(static_cast<double>(p.m), block_m) : TilesOfGroups(group_rows, shape.block_m);
  const double tiles =
      tiles_along_m * CeilDiv(static_cast<double>(p.n), block_n) * static_cast<double>(p.batch) * shape.splits;
  const double per_sm = CeilDiv(tiles, spec.multiprocessors), rounds = CeilDiv(per_sm, shape.workers);
  const double step = static_cast<double>(std::max<std::int64_t>(1, shape.step_k));
  const double steps = CeilDiv(CeilDiv(static_cast<double>(p.k), shape.splits), step), k = steps * step;
  const auto size_a = static_cast<double>(SizeOf(p.a_type)), size_b = static_cast<double>(SizeOf(p.b_type));

  const double clocks_per_us = spec.clock_ghz * 1e3;
  const double warps = std::min<double>(shape.workers, per_sm) * shape.threads / 32;
  const double rate = shape.flops_per_clock * kTensorShare * clocks_per_us * shape.issue_efficiency *
                      std::min(1.0, warps / shape.busy_warps);
  const double l2_rate = kL2BytesPerClock * clocks_per_us;
  time.compute = per_sm * 2 * block_m * block_n * k / rate;
  time.latency = rounds * steps * StepClocks(shape.copies) * step * size_a / 128 / clocks_per_us;
  time.l2 = per_sm * k * (block_m * size_a / shape.cluster_n + block_n * size_b / shape.cluster_m) / l2_rate;
  time.fill = rounds * kRoundClocks / clocks_per_us;
  if (shape.splits > 1)
    time.add = kSplitClocks / clocks_per_us + 2 * shape.partial_bytes / (l2_rate * spec.multiprocessors);
}

}  // namespace

double GpuTime::total() const {
  const auto cube = [](double x) { return x * x * x; };
  return std::cbrt(cube(compute) + cube(latency) + cube(memory) + cube(l2)) + fill + store + add + launch;
}

std::span<const GpuTerm> AllGpuTerms() { return kTerms; }

std::vector<CostTerm> GpuTime::Terms() const {
  const bool on_fma_units = simt.microseconds > 0;
  std::vector<CostTerm> terms;
  if (on_fma_units) terms = simt.Terms();
  for (const GpuTerm& term : kTerms) {
    const double microseconds = this->*term.value;
    if (!on_fma_units || (term.value != &GpuTime::compute && microseconds > 0))
      terms.push_back({std::string(term.name), microseconds});
  }
  return terms;
}

std::string GpuTime::Limiting() const {
  const std::vector<CostTerm> terms = Terms();
  return std::max_element(terms.begin(), terms.end(),
                          [](const CostTerm& x, const CostTerm& y) { return x.microseconds < y.microseconds; })
      ->name;
}

GpuTime PredictGpu(const GemmProblem& p, const TileShape& shape, const DeviceSpec& spec,
                   std::span<const std::int64_t> group_rows) {
  const double memory_rate = spec.memory_gbps * 1e3 * kMemoryShare;
  const auto [operands, results] = CompulsoryTraffic(p, group_rows);
  const bool overlaps_stores = shape.copies == TileShape::Copies::kBulk;
  GpuTime time;
  time.memory = (operands + (overlaps_stores ? results : 0)) / memory_rate;
  time.store = overlaps_stores ? 0 : results / memory_rate;
  time.launch = spec.launch_us;
  if (shape.simt) {
    time.simt = PredictSimt(*shape.simt, p, spec, {}, SimtPart::kNone, group_rows);
    time.compute = time.simt.microseconds;
  } else {
    AddTensorTerms(p, shape, spec, group_rows, time);
  }
  return time;
}

}  // namespace gemmsmith
