// What Blackwell's family takes, offers, and is chosen for; and what NVRTC makes of its template, read from the cubins.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string>

#include "../support/compiled_config.h"
#include "cuda_sources.h"
#include "jit/toolchain.h"
#include "select/cost_model.h"

namespace gemmsmith {

const KernelFamily& Sm100Family();

namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr CodeTarget kBlackwell{Isa::kCuda, 100, 'a'};

struct Row {
  const char* dtypes;
  const char* layout = "nt";
  BetaClass beta = BetaClass::kZero;
  const char* epilogue = nullptr;
  const char* scaling = "none";
};
GemmProblem Problem(const Row& row, std::int64_t m, std::int64_t n, std::int64_t k) {
  GemmProblem p = MakeProblem(m, n, k, DType::kF32, row.layout, row.beta);
  SetDTypes(p, row.dtypes);
  if (p.a_type == DType::kF32) p.compute = ComputeMode::kTf32;
  SetScaling(p, row.scaling);
  if (row.epilogue != nullptr) SetEpilogue(p, Epilogue::Parse(row.epilogue), DType::kF16);
  return p;
}
GemmProblem Problem(const Row& row, std::int64_t size = 4096) { return Problem(row, size, size, size); }
GemmProblem Aligned(GemmProblem p, int log2_bytes) {
  p.alignment = static_cast<std::uint8_t>(log2_bytes);
  return p;
}
std::vector<TileConfig> Candidates(const GemmProblem& p) {
  EXPECT_EQ(Sm100Family().WhyNot(p, kBlackwell), "");
  return Sm100Family().Candidates(p, kBlackwell, FindDeviceSpec("b200"));
}

TEST(Sm100Family, IsChosenForWhatBlackwellsTensorCoresTake) {
  const auto best = [](const GemmProblem& p) {
    return ToString(Rank(p, kBlackwell, FindDeviceSpec("b200")).ranked.at(0).config);
  };
  for (const char* dtypes : {"f16", "bf16", "bf16,bf16,f32", "f32", "e4m3,e4m3,bf16", "e5m2,e4m3,f32", "s8,s8,s32"})
    for (const std::int64_t m : {1, 16, 128, 4096})
      EXPECT_THAT(best(Problem({dtypes}, m, 4096, 4096)), StartsWith("sm100 ")) << m << " " << dtypes;
  for (const char* layout : {"nn", "tn", "tt"})
    for (const char* dtypes : {"bf16", "e4m3,e4m3,bf16", "u8,s8,s32"})
      EXPECT_THAT(best(Problem({dtypes, layout}, 512)), StartsWith("sm100 ")) << layout << " " << dtypes;
}

TEST(Sm100Family, SaysWhyNot) {
  GemmProblem loose = Problem({"bf16"}, 64), scaled = Problem({"e4m3,e4m3,bf16"}, 128);
  loose.lda = 68;
  scaled.scaling = Scaling::kBlock1x128;
  scaled.a_type = scaled.b_type = DType::kBf16;
  const struct {
    GemmProblem problem;
    CodeTarget target;
    const char* reason;
  } kRows[] = {
      {Problem({"f16"}, 64), {Isa::kCuda, 100, 0}, "needs sm_100a or its kin, not sm_100"},
      {Problem({"f16"}, 64), {Isa::kCuda, 90, 'a'}, "needs sm_100a"},
      {Problem({"f16"}, 64), {Isa::kCuda, 120, 'a'}, "needs sm_100a"},
      {Problem({"s8,s8,s32"}, 64), {Isa::kCuda, 103, 'a'}, "sum integers need sm_100a or sm_110a, not sm_103a"},
      {Problem({"s8,s8,s32"}, 64), {Isa::kCuda, 100, 'f'}, "not sm_100f"},
      {Problem({"f64"}, 64), kBlackwell, "tensor cores take two f16"},
      {Problem({"f32", "tn"}, 64), kBlackwell, "layout tn: reads f32 along k only"},
      {scaled, kBlackwell, "block scales are of 8-bit floats, not of bf16"},
      {Problem({"bf16"}, 64, 64, 0), kBlackwell, "k=0"},
      {Problem({"bf16"}, 64, 64, 100), kBlackwell, "multiples of 16 bytes, not of 8"},
      {Aligned(Problem({"bf16"}, 64), 3), kBlackwell, "pointers and leading dimensions of multiples of 16"},
      {loose, kBlackwell, "a: bulk copies need strides of multiples of 16 bytes, not of 136"},
      {Problem({"bf16"}, 64, 64, std::int64_t{1} << 32), kBlackwell, "more than"},
  };
  for (const auto& row : kRows)
    EXPECT_THAT(Sm100Family().WhyNot(row.problem, row.target), HasSubstr(row.reason)) << ToString(row.problem);
  for (const CodeTarget& kin : {CodeTarget{Isa::kCuda, 100, 'f'}, {Isa::kCuda, 103, 'a'}, {Isa::kCuda, 110, 'a'}})
    EXPECT_EQ(Sm100Family().WhyNot(Problem({"bf16"}, 64), kin), "") << ToString(kin);
}

TEST(Sm100Family, NeverAsksForMoreThanABlockHas) {
  const DeviceSpec& spec = FindDeviceSpec("b200");
  for (const char* dtypes : {"bf16", "bf16,bf16,f32", "f32", "e4m3,e4m3,f32", "s8,s8,s32"})
    for (const std::int64_t m : {1, 100, 5000}) {
      const GemmProblem p = Problem({dtypes}, m, 7168, 2048);
      for (const TileConfig& config : Candidates(p)) {
        const LaunchStep step = Sm100Family().MakeLaunch(p, config);
        EXPECT_LE(step.shared_bytes, spec.shared_bytes) << ToString(config);
        EXPECT_LE(step.grid.x, static_cast<unsigned>(spec.multiprocessors)) << ToString(config);
        EXPECT_GE(config.Get("stages"), 4) << ToString(config);
      }
    }
}

/// One kernel serves every m: what depends on m is no part of its text.
TEST(Sm100Family, BakesNoSizesIn) {
  std::set<std::string> texts;
  for (const std::int64_t m : {256, 1000, 4096, 8192}) {
    const GemmProblem p = Problem({"bf16"}, m, 4096, 7168);
    for (const TileConfig& config : Candidates(p))
      if (config.Get("block_n") == 256 && config.Get("splits") == 1)
        texts.insert(Sm100Family().Render(p, config, kBlackwell, {}).text);
  }
  EXPECT_EQ(texts.size(), 1u);
}

class Sm100Code : public testing::Test {
 protected:
  void SetUp() override {
    std::string why;
    nvrtc_ = OpenOrNull(OpenNvrtc, why);
    if (nvrtc_ == nullptr) GTEST_SKIP() << why;
  }

  /// A step, of 128 bytes of k, is there once; so is everything else that Blackwell has of its own.
  void Check(const GemmProblem& p, const TileConfig& c, const CodeTarget& target = kBlackwell) {
    SCOPED_TRACE(ToString(p) + ": " + ToString(c) + " for " + ToString(target));
    const CubinKernel kernel = CompileConfig(*nvrtc_, Sm100Family(), "Sm100Gemm", p, c, FindDeviceSpec("b200"), target);
    EXPECT_EQ(kernel.Count(sass::kUtcmma), 4);
    EXPECT_EQ(kernel.Count(sass::kUtcbar), 2);
    EXPECT_EQ(kernel.Count(sass::kUtmaldg), 2);
    const bool bulk = c.Get("bulk_d") != 0, rows = !bulk && c.Get("splits") == 1;
    // 32 columns at a time; 64 where they are two halves of a panel, or of a piece of rows.
    const bool two = bulk ? SizeOf(p.d_type) == 2 : rows && c.Get("block_n") % 64 == 0;
    const bool scaled = p.scaling != Scaling::kNone;  // two warps share columns, each of which a thread holds
    EXPECT_EQ(kernel.Count(sass::kLdtm), scaled ? c.Get("block_n") / 64 : two ? 2 : 1);
    const int pieces = scaled ? c.Get("block_n") / 2 / (SizeOf(p.d_type) == 2 ? 64 : 32) : 1;
    EXPECT_EQ(kernel.Count(sass::kUtmastg), bulk ? pieces : 0);
  }

  std::shared_ptr<const Compiler> nvrtc_;
};

TEST_F(Sm100Code, NeedsNoLocalMemoryAndUsesBlackwellsInstructionsInEveryConfiguration) {
  std::set<int> splits;
  for (const GemmProblem& p : {Problem({"bf16"}), Problem({"f16", "tn", BetaClass::kGeneral}, 64, 512, 16384)})
    for (const TileConfig& config : Candidates(p)) Check(p, config), splits.insert(config.Get("splits"));
  EXPECT_GT(splits.size(), 1u);
}

TEST_F(Sm100Code, NeedsNoLocalMemoryForAnyTypeAndLayout) {
  for (const Row& row : {
           Row{"f16,f16,f32", "tn", BetaClass::kGeneral},
           {"bf16", "nt", BetaClass::kZero, "bias+gelu"},
           {"f16", "nn", BetaClass::kZero, "swiglu+amax_row+amax_column+amax_block"},
           {"f32", "nt", BetaClass::kGeneral},
           {"e4m3,e4m3,bf16", "tt"},
           {"e5m2,e4m3,f32", "nt", BetaClass::kGeneral},
           {"e4m3,e4m3,bf16", "nt", BetaClass::kZero, nullptr, "1x128"},
           {"e4m3,e5m2,bf16", "nt", BetaClass::kZero, nullptr, "128x128"},
           {"e4m3,e5m2,f32", "nt", BetaClass::kGeneral, nullptr, "1x128"},
           {"e4m3,e4m3,bf16", "nt", BetaClass::kZero, "bias+gelu+residual+amax_row+amax_column", "1x128"},
           {"s8,s8,s32", "nn"},
           {"u8,s8,f16", "nt", BetaClass::kZero, "scale_column+bias"},
       }) {
    const GemmProblem p = Problem(row);
    const std::vector<TileConfig> configs = Candidates(p);
    Check(p, configs.front());
    Check(p, configs.back());
  }
}

TEST_F(Sm100Code, IsTheSameForTheKinOfSm100a) {
  for (const CodeTarget& kin : {CodeTarget{Isa::kCuda, 100, 'f'}, {Isa::kCuda, 103, 'a'}, {Isa::kCuda, 110, 'a'}}) {
    const GemmProblem p = Problem({"e4m3,e4m3,bf16"});
    Check(p, Candidates(p).front(), kin);
  }
}

}  // namespace
}  // namespace gemmsmith
