#include "jit/jit_wrapper.hpp"  // the forwarding header, as sources of the spec's time include it

#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <thread>
#include <vector>

#include "gemmsmith/verify.h"
#include "jit/jit_persistent_cache.hpp"

namespace gemmsmith {
namespace {

namespace fs = std::filesystem;

template <class T>
VerifyReport Check(const Gemm<T>& gemm, const Tensor& input, const Tensor& output, const Tensor& before) {
  GemmArgs args;
  args.a = gemm.trans_a() ? input.Transposed() : input;
  args.b = gemm.trans_b() ? gemm.weight().Transposed() : gemm.weight();
  args.d = output;
  args.alpha = gemm.alpha();
  args.beta = gemm.beta();
  return Verify(Describe(args, Gemm<T>::kAccType), args, before);
}

template <class T>
class JITWrapperOf : public testing::Test {};
using Types = testing::Types<float, double>;
TYPED_TEST_SUITE(JITWrapperOf, Types);

TYPED_TEST(JITWrapperOf, ComputesEveryTranspositionAlphaAndBeta) {
  const std::int64_t m = 19, n = 35, k = 23;
  for (const bool trans_a : {false, true})
    for (const bool trans_b : {false, true})
      for (const auto& [alpha, beta] : {std::pair{1.0, 0.0}, {-2.0, 1.0}, {0.5, -0.25}, {0.0, 1.0}})
        for (const bool prepack : {false, true}) {
          HostTensor<TypeParam> input(trans_a ? k : m, trans_a ? m : k), weight(trans_b ? n : k, trans_b ? k : n),
              output(m, n);
          FillRandom(input, 1);
          FillRandom(weight, 2);
          if (beta == 0) Poison(output);
          if (beta != 0) FillRandom(output, 3);
          const HostTensor<TypeParam> before = output;
          Gemm<TypeParam> gemm(trans_a, trans_b, alpha, beta);
          gemm.SetWeight(weight);
          if (prepack) gemm.Prepack();
          JITWrapper<Gemm<TypeParam>> jit(gemm);
          jit.Forward(input, output);
          const VerifyReport report = Check(gemm, input, output, before);
          EXPECT_TRUE(report.ok) << trans_a << trans_b << " " << alpha << " " << beta << " " << prepack << ": "
                                 << report.max_error;
        }
}

template <class A, class B, class D>
void CheckNarrow() {
  for (const bool trans_b : {false, true})
    for (const bool prepack : {false, true}) {
      HostTensor<A> input(19, 23);
      HostTensor<B> weight(trans_b ? 35 : 23, trans_b ? 23 : 35);
      HostTensor<D> output(19, 35);
      FillRandom(input, 1);
      FillRandom(weight, 2);
      Poison(output);
      Gemm<A, B, D, D> gemm(false, trans_b);
      gemm.SetWeight(weight);
      if (prepack) gemm.Prepack();
      JITWrapper<Gemm<A, B, D, D>>(gemm).Forward(input, output);
      GemmArgs args;
      args.a = input;
      args.b = trans_b ? gemm.weight().Transposed() : gemm.weight();
      args.d = output;
      const GemmProblem problem = Describe(args, gemm.kAccType);
      EXPECT_TRUE(Verify(problem, args, {}).ok) << ToString(problem) << " " << prepack;
    }
}

TEST(JITWrapper, NarrowTypesAreSummedInWideOnesPrepackedOrNot) {
  CheckNarrow<Bfloat16, Bfloat16, float>();
  CheckNarrow<Half, Half, float>();
  CheckNarrow<std::int8_t, std::int8_t, std::int32_t>();
  CheckNarrow<std::uint8_t, std::int8_t, std::int32_t>();
  CheckNarrow<std::int8_t, std::uint8_t, std::int32_t>();
}

TEST(JITWrapper, APackedWeightIsReadAgainOnlyAfterWeightChanged) {
  HostTensor<float> input(1, 4), weight(4, 16), output(1, 16);
  std::fill(input.begin(), input.end(), 1.f);
  std::fill(weight.begin(), weight.end(), 1.f);
  Gemm<float> gemm;
  gemm.SetWeight(weight);
  gemm.Prepack();
  JITWrapper<Gemm<float>> jit(gemm);
  jit.Forward(input, output);
  EXPECT_EQ(output(0, 0), 4);
  std::fill(weight.begin(), weight.end(), 2.f);
  jit.Forward(input, output);
  EXPECT_EQ(output(0, 0), 4) << "the copy is what is read";
  gemm.WeightChanged();
  jit.Forward(input, output);
  EXPECT_EQ(output(0, 0), 8);
}

TEST(JITWrapper, AWeightThatIsNotPackedIsReadInPlace) {
  HostTensor<float> input(1, 4), weight(4, 8), output(1, 8);
  std::fill(input.begin(), input.end(), 1.f);
  Gemm<float> gemm;
  gemm.SetWeight(weight);
  JITWrapper<Gemm<float>> jit(gemm);
  jit.Forward(input, output);
  std::fill(weight.begin(), weight.end(), 2.f);
  jit.Forward(input, output);
  EXPECT_EQ(output(0, 7), 8);
}

TEST(JITWrapper, WrongTypesAndAMissingWeightAreRefusedWithTheOutputUntouched) {
  HostTensor<float> input(2, 4), weight(4, 8), output(2, 8);
  HostTensor<double> other(2, 4);
  std::fill(output.begin(), output.end(), 7.f);
  Gemm<float> gemm;
  JITWrapper<Gemm<float>> jit(gemm);
  EXPECT_THROW(jit.Forward(input, output), Error);
  gemm.SetWeight(weight);
  EXPECT_THROW(jit.Forward(other, output), Error);
  EXPECT_THROW(jit.Forward(weight, output), Error);
  EXPECT_THROW(jit.Forward(input, Tensor(std::as_const(output))), Error);
  for (const float value : output) EXPECT_EQ(value, 7.f);
}

/// Every call after the first may be taken for the one before it.
TEST(JITWrapper, CallsThatDifferInOneThingAreNotTakenForEachOther) {
  HostTensor<float> input(24, 24), weight(24, 24), other_weight(24, 24), output(24, 24);
  FillRandom(input, 1), FillRandom(weight, 2), FillRandom(other_weight, 3);
  const auto part = [](HostTensor<float>& whole, std::int64_t first, std::int64_t rows, std::int64_t columns,
                       std::int64_t row = 24, std::int64_t column = 1) {
    Tensor view(whole.data() + first, {rows, columns});
    view.strides = {row, column};
    return view;
  };
  struct Row {
    Tensor input, weight, output;
    double alpha = 1, beta = 0;
    bool trans_a = false, trans_b = false;
  };
  const Tensor a = part(input, 0, 8, 8), b = part(weight, 0, 8, 8), d = part(output, 0, 8, 8);
  const std::vector<Row> rows = {{a, b, d},
                                 {part(input, 0, 7, 8), b, part(output, 0, 7, 8)},
                                 {part(input, 0, 8, 7), part(weight, 0, 7, 8), d},
                                 {a, part(weight, 0, 8, 7), part(output, 0, 8, 7)},
                                 {part(input, 0, 8, 8, 12), b, d},
                                 {a, part(weight, 0, 8, 8, 1, 24), d},
                                 {a, b, part(output, 0, 8, 8, 1, 24)},
                                 {part(input, 1, 8, 8), b, d},   // less aligned
                                 {part(input, 16, 8, 8), b, d},  // elsewhere
                                 {a, part(other_weight, 16, 8, 8), part(output, 48, 8, 8)},
                                 {a, b, d, -2},
                                 {a, b, d, 1, 1},
                                 {a, b, d, 0, 0.5},
                                 {a, b, d, 1, 0, true},
                                 {a, b, d, 1, 0, false, true}};
  for (const bool prepack : {false, true}) {
    Gemm<float> gemm;
    JITWrapper<Gemm<float>> jit(gemm);
    for (const Row& before : rows)
      for (const Row& row : rows)
        for (const Row& r : {before, row}) {
          Gemm<float> now(r.trans_a, r.trans_b, static_cast<float>(r.alpha), static_cast<float>(r.beta));
          now.SetWeight(r.weight);
          for (int i = 0; i < 100; ++i) now.WeightChanged();
          if (prepack) now.Prepack();
          jit.op() = now;
          FillRandom(output, 9);
          const HostTensor<float> old = output;
          jit.Forward(r.input, r.output);
          Tensor old_view = r.output;
          old_view.data = const_cast<float*>(old.data()) + (static_cast<float*>(r.output.data) - output.data());
          EXPECT_TRUE(Check(now, r.input, r.output, old_view).ok) << &before - rows.data() << " " << &row - rows.data();
        }
  }
}

TEST(JITWrapper, WhatIsWrongAfterACallThatWasRightIsRefusedToo) {
  HostTensor<float> input(8, 8), weight(8, 8), output(8, 8);
  FillRandom(input, 1), FillRandom(weight, 2);
  Gemm<float> gemm;
  gemm.SetWeight(weight);
  JITWrapper<Gemm<float>> jit(gemm);
  jit.Forward(Tensor(input.data(), {7, 8}), Tensor(output.data(), {7, 8}));
  const auto refused = [&](const Tensor& a, const Tensor& d) {
    jit.Forward(input, output);
    HostTensor<float> before = output;
    EXPECT_THROW(jit.Forward(a, d), Error);
    EXPECT_TRUE(std::equal(before.begin(), before.end(), output.begin()));
  };
  Tensor nowhere = output, on_another = output;
  nowhere.data = nullptr;
  on_another.device.kind = DeviceKind::kCuda;
  refused(nowhere, output);
  refused(input, nowhere);
  refused(input, on_another);
  refused(input, input);
  refused(input, weight);
  refused(input, Tensor(std::as_const(output)));
  refused(Tensor(output.data() + 4, {7, 8}), Tensor(output.data(), {7, 8}));
  gemm.SetWeight(output);  // Copies of a Gemm share their weight.
  EXPECT_THROW(jit.Forward(input, output), Error);
}

TEST(JITWrapper, OneWrapperServesShapesOfManyThreadsAtOnce) {
  HostTensor<float> weight(64, 48);
  FillRandom(weight, 2);
  Gemm<float> gemm;
  gemm.SetWeight(weight);
  JITWrapper<Gemm<float>> jit(gemm);
  std::atomic<int> failures{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < 300; ++i) {
        const std::int64_t m = 1 + (t + i / (t + 1)) % 3;  // Now as others, now not.
        HostTensor<float> input(m, 64), output(m, 48);
        FillRandom(input, t * 1000 + i);
        Poison(output);
        jit.Forward(input, output);
        if (!Check(gemm, input, output, {}).ok) ++failures;
      }
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(failures, 0);
}

TEST(JITWrapper, TheCacheSettersSayWhatTheyWereTold) {
  Gemm<float> gemm;
  JITWrapper<Gemm<float>> jit(gemm);
  jit.EnablePersistentCache(true);
  jit.SetPersistentCacheDirectory("./jit_cache");
  EXPECT_TRUE(jit.IsPersistentCacheEnabled());
  EXPECT_EQ(jit.GetPersistentCacheDirectory(), "./jit_cache");
  jit.EnablePersistentCache(false);
  EXPECT_FALSE(jit.IsPersistentCacheEnabled());
  EXPECT_TRUE(jit.engine().Cache().directory.empty());
  EXPECT_TRUE(jit.IsJITEnabled());
  jit.EnableJIT(false);
  EXPECT_FALSE(jit.IsJITEnabled());
  EXPECT_FALSE(jit.engine().options().enable_jit);
  jit.EnableAutoTuning(true);
  EXPECT_TRUE(jit.IsAutoTuningEnabled());
}

TEST(JITWrapper, WithoutTheJitAndWithAutoTuningItStillComputes) {
  HostTensor<float> input(12, 40), weight(40, 24), output(12, 24);
  FillRandom(input, 1);
  FillRandom(weight, 2);
  for (const bool jit_on : {false, true}) {
    Gemm<float> gemm;
    gemm.SetWeight(weight);
    JITWrapper<Gemm<float>> jit(gemm);
    jit.EnableJIT(jit_on);
    jit.EnableAutoTuning(jit_on);
    Poison(output);
    jit.Forward(input, output);
    EXPECT_TRUE(Check(gemm, input, output, {}).ok);
    bool portable = false;
    for (const KernelReport& kernel : jit.engine().Kernels()) portable |= kernel.target == "portable";
    EXPECT_TRUE(portable || jit_on);
  }
}

TEST(JITWrapper, ManyWrappersInManyThreadsShareOneDirectory) {
  const fs::path dir = fs::temp_directory_path() / ("gemmsmith-wrappers-" + std::to_string(::getpid()));
  HostTensor<float> weight(64, 48);
  FillRandom(weight, 2);
  std::atomic<int> failures{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 6; ++t)
    threads.emplace_back([&, t] {
      Gemm<float> gemm;
      gemm.SetWeight(weight);
      if (t % 2 == 0) gemm.Prepack();
      std::vector<JITWrapper<Gemm<float>>> wrappers;
      for (int i = 0; i < 3; ++i) {
        wrappers.emplace_back(gemm);
        wrappers.back().SetPersistentCacheDirectory(dir);
      }
      for (auto& wrapper : wrappers) {
        HostTensor<float> input(5 + t % 3, 64), output(5 + t % 3, 48);
        FillRandom(input, t);
        Poison(output);
        wrapper.Forward(input, output);
        if (!Check(gemm, input, output, {}).ok) ++failures;
      }
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(failures, 0);
  fs::remove_all(dir);
}

TEST(Manager, FalseMeansWhatItSays) {
  auto& manager = GlobalJITManager::Instance();
  const GlobalJITConfig before = manager.GetGlobalConfig();
  manager.Initialize();
  GlobalJITConfig config;
  config.enable_jit = false;
  config.enable_caching = false;
  config.cache_dir = "./jit_cache";
  manager.SetGlobalConfig(config);
  const auto engine = manager.DefaultEngine();
  EXPECT_FALSE(engine->options().enable_jit);
  EXPECT_EQ(engine->options().mode, CompileMode::kOffline);
  EXPECT_TRUE(engine->Cache().directory.empty());
  HostTensor<float> input(3, 4), weight(4, 5), output(3, 5);
  FillRandom(input, 1);
  FillRandom(weight, 2);
  Gemm<float> gemm;
  gemm.SetWeight(weight);
  JITWrapper<Gemm<float>> jit(gemm);  // takes the global settings
  EXPECT_FALSE(jit.IsJITEnabled());
  EXPECT_FALSE(jit.IsPersistentCacheEnabled());
  jit.Forward(input, output);
  EXPECT_EQ(jit.engine().Cache().memory_kernels, 0u);
  EXPECT_FALSE(fs::exists("./jit_cache"));
  manager.SetGlobalConfig(before);
  EXPECT_TRUE(manager.DefaultEngine()->options().enable_jit);
}

TEST(Manager, EqualSettingsShareAnEngineAndOthersDoNot) {
  auto& manager = GlobalJITManager::Instance();
  EngineOptions options;
  options.enable_disk = false;
  const auto first = manager.EngineFor(options), second = manager.EngineFor(options);
  EXPECT_EQ(first, second);
  options.compile.opt_level = 2;
  EXPECT_NE(manager.EngineFor(options), first);
}

}  // namespace
}  // namespace gemmsmith
