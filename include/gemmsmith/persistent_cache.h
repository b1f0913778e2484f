#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gemmsmith/cache.h"
#include "gemmsmith/export.h"
#include "gemmsmith/kernel.h"

namespace gemmsmith {

/// One kernel in a cache directory.
struct CachedKernel {
  std::string key;  ///< 32 hexadecimal digits.
  std::string kernel_name;
  std::string problem, config;  ///< Empty for a user's kernel.
  std::string arch, compiler;
  std::uint64_t stored_bytes = 0;              ///< Of its file.
  std::uint64_t ptx_size = 0, cubin_size = 0;  ///< Bytes, unpacked.
  double compile_ms = 0;                       ///< Of the compile that made it.
  std::uint64_t usage_count = 0;               ///< How often a process took it from the disk.
  std::int64_t created_unix = 0;               ///< Seconds since 1970; 0 for one that came from a bundle.
  std::int64_t last_used_unix = 0;             ///< The same, to the hour.
  KernelResources resources;
};

/// All that is known of one kernel in a cache directory.
struct CachedKernelDetails {
  CachedKernel kernel;
  std::string path;      ///< Of its file.
  std::string key_text;  ///< What the key is made of.
  std::string log;       ///< Of the compiler.
  std::string source;    ///< Where CachePolicy::enable_debug kept it.
};

/// What became of all lookups in a cache directory, of all processes, since it was made or cleared. A process adds its
/// share at the end, and when it adds a kernel.
struct CacheHistory {
  std::uint64_t memory_hits = 0, disk_hits = 0, bundle_hits = 0, misses = 0;
  double saved_compile_ms = 0;  ///< Compile time of the kernels that came from disk or a bundle.
};

/// The state of a cache directory at one time. Taken at the end of a process that used it, at most hourly, and whenever
/// it is pruned; about a thousand are kept, old ones farther apart.
struct CacheSample {
  std::int64_t unix_time = 0;  ///< Seconds since 1970.
  std::uint64_t kernels = 0;   ///< An estimate, to a few percent, where there are more than 4096.
  std::uint64_t bytes = 0;     ///< Of their files; the same.
  CacheHistory history{};      ///< Up to that time.
};

struct BrokenKernel {
  std::string key, reason;
};
struct IntegrityReport {
  std::uint64_t checked = 0;
  std::uint64_t other_format = 0;  ///< Entries of another version of the library: misses, not broken.
  std::vector<BrokenKernel> broken;
  std::uint64_t repaired = 0;  ///< Broken ones moved to the quarantine, those of another format removed.
};

/// What is to stay; what is not set limits nothing.
struct PruneLimits {
  std::optional<std::uint64_t> max_bytes{};
  std::optional<std::uint64_t> max_kernels{};
  std::optional<std::chrono::seconds> max_age{};  ///< Since last use.
};
struct PruneReport {
  std::uint64_t removed_kernels = 0, removed_bytes = 0, kept_kernels = 0, kept_bytes = 0;
};

/// The cache directory seen from outside: what is in it, and removing it again. Processes may use it meanwhile, and
/// what is removed under them is compiled anew. A folder or counter that is there and cannot be read is kIo: what is in
/// it is never taken for gone. Thread-safe.
class GEMMSMITH_API PersistentCache {
 public:
  /// Empty: the environment's. Throws kNotFound where it names none. The directory need not exist.
  explicit PersistentCache(const std::string& directory = {});
  const std::string& directory() const { return directory_; }

  /// Those of this format that can be read, in order of their keys. Payloads are not verified.
  std::vector<CachedKernel> List() const;
  /// Those with `text` in key, name, problem, config, architecture or compiler, in upper or lower case.
  std::vector<CachedKernel> Search(std::string_view text) const;
  /// By the key or its first digits. Throws kNotFound, and kInvalidArgument if several begin so.
  CachedKernelDetails Show(std::string_view key) const;
  /// Reads and unpacks everything. `repair` sets broken entries aside, but for those that could not be read at all.
  IntegrityReport Verify(bool repair) const;
  /// Removes entries of an older format, which no lookup finds any more, and what is too old, then those unused longest
  /// until the limits hold. `dry_run` only counts.
  PruneReport Prune(const PruneLimits& limits, bool dry_run = false) const;
  /// Removes every entry, debug file, counter and sample.
  PruneReport Clear() const;
  CacheHistory History() const;
  /// Oldest first.
  std::vector<CacheSample> Samples() const;
  /// The broken entries that were set aside, in order of their keys, each read again to say what is wrong with it.
  std::vector<BrokenKernel> Quarantine() const;
  /// One part of a kernel, named as for Show, unpacked and verified: "cubin" or "ptx". Throws like Show, and kNotFound
  /// where it has no such part.
  std::string Read(std::string_view key, std::string_view part) const;

 private:
  std::string directory_;
};

/// The state of one cache directory. Atomics, so that code written for live counters reads them with load().
struct PersistentCacheStats {
  std::atomic<std::uint64_t> total_cached_kernels = 0;
  std::atomic<std::uint64_t> disk_cache_hits = 0, disk_cache_misses = 0;  ///< Of all processes: see CacheHistory.
  std::atomic<double> total_saved_compilation_time = 0;                   ///< Milliseconds, of all processes.
};

/// The process-wide door to the cache directory: GlobalJITManager opens engines, this looks after what they keep.
/// Thread-safe.
class GEMMSMITH_API GlobalPersistentCacheManager {
 public:
  static GlobalPersistentCacheManager& Instance();

  /// Sets the directory (empty: the environment's) and policy of the GlobalJITManager's default engine and of wrappers
  /// and engines made from its settings from now on, and of all functions below. Without it they take the manager's
  /// settings.
  void Initialize(const std::string& directory = {}, const CachePolicy& policy = {});

  PersistentCacheStats GetStats() const;
  std::vector<CachedKernel> GetAllCachedKernels() const;
  /// See PersistentCache::Search.
  std::vector<CachedKernel> SearchKernels(std::string_view text) const;
  /// Removes what was not used for the policy's cache_expiration_time; how many that were.
  std::uint64_t CleanupExpiredCache();
  /// Removes those unused longest until the rest take no more than `max_bytes`; how many that were.
  std::uint64_t CleanupBySize(std::uint64_t max_bytes);
  /// Verifies every entry and sets broken ones aside. False if there were any.
  bool ValidateCacheIntegrity();

 private:
  GlobalPersistentCacheManager() = default;
};

}  // namespace gemmsmith
