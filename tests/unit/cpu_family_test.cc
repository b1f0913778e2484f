// Which kernels the CPU families choose, and what they refuse.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "../support/cpu_gemm.h"
#include "select/cost_model.h"

namespace gemmsmith {
namespace {

using namespace testing_support;
using ::testing::HasSubstr;

constexpr CodeTarget kBest{Isa::kX86, 514, 0}, kAvx512{Isa::kX86, 512, 0}, kAvx2{Isa::kX86, 2, 0},
    kSm90{Isa::kCuda, 90, 'a'};

TEST(CpuFamily, SaysWhyItCannot) {
  struct Row {
    void (*change)(GemmProblem&);
    const char* reason;
  };
  for (const Row& row : {
           Row{[](GemmProblem& p) { p.a_type = DType::kE4m3; }, "8-bit integers, with each other; a is e4m3, b f32"},
           Row{[](GemmProblem& p) { p.b_type = DType::kS8; }, "a is f32, b s8"},
           Row{[](GemmProblem& p) { p.d_type = DType::kF64; }, "stores no f32 sums as f64"},
           Row{[](GemmProblem& p) { p.c_type = DType::kBf16; }, "with bf16 for c"},
           Row{[](GemmProblem& p) { p.acc_type = DType::kF64; }, "sums f32 in f32 only"},
           Row{[](GemmProblem& p) { p.scaling = Scaling::kBlock1x128; }, "no scaled operands"},
           Row{[](GemmProblem& p) { p.grouping = Grouping::kMasked; }, "no grouped GEMM"},
           Row{[](GemmProblem& p) { p.epilogue_id = 1; }, "made no epilogue"},
           Row{[](GemmProblem& p) { p.a_layout = Layout::kPacked; }, "only b may be packed"},
       }) {
    GemmProblem problem = MakeProblem(8, 8, 8, DType::kF32, "nn");
    EXPECT_EQ(X86Family().WhyNot(problem, kAvx512), "");
    row.change(problem);
    EXPECT_THAT(X86Family().WhyNot(problem, kAvx512), HasSubstr(row.reason));
  }
  EXPECT_THAT(X86Family().WhyNot(MakeProblem(8, 8, 8, DType::kF32, "nn"), kSm90), HasSubstr("sm_90a"));
}

TEST(CpuFamily, APackedBGoesWithTheTypesOfAThatItsFormIsMadeFor) {
  constexpr CodeTarget kBf16{Isa::kX86, 514, 0}, kVnni{Isa::kX86, 513, 0};
  struct Row {
    DType a, b;
    CodeTarget target;
    const char* reason;  ///< Empty: it goes.
  };
  for (const auto& [a, b, target, reason] : {
           Row{DType::kBf16, DType::kBf16, kBf16, ""},
           Row{DType::kF32, DType::kBf16, kBf16, "b was packed as bf16, for an a of the same dtype; a is f32"},
           Row{DType::kF32, DType::kBf16, kVnni, ""},
           Row{DType::kBf16, DType::kF16, kBf16, ""},
           Row{DType::kU8, DType::kS8, kVnni, ""},
           Row{DType::kS8, DType::kS8, kVnni, ""},
           Row{DType::kS8, DType::kU8, kAvx512, ""},
       }) {
    GemmProblem problem = MakeProblem(8, 8, 8, DType::kF32, "nn");
    problem.a_type = a;
    problem.b_type = b;
    problem.acc_type = problem.c_type = problem.d_type = Info(a).is_integer() ? DType::kS32 : DType::kF32;
    EXPECT_EQ(X86Family().WhyNot(problem, target), "");
    problem.b_layout = Layout::kPacked;
    EXPECT_THAT(X86Family().WhyNot(problem, target), HasSubstr(reason));
    EXPECT_EQ(X86Family().WhyNot(problem, target).empty(), *reason == 0);
  }
}

TEST(CpuFamily, CandidatesAreLegalAndDistinctAndFewThreadsServeSmallProblems) {
  DeviceSpec spec = CpuSpec();
  spec.multiprocessors = 8;
  for (const CodeTarget& target : {kBest, kAvx512, kAvx2, CodeTarget{}})
    for (const std::int64_t m : {0, 1, 16, 100, 1024, 5000}) {
      const KernelFamily& family = FamilyFor(target);
      const GemmProblem problem = MakeProblem(m, 1000, 512, DType::kF32, "nn");
      const std::vector<TileConfig> configs = family.Candidates(problem, target, spec);
      ASSERT_FALSE(configs.empty());
      for (const TileConfig& config : configs) {
        const std::string text = ToString(config);
        EXPECT_GE(config.Get("threads"), 1) << text;
        EXPECT_LE(config.Get("threads"), 8) << text;
        EXPECT_EQ(config.Get("m_tail"), m % config.Get("mr")) << text;
        EXPECT_EQ(std::count(configs.begin(), configs.end(), config), 1) << text;
        if (target.isa == Isa::kX86) {
          EXPECT_NO_THROW(OpenX86Compiler()->Compile(family.Render(problem, config, target, {}), {})) << text;
        }
      }
    }
  EXPECT_EQ(X86Family().Candidates(MakeProblem(16, 16, 16, DType::kF32, "nn"), kAvx512, spec)[0].Get("threads"), 1);
  EXPECT_EQ(X86Family().Candidates(MakeProblem(2048, 2048, 2048, DType::kF32, "nn"), kAvx512, spec)[0].Get("threads"),
            8);
}

TEST(CpuFamily, SweepsABThatComesFromMemoryForFewRows) {
  DeviceSpec spec = CpuSpec();
  spec.l2_bytes = 1 << 20;
  struct Row {
    CodeTarget target;
    DType type;
    const char* layout;
    std::int64_t m, n, k;
    bool sweeps;
  };
  for (const Row& row :
       {Row{kBest, DType::kF32, "nn", 1, 4096, 4096, true},   Row{kBest, DType::kF64, "nn", 1, 4096, 4096, true},
        Row{kBest, DType::kBf16, "nn", 1, 4096, 4096, true},  Row{kBest, DType::kF16, "nn", 1, 4096, 4096, false},
        Row{kBest, DType::kF32, "nn", 4, 4096, 4096, true},   Row{kBest, DType::kF32, "nn", 5, 4096, 4096, false},
        Row{kBest, DType::kF32, "nn", 6, 11008, 4096, true},  Row{kBest, DType::kF32, "nn", 7, 11008, 4096, false},
        Row{kBest, DType::kBf16, "nn", 2, 4096, 4096, true},  Row{kBest, DType::kBf16, "nn", 3, 4096, 4096, false},
        Row{kBest, DType::kF32, "nn", 1, 512, 512, false},    Row{kBest, DType::kF32, "nt", 1, 4096, 4096, false},
        Row{kBest, DType::kU8, "nn", 0, 4096, 4096, false},   Row{kBest, DType::kU8, "nn", 1, 11008, 4096, true},
        Row{kBest, DType::kU8, "nn", 4, 11008, 4096, false},  Row{kBest, DType::kU8, "nn", 4, 4096, 4096, true},
        Row{kBest, DType::kU8, "tn", 4, 4096, 4096, false},   Row{kBest, DType::kU8, "nn", 5, 4096, 4096, false},
        Row{kBest, DType::kU8, "nn", 16, 4096, 4096, false},  Row{kBest, DType::kU8, "nn", 4, 4096, 4095, false},
        Row{kAvx512, DType::kF32, "nn", 1, 4096, 4096, true}, Row{kAvx512, DType::kU8, "nn", 1, 4096, 4096, false},
        Row{kAvx2, DType::kF32, "nn", 1, 4096, 4096, false}}) {
    GemmProblem problem = MakeProblem(row.m, row.n, row.k, row.type, row.layout);
    if (row.type == DType::kU8) SetDTypes(problem, "u8,s8,s32");
    const TileConfig config = X86Family().Candidates(problem, row.target, spec)[0];
    EXPECT_EQ(static_cast<CpuPath>(config.Get("path")) == CpuPath::kSweep, row.sweeps)
        << ToString(problem) << " for " << ToString(row.target);
  }
}

TEST(CpuFamily, TwoThreadsShareTheRowsOfFewTilesEvenly) {
  DeviceSpec spec = CpuSpec();
  spec.multiprocessors = 2;
  for (const Layout layout : {Layout::kRowMajor, Layout::kPacked})
    for (const std::int64_t m : {20, 32, 64}) {
      GemmProblem problem = MakeProblem(m, 64, 4096, DType::kF32, "nn");
      problem.b_layout = layout;
      const TileConfig config = X86Family().Candidates(problem, kBest, spec)[0];
      const std::int64_t mr = config.Get("mr"), tiles = (m + mr - 1) / mr;
      ASSERT_EQ(config.Get("threads"), 2);
      EXPECT_EQ((tiles + 1) / 2 * mr, m / 2) << ToString(problem);
    }
}

TEST(CpuFamily, FewColumnsOfAPackedBLeaveRegistersToMoreRows) {
  DeviceSpec spec = CpuSpec();
  spec.multiprocessors = 1;
  for (const auto& [m, n, mr] :
       {std::tuple{28, 16, 28}, {32, 32, 11}, {36, 33, 9}, {36, 64, 6}, {36, 80, 6}, {36, 96, 6}, {36, 128, 6}}) {
    GemmProblem problem = MakeProblem(m, n, 100, DType::kF32, "nn");
    problem.b_layout = Layout::kPacked;
    const TileConfig config = X86Family().Candidates(problem, kBest, spec)[0];
    EXPECT_EQ(config.Get("nr"), 64) << ToString(problem);
    EXPECT_EQ(config.Get("mr"), mr) << ToString(problem);
    const MicroKernelRecipe recipe = ParseRecipe(X86Family().Render(problem, config, kBest, {}).text);
    EXPECT_EQ(recipe.narrow, n < 64 ? 1 : 0) << ToString(problem);
  }
}

TEST(CpuFamily, APackedBIsReadInLongBlocksOfKAndALargeAIsPackedBesideIt) {
  for (const auto& [m, k, path] :
       {std::tuple{64, 4096, CpuPath::kDirect}, {1024, 1024, CpuPath::kDirect}, {2048, 2048, CpuPath::kPacked}}) {
    GemmProblem problem = MakeProblem(m, 2048, k, DType::kF32, "nn");
    problem.b_layout = Layout::kPacked;
    DeviceSpec spec = CpuSpec();
    spec.multiprocessors = 2;
    spec.l2_bytes = 1 << 20;
    spec.l3_bytes = 32 << 20;
    const TileConfig config = RankConfigs(problem, kBest, spec).configs.front().config;
    EXPECT_EQ(static_cast<CpuPath>(config.Get("path")), path) << ToString(problem);
    EXPECT_EQ(config.Get("kc"), path == CpuPath::kDirect ? 1024 : 512) << ToString(problem);
  }
}

TEST(CpuFamily, FewRowsStillBringAPanelOfBNearerWhileAnotherIsMultiplied) {
  for (const DType type : {DType::kF32, DType::kBf16})
    for (const std::int64_t m : {24, 64, 192, 1024}) {
      const GemmProblem problem = MakeProblem(m, 4096, 4096, type, "nn");
      for (TileConfig config : X86Family().Candidates(problem, kBest, CpuSpec())) {
        if (static_cast<CpuPath>(config.Get("path")) != CpuPath::kPacked) continue;
        const MicroKernelRecipe recipe = ParseRecipe(X86Family().Render(problem, config, kBest, {}).text);
        if (recipe.fetch_every == 2) continue;  // They do not come faster.
        const std::int64_t block = BalancedBlock(problem.k, config.Get("kc"), kKGranule);
        const std::int64_t rows_of_call = block / Info(recipe.math).group / recipe.fetch_every;
        EXPECT_GE(rows_of_call * ((m + recipe.mr - 1) / recipe.mr), block)
            << ToString(problem) << " " << ToString(recipe);
      }
    }
}

/// A problem, and what it is asked for.
struct Asked {
  CodeTarget target;
  const char *types, *layout;
  std::int64_t m, n, k;
};
GemmProblem ProblemOf(const Asked& asked) {
  GemmProblem problem = MakeProblem(asked.m, asked.n, asked.k, DType::kF32, asked.layout);
  SetDTypes(problem, asked.types);
  return problem;
}
std::string Words(const Asked& asked) { return ToString(ProblemOf(asked)) + " for " + ToString(asked.target); }
/// The family's first choice, with 1 MB of L2 and 32 MB of L3.
TileConfig ConfigOf(const Asked& asked) {
  DeviceSpec spec = CpuSpec();
  spec.l2_bytes = 1 << 20;
  spec.l3_bytes = 32 << 20;
  return X86Family().Candidates(ProblemOf(asked), asked.target, spec)[0];
}

TEST(CpuFamily, AColumnMajorBIsReadInLongDotProductsByFewRowsAndPackedAPanelAtATimeForMany) {
  struct Row {
    Asked asked;
    CpuPath path;
    int kc;
  };
  for (const Row& row : {Row{{kBest, "f32,f32,f32", "nt", 1, 4096, 16384}, CpuPath::kDots, 8192},
                         Row{{kBest, "f32,f32,f32", "nt", 3, 4096, 16384}, CpuPath::kDots, 6144},
                         Row{{kBest, "f32,f32,f32", "nt", 4, 4096, 4096}, CpuPath::kDots, 4096},
                         Row{{kBest, "f32,f32,f32", "nt", 4, 2048, 2048}, CpuPath::kDots, 1024},
                         Row{{kBest, "f32,f32,f32", "nt", 5, 4096, 4096}, CpuPath::kDots, 1024},
                         Row{{kBest, "u8,s8,s32", "nt", 4, 4096, 4096}, CpuPath::kDots, 4096},
                         Row{{kBest, "u8,s8,s32", "nt", 4, 11008, 4096}, CpuPath::kDots, 4096},
                         Row{{kBest, "f32,f32,f32", "nt", 16, 4096, 16384}, CpuPath::kDots, 4096},
                         Row{{kBest, "f32,f32,f32", "nt", 64, 4096, 16384}, CpuPath::kDots, 2048},
                         Row{{kBest, "bf16,bf16,f32", "nt", 64, 4096, 16384}, CpuPath::kDots, 4096},
                         Row{{kBest, "u8,s8,s32", "nt", 64, 4096, 16384}, CpuPath::kDots, 8192},
                         Row{{kAvx2, "f32,f32,f32", "nt", 16, 4096, 16384}, CpuPath::kDots, 512},
                         Row{{kAvx2, "f32,f32,f32", "nt", 2, 4096, 16384}, CpuPath::kDots, 8192},
                         Row{{kAvx2, "f32,f32,f32", "nt", 4, 4096, 16384}, CpuPath::kDots, 1024},
                         Row{{kBest, "f32,f32,f32", "nt", 64, 64, 32}, CpuPath::kPanels, 1024},
                         Row{{kBest, "f32,f32,f32", "nt", 128, 128, 128}, CpuPath::kPanels, 1024},
                         Row{{kBest, "f32,f32,f32", "nt", 128, 4096, 4096}, CpuPath::kPacked, 512},
                         Row{{kBest, "f32,f32,f32", "nt", 256, 4096, 4096}, CpuPath::kPanels, 1024},
                         Row{{kBest, "f32,f32,f32", "tt", 256, 4096, 4096}, CpuPath::kPacked, 512},
                         Row{{kBest, "f32,f32,f32", "tt", 512, 512, 512}, CpuPath::kPanels, 1024},
                         Row{{kBest, "bf16,bf16,f32", "nt", 256, 4096, 4096}, CpuPath::kPanels, 2048},
                         Row{{kBest, "s8,s8,s32", "nt", 256, 4096, 4096}, CpuPath::kPacked, 2048},
                         Row{{kBest, "f16,f16,f32", "nt", 256, 4096, 4096}, CpuPath::kPacked, 512},
                         Row{{kBest, "f32,f32,f32", "nt", 4096, 4096, 4096}, CpuPath::kPacked, 512}}) {
    const TileConfig config = ConfigOf(row.asked);
    SCOPED_TRACE(Words(row.asked));
    EXPECT_EQ(static_cast<CpuPath>(config.Get("path")), row.path);
    EXPECT_EQ(config.Get("kc"), row.kc);
  }
}

TEST(CpuFamily, TellsOfABThatComesFromMemoryToOneTileOfRows) {
  struct Row {
    Asked asked;
    int far, columns = 4;
  };
  for (const Row& row :
       {Row{{kBest, "f32,f32,f32", "nt", 1, 4096, 4096}, 1, 8}, Row{{kBest, "f32,f32,f32", "nt", 1, 255, 65536}, 1},
        Row{{kBest, "f32,f32,f32", "nt", 1, 2048, 2048}, 0}, Row{{kBest, "f32,f32,f32", "nt", 2, 4096, 4096}, 1, 8},
        Row{{kBest, "s8,s8,s32", "nt", 2, 11008, 4096}, 1}, Row{{kAvx2, "f32,f32,f32", "nt", 1, 4096, 4096}, 1},
        Row{{kBest, "f32,f32,f32", "nt", 6, 4096, 4096}, 1}, Row{{kBest, "f32,f32,f32", "nt", 7, 4096, 4096}, 0},
        Row{{kBest, "f32,f32,f32", "nt", 4, 2048, 2048}, 0}, Row{{kBest, "u8,s8,s32", "nt", 4, 4096, 4096}, 0},
        Row{{kBest, "u8,s8,s32", "nt", 4, 11008, 4096}, 1}, Row{{kBest, "f32,f32,f32", "nn", 1, 4096, 4096}, 1},
        Row{{kBest, "f64,f64,f64", "nn", 4, 4096, 4096}, 1}, Row{{kBest, "f32,f32,f32", "nn", 6, 11000, 4096}, 1},
        Row{{kBest, "f32,f32,f32", "nn", 5, 4096, 4096}, 0},  // A tile of rows after the other.
        Row{{kBest, "f32,f32,f32", "nn", 4, 2048, 2048}, 0}}) {
    const TileConfig config = ConfigOf(row.asked);
    SCOPED_TRACE(Words(row.asked));
    EXPECT_EQ(config.Get("far"), row.far);
    if (static_cast<CpuPath>(config.Get("path")) == CpuPath::kDots) {
      EXPECT_EQ(config.Get("nr"), row.columns);
    }
  }
}

TEST(CpuFamily, PacksASmallBAPanelAtATimeAndGivesStepsOfKTheLanesThatFewColumnsLeave) {
  struct Row {
    Asked asked;
    CpuPath path;
    int tail_steps;
  };
  for (const Row& row : {Row{{kBest, "bf16,bf16,f32", "nn", 64, 64, 64}, CpuPath::kPanels, 1},
                         Row{{kBest, "bf16,bf16,f32", "nn", 16, 64, 64}, CpuPath::kDirect, 1},
                         Row{{kBest, "bf16,bf16,f32", "nn", 64, 64, 63}, CpuPath::kPacked, 1},
                         Row{{kBest, "bf16,bf16,f32", "nn", 4096, 4096, 4096}, CpuPath::kPacked, 1},
                         Row{{kBest, "bf16,bf16,f32", "nn", 4096, 512, 512}, CpuPath::kPanels, 1},
                         Row{{kBest, "bf16,bf16,f32", "nn", 64, 4096, 4096}, CpuPath::kStream, 1},
                         Row{{kBest, "bf16,bf16,f32", "nn", 257, 4096, 4096}, CpuPath::kPacked, 1},
                         Row{{kBest, "u8,s8,s32", "nn", 64, 4096, 4096}, CpuPath::kStream, 1},
                         Row{{kBest, "u8,s8,s32", "nn", 64, 64, 64}, CpuPath::kPanels, 1},
                         Row{{kBest, "s8,s8,s32", "nn", 64, 64, 64}, CpuPath::kStream, 1},
                         Row{{kBest, "f32,f32,f32", "nn", 17, 23, 31}, CpuPath::kDirect, 2},
                         Row{{kBest, "f32,f32,f32", "nn", 33, 65, 129}, CpuPath::kDirect, 4},
                         Row{{kBest, "f32,f32,f32", "nn", 100, 7, 300}, CpuPath::kDirect, 2},
                         Row{{kBest, "f32,f32,f32", "nn", 100, 4, 300}, CpuPath::kDots, 1},
                         Row{{kBest, "f32,f32,f32", "tn", 33, 65, 129}, CpuPath::kDirect, 1},
                         Row{{kBest, "f32,f32,f32", "nn", 33, 64, 129}, CpuPath::kDirect, 1},
                         Row{{kBest, "f32,f32,f32", "nn", 33, 73, 129}, CpuPath::kDirect, 1},
                         Row{{kAvx2, "f32,f32,f32", "nn", 33, 65, 129}, CpuPath::kDirect, 1}}) {
    const TileConfig config = ConfigOf(row.asked);
    SCOPED_TRACE(Words(row.asked));
    EXPECT_EQ(static_cast<CpuPath>(config.Get("path")), row.path);
    EXPECT_EQ(config.Get("tail_steps"), row.tail_steps);
  }
}

TEST(CpuFamily, ThreadsShareTheRowsOfASingleTileOfColumnsHoweverManyTheyAre) {
  struct Row {
    Asked asked;
    int mr, rows;  ///< Of a tile, and of a thread.
  };
  for (const Row& row :
       {Row{{kBest, "f32,f32,f32", "nn", 24, 48, 4096}, 6, 12}, Row{{kBest, "f32,f32,f32", "nn", 12, 64, 4096}, 6, 6},
        Row{{kBest, "bf16,bf16,f32", "nn", 12, 32, 4096}, 6, 6}, Row{{kBest, "s8,s8,s32", "nn", 10, 64, 65536}, 5, 5},
        Row{{kBest, "s8,s8,s32", "nn", 9, 64, 65536}, 5, 5}, Row{{kBest, "f32,f32,f32", "nn", 12, 1024, 64}, 6, 12}}) {
    const GemmProblem problem = ProblemOf(row.asked);
    DeviceSpec spec = CpuSpec();
    spec.multiprocessors = 2;
    const TileConfig config = X86Family().Candidates(problem, row.asked.target, spec)[0];
    SCOPED_TRACE(Words(row.asked));
    ASSERT_EQ(config.Get("threads"), 2);
    EXPECT_EQ(config.Get("mr"), row.mr);
    EXPECT_EQ(X86Family().Shape(problem, config, spec).block_m, row.rows);
  }
}

TEST(CpuFamily, RowsOfAFarBThatAreJoinedAreReadInWholeLinesAndKeptForOtherTilesOfRows) {
  struct Row {
    Asked asked;
    int mr, nr, kc, keeps = 1;
  };
  for (const Row& row : {Row{{kBest, "bf16,bf16,f32", "nn", 16, 4096, 4096}, 6, 64, 192},
                         Row{{kBest, "bf16,bf16,f32", "nn", 6, 4096, 4096}, 6, 64, 192, 0},
                         Row{{kBest, "bf16,bf16,f32", "nn", 256, 4096, 4096}, 6, 64, 512},
                         Row{{kBest, "bf16,bf16,f32", "tn", 32, 48, 65536}, 8, 48, 256},
                         Row{{kBest, "bf16,bf16,f32", "nn", 32, 16, 262144}, 8, 16, 256},
                         Row{{kBest, "s8,s8,s32", "nn", 5, 11008, 4096}, 5, 64, 384, 0},
                         Row{{kBest, "s8,s8,s32", "nn", 16, 4096, 4096}, 5, 64, 384},
                         Row{{kBest, "s8,s8,s32", "nn", 64, 4096, 4096}, 5, 64, 1024},
                         Row{{kBest, "u8,s8,s32", "nn", 16, 4096, 4096}, 6, 64, 384},
                         Row{{kBest, "u8,u8,s32", "nn", 30, 30, 65536}, 8, 32, 512}}) {
    const TileConfig config = ConfigOf(row.asked);
    SCOPED_TRACE(Words(row.asked));
    EXPECT_EQ(config.Get("mr"), row.mr);
    EXPECT_EQ(config.Get("nr"), row.nr);
    EXPECT_EQ(config.Get("kc"), row.kc);
    EXPECT_EQ(ParseRecipe(X86Family().Render(ProblemOf(row.asked), config, kBest, {}).text).keeps, row.keeps);
  }
}

TEST(CpuFamily, FewRowsReadAFarBInShorterBlocksOfK) {
  struct Row {
    Asked asked;
    CpuPath path;
    int kc;
  };
  for (const Row& row : {Row{{kBest, "f32,f32,f32", "nn", 16, 4096, 4096}, CpuPath::kDirect, 376},
                         Row{{kBest, "f32,f32,f32", "nn", 48, 4096, 4096}, CpuPath::kDirect, 376},
                         Row{{kBest, "f32,f32,f32", "nn", 64, 4096, 4096}, CpuPath::kDirect, 512},
                         Row{{kBest, "f32,f32,f32", "nn", 16, 8192, 512}, CpuPath::kDirect, 512},
                         Row{{kBest, "f32,f32,f32", "nn", 16, 1024, 1024}, CpuPath::kDirect, 512},
                         Row{{kAvx2, "f64,f64,f64", "nn", 16, 4096, 4096}, CpuPath::kDirect, 376},
                         Row{{kBest, "f16,f16,f32", "nn", 16, 4096, 4096}, CpuPath::kPacked, 384},
                         Row{{kBest, "bf16,bf16,f32", "nn", 16, 4096, 4097}, CpuPath::kPacked, 768},
                         Row{{kBest, "f16,f16,f32", "nn", 64, 4096, 4096}, CpuPath::kPacked, 512}}) {
    const TileConfig config = ConfigOf(row.asked);
    SCOPED_TRACE(Words(row.asked));
    EXPECT_EQ(static_cast<CpuPath>(config.Get("path")), row.path);
    EXPECT_EQ(config.Get("kc"), row.kc);
  }
}

TEST(CpuFamily, TilesOfAWhoseRowsCollideInL1AreLow) {
  DeviceSpec spec = CpuSpec();
  spec.multiprocessors = 1;
  for (const auto& [k, rows] : {std::pair<std::int64_t, int>{1000, 20}, {1024, 10}})
    EXPECT_EQ(X86Family().Candidates(MakeProblem(20, 16, k, DType::kF32, "nn"), kAvx512, spec)[0].Get("mr"), rows) << k;
}

}  // namespace
}  // namespace gemmsmith
