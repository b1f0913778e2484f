// What a hit and a put cost, beside a plain read and write of the same file.
#include <benchmark/benchmark.h>
#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>

#include "gemmsmith/persistent_cache.h"
#include "jit/cache/store.h"
#include "util/log.h"

namespace gemmsmith {
namespace {

namespace fs = std::filesystem;

struct TempDir {
  TempDir() {
    std::string name = (fs::temp_directory_path() / "gemmsmith-bench-XXXXXX").string();
    if (mkdtemp(name.data()) != nullptr) path = name;
  }
  ~TempDir() {
    std::error_code ignored;
    fs::remove_all(path, ignored);
  }
  fs::path path;
};

/// Of `bytes`: 16-byte words from a small vocabulary with some fields that vary, which zstd makes about five times
/// smaller, as it does machine code.
std::string LikeMachineCode(std::size_t bytes) {
  std::mt19937 random(1);
  std::string code;
  while (code.size() < bytes) {
    std::string word = fmt::format("opcode{:02}-rrrrrr", random() % 24);
    word[10] = static_cast<char>(random() % 16);
    if (random() % 4 == 0) word[13] = static_cast<char>(random() % 64);
    code += word;
  }
  code.resize(bytes);
  return code;
}

CacheKey Key(std::size_t i) {
  KernelSource source;
  source.target = {Isa::kCuda, 90, 'a'};
  source.text = std::string(3000, 'x') + std::to_string(i);
  source.entry = "Gemm<64, 64>";
  return MakeKey(source, "nvrtc 13.0.88");
}

Artifact OfSize(std::size_t bytes) {
  Artifact artifact;
  artifact.parts["cubin"] = LikeMachineCode(bytes);
  artifact.kernel_name = "simt";
  artifact.compiler = "nvrtc 13.0.88";
  return artifact;
}

class OnDisk {
 public:
  explicit OnDisk(std::size_t bytes) : artifact_(OfSize(bytes)) {}
  explicit OnDisk(benchmark::State& state) : OnDisk(static_cast<std::size_t>(state.range(0))) {}
  /// A store of a new process.
  ArtifactStore Store() const { return ArtifactStore({.directory = dir_.path.string(), .enable_memory = false}); }
  /// Any number of entries besides.
  void Fill(std::size_t count) const {
    ArtifactStore store = Store();
    for (std::size_t i = 0; i < count; ++i) store.GetOrCompile(Key(i), false, [&] { return artifact_; });
  }
  fs::path PathOf(const CacheKey& key) const {
    const std::string hex = key.digest.Hex();
    return dir_.path / "kernels" / hex.substr(0, 2) / (hex + ".gsk");
  }
  const Artifact& artifact() const { return artifact_; }
  const fs::path& directory() const { return dir_.path; }

 private:
  TempDir dir_;
  Artifact artifact_;
};

void MakeKeyOfSource(benchmark::State& state) {
  for (std::size_t i = 0; auto _ : state) benchmark::DoNotOptimize(Key(i++));
}
BENCHMARK(MakeKeyOfSource)->Name("cache/make_key");

void MemoryHit(benchmark::State& state) {
  static ArtifactStore* const store = new ArtifactStore({.directory = ""});
  const CacheKey key = Key(static_cast<std::size_t>(state.thread_index()));
  store->GetOrCompile(key, true, [] { return OfSize(14'000); });
  for (auto _ : state) benchmark::DoNotOptimize(store->Get(key));
}
BENCHMARK(MemoryHit)->Name("cache/memory_hit")->Threads(1)->Threads(2);

/// From the key to the artifact in memory, among 1000 entries.
void DiskHit(benchmark::State& state) {
  const OnDisk disk(state);
  disk.Fill(1000);
  ArtifactStore store = disk.Store();
  std::vector<CacheKey> keys;
  for (std::size_t i = 0; i < 1000; ++i) keys.push_back(Key(i));
  for (std::size_t i = 0; auto _ : state) benchmark::DoNotOptimize(store.Get(keys[i++ % keys.size()]));
  state.counters["stored_bytes"] = static_cast<double>(fs::file_size(disk.PathOf(keys[0])));
  if (store.Stats().disk_hits < static_cast<std::uint64_t>(state.iterations()))
    state.SkipWithError("there were misses");
}
BENCHMARK(DiskHit)->Name("cache/disk_hit")->Arg(14'000)->Arg(30'000)->Arg(150'000);

/// A plain open, read and close of as many bytes uncompressed.
void PlainRead(benchmark::State& state) {
  const OnDisk disk(state);
  const std::string path = (disk.directory() / "file").string(), bytes = disk.artifact().parts.at("cubin");
  std::ofstream(path, std::ios::binary) << bytes;
  for (auto _ : state) {
    std::string buffer(bytes.size(), 0);
    const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (read(fd, buffer.data(), buffer.size()) != static_cast<ssize_t>(buffer.size()))
      state.SkipWithError("short read");
    close(fd);
    benchmark::DoNotOptimize(buffer);
  }
}
BENCHMARK(PlainRead)->Name("cache/plain_read")->Arg(14'000)->Arg(30'000)->Arg(150'000);

/// A miss, the lock between processes, and the put.
void Publish(benchmark::State& state) {
  const OnDisk disk(state);
  ArtifactStore store = disk.Store();
  for (std::size_t i = 0; auto _ : state)
    benchmark::DoNotOptimize(store.GetOrCompile(Key(i++), false, [&] { return disk.artifact(); }));
  if (!store.Stats().disk_status.empty()) state.SkipWithError(store.Stats().disk_status.c_str());
}
BENCHMARK(Publish)->Name("cache/publish")->Arg(14'000)->Arg(150'000);

/// What `gemmsmith cache stats` asks, of a cache of so many entries of 14 KB.
void Stats(benchmark::State& state) {
  const OnDisk disk(14'000);
  disk.Fill(static_cast<std::size_t>(state.range(0)));
  const ArtifactStore store = disk.Store();
  const PersistentCache cache(disk.directory().string());
  for (auto _ : state) {
    benchmark::DoNotOptimize(store.Stats());
    benchmark::DoNotOptimize(cache.History());
  }
}
BENCHMARK(Stats)->Name("cache/stats")->Arg(10'000)->Unit(benchmark::kMillisecond);

/// What `gemmsmith cache list` asks.
void List(benchmark::State& state) {
  const OnDisk disk(14'000);
  disk.Fill(static_cast<std::size_t>(state.range(0)));
  const PersistentCache cache(disk.directory().string());
  for (auto _ : state) benchmark::DoNotOptimize(cache.List());
}
BENCHMARK(List)->Name("cache/list")->Arg(10'000)->Unit(benchmark::kMillisecond);

/// Write under another name, and rename.
void PlainWrite(benchmark::State& state) {
  const OnDisk disk(state);
  const std::string bytes = disk.artifact().parts.at("cubin"), temp = (disk.directory() / "temp").string();
  for (std::size_t i = 0; auto _ : state) {
    const int fd = open(temp.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (write(fd, bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size())) state.SkipWithError("short write");
    close(fd);
    if (std::rename(temp.c_str(), (disk.directory() / std::to_string(i++)).c_str()) != 0) state.SkipWithError("rename");
  }
}
BENCHMARK(PlainWrite)->Name("cache/plain_write")->Arg(14'000)->Arg(150'000);

}  // namespace
}  // namespace gemmsmith
