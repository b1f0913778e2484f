#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <thread>

#include "../support/cache_testing.h"
#include "core/installed.h"
#include "engine/m_ranges.h"
#include "gemmsmith/engine.h"
#include "gemmsmith/results.h"
#include "gemmsmith/verify.h"
#include "jit/cache/policy.h"
#include "jit/compiler.h"
#include "jit/key.h"
#include "kernels/family.h"

namespace gemmsmith {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::TempDir;

constexpr DeviceId kCpu{};

/// The code with its products subtracted: every VFMADD231 is a VFNMADD231. 0 where there is none.
int Spoil(std::string& code) {
  int changed = 0;
  for (std::size_t i = 0; i + 4 < code.size(); ++i) {
    // The opcode follows the two bytes of a VEX prefix, or the three of an EVEX one.
    const std::size_t opcode = code[i] == '\xc4' ? i + 3 : code[i] == '\x62' ? i + 4 : 0;
    if (opcode == 0 || (code[i + 1] & 3) != 2 || code[opcode] != '\xb8') continue;
    code[opcode] = '\xbc';
    ++changed;
  }
  return changed;
}

/// An engine's cache has wrong code for the model's first choice.
class FirstUse : public ::testing::Test {
 protected:
  void SetUp() override {
    options_.cache_dir = dir_.string();
    options_.verify = VerifyMode::kFirstUse;
  }

  /// Plants wrong code for `problem`, which engines with options_ find from then on.
  void Plant(const GemmProblem& problem) {
    Engine engine(options_);
    const Explanation why = engine.Explain(problem, kCpu);
    const CodeTarget target = ParseTarget(why.target);
    if (target.isa != Isa::kX86) GTEST_SKIP() << "no x86 code here";
    spoilt_ = why.ranked.front().config;
    const KernelSource source =
        FindFamily(spoilt_.family).Render(Canonical(problem), spoilt_, target, options_.compile);
    const auto compiler = FindCompiler(target, "");
    ArtifactStore::Options store;
    store.directory = options_.cache_dir;
    store.policy = WithEnvironment(options_.cache_policy);
    store.bundles = Environment::Get().bundles;
    if (const std::string installed = InstalledBundle(); !installed.empty()) store.bundles.push_back(installed);
    store_ = ArtifactStore::Open(store);
    store_->GetOrCompile(MakeKey(source, compiler->version()), /*memory_only=*/true, [&] {
      Artifact artifact = compiler->Compile(source, {});
      EXPECT_GT(Spoil(artifact.parts.at("x86")), 0);
      return artifact;
    });
  }

  struct Call {
    HostTensor<float> a, b, d, before;
    GemmArgs args;
    Call(std::int64_t m, std::int64_t n, std::int64_t k, double beta = 0) : a(m, k), b(k, n), d(m, n), before(m, n) {
      FillRandom(a, 1);
      FillRandom(b, 2);
      FillRandom(d, 3);
      before = d;
      args.a = a, args.b = b, args.d = d;
      args.beta = beta;
    }
    GemmProblem problem() const { return Describe(args, DType::kF32); }
    bool right() { return Verify(problem(), args, before).ok; }
  };

  TempDir dir_;
  EngineOptions options_;
  std::shared_ptr<ArtifactStore> store_;
  TileConfig spoilt_;
};

TEST_F(FirstUse, AWrongKernelIsFoundRecordedAndNotUsed) {
  for (const double beta : {0.0, 0.5}) {
    Call call(60, 64, 72, beta);
    Plant(call.problem());
    if (IsSkipped()) return;
    testing::Warnings warnings;
    {
      Engine engine(options_);
      EXPECT_EQ(engine.Prepare(call.problem(), kCpu).config, spoilt_);
      engine.Gemm(call.args);
      EXPECT_TRUE(call.right()) << beta;
      EXPECT_THAT(warnings.messages(),
                  Contains(HasSubstr(ToString(spoilt_) + " of " + ToString(call.problem()) + " on cpu is wrong")));
      const std::size_t said = warnings.messages().size();
      call.d = call.before;
      call.args.d = call.d;
      engine.Gemm(call.args);
      EXPECT_TRUE(call.right());
      EXPECT_EQ(warnings.messages().size(), said) << "the second call uses what is right";
    }
    // Other engines know it too, whether they verify or not.
    EngineOptions trusting = options_;
    trusting.verify = VerifyMode::kOff;
    Engine later(trusting);
    EXPECT_FALSE(later.Prepare(call.problem(), kCpu).config == spoilt_);
    EXPECT_THAT(later.Explain(call.problem(), kCpu).wrong.at(0), HasSubstr("error"));
    call.d = call.before;
    call.args.d = call.d;
    later.Gemm(call.args);
    EXPECT_TRUE(call.right());
  }
}

TEST_F(FirstUse, WithoutItWrongResultsPass) {
  Call call(60, 64, 72);
  Plant(call.problem());
  if (IsSkipped()) return;
  options_.verify = VerifyMode::kOff;
  Engine(options_).Gemm(call.args);
  EXPECT_FALSE(call.right());
}

TEST_F(FirstUse, APreparedCallIsVerifiedToo) {
  Call call(60, 64, 72, 0.5);
  Plant(call.problem());
  if (IsSkipped()) return;
  testing::Warnings warnings;
  Engine engine(options_);
  const PreparedGemm prepared = engine.Prepare(call.args);
  prepared.Run();
  EXPECT_TRUE(call.right());
  EXPECT_FALSE(warnings.messages().empty());
}

TEST_F(FirstUse, APackedWeightIsVerifiedWithOtherOperands) {
  Call call(60, 64, 72);
  {
    Engine engine(options_);
    const Engine::PackedWeight packed = engine.Pack(call.args.b, kCpu).value();
    GemmArgs args = call.args;
    args.b = packed.packed;
    Plant(Describe(args, DType::kF32));
  }
  if (IsSkipped()) return;
  testing::Warnings warnings;
  Engine engine(options_);
  const Engine::PackedWeight packed = engine.Pack(call.args.b, kCpu).value();
  GemmArgs args = call.args;
  args.b = packed.packed;
  engine.Gemm(args);
  EXPECT_TRUE(call.right());
  EXPECT_FALSE(warnings.messages().empty());
}

TEST_F(FirstUse, ThreadsThatUseItAtOnceAllGetRightResults) {
  Call call(60, 64, 72);
  Plant(call.problem());
  if (IsSkipped()) return;
  testing::Warnings warnings;
  Engine engine(options_);
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&] {
      Call mine(60, 64, 72);
      for (int i = 0; i < 5; ++i) {
        engine.Gemm(mine.args);
        wrong += !mine.right();
      }
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

TEST_F(FirstUse, WhatIsRightPassesWithoutAWord) {
  testing::Warnings warnings;
  Engine engine(options_);
  for (const auto& [m, n, k] : {std::tuple{1, 1, 1}, {3, 5, 7}, {65, 129, 33}, {5, 9, 0}, {0, 4, 4}}) {
    Call call(m, n, k, 0.5);
    engine.Gemm(call.args);
    EXPECT_TRUE(call.right()) << m;
  }
  // C in D's place, and a column-major D between rows of a wider matrix.
  HostTensor<float> a(20, 30), b(30, 10), wide(10, 50);
  FillRandom(a, 1);
  FillRandom(b, 2);
  FillRandom(wide, 3);
  const HostTensor<float> before = wide;
  GemmArgs args;
  args.a = a, args.b = b;
  args.d = Tensor(wide.data() + 7, {10, 20}).Transposed();
  args.d.strides[1] = 50;
  args.beta = 1;
  engine.Gemm(args);
  Tensor c = args.d;
  c.data = const_cast<float*>(before.data()) + 7;
  EXPECT_TRUE(Verify(Describe(args, DType::kF32), args, c).ok);
  for (int i = 0; i < 10; ++i) EXPECT_EQ(wide(i, 40), before(i, 40));
  EXPECT_THAT(warnings.messages(), IsEmpty());
}

TEST_F(FirstUse, ATuningDropsAWrongCandidate) {
  Call call(60, 64, 72);
  Plant(call.problem());
  if (IsSkipped()) return;
  testing::Warnings warnings;
  options_.verify = VerifyMode::kOff;
  Engine engine(options_);
  TuneOptions tuning;
  tuning.budget = std::chrono::duration<double>(3);
  const TuneResult result = engine.Tune(call.problem(), kCpu, tuning).front();
  EXPECT_FALSE(result.chosen == spoilt_);
  const auto dropped = std::ranges::find(result.candidates, spoilt_, &TunedCandidate::config);
  ASSERT_NE(dropped, result.candidates.end());
  EXPECT_THAT(dropped->failed, HasSubstr("error"));
  EXPECT_FALSE(engine.Prepare(call.problem(), kCpu).config == spoilt_);
  EXPECT_FALSE(warnings.messages().empty());
}

TEST_F(FirstUse, EmulatedDevicesAreVerified) {
  testing::Warnings warnings;
  options_.enable_disk = false;
  Engine engine(options_);
  Device* device = nullptr;
  try {
    device = &engine.devices().Get(ParseDeviceId("emulator:sm_80"));
    OpenNvrtc();
  } catch (const Error& error) {
    GTEST_SKIP() << error.what();
  }
  HostTensor<float> a(20, 12), b(12, 24), d(20, 24);
  FillRandom(a, 1);
  FillRandom(b, 2);
  Buffer on_device = device->Allocate(4096 * 3);
  auto* const place = static_cast<char*>(on_device.data());
  GemmArgs args;
  args.a = Tensor(place, DType::kF32, {20, 12}, device->id());
  args.b = Tensor(place + 4096, DType::kF32, {12, 24}, device->id());
  args.d = Tensor(place + 8192, DType::kF32, {20, 24}, device->id());
  device->Copy(args.a.data, a.data(), 20 * 12 * 4);
  device->Copy(args.b.data, b.data(), 12 * 24 * 4);
  engine.Gemm(args);
  device->Copy(d.data(), args.d.data, 20 * 24 * 4);
  device->Synchronize();
  GemmArgs host = args;
  host.a = a, host.b = b, host.d = d;
  EXPECT_TRUE(Verify(Describe(args, DType::kF32), host, {}).ok);
  EXPECT_THAT(warnings.messages(), IsEmpty());
}

}  // namespace
}  // namespace gemmsmith
