#include "jit/cache/usage.h"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <iterator>
#include <optional>
#include <set>
#include <sstream>
#include <utility>
#include <vector>

#include "jit/cache/samples.h"
#include "util/atomic_file.h"
#include "util/file_lock.h"
#include "util/log.h"
#include "util/paths.h"

namespace gemmsmith {
namespace {

using namespace std::chrono_literals;

constexpr int kFiles = 16;
constexpr std::size_t kDigestDigits = 32;
constexpr auto kLockTimeout = 1s;
constexpr auto kFlushInterval = 1min;

std::string CounterPath(const std::string& directory, int file) {
  return fmt::format("{}/metadata/counters/{:x}", directory, file);
}

int FileOf(std::string_view digest) {
  int file = 0;
  std::from_chars(digest.data(), digest.data() + 1, file, 16);
  return file;
}

/// The rows in front of those of the entries, in the order of the file: both directions follow it.
template <class History, class Visit>
void VisitHistory(History& history, const Visit& visit) {
  visit("memory_hits", history.memory_hits);
  visit("disk_hits", history.disk_hits);
  visit("bundle_hits", history.bundle_hits);
  visit("misses", history.misses);
  visit("saved_ms", history.saved_compile_ms);
}

void TakeRow(std::string_view name, std::string_view value, Usage& usage) {
  const auto take = [&](auto& field) {
    std::remove_reference_t<decltype(field)> parsed{};
    if (std::from_chars(value.data(), value.data() + value.size(), parsed).ec == std::errc{}) field += parsed;
  };
  VisitHistory(usage.history, [&](std::string_view known, auto& field) {
    if (name == known) take(field);
  });
  if (name.size() == kDigestDigits) take(usage.uses[std::string(name)]);
}

enum class Rows { kAll, kHistory };

/// Lines of "name value"; others are skipped, so that a damaged file costs counts and nothing else. The history comes
/// first. Throws kIo: what cannot be read now must not be written over.
Usage ReadFile(const std::string& path, Rows rows = Rows::kAll) {
  Usage usage;
  const std::optional<FileBytes> file = ReadEntryFile(path, /*touch=*/false);
  std::istringstream text(file ? std::string(file->view()) : "");
  for (std::string line; std::getline(text, line);)
    if (const std::size_t space = line.find(' '); space != line.npos) {
      if (rows == Rows::kHistory && space == kDigestDigits) break;
      TakeRow(std::string_view(line).substr(0, space), std::string_view(line).substr(space + 1), usage);
    }
  if (!std::isfinite(usage.history.saved_compile_ms)) usage.history.saved_compile_ms = 0;
  return usage;
}

std::string Text(const Usage& usage) {
  std::string text;
  VisitHistory(usage.history, [&](std::string_view name, auto value) { text += fmt::format("{} {}\n", name, value); });
  for (const auto& [digest, count] : usage.uses) text += fmt::format("{} {}\n", digest, count);
  return text;
}

/// Reads a file of counters, changes it and writes it, with no other process in between. Throws kIo.
template <class Change>
bool Rewrite(const std::string& directory, int file, const Change& change) {
  const std::string path = CounterPath(directory, file), temp = directory + "/temp";
  for (const char* folder : {"/metadata/counters", "/temp"}) MakePrivateDirectories(directory + folder);
  const auto lock = FileLock::Acquire(LockPath(directory), fmt::format("counters {:x}", file), kLockTimeout);
  if (!lock) return false;
  Usage usage = ReadFile(path);
  change(usage);
  AtomicFile out(temp);
  out.Write(Text(usage));
  out.Commit(path);
  return true;
}

/// False if they cannot be written now.
bool AddToFile(const std::string& directory, int file, const Usage& counted) try {
  return Rewrite(directory, file, [&](Usage& usage) { usage.Add(counted); });
} catch (const std::exception& error) {
  LogDebug("cache: hits are not counted: {}", error.what());
  return false;
}

bool Exists(const std::string& path) { return access(path.c_str(), F_OK) == 0; }

struct Registry {
  std::mutex mutex;
  std::set<UsageBuffer*> buffers;
};

Registry& Buffers() {
  // Leaked on purpose: engines may outlive the statics of a program.
  static Registry* const registry = [] {
    std::atexit(UsageBuffer::FlushAll);
    return new Registry;
  }();
  return *registry;
}

}  // namespace

void Usage::Add(const Usage& other) {
  history.memory_hits += other.history.memory_hits;
  history.disk_hits += other.history.disk_hits;
  history.bundle_hits += other.history.bundle_hits;
  history.misses += other.history.misses;
  history.saved_compile_ms += other.history.saved_compile_ms;
  for (const auto& [digest, count] : other.uses) uses[digest] += count;
}

bool Usage::empty() const {
  return uses.empty() && history.memory_hits + history.disk_hits + history.bundle_hits + history.misses == 0;
}

Usage ReadUsage(const std::string& directory) {
  Usage usage;
  for (int file = 0; file < kFiles; ++file) usage.Add(ReadFile(CounterPath(directory, file)));
  return usage;
}

CacheHistory ReadHistory(const std::string& directory) {
  Usage usage;
  for (int file = 0; file < kFiles; ++file) usage.Add(ReadFile(CounterPath(directory, file), Rows::kHistory));
  return usage.history;
}

void ForgetUses(const std::string& directory, std::span<const EntryFile> gone) try {
  std::array<std::vector<std::string_view>, kFiles> by_file;
  for (const EntryFile& entry : gone) by_file[FileOf(entry.digest)].push_back(entry.digest);
  for (int file = 0; file < kFiles; ++file)
    if (!by_file[file].empty() && Exists(CounterPath(directory, file)))
      Rewrite(directory, file, [&](Usage& usage) {
        for (const std::string_view digest : by_file[file])
          if (const auto found = usage.uses.find(digest); found != usage.uses.end()) usage.uses.erase(found);
      });
} catch (const Error& error) {
  LogDebug("cache: counters of removed kernels stay: {}", error.what());
}

void ForgetUsage(const std::string& directory) {
  for (int file = 0; file < kFiles; ++file) unlink(CounterPath(directory, file).c_str());
}

UsageBuffer::UsageBuffer(std::string directory, std::function<bool()> may_write)
    : directory_(std::move(directory)), may_write_(std::move(may_write)), process_(getpid()) {
  Registry& registry = Buffers();
  std::scoped_lock lock(registry.mutex);
  registry.buffers.insert(this);
}

UsageBuffer::~UsageBuffer() {
  {
    Registry& registry = Buffers();
    std::scoped_lock lock(registry.mutex);
    registry.buffers.erase(this);
  }
  Flush();
}

Usage& UsageBuffer::PendingFor(std::string_view digest) {
  if (process_ != getpid()) {
    process_ = getpid();
    pending_ = {};
    flushed_memory_hits_ = memory_hits();
  }
  return pending_[static_cast<std::size_t>(FileOf(digest))];
}

void UsageBuffer::Hit(std::string_view digest, Origin origin, double saved_compile_ms) {
  std::scoped_lock lock(mutex_);
  Usage& usage = PendingFor(digest);
  ++(origin == Origin::kBundle ? usage.history.bundle_hits : usage.history.disk_hits);
  usage.history.saved_compile_ms += saved_compile_ms;
  ++usage.uses[std::string(digest)];
}

void UsageBuffer::Miss(std::string_view digest) {
  std::scoped_lock lock(mutex_);
  ++PendingFor(digest).history.misses;
}

std::array<Usage, 16> UsageBuffer::TakePending() {
  std::scoped_lock lock(mutex_);
  Usage& first = PendingFor("0");
  const std::uint64_t hits = memory_hits();
  first.history.memory_hits += hits - std::exchange(flushed_memory_hits_, hits);
  last_flush_ = Clock::now();
  return std::exchange(pending_, {});
}

void UsageBuffer::Flush() {
  if (AddPending()) SampleHourly(directory_);
}

bool UsageBuffer::AddPending() {
  // A cache is made by its first entry.
  if (directory_.empty() || !Exists(directory_ + "/kernels") || !may_write_()) return false;
  std::scoped_lock flushing(flush_mutex_);
  const std::array<Usage, 16> taken = TakePending();
  bool added = false;
  for (std::size_t file = 0; file < taken.size(); ++file) {
    if (taken[file].empty()) continue;
    if (AddToFile(directory_, static_cast<int>(file), taken[file])) {
      added = true;
      continue;
    }
    std::scoped_lock lock(mutex_);
    pending_[file].Add(taken[file]);
  }
  return added;
}

void UsageBuffer::FlushSometimes() {
  {
    std::scoped_lock lock(mutex_);
    if (Clock::now() - last_flush_ < kFlushInterval) return;
  }
  Flush();
}

void UsageBuffer::FlushAll() {
  Registry& registry = Buffers();
  std::scoped_lock lock(registry.mutex);
  for (UsageBuffer* buffer : registry.buffers) buffer->Flush();
}

}  // namespace gemmsmith
