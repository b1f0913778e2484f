#include "select/gemm_cost.h"

#include <algorithm>
#include <cmath>

#include "util/log.h"

namespace gemmsmith {
namespace {

/// 1e12 operations per second.
double PeakOf(DType dtype, const AcceleratorMicroArch& arch) {
  switch (dtype) {
    case DType::kS8:
    case DType::kU8:
      return arch.tflops_int8;
    case DType::kBf16:
    case DType::kF16:
      return arch.tflops_bf16.value();
    case DType::kE4m3:
    case DType::kE5m2:
      return arch.tflops_fp8.value();
    case DType::kF32:
    case DType::kF64:
    case DType::kS32:
      break;
  }
  throw Fail(Code::kUnsupported, "choose s8, u8, bf16, f16, e4m3 or e5m2", "evaluate: {} has no peak for {} inputs",
             arch.chip_type, ToString(dtype));
}

void CheckSizes(const GEMMShape& s) {
  const std::pair<const char*, std::int64_t> sizes[] = {{"G", s.G}, {"M", s.M}, {"K", s.K}, {"N", s.N}};
  double product = 1;
  for (const auto& [name, size] : sizes) {
    if (size < 1) throw Fail(Code::kInvalidArgument, "", "evaluate: {}={} is not at least 1", name, size);
    product *= static_cast<double>(size);
  }
  if (product > 0x1p56) throw Fail(Code::kInvalidArgument, "", "evaluate: G*M*K*N = {:.3g} is more than 2^56", product);
}

}  // namespace

double ChipProblem::flops() const {
  return 2.0 * static_cast<double>(shape.G) * static_cast<double>(shape.M) * static_cast<double>(shape.N) *
         static_cast<double>(shape.K);
}

std::int64_t ChipProblem::CompulsoryBytes() const {
  return shape.G * (shape.M * shape.K + shape.K * shape.N) * input_bytes + shape.G * shape.M * shape.N * output_bytes;
}

double ChipProblem::LeastTraffic() const {
  const double elements = static_cast<double>(cores * sram_bytes) / static_cast<double>(input_bytes);
  const auto least_bytes = static_cast<double>(std::min(input_bytes, output_bytes));
  return std::max(static_cast<double>(CompulsoryBytes()), (flops() / std::sqrt(elements) - 2 * elements) * least_bytes);
}

double ChipProblem::Roofline() const {
  return std::max(flops() / flops_per_us, static_cast<double>(CompulsoryBytes()) * us_per_dram_byte);
}

ChipProblem Describe(const GEMMShape& shape, const AcceleratorMicroArch& arch) {
  CheckSizes(shape);
  ChipProblem p;
  p.shape = shape;
  p.cube = {arch.cube_m, arch.cube_n, arch.cube_k};
  p.cores = arch.num_cores;
  p.sram_bytes = arch.sram_kb * 1024;
  p.input_bytes = static_cast<std::int64_t>(SizeOf(shape.input_dtype));
  p.output_bytes = static_cast<std::int64_t>(SizeOf(shape.output_dtype));
  p.flops_per_us = PeakOf(shape.input_dtype, arch) * 1e6;
  p.us_per_cycle = 2.0 * static_cast<double>(p.cube.m * p.cube.n * p.cube.k * p.cores) / p.flops_per_us;
  p.us_per_dram_byte = 1e-3 / arch.dram_gbps.value();
  p.us_per_noc_byte = *arch.noc_gbps > 0 ? 1e-3 / *arch.noc_gbps : 0;
  p.us_per_add = 1e-3 / arch.vector_gops.value();
  p.launch_us = arch.launch_us.value();
  if (const std::int64_t least = TileBytes(p.cube, p.input_bytes); least > p.sram_bytes)
    throw Fail(Code::kUnsupported, "take a smaller dtype", "evaluate: sram_kb={} is {} bytes, and one {} tile takes {}",
               arch.sram_kb, p.sram_bytes, ToString(shape.input_dtype), least);
  return p;
}

PartitionCost::PartitionCost(const ChipProblem& problem, const Partition& partition) : problem_(problem) {
  const GEMMShape& s = problem.shape;
  products_ = TripsOf(s.G, partition.g);
  part_ = {TripsOf(s.M, partition.m), TripsOf(s.N, partition.n), TripsOf(s.K, partition.k)};
  cubes_ = {TripsOf(part_.m, problem.cube.m), TripsOf(part_.n, problem.cube.n), TripsOf(part_.k, problem.cube.k)};
  active_groups_ = TripsOf(s.G, products_);
  active_ = {TripsOf(s.M, part_.m), TripsOf(s.N, part_.n), TripsOf(s.K, part_.k)};
  // A network brings a tile from memory to all cores that want it.
  a_copies_ = problem.has_noc() ? 1 : active_.n;
  b_copies_ = problem.has_noc() ? 1 : active_.m;
  a_bytes_ = s.G * s.M * s.K * problem.input_bytes * a_copies_;
  b_bytes_ = s.G * s.K * s.N * problem.input_bytes * b_copies_;
  const std::int64_t results = s.G * s.M * s.N;
  spill_bytes_ = 2 * results * kPartialBytes * active_.k;
  last_bytes_ = problem.output_bytes;
  const std::int64_t others = active_.k - 1;
  if (others > 0 && problem.has_noc()) {
    reduction_transfer_us_ = static_cast<double>(others * results * kPartialBytes) * problem.us_per_noc_byte;
  } else if (others > 0) {
    last_bytes_ = kPartialBytes * active_.k;
    reduction_dram_bytes_ = results * last_bytes_ + results * problem.output_bytes;
    reduction_transfer_us_ = static_cast<double>(reduction_dram_bytes_) * problem.us_per_dram_byte;
  }
  stored_bytes_ = results * last_bytes_;
  after_us_ = problem.launch_us + reduction_transfer_us_ + static_cast<double>(others * results) * problem.us_per_add;
}

std::int64_t PartitionCost::InputBytes(const Reloads& reloads) const {
  return a_bytes_ * reloads.a + b_bytes_ * reloads.b;
}

/// A sum that is brought in once more was stored before.
std::int64_t PartitionCost::SumBytes(const Reloads& reloads) const {
  return spill_bytes_ * (reloads.c - 1) + stored_bytes_;
}

double PartitionCost::Transfer(std::int64_t input_bytes, std::int64_t other_bytes) const {
  return std::max(static_cast<double>(input_bytes + other_bytes) * problem_.us_per_dram_byte,
                  static_cast<double>(input_bytes) * problem_.us_per_noc_byte);
}

double PartitionCost::MemorySide(const Extent& tile, const Reloads& reloads) const {
  const double last = static_cast<double>(Cycles(problem_.cube, tile)) * problem_.us_per_cycle;
  return after_us_ + (Transfer(InputBytes(reloads), SumBytes(reloads)) + last);
}

double PartitionCost::ComputeSide(const Extent& tile, std::int64_t k_trips) const {
  const GEMMShape& s = problem_.shape;
  // What all cores together begin and end with; a tile may be wider than its part.
  const std::int64_t m = std::min(std::min(tile.m * problem_.cube.m, part_.m) * active_.m, s.M);
  const std::int64_t n = std::min(std::min(tile.n * problem_.cube.n, part_.n) * active_.n, s.N);
  const std::int64_t k = std::min(std::min(tile.k * problem_.cube.k, part_.k) * active_.k, s.K);
  const std::int64_t first = active_groups_ * k * (m * a_copies_ + n * b_copies_) * problem_.input_bytes;
  const std::int64_t last = active_groups_ * m * n * last_bytes_;
  return after_us_ + (Transfer(first, 0) + ComputeTime(k_trips) + Transfer(0, last));
}

double PartitionCost::Latency(const Extent& tile, const Extent& trips, const Reloads& reloads) const {
  return std::max(MemorySide(tile, reloads), ComputeSide(tile, trips.k));
}

double PartitionCost::LeastMemorySide(const Extent& tile, const Extent& trips) const {
  double least = MemorySide(tile, AllLoopOrders().front().ReloadsFor(trips));
  for (const LoopOrder& order : AllLoopOrders().subspan(1))
    least = std::min(least, MemorySide(tile, order.ReloadsFor(trips)));
  return least;
}

std::int64_t PartitionCost::Traffic(const Reloads& reloads) const {
  return InputBytes(reloads) + SumBytes(reloads) + reduction_dram_bytes_;
}

double PartitionCost::ComputeTime(std::int64_t k_trips) const {
  return static_cast<double>(Cycles(problem_.cube, cubes_, k_trips, products_)) * problem_.us_per_cycle;
}

double PartitionCost::MemoryTime(const Reloads& reloads) const {
  return Transfer(InputBytes(reloads), SumBytes(reloads)) + reduction_transfer_us_;
}

}  // namespace gemmsmith
