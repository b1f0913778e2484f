// gemmsmith results: what is in the databases of a cache folder.
#include <gmock/gmock.h>

#include "../support/cli_testing.h"
#include "../support/results_testing.h"

namespace gemmsmith {
namespace {

using ::testing::HasSubstr;
using testing::kChip;
using testing::KeyOfShape;
using testing::ResultOf;
using testing::Timed;

class ResultsCli : public Cli {
 protected:
  ResultsCli() {
    ResultsDatabase database(kChip, {.directory = Path("cache/results")});
    for (int m = 1; m <= 5; ++m) database.Put(KeyOfShape(m), ResultOf(m));
    database.AddTuning(Timed("simt block_m=64", {10, 11}));
    fingerprint_ = database.Statistics().fingerprint;
  }
  std::string fingerprint_;
};

TEST_F(ResultsCli, ListsTheDatabases) {
  const json list = List("results list --json", "databases");
  ASSERT_EQ(list.size(), 1u);
  EXPECT_EQ(list[0]["arch_fingerprint"], fingerprint_);
  EXPECT_EQ(list[0]["architecture"], json::parse(kChip));
  EXPECT_EQ(list[0]["total_entries"], 5);
  EXPECT_EQ(list[0]["tuning_records"], 1);
  EXPECT_THAT(Run("results list").out, HasSubstr("SG2262, 64 cores"));
  EXPECT_THAT(Run("results list --cache-dir " + Path("none")).out, HasSubstr("no results"));
}

TEST_F(ResultsCli, ShowsOneByTheFirstDigits) {
  const json shown = Run("results show " + fingerprint_.substr(0, 5) + " --limit 3 --json").Json();
  ASSERT_EQ(shown["results"].size(), 3u);
  EXPECT_EQ(shown["results"][1]["shape"]["M"], 2);
  EXPECT_EQ(shown["results"][1]["latency_us"], 102.1);
  EXPECT_EQ(shown["tunings"][0]["times_us"], json({10.0, 11.0}));
  EXPECT_THAT(Run("results show " + fingerprint_).out, HasSubstr("1 x 5 x 4096 x 7168"));
  EXPECT_EQ(Run("results show 0xyz --json").exit_code, 1);
}

TEST_F(ResultsCli, MovesThemThroughADocument) {
  ASSERT_EQ(Run("results export " + fingerprint_ + " " + Path("all.json")).exit_code, 0);
  const std::string import = "results import " + Path("all.json") + " --json --cache-dir " + Path("other");
  EXPECT_EQ(Run(import).Json()["results"], 5);
  EXPECT_EQ(Run(import).Json()["results"], 0);
  EXPECT_EQ(List("results list --json --cache-dir " + Path("other"), "databases")[0]["tuning_records"], 1);
  ASSERT_EQ(Run("results export --compress " + fingerprint_ + " " + Path("all.zst")).exit_code, 0);
  EXPECT_EQ(testing::ReadFile(Path("all.zst")).substr(0, 4), "\x28\xb5\x2f\xfd");
  EXPECT_EQ(Run("results import " + Path("all.zst") + " --json --cache-dir " + Path("third")).Json()["results"], 5);
  EXPECT_EQ(Run("results import " + Write("broken.json", "{") + " --json").Json()["error"]["code"], "invalid argument");
}

TEST_F(ResultsCli, PrunesByCount) {
  EXPECT_EQ(Run("results prune").exit_code, 2) << "a limit is missing";
  const json would = Run("results prune --max-count 2 --dry-run --json").Json();
  EXPECT_EQ(would["results"].get<int>() + would["tunings"].get<int>(), 4);
  EXPECT_EQ(List("results list --json", "databases")[0]["total_entries"], 5);
  ASSERT_EQ(Run("results prune --max-count 0").exit_code, 0);
  EXPECT_EQ(List("results list --json", "databases")[0]["total_entries"], 0);
}

}  // namespace
}  // namespace gemmsmith
