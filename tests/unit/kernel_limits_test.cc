// What callers ask of kernels: how many SMs they may fill, and which tiles they have.
#include <gmock/gmock.h>

#include <thread>

#include "../support/device_matrix.h"
#include "engine/num_sms.h"
#include "gemmsmith/gemmsmith.h"
#include "jit/compiler.h"

namespace gemmsmith {
namespace {

using testing::HasSubstr;

const DeviceId kGpu = ParseDeviceId("emulator:sm_90a");
constexpr int kAll = 132;

EngineOptions InMemory() {
  EngineOptions options;
  options.enable_disk = false;
  return options;
}
GemmProblem Bf16(std::int64_t m, std::int64_t n, std::int64_t k) { return MakeProblem(m, n, k, DType::kBf16, "nt"); }
int Blocks(Engine& engine, const GemmProblem& problem) {
  return engine.PredictOptimalConfig(problem, kGpu).Get("ctas");
}
template <class Call>
void ExpectError(Code code, const char* text, const Call& call) {
  try {
    call();
    ADD_FAILURE() << text;
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    EXPECT_THAT(error.what(), HasSubstr(text));
  }
}

TEST(NumSms, LimitWhatPersistentKernelsLaunchAndWhatTheModelReckonsWith) {
  Engine engine(InMemory()), other(InMemory());
  const GemmProblem problem = Bf16(4096, 4096, 512);
  EXPECT_EQ(engine.GetNumSms(kGpu), kAll);
  EXPECT_EQ(Blocks(engine, problem), kAll);
  const double before = engine.Explain(problem, kGpu).ranked.front().microseconds;
  for (const int sms : {1, 7, 100, 131}) {
    engine.SetNumSms(kGpu, sms);
    EXPECT_EQ(engine.GetNumSms(kGpu), sms);
    EXPECT_LE(Blocks(engine, problem), sms);
    EXPECT_GE(Blocks(engine, problem), sms - 1);  // whole clusters
    const Explanation explanation = engine.Explain(problem, kGpu);
    EXPECT_GE(explanation.ranked.front().microseconds, before * (sms < 100 ? 1.5 : 1));
    for (const RankedConfig& ranked : explanation.ranked)
      EXPECT_TRUE(ranked.config.family != "sm90" || ranked.config.Get("ctas") <= sms) << ToString(ranked.config);
  }
  EXPECT_EQ(other.GetNumSms(kGpu), kAll);
  EXPECT_EQ(engine.GetNumSms(ParseDeviceId("emulator:sm_80")), 108);
  engine.SetNumSms(kGpu, kAll);
  EXPECT_EQ(Blocks(engine, problem), kAll);
}

TEST(NumSms, AreNoPartOfKernelsAndCallsFollowThem) {
  try {
    OpenNvrtc();
  } catch (const Error& error) {
    GTEST_SKIP() << error.what();
  }
  EngineOptions options = InMemory();
  options.tile.block_m = options.tile.block_n = 64;
  options.tile.stages = 12;  // as only "sm90" has
  options.enable_tma_multicast = false;
  Engine engine(options);
  Device& device = engine.devices().Get(kGpu);
  Matrix a(device, DType::kBf16, {1, 200, 64}), b(device, DType::kBf16, {1, 64, 136, true}),
      d(device, DType::kBf16, {1, 200, 136});
  a.Randomize(1), b.Randomize(2);
  GemmArgs args, host;
  args.a = a.there, args.b = b.there, args.d = d.there;
  host.a = a.host, host.b = b.host, host.d = d.host;
  const GemmProblem problem = Describe(args, DType::kF32);
  const int tiles = 4 * 3;
  std::string key;
  for (const int sms : {kAll, 5, 1, 5, kAll}) {
    engine.SetNumSms(kGpu, sms);
    const PlanInfo info = engine.Prepare(problem, kGpu);
    EXPECT_EQ(info.config.Get("ctas"), std::min(tiles, sms));
    EXPECT_TRUE(key.empty() || key == info.kernels.front().key);
    key = info.kernels.front().key;
    d.PoisonAll();
    engine.Gemm(args);
    d.Download();
    EXPECT_TRUE(Verify(problem, host, {}).ok) << sms;
  }
  EXPECT_EQ(engine.Kernels().size(), 1u);
}

TEST(NumSms, OfFewTimesSayNothingOfAll) {
  try {
    OpenNvrtc();
  } catch (const Error& error) {
    GTEST_SKIP() << error.what();
  }
  const GemmProblem measured = Bf16(4096, 4096, 512), near = Bf16(4224, 4096, 512);
  for (const int sms : {10, kAll}) {
    Engine engine(InMemory());
    engine.SetNumSms(kGpu, sms);
    engine.RecordPerformance(measured, kGpu, engine.PredictOptimalConfig(measured, kGpu), 5000);
    engine.SetNumSms(kGpu, kAll);
    EXPECT_EQ(engine.Explain(near, kGpu).calibration.empty(), sms < kAll) << sms;
    EXPECT_EQ(Blocks(engine, measured), kAll);
  }
}

TEST(NumSms, ComeBackToThePlansThatWereMadeUnderThem) {
  SmSettings settings;
  SmSetting* const all = &settings.current();
  settings.Set(kGpu, 100, kAll);
  SmSetting* const some = &settings.current();
  EXPECT_NE(some, all);
  for (int i = 0; i < 10; ++i) {
    settings.Set(kGpu, kAll, kAll);
    EXPECT_EQ(&settings.current(), all);
    settings.Set(kGpu, 100, kAll);
    EXPECT_EQ(&settings.current(), some);
  }
  settings.Set({DeviceKind::kCuda, 1}, 10, kAll);
  settings.Set(kGpu, kAll, kAll);
  EXPECT_EQ(settings.current().limits().size(), 1u);
  EXPECT_EQ(settings.All().size(), 4u);
}

TEST(NumSms, MayBeSetWhileOthersPlan) {
  Engine engine(InMemory());
  std::vector<std::jthread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < 40; ++i) {
        engine.SetNumSms(kGpu, 1 + (t + i) % 5);
        const GemmProblem problem = Bf16(0, 8 * (1 + i % 7), 64);
        EXPECT_EQ(engine.Prepare(problem, kGpu).problem, Normalized(problem));
        EXPECT_LE(engine.GetNumSms(kGpu), 5);
      }
    });
}

TEST(NumSms, BeyondTheDeviceAreErrors) {
  Engine engine(InMemory());
  for (const int sms : {0, -1, kAll + 1})
    ExpectError(Code::kInvalidArgument, "is not from 1 to the 132", [&] { engine.SetNumSms(kGpu, sms); });
  ExpectError(Code::kUnsupported, "has no SMs", [&] { engine.SetNumSms({}, 1); });
  ExpectError(Code::kNotFound, "", [&] { engine.SetNumSms({DeviceKind::kEmulator, 200}, 1); });
  EXPECT_EQ(engine.GetNumSms(kGpu), kAll);
}

TEST(KernelConfigs, AreChosenAmongThoseThatWereAskedFor) {
  const struct {
    BaseConfig tile;
    bool multicast;
    std::vector<std::pair<const char*, int>> fields;
    const char* family;
  } cases[] = {
      {{64, 128}, true, {{"block_m", 64}, {"block_n", 128}}, "sm90"},
      {{0, 0, 64}, true, {}, "sm90"},  // of which all have 128 bytes
      {{0, 0, 32}, true, {{"block_k", 32}}, "sm80"},
      {{0, 0, 0, 2, 4}, true, {{"warps_m", 2}, {"warps_n", 4}}, "sm80"},
      {{128, 128, 0, 0, 0, 3}, true, {{"block_m", 128}, {"stages", 3}}, "sm80"},
      {{}, false, {{"cluster_m", 1}, {"cluster_n", 1}}, "sm90"},
  };
  for (const auto& c : cases) {
    EngineOptions options = InMemory();
    options.tile = c.tile;
    options.enable_tma_multicast = c.multicast;
    Engine engine(options);
    const GemmProblem problem = Bf16(4096, 4096, 4096);
    const TileConfig chosen = engine.PredictOptimalConfig(problem, kGpu);
    EXPECT_EQ(chosen.family, c.family) << ToString(chosen);
    const auto target = ParseTarget("sm_90a");
    const Explanation there = engine.Explain(problem, kGpu),
                      by_name = engine.Explain(problem, target, DefaultDeviceSpec(target));
    EXPECT_EQ(there.ranked.size(), by_name.ranked.size());
    ASSERT_FALSE(there.ranked.empty());
    for (const RankedConfig& ranked : there.ranked)
      for (const auto& [field, value] : c.fields)
        EXPECT_TRUE(ranked.config.family != c.family || ranked.config.Get(field) == value) << ToString(ranked.config);
  }
  Engine any(InMemory());
  const std::vector<RankedConfig> ranked = any.Explain(Bf16(4096, 4096, 4096), kGpu).ranked;
  EXPECT_TRUE(std::ranges::any_of(
      ranked, [](const RankedConfig& r) { return r.config.family == "sm90" && r.config.Get("cluster_m") > 1; }));
}

TEST(KernelConfigs, ThatNoKernelHasAreAnError) {
  EngineOptions options = InMemory();
  options.tile.block_m = 7;
  options.enable_tma_multicast = false;
  Engine engine(options);
  ExpectError(Code::kUnsupported, "none has what was asked for: block_m=7 no multicast",
              [&] { engine.Prepare(Bf16(64, 64, 64), kGpu); });
}

TEST(KernelConfigs, OfTheHierarchyBecomeOptions) {
  MoEConfig config;
  config.block_m = 128;
  config.stages = 4;
  config.enable_fast_math = true;
  config.enable_tma_multicast = false;
  EngineOptions options = WithConfig(InMemory(), config);
  EXPECT_EQ(options.tile, static_cast<const BaseConfig&>(config));
  EXPECT_TRUE(options.compile.fast_math);
  EXPECT_FALSE(options.enable_tma_multicast);
  EXPECT_FALSE(options.enable_disk);
  EXPECT_TRUE(WithConfig(InMemory(), static_cast<const FP8Config&>(config)).enable_tma_multicast);
  EXPECT_EQ(WithConfig(InMemory(), MoEConfig{}), InMemory());
  const Tensor scales(static_cast<float*>(nullptr), {9, 5});
  EXPECT_EQ(MnMajorTmaAligned(scales, config).tensor.dtype, DType::kF32);
  EXPECT_FALSE(CastOptionsOf(config).use_ue8m0);
  config.use_ue8m0_cast = true, config.scale_format = ScaleFormat::kPackedUe8m0;
  EXPECT_EQ(MnMajorTmaAligned(scales, config).tensor.dtype, DType::kS32);
  EXPECT_TRUE(CastOptionsOf(config).use_ue8m0);
  EXPECT_EQ(config.grouping(), Grouping::kContiguous);
  config.use_masked_computation = true;
  EXPECT_EQ(config.grouping(), Grouping::kMasked);
}

}  // namespace
}  // namespace gemmsmith
