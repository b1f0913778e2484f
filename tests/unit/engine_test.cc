#include "gemmsmith/engine.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cmath>
#include <filesystem>
#include <thread>
#include <vector>

#include "gemmsmith/error.h"
#include "gemmsmith/first_call.h"
#include "gemmsmith/verify.h"

namespace gemmsmith {
namespace {

namespace fs = std::filesystem;

/// A folder of its own for each test.
struct TempDir {
  fs::path path = fs::temp_directory_path() / ("gemmsmith-engine-" + std::to_string(::getpid()));
  TempDir() { fs::remove_all(path); }
  ~TempDir() { fs::remove_all(path); }
};

struct Operands {
  HostTensor<float> a, b, d;
  GemmArgs args;
  Operands(std::int64_t m, std::int64_t n, std::int64_t k) : a(m, k), b(k, n), d(m, n) {
    FillRandom(a, 1);
    FillRandom(b, 2);
    Poison(d);
    args.a = a;
    args.b = b;
    args.d = d;
  }
  GemmProblem problem() const { return Describe(args, DType::kF32); }
};

struct Counter : Observer {
  std::atomic<int> begins{0}, ends{0}, hits{0}, misses{0}, fallbacks{0}, errors{0};
  void OnCompileBegin(const KernelSource&, std::string_view) override { ++begins; }
  void OnCompileEnd(const KernelSource&, std::string_view, double, std::string_view error) override {
    ++ends;
    if (!error.empty()) ++errors;
  }
  void OnHit(std::string_view, Origin) override { ++hits; }
  void OnMiss(std::string_view) override { ++misses; }
  void OnFallback(std::string_view, std::string_view) override { ++fallbacks; }
};

Code CodeOf(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.code();
  }
  ADD_FAILURE() << "nothing was thrown";
  return Code::kInternal;
}

EngineOptions NoDisk() {
  EngineOptions options;
  options.enable_disk = false;
  return options;
}

bool HaveCudaCompiler(Engine& engine) {
  KernelSource source;
  source.target = ParseTarget("sm_80");
  source.text = "extern \"C\" __global__ void Empty() {}";
  source.entry = "Empty";
  try {
    engine.Emit(source, "cubin");
    return true;
  } catch (const Error& error) {
    if (error.code() != Code::kNotFound) throw;
    return false;
  }
}

TEST(FirstCalls, PassThroughTheHandlerWhichMayEndThem) {
  EngineOptions options;
  options.enable_disk = false;
  Engine engine(options);
  Operands first(5, 6, 7), second(5, 6, 8);
  std::vector<DeviceId> devices;
  SetFirstCallHandler([&](DeviceId device, const auto& make_plan) {
    devices.push_back(device);
    std::thread([&] { make_plan({}); }).join();
  });
  engine.Gemm(first.args);
  engine.Gemm(first.args);
  EXPECT_EQ(devices, std::vector<DeviceId>{DeviceId{}}) << "the second has a plan";
  EXPECT_TRUE(Verify(first.problem(), first.args, {}).ok);
  SetFirstCallHandler([](DeviceId, const auto&) { throw Error(Code::kCancelled, "no more"); });
  EXPECT_EQ(CodeOf([&] { engine.Gemm(second.args); }), Code::kCancelled);
  EXPECT_TRUE(std::isnan(second.d(0, 0)));
  SetFirstCallHandler({});
  engine.Gemm(second.args);
  EXPECT_TRUE(Verify(second.problem(), second.args, {}).ok);
}

TEST(Engine, ComputesWhatAFloat64ReferenceDoes) {
  Engine engine(NoDisk());
  for (const auto& [m, n, k] :
       {std::tuple{1, 1, 1}, {3, 5, 7}, {16, 16, 16}, {65, 129, 33}, {128, 256, 300}, {1, 400, 70}, {5, 9, 0}}) {
    Operands o(m, n, k);
    engine.Gemm(o.args);
    const VerifyReport report = Verify(o.problem(), o.args, {});
    EXPECT_TRUE(report.ok) << m << " " << n << " " << k << ": " << report.max_error;
    EXPECT_EQ(report.checked, m * n);
  }
}

TEST(Engine, AColumnMajorOutputIsTheSameProduct) {
  Engine engine(NoDisk());
  Operands o(37, 21, 19);
  HostTensor<float> transposed(21, 37);
  Poison(transposed);
  engine.Gemm(o.args);
  o.args.d = Tensor(transposed).Transposed();
  engine.Gemm(o.args);
  for (int i = 0; i < 37; ++i)
    for (int j = 0; j < 21; ++j) ASSERT_NEAR(transposed(j, i), o.d(i, j), 1e-5);
}

TEST(Engine, BetaReadsCAndZeroBetaDoesNot) {
  Engine engine(NoDisk());
  Operands o(8, 8, 8);
  HostTensor<float> c(8, 8);
  FillRandom(c, 3);
  o.args.c = c;
  o.args.alpha = -0.5;
  o.args.beta = 2.0;
  engine.Gemm(o.args);
  EXPECT_TRUE(Verify(o.problem(), o.args, c).ok);
  Poison(o.d);  // NaN in D must not reach the result
  o.args.c = {};
  o.args.beta = 0.0;
  engine.Gemm(o.args);
  EXPECT_TRUE(Verify(o.problem(), o.args, {}).ok);
}

TEST(Engine, ScalarsMayLieInMemory) {
  Engine engine(NoDisk());
  Operands o(8, 8, 8);
  const float alpha = 3, beta = 0.25f;
  FillRandom(o.d, 4);
  HostTensor<float> before = o.d;
  o.args.alpha = Scalar::OnDevice(&alpha);
  o.args.beta = Scalar::OnDevice(&beta);
  engine.Gemm(o.args);
  o.args.alpha = 3.0;
  o.args.beta = 0.25;
  EXPECT_TRUE(Verify(o.problem(), o.args, before).ok);
}

TEST(Engine, TheFirstCallCompilesAndLaterOnesOnlyLaunch) {
  Engine engine(NoDisk());
  auto counter = std::make_shared<Counter>();
  engine.AddObserver(counter);
  Operands o(40, 50, 60);
  engine.Gemm(o.args);
  EXPECT_EQ(counter->begins, counter->ends);
  const int begins = counter->begins, hits = counter->hits;
  EXPECT_EQ(begins + hits, 1);
  for (int i = 0; i < 10; ++i) engine.Gemm(o.args);
  EXPECT_EQ(counter->begins, begins);
  EXPECT_EQ(counter->hits, hits);
}

TEST(Engine, AThrowingObserverDoesNotStopTheCall) {
  struct Thrower : Observer {
    void OnMiss(std::string_view) override { throw std::runtime_error("no"); }
  };
  Engine engine(NoDisk());
  engine.AddObserver(std::make_shared<Thrower>());
  Operands o(41, 51, 61);
  EXPECT_NO_THROW(engine.Gemm(o.args));
}

TEST(Engine, PrepareLaunchesNothingAndServesTheCall) {
  Engine engine(NoDisk());
  Operands o(24, 40, 56);
  const PlanInfo info = engine.Prepare(o.problem(), DeviceId{});
  EXPECT_TRUE(std::isnan(o.d(0, 0)));
  ASSERT_EQ(info.kernels.size(), 1u);
  EXPECT_EQ(info.kernels[0].key.size(), 32u);
  auto counter = std::make_shared<Counter>();
  engine.AddObserver(counter);
  engine.Gemm(o.args);
  EXPECT_EQ(counter->begins + counter->hits, 0);
}

TEST(Engine, BadArgumentsLeaveTheOutputUntouched) {
  Engine engine(NoDisk());
  Operands o(8, 8, 8);
  std::fill(o.d.begin(), o.d.end(), 42.f);
  GemmArgs args = o.args;
  args.b.shape[0] = 9;
  EXPECT_EQ(CodeOf([&] { engine.Gemm(args); }), Code::kInvalidArgument);
  args = o.args;
  args.a.dtype = DType::kS8;
  EXPECT_EQ(CodeOf([&] { engine.Gemm(args); }), Code::kUnsupported);
  GemmProblem other = o.problem();
  other.m = 7;
  EXPECT_EQ(CodeOf([&] { engine.Gemm(other, o.args); }), Code::kInvalidArgument);
  other = o.problem();
  other.scaling = Scaling::kBlock1x128;
  EXPECT_EQ(CodeOf([&] { engine.Gemm(other, o.args); }), Code::kInvalidArgument);
  EXPECT_EQ(CodeOf([&] { engine.Prepare(other, {}); }), Code::kUnsupported);
  other = o.problem();
  other.epilogue_id = 17;
  EXPECT_EQ(CodeOf([&] { engine.Gemm(other, o.args); }), Code::kInvalidArgument);
  EXPECT_EQ(CodeOf([&] { engine.Prepare(other, {}); }), Code::kUnsupported);
  args = o.args;
  args.a.device = args.b.device = args.d.device = {DeviceKind::kCuda, 200};
  EXPECT_EQ(CodeOf([&] { engine.Gemm(args); }), Code::kNotFound);
  for (const float value : o.d) EXPECT_EQ(value, 42.f);
}

TEST(Engine, AProblemMayPromiseNoMoreThanTheTensorsKeep) {
  Engine engine(NoDisk());
  std::vector<float> memory(3 * 64 + 1);
  GemmArgs args;
  args.a = Tensor(memory.data() + 1, {8, 8});
  args.b = Tensor(memory.data() + 65, {8, 8});
  args.d = Tensor(memory.data() + 129, {8, 8});
  const GemmProblem tight = MakeProblem(8, 8, 8);
  EXPECT_EQ(CodeOf([&] { engine.Gemm(tight, args); }), Code::kInvalidArgument);
  GemmProblem loose = tight;
  loose.alignment = 2;
  EXPECT_NO_THROW(engine.Gemm(loose, args));
}

TEST(Engine, ExplainRanksAndNamesWhatIsRefused) {
  Engine engine(NoDisk());
  const Explanation cpu = engine.Explain(MakeProblem(512, 512, 512), DeviceId{});
  ASSERT_FALSE(cpu.ranked.empty());
  for (std::size_t i = 1; i < cpu.ranked.size(); ++i)
    EXPECT_LE(cpu.ranked[i - 1].microseconds, cpu.ranked[i].microseconds);
  EXPECT_FALSE(cpu.ranked[0].limiting.empty());

  const CodeTarget target = ParseTarget("sm_90a");
  const Explanation gpu =
      engine.Explain(MakeProblem(512, 512, 512, DType::kBf16, "nt"), target, FindDeviceSpec("h200"));
  EXPECT_FALSE(gpu.ranked.empty());
  GemmProblem packed = MakeProblem(512, 512, 512, DType::kBf16);
  packed.b_layout = Layout::kPacked;
  const Explanation none = engine.Explain(packed, target, FindDeviceSpec("h200"));
  EXPECT_TRUE(none.ranked.empty());
  EXPECT_FALSE(none.refused.empty());
}

TEST(Engine, ManyThreadsOnOneProblemAndOnManyAgree) {
  Engine engine(NoDisk());
  std::vector<std::thread> threads;
  std::atomic<int> failures{0};
  for (int t = 0; t < 8; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < 20; ++i) {
        Operands o(16 + i % 5, 24, 32 + t % 3);
        engine.Gemm(o.args);
        if (!Verify(o.problem(), o.args, {}).ok) ++failures;
      }
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(failures, 0);
}

TEST(Engine, AutoTuningKeepsAConfigOfTheRankedOnes) {
  Engine engine(NoDisk());
  const GemmProblem problem = MakeProblem(64, 64, 64);
  const PlanInfo info = engine.Prepare(problem, DeviceId{}, {.auto_tune = true, .cancel = {}});
  bool known = false;
  for (const RankedConfig& ranked : engine.Explain(problem, DeviceId{}).ranked) known |= ranked.config == info.config;
  EXPECT_TRUE(known);
}

TEST(Engine, WithoutTheJitThePortableKernelComputes) {
  EngineOptions options = NoDisk();
  options.enable_jit = false;
  Engine engine(options);
  auto counter = std::make_shared<Counter>();
  engine.AddObserver(counter);
  Operands o(33, 34, 35);
  EXPECT_EQ(engine.Prepare(o.problem(), DeviceId{}).kernels.at(0).target, "portable");
  engine.Gemm(o.args);
  EXPECT_TRUE(Verify(o.problem(), o.args, {}).ok);
}

TEST(Engine, APackedWeightGivesTheSameProduct) {
  Engine engine(NoDisk());
  using enum DType;
  for (const auto& [a_type, b_type, d_type] : {std::tuple{kF32, kF32, kF32},
                                               {kF64, kF64, kF64},
                                               {kBf16, kBf16, kF32},
                                               {kF16, kF16, kF32},
                                               {kF32, kF16, kF32},
                                               {kS8, kS8, kS32},
                                               {kU8, kS8, kS32},
                                               {kS8, kU8, kS32},
                                               {kU8, kU8, kS32}}) {
    std::vector<double> a(70 * 33), b(33 * 57), d(70 * 57);
    GemmArgs args;
    args.a = Tensor(static_cast<void*>(a.data()), a_type, {70, 33});
    args.b = Tensor(static_cast<void*>(b.data()), b_type, {33, 57});
    args.d = Tensor(static_cast<void*>(d.data()), d_type, {70, 57});
    FillRandom(args.a, 1);
    FillRandom(args.b, 2);
    Poison(args.d);
    const GemmProblem plain = Describe(args, d_type);
    const auto packed = engine.Pack(args.b, DeviceId{});
    ASSERT_TRUE(packed.has_value());
    GemmArgs with_packed = args;
    with_packed.b = packed->packed;
    engine.Gemm(with_packed);
    EXPECT_TRUE(Verify(plain, args, {}).ok) << ToString(plain);
  }
}

TEST(Engine, APackedWeightOfOneDtypeIsRefusedOrReadRightByAnother) {
  Engine engine(NoDisk());
  std::vector<float> a(70 * 33), b(33 * 57), d(70 * 57);
  GemmArgs args;
  args.a = Tensor(a.data(), {70, 33});
  args.b = Tensor(static_cast<void*>(b.data()), DType::kBf16, {33, 57});
  args.d = Tensor(d.data(), {70, 57});
  FillRandom(args.a, 1);
  FillRandom(args.b, 2);
  Poison(args.d);
  const auto packed = engine.Pack(args.b, DeviceId{});
  ASSERT_TRUE(packed.has_value());
  GemmArgs with_packed = args;
  with_packed.b = packed->packed;
  try {
    engine.Gemm(with_packed);
    EXPECT_TRUE(Verify(Describe(args, DType::kF32), args, {}).ok);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Code::kUnsupported);
    EXPECT_NE(std::string(error.what()).find("b was packed as bf16"), std::string::npos) << error.what();
  }
}

TEST(EngineAhead, CompilesForAGpuThatIsNotHereAndFindsItAgainOnDisk) {
  TempDir dir;
  EngineOptions options;
  options.cache_dir = dir.path;
  const GemmProblem problem = MakeProblem(512, 4096, 7168, DType::kBf16, "nt");
  const CodeTarget target = ParseTarget("sm_90a");
  std::string key;
  {
    Engine engine(options);
    if (!HaveCudaCompiler(engine)) GTEST_SKIP() << "neither NVRTC nor nvcc is here";
    const auto kernels = engine.CompileAhead(problem, target, FindDeviceSpec("h200"));
    ASSERT_EQ(kernels.size(), 1u);
    EXPECT_EQ(kernels[0].origin, Origin::kCompiled);
    EXPECT_GT(kernels[0].code_bytes, 1000u);
    EXPECT_GT(kernels[0].resources.registers, 16);
    EXPECT_EQ(kernels[0].resources.spill_bytes, 0);
    key = kernels[0].key;
    EXPECT_EQ(engine.CompileAhead(problem, target, FindDeviceSpec("h200"))[0].origin, Origin::kMemory);
  }
  options.mode = CompileMode::kOffline;  // and now without compiling at all
  Engine engine(options);
  const auto kernels = engine.CompileAhead(problem, target, FindDeviceSpec("h200"));
  EXPECT_EQ(kernels[0].origin, Origin::kDisk);
  EXPECT_EQ(kernels[0].key, key);
  EXPECT_GE(engine.Cache().disk_hits, 1u);
  GemmProblem other = problem;
  SetDTypes(other, "f64");
  EXPECT_EQ(CodeOf([&] { engine.CompileAhead(other, target, FindDeviceSpec("h200")); }), Code::kNotFound);
}

TEST(EngineAhead, AUsersBrokenSourceRaisesTheLogAndIsNotCached) {
  TempDir dir;
  EngineOptions options;
  options.cache_dir = dir.path;
  Engine engine(options);
  if (!HaveCudaCompiler(engine)) GTEST_SKIP() << "neither NVRTC nor nvcc is here";
  const std::uint64_t before = engine.Cache().disk_kernels;
  KernelSource source;
  source.name = "broken";
  source.text = "extern \"C\" __global__ void Broken() { undeclared = 1; }";
  source.entry = "Broken";
  source.target = ParseTarget("sm_80");
  for (int i = 0; i < 2; ++i) {
    try {
      engine.Emit(source, "cubin");
      FAIL();
    } catch (const CompileError& error) {
      EXPECT_NE(error.log().find("undeclared"), std::string::npos);
      EXPECT_TRUE(fs::exists(error.source_path()));
      fs::remove(error.source_path());
    }
  }
  EXPECT_EQ(engine.Cache().disk_kernels, before);
  source.text = "extern \"C\" __global__ void Broken() {}";
  EXPECT_FALSE(engine.Emit(source, "cubin").empty());
  EXPECT_NE(engine.Emit(source, "ptx").find(".visible .entry Broken"), std::string::npos);
  EXPECT_EQ(CodeOf([&] { engine.Emit(source, "wasm"); }), Code::kNotFound);
}

TEST(EngineFork, ChildrenPlanThatAreForkedWhileOtherThreadsDo) {
  const TempDir dir;
  EngineOptions options;
  options.cache_dir = dir.path;
  Engine engine(options);
  std::atomic<bool> over{false};
  std::thread planner([&] {
    for (std::int64_t m = 1; !over; ++m) engine.Prepare(MakeProblem(m, 40, 50), DeviceId{});
  });
  int wrong = 0;
  for (int round = 0; round < 100 && wrong == 0; ++round) {
    const pid_t child = fork();
    if (child == 0) {
      alarm(5);  // Or a child that waits for ever would keep the test from telling so.
      engine.Prepare(MakeProblem(30, 40, 51 + round), DeviceId{});
      _exit(0);
    }
    int status = -1;
    if (waitpid(child, &status, 0) != child || status != 0) ++wrong;
  }
  over = true;
  planner.join();
  EXPECT_EQ(wrong, 0);
}

TEST(EngineAhead, ACancelledCompileThrowsAndALaterOneSucceeds) {
  Engine engine(NoDisk());
  if (!HaveCudaCompiler(engine)) GTEST_SKIP() << "neither NVRTC nor nvcc is here";
  const GemmProblem problem = MakeProblem(128, 128, 128, DType::kF16, "tn");
  CancellationToken cancel;
  cancel.Cancel();
  EXPECT_EQ(CodeOf([&] { engine.CompileAhead(problem, ParseTarget("sm_86"), FindDeviceSpec("rtx3090"), cancel); }),
            Code::kCancelled);
  EXPECT_NO_THROW(engine.CompileAhead(problem, ParseTarget("sm_86"), FindDeviceSpec("rtx3090")));
}

}  // namespace
}  // namespace gemmsmith
