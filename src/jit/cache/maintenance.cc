#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "core/parallel.h"
#include "gemmsmith/options.h"
#include "gemmsmith/persistent_cache.h"
#include "jit/cache/entry_files.h"
#include "jit/cache/entry_format.h"
#include "jit/cache/eviction.h"
#include "jit/cache/samples.h"
#include "jit/cache/usage.h"
#include "util/digest.h"
#include "util/log.h"
#include "util/paths.h"

namespace gemmsmith {
namespace {

/// Empty for what cannot be read: it may be gone by now.
std::optional<FileBytes> TryRead(const std::string& path, std::uint64_t most = kMaxEntryBytes + 1) try {
  return ReadEntryFile(path, /*touch=*/false, most);
} catch (const Error& error) {
  LogDebug("cache: {}", error.what());
  return std::nullopt;
}

std::vector<EntryFile> AllEntries(const std::string& directory) {
  std::vector<EntryFile> entries;
  VisitEntries(directory, [&](const EntryFile& entry) { return entries.push_back(entry), true; });
  return entries;
}

CachedKernel Describe(const EntryFile& file, const EntrySummary& summary, const Usage& usage) {
  const Artifact& artifact = summary.artifact;
  const auto size_of = [&](std::string_view part) {
    const auto found = summary.part_sizes.find(part);
    return found == summary.part_sizes.end() ? 0 : found->second;
  };
  CachedKernel kernel;
  kernel.key = file.digest;
  kernel.kernel_name = artifact.kernel_name;
  kernel.problem = artifact.problem;
  kernel.config = artifact.config;
  kernel.arch = ToString(artifact.target);
  kernel.compiler = artifact.compiler;
  kernel.stored_bytes = file.bytes;
  kernel.ptx_size = size_of("ptx");
  kernel.cubin_size = size_of("cubin");
  kernel.compile_ms = artifact.compile_ms;
  if (const auto found = usage.uses.find(file.digest); found != usage.uses.end()) kernel.usage_count = found->second;
  kernel.created_unix = artifact.created_unix;
  kernel.last_used_unix = file.LastUse(std::time(nullptr));
  kernel.resources = artifact.resources;
  return kernel;
}

/// Removes them from `entries`.
std::vector<EntryFile> TakeOlderFormats(const std::string& directory, std::vector<EntryFile>& entries) {
  const auto is_current = [&](const EntryFile& entry) {
    const std::optional<FileBytes> start = TryRead(EntryPath(directory, entry.digest), kVersionEnd);
    return !start || !IsOfOlderFormat(start->view());
  };
  const auto older = std::partition(entries.begin(), entries.end(), is_current);
  std::vector<EntryFile> taken(std::make_move_iterator(older), std::make_move_iterator(entries.end()));
  entries.erase(older, entries.end());
  return taken;
}

/// Those that could be removed. Some disks are told of each file and waited for: several at once.
std::vector<EntryFile> RemoveEach(const std::string& directory, std::vector<EntryFile> victims) {
  constexpr int kThreads = 8;
  std::ranges::sort(victims, {}, &EntryFile::digest);  // Folder by folder.
  std::vector<char> is_gone(victims.size());
  const auto remove = [&](std::int64_t i) { is_gone[i] = RemoveEntry(directory, victims[i]); };
  ParallelFor(std::ssize(victims), remove, kThreads);
  std::vector<EntryFile> removed;
  for (std::size_t i = 0; i < victims.size(); ++i)
    if (is_gone[i]) removed.push_back(std::move(victims[i]));
  return removed;
}

std::string Lower(std::string_view text) {
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(), [](unsigned char c) { return std::tolower(c); });
  return lower;
}

/// Empty: sound. `bytes` are all of the file.
std::string_view Fault(const EntryFile& file, std::string_view bytes, EntryState& state) {
  if (bytes.size() > kMaxEntryBytes) return "it is too large";
  const Entry entry = DecodeEntry(bytes);
  state = entry.state;
  if (entry.state == EntryState::kBroken) return entry.reason;
  if (entry.state == EntryState::kGood && DigestOf(entry.key_text).Hex() != file.digest)
    return "it belongs to another key";
  return {};
}

/// Throws kIo where it cannot be read.
void VerifyEntry(const std::string& directory, const EntryFile& file, bool repair, IntegrityReport& report) {
  const std::optional<FileBytes> bytes = ReadEntryFile(EntryPath(directory, file.digest), /*touch=*/false);
  if (!bytes) return;
  ++report.checked;
  EntryState state = EntryState::kBroken;
  const std::string_view fault = Fault(file, bytes->view(), state);
  if (!fault.empty()) {
    report.broken.push_back({file.digest, std::string(fault)});
    if (repair && QuarantineEntry(directory, file.digest, bytes->info.st_ino)) ++report.repaired;
  } else if (state == EntryState::kOtherVersion) {
    ++report.other_format;
    if (repair && RemoveEntry(directory, file)) ++report.repaired;
  }
}

}  // namespace

PersistentCache::PersistentCache(const std::string& directory)
    : directory_(CanonicalPath(directory.empty() ? Environment::Get().cache_dir : directory)) {
  if (directory_.empty())
    throw Fail(Code::kNotFound, "name a folder, or set GEMMSMITH_CACHE_DIR or HOME", "there is no cache directory");
}

std::vector<CachedKernel> PersistentCache::List() const {
  const Usage usage = ReadUsage(directory_);
  std::vector<CachedKernel> kernels;
  VisitEntries(directory_, [&](const EntryFile& file) {
    if (const std::optional<FileBytes> bytes = TryRead(EntryPath(directory_, file.digest)))
      if (const EntrySummary summary = SummarizeEntry(bytes->view()); summary.state == EntryState::kGood)
        kernels.push_back(Describe(file, summary, usage));
    return true;
  });
  std::sort(kernels.begin(), kernels.end(), [](const auto& x, const auto& y) { return x.key < y.key; });
  return kernels;
}

std::vector<CachedKernel> PersistentCache::Search(std::string_view text) const {
  const std::string wanted = Lower(text);
  std::vector<CachedKernel> kernels = List();
  std::erase_if(kernels, [&](const CachedKernel& k) {
    const std::string* const fields[] = {&k.key, &k.kernel_name, &k.problem, &k.config, &k.arch, &k.compiler};
    return std::none_of(std::begin(fields), std::end(fields),
                        [&](const std::string* field) { return Lower(*field).find(wanted) != std::string::npos; });
  });
  return kernels;
}

CachedKernelDetails PersistentCache::Show(std::string_view key) const {
  std::vector<EntryFile> found;
  VisitEntries(directory_, [&](const EntryFile& file) {
    if (file.digest.starts_with(key)) found.push_back(file);
    return found.size() < 2;
  });
  const char* const remedy = "gemmsmith cache list shows the keys";
  if (found.size() > 1)
    throw Fail(Code::kInvalidArgument, remedy, "cache: several keys begin with \"{}\": {}, {}, ...", key,
               found[0].digest, found[1].digest);
  const std::string path = found.empty() ? "" : EntryPath(directory_, found[0].digest);
  const std::optional<FileBytes> bytes = found.empty() ? std::nullopt : TryRead(path);
  if (!bytes) throw Fail(Code::kNotFound, remedy, "cache: there is no kernel \"{}\" in {}", key, directory_);
  EntrySummary summary = SummarizeEntry(bytes->view());
  if (summary.state != EntryState::kGood)
    throw Fail(Code::kNotFound, "gemmsmith cache verify looks for broken entries",
               "cache: {} is broken, or of another version of gemmsmith", path);
  CachedKernelDetails details{Describe(found[0], summary, ReadUsage(directory_)), path, std::move(summary.key_text),
                              std::move(summary.artifact.log), ReadDebugFile(directory_, found[0].digest, ".cu")};
  return details;
}

IntegrityReport PersistentCache::Verify(bool repair) const {
  IntegrityReport report;
  VisitEntries(directory_, [&](const EntryFile& file) {
    try {
      VerifyEntry(directory_, file, repair, report);
    } catch (const Error& error) {
      // It may be whole: it is left where it is.
      ++report.checked;
      report.broken.push_back({file.digest, error.what()});
    }
    return true;
  });
  return report;
}

PruneReport PersistentCache::Prune(const PruneLimits& limits, bool dry_run) const {
  PruneReport report;
  std::vector<EntryFile> entries = AllEntries(directory_);
  report.kept_kernels = entries.size();
  for (const EntryFile& entry : entries) report.kept_bytes += entry.bytes;
  std::vector<EntryFile> victims = TakeOlderFormats(directory_, entries);
  std::ranges::move(Victims(std::move(entries), limits, std::time(nullptr), 1), std::back_inserter(victims));
  if (!dry_run) {
    victims = RemoveEach(directory_, std::move(victims));
    ForgetUses(directory_, victims);
  }
  for (const EntryFile& victim : victims) ++report.removed_kernels, report.removed_bytes += victim.bytes;
  report.kept_kernels -= report.removed_kernels;
  report.kept_bytes -= report.removed_bytes;
  if (!dry_run) {
    UsageBuffer::FlushAll();
    AddSample(directory_, report.kept_kernels, report.kept_bytes);
  }
  return report;
}

PruneReport PersistentCache::Clear() const {
  PruneReport report = Prune({.max_kernels = 0});
  RemoveDebugFiles(directory_);
  UsageBuffer::FlushAll();  // What this process has counted so far goes with the rest.
  ForgetUsage(directory_);
  ForgetSamples(directory_);
  return report;
}

CacheHistory PersistentCache::History() const {
  UsageBuffer::FlushAll();
  return ReadHistory(directory_);
}

std::vector<CacheSample> PersistentCache::Samples() const { return ReadSamples(directory_); }

std::vector<BrokenKernel> PersistentCache::Quarantine() const {
  std::vector<BrokenKernel> broken;
  VisitQuarantine(directory_, [&](const EntryFile& file) {
    EntryState state = EntryState::kBroken;
    if (const std::optional<FileBytes> bytes = TryRead(QuarantinePath(directory_, file.digest))) {
      const std::string_view fault = Fault(file, bytes->view(), state);
      broken.push_back({file.digest, fault.empty() ? "it is good now" : std::string(fault)});
    }
    return true;
  });
  std::ranges::sort(broken, {}, &BrokenKernel::key);
  return broken;
}

std::string PersistentCache::Read(std::string_view key, std::string_view part) const {
  const CachedKernelDetails details = Show(key);
  const std::optional<FileBytes> bytes = TryRead(details.path);
  Entry entry = bytes ? DecodeEntry(bytes->view()) : Entry{};
  if (entry.state != EntryState::kGood)
    throw Fail(Code::kNotFound, "gemmsmith cache verify --repair sets it aside", "cache: {} is broken", details.path);
  const auto found = entry.artifact.parts.find(part);
  if (found == entry.artifact.parts.end())
    throw Fail(Code::kNotFound, "", "cache: {} ({}) holds no {}", details.kernel.key, details.kernel.kernel_name, part);
  return std::move(found->second);
}

}  // namespace gemmsmith
