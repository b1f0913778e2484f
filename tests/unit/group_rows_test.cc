// Groups of unequal size are costed as what they are.
#include "select/group_rows.h"

#include <gtest/gtest.h>

#include <numeric>
#include <random>

#include "gemmsmith/error.h"
#include "gemmsmith/select.h"
#include "select/cost_model.h"

namespace gemmsmith {
namespace {

using Rows = std::vector<std::int64_t>;

const DeviceSpec& H200() { return FindDeviceSpec("h200"); }

GemmProblem Problem(std::int64_t m, const char* dtypes = "bf16") {
  GemmProblem problem = MakeProblem(m, 4096, 7168);
  SetDTypes(problem, dtypes);
  return problem;
}

Explanation Explained(const GemmProblem& problem, const Rows& rows) {
  return Rank(problem, H200().target, H200(), {.group_rows = rows});
}

double Term(const RankedConfig& ranked, std::string_view name) {
  for (const CostTerm& term : ranked.terms)
    if (term.name == name) return term.microseconds;
  return 0;
}

TEST(Groups, ATileBelongsToOneGroup) {
  const struct {
    Rows rows;
    std::int64_t block;
    double tiles;
  } cases[] = {{{4096, 17, 0, 300}, 128, 32 + 1 + 0 + 3},
               {{}, 128, 0},
               {{0, 0}, 64, 0},
               {{1, 1, 1, 1}, 128, 4},
               {{128, 129}, 128, 3}};
  for (const auto& [rows, block, tiles] : cases) EXPECT_EQ(TilesOfGroups(rows, block), tiles);
}

TEST(Groups, OneGroupIsTheProblemItself) {
  for (const char* dtypes : {"bf16", "f32"}) {
    const Explanation plain = Explained(Problem(1000, dtypes), {}), grouped = Explained(Problem(0, dtypes), {1000});
    ASSERT_EQ(plain.ranked.size(), grouped.ranked.size());
    for (std::size_t i = 0; i < plain.ranked.size(); ++i) {
      EXPECT_EQ(plain.ranked[i].config, grouped.ranked[i].config);
      EXPECT_DOUBLE_EQ(plain.ranked[i].microseconds, grouped.ranked[i].microseconds);
    }
    EXPECT_EQ(grouped.problem.m, 1000);
    EXPECT_EQ(grouped.group_rows, Rows{1000});
  }
}

TEST(Groups, UnequalOnesCostTheirTilesAndTheirWeights) {
  // As many rows, in as many groups: even ones fill their tiles, uneven ones do not.
  const double even = Explained(Problem(0), Rows(8, 256)).ranked.front().microseconds;
  const double uneven = Explained(Problem(0), {2041, 1, 1, 1, 1, 1, 1, 1}).ranked.front().microseconds;
  const double alone = Explained(Problem(0), {2048}).ranked.front().microseconds;
  EXPECT_LT(alone, even) << "one B, not eight";
  EXPECT_LT(even, uneven);
  // Groups without rows cost nothing.
  EXPECT_EQ(Explained(Problem(0), {100, 0, 0, 200}).ranked.front().microseconds,
            Explained(Problem(0), {100, 200}).ranked.front().microseconds);
  // Eight groups of a row each read eight weights: the time is that of memory.
  const RankedConfig few = Explained(Problem(0), Rows(8, 1)).ranked.front();
  EXPECT_NEAR(Term(few, "memory"), 8.0 * 4096 * 7168 * 2 / (H200().memory_gbps * 1e3 * 0.83), 5);
}

TEST(Groups, OnACpuOneFollowsTheOther) {
  DeviceSpec cpu;
  cpu.target = ParseTarget("portable");
  const auto time = [&](const Rows& rows) {
    return Rank(MakeProblem(0, 64, 64), cpu.target, cpu, {.group_rows = rows}).ranked.front().microseconds;
  };
  EXPECT_NEAR(time({64, 64, 64}), 3 * time({64}), 1e-6 * time({64}));
}

TEST(Groups, ThatCannotBeAreRefused) {
  EXPECT_THROW(Explained(Problem(0), {4, -1}), Error);
  EXPECT_THROW(Explained(Problem(0), {0, 0}), Error);
  EXPECT_THROW(Explained(Problem(0), {std::int64_t{1} << 62, std::int64_t{1} << 62}), Error);
  GemmProblem batched = Problem(1);
  SetBatch(batched, 2);
  EXPECT_THROW(Explained(batched, {1, 2}), Error);
  EXPECT_THROW(ExpectedGroupRows(-1, 4), Error);
  EXPECT_THROW(ExpectedGroupRows(10, 0), Error);
}

TEST(Groups, ExpectedSizesAreThoseOfRandomOnes) {
  std::mt19937 random(1);
  for (const auto& [rows, groups] : {std::pair(10, 64), {4096, 8}, {8192, 64}, {1000, 256}, {0, 4}, {100'000, 16}}) {
    const Rows expected = ExpectedGroupRows(rows, groups);
    ASSERT_EQ(expected.size(), static_cast<std::size_t>(groups));
    EXPECT_EQ(std::accumulate(expected.begin(), expected.end(), std::int64_t{0}), rows);
    EXPECT_TRUE(std::ranges::is_sorted(expected));
    for (const std::int64_t block : {16, 64, 128}) {
      double mean = 0;
      constexpr int kDraws = 200;
      for (int draw = 0; draw < kDraws; ++draw) {
        Rows drawn(static_cast<std::size_t>(groups));
        for (int row = 0; row < rows; ++row) ++drawn[random() % static_cast<unsigned>(groups)];
        mean += TilesOfGroups(drawn, block) / kDraws;
      }
      EXPECT_NEAR(TilesOfGroups(expected, block), mean, 0.03 * mean + 1.5) << rows << " in " << groups << ", " << block;
    }
  }
}

}  // namespace
}  // namespace gemmsmith
