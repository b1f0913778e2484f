// The search beside one that tries everything, and laws of the model.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <random>
#include <sstream>
#include <tuple>

#include "select/gemm_search.h"

namespace gemmsmith {
namespace {

class Random {
 public:
  explicit Random(unsigned seed) : engine_(seed) {}
  std::int64_t Within(std::int64_t least, std::int64_t most) {
    return std::uniform_int_distribution<std::int64_t>(least, most)(engine_);
  }
  /// Evenly over the powers between.
  double Scale(double least, double most) {
    return std::exp(std::uniform_real_distribution<double>(std::log(least), std::log(most))(engine_));
  }
  template <class T, std::size_t n>
  T Any(const T (&values)[n]) {
    return values[static_cast<std::size_t>(Within(0, n - 1))];
  }

 private:
  std::mt19937_64 engine_;
};

/// A chip whose limits all matter for small shapes.
AcceleratorMicroArch SmallChip(Random& random) {
  const std::int64_t cores[] = {1, 2, 3, 4, 6, 8, 12, 16};
  AcceleratorMicroArch arch;
  arch.chip_type = "small";
  arch.num_cores = random.Any(cores);
  arch.sram_kb = random.Within(1, 3);
  arch.cube_m = random.Within(1, 6);
  arch.cube_n = random.Within(1, 6);
  arch.cube_k = random.Within(1, 4);
  arch.tflops_int8 = random.Scale(1e-4, 1);
  arch.dram_gbps = random.Scale(1e-2, 1e2);
  if (random.Within(0, 1) == 1) arch.noc_gbps = random.Scale(1e-2, 1e2);
  if (random.Within(0, 1) == 1) arch.launch_us = random.Scale(1e-3, 1e2);
  arch.vector_gops = random.Scale(1e-2, 1e2);
  return arch;
}

GEMMShape SmallShape(Random& random) {
  const DType inputs[] = {DType::kS8, DType::kBf16, DType::kE4m3};
  const DType outputs[] = {DType::kS8, DType::kBf16, DType::kF32};
  return {random.Within(1, 3),  random.Within(1, 40), random.Within(1, 40),
          random.Within(1, 40), random.Any(inputs),   random.Any(outputs)};
}

GEMMShape LargeShape(Random& random) {
  const auto size = [&random] { return static_cast<std::int64_t>(random.Scale(1, 30'000)); };
  return {random.Within(1, 9), size(), size(), size(), DType::kBf16, DType::kBf16};
}

std::string ToText(const GEMMShape& s, const AcceleratorMicroArch& arch) {
  std::ostringstream text;
  text << "G=" << s.G << " M=" << s.M << " K=" << s.K << " N=" << s.N << " " << ToString(s.input_dtype) << " "
       << ToString(s.output_dtype) << " on " << Fingerprint(arch);
  return text.str();
}

/// Every partition, every tile of whole cubes that the SRAM holds, every order; ranked as Search says, and of tiles
/// that are equal in all, the smaller.
GEMMResult TryEverything(const GEMMShape& shape, const AcceleratorMicroArch& arch) {
  const ChipProblem problem = Describe(shape, WithDefaults(arch));
  using Rank = std::tuple<double, std::int64_t, Partition, std::int64_t, std::int64_t, std::int64_t, std::size_t,
                          std::int64_t, std::int64_t, std::int64_t>;
  Rank best{HUGE_VAL, 0, {}, 0, 0, 0, 0, 0, 0, 0};
  for (const Partition& partition : AllPartitions(arch.num_cores)) {
    const PartitionCost cost(problem, partition);
    const Extent& cubes = cost.cubes();
    for (std::int64_t m = 1; m <= cubes.m; ++m)
      for (std::int64_t n = 1; n <= cubes.n; ++n)
        for (std::int64_t k = 1; k <= cubes.k; ++k) {
          const std::int64_t sram = 2 * (m * arch.cube_m + n * arch.cube_n) * k * arch.cube_k * problem.input_bytes +
                                    8 * m * arch.cube_m * n * arch.cube_n;
          if (sram > arch.sram_kb * 1024) continue;
          const Extent t{TripsOf(cubes.m, m), TripsOf(cubes.n, n), TripsOf(cubes.k, k)};
          for (std::size_t order = 0; order < 6; ++order) {
            const Reloads reloads = AllLoopOrders()[order].ReloadsFor(t);
            best = std::min(best, Rank{cost.Latency({m, n, k}, t, reloads), cost.Traffic(reloads), partition, t.m, t.n,
                                       t.k, order, m, n, k});
          }
        }
  }
  const auto& [latency, traffic, p, tm, tn, tk, order, m, n, k] = best;
  GEMMResult result;
  result.latency_us = latency;
  result.dram_traffic_bytes = traffic;
  result.best_partition = {p.g, p.m, p.n, p.k};
  result.best_loop_order = AllLoopOrders()[order].name();
  result.best_tile = {m * arch.cube_m, n * arch.cube_n, k * arch.cube_k};
  return result;
}

auto Choice(const GEMMResult& r) {
  return std::tuple(r.latency_us, r.dram_traffic_bytes, r.best_partition, r.best_loop_order, r.best_tile);
}

TEST(Search, IsNoOtherThanTryingEverythingInFiveThousandCases) {
  Random random(1);
  std::int64_t looked_at = 0;
  for (int i = 0; i < 5000; ++i) {
    const AcceleratorMicroArch arch = SmallChip(random);
    const GEMMShape shape = SmallShape(random);
    const GEMMResult found = GEMMEvaluator(arch).evaluate(shape);
    ASSERT_EQ(Choice(found), Choice(TryEverything(shape, arch))) << "seed 1 case " << i << ": " << ToText(shape, arch);
    looked_at += found.search.num_searched_tiles;
  }
  EXPECT_GT(looked_at, 5000) << "the cases leave no choice";
}

/// In doubles, from the shape and the chip alone.
void ExpectAboveFloors(const GEMMResult& r, const GEMMShape& s, const AcceleratorMicroArch& arch) {
  const double mn = static_cast<double>(s.G * s.M * s.N), mk = static_cast<double>(s.G * s.M * s.K),
               kn = static_cast<double>(s.G * s.K * s.N);
  const double in = static_cast<double>(SizeOf(s.input_dtype)), out = static_cast<double>(SizeOf(s.output_dtype));
  const double elements = static_cast<double>(arch.num_cores * arch.sram_kb) * 1024 / in;
  const double pebbles = (2 * mn * static_cast<double>(s.K) / std::sqrt(elements) - 2 * elements) * std::min(in, out);
  const auto traffic = static_cast<double>(r.dram_traffic_bytes);
  EXPECT_GE(traffic, (mk + kn) * in + mn * out);
  EXPECT_GE(traffic, pebbles);
  const AcceleratorMicroArch full = WithDefaults(arch);
  const double peak = s.input_dtype == DType::kS8     ? full.tflops_int8
                      : s.input_dtype == DType::kE4m3 ? *full.tflops_fp8
                                                      : *full.tflops_bf16;
  const double close = 1 + 1e-12;
  EXPECT_GE(r.latency_us * close, r.flops / (peak * 1e6));
  EXPECT_GE(r.latency_us * close, traffic / (*full.dram_gbps * 1e3));
  EXPECT_GE(r.latency_us, r.compute_time_us);
  EXPECT_GE(r.latency_us * close, r.memory_time_us);
  EXPECT_LE(r.arch_utilization, close);
  EXPECT_LE(r.effective_utilization, r.arch_utilization * close);
}

TEST(Model, NothingIsBelowTheFloors) {
  Random random(2);
  for (int i = 0; i < 4000; ++i) {
    const AcceleratorMicroArch arch = SmallChip(random);
    const GEMMShape shape = i % 2 == 0 ? SmallShape(random) : LargeShape(random);
    GEMMSearchMode mode;
    mode.tile_search = i % 3 != 0;
    mode.partition_search = i % 5 != 0;
    ExpectAboveFloors(GEMMEvaluator(arch).evaluate(shape, mode), shape, arch);
    ASSERT_FALSE(HasFailure()) << "seed 2 case " << i << ": " << ToText(shape, arch) << " " << ToString(mode);
  }
}

AcceleratorMicroArch LargeChip(Random& random) {
  const std::int64_t cores[] = {8, 24, 64}, cubes[] = {8, 16, 32}, depths[] = {1, 16, 32};
  AcceleratorMicroArch arch{
      "large", random.Any(cores), random.Within(64, 4096), random.Any(cubes), random.Any(cubes), random.Any(depths),
      256};
  arch.dram_gbps = random.Scale(100, 4000);
  if (random.Within(0, 1) == 1) arch.noc_gbps = random.Scale(100, 4000);
  return arch;
}

TEST(Model, MoreOfAnythingIsNeverSlower) {
  Random random(3);
  for (int i = 0; i < 300; ++i) {
    const AcceleratorMicroArch arch = WithDefaults(LargeChip(random));
    const GEMMShape shape = LargeShape(random);
    const double latency = GEMMEvaluator(arch).evaluate(shape).latency_us;
    AcceleratorMicroArch better[4] = {arch, arch, arch, arch};
    *better[0].dram_gbps *= 1.5;
    better[1].sram_kb *= 2;
    better[2].tflops_int8 *= 2, *better[2].tflops_bf16 *= 2;
    *better[3].vector_gops *= 2;
    for (const AcceleratorMicroArch& chip : better)
      ASSERT_LE(GEMMEvaluator(chip).evaluate(shape).latency_us, latency * (1 + 1e-12))
          << "seed 3 case " << i << ": " << ToText(shape, arch) << " and " << Fingerprint(chip);
  }
}

TEST(Model, ASmallerSearchIsNeverBetter) {
  Random random(4);
  double worst[3] = {0, 0, 0};
  for (int i = 0; i < 300; ++i) {
    const AcceleratorMicroArch arch = LargeChip(random);
    const GEMMShape shape = LargeShape(random);
    GEMMEvaluator evaluator(arch);
    const double exact = evaluator.evaluate(shape).latency_us;
    const GEMMSearchMode modes[] = {{true, true, SearchEffort::kBalanced},
                                    {true, true, SearchEffort::kFast},
                                    {true, false},
                                    {false, true},
                                    {false, false}};
    for (std::size_t mode = 0; mode < std::size(modes); ++mode) {
      const double latency = evaluator.evaluate(shape, modes[mode]).latency_us;
      ASSERT_GE(latency, exact) << ToString(modes[mode]) << ": " << ToText(shape, arch);
      if (mode < 3) worst[mode] = std::max(worst[mode], latency / exact);
    }
    GEMMSearchMode roofline;
    roofline.use_precise_evaluator = false;
    ASSERT_LE(evaluator.evaluate(shape, roofline).latency_us, exact * (1 + 1e-12)) << ToText(shape, arch);
  }
  for (const double loss : worst) EXPECT_GT(loss, 1) << "a shortcut that never loses is the search itself";
}

TEST(Evaluator, ResultsDoNotDependOnTheNumberOfThreads) {
  Random random(5);
  const AcceleratorMicroArch arch = LargeChip(random);
  std::vector<GEMMShape> shapes;
  for (int i = 0; i < 60; ++i) shapes.push_back(LargeShape(random));
  shapes.push_back(shapes.front());
  const std::vector<GEMMResult> one = GEMMEvaluator(arch).evaluate_all(shapes, {}, 1);
  for (const int threads : {2, 5, 0}) {
    std::atomic<std::size_t> done{0};
    const std::vector<GEMMResult> many = GEMMEvaluator(arch).evaluate_all(shapes, {}, threads, [&] { ++done; });
    EXPECT_EQ(done, shapes.size());
    for (std::size_t i = 0; i < shapes.size(); ++i) {
      EXPECT_EQ(Choice(many[i]), Choice(one[i])) << ToText(shapes[i], arch);
      EXPECT_EQ(many[i].search.num_searched_tiles, one[i].search.num_searched_tiles);
    }
  }
}

}  // namespace
}  // namespace gemmsmith
