// What measured times change in the model: its factors, and the times of nearby sizes.
#include "select/calibrate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

#include "../support/cache_testing.h"
#include "gemmsmith/engine.h"
#include "select/cost_model.h"

namespace gemmsmith {
namespace {

using ::testing::HasSubstr;

const DeviceSpec& A100() { return FindDeviceSpec("a100"); }

GemmProblem Problem(std::int64_t m, std::int64_t n, std::int64_t k, const char* dtypes = "f32") {
  GemmProblem problem = MakeProblem(m, n, k);
  SetDTypes(problem, dtypes);
  return Normalized(problem);
}

std::vector<TileConfig> ByModel(const GemmProblem& problem) {
  std::vector<TileConfig> configs;
  for (const auto& ranked : RankConfigs(problem, A100().target, A100()).configs) configs.push_back(ranked.config);
  return configs;
}

double TimeOf(const GemmProblem& problem, const TileConfig& config, const TermFactors& factors = {}) {
  return Predict(Canonical(problem), config, FindFamily(config.family), A100()).Scaled(factors).total();
}

/// Of a device whose factors are known.
std::vector<MeasuredTime> Synthetic(const TermFactors& factors) {
  std::vector<MeasuredTime> records;
  for (const char* dtypes : {"f32", "bf16"})
    for (const auto& [m, n, k] :
         {std::tuple(4096, 4096, 4096), std::tuple(2048, 8192, 1024), std::tuple(16, 8192, 8192),
          std::tuple(8192, 8192, 16), std::tuple(32, 32, 32), std::tuple(1, 64, 64)}) {
      const GemmProblem problem = Problem(m, n, k, dtypes);
      const std::vector<TileConfig> configs = ByModel(problem);
      for (std::size_t i = 0; i < std::min<std::size_t>(4, configs.size()); ++i)
        records.push_back({problem, configs[i], TimeOf(problem, configs[i], factors)});
    }
  return records;
}

void ExpectNear(const TermFactors& found, const TermFactors& wanted, double share) {
  EXPECT_NEAR(found.tensor / wanted.tensor, 1, share);
  EXPECT_NEAR(found.fma / wanted.fma, 1, share);
  EXPECT_NEAR(found.memory / wanted.memory, 1, share);
  EXPECT_NEAR(found.launch / wanted.launch, 1, share);
}

TEST(Calibrate, FindsTheFactorsOfADevice) {
  for (const TermFactors& wanted :
       {TermFactors{}, TermFactors{1.2, 0.9, 1.1, 1.5}, TermFactors{0.85, 1.3, 1.4, 0.7}, TermFactors{1, 1, 1, 3}}) {
    const Calibration calibration(Synthetic(wanted), A100().target, A100());
    EXPECT_TRUE(calibration.refitted());
    EXPECT_GE(calibration.records(), 40u);
    ExpectNear(calibration.factors(), wanted, 0.06);
  }
}

TEST(Calibrate, NoiseAndAFewAbsurdTimesDoNotMatterMuch) {
  const TermFactors wanted{1.2, 0.9, 1.1, 1.5};
  std::vector<MeasuredTime> records = Synthetic(wanted);
  std::mt19937 random(7);
  std::normal_distribution<double> noise(0, 0.03);
  for (std::size_t i = 0; i < records.size(); ++i) {
    records[i].microseconds *= std::exp(noise(random));
    if (i % 12 == 5) records[i].microseconds *= 30;
  }
  ExpectNear(Calibration(records, A100().target, A100()).factors(), wanted, 0.15);
}

TEST(Calibrate, KeepsToItsBounds) {
  const TermFactors found = Calibration(Synthetic({100, 100, 100, 100}), A100().target, A100()).factors();
  for (const double factor : {found.tensor, found.fma, found.memory}) EXPECT_LE(factor, 2.0001);
  EXPECT_LE(found.launch, 4.0001);
}

TEST(Calibrate, AFewRecordsOrOneProblemDoNotRefit) {
  std::vector<MeasuredTime> few = Synthetic({1.5, 1.5, 1.5, 1.5}), one;
  few.resize(7);
  const GemmProblem problem = Problem(1024, 1024, 1024);
  for (const TileConfig& config : ByModel(problem)) one.push_back({problem, config, 2 * TimeOf(problem, config)});
  ASSERT_GT(one.size(), 8u);
  for (const auto& records : {few, one}) {
    const Calibration calibration(records, A100().target, A100());
    EXPECT_FALSE(calibration.refitted());
    EXPECT_EQ(calibration.factors().fma, 1);
    EXPECT_THAT(calibration.Describe(calibration.Near(problem)), HasSubstr("too few"));
  }
}

/// Records that say of the model's first config that it is slow, and of its fifth that it is fast.
std::vector<MeasuredTime> Surprise(const GemmProblem& problem) {
  const std::vector<TileConfig> configs = ByModel(problem);
  return {{problem, configs.at(0), 2 * TimeOf(problem, configs[0])},
          {problem, configs.at(4), 0.5 * TimeOf(problem, configs[4])}};
}

TEST(Calibrate, RecordsMoveTheRankingOfNearbySizesAndLeaveFarOnesAlone) {
  const GemmProblem measured = Problem(1024, 1024, 1024);
  const std::vector<MeasuredTime> records = Surprise(measured);
  const Calibration calibration(records, A100().target, A100());
  const auto rank = [&](const GemmProblem& problem) {
    return RankConfigs(problem, A100().target, A100(), {.calibration = &calibration}).configs;
  };
  for (const GemmProblem& near : {measured, Problem(1000, 1024, 1024), Problem(1024, 1100, 960)})
    EXPECT_EQ(rank(near).front().config, records[1].config) << ToString(near);
  for (const GemmProblem& far : {Problem(4096, 1024, 1024), Problem(1024, 256, 1024), Problem(16, 1024, 1024),
                                 Problem(1024, 1024, 1024, "bf16"), Problem(1024, 1024, 1024, "f64")}) {
    const auto with = rank(far), without = RankConfigs(far, A100().target, A100()).configs;
    ASSERT_EQ(with.size(), without.size());
    for (std::size_t i = 0; i < with.size(); ++i) {
      EXPECT_EQ(with[i].config, without[i].config) << ToString(far);
      EXPECT_EQ(with[i].microseconds, without[i].microseconds) << ToString(far);
    }
    EXPECT_EQ(calibration.Near(Canonical(far)).count(), 0u);
  }
  EXPECT_EQ(calibration.Near(measured).count(), 2u);
}

TEST(Calibrate, TheNearerASizeTheMoreItIsMoved) {
  const GemmProblem measured = Problem(1024, 1024, 1024);
  const std::vector<MeasuredTime> records = Surprise(measured);
  const Calibration calibration(records, A100().target, A100());
  double before = 0;
  for (const std::int64_t m : {1024, 1100, 1300, 1600, 2000, 2400}) {
    const double factor = calibration.Near(Problem(m, 1024, 1024)).Factor(records[1].config);
    EXPECT_GT(factor, before) << m;
    EXPECT_LT(factor, 1) << m;
    before = factor;
  }
}

TEST(Calibrate, WhatTheModelPromisesTooMuchOfAllMovesNoRanking) {
  const GemmProblem problem = Problem(1024, 1024, 1024);
  std::vector<MeasuredTime> records;
  for (const TileConfig& config : ByModel(problem)) records.push_back({problem, config, 1.7 * TimeOf(problem, config)});
  const Calibration calibration(records, A100().target, A100());
  const auto ranked = RankConfigs(problem, A100().target, A100(), {.calibration = &calibration}).configs;
  const std::vector<TileConfig> by_model = ByModel(problem);
  for (std::size_t i = 0; i < ranked.size(); ++i) {
    EXPECT_EQ(ranked[i].config, by_model[i]) << i;
    EXPECT_NEAR(ranked[i].microseconds / TimeOf(problem, ranked[i].config), 1.7, 0.05);
  }
}

TEST(Calibrate, WhatCannotBeIsIgnored) {
  const GemmProblem problem = Problem(1024, 1024, 1024), other = Problem(1024, 1024, 1024, "bf16");
  const TileConfig config = ByModel(problem).front();
  std::vector<MeasuredTime> hostile;
  for (const double time : {0.0, -1.0, std::numeric_limits<double>::infinity(), std::nan("")})
    hostile.push_back({problem, config, time});
  TileConfig changed = config;
  changed.values.fill(0);
  hostile.push_back({problem, changed, 1});
  changed.values.fill(-7);
  hostile.push_back({problem, changed, 1});
  changed.family = "none";
  hostile.push_back({problem, changed, 1});
  hostile.push_back({other, FindFamily("portable").fields().empty() ? config : TileConfig{"portable", {}, {}}, 1});
  hostile.push_back({Problem(0, 1024, 1024), config, 1});
  const Calibration calibration(hostile, A100().target, A100());
  EXPECT_EQ(calibration.records(), 0u);
  EXPECT_EQ(RankConfigs(problem, A100().target, A100(), {.calibration = &calibration}).configs.front().config, config);
}

TEST(Calibrate, AnExplanationSaysSo) {
  const GemmProblem measured = Problem(1024, 1024, 1024);
  std::vector<MeasuredTime> records = Synthetic({1.2, 0.9, 1.1, 1.5});
  for (const MeasuredTime& record : Surprise(measured)) records.push_back(record);
  const Calibration calibration(records, A100().target, A100());
  const Explanation explanation = Rank(measured, A100().target, A100(), {.calibration = &calibration});
  EXPECT_THAT(explanation.calibration, HasSubstr(std::to_string(calibration.records()) + " records"));
  EXPECT_THAT(explanation.calibration, HasSubstr("FMA units 0.9"));
  EXPECT_THAT(explanation.calibration, HasSubstr("2 of nearby sizes"));
  EXPECT_EQ(explanation.ranked.front().terms.back().name, "nearby");
  EXPECT_TRUE(Rank(measured, A100().target, A100()).calibration.empty());
}

TEST(Calibrate, ReadsTheProblemsOfRecords) {
  GemmProblem batched = Problem(512, 256, 128, "bf16,bf16,f32");
  SetBatch(batched, 8);
  GemmProblem tf32 = Problem(512, 256, 128);
  SetCompute(tf32, "tf32");
  for (const GemmProblem& problem : {Problem(1, 2, 3), Problem(4096, 7168, 2048, "bf16"), batched, tf32,
                                     Normalized(MakeProblem(5, 6, 7, DType::kF64, "tt", BetaClass::kGeneral))})
    EXPECT_EQ(ParseProblem(ToString(problem)), problem) << ToString(problem);
  for (const char* text : {"", "m=1", "m=* n=2 k=3 f32 nn", "m=1 n=2 k=3 f32", "m=1 n=2 k=3 f33 nn",
                           "m=1 n=2 k=3 f32 xx", "m=0 n=2 k=3 f32 nn", "m=1 n=2 k=3 f32 nn epilogue=0123456789abcdef",
                           "m=1x n=2 k=3 f32 nn", "m=99999999999999999999 n=2 k=3 f32 nn", "n=1 m=2 k=3 f32 nn"})
    EXPECT_FALSE(ParseProblem(text)) << text;
}

// Of an engine, whose database has the records.

class CalibratedEngine : public ::testing::Test {
 protected:
  EngineOptions Options() const {
    EngineOptions options;
    options.cache_dir = dir_.string();
    return options;
  }
  testing::TempDir dir_;
};

TEST_F(CalibratedEngine, WhatWasMeasuredOfOneSizeCountsForItsNeighbours) {
  const GemmProblem measured = Problem(192, 256, 160), near = Problem(200, 256, 160), far = Problem(1900, 64, 700);
  Engine engine(Options());
  const Explanation before = engine.Explain(near, {});
  EXPECT_TRUE(before.calibration.empty());
  const Explanation of_measured = engine.Explain(measured, {});
  const TileConfig slow = of_measured.ranked[0].config, fast = of_measured.ranked[1].config;
  for (int i = 0; i < 4; ++i) {
    engine.RecordPerformance(measured, {}, slow, 3 * of_measured.ranked[0].microseconds);
    engine.RecordPerformance(measured, {}, fast, of_measured.ranked[1].microseconds / 3);
  }
  const Explanation explained = engine.Explain(near, {});
  EXPECT_THAT(explained.calibration, HasSubstr("2 of nearby sizes"));
  const auto time_of = [](const Explanation& explanation, const TileConfig& like) {
    for (const RankedConfig& ranked : explanation.ranked) {
      bool same = ranked.config.family == like.family;
      for (std::size_t i = 0; i < like.fields.size(); ++i)
        same &= like.fields[i].follows || ranked.config.values[i] == like.values[i];
      if (same) return ranked.microseconds;
    }
    ADD_FAILURE() << ToString(like) << " is not possible";
    return 1.0;
  };
  EXPECT_GT(time_of(explained, slow) / time_of(explained, fast), 1.5 * time_of(before, slow) / time_of(before, fast));
  EXPECT_TRUE(engine.Explain(far, {}).calibration.empty());
  Engine later(Options());
  EXPECT_EQ(later.Explain(near, {}).calibration, explained.calibration);
  EngineOptions without = Options();
  without.use_results = false;
  EXPECT_TRUE(Engine(without).Explain(near, {}).calibration.empty());
}

}  // namespace
}  // namespace gemmsmith
