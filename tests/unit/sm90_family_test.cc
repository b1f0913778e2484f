// What Hopper's family takes, offers, and is chosen for.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "kernels/family.h"
#include "select/cost_model.h"
#include "templates/params.h"

namespace gemmsmith {

const KernelFamily& Sm90Family();

namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr CodeTarget kHopper{Isa::kCuda, 90, 'a'};

GemmProblem Problem(std::int64_t m, std::int64_t n, std::int64_t k, const char* dtypes, const char* layout = "nt") {
  GemmProblem p = MakeProblem(m, n, k, DType::kF32, layout);
  SetDTypes(p, dtypes);
  if (p.a_type == DType::kF32) p.compute = ComputeMode::kTf32;
  return p;
}
GemmProblem Aligned(GemmProblem p, int log2_bytes) {
  p.alignment = static_cast<std::uint8_t>(log2_bytes);
  return p;
}
GemmProblem Batched(GemmProblem p, std::int64_t stride) {
  p.batch = 4;
  p.batch_stride_a = stride, p.batch_stride_b = 0, p.batch_stride_c = p.batch_stride_d = p.m * p.n;
  return p;
}
TileConfig Best(const GemmProblem& p) { return Rank(p, kHopper, FindDeviceSpec("h200")).ranked.at(0).config; }

TEST(Sm90Family, IsChosenForWhatHoppersTensorCoresTake) {
  for (const char* dtypes : {"f16", "bf16", "bf16,bf16,f32", "f32", "e4m3,e4m3,bf16", "e5m2,e4m3,f32", "s8,s8,s32"})
    for (const std::int64_t m : {1, 16, 128, 4096})
      EXPECT_THAT(ToString(Best(Problem(m, 4096, 4096, dtypes))), StartsWith("sm90 ")) << m << " " << dtypes;
  for (const char* layout : {"nn", "tn", "tt"})
    EXPECT_THAT(ToString(Best(Problem(512, 512, 512, "bf16", layout))), StartsWith("sm90 ")) << layout;
}

TEST(Sm90Family, SaysWhyNot) {
  GemmProblem loose = Problem(64, 64, 64, "bf16");
  loose.lda = 68;
  const struct {
    GemmProblem problem;
    CodeTarget target;
    const char* reason;
  } kRows[] = {
      {Problem(64, 64, 64, "f16"), {Isa::kCuda, 90, 0}, "needs sm_90a, not sm_90"},
      {Problem(64, 64, 64, "f16"), {Isa::kCuda, 100, 'a'}, "needs sm_90a"},
      {Problem(64, 64, 64, "f64"), kHopper, "tensor cores take two f16"},
      {Problem(64, 64, 64, "e4m3,e4m3,bf16", "nn"), kHopper, "read e4m3 along k only; store them as nt"},
      {Problem(64, 64, 64, "f32", "tn"), kHopper, "read f32 along k only"},
      {Problem(64, 64, 0, "bf16"), kHopper, "k=0"},
      {Problem(64, 64, 100, "bf16"), kHopper, "multiples of 16 bytes, not of 8"},
      {Aligned(Problem(64, 64, 64, "bf16"), 3), kHopper, "pointers and leading dimensions of multiples of 16"},
      {loose, kHopper, "a: bulk copies need strides of multiples of 16 bytes, not of 136"},
      {Batched(Problem(64, 64, 64, "bf16"), 64 * 64 + 4), kHopper, "a: bulk copies need strides"},
      {Problem(64, 64, std::int64_t{1} << 32, "bf16"), kHopper, "more than"},
  };
  for (const auto& row : kRows)
    EXPECT_THAT(Sm90Family().WhyNot(row.problem, row.target), HasSubstr(row.reason)) << ToString(row.problem);
}

TEST(Sm90Family, NeverAsksForMoreThanABlockHas) {
  const DeviceSpec& spec = FindDeviceSpec("h200");
  for (const char* dtypes : {"bf16", "bf16,bf16,f32", "f32", "e4m3,e4m3,f32", "s8,s8,s32"})
    for (const std::int64_t m : {1, 100, 5000}) {
      const GemmProblem p = Problem(m, 7168, 2048, dtypes);
      for (const TileConfig& config : Sm90Family().Candidates(p, kHopper, spec)) {
        const LaunchStep step = Sm90Family().MakeLaunch(p, config);
        EXPECT_LE(step.shared_bytes, spec.shared_bytes) << ToString(config);
        EXPECT_LE(step.grid.x, static_cast<unsigned>(spec.multiprocessors)) << ToString(config);
        EXPECT_EQ(step.grid.x % step.cluster.x, 0u) << ToString(config);
        EXPECT_GE(config.Get("stages"), 2) << ToString(config);
      }
    }
}

/// One kernel serves every m: what depends on m is no part of its text.
TEST(Sm90Family, BakesNoSizesIn) {
  std::set<std::string> texts;
  for (const std::int64_t m : {256, 1000, 4096, 8192}) {
    const GemmProblem p = Problem(m, 4096, 7168, "bf16");
    for (const TileConfig& config : Sm90Family().Candidates(p, kHopper, FindDeviceSpec("h200")))
      if (config.Get("block_m") == 128 && config.Get("block_n") == 256 && config.Get("cluster_m") == 2 &&
          config.Get("splits") == 1)
        texts.insert(Sm90Family().Render(p, config, kHopper, {}).text);
  }
  EXPECT_EQ(texts.size(), 1u);
}

TEST(Sm90Family, MapsFollowTheLayouts) {
  const struct {
    const char* layout;
    std::uint64_t a0, a1, b0, b1;
    std::uint32_t box_a0, box_a1, box_b0, box_b1;
  } kRows[] = {
      {"nt", 512, 128, 512, 256, 64, 128, 64, 256},
      {"nn", 512, 128, 256, 512, 64, 128, 64, 64},
      {"tn", 128, 512, 256, 512, 64, 64, 64, 64},
      {"tt", 128, 512, 512, 256, 64, 64, 64, 256},
  };
  for (const auto& row : kRows) {
    const GemmProblem p = Problem(128, 256, 512, "bf16", row.layout);
    const TileConfig config = Sm90Family().Candidates(p, kHopper, FindDeviceSpec("h200")).at(0);
    ASSERT_EQ(config.Get("block_m"), 128);
    ASSERT_EQ(config.Get("block_n"), 256);
    const LaunchStep step = Sm90Family().MakeLaunch(p, config);
    ASSERT_EQ(step.maps.size(), 3u);
    const TensorMapShape &a = step.maps[0].shape, &b = step.maps[1].shape, &d = step.maps[2].shape;
    EXPECT_EQ((std::array{a.extents[0], a.extents[1]}), (std::array{row.a0, row.a1})) << row.layout;
    EXPECT_EQ((std::array{b.extents[0], b.extents[1]}), (std::array{row.b0, row.b1})) << row.layout;
    EXPECT_EQ((std::array{a.box[0], a.box[1]}), (std::array{row.box_a0, row.box_a1})) << row.layout;
    EXPECT_EQ((std::array{b.box[0], b.box[1]}), (std::array{row.box_b0, row.box_b1})) << row.layout;
    EXPECT_EQ((std::array{d.box[0], d.box[1]}), (std::array{64u, 64u})) << row.layout;
  }
}

}  // namespace
}  // namespace gemmsmith
