#include "gemmsmith/tune.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <limits>
#include <thread>

#include "../support/cache_testing.h"
#include "engine/m_ranges.h"
#include "gemmsmith/engine.h"
#include "gemmsmith/results.h"
#include "gemmsmith/verify.h"

namespace gemmsmith {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::StartsWith;
using testing::TempDir;
using Seconds = std::chrono::duration<double>;

constexpr DeviceId kCpu{};

/// A cache folder of its own for each test.
class Tune : public ::testing::Test {
 protected:
  EngineOptions Options() const {
    EngineOptions options;
    options.cache_dir = dir_.string();
    return options;
  }
  static const DeviceSpec& Spec() {
    static Engine engine;
    return engine.devices().Get(kCpu).spec();
  }
  ResultsDatabase Database() const {
    return ResultsDatabase(DeviceArchitecture(Spec()), {.directory = dir_.string() + "/results"});
  }
  /// A tuning of so many seconds at most, of which it needs one or two.
  static TuneOptions Short(double seconds = 0.5) {
    TuneOptions options;
    options.budget = Seconds(seconds);
    options.candidates = 3;
    return options;
  }
  /// The configs of a problem by the model, best first.
  static std::vector<TileConfig> ByModel(const GemmProblem& problem) {
    EngineOptions options;
    options.use_results = false;
    std::vector<TileConfig> configs;
    for (const RankedConfig& ranked : Engine(options).Explain(problem, kCpu).ranked) configs.push_back(ranked.config);
    return configs;
  }
  static void ExpectRight(Engine& engine, std::int64_t m, std::int64_t n, std::int64_t k) {
    HostTensor<float> a(m, k), b(k, n), d(m, n);
    FillRandom(a, 1);
    FillRandom(b, 2);
    Poison(d);
    GemmArgs args;
    args.a = a, args.b = b, args.d = d;
    engine.Gemm(args);
    EXPECT_TRUE(Verify(Describe(args, DType::kF32), args, {}).ok);
  }

  TempDir dir_;
  const GemmProblem problem_ = MakeProblem(192, 256, 160);
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

TEST_F(Tune, WhatWasTimedGoesBeforeTheModel) {
  const std::vector<TileConfig> configs = ByModel(problem_);
  ASSERT_GE(configs.size(), 3u);
  {
    Engine engine(Options());
    EXPECT_EQ(engine.PredictOptimalConfig(problem_, kCpu), configs[0]);
    for (int i = 0; i < 5; ++i) {
      engine.RecordPerformance(problem_, kCpu, configs[0], 30 + i);
      engine.RecordPerformance(problem_, kCpu, configs[2], 10 + i);
    }
    EXPECT_EQ(engine.PredictOptimalConfig(problem_, kCpu), configs[2]);
  }
  Engine later(Options());
  EXPECT_EQ(later.Prepare(problem_, kCpu).config, configs[2]);
  const Explanation why = later.Explain(problem_, kCpu);
  EXPECT_EQ(why.ranked.front().config, configs[2]);
  EXPECT_EQ(why.ranked.front().timings, 5u);
  EXPECT_EQ(why.ranked.front().measured_us, 12);
  EXPECT_FALSE(why.ranked.front().terms.empty());
  EXPECT_THAT(why.measured, HasSubstr("measured 12 us over 5 timings"));
  EXPECT_EQ(why.ranked.size(), configs.size());
  EXPECT_EQ(why.ranked[1].config, configs[0]) << "the others in the model's order";
  // Of a problem of quite another size nothing is known.
  const GemmProblem other = MakeProblem(1920, 2560, 1600);
  EXPECT_EQ(later.PredictOptimalConfig(other, kCpu), ByModel(other)[0]);
  EngineOptions without = Options();
  without.use_results = false;
  EXPECT_EQ(Engine(without).Prepare(problem_, kCpu).config, configs[0]);
}

TEST_F(Tune, OfConfigsThatTookAboutTheSameTheModelsFirstIsTaken) {
  const std::vector<TileConfig> configs = ByModel(problem_);
  Engine engine(Options());
  engine.RecordPerformance(problem_, kCpu, configs[2], 10);
  engine.RecordPerformance(problem_, kCpu, configs[1], 10.1);
  EXPECT_EQ(engine.PredictOptimalConfig(problem_, kCpu), configs[1]);
  engine.RecordPerformance(problem_, kCpu, configs[1], 11);
  EXPECT_EQ(engine.PredictOptimalConfig(problem_, kCpu), configs[2]);
}

TEST_F(Tune, OtherCodeDiscardsTheRecordsOfThatConfigAlone) {
  const std::vector<TileConfig> configs = ByModel(problem_);
  Engine(Options()).RecordPerformance(problem_, kCpu, configs[1], 20);
  {
    ResultsDatabase database = Database();
    TuningRecord record = database.Tunings().at(0);
    EXPECT_EQ(record.problem, ToString(problem_));
    EXPECT_FALSE(record.code_digest.empty());
    record.config = ToString(configs[2]);
    record.code_digest = "of an older version";
    record.times_us = {1};
    database.AddTuning(record);
    record.config = "a family that there was once block_m=1";
    database.AddTuning(record);
  }
  Engine engine(Options());
  EXPECT_EQ(engine.PredictOptimalConfig(problem_, kCpu), configs[1]);
  EXPECT_EQ(engine.Explain(problem_, kCpu).ranked[1].timings, 0u);
}

TEST_F(Tune, AConfigThatWasWrongIsNotChosen) {
  const std::vector<TileConfig> configs = ByModel(problem_);
  Engine(Options()).RecordPerformance(problem_, kCpu, configs[0], 1);
  {
    ResultsDatabase database = Database();
    TuningRecord record = database.Tunings().at(0);
    record.wrong = "error 0.5";
    database.AddTuning(record);
    database.AddTuning(record);
  }
  Engine engine(Options());
  EXPECT_EQ(engine.Prepare(problem_, kCpu).config, configs[1]);
  const Explanation why = engine.Explain(problem_, kCpu);
  EXPECT_EQ(why.ranked.size(), configs.size() - 1);
  EXPECT_THAT(why.wrong.at(0), HasSubstr(ToString(configs[0]) + ": error 0.5"));
}

TEST_F(Tune, WhereAllConfigsAreWrongItSaysSo) {
  EngineOptions options = Options();
  options.enable_jit = false;
  std::vector<TileConfig> configs;
  {
    Engine engine(options);
    for (const RankedConfig& ranked : engine.Explain(problem_, kCpu).ranked) {
      configs.push_back(ranked.config);
      engine.RecordPerformance(problem_, kCpu, ranked.config, 1);
    }
  }
  {
    ResultsDatabase database = Database();
    for (TuningRecord record : database.Tunings()) {
      record.wrong = "it is";
      database.AddTuning(record);
    }
  }
  EXPECT_EQ(CodeOf([&] { Engine(options).Prepare(problem_, kCpu); }), Code::kUnsupported);
}

TEST_F(Tune, WithoutADatabaseNothingIsMade) {
  Engine engine(Options());
  engine.Prepare(problem_, kCpu);
  EXPECT_EQ(engine.Explain(problem_, kCpu).measured, "");
  EXPECT_FALSE(std::filesystem::exists(dir_ / "results"));
}

TEST_F(Tune, RefusesWhatIsNoTimeOrNoConfig) {
  Engine engine(Options());
  const TileConfig config = ByModel(problem_)[0];
  for (const double time : {0.0, -1.0, std::numeric_limits<double>::quiet_NaN(), 1e300})
    EXPECT_EQ(CodeOf([&] { engine.RecordPerformance(problem_, kCpu, config, time); }), Code::kInvalidArgument);
  EXPECT_EQ(CodeOf([&] { engine.RecordPerformance(problem_, kCpu, TileConfig(), 1); }), Code::kNotFound);
}

TEST_F(Tune, RecordsEveryTimingAndPlansUseTheChoice) {
  TuneResult result;
  {
    Engine engine(Options());
    std::vector<std::string> said;
    TuneOptions options = Short(120);
    options.progress = [&](const TuneProgress& progress) { said.push_back(progress.what); };
    const std::vector<TuneResult> results = engine.Tune(problem_, kCpu, options);
    ASSERT_EQ(results.size(), 1u);
    result = results.front();
    EXPECT_THAT(said, Contains(HasSubstr("timing")));
    EXPECT_EQ(engine.Prepare(problem_, kCpu).config, result.chosen);
  }
  EXPECT_TRUE(result.complete);
  EXPECT_EQ(result.incumbent, ByModel(problem_)[0]);
  EXPECT_EQ(result.m_from, problem_.m);
  EXPECT_LE(result.chosen_us, result.incumbent_us * 1.1) << "medians are not paired, but nearly so";
  std::uint64_t timings = 0, timed = 0, chosen = 0;
  ResultsDatabase database = Database();
  for (const TuningRecord& record : database.Tunings(ToString(problem_))) {
    timings += record.times_us.size();
    ++timed;
    chosen += record.m_to != 0;
    EXPECT_TRUE(record.m_to == 0 || record.config == ToString(result.chosen)) << record.config;
  }
  EXPECT_EQ(timings, result.timings);
  EXPECT_EQ(chosen, 1u);
  EXPECT_EQ(timed, static_cast<std::uint64_t>(std::ranges::count_if(
                       result.candidates, [](const TunedCandidate& c) { return c.median_us > 0; })));
  Engine later(Options());
  EXPECT_EQ(later.Prepare(problem_, kCpu).config, result.chosen);
  EXPECT_THAT(later.Explain(problem_, kCpu).measured, StartsWith("tuned"));
  // Times of single calls do not overturn what was compared in turns.
  for (const TileConfig& config : ByModel(problem_)) later.RecordPerformance(problem_, kCpu, config, 1e-3);
  EXPECT_EQ(later.PredictOptimalConfig(problem_, kCpu), result.chosen);
}

TEST_F(Tune, TuningAgainBeginsWithWhatIsKnown) {
  Engine engine(Options());
  const std::vector<TileConfig> configs = ByModel(problem_);
  engine.RecordPerformance(problem_, kCpu, configs[1], 100);
  engine.RecordPerformance(problem_, kCpu, configs[2], 200);  // Not timed again: by far too slow.
  const TuneResult result = engine.Tune(problem_, kCpu, Short(120)).front();
  EXPECT_EQ(result.incumbent, configs[1]);
  for (const TunedCandidate& candidate : result.candidates) {
    EXPECT_EQ(candidate.recorded_us > 0, candidate.config == configs[2]);
    EXPECT_EQ(candidate.times_us.empty(), candidate.config == configs[2]);
  }
  const TuneResult again = engine.Tune(problem_, kCpu, Short(120)).front();
  EXPECT_EQ(again.incumbent, result.chosen);
}

TEST_F(Tune, WithoutTimeTheIncumbentStays) {
  Engine engine(Options());
  const TuneResult result = engine.Tune(problem_, kCpu, Short(1e-9)).front();
  EXPECT_FALSE(result.complete);
  EXPECT_EQ(result.chosen, result.incumbent);
  EXPECT_EQ(result.timings, 0u);
  EXPECT_EQ(engine.Explain(problem_, kCpu).measured, "");
}

TEST_F(Tune, RefusesWhatCannotBeTuned) {
  Engine engine(Options());
  TuneOptions options = Short();
  options.cancel.Cancel();
  EXPECT_EQ(CodeOf([&] { engine.Tune(problem_, kCpu, options); }), Code::kCancelled);
  options = Short();
  options.candidates = 0;
  EXPECT_EQ(CodeOf([&] { engine.Tune(problem_, kCpu, options); }), Code::kInvalidArgument);
  options = Short(0);
  EXPECT_EQ(CodeOf([&] { engine.Tune(problem_, kCpu, options); }), Code::kInvalidArgument);
  options = Short();
  options.m_from = 10, options.m_to = 9;
  EXPECT_EQ(CodeOf([&] { engine.Tune(problem_, kCpu, options); }), Code::kInvalidArgument);
  EXPECT_EQ(CodeOf([&] { engine.Tune(MakeProblem(0, 1, 1), kCpu, Short()); }), Code::kInvalidArgument);
}

TEST_F(Tune, ADryRunTimesAndRecordsNothing) {
  Engine engine(Options());
  TuneOptions options = Short();
  options.dry_run = true;
  options.m_from = 1, options.m_to = 300;
  const std::vector<TuneResult> results = engine.Tune(problem_, kCpu, options);
  ASSERT_GT(results.size(), 1u);
  EXPECT_EQ(results.front().m_from, 1);
  EXPECT_EQ(results.back().m_to, 300);
  for (const TuneResult& result : results) {
    EXPECT_EQ(result.problem.m, result.m_to);
    EXPECT_FALSE(result.candidates.empty());
    EXPECT_EQ(result.timings, 0u);
  }
  EXPECT_FALSE(std::filesystem::exists(dir_ / "results"));
}

TEST_F(Tune, EveryMOfARangeUsesItsChoice) {
  std::vector<TuneResult> results;
  {
    Engine engine(Options());
    TuneOptions options = Short(120);
    options.m_from = 40, options.m_to = 90;
    results = engine.Tune(MakeProblem(1, 64, 48), kCpu, options);
  }
  Engine engine(Options());
  int tuned = 0;
  for (const TuneResult& result : results) {
    EXPECT_EQ(result.problem, MakeProblem(result.m_to, 64, 48));
    for (const std::int64_t m : {result.m_from, (result.m_from + result.m_to) / 2, result.m_to}) {
      const GemmProblem problem = MakeProblem(m, 64, 48);
      const Explanation why = engine.Explain(problem, kCpu);
      if (!result.complete) continue;
      ++tuned;
      EXPECT_TRUE(IsSameChoice(engine.Prepare(problem, kCpu).config, result.chosen) || m == result.m_to) << m;
      EXPECT_THAT(why.measured, StartsWith("tuned"));
    }
  }
  EXPECT_GT(tuned, 0);
  EXPECT_EQ(engine.Explain(MakeProblem(39, 64, 48), kCpu).measured, "");
  EXPECT_EQ(engine.Explain(MakeProblem(91, 64, 48), kCpu).measured, "");
  ExpectRight(engine, 57, 64, 48);
}

TEST_F(Tune, OperandsOfAllKindsAreCheckedAndTimed) {
  const auto with = [](GemmProblem problem, const auto& change) {
    change(problem);
    return problem;
  };
  Engine engine(Options());
  HostTensor<float> weight(48, 64);
  const Engine::PackedWeight packed = engine.Pack(weight, kCpu).value();
  const GemmProblem problems[] = {
      MakeProblem(33, 47, 29, DType::kF64),
      MakeProblem(64, 64, 64, DType::kBf16, "tt"),
      MakeProblem(30, 20, 40, DType::kF32, "nt", BetaClass::kGeneral),
      MakeProblem(30, 20, 40, DType::kS8),
      with(MakeProblem(30, 20, 40), [](GemmProblem& p) { SetBatch(p, 3); }),
      with(MakeProblem(30, 20, 40), [](GemmProblem& p) { p.d_layout = Layout::kColMajor, p.ldd = 35; }),
      with(MakeProblem(30, 20, 40), [](GemmProblem& p) { p.lda = 50, p.ldb = 23, p.ldd = 31; }),
      with(MakeProblem(30, 20, 40), [](GemmProblem& p) { SetEpilogue(p, Epilogue::Parse("bias+gelu")); }),
      with(MakeProblem(30, 20, 40), [](GemmProblem& p) { SetEpilogue(p, Epilogue::Parse("swiglu")); }),
      with(MakeProblem(30, 260, 40),
           [](GemmProblem& p) {
             SetBatch(p, 2);
             SetEpilogue(p, Epilogue::Parse("bias_m+residual+scale+scale_row+scale_column+scale_block+amax_row+"
                                            "amax_column+amax_block+d_scale+d_scale_row+d_scale_column+d_scale_block"));
           }),
      with(MakeProblem(40, 64, 48), [](GemmProblem& p) { p.b_layout = Layout::kPacked, p.ldb = 0; }),
  };
  for (const GemmProblem& problem : problems) {
    const TuneResult result = engine.Tune(problem, kCpu, Short(60)).front();
    EXPECT_GT(result.incumbent_us, 0) << ToString(problem);
    for (const TunedCandidate& candidate : result.candidates) EXPECT_EQ(candidate.failed, "") << ToString(problem);
  }
}

TEST_F(Tune, APlanInUseIsMadeAnewAndAutoTuningTunesOnce) {
  Engine engine(Options());
  ExpectRight(engine, 192, 256, 160);
  const TuneResult result = engine.Tune(problem_, kCpu, Short(2)).front();
  EXPECT_EQ(engine.Prepare(problem_, kCpu).config, result.chosen);
  ExpectRight(engine, 192, 256, 160);
  const std::size_t records = Database().Tunings().size();
  EXPECT_EQ(Engine(Options()).Prepare(problem_, kCpu, {.auto_tune = true, .cancel = {}}).config, result.chosen);
  EXPECT_EQ(Database().Tunings().size(), records);
  const GemmProblem other = MakeProblem(65, 70, 75);
  Engine(Options()).Prepare(other, kCpu, {.auto_tune = true, .cancel = {}});
  EXPECT_GT(Database().Tunings(ToString(other)).size(), 0u);
}

TEST_F(Tune, ThreadsPlanAndTuneAtOnce) {
  Engine engine(Options());
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < 8; ++i) {
        if (t < 2) engine.Tune(MakeProblem(24 + i % 2, 40, 56), kCpu, Short(0.05));
        engine.PredictOptimalConfig(MakeProblem(24 + i % 2, 40, 56), kCpu);
        engine.RecordPerformance(MakeProblem(20, 40, 56), kCpu, ByModel(MakeProblem(20, 40, 56))[0], 5 + t);
        ExpectRight(engine, 24 + i % 2, 40, 56);
      }
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(engine.Explain(MakeProblem(20, 40, 56), kCpu).measured, HasSubstr("over 32 timings"));
}

}  // namespace
}  // namespace gemmsmith
