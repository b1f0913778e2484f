// Plans of two launches that share a workspace. The driver is the fake one: kernels that only look at their arguments.
#include <dlfcn.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <functional>
#include <thread>

#include "../support/cache_testing.h"
#include "fake_driver.h"
#include "gemmsmith/engine.h"
#include "jit/cache/disk_tier.h"
#include "kernels/family.h"
#include "templates/params.h"

namespace gemmsmith {

const KernelFamily& Sm80Family();

namespace {

constexpr DeviceId kGpu{DeviceKind::kCuda, 0};

class CudaSplit : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    // Before anything reads the environment, or looks for a driver: the kernels in the cache are the only ones.
    for (const char* name : {"GEMMSMITH_NVRTC", "GEMMSMITH_NVCC"}) setenv(name, "/nonexistent", 1);
    ASSERT_NE(dlopen(FAKE_LIBCUDA, RTLD_NOW | RTLD_GLOBAL), nullptr) << dlerror();
    fake_driver::Reset();
  }
  static EngineOptions In(const testing::TempDir& dir) {
    EngineOptions options;
    options.cache_dir = dir.string();
    return options;
  }

  using Look = std::function<void(const Sm80Params&)>;

  /// Puts the kernels of a configuration that splits k into the cache, and returns it.
  TileConfig Keep(const GemmProblem& problem, const Look& first, const Look& second) {
    const CodeTarget target{Isa::kCuda, 90, 'a'};
    for (const TileConfig& config : Sm80Family().Candidates(problem, target, engine_.devices().Get(kGpu).spec())) {
      if (config.Get("splits") < 2) continue;
      Put(Sm80Family().Render(problem, config, target, {}), first);
      Put(Sm80Family().After(problem, config, target, {}).value().source, second);
      return config;
    }
    ADD_FAILURE() << "no configuration splits k";
    return {};
  }
  void Put(const KernelSource& source, const Look& look) {
    Artifact artifact;
    artifact.kernel_name = source.name;
    artifact.lowered_name = source.entry;
    artifact.target = source.target;
    artifact.compiler = "nvrtc 13.0.88";
    artifact.parts["cubin"] = fmt::format("cubin sm_90 cuda=13000 {}", source.entry);
    fake_driver::AddKernel(source.entry, {{sizeof(Sm80Params)}, [look](void** parameters) {
                                            look(*static_cast<const Sm80Params*>(parameters[0]));
                                          }});
    DiskTier(dir_.string(), {}).Put(MakeKey(source, artifact.compiler), std::make_shared<const Artifact>(artifact));
  }

  static GemmProblem Problem(std::int64_t m, DType dtype) { return MakeProblem(m, 64, 16384, dtype, "nt"); }
  /// All operands in one buffer, for nobody reads them.
  GemmArgs Args(const GemmProblem& p, const Buffer& buffer) {
    auto* bytes = static_cast<std::byte*>(buffer.data());
    GemmArgs args;
    args.a = Tensor(bytes, p.a_type, {p.m, p.k}, kGpu);
    args.b = Tensor(bytes + (8 << 20), p.b_type, {p.n, p.k}, kGpu).Transposed();
    args.d = Tensor(bytes + (16 << 20), p.d_type, {p.m, p.n}, kGpu);
    return args;
  }

  testing::TempDir dir_;
  Engine engine_{In(dir_)};
};

TEST_F(CudaSplit, TheSecondLaunchFindsWhatTheFirstLeftThoughManyThreadsShareAStream) {
  const GemmProblem problem = Problem(64, DType::kF16);
  std::atomic<int> wrong{0}, added{0};
  const auto self = [] { return static_cast<float>(std::hash<std::thread::id>()(std::this_thread::get_id()) % 65521); };
  const TileConfig config = Keep(
      problem,
      [&](const Sm80Params& p) {
        std::fill_n(static_cast<float*>(p.partial), p.partial_split_stride * p.splits, self());
        std::this_thread::yield();
      },
      [&](const Sm80Params& p) {
        const auto* sums = static_cast<const float*>(p.partial);
        const std::int64_t count = p.partial_split_stride * p.splits;
        wrong += static_cast<int>(count - std::count(sums, sums + count, self()));
        ++added;
      });
  const Buffer buffer = engine_.devices().Get(kGpu).Allocate(24 << 20);
  std::vector<std::jthread> threads;
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([&] {
      for (int call = 0; call < 20; ++call) engine_.Gemm(problem, Args(problem, buffer));
    });
  threads.clear();
  EXPECT_EQ(added, 80);
  EXPECT_EQ(wrong, 0);
  const std::vector<fake_driver::Launch> launches = fake_driver::Launches();
  ASSERT_GE(launches.size(), 160u);
  const fake_driver::Launch &first = launches[launches.size() - 2], &second = launches.back();
  EXPECT_EQ(first.grid.y, static_cast<unsigned>(config.Get("splits")));
  EXPECT_EQ(second.grid.y, 4u) << "16 rows each";
  EXPECT_EQ(engine_.Prepare(problem, kGpu).kernels.size(), 2u);
}

TEST_F(CudaSplit, TheWorkspaceGrowsAndIsKept) {
  std::vector<const void*> seen;
  const Look look = [&](const Sm80Params& p) { seen.push_back(p.partial); };
  const GemmProblem small = Problem(64, DType::kBf16), large = Problem(192, DType::kF16);
  Keep(small, look, look);
  Keep(large, look, look);
  const Buffer buffer = engine_.devices().Get(kGpu).Allocate(24 << 20);
  for (const GemmProblem& problem : {small, large, small}) engine_.Gemm(problem, Args(problem, buffer));
  ASSERT_EQ(seen.size(), 6u);
  EXPECT_EQ(seen[0], seen[1]);
  EXPECT_NE(seen[0], seen[2]) << "the larger problem needs more";
  EXPECT_EQ(seen[2], seen[3]);
  EXPECT_EQ(seen[2], seen[4]) << "which is enough for the smaller one";
  EXPECT_EQ(seen[4], seen[5]);
}

TEST_F(CudaSplit, WhatAGraphCapturesMustBePreparedForItsStream) {
  std::vector<const void*> seen;
  const Look look = [&](const Sm80Params& p) { seen.push_back(p.partial); };
  const GemmProblem problem = Problem(64, DType::kBf16), larger = Problem(192, DType::kF16);
  Keep(problem, look, look);
  Keep(larger, look, look);
  Device& gpu = engine_.devices().Get(kGpu);
  const Buffer buffer = gpu.Allocate(24 << 20);
  const Stream stream = gpu.CreateStream();
  const auto refusal = [&]() -> std::string {
    try {
      engine_.Gemm(problem, Args(problem, buffer), stream);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), Code::kInvalidArgument);
      return error.what();
    }
    return "";
  };
  fake_driver::SetCapturing(true);
  EXPECT_THAT(refusal(), ::testing::HasSubstr("is not prepared"));
  fake_driver::SetCapturing(false);
  engine_.Prepare(problem, kGpu);
  fake_driver::SetCapturing(true);
  EXPECT_THAT(refusal(), ::testing::HasSubstr("0 are reserved for its stream"));
  EXPECT_TRUE(seen.empty()) << "nothing may be launched";
  fake_driver::SetCapturing(false);
  PrepareOptions options;
  options.stream = stream;
  engine_.Prepare(problem, kGpu, options);
  fake_driver::SetCapturing(true);
  EXPECT_EQ(refusal(), "");
  fake_driver::SetCapturing(false);
  const int frees = fake_driver::Calls("cuMemFree_v2"), waits = fake_driver::Calls("cuStreamSynchronize");
  engine_.Gemm(larger, Args(larger, buffer), stream);
  ASSERT_EQ(seen.size(), 4u);
  EXPECT_NE(seen[0], seen[2]);
  EXPECT_EQ(fake_driver::Calls("cuMemFree_v2"), frees) << "the graph still uses the smaller one";
  EXPECT_EQ(fake_driver::Calls("cuStreamSynchronize"), waits);
  gpu.DestroyStream(stream);
}

}  // namespace
}  // namespace gemmsmith
