// What the tensor-core family takes, offers, and is chosen for.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>

#include "kernels/family.h"
#include "select/cost_model.h"

namespace gemmsmith {

const KernelFamily& Sm80Family();

namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

GemmProblem Problem(std::int64_t m, std::int64_t n, std::int64_t k, const char* dtypes, const char* layout = "nt") {
  GemmProblem p = MakeProblem(m, n, k, DType::kF32, layout);
  SetDTypes(p, dtypes);
  return p;
}
GemmProblem Tf32(GemmProblem p) {
  p.compute = ComputeMode::kTf32;
  return p;
}
RankedConfig Best(const GemmProblem& p, const char* gpu) {
  const DeviceSpec& spec = FindDeviceSpec(gpu);
  return Rank(p, spec.target, spec).ranked.at(0);
}

TEST(Sm80Family, IsChosenForWhatTensorCoresTake) {
  const struct {
    GemmProblem problem;
    const char* gpu;
    const char* family;
  } kRows[] = {
      {Problem(4096, 4096, 4096, "f16"), "a100", "sm80 "},
      {Problem(4096, 4096, 4096, "bf16", "nn"), "rtx3090", "sm80 "},
      {Problem(4096, 4096, 4096, "bf16", "tt"), "l40s", "sm80 "},
      {Problem(16, 4096, 4097, "bf16,bf16,f32"), "b200", "sm80 "},
      {Problem(4097, 4097, 4097, "f16", "tn"), "rtx5090", "sm80 "},
      {Problem(512, 512, 512, "s8"), "a100", "sm80 "},
      {Problem(512, 512, 512, "e4m3,e5m2,bf16"), "l40s", "sm80 "},
      {Tf32(Problem(4096, 4096, 4096, "f32")), "a100", "sm80 "},
      {Problem(4096, 4096, 4096, "f32"), "a100", "simt "},
      {Problem(4096, 4096, 4096, "f64"), "a100", "simt "},
      {Problem(4096, 4096, 4096, "f16"), "t4", "simt "},
  };
  for (const auto& row : kRows)
    EXPECT_THAT(ToString(Best(row.problem, row.gpu).config), StartsWith(row.family))
        << ToString(row.problem) << " on " << row.gpu;
}

TEST(Sm80Family, SaysWhyNot) {
  GemmProblem columns = Problem(64, 64, 64, "f16");
  columns.d_layout = Layout::kColMajor;
  const struct {
    GemmProblem problem;
    int version;
    const char* reason;
  } kRows[] = {
      {Problem(64, 64, 64, "f16"), 75, "needs sm_80"},
      {Problem(64, 64, 64, "f32"), 80, "as tf32 only"},
      {Problem(64, 64, 64, "f64"), 80, "tensor cores take two f16"},
      {Problem(64, 64, 64, "f16,bf16,f32"), 80, "a=f16 b=bf16"},
      {Problem(64, 64, 64, "e4m3,e4m3,f16"), 86, "from sm_89 on"},
      {Problem(64, 64, 64, "f16,f16,e4m3"), 80, "d=e4m3: stores 8-bit floats from sm_89 on"},
      {Problem(64, 64, 64, "f16,f16,f64"), 80, "d=f64"},
      {Problem(64, 64, std::int64_t{1} << 31, "f16"), 80, "k=2147483648 is more than"},
      {columns, 80, "row-major D only"},
  };
  for (const auto& row : kRows) {
    const CodeTarget target{Isa::kCuda, static_cast<std::uint16_t>(row.version), 0};
    EXPECT_THAT(Sm80Family().WhyNot(row.problem, target), HasSubstr(row.reason)) << ToString(row.problem);
  }
}

TEST(Sm80Family, AccessesAreAsWideAsAlignmentAllows) {
  const CodeTarget target{Isa::kCuda, 80, 0};
  const struct {
    const char* dtypes;
    const char* layout;
    std::int64_t size;
    int a, b, d;
  } kRows[] = {
      {"f16", "nt", 256, 8, 8, 8},
      {"f16", "tn", 260, 4, 4, 4},
      {"f16", "nn", 258, 2, 2, 2},
      {"f16", "nt", 257, 1, 1, 1},
      {"bf16,bf16,f32", "nt", 256, 8, 8, 4},
      {"f32", "nt", 257, 1, 1, 1},
      {"f32", "tt", 256, 4, 4, 4},
      {"s8", "nt", 256, 16, 16, 4},
      {"s8", "nt", 258, 1, 1, 1},
      {"s8,s8,f16", "nn", 256, 16, 4, 8},
      {"s8", "tn", 260, 4, 4, 1},
      {"s8", "tt", 257, 1, 1, 1},
  };
  for (const auto& row : kRows) {
    const GemmProblem p = Tf32(Problem(row.size, row.size, row.size, row.dtypes, row.layout));
    const TileConfig config = Sm80Family().Candidates(p, target, FindDeviceSpec("a100")).at(0);
    EXPECT_EQ(config.Get("vector_a"), row.a) << ToString(p);
    EXPECT_EQ(config.Get("vector_b"), row.b) << ToString(p);
    EXPECT_EQ(config.Get("vector_d"), row.d) << ToString(p);
  }
}

TEST(Sm80Family, SplitsKOnlyWhereDHasFewTiles) {
  EXPECT_GT(Best(Problem(64, 128, 65536, "bf16"), "a100").config.Get("splits"), 1);
  EXPECT_EQ(Best(Problem(8192, 8192, 4096, "bf16"), "a100").config.Get("splits"), 1);
  EXPECT_EQ(Best(Problem(64, 128, 128, "bf16"), "a100").config.Get("splits"), 1);
}

TEST(Sm80Family, PartsOfKAreWholeStepsAndNoneIsEmpty) {
  const DeviceSpec& spec = FindDeviceSpec("a100");
  for (const std::int64_t k : {4096, 4099, 10007, 65536, 1 << 20}) {
    const GemmProblem p = Problem(48, 200, k, "f16");
    int split = 0;
    for (const TileConfig& config : Sm80Family().Candidates(p, spec.target, spec)) {
      const int splits = config.Get("splits"), block_k = config.Get("block_k");
      if (splits == 1) continue;
      ++split;
      const std::int64_t steps = (k + block_k - 1) / block_k, each = (steps + splits - 1) / splits;
      EXPECT_LT((splits - 1) * each, steps) << k << ": " << ToString(config);
      EXPECT_EQ(Sm80Family().MakeLaunch(p, config).grid.y, static_cast<unsigned>(splits));
    }
    EXPECT_GT(split, 0) << k;
  }
}

TEST(Sm80Family, FitsTheSharedMemoryOfTheSmallestGpu) {
  for (const char* gpu : {"a100", "rtx3090", "l40s", "h200", "b200", "rtx5090"}) {
    const DeviceSpec& spec = FindDeviceSpec(gpu);
    const GemmProblem p = Problem(2048, 2048, 2048, "f16");
    for (const TileConfig& config : Sm80Family().Candidates(p, spec.target, spec))
      EXPECT_LE(Sm80Family().MakeLaunch(p, config).shared_bytes, spec.shared_bytes) << gpu << ": " << ToString(config);
  }
}

TEST(Sm80Family, OffersAKernelForEveryAlignmentToEveryProblem) {
  const DeviceSpec& spec = FindDeviceSpec("a100");
  const auto generic = [](const TileConfig& c) {
    return c.Get("vector_a") == 1 && c.Get("vector_b") == 1 && c.Get("vector_d") == 1 && c.Get("splits") == 1;
  };
  for (const char* dtypes : {"f16", "s8", "f32"})
    for (const char* layout : {"nn", "nt", "tn", "tt"}) {
      const GemmProblem p = Tf32(Problem(512, 512, 512, dtypes, layout));
      const std::vector<TileConfig> configs = Sm80Family().Candidates(p, spec.target, spec);
      EXPECT_TRUE(std::any_of(configs.begin(), configs.end(), generic)) << ToString(p);
    }
}

}  // namespace
}  // namespace gemmsmith
