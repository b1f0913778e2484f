// What the CPU device promises beside right results: code pages, callers, refusals, packing.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "../support/cpu_gemm.h"
#include "gemmsmith/epilogue.h"
#include "gemmsmith/error.h"
#include "jit/x86/micro_kernel_emitter.h"
#include "runtime/cpu/thread_grid.h"
#include "util/thread_pool.h"

namespace gemmsmith {
namespace {

using namespace testing_support;
using ::testing::HasSubstr;

constexpr CodeTarget kAvx2{Isa::kX86, 2, 0}, kSm90{Isa::kCuda, 90, 'a'};

GemmProblem Dense(std::int64_t m, std::int64_t n, std::int64_t k) {
  GemmProblem p;
  p.m = m;
  p.n = n;
  p.k = k;
  p.lda = k;
  p.ldb = p.ldc = p.ldd = n;
  return p;
}

TileConfig WithThreads(TileConfig config, int threads) {
  for (std::size_t i = 0; i < config.fields.size(); ++i)
    if (config.fields[i].name == "threads") config[i] = threads;
  return config;
}

/// A planned problem with its operands and the right answer, for repeated calls.
class Planned {
 public:
  Planned(std::int64_t m, std::int64_t n, std::int64_t k, int threads)
      : problem_(Dense(m, n, k)), a_(1, m, k, false, 0), b_(1, k, n, false, 0) {
    std::mt19937_64 random(std::random_device{}());
    a_.FillRandom(random);
    b_.FillRandom(random);
    const CodeTarget& target = CpuTargets().front();
    const KernelFamily& family = FamilyFor(target);
    const TileConfig config = WithThreads(family.Candidates(problem_, target, CpuSpec())[0], threads);
    kernel_ = MakeCpuKernel(problem_, config, target);
    step_ = family.MakeLaunch(problem_, config);
  }
  std::vector<float> Run() const {
    std::vector<float> d(static_cast<std::size_t>(problem_.m * problem_.n), -1);
    GemmArgs args;
    args.a = a_.AsTensor(problem_.m, problem_.k);
    args.b = b_.AsTensor(problem_.k, problem_.n);
    args.d = Tensor(d.data(), {problem_.m, problem_.n});
    LaunchOnCpu(*kernel_, step_, args);
    return d;
  }
  const CpuKernel& kernel() const { return *kernel_; }
  const LaunchStep& step() const { return step_; }

 private:
  GemmProblem problem_;
  Operand<float> a_, b_;
  std::shared_ptr<const CpuKernel> kernel_;
  LaunchStep step_;
};

TEST(CpuCode, LiesInPagesThatAreNeverWritableAndExecutableAtOnce) {
  const Planned planned(64, 64, 64, 1);
  const auto entry = reinterpret_cast<std::uintptr_t>(planned.kernel().entries().full_full);
  std::ifstream maps("/proc/self/maps");
  std::string line, permissions_of_entry;
  while (std::getline(maps, line)) {
    std::uintptr_t begin = 0, end = 0;
    char permissions[5] = {};
    ASSERT_EQ(std::sscanf(line.c_str(), "%lx-%lx %4s", &begin, &end, permissions), 3) << line;
    EXPECT_FALSE(permissions[1] == 'w' && permissions[2] == 'x') << line;
    if (begin <= entry && entry < end) permissions_of_entry = permissions;
  }
  EXPECT_EQ(permissions_of_entry, "r-xp");
}

TEST(CpuCallers, ConcurrentOnesGetWhatOneAloneGets) {
  const Planned planned(150, 170, 190, 2);
  const std::vector<float> alone = planned.Run();
  std::atomic<int> different{0};
  std::vector<std::thread> callers;
  for (int i = 0; i < 4; ++i)
    callers.emplace_back([&] {
      for (int round = 0; round < 25; ++round)
        if (planned.Run() != alone) ++different;
    });
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(different, 0);
}

TEST(CpuCallers, AForkedChildComputesWithoutTheWorkersOfItsParent) {
  const Planned planned(150, 170, 190, 2);
  const std::vector<float> before = planned.Run();
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) _exit(planned.Run() == before ? 0 : 1);
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
}

TEST(CpuThreadPool, RunsEveryIndexOnceAndABusyOneGrantsASingleThread) {
  std::vector<std::atomic<int>> runs(4);
  int granted_inside = 0;
  const auto task = [&](int index) {
    ++runs[index];
    if (index == 1) granted_inside = ThreadPool::Instance().Acquire(4).threads();
  };
  ThreadPool::Lease lease = ThreadPool::Instance().Acquire(4);
  ASSERT_EQ(lease.threads(), 4);
  for (int round = 1; round <= 100; ++round) {
    auto copy = task;
    lease.Run(4, copy);
    for (const auto& count : runs) ASSERT_EQ(count, round);
  }
  EXPECT_EQ(granted_inside, 1);
}

TEST(CpuThreadPool, ASmallTaskTakesSleepingThreadsOnlyWhereCallsFollowEachOtherClosely) {
  ThreadPool& pool = ThreadPool::Instance();
  std::atomic<int> runs{0};
  const auto task = [&](int) { ++runs; };
  const auto run = [&](ThreadPool::Asleep asleep) {
    ThreadPool::Lease lease = pool.Acquire(2, asleep);
    auto copy = task;
    lease.Run(lease.threads(), copy, true);
    return lease.threads();
  };
  EXPECT_EQ(run(ThreadPool::Asleep::kWake), 2);
  std::this_thread::sleep_for(std::chrono::milliseconds(200));  // Long enough for a worker to tire of spinning.
  EXPECT_EQ(run(ThreadPool::Asleep::kPass), 1);
  EXPECT_EQ(run(ThreadPool::Asleep::kWake), 2);
  runs = 0;
  int expected = 0;
  for (int round = 0; round < 10'000; ++round) expected += run(ThreadPool::Asleep::kPass);
  EXPECT_EQ(runs, expected);
  EXPECT_GE(expected, 10'000);
}

TEST(CpuThreadPool, TasksThatTakeLongerThanAWorkerSpinsWakeOneWhereTheyFollowEachOtherClosely) {
  using Clock = std::chrono::steady_clock;
  ThreadPool& pool = ThreadPool::Instance();
  auto task = [](int) {
    for (const auto begin = Clock::now(); Clock::now() - begin < std::chrono::microseconds(40);) continue;
  };
  pool.Acquire(2).Run(1, task);
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  int threads = 1, tasks = 0;
  for (const auto begin = Clock::now(); threads == 1 && Clock::now() - begin < std::chrono::seconds(5); ++tasks) {
    ThreadPool::Lease lease = pool.Acquire(2, ThreadPool::Asleep::kPass);
    threads = lease.threads();
    lease.Run(threads, task, true);
  }
  EXPECT_EQ(threads, 2);
  EXPECT_GT(tasks, 1);
}

TEST(CpuThreadPool, LeavesThreadsTheCoresThatTheyWereAllowed) {
  const auto task = [](int) { std::this_thread::sleep_for(std::chrono::microseconds(20)); };
  for (int round = 0; round < 100; ++round) {
    auto copy = task;
    ThreadPool::Instance().Acquire(4).Run(4, copy, round % 2 == 0);
    std::this_thread::sleep_for(std::chrono::microseconds(100));  // Some rounds find them asleep.
  }
  std::set<std::string> allowed;
  for (const auto& thread : std::filesystem::directory_iterator("/proc/self/task")) {
    std::ifstream status(thread.path() / "status");
    for (std::string line; std::getline(status, line);)
      if (line.starts_with("Cpus_allowed_list")) allowed.insert(line);
  }
  EXPECT_EQ(allowed.size(), 1) << ::testing::PrintToString(allowed);
}

TEST(CpuKernel, RefusesALaunchItWasNotMadeFor) {
  const Planned planned(20, 40, 30, 1);
  LaunchStep step = planned.step();
  void* const args[] = {step.params.data()};
  EXPECT_THROW(planned.kernel().Launch({}, {}, {}, 0, {}, {}), Error);
  EXPECT_THROW(planned.kernel().Launch({0, 1, 1}, {}, {}, 0, args, {}), Error);
  auto& params = *reinterpret_cast<CpuGemmParams*>(step.params.data());
  const CpuGemmParams original = params;
  for (const auto change :
       {+[](CpuGemmParams& p) { p.nr *= 2; }, +[](CpuGemmParams& p) { p.mr += 1; },
        +[](CpuGemmParams& p) { p.math = CpuMath::kF64; }, +[](CpuGemmParams& p) { p.path = CpuPath::kDots; },
        +[](CpuGemmParams& p) { p.path = CpuPath::kSweep; }, +[](CpuGemmParams& p) { p.m += 2; }}) {
    params = original;
    change(params);
    EXPECT_THROW(planned.kernel().Launch({}, {}, {}, 0, args, {}), Error);
  }
}

TEST(CpuKernel, RefusesMoreColumnsThanStepsOfKLeaveInTheLastVector) {
  const KernelFamily& family = X86Family();
  for (const CodeTarget& target : CpuTargets()) {
    const GemmProblem problem = MakeProblem(20, 40, 30);
    if (!family.Targets(target)) continue;
    const TileConfig config = family.Candidates(problem, target, CpuSpec())[0];
    if (config.Get("tail_steps") == 1) continue;
    for (const auto change : {+[](CpuGemmParams& p) { p.n += 1; }, +[](CpuGemmParams& p) { p.a_col = 2; }}) {
      LaunchStep step = family.MakeLaunch(problem, config);
      change(*reinterpret_cast<CpuGemmParams*>(step.params.data()));
      void* const args[] = {step.params.data()};
      EXPECT_THROW(MakeCpuKernel(problem, config, target)->Launch({}, {}, {}, 0, args, {}), Error);
    }
  }
}

TEST(CpuKernel, RefusesWholeTilesOfColumnsWhereItHasTailsAlone) {
  GemmProblem problem = MakeProblem(20, 16, 30);
  problem.b_layout = Layout::kPacked;
  for (const CodeTarget& target : CpuTargets()) {
    const KernelFamily& family = FamilyFor(target);
    const TileConfig config = family.Candidates(problem, target, CpuSpec())[0];
    if (config.Get("nr") <= problem.n || target.isa != Isa::kX86) continue;
    LaunchStep step = family.MakeLaunch(problem, config);
    auto& params = *reinterpret_cast<CpuGemmParams*>(step.params.data());
    params.n += params.nr;
    void* const args[] = {step.params.data()};
    EXPECT_THROW(MakeCpuKernel(problem, config, target)->Launch({}, {}, {}, 0, args, {}), Error);
  }
}

TEST(CpuKernel, RefusesRowsOfAThatLieApartWhereItWasMadeForAdjacentOnes) {
  const GemmProblem problem = MakeProblem(20, 40, 30, DType::kF32, "tn");
  for (const CodeTarget& target : CpuTargets()) {
    const KernelFamily& family = FamilyFor(target);
    const TileConfig config = family.Candidates(problem, target, CpuSpec())[0];
    LaunchStep step = family.MakeLaunch(problem, config);
    auto& params = *reinterpret_cast<CpuGemmParams*>(step.params.data());
    if (params.path != CpuPath::kDirect) continue;
    params.a_row = 2;
    void* const args[] = {step.params.data()};
    EXPECT_THROW(MakeCpuKernel(problem, config, target)->Launch({}, {}, {}, 0, args, {}), Error);
  }
}

TEST(CpuKernel, RefusesRowsOfASingleTileWhereItKeepsBForOthers) {
  for (const CodeTarget& target : CpuTargets()) {
    GemmProblem problem = MakeProblem(18, 64, 64);
    SetDTypes(problem, "s8,s8,s32");
    const KernelFamily& family = FamilyFor(target);
    const TileConfig config = family.Candidates(problem, target, CpuSpec())[0];
    if (static_cast<CpuPath>(config.Get("path")) != CpuPath::kStream) continue;
    LaunchStep step = family.MakeLaunch(problem, config);
    auto& params = *reinterpret_cast<CpuGemmParams*>(step.params.data());
    ASSERT_TRUE(params.keeps_b());
    params.m = params.mr;
    void* const args[] = {step.params.data()};
    EXPECT_THROW(MakeCpuKernel(problem, config, target)->Launch({}, {}, {}, 0, args, {}), Error);
  }
}

TEST(ThreadGrid, EveryThreadBeginsWithAWholeTileWhereItsUnitsOfBAreKept) {
  CpuGemmParams p{};
  p.math = CpuMath::kBf16;
  p.path = CpuPath::kStream;
  p.mr = 6, p.nr = 64;
  p.n = p.k = 64;
  p.batch = 1;
  for (p.m = 7; p.m < 50; ++p.m)
    for (const int threads : {2, 3, 4}) {
      const Grid grid = ChooseGrid(p, threads);
      for (int i = 0; i < grid.m_parts; ++i) {
        const Range rows = Part(p.m, p.mr, grid.m_parts, i);
        EXPECT_TRUE(rows.size() == 0 || rows.size() >= p.mr) << p.m << " rows on " << threads;
      }
    }
}

/// A product of 1024 x 1024 x 1024 that packs B.
CpuGemmParams PacksB() {
  CpuGemmParams p{};
  p.path = CpuPath::kPacked;
  p.mr = 6, p.nr = 64;
  p.kc = 512;
  p.m = p.n = p.k = 1024;
  p.batch = 1;
  return p;
}

TEST(ThreadGrid, ThreadsPackTheirOwnColumnsOfBForFewRows) {
  CpuGemmParams p = PacksB();
  for (p.m = 1; p.m < 100; ++p.m)
    for (const int threads : {2, 4}) EXPECT_EQ(ChooseGrid(p, threads).m_parts, 1) << p.m << " rows on " << threads;
  p.m = 2048, p.n = 96;
  EXPECT_EQ(ChooseGrid(p, 2).m_parts, 2);
  p.n = 2048;
  EXPECT_GT(ChooseGrid(p, 2).m_parts, 1) << "large squares pack B together";
}

TEST(ThreadGrid, NobodyWaitsForASinglePanelOfB) {
  CpuGemmParams p = PacksB();
  for (const auto& [n, together] : {std::pair{1, false}, {64, false}, {96, true}}) {
    p.n = n;
    const Grid grid = ChooseGrid(p, 2);
    EXPECT_EQ(grid.m_parts, 2) << n;
    EXPECT_EQ(PacksTogether(p, grid), together) << n;
  }
}

TEST(CpuKernel, RefusesMoreRowsThanASweepTakes) {
  DeviceSpec spec = CpuSpec();
  spec.l2_bytes = 512;
  for (const CodeTarget& target : CpuTargets())
    for (const auto& [m, more] : {std::pair<std::int64_t, std::int64_t>{1, 2}, {4, 8}}) {
      GemmProblem problem = MakeProblem(m, 4096, 64, DType::kU8);
      SetDTypes(problem, "u8,s8,s32");
      const KernelFamily& family = FamilyFor(target);
      const TileConfig config = family.Candidates(problem, target, spec)[0];
      if (static_cast<CpuPath>(config.Get("path")) != CpuPath::kSweep) continue;
      LaunchStep step = family.MakeLaunch(problem, config);
      reinterpret_cast<CpuGemmParams*>(step.params.data())->m = more;
      void* const args[] = {step.params.data()};
      EXPECT_THROW(MakeCpuKernel(problem, config, target)->Launch({}, {}, {}, 0, args, {}), Error) << m;
    }
}

TEST(CpuKernel, IsNotLoadedFromWhatThisCpuCannotRun) {
  Artifact artifact;
  artifact.kernel_name = "k";
  artifact.target = kSm90;
  EXPECT_THROW(LoadCpuKernel(artifact), Error);
  artifact.target = {Isa::kPortable, 0, 0};
  EXPECT_THROW(LoadCpuKernel(artifact), Error);
  artifact.parts["builtin"] = "f32 mr=5 nr=8 m_tail=0 n_tail=0 dots=0";
  EXPECT_THROW(LoadCpuKernel(artifact), Error);
  artifact.parts["x86"] = "short";
  EXPECT_THROW(LoadCpuKernel(artifact), Error);
  MicroKernelHeader header;
  header.entries[0] = 4096;
  artifact.parts["x86"] = std::string(reinterpret_cast<const char*>(&header), sizeof(header)) + "code";
  EXPECT_THROW(LoadCpuKernel(artifact), Error);
}

TEST(MicroKernelRecipe, IsReadBackFromItsText) {
  const std::string whole = ToString(MicroKernelRecipe{CpuMath::kF64, 14, 16, 3, 8});
  EXPECT_EQ(whole,
            "math=f64 d=f32 bias=f32 residual=f32 mr=14 nr=16 m_tail=3 n_tail=8 dots=0 starts=0 fetch=0 fetch_every=1 "
            "joins=0 sweep=0 tail_steps=1 far=0 narrow=0 keeps=0 adjacent=0 columns_per_d=1 epilogue=0");
  EXPECT_EQ(ToString(ParseRecipe(whole)), whole);
  for (std::size_t end = whole.find(' '); end != whole.npos; end = whole.find(' ', end + 1))
    EXPECT_THROW(ParseRecipe(whole.substr(0, end)), Error) << end;
  for (const auto& [good, bad] : {std::pair{"math=f64", "math=f65"},
                                  {"mr=14", "mr=x"},
                                  {"mr=14 nr=16", "nr=16 mr=14"},
                                  {"mr=14", "mr=-1"},
                                  {"epilogue=0", "epilogue=0 more=1"},
                                  {"epilogue=0", "epilogue=123456789"}}) {
    std::string text = whole;
    EXPECT_THROW(ParseRecipe(text.replace(text.find(good), std::strlen(good), bad)), Error) << bad;
  }
}

TEST(MicroKernelRecipe, HoldsTheTextOfItsEpilogue) {
  MicroKernelRecipe recipe{CpuMath::kF32, 6, 64, 0, 0};
  const Epilogue epilogue = Epilogue::Parse("bias+relu");
  recipe.epilogue_id = epilogue.id();
  EXPECT_THAT(ToString(recipe), HasSubstr(epilogue.text()));
  EXPECT_EQ(ParseRecipe(ToString(recipe)).epilogue_id, epilogue.id());
}

TEST(MicroKernelEmitter, MakesTheEntriesThatAreNeededAndRefusesTilesBeyondTheRegisters) {
  struct Row {
    const MicroKernelEmitter* emitter;
    MicroKernelRecipe recipe;
    bool fits;
  };
  for (auto [emitter, recipe, fits] : {
           Row{&Avx512Emitter(), {CpuMath::kF32, 14, 32, 2, 16}, true},
           Row{&Avx512Emitter(), {CpuMath::kF64, 6, 32, 0, 0}, true},
           Row{&Avx512Emitter(), {CpuMath::kF32, 15, 32, 0, 0}, false},
           Row{&Avx2Emitter(), {CpuMath::kF32, 6, 16, 1, 8}, true},
           Row{&Avx2Emitter(), {CpuMath::kF64, 6, 8, 0, 4}, true},
           Row{&Avx2Emitter(), {CpuMath::kF32, 7, 16, 0, 0}, false},
           Row{&Avx512Emitter(), {CpuMath::kF32, 6, 4, 1, 4, 1}, true},
           Row{&Avx512Emitter(), {CpuMath::kF32, 7, 4, 0, 0, 1}, false},
           Row{&Avx512Emitter(), {CpuMath::kF32, 1, 5, 0, 0, 1}, false},
           Row{&Avx512Emitter(), {CpuMath::kF64, 2, 8, 1, 8, 1}, true},
           Row{&Avx512Emitter(), {CpuMath::kF64, 3, 8, 1, 8, 1}, false},
           Row{&Avx512Emitter(), {CpuMath::kU8S8, 1, 8, 0, 8, 1, 1}, true},
           Row{&Avx512Emitter(), {CpuMath::kU8S8, 2, 8, 0, 8, 1, 1}, false},
           Row{&Avx2Emitter(), {CpuMath::kF32, 1, 8, 0, 0, 1}, false},
           Row{&Avx2Emitter(), {CpuMath::kF64, 2, 4, 1, 4, 1}, true},
           Row{&Avx2Emitter(), {CpuMath::kF64, 3, 4, 0, 0, 1}, false},
           Row{&Avx512Emitter(), {CpuMath::kU8S8, 6, 64, 1, 16, 0, 1}, true},
           Row{&Avx512Emitter(), {CpuMath::kBf16, 14, 32, 2, 16}, true},
           Row{&Avx512Emitter(), {CpuMath::kS8U8, 5, 4, 1, 4, 1, 1}, true},
           Row{&Avx512Emitter(), {CpuMath::kS8U8, 6, 4, 1, 4, 1, 1}, false},
           Row{&Avx512Emitter(), {CpuMath::kS16, 1, 4, 0, 0, 1}, false},
           Row{&Avx2Emitter(), {CpuMath::kS16, 5, 16, 1, 8}, true},
           Row{&Avx2Emitter(), {CpuMath::kS16, 6, 16, 0, 0}, false},
           Row{&Avx2Emitter(), {CpuMath::kBf16, 1, 8, 0, 0}, false},
           Row{&Avx512Emitter(), {CpuMath::kU8S8, 6, 64, 4, 16, 0, 0, 0, 1, 0, 8}, true},
           Row{&Avx512Emitter(), {CpuMath::kF64, 1, 32, 0, 8, 0, 0, 0, 1, 0, 8}, true},
           Row{&Avx512Emitter(), {CpuMath::kU8S8, 6, 64, 0, 0, 0, 0, 0, 1, 0, 6}, false},
           Row{&Avx512Emitter(), {CpuMath::kF32, 1, 64, 0, 0, 0, 0, 0, 1, 0, 9}, false},
           Row{&Avx512Emitter(), {CpuMath::kS16, 1, 64, 0, 0, 0, 0, 0, 1, 0, 8}, false},
           Row{&Avx2Emitter(), {CpuMath::kF32, 1, 16, 0, 0, 0, 0, 0, 1, 0, 8}, false},
           Row{&Avx512Emitter(), {CpuMath::kF32, 14, 32, 2, 32, 0, 0, 0, 1, 0, 0, 2}, true},
           Row{&Avx512Emitter(), {CpuMath::kF32, 9, 48, 0, 16, 0, 0, 0, 1, 0, 0, 4}, true},
           Row{&Avx512Emitter(), {CpuMath::kF32, 14, 64, 2, 32, 0, 0, 0, 1, 0, 0, 1, 0, /*narrow=*/1}, true},
           Row{&Avx512Emitter(), {CpuMath::kF32, 14, 64, 2, 32}, false},
           Row{&Avx512Emitter(), {CpuMath::kF32, 9, 48, 0, 16, 0, 0, 0, 1, 0, 0, 8}, false},
           Row{&Avx512Emitter(), {CpuMath::kF64, 9, 24, 0, 8, 0, 0, 0, 1, 0, 0, 2}, false},
           Row{&Avx2Emitter(), {CpuMath::kF32, 5, 16, 0, 8, 0, 0, 0, 1, 0, 0, 2}, false},
           Row{&Avx512Emitter(), {CpuMath::kBf16, 6, 64, 4, 16, 0, 0, 4, 1, 1, 0, 1, 0, 0, /*keeps=*/1}, true},
           Row{&Avx512Emitter(), {CpuMath::kU8S8, 5, 64, 0, 0, 0, 1, 4, 1, 1, 0, 1, 0, 0, /*keeps=*/1}, true},
           Row{&Avx512Emitter(), {CpuMath::kF32, 6, 64, 0, 0, 0, 0, 4, /*fetch_every=*/2, 0, 0, 1, 0, 0, 0, 1}, true},
           Row{&Avx512Emitter(), {CpuMath::kF32, 6, 64, 0, 0, 0, 0, 4, /*fetch_every=*/2, 0, 0, 1, 0, 0, 0, 0}, false},
           Row{&Avx512Emitter(), {CpuMath::kS8U8, 12, 32, 0, 32, 0, 1, 2, 1, 1, 0, 1, 0, 1, /*keeps=*/1}, true},
           Row{&Avx512Emitter(), {CpuMath::kU8S8, 6, 64, 0, 0, 0, 1, 4, 1, 1, 0, 1, 0, 0, /*keeps=*/1}, false},
           Row{&Avx512Emitter(), {CpuMath::kBf16, 16, 16, 0, 0, 0, 0, 1, 1, 1, 0, 1, 0, 0, /*keeps=*/1}, false},
           Row{&Avx512Emitter(), {CpuMath::kBf16, 6, 64, 0, 0, 0, 0, 4, 1, 0, 0, 1, 0, 0, /*keeps=*/1}, false},
       }) {
    recipe.d_type = Info(recipe.math).sum;
    if (!fits) {
      EXPECT_THROW(emitter->Emit(recipe), Error) << ToString(recipe);
      continue;
    }
    const std::string part = emitter->Emit(recipe);
    MicroKernelHeader header;
    ASSERT_GT(part.size(), sizeof(header));
    std::memcpy(&header, part.data(), sizeof(header));
    const bool wide = recipe.narrow == 0, tail = recipe.m_tail > 0;
    const bool needed[] = {wide, recipe.n_tail > 0, wide && tail, tail && recipe.n_tail > 0};
    for (int i = 0; i < 4; ++i) EXPECT_EQ(header.entries[i] != 0, needed[i]) << ToString(recipe) << " entry " << i;
    EXPECT_EQ(header.entries[4] != 0, recipe.sweep != 0) << ToString(recipe);
    EXPECT_EQ(header.entries[5] != 0, wide && recipe.keeps != 0) << ToString(recipe);
    EXPECT_EQ(header.entries[6] != 0, recipe.n_tail > 0 && recipe.keeps != 0) << ToString(recipe);
    EXPECT_EQ(emitter->Emit(recipe), part) << "same recipe, same bytes";
  }
}

TEST(MicroKernelEmitter, AnEpilogueIsWrittenOnceForAllRowsAndForFewer) {
  constexpr int kAlignment = 64;
  const auto bytes_of_few_rows = [](int m_tail, const char* epilogue) {
    MicroKernelRecipe recipe{CpuMath::kF32, 6, 64, 0, 0};
    recipe.epilogue_id = Epilogue::Parse(epilogue).id();
    const std::size_t without = Avx512Emitter().Emit(recipe).size();
    recipe.m_tail = m_tail;
    return static_cast<std::int64_t>(Avx512Emitter().Emit(recipe).size() - without);
  };
  for (int m_tail = 1; m_tail < 6; ++m_tail)
    EXPECT_NEAR(bytes_of_few_rows(m_tail, "bias+gelu"), bytes_of_few_rows(m_tail, "bias+silu"), kAlignment) << m_tail;
}

TEST(CpuCompiler, RefusesOtherTargetsAndStopsWhenCancelled) {
  KernelSource source;
  source.target = kSm90;
  source.text = "f32 mr=4 nr=16 m_tail=0 n_tail=0 dots=0";
  EXPECT_THROW(OpenX86Compiler()->Compile(source, {}), Error);
  EXPECT_THROW(OpenBuiltinCompiler()->Compile(source, {}), Error);
  source.target = kAvx2;
  CompileControl control;
  control.cancel.Cancel();
  EXPECT_THROW(OpenX86Compiler()->Compile(source, control), Error);
}

TEST(PackB, WritesColumnPanelsPaddedWithZeros) {
  constexpr std::int64_t kRows = 11, kColumns = 21, kWidth = 8, kPadded = 24;
  Operand<float> b(2, kRows, kColumns, true, 3);
  std::mt19937_64 random(std::random_device{}());
  b.FillRandom(random);
  Tensor tensor(b.memory.begin(), {2, kRows, kColumns});
  tensor.strides = {b.stride, b.row, b.column};
  const PackedForm form{kWidth, CpuMath::kF32};
  GuardedMemory<float> packed(2 * form.bytes(kRows, kColumns) / std::int64_t{sizeof(float)});
  PackB(tensor, form, packed.begin());
  for (std::int64_t matrix = 0; matrix < 2; ++matrix)
    for (std::int64_t j = 0; j < kPadded; ++j)
      for (std::int64_t p = 0; p < kRows; ++p)
        EXPECT_EQ(packed.begin()[matrix * kPadded * kRows + j / kWidth * kWidth * kRows + p * kWidth + j % kWidth],
                  j < kColumns ? b.At(matrix, p, j) : 0);
  EXPECT_THROW(PackB(tensor, {}, packed.begin()), Error);
}

TEST(PackB, WritesNothingBehindThePanel) {
  std::mt19937_64 random(std::random_device{}());
  for (const bool column_major : {false, true})
    for (const std::int64_t panel : {1, 2, 3, 5, 8, 9, 14, 31})
      for (const std::int64_t k : {1, 7, 8, 16, 17, 64}) {
        Operand<float> b(1, k, panel, column_major, 0);
        b.FillRandom(random);
        GuardedMemory<float> packed(k * panel);
        Tensor tensor = b.AsTensor(k, panel);
        tensor.strides = {b.row, b.column};
        PackB(tensor, {panel, CpuMath::kF32}, packed.begin());
        for (std::int64_t p = 0; p < k; ++p)
          for (std::int64_t j = 0; j < panel; ++j)
            ASSERT_EQ(packed.begin()[p * panel + j], b.At(0, p, j)) << panel << " " << k;
      }
}

TEST(CpuSpec, IsPlausible) {
  const DeviceSpec& spec = CpuSpec();
  EXPECT_FALSE(spec.name.empty());
  EXPECT_EQ(spec.target, CpuTargets().front());
  EXPECT_EQ(CpuTargets().back(), CodeTarget{});
  EXPECT_GE(spec.multiprocessors, 1);
  EXPECT_GT(spec.clock_ghz, 0.1);
  EXPECT_LT(spec.clock_ghz, 10);
  EXPECT_GE(spec.l1_bytes, 8 << 10);
  EXPECT_GT(spec.l2_bytes, spec.l1_bytes);
  EXPECT_GT(spec.memory_gib, 0);
}

}  // namespace
}  // namespace gemmsmith
