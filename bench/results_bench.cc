// The results database: opening it, getting and putting, beside reading the same bytes.
#include <benchmark/benchmark.h>

#include <fstream>
#include <iterator>
#include <map>
#include <memory>

#include "cache_support.h"
#include "gemmsmith/results.h"

namespace gemmsmith {
namespace {

namespace fs = std::filesystem;

constexpr const char* kChip = R"({"chip_type":"bench","num_cores":64,"sram_kb":8192,"tflops_int8":256})";

ResultKey KeyOf(std::int64_t i) {
  ResultKey key;
  key.shape = {1, 1 + i, 4096 + i % 7, 7168, DType::kBf16, DType::kBf16};
  return key;
}

GEMMResult ResultOf(std::int64_t i) {
  const double x = static_cast<double>(i);
  return {.latency_us = 123.456789 + x / 3,
          .compute_time_us = 100.1234 + x / 7,
          .memory_time_us = 23.45 + x / 11,
          .flops = 2e9 * (x + 1),
          .dram_traffic_bytes = 123'456'789 + i,
          .arch_utilization = 0.8512345678,
          .effective_utilization = 0.7512345678,
          .best_tile = {64, 128, 256},
          .best_loop_order = "mnk",
          .best_partition = {1, 8, 8, 1},
          .search = {115.25, 84, 1200}};
}

/// A database of so many results, made once.
class Filled {
 public:
  Filled(ResultsStorage storage, std::int64_t entries) : storage_(storage) {
    ResultsOptions options = Options();
    options.save_every = 1000;
    ResultsDatabase database(kChip, options);
    for (std::int64_t i = 0; i < entries; ++i) database.Put(KeyOf(i), ResultOf(i));
    database.Prune({});  // All in the document.
  }
  ResultsOptions Options() const {
    return {.directory = dir_.path.string(), .storage = storage_, .max_json_entries = 1'000'000};
  }
  fs::path document() const {
    for (const auto& entry : fs::directory_iterator(dir_.path))
      if (entry.path().extension() == ".json") return entry.path();
    return {};
  }

 private:
  bench::TempDir dir_;
  ResultsStorage storage_;
};

const Filled& Full(ResultsStorage storage, std::int64_t entries) {
  static std::map<std::pair<ResultsStorage, std::int64_t>, std::unique_ptr<Filled>> made;
  auto& filled = made[{storage, entries}];
  if (!filled) filled = std::make_unique<Filled>(storage, entries);
  return *filled;
}

ResultsStorage Storage(const benchmark::State& state) {
  return state.range(0) == 0 ? ResultsStorage::kJson : ResultsStorage::kSqlite;
}

void Sizes(benchmark::internal::Benchmark* bench) {
  bench->ArgNames({"sqlite", "entries"})->ArgsProduct({{0, 1}, {1'200, 10'000, 50'000}});
}

/// A new process' way to its first result.
void Open(benchmark::State& state) {
  const Filled& filled = Full(Storage(state), state.range(1));
  for (auto _ : state) {
    ResultsDatabase database(kChip, filled.Options());
    if (!database.Find(KeyOf(7))) state.SkipWithError("it is not there");
  }
}
BENCHMARK(Open)->Name("results/open")->Apply(Sizes)->Unit(benchmark::kMillisecond);

/// All shapes of a model, by a new process.
void Model(benchmark::State& state) {
  const Filled& filled = Full(Storage(state), state.range(1));
  for (auto _ : state) {
    ResultsDatabase database(kChip, filled.Options());
    for (int i = 0; i < 1200; ++i)
      if (!database.Find(KeyOf(i))) state.SkipWithError("it is not there");
  }
}
BENCHMARK(Model)->Name("results/1200_shapes")->Apply(Sizes)->Unit(benchmark::kMillisecond);

/// The document as plain bytes.
void PlainRead(benchmark::State& state) {
  const fs::path path = Full(ResultsStorage::kJson, state.range(0)).document();
  for (auto _ : state) {
    std::ifstream file(path, std::ios::binary);
    std::string bytes(fs::file_size(path), 0);
    file.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    benchmark::DoNotOptimize(bytes);
  }
  state.counters["bytes"] = static_cast<double>(fs::file_size(path));
}
BENCHMARK(PlainRead)->Name("results/plain_read")->Arg(10'000)->Arg(50'000)->Unit(benchmark::kMillisecond);

void Get(benchmark::State& state) {
  const Filled& filled = Full(Storage(state), state.range(1));
  ResultsDatabase database(kChip, filled.Options());
  for (std::int64_t i = 0; auto _ : state) benchmark::DoNotOptimize(database.Find(KeyOf(i++ % state.range(1))));
}
BENCHMARK(Get)->Name("results/get")->Apply(Sizes);

void Miss(benchmark::State& state) {
  const Filled& filled = Full(Storage(state), 10'000);
  ResultsDatabase database(kChip, filled.Options());
  for (auto _ : state) benchmark::DoNotOptimize(database.Find(KeyOf(-1'000'000)));
}
BENCHMARK(Miss)->Name("results/miss")->ArgName("sqlite")->Arg(0)->Arg(1);

/// Each is in the file when the call returns.
void Put(benchmark::State& state) {
  const Filled filled(Storage(state), state.range(1));
  ResultsDatabase database(kChip, filled.Options());
  double most_us = 0;
  for (std::int64_t i = state.range(1); auto _ : state) {
    const auto begin = std::chrono::steady_clock::now();
    database.Put(KeyOf(i), ResultOf(i));
    const std::chrono::duration<double, std::micro> time = std::chrono::steady_clock::now() - begin;
    most_us = std::max(most_us, time.count());
    ++i;
  }
  state.counters["most_us"] = most_us;
}
BENCHMARK(Put)->Name("results/put")->ArgNames({"sqlite", "entries"})->ArgsProduct({{0, 1}, {10'000}});

}  // namespace
}  // namespace gemmsmith
