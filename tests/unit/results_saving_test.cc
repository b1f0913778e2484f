// How results come into files: in the background, compressed, and laid out in lines that are read by parts.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zstd.h>

#include <nlohmann/json.hpp>
#include <regex>
#include <thread>

#include "../support/results_testing.h"
#include "results/compression.h"
#include "results/document.h"
#include "util/file_lock.h"

namespace gemmsmith {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using testing::IsSame;
using testing::kChip;
using testing::KeyOfShape;
using testing::ReadFile;
using testing::ResultOf;
using testing::Timed;
using testing::WriteFile;
namespace fs = std::filesystem;

using ResultsFolder = testing::ResultsFolder;

class InBackground : public ResultsFolder, public ::testing::WithParamInterface<ResultsStorage> {
 protected:
  ResultsOptions Options() const { return With({.storage = GetParam(), .save_in_background = true}); }
};
INSTANTIATE_TEST_SUITE_P(Storages, InBackground, ::testing::Values(ResultsStorage::kJson, ResultsStorage::kSqlite),
                         [](const auto& info) { return info.param == ResultsStorage::kJson ? "Json" : "Sqlite"; });

TEST_P(InBackground, EveryPutIsThereForItsOwnAndSavedByFlushAndAtTheEnd) {
  {
    ResultsDatabase database(kChip, Options());
    for (int m = 1; m <= 200; ++m) {
      database.Put(KeyOfShape(m), ResultOf(m));
      ASSERT_TRUE(database.Find(KeyOfShape(m))) << m;
    }
    EXPECT_TRUE(database.Flush());
    EXPECT_EQ(Open().Entries().size(), 200u);
    for (int m = 201; m <= 300; ++m) database.Put(KeyOfShape(m), ResultOf(m));
    database.AddTuning(Timed("a", {1}));
    EXPECT_EQ(database.Statistics().total_entries, 300u);
    EXPECT_EQ(database.Tunings().size(), 1u);
  }
  ResultsDatabase database = Open();
  EXPECT_EQ(database.Entries().size(), 300u);
  EXPECT_EQ(database.Tunings().size(), 1u);
  for (int m = 1; m <= 300; ++m) EXPECT_TRUE(IsSame(database.Find(KeyOfShape(m))->result, ResultOf(m))) << m;
}

TEST_P(InBackground, ManyThreadsPutAndGetAtOnceAndNothingIsLostOrDoubled) {
  constexpr int kThreads = 4, kEach = 100;
  {
    ResultsDatabase database(kChip, Options());
    std::vector<std::jthread> threads;
    for (int thread = 0; thread < kThreads; ++thread)
      threads.emplace_back([&database, thread] {
        for (int i = 1; i <= kEach; ++i) {
          const int m = thread * 1000 + i;
          database.Put(KeyOfShape(m), ResultOf(m));
          database.AddTuning(Timed("config " + std::to_string(m), {1}));
          if (i % 10 == 0) {
            EXPECT_TRUE(database.Find(KeyOfShape(m)));
            EXPECT_LE(database.Tunings().size(), static_cast<std::size_t>(kThreads * kEach));
          }
        }
      });
  }
  ResultsDatabase database = Open();
  EXPECT_EQ(database.Entries().size(), static_cast<std::size_t>(kThreads * kEach));
  EXPECT_EQ(database.Tunings().size(), static_cast<std::size_t>(kThreads * kEach));
}

TEST_P(InBackground, APutDoesNotWaitForTheLock) {
  ResultsOptions options = Options();
  options.lock_timeout = std::chrono::hours(1);  // Whoever waits for it never ends.
  ResultsDatabase(kChip, options).Put(KeyOfShape(1), ResultOf(1));
  ResultsDatabase database(kChip, options);
  {
    const auto lock = FileLock::Acquire((dir_ / "lock").string(), database.Statistics().fingerprint, 0ms);
    ASSERT_TRUE(lock);
    for (int m = 2; m <= 50; ++m) database.Put(KeyOfShape(m), ResultOf(m));
  }
  EXPECT_TRUE(database.Flush());
  EXPECT_EQ(Open().Entries().size(), 50u);
}

TEST_P(InBackground, RefusesWhatCannotBeAtOnce) {
  ResultsDatabase database(kChip, Options());
  GEMMResult result = ResultOf(1);
  result.latency_us = -1;
  EXPECT_THROW(database.Put(KeyOfShape(1), result), Error);
  EXPECT_THROW(database.AddTuning(Timed("a", {0})), Error);
  EXPECT_TRUE(database.Entries().empty());
}

TEST_F(ResultsFolder, WarnsOnceWhereNothingCanBeSavedInTheBackground) {
  WriteFile(dir_ / "file", "");
  const testing::Warnings warnings;
  ResultsDatabase database(kChip, {.directory = (dir_ / "file/below").string(), .save_in_background = true});
  for (int m = 1; m <= 20; ++m) database.Put(KeyOfShape(m), ResultOf(m));
  EXPECT_EQ(database.Entries().size(), 20u);
  EXPECT_FALSE(database.Flush());
  EXPECT_EQ(warnings.messages().size(), 1u);
}

TEST_F(ResultsFolder, ACompressedDocumentIsReadLikeAnyOther) {
  const std::string plain = MakeDocument(100);
  Open({.storage = ResultsStorage::kJson, .compress = true}).Prune({});
  const std::string compressed = ReadFile(File(".json"));
  ASSERT_TRUE(results::IsCompressed(compressed));
  EXPECT_LT(compressed.size(), plain.size() / 5);
  EXPECT_EQ(results::Decompress(results::Compress(plain), 1 << 30), plain);
  for (const bool compress : {false, true, false}) {
    ResultsDatabase database = Open({.storage = ResultsStorage::kJson, .compress = compress});
    EXPECT_EQ(database.Entries().size(), 100u);
    EXPECT_TRUE(IsSame(database.Find(KeyOfShape(77))->result, ResultOf(77)));
    database.Prune({});
    EXPECT_EQ(results::IsCompressed(ReadFile(File(".json"))), compress);
  }
  EXPECT_EQ(SetAside(), 0u);
}

TEST_F(ResultsFolder, ExportsMayBeCompressedAndAreImportedLikeOthers) {
  MakeDocument(20);
  const testing::TempDir other;
  const std::string file = (other / "all.json.zst").string();
  Open().Export(file, /*compress=*/true);
  EXPECT_TRUE(results::IsCompressed(ReadFile(file)));
  EXPECT_EQ(ResultsArchitecture(file), kChip);
  EXPECT_EQ(ResultsDatabase(kChip, {.directory = other.string()}).Import(file).results, 20u);
}

/// A frame that says it holds so many bytes.
std::string Claiming(std::string frame, std::uint64_t bytes) {
  // Magic, a descriptor with an 8-byte size and no window, the size; then what the frame had after its own head.
  std::string head("\x28\xb5\x2f\xfd\xe4", 5);
  for (int i = 0; i < 8; ++i) head += static_cast<char>(bytes >> 8 * i);
  return head + frame.substr(std::min<std::size_t>(frame.size(), 7));
}

TEST_F(ResultsFolder, ACompressedDocumentThatCannotBeRightIsSetAside) {
  const std::string plain = MakeDocument(100), frame = results::Compress(plain);
  std::string flipped = frame;
  flipped[frame.size() / 2] = static_cast<char>(flipped[frame.size() / 2] ^ 4);
  const std::pair<const char*, std::string> cases[] = {
      {"cut off", frame.substr(0, frame.size() / 2)},
      {"its magic alone", frame.substr(0, 4)},
      {"without its checksum", frame.substr(0, frame.size() - 4)},
      {"a flipped bit", flipped},
      {"bytes behind it", frame + "x"},
      {"two of them", frame + frame},
      {"one within another", results::Compress(frame)},
      {"2^60 bytes, it says", Claiming(frame, std::uint64_t{1} << 60)},
      {"2^29 bytes, it says", Claiming(frame, std::uint64_t{1} << 29)},
      {"no document", results::Compress("hello")},
      {"half of one", results::Compress(plain.substr(0, plain.size() / 2))}};
  for (const auto& [what, bytes] : cases) {
    const std::size_t aside = SetAside();
    WriteFile(File(".json").empty() ? dir_ / "x" : File(".json"), bytes);
    const testing::Warnings warnings;
    ResultsDatabase database = Open();
    EXPECT_TRUE(database.Entries().empty()) << what;
    ASSERT_EQ(warnings.messages().size(), 1u) << what;
    EXPECT_THAT(warnings.messages()[0], HasSubstr("set aside as ")) << what;
    EXPECT_EQ(SetAside(), aside + 1) << what;
    database.Put(KeyOfShape(1), ResultOf(1));
    database.Prune({});
  }
}

TEST(Decompress, StopsAtItsLimit) {
  const std::string frame = results::Compress(std::string(10 << 20, 'x'));
  EXPECT_LT(frame.size(), 10'000u);
  EXPECT_TRUE(results::Decompress(frame, 10 << 20));
  EXPECT_FALSE(results::Decompress(frame, (10 << 20) - 1));
}

/// What a reader makes of a document, in words.
std::string Judged(const results::Document& document) {
  std::string text = document.verdict.refused + "|" + document.verdict.damage + "|" + document.merged_journal;
  if (document.verdict.refused.empty())
    text += results::WriteDocument(document.contents, results::ParseArchitecture(kChip), "");
  return text;
}

TEST_F(ResultsFolder, DocumentsOfAnyLayoutReadTheSame) {
  const std::string text = MakeDocument(400);  // Several parts.
  const std::string expected = Judged(results::ReadDocument(text, kChip));
  EXPECT_THAT(expected, HasSubstr("\"M\":400,"));
  const std::string layouts[] = {nlohmann::json::parse(text).dump(), nlohmann::json::parse(text).dump(2),
                                 std::regex_replace(text, std::regex(R"((":|,)(["\[\{0-9tf]))"), "$1 $2"),
                                 std::string(100'000, ' ') + text};
  for (const std::string& layout : layouts) EXPECT_EQ(Judged(results::ReadDocument(layout, kChip)), expected);
}

TEST_F(ResultsFolder, ADocumentThatIsReadByPartsIsJudgedAsAWhole) {
  const std::string text = MakeDocument(250);
  testing::Random random;
  SCOPED_TRACE(random.trace());
  const std::string bits[] = {"",
                              ",",
                              "}",
                              "{",
                              "\n",
                              "\"",
                              "[",
                              ",\n",
                              "}\n  },\n  \"tuning_records\": [",
                              "\\",
                              "0",
                              "x",
                              "\n  \"cache_entries\": {",
                              "\n    \"0\": {},"};
  int refused = 0;
  for (int i = 0; i < 400; ++i) {
    std::string broken = text;
    // Mostly where the parts are cut.
    std::size_t at = random.Below(static_cast<std::uint32_t>(text.size()));
    if (i % 4 != 0) at = std::min(text.find(",\n", at), text.size() - 4);
    broken.replace(at, random.Below(4), bits[random.Below(std::size(bits))]);
    const std::string by_parts = Judged(results::ReadDocument(broken, kChip));
    // So far from its beginning nobody looks for the entries.
    EXPECT_EQ(by_parts, Judged(results::ReadDocument(std::string(40'000, ' ') + broken, kChip))) << at;
    refused += by_parts.starts_with("it is no JSON document");
  }
  EXPECT_GT(refused, 50);
  EXPECT_LT(refused, 390);
}

}  // namespace
}  // namespace gemmsmith
