// The driver is the fake one, so that what a kernel finds in memory can be looked at.
#include <dlfcn.h>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "../support/cache_testing.h"
#include "fake_driver.h"
#include "gemmsmith/engine.h"
#include "jit/cache/disk_tier.h"
#include "kernels/family.h"
#include "templates/params.h"

namespace gemmsmith {
namespace {

constexpr DeviceId kGpu{DeviceKind::kCuda, 0};
constexpr std::int64_t kBatch = 2, kM = 40, kN = 56, kK = 24;

class CudaMaxima : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    // Before anything reads the environment, or looks for a driver: the kernel in the cache is the only one.
    for (const char* name : {"GEMMSMITH_NVRTC", "GEMMSMITH_NVCC"}) setenv(name, "/nonexistent", 1);
    ASSERT_NE(dlopen(FAKE_LIBCUDA, RTLD_NOW | RTLD_GLOBAL), nullptr) << dlerror();
    fake_driver::Reset();
  }

  /// Puts a kernel into the cache that only looks at its arguments.
  void Keep(const GemmProblem& problem, Engine& engine) {
    const KernelSource source = engine.Render(problem, {Isa::kCuda, 90, 'a'}, engine.devices().Get(kGpu).spec());
    Artifact artifact;
    artifact.kernel_name = source.name;
    artifact.lowered_name = source.entry;
    artifact.target = source.target;
    artifact.compiler = "nvrtc 13.0.88";
    artifact.parts["cubin"] = fmt::format("cubin sm_90 cuda=13000 {}", source.entry);
    fake_driver::AddKernel(source.entry, {{sizeof(SimtFusedParams)}, [this](void** parameters) {
                                            const auto& fused = *static_cast<const SimtFusedParams*>(parameters[0]);
                                            Look(fused.epilogue);
                                          }});
    DiskTier(dir_.string(), {}).Put(MakeKey(source, artifact.compiler), std::make_shared<const Artifact>(artifact));
  }
  void Look(const EpilogueParams& params) {
    ++launches_;
    for (const float* found : {params.amax_row, params.amax_column}) {
      const std::size_t count = found == params.amax_row ? kBatch * kM : kBatch * kN;
      for (std::size_t i = 0; i < count; ++i) EXPECT_EQ(found[i], 0.0f) << i;
    }
    EXPECT_EQ(params.amax_block, nullptr);
    std::fill_n(params.amax_row, kBatch * kM, 3.0f);
  }

  testing::TempDir dir_;
  int launches_ = 0;
};

TEST_F(CudaMaxima, AreZeroWheneverTheKernelStarts) {
  EngineOptions options;
  options.cache_dir = dir_.string();
  Engine engine(options);
  Device& device = engine.devices().Get(kGpu);
  const Buffer operands = device.Allocate(1 << 20), maxima = device.Allocate(4096);
  auto* floats = static_cast<float*>(operands.data());
  EpilogueArgs inputs;
  inputs.epilogue = Epilogue::Parse("gelu+amax_row+amax_column");
  inputs.amax_row = Tensor(static_cast<float*>(maxima.data()), {kBatch, kM}, kGpu);
  inputs.amax_column = Tensor(static_cast<float*>(maxima.data()) + kBatch * kM, {kBatch, kN}, kGpu);
  GemmArgs args;
  args.a = Tensor(floats, {kBatch, kM, kK}, kGpu);
  args.b = Tensor(floats + 10'000, {kBatch, kK, kN}, kGpu);
  args.d = Tensor(floats + 20'000, {kBatch, kM, kN}, kGpu);
  args.epilogue = &inputs;
  Keep(Describe(args, DType::kF32), engine);
  device.Fill(maxima.data(), 0xff, 4096);
  engine.Gemm(args);
  engine.Gemm(args);
  EXPECT_EQ(launches_, 2);
  const auto* found = static_cast<const float*>(maxima.data());
  EXPECT_EQ(found[0], 3.0f);
  EXPECT_TRUE(std::isnan(found[kBatch * (kM + kN)])) << "what lies behind is left alone";
}

}  // namespace
}  // namespace gemmsmith
