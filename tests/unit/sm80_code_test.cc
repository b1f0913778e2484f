// What NVRTC makes of the sm_80 template, read from the cubins: no GPU is needed.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>

#include "cubin.h"
#include "cuda_sources.h"
#include "jit/toolchain.h"
#include "util/log.h"

namespace gemmsmith {

const KernelFamily& Sm80Family();

namespace {

using ::testing::HasSubstr;

struct Row {
  const char* dtypes;
  const char* layout;
  BetaClass beta = BetaClass::kZero;
  std::int64_t odd = 0;  ///< Added to all sizes: 1 leaves no alignment.
  const char* epilogue = nullptr;
};

GemmProblem Problem(const Row& row, std::int64_t size = 2048) {
  GemmProblem p = MakeProblem(size + row.odd, size + row.odd, size + row.odd, DType::kF32, row.layout, row.beta);
  SetDTypes(p, row.dtypes);
  if (p.a_type == DType::kF32) p.compute = ComputeMode::kTf32;
  if (row.epilogue != nullptr) SetEpilogue(p, Epilogue::Parse(row.epilogue), DType::kF16);
  return p;
}

class Sm80Code : public testing::TestWithParam<CodeTarget> {
 protected:
  void SetUp() override {
    std::string why;
    nvrtc_ = OpenOrNull(OpenNvrtc, why);
    if (nvrtc_ == nullptr) GTEST_SKIP() << why;
    if (!nvrtc_->Supports(GetParam())) GTEST_SKIP() << nvrtc_->version() << " does not know it";
  }
  const DeviceSpec& spec() const { return DefaultDeviceSpec(GetParam()); }
  std::vector<TileConfig> Candidates(const GemmProblem& p) const {
    EXPECT_EQ(Sm80Family().WhyNot(p, GetParam()), "");
    return Sm80Family().Candidates(p, GetParam(), spec());
  }

  /// Each source once: what adds parts of k is the same for many configurations.
  const CubinKernel& Compile(const KernelSource& source) {
    const auto [place, is_new] = compiled_.try_emplace(source.text);
    if (is_new) place->second = CompileNow(source);
    return place->second;
  }
  CubinKernel CompileNow(const KernelSource& source) const {
    const std::vector<CubinKernel> kernels = ReadCubin(nvrtc_->Compile(source, {}).parts.at("cubin"));
    EXPECT_EQ(kernels.size(), 1u);
    const CubinKernel kernel = kernels.at(0);
    EXPECT_EQ(kernel.resources.spill_bytes, 0);
    EXPECT_EQ(kernel.Count(sass::kLdl) + kernel.Count(sass::kStl), 0);
    EXPECT_EQ(kernel.resources.static_shared_bytes, 0);
    EXPECT_LE(kernel.resources.registers * kernel.resources.max_threads, 65536);
    return kernel;
  }

  /// Compiles one configuration of `p` with its shared memory asserted, and checks what came of it.
  void Check(const GemmProblem& p, const TileConfig& c) {
    SCOPED_TRACE(ToString(p) + ": " + ToString(c));
    const LaunchStep step = Sm80Family().MakeLaunch(p, c);
    KernelSource source = Sm80Family().Render(p, c, GetParam(), {});
    source.text += fmt::format(
        "static_assert(gemmsmith::Sm80Gemm<Config>::kSharedBytes == {}, \"as the host has it\");\n", step.shared_bytes);
    const CubinKernel& kernel = Compile(source);
    EXPECT_EQ(kernel.resources.max_threads, static_cast<int>(step.block.x));
    EXPECT_EQ(step.block.x, static_cast<unsigned>(c.Get("warps_m") * c.Get("warps_n") * 32));
    EXPECT_LE(step.shared_bytes, spec().shared_bytes);
    ExpectProducts(p, c, kernel);
    if (std::optional<FollowUp> after = Sm80Family().After(p, c, GetParam(), {})) {
      EXPECT_EQ(Compile(after->source).resources.max_threads, static_cast<int>(after->launch.block.x));
      EXPECT_GT(after->launch.workspace_bytes, 0u);
    }
  }

  /// One instruction for each 16 by 8 by 32 bytes of a step of one warp: the step is there once.
  static void ExpectProducts(const GemmProblem& p, const TileConfig& c, const CubinKernel& kernel) {
    const int slices = c.Get("block_k") * static_cast<int>(SizeOf(p.a_type)) / 32;
    const int wanted = c.Get("block_m") / c.Get("warps_m") / 16 * (c.Get("block_n") / c.Get("warps_n") / 8) * slices;
    const std::int64_t products = kernel.Count(sass::kHmma) + kernel.Count(sass::kImma) + kernel.Count(sass::kQmma);
    EXPECT_EQ(products % wanted, 0);
    EXPECT_GE(products, wanted);
    EXPECT_EQ(kernel.Count(p.acc_type == DType::kS32 ? sass::kHmma : sass::kImma), 0);
    const bool words = SizeOf(p.a_type) == 4 && LayoutName(p) == "tn";
    EXPECT_EQ(kernel.Count(sass::kLdsm) > 0, !words);
  }

  std::shared_ptr<const Compiler> nvrtc_;
  std::map<std::string, CubinKernel> compiled_;
};

TEST_P(Sm80Code, NeedsNoLocalMemoryAndUsesTensorCoresInEveryConfiguration) {
  for (const Row& row : {Row{"bf16", "nt"}, Row{"f16", "tn", BetaClass::kGeneral}}) {
    const GemmProblem p = Problem(row);
    for (const TileConfig& config : Candidates(p)) Check(p, config);
  }
}

constexpr Row kRows[] = {
    {"f16", "nn"},
    {"f16", "tt", BetaClass::kGeneral, 1},
    {"bf16,bf16,f32", "nt", BetaClass::kZero, 1},
    {"bf16", "nt", BetaClass::kZero, 0, "bias+gelu"},
    {"f16", "nn", BetaClass::kZero, 0, "swiglu+amax_row+amax_column+amax_block"},
    {"f32", "nt"},
    {"f32", "tn", BetaClass::kGeneral},
    {"f32", "nn", BetaClass::kZero, 1},
    {"s8", "nt"},
    {"s8,u8,s32", "tn", BetaClass::kGeneral},
    {"u8,s8,f16", "nn", BetaClass::kZero, 1, "scale_column+bias"},
};

TEST_P(Sm80Code, NeedsNoLocalMemoryForAnyTypeAndLayout) {
  for (const Row& row : kRows) {
    const GemmProblem p = Problem(row);
    const std::vector<TileConfig> configs = Candidates(p);
    Check(p, configs.front());
    Check(p, configs.back());
  }
}

TEST_P(Sm80Code, MultipliesEightBitFloatsFromSm89On) {
  for (const char* dtypes : {"e4m3,e4m3,bf16", "e4m3,e5m2,f32", "e5m2,e4m3,f16", "e5m2,e5m2,f32"}) {
    const GemmProblem p = Problem({dtypes, "nt"});
    if (GetParam().version < 89) {
      EXPECT_THAT(Sm80Family().WhyNot(p, GetParam()), HasSubstr("from sm_89 on"));
    } else {
      Check(p, Candidates(p).front());
    }
  }
}

TEST_P(Sm80Code, SplitsKWhereTilesAreFew) {
  for (const char* epilogue : {static_cast<const char*>(nullptr), "bias+gelu+amax_column"}) {
    GemmProblem p = MakeProblem(64, 128, 16384, DType::kBf16, "nt");
    if (epilogue != nullptr) SetEpilogue(p, Epilogue::Parse(epilogue));
    int splits = 0;
    for (const TileConfig& config : Candidates(p))
      if (config.Get("splits") > 1) {
        Check(p, config);
        ++splits;
      }
    EXPECT_GT(splits, 0);
  }
}

INSTANTIATE_TEST_SUITE_P(All, Sm80Code,
                         testing::Values(CodeTarget{Isa::kCuda, 80, 0}, CodeTarget{Isa::kCuda, 86, 0},
                                         CodeTarget{Isa::kCuda, 89, 0}, CodeTarget{Isa::kCuda, 90, 'a'},
                                         CodeTarget{Isa::kCuda, 100, 'a'}, CodeTarget{Isa::kCuda, 120, 'a'}),
                         [](const auto& row) { return ToString(row.param); });

}  // namespace
}  // namespace gemmsmith
