// The command that measures candidates, and what the others make of it.
#include <gmock/gmock.h>

#include "../support/cli_testing.h"

namespace gemmsmith {
namespace {

using ::testing::HasSubstr;

const std::string kProblem = "--m 96 --n 128 --k 80 --device cpu ";

TEST_F(Cli, TunesAndExplainsThatItDid) {
  const Result tuned = Run("tune --json --budget 3s --candidates 3 " + kProblem);
  ASSERT_EQ(tuned.exit_code, 0) << tuned.err;
  const json result = tuned.Json().at("results").at(0);
  EXPECT_EQ(result.at("m_from"), 96);
  EXPECT_GT(result.at("before").at("us"), 0);
  EXPECT_GT(result.at("chosen").at("us"), 0);
  EXPECT_GE(result.at("candidates").size(), 3u);
  std::size_t timings = 0;
  for (const json& candidate : result.at("candidates")) timings += candidate.at("times_us").size();
  EXPECT_EQ(result.at("timings"), timings);

  const json explained = Run("explain --json " + kProblem).Json();
  EXPECT_EQ(explained.at("ranked").at(0).at("config"), result.at("chosen").at("config"));
  EXPECT_GT(explained.at("ranked").at(0).at("timings"), 0);
  EXPECT_THAT(explained.at("measured").get<std::string>(), HasSubstr("tuned, measured"));
  EXPECT_FALSE(explained.at("ranked").at(0).at("terms").empty());
  const Result text = Run("explain " + kProblem);
  EXPECT_THAT(text.out, HasSubstr("the first is chosen by measurements: tuned, measured"));
  EXPECT_EQ(Run("run --check --json " + kProblem).Json().at("config"), result.at("chosen").at("config"));
  EXPECT_EQ(List("results list --json", "databases").size(), 1u);
}

TEST_F(Cli, TunesAListAndPrintsATable) {
  const std::string shapes = Write("three.shapes", "up 8,16 64 48\ndown 8 48 64\n");
  const Result tuned = Run("tune --budget 3s --candidates 2 --device cpu --shapes " + shapes);
  ASSERT_EQ(tuned.exit_code, 0) << tuned.err;
  EXPECT_THAT(tuned.out, HasSubstr("before us"));
  for (const char* row : {"up               8x64x48", "up               16x64x48", "down             8x48x64"})
    EXPECT_THAT(tuned.out, HasSubstr(row));
}

TEST_F(Cli, ARangeOfMIsTunedOnceForEveryNAndK) {
  const std::string shapes = Write("two.shapes", "up 8,16,24 64 48\n");
  const json results = List("tune --json --dry-run --m-range 1:100 --device cpu --shapes " + shapes, "results");
  ASSERT_GT(results.size(), 1u);
  EXPECT_EQ(results.front().at("m_from"), 1);
  EXPECT_EQ(results.back().at("m_to"), 100);
  for (std::size_t i = 1; i < results.size(); ++i) {
    EXPECT_EQ(results[i].at("m_from").get<int>(), results[i - 1].at("m_to").get<int>() + 1);
    EXPECT_EQ(results[i].at("timings"), 0);
  }
  EXPECT_FALSE(fs::exists(Path("cache") + "/results"));
  const Result text = Run("tune --dry-run --m-range 1:100 --device cpu --shapes " + shapes);
  EXPECT_THAT(text.out, HasSubstr("us by the model"));
}

TEST_F(Cli, AnUnknownDeviceCannotBeTuned) { EXPECT_EQ(Run("tune --m 1 --n 1 --k 1 --device cuda:99").exit_code, 1); }

}  // namespace
}  // namespace gemmsmith
