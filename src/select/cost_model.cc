#include "select/cost_model.h"

#include <algorithm>
#include <cmath>

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

/// FMA throughput of one SM or core, flops per microsecond. 16-bit types compute in f32 here.
double FlopsPerMicrosecond(const GemmProblem& p, const DeviceSpec& spec) {
  return (p.acc_type == DType::kF64 ? spec.f64_flops_per_clock : spec.f32_flops_per_clock) * spec.clock_ghz * 1e3;
}

/// The busiest SM decides: it works through its share of the CTAs, as fast as the warps that are resident can keep its
/// units busy. Where k is split, the sums of its parts go through the L2 cache to a launch that adds them.
std::vector<CostTerm> GpuTerms(const GemmProblem& p, const TileShape& shape, const DeviceSpec& spec) {
  const double tiles = CeilDiv(p.m, shape.block_m) * CeilDiv(p.n, shape.block_n) * p.batch * shape.splits;
  const double tile_k = CeilDiv(p.k, shape.splits);
  const double tile_flops = 2.0 * shape.block_m * shape.block_n * tile_k;
  const double per_sm = std::ceil(tiles / spec.multiprocessors);
  const double warps = std::min<double>(shape.workers, per_sm) * shape.threads / 32;
  const double peak =
      shape.flops_per_clock > 0 ? shape.flops_per_clock * spec.clock_ghz * 1e3 : FlopsPerMicrosecond(p, spec);
  const double sm_rate = peak * shape.issue_efficiency * std::min(1.0, warps / shape.busy_warps);
  const double tile_bytes = tile_k * (shape.block_m * SizeOf(p.a_type) + shape.block_n * SizeOf(p.b_type));
  const double sm_bytes_per_us = 64e3 * spec.clock_ghz;  // 64 bytes per clock
  std::vector<CostTerm> terms = {{"compute", per_sm * tile_flops / sm_rate},
                                 {"l2", per_sm * tile_bytes / sm_bytes_per_us},
                                 {"memory", CompulsoryBytes(p) / (spec.memory_gbps * 1e3 * 0.8)},
                                 {"launch", spec.launch_us}};
  if (shape.splits > 1)
    terms.push_back({"add", spec.launch_us + 2 * shape.partial_bytes / (sm_bytes_per_us * spec.multiprocessors)});
  return terms;
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
  const bool gpu = spec.target.isa == Isa::kCuda;
  RankedConfig ranked{config, 0, gpu ? GpuTerms(problem, shape, spec) : CpuTerms(problem, shape, spec), ""};
  // Terms that overlap count by their maximum; packing and launches come on top.
  const auto on_top = [](const CostTerm& term) {
    return term.name == "launch" || term.name == "packing" || term.name == "add";
  };
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
