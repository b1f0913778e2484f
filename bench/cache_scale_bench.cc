// The cache when it is full: hits, statistics, pruning under readers, bundles. Each beside a plain use of the same
// files.
#include <benchmark/benchmark.h>
#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <map>
#include <memory>
#include <thread>
#include <vector>

#include "cache_support.h"
#include "gemmsmith/bundle.h"
#include "gemmsmith/persistent_cache.h"

namespace gemmsmith {
namespace {

namespace fs = std::filesystem;

using bench::Key;
using bench::OfSize;
using bench::TempDir;

constexpr std::size_t kSmall = 14'000, kLarge = 150'000;  // Bytes of a SIMT cubin, and of a large one.
constexpr std::size_t kOfEach = 1000;                     // What is looked up, of either size; the rest is small.

/// A cache of `entries`, the first kOfEach of them large.
class FullCache {
 public:
  explicit FullCache(std::size_t entries) : entries_(entries) {
    ArtifactStore store = Store();
    const Artifact small = OfSize(kSmall), large = OfSize(kLarge);
    for (std::size_t i = 0; i < entries; ++i)
      store.GetOrCompile(Key(i), false, [&] { return i < kOfEach ? large : small; });
  }
  std::string directory() const { return dir_.path.string(); }
  std::size_t entries() const { return entries_; }
  /// Of a new process, and without limits.
  ArtifactStore Store() const {
    return ArtifactStore({.directory = directory(),
                          .enable_memory = false,
                          .policy = {.max_disk_cache_size = 0, .max_cached_kernels = 0}});
  }
  /// Keys of that size, far from each other in the cache.
  std::vector<CacheKey> Keys(std::size_t bytes) const {
    std::vector<CacheKey> keys;
    const std::size_t first = bytes == kLarge ? 0 : kOfEach,
                      step = bytes == kLarge ? 1 : (entries_ - kOfEach) / kOfEach;
    for (std::size_t i = 0; i < kOfEach; ++i) keys.push_back(Key(first + i * step));
    return keys;
  }

 private:
  TempDir dir_;
  std::size_t entries_;
};

/// Made once for all benchmarks that only read it.
const FullCache& Full(std::size_t entries) {
  static std::map<std::size_t, std::unique_ptr<FullCache>> caches;
  std::unique_ptr<FullCache>& cache = caches[entries];
  if (!cache) cache = std::make_unique<FullCache>(entries);
  return *cache;
}

void Sizes(benchmark::internal::Benchmark* bench) {
  bench->ArgNames({"bytes", "entries"})->ArgsProduct({{kSmall, kLarge}, {10'000, 100'000}});
}

void DiskHit(benchmark::State& state) {
  const FullCache& cache = Full(static_cast<std::size_t>(state.range(1)));
  const std::vector<CacheKey> keys = cache.Keys(static_cast<std::size_t>(state.range(0)));
  ArtifactStore store = cache.Store();
  for (std::size_t i = 0; auto _ : state) benchmark::DoNotOptimize(store.Get(keys[i++ % keys.size()]));
  if (store.Stats().misses > 0) state.SkipWithError("there were misses");
}
BENCHMARK(DiskHit)->Name("cache_full/disk_hit")->Apply(Sizes);

/// Open, read and close of the same files, and nothing done with them.
void PlainRead(benchmark::State& state) {
  const FullCache& cache = Full(static_cast<std::size_t>(state.range(1)));
  std::vector<std::string> paths;
  for (const CacheKey& key : cache.Keys(static_cast<std::size_t>(state.range(0)))) {
    const std::string hex = key.digest.Hex();
    paths.push_back(cache.directory() + "/kernels/" + hex.substr(0, 2) + "/" + hex + ".gsk");
  }
  std::string buffer(1 << 20, 0);
  for (std::size_t i = 0; auto _ : state) {
    const int fd = open(paths[i++ % paths.size()].c_str(), O_RDONLY | O_CLOEXEC);
    if (read(fd, buffer.data(), buffer.size()) <= 0) state.SkipWithError("nothing read");
    close(fd);
  }
}
BENCHMARK(PlainRead)->Name("cache_full/plain_read")->Apply(Sizes);

/// As `gemmsmith cache stats` asks.
void Stats(benchmark::State& state) {
  const FullCache& cache = Full(static_cast<std::size_t>(state.range(0)));
  const ArtifactStore store = cache.Store();
  const PersistentCache persistent(cache.directory());
  for (auto _ : state) {
    benchmark::DoNotOptimize(persistent.History());
    if (store.Stats().disk_kernels != cache.entries()) state.SkipWithError("the count is wrong");
  }
}
BENCHMARK(Stats)->Name("cache_full/stats")->Arg(10'000)->Arg(100'000)->Unit(benchmark::kMillisecond);

/// As `gemmsmith cache list` asks.
void List(benchmark::State& state) {
  const FullCache& cache = Full(10'000);
  for (auto _ : state) benchmark::DoNotOptimize(PersistentCache(cache.directory()).List());
}
BENCHMARK(List)->Name("cache_full/list/10000")->Unit(benchmark::kMillisecond);

/// Readdir and stat of all files.
void PlainStat(benchmark::State& state) {
  const FullCache& cache = Full(static_cast<std::size_t>(state.range(0)));
  for (auto _ : state) {
    std::uintmax_t bytes = 0;
    for (const auto& file : fs::recursive_directory_iterator(cache.directory() + "/kernels"))
      if (file.is_regular_file()) bytes += file.file_size();
    benchmark::DoNotOptimize(bytes);
  }
}
BENCHMARK(PlainStat)->Name("cache_full/plain_stat")->Arg(10'000)->Arg(100'000)->Unit(benchmark::kMillisecond);

/// Of 100,000 entries half go, while a process' worth of readers goes on.
void PruneToHalf(benchmark::State& state) {
  const FullCache cache(static_cast<std::size_t>(state.range(0)));
  sync();  // What is on its way to the disk cannot be removed before it is there; a cache is older than that.
  const std::vector<CacheKey> keys = cache.Keys(kSmall);
  std::atomic<bool> done = false;
  std::atomic<std::uint64_t> reads = 0;
  std::thread reader([&] {
    ArtifactStore store = cache.Store();
    for (std::size_t i = 0; !done; ++i, ++reads) store.Get(keys[i % keys.size()]);
  });
  for (auto _ : state) {
    const PruneReport report = PersistentCache(cache.directory()).Prune({.max_kernels = cache.entries() / 2});
    if (report.kept_kernels != cache.entries() / 2) state.SkipWithError("the count is wrong");
  }
  state.counters["reads_meanwhile"] = static_cast<double>(reads);
  done = true;
  reader.join();
}
BENCHMARK(PruneToHalf)->Name("cache_full/prune_to_half")->Arg(100'000)->Iterations(1)->Unit(benchmark::kMillisecond);

void Export(benchmark::State& state) {
  const FullCache& cache = Full(10'000);
  const TempDir dir;
  const std::string path = (dir.path / "kernels.gsb").string();
  BundleSummary summary;
  for (auto _ : state) summary = ExportBundle(cache.directory(), path, {.level = 1});
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(summary.raw_bytes));
}
BENCHMARK(Export)->Name("cache_full/export")->Unit(benchmark::kMillisecond)->UseRealTime();

void Import(benchmark::State& state) {
  const TempDir dir;
  const std::string path = (dir.path / "kernels.gsb").string();
  ExportBundle(Full(10'000).directory(), path, {.level = 1});
  BundleSummary summary;
  for (auto _ : state) {
    state.PauseTiming();
    const auto target = std::make_unique<TempDir>();
    state.ResumeTiming();
    summary = ImportBundle(path, target->path.string());
    if (summary.kernels != 10'000) state.SkipWithError("the count is wrong");
  }
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(summary.raw_bytes));
}
BENCHMARK(Import)->Name("cache_full/import")->Unit(benchmark::kMillisecond)->UseRealTime();

/// A copy of the same entries, file by file.
void PlainCopy(benchmark::State& state) {
  const FullCache& cache = Full(10'000);
  for (auto _ : state) {
    state.PauseTiming();
    const auto target = std::make_unique<TempDir>();
    state.ResumeTiming();
    fs::copy(cache.directory() + "/kernels", target->path / "kernels", fs::copy_options::recursive);
  }
  const std::size_t raw = kOfEach * kLarge + (cache.entries() - kOfEach) * kSmall;
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(raw));
}
BENCHMARK(PlainCopy)->Name("cache_full/plain_copy")->Unit(benchmark::kMillisecond)->UseRealTime();

/// What 10,000 kernels take in the memory of a process.
void Resident(benchmark::State& state) {
  const auto resident = [] {
    std::ifstream file("/proc/self/statm");
    double pages = 0;
    file >> pages >> pages;
    return pages * static_cast<double>(sysconf(_SC_PAGESIZE));
  };
  const FullCache& cache = Full(10'000);
  const double before = resident();
  ArtifactStore store({.directory = cache.directory()});
  for (auto _ : state)
    for (std::size_t i = 0; i < cache.entries(); ++i) store.Get(Key(i));
  state.counters["resident_bytes"] = resident() - before;
  state.counters["disk_bytes"] = static_cast<double>(store.Stats().disk_bytes);
}
BENCHMARK(Resident)->Name("cache_full/memory_of_10000")->Iterations(1)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace gemmsmith
