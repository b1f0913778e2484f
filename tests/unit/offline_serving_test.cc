// A GPU, kernels in a cache, and no compiler: the driver is the fake one, NVRTC and nvcc are nowhere.
#include <dlfcn.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "../support/cache_testing.h"
#include "fake_driver.h"
#include "gemmsmith/engine.h"
#include "gemmsmith/manager.h"
#include "jit/cache/disk_tier.h"
#include "kernels/family.h"

namespace gemmsmith {
namespace {

using ::testing::HasSubstr;

constexpr DeviceId kGpu{DeviceKind::kCuda, 0};

struct Fallbacks : Observer {
  void OnFallback(std::string_view what, std::string_view reason) override {
    texts.push_back(fmt::format("{}: {}", what, reason));
  }
  std::vector<std::string> texts;
};

class OfflineServing : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    // Before anything reads the environment, or looks for a driver.
    for (const char* name : {"GEMMSMITH_NVRTC", "GEMMSMITH_NVCC"}) setenv(name, "/nonexistent", 1);
    ASSERT_NE(dlopen(FAKE_LIBCUDA, RTLD_NOW | RTLD_GLOBAL), nullptr) << dlerror();
    fake_driver::Reset();
  }
  OfflineServing() { options_.cache_dir = dir_.string(); }

  std::vector<RankedConfig> Ranked() { return Engine(options_).Explain(problem_, kGpu).ranked; }
  /// The kernel of `config` as a toolkit of that version would have left it.
  void Keep(const TileConfig& config, const std::string& toolchain, int cuda) {
    const KernelSource source = FindFamily(config.family).Render(Canonical(problem_), config, target_, {});
    Artifact artifact;
    artifact.kernel_name = source.name;
    artifact.lowered_name = source.entry;
    artifact.target = target_;
    artifact.compiler = toolchain;
    artifact.parts["cubin"] = fmt::format("cubin sm_90 cuda={} {}", cuda, source.entry);
    fake_driver::AddKernel(source.entry, {});
    DiskTier(dir_.string(), {}).Put(MakeKey(source, toolchain), std::make_shared<const Artifact>(artifact));
  }

  testing::TempDir dir_;
  EngineOptions options_;
  const CodeTarget target_{Isa::kCuda, 90, 'a'};
  const GemmProblem problem_ = MakeProblem(512, 4096, 4096, DType::kF16, "nt");
};

TEST_F(OfflineServing, WithNoKernelItNamesTheOneThatItWanted) {
  Engine engine(options_);
  try {
    engine.Prepare(problem_, kGpu);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Code::kNotFound);
    EXPECT_THAT(error.what(), HasSubstr("NVRTC"));
  }
}

TEST_F(OfflineServing, TakesTheBestKernelThatThereIs) {
  const std::vector<RankedConfig> ranked = Ranked();
  ASSERT_GE(ranked.size(), 6u);
  for (const std::size_t present : {ranked.size() - 1, std::size_t{3}, std::size_t{0}}) {
    Keep(ranked[present].config, "nvrtc 13.0.88", 13000);
    Engine engine(options_);
    const auto fallbacks = std::make_shared<Fallbacks>();
    engine.AddObserver(fallbacks);
    EXPECT_EQ(ToString(engine.Prepare(problem_, kGpu).config), ToString(ranked[present].config));
    EXPECT_EQ(fallbacks->texts.size(), present);
  }
}

TEST_F(OfflineServing, AGenericKernelServesEveryAlignment) {
  const auto ranked = Ranked();
  TileConfig generic =
      std::find_if(ranked.begin(), ranked.end(), [](const auto& r) { return r.config.family == "sm80"; })->config;
  for (std::size_t i = 0; i < generic.fields.size(); ++i)
    if (generic.fields[i].name.starts_with("vector")) generic[i] = 1;
  Keep(generic, "nvrtc 13.0.88", 13000);
  Engine engine(options_);
  for (const std::int64_t n : {4096, 4098, 4100, 4101})
    EXPECT_EQ(engine.Prepare(MakeProblem(512, n, 4096, DType::kF16, "nt"), kGpu).config, generic) << n;
}

TEST_F(OfflineServing, OfSeveralToolchainsTakesTheNewestThatTheDriverLoads) {
  const TileConfig best = Ranked().front().config;
  Keep(best, "nvrtc 12.9.86", 12090);
  Keep(best, "nvrtc 13.0.88", 13000);
  Keep(best, "nvrtc 14.0.10", 14000);
  Engine engine(options_);
  const auto fallbacks = std::make_shared<Fallbacks>();
  engine.AddObserver(fallbacks);
  EXPECT_EQ(engine.Prepare(problem_, kGpu).kernels.at(0).compiler, "nvrtc 13.0.88");
  EXPECT_THAT(fallbacks->texts, ::testing::ElementsAre(HasSubstr("nvrtc 14.0.10")));
}

}  // namespace
}  // namespace gemmsmith
