// Several processes on one results database: killed, and never losing what was put. GEMMSMITH_RESULTS_SECONDS=60 makes
// it a minute; what is quoted in docs/results.md is that.
#include <fcntl.h>
#include <gtest/gtest.h>

#include <csignal>
#include <cstdlib>
#include <map>
#include <set>
#include <thread>

#include "../support/results_testing.h"
#include "util/file.h"
#include "util/file_lock.h"

namespace gemmsmith {
namespace {

using namespace std::chrono_literals;
using testing::Await;
using testing::kChip;
using testing::KeyOfShape;
using testing::ResultOf;
using testing::Spawn;
using testing::Timed;

constexpr int kWriters = 8;

std::chrono::seconds Duration() {
  const char* text = std::getenv("GEMMSMITH_RESULTS_SECONDS");
  return std::chrono::seconds(text != nullptr ? std::atoi(text) : 3);
}

/// A file to which writers add what was saved, after it was.
class Witness {
 public:
  explicit Witness(std::string path) : path_(std::move(path)) { testing::WriteFile(path_, ""); }
  /// One write of a few bytes: whole or not at all.
  void Say(std::int64_t number) const {
    const UniqueFd fd(open(path_.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC));
    WriteFully(fd.get(), std::to_string(number) + "\n");
  }
  std::vector<std::int64_t> Heard() const {
    std::ifstream file(path_);
    std::vector<std::int64_t> numbers;
    for (std::int64_t number = 0; file >> number;) numbers.push_back(number);
    return numbers;
  }

 private:
  std::string path_;
};

class ResultsProcesses : public ::testing::TestWithParam<ResultsStorage> {
 protected:
  ResultsOptions Options() const {
    return {.directory = (dir_ / "results").string(), .storage = GetParam(), .max_json_entries = 1'000'000};
  }
  /// Puts results and tuning records whose numbers are its own, until it is killed.
  bool Write(const Witness& witness, std::int64_t first) const {
    for (std::int64_t number = first;;) {
      // Often anew, so that documents are read and written, too.
      ResultsDatabase database(kChip, Options());
      for (int i = 0; i < 300; ++i, ++number) {
        database.Put(KeyOfShape(number), ResultOf(number));
        if (number % 4 == 0) database.AddTuning(Timed("config " + std::to_string(number), {1.0 + i}));
        witness.Say(number);
      }
    }
    return true;
  }
  testing::TempDir dir_;
  testing::Random random_;
  ::testing::ScopedTrace trace_{__FILE__, __LINE__, random_.trace()};
};
INSTANTIATE_TEST_SUITE_P(Storages, ResultsProcesses, ::testing::Values(ResultsStorage::kJson, ResultsStorage::kSqlite),
                         [](const auto& info) { return info.param == ResultsStorage::kJson ? "Json" : "Sqlite"; });

TEST_P(ResultsProcesses, EightKilledWritersLoseNothingButTheRecordInFlight) {
  const testing::Warnings warnings;
  const Witness witness((dir_ / "witness").string());
  std::int64_t generation = 1;
  std::vector<pid_t> writers(kWriters, 0);
  const auto start = [&](pid_t& writer) {
    const std::int64_t first = 1'000'000 * generation++;
    writer = Spawn([&] { return Write(witness, first); });
  };
  for (pid_t& writer : writers) start(writer);
  const auto end = std::chrono::steady_clock::now() + Duration();
  int kills = 0;
  for (; std::chrono::steady_clock::now() < end; ++kills) {
    std::this_thread::sleep_for(std::chrono::milliseconds(random_.Below(60)));
    pid_t& writer = writers[random_.Below(kWriters)];
    kill(writer, SIGKILL);
    ASSERT_EQ(Await(writer), 128 + SIGKILL);
    start(writer);
  }
  for (const pid_t writer : writers) {
    kill(writer, SIGKILL);
    Await(writer);
  }
  ResultsDatabase database(kChip, Options());
  std::set<std::int64_t> numbers;
  std::map<std::string, int> configs;
  for (const StoredResult& entry : database.Entries()) {
    ASSERT_TRUE(testing::IsSame(entry.result, ResultOf(entry.key.shape.M)));
    numbers.insert(entry.key.shape.M);
  }
  for (const TuningRecord& record : database.Tunings()) ++configs[record.config];
  const std::vector<std::int64_t> heard = witness.Heard();
  ASSERT_GT(heard.size(), 0u);
  for (const std::int64_t number : heard) {
    ASSERT_TRUE(numbers.contains(number)) << number;
    ASSERT_EQ(configs.count("config " + std::to_string(number)), number % 4 == 0 ? 1u : 0u) << number;
  }
  for (const auto& [config, count] : configs) EXPECT_EQ(count, 1) << config;
  EXPECT_LE(numbers.size(), heard.size() + static_cast<std::size_t>(kills) + kWriters) << "records in flight";
  EXPECT_TRUE(warnings.messages().empty()) << warnings.messages()[0];
  std::printf("%zu puts, %d kills, %zu results\n", heard.size(), kills, numbers.size());
}

TEST_P(ResultsProcesses, StartedTogetherTheyAllEndWithEverything) {
  std::vector<pid_t> writers;
  for (int i = 0; i < kWriters; ++i)
    writers.push_back(Spawn([&, i] {
      ResultsDatabase database(kChip, Options());
      for (int m = 1; m <= 200; ++m) database.Put(KeyOfShape(i * 1000 + m), ResultOf(i * 1000 + m));
      return database.Flush();
    }));
  for (const pid_t writer : writers) EXPECT_EQ(Await(writer), 0);
  EXPECT_EQ(ResultsDatabase(kChip, Options()).Entries().size(), kWriters * 200u);
}

TEST(ResultsLock, WhereItIsHeldForLongWorkGoesOnInMemoryAndIsSavedLater) {
  const testing::TempDir dir;
  const ResultsOptions options{.directory = dir.string(), .lock_timeout = 50ms};
  ResultsDatabase database(kChip, options);
  database.Put(KeyOfShape(1), ResultOf(1));
  const testing::Warnings warnings;
  {
    const auto lock = FileLock::Acquire((dir / "lock").string(), database.Statistics().fingerprint, 0ms);
    ASSERT_TRUE(lock);
    for (int m = 2; m <= 20; ++m) database.Put(KeyOfShape(m), ResultOf(m));
    EXPECT_TRUE(database.Find(KeyOfShape(20)));
    EXPECT_EQ(ResultsDatabase(kChip, options).Entries().size(), 1u);
    EXPECT_EQ(warnings.messages().size(), 1u);
  }
  EXPECT_TRUE(database.Flush());
  EXPECT_EQ(ResultsDatabase(kChip, options).Entries().size(), 20u);
}

}  // namespace
}  // namespace gemmsmith
