#pragma once

#include <ctime>
#include <string>

#include "cache_testing.h"
#include "gemmsmith/results.h"

namespace gemmsmith::testing {

inline const std::string kChip =
    R"({"chip_type":"SG2262","cube_k":32,"cube_m":16,"cube_n":16,"num_cores":64,"sram_kb":8192,"tflops_int8":256.0})";

inline ResultKey KeyOfShape(std::int64_t m, std::int64_t n = 7168, std::int64_t k = 4096) {
  ResultKey key;
  key.shape = {1, m, k, n, DType::kBf16, DType::kF32};
  return key;
}

/// All fields are set, to values that are no defaults and tell `number` apart.
inline GEMMResult ResultOf(std::int64_t number) {
  GEMMResult result;
  result.latency_us = 100.1 + static_cast<double>(number);
  result.compute_time_us = 60.25;
  result.memory_time_us = 1.0 / 3;
  result.flops = 2e12;
  result.dram_traffic_bytes = (std::int64_t{1} << 60) + number;
  result.arch_utilization = 0.85;
  result.effective_utilization = 0.75;
  result.best_tile = {16, 32, number + 1};
  result.best_loop_order = "nkm";
  result.best_partition = {1, 8, 4, 2};
  result.search = {12.5, 84, 7};
  return result;
}

inline bool IsSame(const GEMMResult& x, const GEMMResult& y) {
  const auto values = [](const GEMMResult& r) {
    return std::tuple(r.latency_us, r.compute_time_us, r.memory_time_us, r.flops, r.dram_traffic_bytes,
                      r.arch_utilization, r.effective_utilization, r.best_tile, r.best_loop_order, r.best_partition,
                      r.search.search_time_ms, r.search.num_searched_partitions, r.search.num_searched_tiles);
  };
  return values(x) == values(y);
}

inline TuningRecord Timed(const std::string& config, std::vector<double> times, const std::string& digest = "d1") {
  TuningRecord record;
  record.problem = "m=1 n=2 k=3 f32 nt";
  record.config = config;
  record.code_digest = digest;
  record.device = "a \"device\"\n";
  record.target = "sm_90a";
  record.core_clock_mhz = 1755;
  record.memory_clock_mhz = 2619.5;
  record.times_us = std::move(times);
  static const std::time_t now = std::time(nullptr);
  record.created_unix = now;
  return record;
}

/// Databases in a folder of their own.
class ResultsFolder : public ::testing::Test {
 protected:
  ResultsDatabase Open(ResultsOptions options = {}, const std::string& architecture = kChip) const {
    return ResultsDatabase(architecture, With(std::move(options)));
  }
  ResultsOptions With(ResultsOptions options) const {
    options.directory = dir_.string();
    return options;
  }
  /// The file of the database with that extension.
  fs::path File(const std::string& extension) const {
    for (const fs::path& path : FilesBelow(dir_.string()))
      if (path.extension() == extension) return path;
    return {};
  }
  std::size_t SetAside() const {
    std::size_t count = 0;
    for (const fs::path& path : FilesBelow(dir_.string()))
      count += path.string().find(".set-aside-") != std::string::npos;
    return count;
  }
  /// The document of a database with entries 1 to `count`.
  std::string MakeDocument(int count = 3) const {
    ResultsDatabase database = Open({.storage = ResultsStorage::kJson});
    for (int m = 1; m <= count; ++m) database.Put(KeyOfShape(m), ResultOf(m));
    database.AddTuning(Timed("simt block_m=64", {10, 11}));
    database.Prune({});  // Writes the document.
    return ReadFile(File(".json"));
  }
  TempDir dir_;
};

}  // namespace gemmsmith::testing
