// Bugs planted in kernels, one at a time: the emulated device must find each, by a check that is right for it. A few
// seeds do; GEMMSMITH_MUTANT_SEEDS=100 tries so many where nothing is found.
#include <gtest/gtest.h>

#include <cstdlib>
#include <set>

#include "../support/mutant_reports.h"
#include "../support/mutated_kernels.h"
#include "jit/compiler.h"

namespace gemmsmith::emulator {
namespace {

using Action = PtxRule::Action;

// What comes of accesses that nothing orders: which one it is depends on the schedule.
constexpr std::uint32_t kOrder = kRace | kUninitialised | kEarlyRead | kOverwrite;
constexpr std::uint32_t kStuck = kDeadlock | kBytes | kUnfinished;

constexpr BugClass kBarrier{"barrier missing", kOrder};
constexpr BugClass kClusterBarrier{"cluster barrier missing", kOrder | kMisuse | kUnfinished};
constexpr BugClass kThreads{"threads of a barrier", kOrder | kDeadlock | kMisuse};
constexpr BugClass kInitFence{"fence of mbarrier.init missing", kRace};
constexpr BugClass kProxyFence{"proxy fence missing", kMissingFence};
constexpr BugClass kWeak{"order weakened", kOrder | kUnfinished};
constexpr BugClass kInit{"mbarrier.init missing", kMisuse};
constexpr BugClass kWait{"mbarrier not waited for", kOrder | kMisuse};
constexpr BugClass kArrive{"arrival missing", kStuck};
constexpr BugClass kTwice{"number of arrivals", kOrder | kStuck | kMisuse};
constexpr BugClass kParity{"phase", kOrder | kStuck | kMisuse};
constexpr BugClass kExpect{"bytes expected", kStuck};
constexpr BugClass kCount{"arrivals expected", kOrder | kStuck | kMisuse | kOutside};
constexpr BugClass kCopies{"groups of copies", kEarlyRead | kOverwrite | kUnfinished};
constexpr BugClass kProducts{"groups of products", kEarlyRegister | kOverwrite | kUnfinished};
constexpr BugClass kProductFence{"wgmma.fence missing", kMisuse};
constexpr BugClass kMulticast{"CTAs of a multicast", kStuck | kOutside};
constexpr BugClass kStage{"stage", kOrder | kStuck | kMisuse | kOutside | kWrongResult};
constexpr BugClass kSteps{"number of steps", kOrder | kStuck | kWrongResult};
constexpr BugClass kTail{"tail", kOutside | kWrongResult};
constexpr BugClass kSwizzle{"swizzle", kOrder | kOutside | kWrongResult};

constexpr const char* kMulticastLoad =
    "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes.multicast";

const PtxRule kPtxRules[] = {
    {.opcode = "bar.sync", .bug = &kBarrier},
    {.opcode = "barrier.cluster.arrive", .bug = &kClusterBarrier},
    {.opcode = "barrier.cluster.wait", .bug = &kClusterBarrier},
    {.opcode = "fence.mbarrier_init", .bug = &kInitFence},
    {.opcode = "fence.proxy.async", .bug = &kProxyFence},
    {.opcode = "mbarrier.init", .bug = &kInit},
    {.opcode = "mbarrier.arrive", .bug = &kArrive},
    {.opcode = "wgmma.fence", .bug = &kProductFence},
    {.opcode = "wgmma.commit_group", .bug = &kProducts},
    {.opcode = "wgmma.wait_group", .bug = &kProducts},
    {.opcode = "cp.async.commit_group", .bug = &kCopies},
    {.opcode = "cp.async.wait_group", .bug = &kCopies},
    {.opcode = "cp.async.bulk.commit_group", .bug = &kCopies},
    {.opcode = "cp.async.bulk.wait_group", .bug = &kCopies},
    {.opcode = "mbarrier.try_wait", .bug = &kWait, .action = Action::kDoNotWait},
    {.opcode = "mbarrier.try_wait.parity", .bug = &kParity, .action = Action::kFlip, .operand = 2},
    {.opcode = "mbarrier.arrive.expect_tx", .bug = &kExpect, .action = Action::kAdd, .operand = 2, .delta = 16},
    {.opcode = "mbarrier.arrive.expect_tx", .bug = &kExpect, .action = Action::kAdd, .operand = 2, .delta = -16},
    {.opcode = "mbarrier.init", .bug = &kCount, .action = Action::kAdd, .operand = 1, .delta = 1},
    {.opcode = "mbarrier.init", .bug = &kCount, .action = Action::kAdd, .operand = 1, .delta = -1},
    {.opcode = "wgmma.wait_group", .bug = &kProducts, .action = Action::kAdd, .delta = 1},
    {.opcode = "cp.async.wait_group", .bug = &kCopies, .action = Action::kAdd, .delta = 1},
    {.opcode = "cp.async.bulk.wait_group", .bug = &kCopies, .action = Action::kAdd, .delta = 1},
    {.opcode = "cp.async.wait_group", .bug = &kCopies, .action = Action::kMove, .text = "bar.sync"},
    {.opcode = "cp.async.bulk.wait_group", .bug = &kCopies, .action = Action::kMove, .text = "bar.sync"},
    {.opcode = "bar.sync", .bug = &kThreads, .action = Action::kAdd, .operand = 1, .delta = 32},
    {.opcode = "bar.sync", .bug = &kThreads, .action = Action::kAdd, .operand = 1, .delta = -32},
    {.opcode = kMulticastLoad, .bug = &kMulticast, .action = Action::kAdd, .operand = 3, .delta = -1, .type = "b16"},
    {.opcode = kMulticastLoad, .bug = &kMulticast, .action = Action::kAdd, .operand = 3, .delta = -2, .type = "b16"},
    {.opcode = kMulticastLoad, .bug = &kMulticast, .action = Action::kAdd, .operand = 3, .delta = 4, .type = "b16"},
    {.opcode = "mbarrier.init", .bug = &kTwice, .action = Action::kTwice},
    {.opcode = "mbarrier.arrive", .bug = &kTwice, .action = Action::kTwice},
    {.opcode = "fence.proxy.async", .bug = &kProxyFence, .action = Action::kByOne},
    {.opcode = "cp.async.commit_group", .bug = &kCopies, .action = Action::kByOne},
    {.opcode = "cp.async.wait_group", .bug = &kCopies, .action = Action::kByOne},
    {.opcode = "mbarrier.arrive.release", .bug = &kTwice, .action = Action::kByOne},
    {.opcode = "fence.proxy.async",
     .bug = &kProxyFence,
     .action = Action::kReplace,
     .text = ".shared::cta",
     .instead = ".global"},
    {.opcode = "mbarrier.try_wait",
     .bug = &kWeak,
     .action = Action::kReplace,
     .text = ".acquire.",
     .instead = ".relaxed."},
    {.opcode = "mbarrier.arrive",
     .bug = &kWeak,
     .action = Action::kReplace,
     .text = ".release.",
     .instead = ".relaxed."},
    {.opcode = "barrier.cluster.arrive",
     .bug = &kWeak,
     .action = Action::kReplace,
     .text = ".release",
     .instead = ".relaxed"},
};

#define GEMMSMITH_ONE_OFF(file, text, unit, bug) \
  {file, text, "({} + " unit ")", bug}, { file, text, "({} - " unit ")", bug }
#define GEMMSMITH_ONE_OFF_CALL(file, text, unit, bug) \
  {file, text, unit " + {}", bug}, { file, text, "-" unit " + {}", bug }
const SourceRule kHopperRules[] = {
    GEMMSMITH_ONE_OFF("", "kStages", "1", &kStage),
    GEMMSMITH_ONE_OFF("", "kStageBytes", "1024", &kStage),
    GEMMSMITH_ONE_OFF("", "stage", "1", &kStage),
    GEMMSMITH_ONE_OFF("", "before", "1", &kStage),
    GEMMSMITH_ONE_OFF("", "share", "8", &kStage),
    {"", "parity ^= 1", "", &kParity},
    {"", "asm volatile(\"wgmma.fence.sync.aligned;\"",
     "if (step + tile == 0) asm volatile(\"wgmma.fence.sync.aligned;\"", &kProductFence},
    {"", "group + 1", "1", &kThreads},
    {"", "group + 1", "group + 2", &kThreads},
    {"", "step > 0", "step >= 0", &kCount},
    {"", "step + part", "1", &kSteps},
    GEMMSMITH_ONE_OFF("", "steps", "1", &kSteps),
    GEMMSMITH_ONE_OFF("", "across", "1", &kSteps),
    GEMMSMITH_ONE_OFF("", "kCtas", "1", &kCount),
    GEMMSMITH_ONE_OFF("", "kSwizzle128", "1", &kSwizzle),
    GEMMSMITH_ONE_OFF("", "kAtomRows", "1", &kSwizzle),
};
const SourceRule kAmpereRules[] = {
    GEMMSMITH_ONE_OFF("gemm_sm80.cuh", "Config::kStages", "1", &kStage),
    GEMMSMITH_ONE_OFF("gemm_sm80.cuh", "kStageBytes", "16", &kStage),
    GEMMSMITH_ONE_OFF("gemm_sm80.cuh", "loaded", "128", &kStage),
    GEMMSMITH_ONE_OFF("gemm_sm80.cuh", "used", "128", &kStage),
    GEMMSMITH_ONE_OFF("gemm_sm80.cuh", "steps", "1", &kSteps),
    GEMMSMITH_ONE_OFF("gemm_sm80.cuh", "k", "1", &kTail),
    GEMMSMITH_ONE_OFF_CALL("gemm_sm80.cuh", "Left", "1", &kTail),
    GEMMSMITH_ONE_OFF("staged_tile.cuh", "k_left", "1", &kTail),
    GEMMSMITH_ONE_OFF("staged_tile.cuh", "lines_", "1", &kTail),
    GEMMSMITH_ONE_OFF_CALL("staged_tile.cuh", "Tile::Turn", "16", &kSwizzle),
};
/// Of what the other rules' kernel has not.
const SourceRule kRegisterRules[] = {
    GEMMSMITH_ONE_OFF("gemm_sm80.cuh", "Config::kStages", "1", &kStage),
    GEMMSMITH_ONE_OFF("gemm_sm80.cuh", "steps", "1", &kSteps),
    GEMMSMITH_ONE_OFF("staged_tile.cuh", "k_left", "1", &kTail),
    GEMMSMITH_ONE_OFF("staged_tile.cuh", "lines_", "1", &kTail),
};
#undef GEMMSMITH_ONE_OFF
#undef GEMMSMITH_ONE_OFF_CALL

/// A mutant that is no worse than the kernel, and why.
struct Harmless {
  const char *what, *code;  ///< The end of the one, a part of the other.
  const char* why;
};

class Hunt {
 public:
  Hunt(MutatedKernel& kernel, std::span<const SourceRule> rules, std::span<const Harmless> harmless)
      : kernel_(kernel), rules_(rules), harmless_(harmless) {
    const char* const given = std::getenv("GEMMSMITH_MUTANT_SEEDS");
    seeds_ = given == nullptr ? 10 : std::strtoul(given, nullptr, 10);
  }

  void Run() {
    compiler_ = OpenNvrtc();
    Mutant none;
    none.ptx = compiler_->Compile(kernel_.source(), {}).parts.at("ptx");
    const auto whole = kernel_.Load(none);
    for (std::uint64_t seed = 1; seed <= seeds_; ++seed)
      ASSERT_EQ(kernel_.Run(*whole, none, seed), "") << "without a bug, seed " << seed;
    fmt::print("{}\n{:<31}{:<70}{:<24}{}\n", kernel_.source().name, "class", "mutant", "place", "caught by, at seed");
    const std::string code = WithoutLines(none.ptx);
    for (Mutant& mutant : Mutants(none.ptx)) {
      if (mutant.source && !Compile(mutant)) {
        Print(mutant, "does not count: refused by the compiler");
      } else if (mutant.source && WithoutLines(mutant.ptx) == code) {
        Print(mutant, "does not count: the same code");
      } else {
        Chase(mutant);
      }
    }
    for (const Harmless& row : harmless_)
      EXPECT_TRUE(explained_.contains(&row)) << "is caught, or no mutant: " << row.what << " in " << row.code;
    fmt::print("{} mutants, {} caught, {} harmless\n\n", count_, caught_, explained_.size());
  }
  int count() const { return count_; }

 private:
  std::vector<Mutant> Mutants(const std::string& ptx) const {
    std::vector<Mutant> mutants;
    const PtxMutants of_ptx(ptx, kernel_.source().name);
    for (const PtxRule& rule : kPtxRules) of_ptx.Apply(rule, mutants);
    const SourceMutants of_source(kernel_.source());
    for (const SourceRule& rule : rules_) of_source.Apply(rule, mutants);
    for (int map = 0; map < kernel_.plain_maps(); ++map)
      mutants.push_back({.bug = &kSwizzle,
                         .what = fmt::format("tensor map {} without", map),
                         .place = "host",
                         .ptx = ptx,
                         .plain_map = map});
    return mutants;
  }
  bool Compile(Mutant& mutant) const {
    try {
      mutant.ptx = compiler_->Compile(*mutant.source, {}).parts.at("ptx");
      return true;
    } catch (const Error&) {
      return false;  // Whoever writes that is told at once.
    }
  }
  static void Print(const Mutant& mutant, const std::string& end) {
    fmt::print("{:<31}{:<70.69}{:<24}{}\n", mutant.bug->name, mutant.what, mutant.place, end);
  }

  void Chase(const Mutant& mutant) {
    std::shared_ptr<const Kernel> kernel;
    try {
      kernel = kernel_.Load(mutant);
    } catch (const Error& error) {
      ADD_FAILURE() << mutant.what << " is refused: " << error.what();
      return;
    }
    std::string message;
    std::uint64_t seed = 1;
    while ((message = kernel_.Run(*kernel, mutant, seed)).empty() && seed < seeds_) ++seed;
    const ReportKind kind = KindOf(message);
    ++count_;
    const Harmless* const why = message.empty() ? Find(mutant) : nullptr;
    if (why != nullptr) {
      explained_.insert(why);
      return Print(mutant, fmt::format("nothing: {}", why->why));
    }
    Print(mutant, fmt::format("{}, {}", kind.name, seed));
    caught_ += message.empty() ? 0 : 1;
    EXPECT_NE(kind.report & mutant.bug->right, 0u)
        << mutant.what << " (" << mutant.place << "): " << (message.empty() ? "nobody sees it" : message);
  }
  const Harmless* Find(const Mutant& mutant) const {
    for (const Harmless& row : harmless_)
      if (mutant.what.ends_with(row.what) && mutant.code.find(row.code) != std::string::npos) return &row;
    return nullptr;
  }

  MutatedKernel& kernel_;
  const std::span<const SourceRule> rules_;
  const std::span<const Harmless> harmless_;
  std::shared_ptr<const Compiler> compiler_;
  std::size_t seeds_;
  std::set<const Harmless*> explained_;
  int count_ = 0, caught_ = 0;
};

class EmulatorMutants : public testing::Test {
 protected:
  void SetUp() override {
    try {
      OpenNvrtc();
    } catch (const Error& error) {
      GTEST_SKIP() << error.what();
    }
  }
  static GemmProblem Problem(std::int64_t m, std::int64_t n, std::int64_t k, const char* types, const char* layout) {
    GemmProblem problem = MakeProblem(m, n, k, DType::kF32, layout);
    SetDTypes(problem, types);
    if (problem.a_type == DType::kF32) problem.compute = ComputeMode::kTf32;
    return problem;
  }
};

TEST_F(EmulatorMutants, OfAHopperKernelAreFound) {
  HopperKernel kernel;
  Hunt hunt(kernel, kHopperRules, {});
  hunt.Run();
  EXPECT_GE(hunt.count(), 40);
}

TEST_F(EmulatorMutants, OfTheAmpereKernelAreFound) {
  // Nine steps of 32 along k, through four stages of 8192 bytes. D goes through the first 5120 bytes.
  const Harmless kHarmless[] = {
      {"(Config::kStages - 1)", "WaitForCopies<Config::kStages - 2>", "it waits for more than it must"},
      {"(k + 1)", "const int steps = ", "258 elements along k are nine steps, too"},
  };
  AmpereKernel kernel(Problem(37, 45, 257, "f32", "nt"));
  Hunt hunt(kernel, kAmpereRules, kHarmless);
  hunt.Run();
  EXPECT_GE(hunt.count(), 40);
}

TEST_F(EmulatorMutants, OfTheAmpereKernelThatLoadsThroughRegistersAreFound) {
  // Eight steps of 128 along k. A comes by asynchronous copies, the bytes of B through registers, which transpose them.
  const Harmless kHarmless[] = {
      {"(Config::kStages - 1)", "WaitForCopies<Config::kStages - 2>", "it waits for more than it must"},
      {"lines_ -> (lines_ - 1)", "if (line >= lines_ || k >= k_left) continue;",
       "lines come four at a time: to the last four, 16 and 15 that are left are the same"},
      {"bar.sync 0: deleted", "bar.sync", "D goes through stage 0, which all have read three steps before the last"},
  };
  AmpereKernel kernel(Problem(37, 48, 1008, "s8,s8,s32", "nn"));
  Hunt hunt(kernel, kRegisterRules, kHarmless);
  hunt.Run();
}

}  // namespace
}  // namespace gemmsmith::emulator
