#include "select/cpu_time.h"

#include <algorithm>

namespace gemmsmith {
namespace {

std::int64_t CeilDiv(std::int64_t x, std::int64_t y) { return (x + y - 1) / y; }

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

}  // namespace

double CpuTime::total() const { return std::max(compute, memory) + packing + launch; }

std::vector<CostTerm> CpuTime::Terms() const {
  return {{"compute", compute}, {"memory", memory}, {"packing", packing}, {"launch", launch}};
}

std::string CpuTime::Limiting() const {
  const double most = std::max({compute, memory, packing, launch});
  return most == compute ? "compute" : most == memory ? "memory" : most == packing ? "packing" : "launch";
}

/// Threads share D's tiles; the slowest thread decides. Packing moves bytes through the caches once more.
CpuTime PredictCpu(const GemmProblem& p, const TileShape& shape, const DeviceSpec& spec) {
  const int threads = std::clamp(shape.workers, 1, spec.multiprocessors);
  const auto matrices = static_cast<double>(p.batch >= threads ? CeilDiv(p.batch, threads) : p.batch);
  const double products = matrices * static_cast<double>(shape.block_m) * static_cast<double>(shape.block_n);
  const double rate = FlopsPerMicrosecond(p, spec) * shape.issue_efficiency;
  constexpr double kCacheBytesPerMicrosecond = 40e3;
  constexpr double kThreadBandwidth = 0.75;           // one thread's share of what memory delivers
  constexpr double kNearBytesPerMicrosecond = 150e3;  // of operands that L2 holds
  // To a thread that is awake; others are left alone. Those that pack together wait for each other, too.
  const double fork = shape.packs_together ? 3 : 0.6;
  constexpr double kCallMicroseconds = 0.02;
  const double bytes = CompulsoryBytes(p);
  const double far_rate = spec.memory_gbps * 1e3 * std::min(1.0, kThreadBandwidth * threads);
  return {2 * products * static_cast<double>(p.k) / rate,
          bytes / (bytes <= static_cast<double>(spec.l2_bytes) ? kNearBytesPerMicrosecond * threads : far_rate),
          shape.packed_bytes / (kCacheBytesPerMicrosecond * threads), kCallMicroseconds + (threads > 1 ? fork : 0)};
}

}  // namespace gemmsmith
