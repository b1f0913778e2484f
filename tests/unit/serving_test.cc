// What is to be compiled before a model is served.
#include "gemmsmith/serving.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <set>

#include "gemmsmith/engine.h"
#include "gemmsmith/error.h"
#include "select/cost_model.h"

namespace gemmsmith {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

GemmProblem WithRows(GemmProblem problem, std::int64_t m) {
  problem.m = m;
  if (problem.grouping == Grouping::kMasked) SetGrouping(problem, fmt::format("masked:{}", problem.groups));
  return Normalized(problem);
}

/// All kernels of what is chosen first.
std::string KernelsOf(const GemmProblem& problem, const CodeTarget& target, const DeviceSpec& spec) {
  const Ranking ranking = RankConfigs(problem, target, spec);
  if (ranking.configs.empty()) return "none";
  const TileConfig& config = ranking.configs.front().config;
  const KernelFamily& family = FindFamily(config.family);
  std::string names = family.Render(problem, config, target, {}).name;
  if (const auto after = family.After(problem, config, target, {})) names += " " + after->source.name;
  return names;
}

struct Served {
  const char* dtypes;
  Scaling scaling;
  const char* arch;
};
constexpr Served kServed[] = {{"bf16", Scaling::kNone, "sm_90a"},
                              {"e4m3,e4m3,bf16", Scaling::kBlock128x128, "sm_90a"},
                              {"f16", Scaling::kNone, "sm_80"},
                              {"f32", Scaling::kNone, "sm_80"}};

std::vector<NamedProblem> Problems(const Served& served, const std::string& model = "deepseek-v3") {
  std::vector<NamedProblem> problems = ModelWeights(model);
  for (NamedProblem& named : problems) {
    SetDTypes(named.problem, served.dtypes);
    SetScaling(named.problem, ToString(served.scaling));
  }
  return problems;
}

std::set<std::string> Listed(std::span<const NamedProblem> problems, const RowRange& rows, const CodeTarget& target) {
  std::set<std::string> kernels;
  for (const NamedProblem& named : DistinctKernels(problems, rows, target, DefaultDeviceSpec(target)))
    kernels.insert(KernelsOf(named.problem, target, DefaultDeviceSpec(target)));
  return kernels;
}

TEST(Serving, TheListHasWhatAFullScanFindsAndNoMore) {
  for (const Served& served : kServed) {
    const CodeTarget target = ParseTarget(served.arch);
    for (const NamedProblem& named : Problems(served)) {
      std::set<std::string> scanned;
      for (std::int64_t m = 3; m <= 1500; ++m)
        scanned.insert(KernelsOf(WithRows(named.problem, m), target, DefaultDeviceSpec(target)));
      EXPECT_EQ(Listed({&named, 1}, {3, 1500}, target), scanned) << served.arch << " " << ToString(named.problem);
    }
  }
}

TEST(Serving, TheListHasWhatAFullScanOfExpertsFinds) {
  const CodeTarget target = ParseTarget("sm_90a");
  for (NamedProblem& named : ModelExperts("deepseek-v3")) {
    std::set<std::string> scanned;
    for (std::int64_t m = 1; m <= 700; ++m)
      scanned.insert(KernelsOf(WithRows(named.problem, m), target, DefaultDeviceSpec(target)));
    EXPECT_EQ(Listed({&named, 1}, {1, 700}, target), scanned) << ToString(named.problem);
  }
}

TEST(Serving, WhatAnEngineChoosesForAnyRowsIsListed) {
  EngineOptions options;
  options.enable_disk = false;
  const Engine engine(options);
  std::mt19937 random(7);
  for (const Served& served : kServed) {
    const CodeTarget target = ParseTarget(served.arch);
    const DeviceSpec& spec = DefaultDeviceSpec(target);
    const std::vector<NamedProblem> problems = Problems(served);
    std::set<std::string> listed;
    for (const NamedProblem& named : DistinctKernels(problems, {}, target, spec))
      listed.insert(engine.Render(named.problem, target, spec).text);
    for (int i = 0; i < 200; ++i) {
      const GemmProblem problem = WithRows(problems[random() % problems.size()].problem, 1 + random() % 8192);
      EXPECT_TRUE(listed.contains(engine.Render(problem, target, spec).text)) << ToString(problem);
    }
  }
}

TEST(Serving, OneKernelServesManyRowsAndManyWeights) {
  const CodeTarget target = ParseTarget("sm_90a");
  std::set<std::string> all;
  for (const Served& served : {kServed[0], kServed[1]}) {
    std::vector<NamedProblem> experts = ModelExperts("deepseek-v3");
    for (NamedProblem& named : experts) {
      SetDTypes(named.problem, served.dtypes);
      SetScaling(named.problem, ToString(served.scaling));
    }
    for (const std::string& kernel : Listed(Problems(served), {}, target)) all.insert(kernel);
    for (const std::string& kernel : Listed(experts, {}, target)) all.insert(kernel);
  }
  EXPECT_LE(all.size(), 60u);
  EXPECT_GE(all.size(), 20u);
}

TEST(Serving, NewKernelsComeFirst) {
  const CodeTarget target = ParseTarget("sm_90a");
  const DeviceSpec& spec = DefaultDeviceSpec(target);
  std::set<std::string> known;
  bool again = false;
  for (const NamedProblem& named : DistinctKernels(Problems(kServed[0]), {}, target, spec)) {
    const bool is_new = known.insert(KernelsOf(named.problem, target, spec)).second;
    EXPECT_FALSE(is_new && again) << ToString(named.problem);
    again = again || !is_new;
  }
  EXPECT_TRUE(again);
}

TEST(Serving, AModelsWeightsAreListedOnceAndAttentionIsLeftOut) {
  EXPECT_THAT(ModelWeights("deepseek-v3"), SizeIs(7));
  EXPECT_THAT(ModelWeights("llama-3-8b"), SizeIs(4));
  std::set<std::string> names;
  std::set<std::pair<std::int64_t, std::int64_t>> sizes;
  for (const NamedProblem& named :
       ModelWeights(std::string(GEMMSMITH_SOURCE_DIR) + "/examples/models/deepseek-v3.json")) {
    names.insert(named.name);
    EXPECT_TRUE(sizes.emplace(named.problem.n, named.problem.k).second) << named.name;
    EXPECT_EQ(LayoutName(named.problem), "nt");
  }
  EXPECT_TRUE(names.contains("attention.kv_b") && names.contains("experts.down") && names.contains("lm_head"));
  EXPECT_FALSE(names.contains("attention.scores") || names.contains("attention.values"));
  EXPECT_THROW(ModelWeights("none"), Error);
}

TEST(Serving, AModelsExpertsAreGroupedEachWay) {
  EXPECT_THAT(ModelExperts("llama-3-8b"), SizeIs(0));
  for (const std::string& model :
       {std::string("deepseek-v3"), std::string(GEMMSMITH_SOURCE_DIR) + "/examples/models/deepseek-v3.json"}) {
    const std::vector<NamedProblem> experts = ModelExperts(model);
    ASSERT_THAT(experts, SizeIs(4)) << model;
    for (const std::size_t i : {0, 1}) {
      EXPECT_THAT(experts[i].name, HasSubstr("experts.gate_up"));
      EXPECT_THAT(experts[i + 2].name, HasSubstr("experts.down"));
      EXPECT_EQ(experts[2 * i].problem.grouping, Grouping::kContiguous);
      EXPECT_EQ(experts[2 * i + 1].problem.grouping, Grouping::kMasked);
    }
  }
}

TEST(Serving, RefusesWhatItCannotList) {
  const CodeTarget gpu = ParseTarget("sm_90a"), cpu = ParseTarget("x86-64-avx512");
  GemmProblem transposed = MakeProblem(2, 64, 64, DType::kBf16, "tn"), batched = MakeProblem(1, 64, 64, DType::kBf16);
  SetBatch(batched, 2);
  const struct {
    GemmProblem problem;
    CodeTarget target;
    const char* complaint;
  } kRows[] = {{MakeProblem(1, 64, 64), cpu, "x86-64-avx512 are made when they are needed"},
               {transposed, gpu, "more than ranges of m"},
               {batched, gpu, "more than ranges of m"}};
  for (const auto& [problem, target, complaint] : kRows) {
    const NamedProblem named{"", problem};
    try {
      DistinctKernels({&named, 1}, {}, target, DefaultDeviceSpec(gpu));
      FAIL() << ToString(problem);
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr(complaint));
    }
  }
  NamedProblem unknown{"", MakeProblem(1, 64, 64, DType::kBf16)};
  SetDTypes(unknown.problem, "e4m3,e4m3,f32");
  const CodeTarget old = ParseTarget("sm_80");
  EXPECT_THAT(DistinctKernels({&unknown, 1}, {}, old, DefaultDeviceSpec(old)), SizeIs(1))
      << "whoever compiles it says why there is none";
}

TEST(Serving, RangesAreParsed) {
  EXPECT_EQ(ParseRowRange("5:77").first, 5);
  EXPECT_EQ(ParseRowRange("5:77").last, 77);
  EXPECT_EQ(ParseRowRange("8:8").last, 8);
  for (const char* text : {"", ":", "5", "5:", ":5", "0:5", "7:5", "5:7x", "5-7", "-1:5", "1:16777217"})
    EXPECT_THROW(ParseRowRange(text), Error) << text;
}

}  // namespace
}  // namespace gemmsmith
