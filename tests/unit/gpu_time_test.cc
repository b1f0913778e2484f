#include "select/gpu_time.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "gemmsmith/error.h"
#include "select/library_model.h"

namespace gemmsmith {
namespace {

GemmProblem Problem(std::int64_t m, std::int64_t n, std::int64_t k, DType dtype = DType::kBf16) {
  GemmProblem p;
  p.m = m, p.n = n, p.k = k;
  p.a_type = p.b_type = dtype;
  p.c_type = p.d_type = DType::kBf16;
  return p;
}

TileShape Tile(int block_m, int block_n, TileShape::Copies copies = TileShape::Copies::kBulk) {
  TileShape shape;
  shape.block_m = block_m, shape.block_n = block_n;
  shape.threads = 256, shape.busy_warps = 4;
  shape.flops_per_clock = 4096;
  shape.copies = copies;
  shape.step_k = 64;
  return shape;
}

TEST(GpuTime, CountsEachTermAsItsFormulaSays) {
  DeviceSpec spec;
  spec.target = ParseTarget("sm_90a");
  spec.multiprocessors = 10, spec.clock_ghz = 1, spec.memory_gbps = 1000, spec.launch_us = 2;
  // 12 tiles for 10 SMs: the busiest makes two, in two rounds of 4 steps.
  const GemmProblem p = Problem(128 * 3, 64 * 4, 256);
  const GpuTime time = PredictGpu(p, Tile(128, 64), spec);
  EXPECT_DOUBLE_EQ(time.compute, 2 * 2.0 * 128 * 64 * 256 / (4096 * 0.87 * 1e3));
  EXPECT_DOUBLE_EQ(time.latency, 2 * 4 * 135 / 1e3);
  EXPECT_DOUBLE_EQ(time.memory, 2.0 * (384 * 256 + 256 * 256 + 384 * 256) / (1e6 * 0.83));
  EXPECT_DOUBLE_EQ(time.l2, 2 * 256 * (128 + 64) * 2 / 64e3);
  EXPECT_DOUBLE_EQ(time.fill, 2 * 1.1);
  EXPECT_EQ(time.store, 0);
  EXPECT_EQ(time.add, 0);
  EXPECT_EQ(time.launch, 2);
  const GpuTime async = PredictGpu(p, Tile(128, 64, TileShape::Copies::kAsync), spec);
  EXPECT_DOUBLE_EQ(async.memory + async.store, time.memory);
  EXPECT_DOUBLE_EQ(async.latency, 2 * 4 * 460 / 1e3);
  TileShape split = Tile(128, 64);
  split.splits = 2, split.partial_bytes = 1000;
  EXPECT_DOUBLE_EQ(PredictGpu(p, split, spec).add, 3.8 + 2 * 1000 / 640e3);
  EXPECT_DOUBLE_EQ(PredictGpu(p, split, spec).latency, 3 * 2 * 135 / 1e3);  // 24 halves: three rounds of 2 steps
}

TEST(GpuTime, NamesTheTermThatDecides) {
  GpuTime time;
  time.memory = 3, time.compute = 2, time.launch = 1;
  EXPECT_EQ(time.Limiting(), "memory");
  EXPECT_NEAR(time.total(), 1 + std::cbrt(27 + 8), 1e-12);
  EXPECT_EQ(time.Terms().size(), AllGpuTerms().size());
}

/// A larger problem never takes less time by the same tile, and none is faster than its roofline.
TEST(GpuTime, GrowsWithTheProblemAndKeepsAboveTheRoofline) {
  std::mt19937_64 random(std::random_device{}());
  const auto draw = [&](std::int64_t most) { return static_cast<std::int64_t>(1 + random() % most); };
  for (const DeviceSpec& spec : AllDeviceSpecs())
    for (int i = 0; i < 200; ++i) {
      const GemmProblem p = Problem(draw(5000), draw(5000), draw(5000));
      TileShape tile = Tile(64 << random() % 3, 64 << random() % 3);
      tile.flops_per_clock = spec.tensor_flops_per_clock;
      const double time = PredictGpu(p, tile, spec).total();
      for (std::int64_t GemmProblem::*extent : {&GemmProblem::m, &GemmProblem::n, &GemmProblem::k}) {
        GemmProblem larger = p;
        larger.*extent += draw(1000);
        EXPECT_GE(PredictGpu(larger, tile, spec).total(), time) << spec.name;
      }
      const double peak = spec.tensor_flops_per_clock * spec.multiprocessors * spec.clock_ghz * 1e3;
      EXPECT_GT(time, 2.0 * static_cast<double>(p.m * p.n * p.k) / peak) << spec.name;
      EXPECT_GT(time, 2.0 * static_cast<double>(p.m * p.k + p.k * p.n + p.m * p.n) / (spec.memory_gbps * 1e3));
    }
}

TEST(LibraryModel, SplitsKWhereTilesAreFewAndLongest) {
  const DeviceSpec& h100 = FindDeviceSpec("h100");
  EXPECT_GT(PredictLibrary(Problem(16, 128, 65536), h100).shape.splits, 1);
  EXPECT_EQ(PredictLibrary(Problem(8192, 8192, 1024), h100).shape.splits, 1);
  // What a term is worth: a product of this size is a matter of the tensor cores alone.
  const GemmProblem large = Problem(8192, 8192, 8192);
  EXPECT_LT(PredictLibrary(large, h100, &GpuTime::compute).microseconds,
            0.7 * PredictLibrary(large, h100).microseconds);
}

TEST(LibraryModel, RefusesWhatTensorCoresDoNotMultiply) {
  EXPECT_THROW(PredictLibrary(Problem(64, 64, 64, DType::kF64), FindDeviceSpec("h100")), Error);
}

}  // namespace
}  // namespace gemmsmith
