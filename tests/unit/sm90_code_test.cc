// What NVRTC makes of the sm_90a template, read from the cubins: no GPU is needed.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "cubin.h"
#include "cuda_sources.h"
#include "jit/toolchain.h"
#include "util/log.h"

namespace gemmsmith {

const KernelFamily& Sm90Family();

namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

struct Row {
  const char* dtypes;
  const char* layout;
  BetaClass beta = BetaClass::kZero;
  const char* epilogue = nullptr;
  const char* scaling = "none";
  const char* grouping = "none";
};

GemmProblem Problem(const Row& row, std::int64_t size = 4096) {
  GemmProblem p = MakeProblem(size, size, size, DType::kF32, row.layout, row.beta);
  SetDTypes(p, row.dtypes);
  if (p.a_type == DType::kF32) p.compute = ComputeMode::kTf32;
  SetGrouping(p, row.grouping);
  SetScaling(p, row.scaling);
  if (row.epilogue != nullptr) SetEpilogue(p, Epilogue::Parse(row.epilogue), DType::kF16);
  return p;
}

class Sm90Code : public testing::Test {
 protected:
  void SetUp() override {
    std::string why;
    nvrtc_ = OpenOrNull(OpenNvrtc, why);
    if (nvrtc_ == nullptr) GTEST_SKIP() << why;
  }
  static std::vector<TileConfig> Candidates(const GemmProblem& p) {
    EXPECT_EQ(Sm90Family().WhyNot(p, kTarget), "");
    return Sm90Family().Candidates(p, kTarget, FindDeviceSpec("h200"));
  }

  /// Compiles one configuration of `p`, with its shared memory asserted, and checks what came of it.
  void Check(const GemmProblem& p, const TileConfig& c) {
    SCOPED_TRACE(ToString(p) + ": " + ToString(c));
    const LaunchStep step = Sm90Family().MakeLaunch(p, c);
    KernelSource source = Sm90Family().Render(p, c, kTarget, {});
    source.text += fmt::format(
        "static_assert(gemmsmith::Sm90Gemm<Config>::kSharedBytes == {}, \"as the host has it\");\n", step.shared_bytes);
    const Artifact artifact = nvrtc_->Compile(source, {});
    const std::vector<CubinKernel> kernels = ReadCubin(artifact.parts.at("cubin"));
    ASSERT_EQ(kernels.size(), 1u);
    const CubinKernel& kernel = kernels[0];
    EXPECT_EQ(kernel.resources.spill_bytes, 0);
    EXPECT_EQ(kernel.Count(sass::kLdl) + kernel.Count(sass::kStl), 0);
    EXPECT_EQ(kernel.resources.static_shared_bytes, 0);
    EXPECT_EQ(kernel.resources.max_threads, static_cast<int>(step.block.x));
    EXPECT_LE(kernel.resources.registers * kernel.resources.max_threads, 65536);
    EXPECT_LE(step.shared_bytes, FindDeviceSpec("h200").shared_bytes);
    // ptxas warns of products that it makes wait for each other, and of setmaxnreg that it ignores, by C75xx.
    EXPECT_THAT(artifact.log, Not(HasSubstr("C75")));
    ExpectInstructions(p, c, kernel);
    // Before anything that a launch before it may still make, where launches overlap.
    const std::string& ptx = artifact.parts.at("ptx");
    const std::size_t wait = ptx.find("griddepcontrol.wait");
    ASSERT_NE(wait, std::string::npos);
    for (const char* access : {"ld.global", "st.global", "cp.async.bulk"}) EXPECT_GT(ptx.find(access), wait) << access;
    EXPECT_TRUE(step.waits);
  }

  /// A step, of 128 bytes of k, is there once; so is everything else that Hopper has of its own.
  static void ExpectInstructions(const GemmProblem& p, const TileConfig& c, const CubinKernel& kernel) {
    const bool eight_bits = Info(p.a_type).bits == 8, integer = p.acc_type == DType::kS32;
    const int rows =
        c.Get(c.Get("swap") != 0 ? "block_n" : "block_m") / (c.Get("ping_pong") != 0 ? 1 : c.Get("consumers"));
    const std::uint16_t product = integer ? sass::kIgmma : eight_bits ? sass::kQgmma : sass::kHgmma;
    EXPECT_EQ(kernel.Count(product), rows / 64 * 4);
    EXPECT_EQ(kernel.Count(sass::kHgmma) + kernel.Count(sass::kIgmma) + kernel.Count(sass::kQgmma), rows / 64 * 4);
    const int clusters = c.Get("cluster_m") * c.Get("cluster_n");
    EXPECT_EQ(kernel.Count(sass::kUtmaldgMulticast), clusters - 1);
    EXPECT_EQ(kernel.Count(sass::kUtmaldg), 3 - clusters);
    EXPECT_EQ(kernel.Count(sass::kUsetmaxreg), 2);
    const bool bulk = c.Get("bulk_d") != 0 && c.Get("splits") == 1;
    EXPECT_EQ(kernel.Count(sass::kUtmastg), bulk ? 1 : 0);
    EXPECT_EQ(kernel.Count(sass::kStsm), bulk && SizeOf(p.d_type) == 2 ? rows / 64 * c.Get("block_n") / 16 : 0);
  }

  static constexpr CodeTarget kTarget{Isa::kCuda, 90, 'a'};
  std::shared_ptr<const Compiler> nvrtc_;
};

TEST_F(Sm90Code, NeedsNoLocalMemoryAndUsesHoppersInstructionsInEveryConfiguration) {
  const GemmProblem p = Problem({"bf16", "nt"});
  for (const TileConfig& config : Candidates(p)) Check(p, config);
}

TEST_F(Sm90Code, NeedsNoLocalMemoryForAnyTypeAndLayout) {
  for (const Row& row : {
           Row{"f16", "nn"},
           {"f16", "tt", BetaClass::kGeneral},
           {"bf16,bf16,f32", "tn"},
           {"bf16", "nt", BetaClass::kZero, "bias+gelu"},
           {"f16", "nn", BetaClass::kZero, "swiglu+amax_row+amax_column+amax_block"},
           {"f32", "nt"},
           {"f32", "nt", BetaClass::kGeneral},
           {"e4m3,e4m3,bf16", "nt"},
           {"e5m2,e4m3,f32", "nt", BetaClass::kGeneral},
           {"e4m3,e4m3,bf16", "nt", BetaClass::kZero, nullptr, "1x128"},
           {"e4m3,e5m2,f32", "nt", BetaClass::kGeneral, nullptr, "128x128"},
           {"s8,s8,s32", "nt"},
           {"u8,s8,f16", "nt", BetaClass::kZero, "scale_column+bias"},
       }) {
    const GemmProblem p = Problem(row);
    const std::vector<TileConfig> configs = Candidates(p);
    for (const std::size_t i : {std::size_t{0}, configs.size() / 3, configs.size() * 2 / 3, configs.size() - 1})
      Check(p, configs[i]);
  }
}

TEST_F(Sm90Code, NeedsNoLocalMemoryForGroups) {
  for (const Row& row : {
           Row{"bf16", "nt", BetaClass::kZero, nullptr, "none", "contiguous:8"},
           {"bf16,bf16,f32", "nn", BetaClass::kGeneral, nullptr, "none", "ends:8"},
           {"f16", "nt", BetaClass::kZero, nullptr, "none", "masked:8"},
           {"bf16,bf16,f32", "tn", BetaClass::kGeneral, nullptr, "none", "along_k:8"},
           {"e4m3,e4m3,bf16", "nt", BetaClass::kZero, nullptr, "128x128", "contiguous:8"},
           {"e4m3,e4m3,bf16", "nt", BetaClass::kZero, nullptr, "1x128", "masked:8"},
       }) {
    const GemmProblem p = Problem(row);
    const std::vector<TileConfig> configs = Candidates(p);
    for (const std::size_t i : {std::size_t{0}, configs.size() / 2, configs.size() - 1}) Check(p, configs[i]);
  }
}

TEST_F(Sm90Code, NeedsNoLocalMemoryWhereColumnsTakeThePlaceOfRows) {
  for (const Row& row : {Row{"bf16", "nt"},
                         {"f16", "nn", BetaClass::kZero, "swiglu+amax_row"},
                         {"e4m3,e4m3,bf16", "nt", BetaClass::kZero, nullptr, "1x128"}}) {
    GemmProblem p = Problem(row);
    p.m = 32;
    int swapped = 0;
    for (const TileConfig& config : Candidates(p))
      if (config.Get("swap") != 0 && swapped++ % 2 == 0) Check(p, config);
    EXPECT_GT(swapped, 0);
  }
}

TEST_F(Sm90Code, RefusesWhatMakesProductsWait) {
  const GemmProblem p = Problem({"bf16", "nt"});
  const TileConfig config = Candidates(p).front();
  CompileOptions unoptimised;
  unoptimised.opt_level = 0;
  try {
    Sm90Family().Render(p, config, kTarget, unoptimised);
    ADD_FAILURE() << "rendered";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Code::kUnsupported);
    EXPECT_THAT(error.what(), HasSubstr("opt_level=0"));
    EXPECT_THAT(error.remedy(), HasSubstr("--opt-level"));
  }
  // Whatever brought the flag.
  KernelSource source = Sm90Family().Render(p, config, kTarget, {});
  source.options = unoptimised;
  try {
    nvrtc_->Compile(source, {});
    ADD_FAILURE() << "compiled";
  } catch (const CompileError& error) {
    EXPECT_THAT(error.what(), AllOf(HasSubstr("would not overlap"), HasSubstr("(C75"), HasSubstr("NVCC_APPEND_FLAGS")));
    std::remove(error.source_path().c_str());
  }
}

TEST_F(Sm90Code, SplitsKWhereTilesAreFew) {
  const GemmProblem p = MakeProblem(64, 128, 16384, DType::kBf16, "nt");
  int splits = 0;
  for (const TileConfig& config : Candidates(p))
    if (config.Get("splits") > 1) Check(p, config), ++splits;
  EXPECT_GT(splits, 0);
}

}  // namespace
}  // namespace gemmsmith
