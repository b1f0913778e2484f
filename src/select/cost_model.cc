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

/// The predicted time of a CPU's kernel, in microseconds.
struct CpuTime {
  double compute, memory, packing, launch;

  /// Memory works beside the cores; packing and the start of threads come on top.
  double total() const { return std::max(compute, memory) + packing + launch; }
  std::vector<CostTerm> Terms() const {
    return {{"compute", compute}, {"memory", memory}, {"packing", packing}, {"launch", launch}};
  }
  std::string Limiting() const {
    const double most = std::max({compute, memory, packing, launch});
    return most == compute ? "compute" : most == memory ? "memory" : most == packing ? "packing" : "launch";
  }
};

/// Threads share D's tiles; the slowest thread decides. Packing moves bytes through the caches once more.
CpuTime PredictCpu(const GemmProblem& p, const TileShape& shape, const DeviceSpec& spec) {
  const int threads = std::clamp(shape.workers, 1, spec.multiprocessors);
  const bool by_batch = p.batch >= threads;
  const double products = by_batch ? CeilDiv(p.batch, threads) * static_cast<double>(p.m) * static_cast<double>(p.n)
                                   : static_cast<double>(p.batch * shape.block_m) * static_cast<double>(shape.block_n);
  const double rate = FlopsPerMicrosecond(p, spec) * shape.issue_efficiency;
  constexpr double kCacheBytesPerMicrosecond = 40e3;
  constexpr double kThreadBandwidth = 0.75;  // one thread's share of what memory delivers
  constexpr double kForkMicroseconds = 3;
  constexpr double kCallMicroseconds = 0.02;
  return {2 * products * static_cast<double>(p.k) / rate,
          CompulsoryBytes(p) / (spec.memory_gbps * 1e3 * std::min(1.0, kThreadBandwidth * threads)),
          shape.packed_bytes / (kCacheBytesPerMicrosecond * threads),
          kCallMicroseconds + (threads > 1 ? kForkMicroseconds : 0)};
}

/// Calls `visit` with the predicted time.
template <class Visit>
auto Predicted(const GemmProblem& problem, const TileConfig& config, const KernelFamily& family, const DeviceSpec& spec,
               const Visit& visit) {
  const TileShape shape = family.Shape(problem, config, spec);
  return spec.target.isa == Isa::kCuda ? visit(PredictGpu(problem, shape, spec))
                                       : visit(PredictCpu(problem, shape, spec));
}

}  // namespace

Ranking RankConfigs(const GemmProblem& problem, const CodeTarget& target, const DeviceSpec& spec) {
  Ranking ranking;
  const GemmProblem canonical = Canonical(problem);
  for (const KernelFamily* family : AllFamilies()) {
    if (!family->Targets(target)) continue;
    if (std::string reason = family->WhyNot(canonical, target); !reason.empty()) {
      ranking.refused.push_back(std::move(reason));
      continue;
    }
    for (const TileConfig& config : family->Candidates(canonical, target, spec))
      ranking.configs.push_back(
          {config, Predicted(canonical, config, *family, spec, [](const auto& time) { return time.total(); })});
  }
  // Stable: of equals, the better family and the family's own default stay first.
  std::stable_sort(ranking.configs.begin(), ranking.configs.end(),
                   [](const auto& x, const auto& y) { return x.microseconds < y.microseconds; });
  return ranking;
}

std::int64_t Waves(const GemmProblem& problem, const TileConfig& config, const DeviceSpec& spec) {
  if (spec.target.isa != Isa::kCuda) return 1;
  const GemmProblem p = Canonical(problem);
  const TileShape shape = FindFamily(config.family).Shape(p, config, spec);
  const double tiles =
      CeilDiv(p.m, shape.block_m) * CeilDiv(p.n, shape.block_n) * static_cast<double>(p.batch) * shape.splits;
  return static_cast<std::int64_t>(
      std::ceil(tiles / (static_cast<double>(spec.multiprocessors) * std::max(1, shape.workers))));
}

Explanation Rank(const GemmProblem& problem, const CodeTarget& target, const DeviceSpec& spec) {
  Ranking ranking = RankConfigs(problem, target, spec);
  Explanation result{problem, spec.name, ToString(target), {}, std::move(ranking.refused)};
  const GemmProblem canonical = Canonical(problem);
  for (const auto& [config, microseconds] : ranking.configs)
    result.ranked.push_back(
        Predicted(canonical, config, FindFamily(config.family), spec, [&](const auto& time) -> RankedConfig {
          return {config, microseconds, time.Terms(), time.Limiting()};
        }));
  return result;
}

}  // namespace gemmsmith
