// Files of the results database that are broken, foreign, of another version, or half written.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <regex>

#include "../support/results_testing.h"
#include "gemmsmith/results.h"

namespace gemmsmith {
namespace {

using testing::FilesBelow;
using ::testing::HasSubstr;
using testing::IsSame;
using testing::kChip;
using testing::KeyOfShape;
using testing::ReadFile;
using testing::ResultOf;
using testing::Timed;
using testing::WriteFile;
using ResultsFiles = testing::ResultsFolder;
namespace fs = std::filesystem;

TEST_F(ResultsFiles, AnotherMajorVersionEmptiesAnotherMinorMarksAnotherPatchKeeps) {
  const std::string text = MakeDocument();
  const struct {
    const char* version;
    bool keeps, marks;
  } cases[] = {{"1.0.0", true, false},  {"1.0.9", true, false}, {"1.7.0", true, true},   {"0.9.0", false, false},
               {"2.0.0", false, false}, {"1", false, false},    {"1.0.0x", false, false}};
  for (const auto& [version, keeps, marks] : cases) {
    const testing::Warnings warnings;
    const std::size_t aside = SetAside();
    WriteFile(File(".json"), std::regex_replace(text, std::regex("\"1\\.0\\.0\""), "\"" + std::string(version) + "\""));
    {
      ResultsDatabase database = Open();
      const auto found = database.Find(KeyOfShape(2));
      EXPECT_EQ(found.has_value(), keeps) << version;
      EXPECT_EQ(found && found->to_be_verified, marks) << version;
      EXPECT_EQ(SetAside() - aside, keeps ? 0u : 1u) << version;
      EXPECT_EQ(warnings.messages().size(), keeps ? 0u : 1u) << version;
      database.Put(KeyOfShape(3), ResultOf(3));
      EXPECT_FALSE(database.Find(KeyOfShape(3))->to_be_verified);
    }
    const auto again = Open().Find(KeyOfShape(2));
    EXPECT_EQ(again && again->to_be_verified, marks) << version << ": the mark stays until it is put anew";
    Open().Prune({});
    EXPECT_THAT(ReadFile(File(".json")), HasSubstr("\"version\": \"1.0.0\""));
    WriteFile(File(".json"), text);
  }
}

TEST_F(ResultsFiles, AFileThatCannotBeRightIsSetAsideNamedAndNotUsed) {
  const std::string text = MakeDocument();
  const auto replaced = [&](const char* what, const char* with) {
    return std::regex_replace(text, std::regex(what), with);
  };
  const std::string cases[] = {text.substr(0, text.size() / 2),
                               "",
                               "hello",
                               "[]",
                               "{}",
                               std::string(5000, '['),
                               replaced("2025.01", "2031.01"),
                               replaced("\"num_cores\":64", "\"num_cores\":63")};
  for (const std::string& bytes : cases) {
    const std::size_t aside = SetAside();
    WriteFile(File(".json").empty() ? dir_ / "x" : File(".json"), bytes);
    const testing::Warnings warnings;
    ResultsDatabase database = Open();
    EXPECT_FALSE(database.Find(KeyOfShape(2))) << bytes.substr(0, 100);
    ASSERT_EQ(warnings.messages().size(), 1u) << bytes.substr(0, 100);
    EXPECT_THAT(warnings.messages()[0], HasSubstr("set aside as " + dir_.string()));
    EXPECT_EQ(SetAside(), aside + 1);
    database.Put(KeyOfShape(1), ResultOf(1));
    database.Prune({});
    EXPECT_TRUE(Open().Find(KeyOfShape(1)));
  }
}

TEST_F(ResultsFiles, AnEntryThatCannotBeRightIsLeftOutAndTheRestUsed) {
  const std::string text = MakeDocument();
  const struct {
    const char *what, *with;
  } cases[] = {{"\"M\":2,", "\"M\":-2,"},
               {"\"M\":2,", "\"M\":\"2\","},
               {"\"M\":2,", "\"M\":2.5,"},
               {"\"M\":2,", ""},
               {"\"latency_us\":102.1", "\"latency_us\":-102.1"},
               {"\"latency_us\":102.1", "\"latency_us\":true"},
               {"\"times_us\":\\[10", "\"times_us\":[-10"}};
  for (const auto& [what, with] : cases) {
    WriteFile(File(".json"), std::regex_replace(text, std::regex(what), with));
    const std::size_t aside = SetAside();
    const testing::Warnings warnings;
    ResultsDatabase database = Open();
    EXPECT_EQ(database.Entries().size() + database.Tunings().size(), 3u) << what;
    EXPECT_TRUE(IsSame(database.Find(KeyOfShape(3))->result, ResultOf(3)));
    EXPECT_EQ(warnings.messages().size(), 1u);
    EXPECT_EQ(SetAside(), aside + 1) << "as it was";
    EXPECT_EQ(Open().Entries().size() + Open().Tunings().size(), 3u);
    EXPECT_EQ(SetAside(), aside + 1) << "but once";
  }
}

TEST_F(ResultsFiles, AJournalThatEndsWithinARecordLosesThatRecordAlone) {
  {
    ResultsDatabase database = Open();
    for (int m = 1; m <= 4; ++m) database.Put(KeyOfShape(m), ResultOf(m));
  }
  const std::string whole = ReadFile(File(".journal"));
  const std::size_t last = whole.rfind('\n', whole.size() - 2) + 1;
  const testing::Warnings warnings;
  for (std::size_t size = last; size < whole.size(); size += 7) {
    WriteFile(File(".journal"), whole.substr(0, size));
    {
      ResultsDatabase database = Open();
      EXPECT_EQ(database.Entries().size(), 3u) << size;
      database.Put(KeyOfShape(9), ResultOf(9));
    }
    ResultsDatabase database = Open();
    EXPECT_EQ(database.Entries().size(), 4u) << size;
    EXPECT_TRUE(database.Find(KeyOfShape(9))) << size;
  }
  EXPECT_TRUE(warnings.messages().empty());
}

TEST_F(ResultsFiles, AFlippedBitInTheJournalIsNeverMisread) {
  {
    ResultsDatabase database = Open();
    for (int m = 1; m <= 3; ++m) database.Put(KeyOfShape(m), ResultOf(m));
  }
  const std::string whole = ReadFile(File(".journal"));
  const fs::path path = File(".journal");
  for (std::size_t bit = 3; bit < whole.size() * 8; bit += 37) {
    std::string flipped = whole;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << bit % 8));
    const testing::TempDir copy(testing::MemoryFolder());
    WriteFile(copy / path.filename().string(), flipped);
    const testing::Warnings warnings;
    ResultsDatabase database(kChip, {.directory = copy.string()});
    for (const StoredResult& entry : database.Entries())
      EXPECT_TRUE(IsSame(entry.result, ResultOf(entry.key.shape.M))) << "bit " << bit;
    EXPECT_LT(database.Entries().size(), 3u + (bit / 8 == whole.size() - 1)) << "bit " << bit;
  }
}

TEST_F(ResultsFiles, AJournalThatTheDocumentHasAlreadyIsNotCountedTwice) {
  {
    ResultsDatabase database = Open();
    database.Put(KeyOfShape(1), ResultOf(1));
    database.AddTuning(Timed("a", {1}));
    database.Find(KeyOfShape(1));
  }
  const fs::path path = File(".journal");
  const std::string journal = ReadFile(path);
  Open().Prune({});
  WriteFile(path, journal);  // As if whoever wrote the document had been killed before removing it.
  const auto check = [&] {
    ResultsDatabase database = Open();
    EXPECT_EQ(database.Tunings().size(), 1u);
    EXPECT_EQ(database.Statistics().cache_hits, 1u);
    EXPECT_DOUBLE_EQ(database.Statistics().total_search_time_hours, 12.5 / 3.6e6);
  };
  check();
  Open().Put(KeyOfShape(1), ResultOf(1));
  EXPECT_EQ(Open().Tunings().size(), 1u);
}

TEST_F(ResultsFiles, ABrokenSqliteFileIsSetAsideAndWhatCanBeReadIsKept) {
  const ResultsOptions options{.storage = ResultsStorage::kSqlite};
  {
    ResultsDatabase database = Open(options);
    for (int m = 1; m <= 40; ++m) database.Put(KeyOfShape(m), ResultOf(m));
  }
  const fs::path path = File(".sqlite");
  const std::string whole = ReadFile(path);
  const auto damaged = [&](const std::string& bytes, std::size_t least) {
    for (const fs::path& file : FilesBelow(dir_.string())) fs::remove(file);
    WriteFile(path, bytes);
    const testing::Warnings warnings;
    ResultsDatabase database = Open(options);
    for (int m = 1; m <= 40; ++m) database.Find(KeyOfShape(m));
    for (const StoredResult& entry : database.Entries()) EXPECT_TRUE(IsSame(entry.result, ResultOf(entry.key.shape.M)));
    EXPECT_GE(database.Entries().size(), least);
    EXPECT_EQ(SetAside(), 1u);
    EXPECT_EQ(warnings.messages().size(), 1u);
    database.Put(KeyOfShape(77), ResultOf(77));
    EXPECT_TRUE(Open(options).Find(KeyOfShape(77)));
  };
  std::string flipped = whole;
  const std::size_t at = flipped.rfind("\"M\":20,");
  ASSERT_NE(at, flipped.npos);
  flipped[at + 4] = '3';
  damaged(flipped, 39);
  damaged(whole.substr(0, whole.size() / 2), 0);
  damaged("SQLite format 3", 0);
  damaged(std::string(10'000, 'x'), 0);
}

TEST_F(ResultsFiles, ASqliteFileOfSomethingElseIsNotUsed) {
  const ResultsOptions options{.storage = ResultsStorage::kSqlite};
  Open(options).Put(KeyOfShape(1), ResultOf(1));
  const fs::path path = File(".sqlite");
  const std::string whole = ReadFile(path);
  const std::pair<std::string, std::string> cases[] = {{"2025.01", "2031.01"},
                                                       {"1.0.0", "2.0.0"},
                                                       {"\"num_cores\":64", "\"num_cores\":63"},
                                                       {"TABLE tunings", "TABLE tunungs"}};
  for (const auto& [what, with] : cases) {
    std::string other = whole;
    const std::size_t at = other.find(what);
    ASSERT_NE(at, other.npos) << what;
    other.replace(at, what.size(), with);
    for (const fs::path& file : FilesBelow(dir_.string())) fs::remove(file);
    WriteFile(path, other);
    const testing::Warnings warnings;
    EXPECT_FALSE(Open(options).Find(KeyOfShape(1))) << what;
    EXPECT_EQ(SetAside(), 1u) << what;
    EXPECT_EQ(warnings.messages().size(), 1u) << what;
  }
}

}  // namespace
}  // namespace gemmsmith
