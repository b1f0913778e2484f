#pragma once

#include <sys/types.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <span>
#include <string>
#include <string_view>

#include "gemmsmith/kernel.h"
#include "gemmsmith/persistent_cache.h"
#include "jit/cache/entry_files.h"

namespace gemmsmith {

/// What became of lookups, and how often each entry was used.
struct Usage {
  CacheHistory history;
  std::map<std::string, std::uint64_t, std::less<>> uses;  ///< By digest.

  void Add(const Usage& other);
  bool empty() const;
};

/// What all processes have added so far to the counters of a cache directory. Throws kIo.
Usage ReadUsage(const std::string& directory);
/// The same without those of the entries, of which there may be many.
CacheHistory ReadHistory(const std::string& directory);
/// Drops the counters of entries that are gone. As far as they can be written.
void ForgetUses(const std::string& directory, std::span<const EntryFile> gone);
/// Drops all counters.
void ForgetUsage(const std::string& directory);

/// A counter whose threads do not wait for each other's cache lines.
class StripedCounter {
 public:
  void Add() { stripes_[Own()].value.fetch_add(1, std::memory_order_relaxed); }
  std::uint64_t Sum() const {
    std::uint64_t sum = 0;
    for (const Stripe& stripe : stripes_) sum += stripe.value.load(std::memory_order_relaxed);
    return sum;
  }

 private:
  static constexpr std::size_t kStripes = 16;
  struct alignas(64) Stripe {
    std::atomic<std::uint64_t> value = 0;
  };
  static std::size_t Own() {
    static std::atomic<std::size_t> threads = 0;
    static thread_local const std::size_t own = threads++ % kStripes;
    return own;
  }
  std::array<Stripe, kStripes> stripes_;
};

/// Counts the lookups of this process, and adds them to the counters of the directory now and then: a hit writes
/// nothing. Thread-safe. What a forked child inherits is its parent's to add.
class UsageBuffer {
 public:
  /// Empty: they are not kept. `may_write` says whether the directory may be written to at the moment.
  explicit UsageBuffer(
      std::string directory, std::function<bool()> may_write = [] { return true; });
  UsageBuffer(const UsageBuffer&) = delete;
  UsageBuffer& operator=(const UsageBuffer&) = delete;
  ~UsageBuffer();

  void MemoryHit() { memory_hits_.Add(); }
  std::uint64_t memory_hits() const { return memory_hits_.Sum(); }
  /// From disk or a bundle.
  void Hit(std::string_view digest, Origin origin, double saved_compile_ms);
  void Miss(std::string_view digest);

  /// Adds what has been counted to the directory's counters, and now and then a sample of it; what cannot be written
  /// stays here.
  void Flush();
  /// The same, unless that was done less than a minute ago.
  void FlushSometimes();
  /// All buffers of this process. Done at its exit.
  static void FlushAll();

 private:
  using Clock = std::chrono::steady_clock;
  /// Whether there was any, and it could be written.
  bool AddPending();
  Usage& PendingFor(std::string_view digest);
  std::array<Usage, 16> TakePending();

  const std::string directory_;
  const std::function<bool()> may_write_;
  StripedCounter memory_hits_;
  std::mutex flush_mutex_;  // Held over writing, so that a hit need not wait for a file or another process.
  std::mutex mutex_;        // Of all below.
  std::uint64_t flushed_memory_hits_ = 0;
  std::array<Usage, 16> pending_;  // By the first digit of the digest, as the files are.
  Clock::time_point last_flush_ = Clock::now();
  pid_t process_;
};

}  // namespace gemmsmith
