// The results database: the same laws for all that it may be kept in.
#include "gemmsmith/results.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <regex>

#include "../support/results_testing.h"

namespace gemmsmith {
namespace {

using ::testing::ElementsAre;
using testing::FilesBelow;
using ::testing::HasSubstr;
using testing::IsSame;
using testing::kChip;
using testing::KeyOfShape;
using testing::ReadFile;
using testing::ResultOf;
using testing::Timed;
using testing::WriteFile;
namespace fs = std::filesystem;
using nlohmann::json;

using InFolder = testing::ResultsFolder;

class Results : public testing::ResultsFolder, public ::testing::WithParamInterface<ResultsStorage> {
 protected:
  ResultsDatabase Open() const { return ResultsFolder::Open({.storage = GetParam()}); }
};
INSTANTIATE_TEST_SUITE_P(Storages, Results, ::testing::Values(ResultsStorage::kJson, ResultsStorage::kSqlite),
                         [](const auto& info) { return info.param == ResultsStorage::kJson ? "Json" : "Sqlite"; });

TEST_P(Results, KeepsEveryFieldForTheNextProcess) {
  {
    ResultsDatabase database = Open();
    EXPECT_FALSE(database.Find(KeyOfShape(7)));
    database.Put(KeyOfShape(7), ResultOf(7));
    EXPECT_TRUE(IsSame(database.Find(KeyOfShape(7))->result, ResultOf(7)));
  }
  ResultsDatabase database = Open();
  const auto found = database.Find(KeyOfShape(7));
  ASSERT_TRUE(found);
  EXPECT_EQ(found->key, KeyOfShape(7));
  EXPECT_TRUE(IsSame(found->result, ResultOf(7)));
  EXPECT_FALSE(found->to_be_verified);
  EXPECT_NEAR(static_cast<double>(found->created_unix), static_cast<double>(std::time(nullptr)), 60);
}

TEST_P(Results, DifferInEveryPartOfTheKey) {
  ResultsDatabase database = Open();
  const ResultKey key = KeyOfShape(7);
  database.Put(key, ResultOf(1));
  std::vector<ResultKey> others(10, key);
  others[0].shape.G = 2;
  others[1].shape.M = 8;
  others[2].shape.K = 8;
  others[3].shape.N = 8;
  others[4].shape.input_dtype = DType::kS8;
  others[5].shape.output_dtype = DType::kBf16;
  others[6].mode.tile_search = false;
  others[7].mode.partition_search = false;
  others[8].mode.effort = SearchEffort::kFast;
  others[9].mode.use_precise_evaluator = false;
  for (const ResultKey& other : others) EXPECT_FALSE(database.Find(other));
  for (std::size_t i = 0; i < others.size(); ++i) database.Put(others[i], ResultOf(static_cast<std::int64_t>(i) + 2));
  ResultsDatabase again = Open();
  EXPECT_TRUE(IsSame(again.Find(key)->result, ResultOf(1)));
  for (std::size_t i = 0; i < others.size(); ++i)
    EXPECT_TRUE(IsSame(again.Find(others[i])->result, ResultOf(static_cast<std::int64_t>(i) + 2))) << i;
  EXPECT_EQ(again.Entries().size(), 11u);
}

TEST_P(Results, SeeAtOnceWhatOthersPut) {
  ResultsDatabase one = Open(), other = Open();
  for (int m = 1; m <= 5; ++m) {
    (m % 2 != 0 ? one : other).Put(KeyOfShape(m), ResultOf(m));
    EXPECT_TRUE(IsSame((m % 2 != 0 ? other : one).Find(KeyOfShape(m))->result, ResultOf(m)));
  }
  one.Prune({});  // Writes a document, behind the other's back.
  other.Put(KeyOfShape(6), ResultOf(6));
  for (int m = 1; m <= 6; ++m) EXPECT_TRUE(one.Find(KeyOfShape(m)) && other.Find(KeyOfShape(m))) << m;
  EXPECT_EQ(Open().Entries().size(), 6u);
}

TEST_P(Results, APutReplacesWhatIsThere) {
  ResultsDatabase database = Open();
  for (int i = 1; i <= 3; ++i) database.Put(KeyOfShape(7), ResultOf(i));
  EXPECT_TRUE(IsSame(database.Find(KeyOfShape(7))->result, ResultOf(3)));
  EXPECT_TRUE(IsSame(Open().Find(KeyOfShape(7))->result, ResultOf(3)));
  EXPECT_EQ(Open().Statistics().total_entries, 1u);
}

TEST_P(Results, CountHitsMissesAndSearchTimeOfAllProcesses) {
  for (int run = 0; run < 3; ++run) {
    ResultsDatabase database = Open();
    database.Find(KeyOfShape(1000 + run));
    database.Put(KeyOfShape(run + 1), ResultOf(run));
    for (int i = 0; i < 4; ++i) database.Find(KeyOfShape(run + 1));
  }
  const ResultsStatistics statistics = Open().Statistics();
  EXPECT_EQ(statistics.cache_hits, 12u);
  EXPECT_EQ(statistics.cache_misses, 3u);
  EXPECT_EQ(statistics.total_entries, 3u);
  EXPECT_DOUBLE_EQ(statistics.total_search_time_hours, 3 * 12.5 / 3.6e6);
  EXPECT_EQ(statistics.storage, GetParam() == ResultsStorage::kJson ? "json" : "sqlite");
  EXPECT_EQ(statistics.directory, dir_.string());
  EXPECT_EQ(statistics.architecture, kChip);
}

TEST_P(Results, KeepEveryTimingAndChooseByAllOfThem) {
  {
    ResultsDatabase database = Open();
    database.AddTuning(Timed("a", {10, 30, 11}));
    database.AddTuning(Timed("b", {20}));
    database.AddTuning(Timed("a", {12, 13}));
    database.AddTuning(Timed("c", {1}, "old"));
  }
  ResultsDatabase database = Open();
  EXPECT_THAT(database.Tunings(),
              ElementsAre(Timed("a", {10, 30, 11}), Timed("b", {20}), Timed("a", {12, 13}), Timed("c", {1}, "old")));
  EXPECT_TRUE(database.Tunings("another problem").empty());
  const auto fastest = database.Fastest(Timed("a", {1}).problem, [](const std::string&) { return "d1"; });
  ASSERT_EQ(fastest.size(), 2u) << "the code of c is another by now";
  EXPECT_EQ(fastest[0].config, "a");
  EXPECT_EQ(fastest[0].median_us, 12);
  EXPECT_EQ(fastest[0].timings, 5u);
  EXPECT_EQ(fastest[1].config, "b");
}

TEST_P(Results, AConfigWithNewCodeLosesOnlyItsOwnRecords) {
  ResultsDatabase database = Open();
  const std::string problem = Timed("a", {1}).problem;
  for (const char* config : {"a", "b", "c"}) database.AddTuning(Timed(config, {5}));
  const auto digest = [](const std::string& config) { return config == "b" ? "edited" : "d1"; };
  EXPECT_EQ(database.Fastest(problem, digest).size(), 2u);
  database.AddTuning(Timed("b", {4}, "edited"));
  EXPECT_EQ(database.Fastest(problem, digest)[0].config, "b");
  EXPECT_EQ(database.Tunings().size(), 4u);
}

TEST_P(Results, AWrongConfigIsNeverChosenAndNeverPruned) {
  const std::string problem = Timed("a", {1}).problem;
  const auto digest = [](const std::string&) { return "d1"; };
  {
    ResultsDatabase database = Open();
    database.AddTuning(Timed("a", {1}));
    database.AddTuning(Timed("b", {2}));
    TuningRecord wrong = Timed("a", {});
    wrong.wrong = "element (3, 4) is off by 12";
    database.AddTuning(wrong);
    database.AddTuning(Timed("a", {1}));
  }
  ResultsDatabase database = Open();
  ASSERT_EQ(database.Fastest(problem, digest).size(), 1u);
  EXPECT_EQ(database.Fastest(problem, digest)[0].config, "b");
  EXPECT_TRUE(database.IsWrong(problem, "a", "d1"));
  EXPECT_FALSE(database.IsWrong(problem, "a", "mended"));
  EXPECT_FALSE(database.IsWrong(problem, "b", "d1"));
  database.Prune({.max_entries = 0});
  EXPECT_TRUE(Open().IsWrong(problem, "a", "d1"));
  EXPECT_EQ(Open().Tunings().size(), 1u);
}

TEST_P(Results, RefuseWhatCannotBe) {
  ResultsDatabase database = Open();
  const auto refuses = [&](const auto& change) {
    ResultKey key = KeyOfShape(7);
    GEMMResult result = ResultOf(7);
    change(key, result);
    EXPECT_THROW(database.Put(key, result), Error);
  };
  refuses([](ResultKey& key, GEMMResult&) { key.shape.M = 0; });
  refuses([](ResultKey&, GEMMResult& r) { r.latency_us = std::nan(""); });
  refuses([](ResultKey&, GEMMResult& r) { r.memory_time_us = -1; });
  refuses([](ResultKey&, GEMMResult& r) { r.flops = INFINITY; });
  refuses([](ResultKey&, GEMMResult& r) { r.best_loop_order = "mnn"; });
  refuses([](ResultKey&, GEMMResult& r) { r.best_tile[1] = -1; });
  EXPECT_THROW(database.AddTuning(Timed("a", {})), Error);
  EXPECT_THROW(database.AddTuning(Timed("a", {0})), Error);
  EXPECT_THROW(database.AddTuning(Timed("", {1})), Error);
  for (const auto& [from, to] : {std::pair{2, 1}, {-1, 1}, {0, 1}, {1, 0}}) {
    TuningRecord record = Timed("a", {1});
    record.m_from = from, record.m_to = to;
    EXPECT_THROW(database.AddTuning(record), Error) << from << " " << to;
  }
  EXPECT_TRUE(database.Entries().empty());
  EXPECT_TRUE(database.Tunings().empty());
}

TEST_P(Results, AreExportedAndImportedWithTheSameAnswers) {
  ResultsDatabase database = Open();
  for (int m = 1; m <= 20; ++m) database.Put(KeyOfShape(m), ResultOf(m));
  database.AddTuning(Timed("a", {1, 2, 3}));
  const testing::TempDir other;
  const std::string file = (other / "export.json").string();
  database.Export(file);
  EXPECT_EQ(ResultsArchitecture(file), kChip);
  const bool is_json = GetParam() == ResultsStorage::kJson;
  ResultsDatabase copy(kChip, {.directory = (other / "copy").string(),
                               .storage = is_json ? ResultsStorage::kSqlite : ResultsStorage::kJson});
  copy.Put(KeyOfShape(99), ResultOf(99));
  const ResultsChange added = copy.Import(file);
  EXPECT_EQ(added.results, 20u);
  EXPECT_EQ(added.tunings, 1u);
  for (int m = 1; m <= 20; ++m) EXPECT_TRUE(IsSame(copy.Find(KeyOfShape(m))->result, ResultOf(m)));
  EXPECT_TRUE(copy.Find(KeyOfShape(99)));
  EXPECT_EQ(copy.Tunings(), database.Tunings());
  EXPECT_EQ(copy.Import(file).results, 0u) << "the second time there is nothing new";
  EXPECT_EQ(copy.Tunings().size(), 1u);
}

TEST_P(Results, ImportTakesNothingOfAnotherArchitecture) {
  const testing::TempDir other;
  const std::string file = (other / "export.json").string();
  ResultsDatabase(R"({"chip_type":"other"})", {.directory = other.string()}).Export(file);
  ResultsDatabase database = Open();
  EXPECT_THROW(database.Import(file), Error);
  EXPECT_THROW(database.Import((other / "none").string()), Error);
  WriteFile(file, "{");
  EXPECT_THROW(database.Import(file), Error);
}

TEST_P(Results, PruneKeepsWhatWasUsedLast) {
  MakeDocument(10);
  const std::string text = ReadFile(File(".json"));
  // Entry m was used m days ago.
  json document = json::parse(text);
  for (json& entry : document["cache_entries"]) {
    const std::time_t used = std::time(nullptr) - entry["shape"]["M"].get<int>() * 86'400;
    char buffer[32];
    std::strftime(buffer, sizeof buffer, "%Y-%m-%dT%H:%M:%SZ", std::gmtime(&used));
    entry["metadata"]["timestamp"] = entry["metadata"]["last_used"] = buffer;
  }
  document["tuning_records"] = json::array();
  WriteFile(File(".json"), document.dump());
  ResultsDatabase database = Open();
  EXPECT_EQ(database.Prune({.max_entries = 4}, /*dry_run=*/true).results, 6u);
  EXPECT_EQ(database.Statistics().total_entries, 10u);
  EXPECT_EQ(database.Prune({.max_unused = std::chrono::hours(24 * 8 + 12)}).results, 2u);
  EXPECT_EQ(database.Prune({.max_entries = 4}).results, 4u);
  for (int m = 1; m <= 10; ++m) EXPECT_EQ(database.Find(KeyOfShape(m)).has_value(), m <= 4) << m;
}

TEST_P(Results, AUseIsRememberedAndSavesFromPruning) {
  MakeDocument(3);
  const std::string old =
      std::regex_replace(ReadFile(File(".json")), std::regex("20[0-9]{2}-[0-9]{2}-[0-9]{2}T"), "2024-01-01T");
  WriteFile(File(".json"), old);
  {
    ResultsDatabase database =
        ResultsFolder::Open({.storage = GetParam(), .max_unused = std::chrono::hours(1'000'000)});
    EXPECT_TRUE(database.Find(KeyOfShape(2)));
  }
  ResultsDatabase database = ResultsFolder::Open({.storage = GetParam(), .max_unused = std::chrono::hours(1'000'000)});
  EXPECT_EQ(database.Prune({.max_unused = std::chrono::hours(1)}).results, 2u);
  EXPECT_TRUE(database.Find(KeyOfShape(2)));
}

TEST_F(InFolder, AuthorisesNoArchitectureThatIsNone) {
  for (const char* text : {"", "{}", "[1]", "{\"a\":[1]}", "{\"a\":null}", "x"})
    EXPECT_THROW(Open({}, text), Error) << text;
}

TEST_F(InFolder, TheDocumentHasTheStructureOfItsFormat) {
  const json document = json::parse(MakeDocument(2));
  EXPECT_EQ(document["version"], kResultsVersion);
  EXPECT_EQ(document["cache_format_version"], "2025.01");
  EXPECT_EQ(document["architecture"], json::parse(kChip));
  EXPECT_EQ(File(".json").stem().string(), "gemm_cache_" + document["arch_fingerprint"].get<std::string>());
  ASSERT_EQ(document["cache_entries"].size(), 2u);
  const json entry = *document["cache_entries"].begin();
  EXPECT_EQ(entry["shape"]["K"], 4096);
  EXPECT_EQ(entry["dtypes"], json({{"input", "bf16"}, {"output", "f32"}}));
  EXPECT_EQ(entry["search_mode"]["tile_search"], true);
  for (const char* name :
       {"latency_us", "compute_time_us", "memory_time_us", "flops", "dram_traffic_bytes", "arch_utilization",
        "effective_utilization", "best_tile", "best_loop_order", "best_partition"})
    EXPECT_TRUE(entry["result"].contains(name)) << name;
  for (const char* name : {"timestamp", "search_time_ms", "num_searched_partitions", "num_searched_tiles"})
    EXPECT_TRUE(entry["metadata"].contains(name)) << name;
  for (const char* name :
       {"total_entries", "created_at", "last_updated", "total_search_time_hours", "cache_hits", "cache_misses"})
    EXPECT_TRUE(document["statistics"].contains(name)) << name;
}

TEST_F(InFolder, WhatIsOptionalInADocumentMayBeMissing) {
  json document = json::parse(MakeDocument(1));
  for (const char* name : {"tuning_records", "statistics", "merged_journal"}) document.erase(name);
  json& entry = *document["cache_entries"].begin();
  for (const char* name : {"effort", "use_precise_evaluator"}) entry["search_mode"].erase(name);
  for (const char* name : {"last_used", "search_time_ms", "num_searched_partitions", "num_searched_tiles"})
    entry["metadata"].erase(name);
  WriteFile(File(".json"), document.dump());
  const testing::Warnings warnings;
  const auto found = Open().Find(KeyOfShape(1));
  ASSERT_TRUE(found);
  EXPECT_EQ(found->result.latency_us, ResultOf(1).latency_us);
  EXPECT_EQ(found->last_used_unix, found->created_unix);
  EXPECT_TRUE(warnings.messages().empty());
}

TEST_F(InFolder, GrowsIntoSqliteAndNobodyNotices) {
  const ResultsOptions options{.max_json_entries = 50};
  ResultsDatabase early = Open(options);
  early.Put(KeyOfShape(1000), ResultOf(1000));
  {
    ResultsDatabase database = Open(options);
    for (int m = 1; m <= 120; ++m) database.Put(KeyOfShape(m), ResultOf(m));
    EXPECT_EQ(database.Statistics().storage, "sqlite");
  }
  EXPECT_TRUE(early.Find(KeyOfShape(120)));
  early.Put(KeyOfShape(1001), ResultOf(1001));
  ResultsDatabase late = Open(options);
  EXPECT_EQ(late.Entries().size(), 122u);
  for (const StoredResult& entry : late.Entries()) EXPECT_TRUE(IsSame(entry.result, ResultOf(entry.key.shape.M)));
  EXPECT_TRUE(File(".json").empty() && File(".journal").empty());
}

TEST_F(InFolder, JsonByChoiceDropsATenthOfWhatWasUnusedLongest) {
  const ResultsOptions options{.storage = ResultsStorage::kJson, .max_json_entries = 50};
  ResultsDatabase database = Open(options);
  for (int m = 1; m <= 500; ++m) {
    database.Put(KeyOfShape(m), ResultOf(m));
    ASSERT_LE(database.Statistics().total_entries, 50u);
    ASSERT_TRUE(database.Find(KeyOfShape(m)));
  }
  EXPECT_GE(Open(options).Entries().size(), 45u);
  EXPECT_EQ(SetAside(), 0u);
}

TEST_F(InFolder, PutsMayWaitForEachOtherAndAreSavedAtTheEnd) {
  {
    ResultsDatabase database = Open({.save_every = 10});
    for (int m = 1; m <= 25; ++m) database.Put(KeyOfShape(m), ResultOf(m));
    EXPECT_EQ(Open().Entries().size(), 20u);
    EXPECT_TRUE(database.Find(KeyOfShape(25)));
    EXPECT_EQ(database.Entries().size(), 25u);
  }
  EXPECT_EQ(Open().Entries().size(), 25u);
}

TEST_F(InFolder, GoesOnInMemoryWhereNothingCanBeSaved) {
  WriteFile(dir_ / "file", "");
  const testing::Warnings warnings;
  ResultsDatabase database(kChip, {.directory = (dir_ / "file/below").string()});
  for (int m = 1; m <= 3; ++m) database.Put(KeyOfShape(m), ResultOf(m));
  database.AddTuning(Timed("a", {1}));
  EXPECT_TRUE(IsSame(database.Find(KeyOfShape(2))->result, ResultOf(2)));
  EXPECT_EQ(database.Entries().size(), 3u);
  EXPECT_EQ(database.Tunings().size(), 1u);
  EXPECT_FALSE(database.Flush());
  EXPECT_EQ(warnings.messages().size(), 1u);
}

TEST_F(InFolder, ListsTheArchitecturesThatItHas) {
  const std::string other = R"({"chip_type":"other"})";
  Open().Put(KeyOfShape(1), ResultOf(1));
  Open({.storage = ResultsStorage::kSqlite}, other).Put(KeyOfShape(1), ResultOf(1));
  WriteFile(dir_ / "gemm_cache_0123456789abcdef.json", "{");
  WriteFile(dir_ / "notes.json", "{}");
  EXPECT_THAT(ListResults(dir_.string()), ::testing::UnorderedElementsAre(kChip, other));
  EXPECT_TRUE(ListResults((dir_ / "none").string()).empty());
}

TEST_F(InFolder, KeepsTheResultsOfAnEvaluator) {
  AcceleratorMicroArch arch{.chip_type = "a chip",
                            .num_cores = 4,
                            .sram_kb = 512,
                            .cube_m = 16,
                            .cube_n = 16,
                            .cube_k = 32,
                            .tflops_int8 = 16};
  const ResultKey key = KeyOfShape(512);
  const GEMMResult result = GEMMEvaluator(arch).evaluate(key.shape, key.mode);
  GEMMPersistentCache(arch, With({})).put(key, result, 7.5);
  arch.dram_gbps = 32;  // Its default.
  GEMMPersistentCache cache(arch, With({}));
  ASSERT_TRUE(cache.get(key));
  EXPECT_EQ(cache.get(key)->latency_us, result.latency_us);
  EXPECT_EQ(cache.get(key)->search.search_time_ms, 7.5);
  EXPECT_EQ(cache.database().Statistics().fingerprint, ShortFingerprint(arch));
  arch.dram_gbps = 33;
  EXPECT_FALSE(GEMMPersistentCache(arch, With({})).get(key));
}

TEST_F(InFolder, WhatATuningChoseIsKeptInJournalDocumentAndSqlite) {
  TuningRecord chosen = Timed("a", {1});
  chosen.m_from = 65, chosen.m_to = 128;
  for (const ResultsStorage storage : {ResultsStorage::kJson, ResultsStorage::kSqlite}) {
    ResultsDatabase database = Open({.storage = storage});
    if (storage == ResultsStorage::kJson) database.AddTuning(chosen);
    EXPECT_THAT(Open({}).Tunings(), ElementsAre(chosen));
    database.Prune({});  // Writes the document.
    EXPECT_THAT(Open({}).Tunings(), ElementsAre(chosen));
  }
}

TEST_F(InFolder, ADatabaseInMemoryLeavesNoFile) {
  ResultsDatabase database = Open({.storage = ResultsStorage::kMemory});
  database.AddTuning(Timed("a", {1}));
  EXPECT_EQ(database.Tunings().size(), 1u);
  EXPECT_EQ(database.Statistics().directory, "");
  EXPECT_TRUE(FilesBelow(dir_.string()).empty());
}

TEST_F(InFolder, DevicesAreArchitecturesToo) {
  DeviceSpec spec;
  spec.name = "a device";
  ResultsDatabase database = Open({}, DeviceArchitecture(spec));
  database.AddTuning(Timed("a", {1}));
  spec.multiprocessors = 7;
  EXPECT_TRUE(Open({}, DeviceArchitecture(spec)).Tunings().empty());
}

}  // namespace
}  // namespace gemmsmith
