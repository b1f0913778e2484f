#include "jit/cache/samples.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <ctime>
#include <optional>
#include <string_view>

#include "jit/cache/entry_files.h"
#include "jit/cache/usage.h"
#include "util/atomic_file.h"
#include "util/file_lock.h"
#include "util/log.h"
#include "util/paths.h"

namespace gemmsmith {
namespace {

using namespace std::chrono_literals;

constexpr std::int64_t kInterval = 3600;       // Seconds.
constexpr std::int64_t kReplaceAge = 300;      // The same.
constexpr std::size_t kMaxRows = 1000;         // Six weeks of hours; then every second one of the older half goes.
constexpr std::uint64_t kMostBytes = 1 << 20;  // The rows take less.
constexpr std::uint64_t kMostCounted = 4096;   // In about 15 ms; of more, the estimate is good to 2 or 3 %.

std::string SamplesPath(const std::string& directory) { return directory + "/metadata/samples"; }

/// The fields of a row in the order of the file: both directions follow it.
template <class Sample, class Visit>
void VisitFields(Sample& sample, const Visit& visit) {
  visit(sample.unix_time);
  visit(sample.kernels);
  visit(sample.bytes);
  visit(sample.history.memory_hits);
  visit(sample.history.disk_hits);
  visit(sample.history.bundle_hits);
  visit(sample.history.misses);
  visit(sample.history.saved_compile_ms);
}

/// False for what is no row.
bool ParseRow(std::string_view line, CacheSample& sample) {
  bool ok = true;
  VisitFields(sample, [&](auto& field) {
    const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), field);
    ok = ok && error == std::errc{} && (end == line.data() + line.size() || *end == ' ');
    line.remove_prefix(std::min(line.size(), static_cast<std::size_t>(end - line.data()) + 1));
  });
  const double saved = sample.history.saved_compile_ms;
  return ok && line.empty() && sample.unix_time > 0 && std::isfinite(saved) && saved >= 0;
}

std::string Text(const std::vector<CacheSample>& samples) {
  std::string text;
  for (const CacheSample& sample : samples) {
    VisitFields(sample, [&](auto field) { text += fmt::format("{} ", field); });
    text.back() = '\n';
  }
  return text;
}

/// Time of the last row; empty where there is none.
std::optional<std::int64_t> LastTime(const std::string& directory) {
  struct stat info {};
  if (lstat(SamplesPath(directory).c_str(), &info) != 0) return std::nullopt;
  return info.st_mtim.tv_sec;
}

/// Not so too after the clock was set back.
bool IsRecent(const std::optional<std::int64_t>& time, std::int64_t now, std::int64_t interval) {
  return time && std::abs(now - *time) < interval;
}

void Thin(std::vector<CacheSample>& samples) {
  if (samples.size() <= kMaxRows) return;
  const auto middle = samples.begin() + static_cast<std::ptrdiff_t>(samples.size() / 2);
  bool keep = false;  // The first stays: it is the beginning.
  samples.erase(std::remove_if(samples.begin(), middle, [&](const CacheSample&) { return !(keep = !keep); }), middle);
}

/// Under the lock, which keeps one process from losing the row of another.
void Append(const std::string& directory, const EntryCount& count, std::int64_t now) {
  std::vector<CacheSample> samples = ReadSamples(directory);
  if (!samples.empty() && IsRecent(samples.back().unix_time, now, kReplaceAge)) samples.pop_back();
  samples.push_back({now, count.kernels, count.bytes, ReadHistory(directory)});
  Thin(samples);
  MakePrivateDirectories(directory + "/temp");
  AtomicFile file(directory + "/temp");
  file.Write(Text(samples));
  file.Commit(SamplesPath(directory));
}

/// Empty while another process samples: one row is enough.
std::optional<FileLock> Lock(const std::string& directory) {
  MakePrivateDirectories(directory + "/metadata");
  return FileLock::Acquire(LockPath(directory), "samples", 0ms);
}

}  // namespace

std::vector<CacheSample> ReadSamples(const std::string& directory) try {
  std::vector<CacheSample> samples;
  const std::optional<FileBytes> file = ReadEntryFile(SamplesPath(directory), /*touch=*/false, kMostBytes);
  for (std::string_view rest = file ? file->view() : ""; !rest.empty();) {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    if (CacheSample sample; ParseRow(rest.substr(0, end), sample)) samples.push_back(sample);
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  std::ranges::stable_sort(samples, {}, &CacheSample::unix_time);
  return samples;
} catch (const Error& error) {
  LogDebug("cache: {}", error.what());
  return {};
}

EntryCount EstimateEntries(const std::string& directory, std::uint64_t most) {
  EntryCount count;
  int shards = 0;
  // The same shards each time, so that samples agree with each other better than each does with the truth.
  for (; shards < kShards && count.kernels <= most; ++shards)
    VisitShard(directory, shards,
               [&](const EntryFile& entry) { return ++count.kernels, count.bytes += entry.bytes, true; });
  const double scale = static_cast<double>(kShards) / shards;
  return {static_cast<std::uint64_t>(std::llround(static_cast<double>(count.kernels) * scale)),
          static_cast<std::uint64_t>(std::llround(static_cast<double>(count.bytes) * scale))};
}

void SampleHourly(const std::string& directory) try {
  const std::int64_t now = std::time(nullptr);
  if (IsRecent(LastTime(directory), now, kInterval)) return;
  const auto lock = Lock(directory);
  if (!lock || IsRecent(LastTime(directory), now, kInterval)) return;
  Append(directory, EstimateEntries(directory, kMostCounted), now);
} catch (const std::exception& error) {
  LogDebug("cache: no sample: {}", error.what());
}

void AddSample(const std::string& directory, std::uint64_t kernels, std::uint64_t bytes) try {
  if (access((directory + "/kernels").c_str(), F_OK) != 0) return;  // A cache is made by its first entry.
  if (const auto lock = Lock(directory)) Append(directory, {kernels, bytes}, std::time(nullptr));
} catch (const std::exception& error) {
  LogDebug("cache: no sample: {}", error.what());
}

void ForgetSamples(const std::string& directory) { unlink(SamplesPath(directory).c_str()); }

}  // namespace gemmsmith
