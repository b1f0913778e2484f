#include <gmock/gmock.h>

#include "../support/cli_testing.h"

namespace gemmsmith {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

/// Words of the command line are split at spaces, which the folder of the sources may have in its name.
class CliEvaluate : public Cli {
 protected:
  const std::string chip_ = " --chip " + Copy("chips/sg2262.json", "chip.json");
  const std::string model_ = " --model " + Copy("models/deepseek-v3.json", "model.json");

 private:
  std::string Copy(const char* example, const char* name) const {
    return Write(name, Read(fs::path(GEMMSMITH_SOURCE_DIR) / "examples" / example));
  }
};

TEST_F(CliEvaluate, EvaluateSaysHowAProblemIsBestRun) {
  const std::string problem = "evaluate --m 4096 --n 7168 --k 2048 --json" + chip_;
  const Result off = Run(problem);
  ASSERT_EQ(off.exit_code, 0) << off.err;
  const json document = off.Json();
  EXPECT_EQ(document.at("chip").at("chip_type"), "SG2262");
  EXPECT_EQ(document.at("chip").at("dram_gbps"), 512);
  EXPECT_EQ(document.at("fingerprint").get<std::string>().size(), 16u);
  EXPECT_EQ(document.at("search_mode").at("tile_search"), false);
  const json& entry = document.at("results").at(0);
  EXPECT_EQ(entry.at("shape"), json({{"G", 1}, {"M", 4096}, {"K", 2048}, {"N", 7168}}));
  EXPECT_EQ(entry.at("dtypes"), json({{"input", "bf16"}, {"output", "bf16"}}));
  EXPECT_THAT(entry.at("result").at("best_tile"), ElementsAre(16, 16, 32));
  EXPECT_THAT(entry.at("result").at("best_partition"), ElementsAre(1, 8, 8, 1));

  const json searched = Run(problem + " --tile-search --partition-search").Json();
  const json& best = searched.at("results").at(0).at("result");
  EXPECT_LT(best.at("latency_us"), entry.at("result").at("latency_us"));
  EXPECT_EQ(best.at("flops"), 2.0 * 4096 * 7168 * 2048);
  EXPECT_GE(searched.at("results").at(0).at("metadata").at("num_searched_tiles"), 1);
  const json roofline = Run(problem + " --roofline").Json();
  EXPECT_LE(roofline.at("results").at(0).at("result").at("latency_us"), best.at("latency_us"));
  EXPECT_LT(Run(problem + " --dtype s8,s8,s8 --tile-search --partition-search")
                .Json()
                .at("results")
                .at(0)
                .at("result")
                .at("compute_time_us"),
            best.at("compute_time_us"));
}

TEST_F(CliEvaluate, EvaluateRemembersWhatItFound) {
  const std::string line = "evaluate --tile-search --partition-search --seq 1,64 --json" + chip_ + model_;
  const json first = Run(line).Json(), second = Run(line).Json();
  EXPECT_EQ(first.at("known_before"), 0);
  EXPECT_GT(first.at("distinct_shapes"), 10);
  EXPECT_EQ(second.at("known_before"), second.at("distinct_shapes"));
  EXPECT_EQ(second.at("passes"), first.at("passes"));
  EXPECT_EQ(Run(line + " --no-cache").Json().at("known_before"), 0);
  // Another mode, and another chip, are other questions.
  EXPECT_EQ(Run("evaluate --tile-search --seq 1,64 --json" + chip_ + model_).Json().at("known_before"), 0);
  const json listed = Run("results list --json").Json();
  EXPECT_THAT(listed.dump(), HasSubstr(first.at("fingerprint").get<std::string>()));
}

TEST_F(CliEvaluate, EvaluateListsTheGemmsOfAModelAndTheLossOfShortcuts) {
  const std::string line = "evaluate --tile-search --partition-search --seq 1,64 --batch 2" + chip_ + model_;
  const Result exact = Run(line + " --json");
  ASSERT_EQ(exact.exit_code, 0) << exact.err;
  const json passes = exact.Json().at("passes");
  ASSERT_EQ(passes.size(), 2u);
  EXPECT_EQ(passes[1].at("seq"), 64);
  EXPECT_EQ(passes[1].at("batch"), 2);
  EXPECT_EQ(passes[1].at("results").size(), 15u);
  double total = 0;
  for (const json& gemm : passes[1].at("results"))
    total += gemm.at("count").get<double>() * gemm.at("result").at("latency_us").get<double>();
  EXPECT_DOUBLE_EQ(passes[1].at("total_latency_us"), total);
  EXPECT_FALSE(passes[1].contains("total_loss"));
  const json fast = Run(line + " --json --effort fast --jobs 2").Json().at("passes");
  EXPECT_GT(fast[1].at("total_loss"), 0);
  for (const json& gemm : fast[1].at("results")) EXPECT_GE(gemm.at("loss"), 0);

  const Result text = Run(line + " --effort balanced");
  EXPECT_THAT(text.out, HasSubstr("2 sequences of 64 tokens"));
  EXPECT_THAT(text.out, HasSubstr("experts.gate_up"));
  EXPECT_THAT(text.out, HasSubstr("% more than by exact search"));
  EXPECT_THAT(text.out, HasSubstr("30 distinct shapes"));
}

TEST_F(CliEvaluate, EvaluateTakesAShapesFile) {
  const Result result = Run("evaluate --shapes llama-3-8b --dtype bf16 --json" + chip_);
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.Json().at("results").at(0).at("name").get<std::string>(), HasSubstr("llama3"));
  EXPECT_THAT(Run("evaluate --shapes llama-3-8b" + chip_).err, HasSubstr("no peak for f32 inputs"));
}

TEST_F(CliEvaluate, EvaluateSaysWhatIsWrong) {
  const std::pair<std::string, const char*> usage[] = {
      {"evaluate --m 1 --n 1 --k 1", "--chip"},
      {"evaluate" + chip_, "a problem"},
      {"evaluate --m 1 --n 1 --k 1 --seq 4" + chip_, "--model"},
      {"evaluate --m 1 --n 1 --k 1" + model_ + chip_, "--m"},
      {"evaluate --m 1 --n 1 --k 1 --effort some" + chip_, "--effort"},
      {"evaluate --m 1 --n 1 --k 1 --effort fast --roofline" + chip_, "--roofline"},
      {"evaluate --m 1 --n 1 --k 1 --effort fast" + chip_, "--effort requires --tile-search or --partition-search"},
      {"evaluate --m 1 --n 1 --k 1 --layout nt" + chip_, "--layout"},
  };
  for (const auto& [line, message] : usage) {
    const Result result = Run(line);
    EXPECT_EQ(result.exit_code, 2) << line;
    EXPECT_THAT(result.err, HasSubstr(message)) << line;
  }
  const std::string broken = Write("broken.json", R"({"chip_type": "x", "num_cores": 0})");
  const std::pair<std::string, const char*> failures[] = {
      {"evaluate --m 1 --n 1 --k 1 --chip nowhere.json", "there is no file \"nowhere.json\""},
      {"evaluate --m 1 --n 1 --k 1 --chip " + broken, "sram_kb is missing"},
      {"evaluate --m 0 --n 1 --k 1" + chip_, "M=0 is not at least 1"},
      {"evaluate --model " + broken + chip_, "hidden_size=0"},
  };
  for (const auto& [line, message] : failures) {
    const Result result = Run(line + " --json");
    EXPECT_EQ(result.exit_code, 1) << line;
    EXPECT_THAT(result.Json().at("error").at("message").get<std::string>(), HasSubstr(message)) << line;
  }
}

}  // namespace
}  // namespace gemmsmith
