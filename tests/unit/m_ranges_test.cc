#include "engine/m_ranges.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "kernels/family.h"

namespace gemmsmith {
namespace {

TileConfig Config(int threads, int mc = 96) {
  return ParseConfig(fmt::format(
      "x86 mr=6 nr=32 m_tail=1 n_tail=0 math=0 fetch=1 mc={} nc=512 kc=256 threads={} path=0", mc, threads));
}

TEST(MRanges, CutWhereTheModelChangesAndNotTooOften) {
  struct Row {
    const char* what;
    MRange range;
    std::function<MSignature(std::int64_t)> signature;
    std::vector<MRange> ranges;
  };
  const auto waves_of = [](std::int64_t rows) {
    return [rows](std::int64_t m) -> MSignature { return {Config(1), (m + rows - 1) / rows}; };
  };
  const Row rows[] = {
      {"nothing changes",
       {1, 4096},
       [](std::int64_t) -> MSignature {
         return {Config(1), 1};
       },
       {{1, 4096}}},
      {"a wave begins every 1024", {1, 4096}, waves_of(1024), {{1, 1024}, {1025, 2048}, {2049, 3072}, {3073, 4096}}},
      {"a single m", {77, 77}, waves_of(1), {{77, 77}}},
      {"two of them", {3, 4}, waves_of(1), {{3, 3}, {4, 4}}},
      {"another config from 100 on",
       {1, 1000},
       [](std::int64_t m) -> MSignature {
         return {Config(m < 100 ? 1 : 2), 1};
       },
       {{1, 99}, {100, 1000}}},
      {"what follows from m is no other config",
       {1, 1000},
       [](std::int64_t m) -> MSignature {
         return {Config(1, static_cast<int>(m)), 1};
       },
       {{1, 1000}}},
      {"edges side by side are one",
       {64, 200},
       [](std::int64_t m) -> MSignature {
         return {Config(m >= 100 && m < 105 ? 2 : 1), m < 107 ? 1 : 2};
       },
       {{64, 99}, {100, 200}}},
  };
  for (const Row& row : rows) EXPECT_EQ(SplitAtEdges(row.range, row.signature), row.ranges) << row.what;
}

TEST(MRanges, CoverARangeOnceWithEdgesAtWaves) {
  for (const std::int64_t rows : {1, 7, 128, 1000}) {
    const auto signature = [&](std::int64_t m) -> MSignature { return {Config(1), (m + rows - 1) / rows}; };
    const std::vector<MRange> ranges = SplitAtEdges({1, 20'000}, signature);
    EXPECT_LE(ranges.size(), 90u);
    EXPECT_EQ(ranges.front().from, 1);
    EXPECT_EQ(ranges.back().to, 20'000);
    for (std::size_t i = 0; i < ranges.size(); ++i) {
      EXPECT_LE(ranges[i].from, ranges[i].to);
      if (i == 0) continue;
      EXPECT_EQ(ranges[i].from, ranges[i - 1].to + 1);
      EXPECT_EQ(ranges[i - 1].to % rows, 0) << rows;
    }
  }
}

TEST(MRanges, AnotherMKeepsWhatWasTight) {
  for (const char* layout : {"nn", "nt", "tn", "tt"})
    for (const BetaClass beta : {BetaClass::kZero, BetaClass::kGeneral})
      for (const std::int64_t batch : {1, 3}) {
        GemmProblem problem = MakeProblem(48, 40, 56, DType::kF32, layout, beta), wanted = problem;
        wanted = MakeProblem(96, 40, 56, DType::kF32, layout, beta);
        SetBatch(problem, batch);
        SetBatch(wanted, batch);
        EXPECT_EQ(WithM(problem, 96), wanted) << layout << " " << batch;
        EXPECT_EQ(WithM(wanted, 48), problem) << layout << " " << batch;
        EXPECT_EQ(TextOfAnyM(problem), TextOfAnyM(wanted));
        EXPECT_NE(TextOfAnyM(problem), ToString(problem));
      }
  GemmProblem padded = MakeProblem(48, 40, 56);
  padded.lda = 64;
  EXPECT_EQ(WithM(padded, 10).lda, 64);
}

TEST(MRanges, AChoiceIsFoundAgainForAnotherM) {
  const TileConfig chosen = Config(2, 96);
  const std::vector<Ranking::Config> configs{{Config(1, 96), 1}, {Config(2, 48), 2}, {Config(2, 96), 3}};
  EXPECT_EQ(Counterpart(chosen, configs), Config(2, 96));
  EXPECT_EQ(Counterpart(Config(2, 10), configs), Config(2, 48)) << "of equals the first";
  EXPECT_FALSE(Counterpart(Config(3), configs));
  EXPECT_FALSE(IsSameChoice(Config(1), ParseConfig("portable mr=4 nr=8 threads=1")));
}

}  // namespace
}  // namespace gemmsmith
