#include "select/cost_model.h"

#include <algorithm>
#include <cmath>

#include "select/gpu_time.h"

namespace gemmsmith {
namespace {

double CeilDiv(std::int64_t x, std::int64_t y) { return static_cast<double>((x + y - 1) / y); }

/// Bytes that must come from memory and go back at least once.
double CompulsoryBytes(const GemmProblem& p) {
  const double c_reads = p.beta == BetaClass::kZero ? 0 : 1;
  const double a = p.batch_stride_a == 0 ? 1 : p.batch, b = p.batch_stride_b == 0 ? 1 : p.batch;
  return a * p.m * p.k * SizeOf(p.a_type) + b * p.k * p.n * SizeOf(p.b_type) +
         (1 + c_reads) * p.batch * p.m * p.d_columns() * SizeOf(p.d_type);
}

/// FMA throughput of one core, flops per microsecond. 16-bit types compute in f32 here.
double FlopsPerMicrosecond(const GemmProblem& p, const DeviceSpec& spec) {
  return (p.acc_type == DType::kF64 ? spec.f64_flops_per_clock : spec.f32_flops_per_clock) * spec.clock_ghz * 1e3;
}

/// Threads share D's tiles; the slowest thread decides. Packing moves bytes through the caches once more.
std::vector<CostTerm> CpuTerms(const GemmProblem& p, const TileShape& shape, const DeviceSpec& spec) {
  const int threads = std::clamp(shape.workers, 1, spec.multiprocessors);
  const bool by_batch = p.batch >= threads;
  const double products = by_batch ? CeilDiv(p.batch, threads) * static_cast<double>(p.m) * static_cast<double>(p.n)
                                   : static_cast<double>(p.batch * shape.block_m) * static_cast<double>(shape.block_n);
  const double rate = FlopsPerMicrosecond(p, spec) * shape.issue_efficiency;
  constexpr double kCacheBytesPerMicrosecond = 40e3;
  constexpr double kThreadBandwidth = 0.75;  // one thread's share of what memory delivers
  constexpr double kForkMicroseconds = 3;
  constexpr double kCallMicroseconds = 0.02;
  return {{"compute", 2 * products * p.k / rate},
          {"memory", CompulsoryBytes(p) / (spec.memory_gbps * 1e3 * std::min(1.0, kThreadBandwidth * threads))},
          {"packing", shape.packed_bytes / (kCacheBytesPerMicrosecond * threads)},
          {"launch", kCallMicroseconds + (threads > 1 ? kForkMicroseconds : 0)}};
}

}  // namespace

RankedConfig Predict(const GemmProblem& problem, const KernelFamily& family, const TileConfig& config,
                     const DeviceSpec& spec) {
  const TileShape shape = family.Shape(problem, config, spec);
  if (spec.target.isa == Isa::kCuda) {
    const GpuTime time = PredictGpu(problem, shape, spec);
    return {config, time.total(), time.Terms(), std::string(time.Limiting())};
  }
  RankedConfig ranked{config, 0, CpuTerms(problem, shape, spec), ""};
  // Terms that overlap count by their maximum; packing and launches come on top.
  const auto on_top = [](const CostTerm& term) { return term.name == "launch" || term.name == "packing"; };
  double overlapped = -1;
  for (const CostTerm& term : ranked.terms) {
    if (on_top(term)) {
      ranked.microseconds += term.microseconds;
    } else if (term.microseconds > overlapped) {
      overlapped = term.microseconds;
      ranked.limiting = term.name;
    }
  }
  for (const CostTerm& term : ranked.terms)
    if (on_top(term) && term.microseconds > overlapped) ranked.limiting = term.name;
  ranked.microseconds += overlapped;
  return ranked;
}

Explanation Rank(const GemmProblem& problem, const CodeTarget& target, const DeviceSpec& spec) {
  Explanation result{problem, spec.name, ToString(target), {}, {}};
  const GemmProblem canonical = Canonical(problem);
  for (const KernelFamily* family : AllFamilies()) {
    if (!family->Targets(target)) continue;
    if (std::string reason = family->WhyNot(canonical, target); !reason.empty()) {
      result.refused.push_back(std::move(reason));
      continue;
    }
    for (const TileConfig& config : family->Candidates(canonical, target, spec))
      result.ranked.push_back(Predict(canonical, *family, config, spec));
  }
  // Stable: of equals, the better family and the family's own default stay first.
  std::stable_sort(result.ranked.begin(), result.ranked.end(),
                   [](const RankedConfig& x, const RankedConfig& y) { return x.microseconds < y.microseconds; });
  return result;
}

}  // namespace gemmsmith
