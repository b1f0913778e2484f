#include "jit/cache/eviction.h"

#include <algorithm>
#include <charconv>
#include <ctime>
#include <utility>

#include "jit/cache/usage.h"
#include "util/file_lock.h"
#include "util/log.h"
#include "util/paths.h"

namespace gemmsmith {
namespace {

using namespace std::chrono_literals;

// The least that a group of shards must be allowed, so that they need not be filled evenly.
constexpr std::uint64_t kFewestKernels = 64;
constexpr std::uint64_t kFewestBytes = 16ull << 20;
// Evicting makes room for more than one: it happens seldom then.
constexpr double kFill = 0.9;

std::uint64_t Share(std::uint64_t limit, int shards) {
  return shards == kShards ? limit : limit / kShards * static_cast<std::uint64_t>(shards);
}

PruneLimits GroupLimits(const CachePolicy& policy, int shards) {
  PruneLimits limits;
  if (policy.max_disk_cache_size != 0) limits.max_bytes = Share(policy.max_disk_cache_size, shards);
  if (policy.max_cached_kernels != 0) limits.max_kernels = Share(policy.max_cached_kernels, shards);
  limits.max_age = AgeLimit(policy);
  return limits;
}

std::uint64_t Filled(std::uint64_t limit, double fill) {
  // Rounded up: of one, one stays.
  return limit - static_cast<std::uint64_t>(static_cast<double>(limit) * (1 - fill));
}

}  // namespace

std::vector<EntryFile> Victims(std::vector<EntryFile> entries, const PruneLimits& limits, std::int64_t now,
                               double fill) {
  // What was put a moment ago may lie a second after `now`, and is the newest all the same.
  const auto last_use = [now](const EntryFile& entry) {
    const bool in_future = entry.modified.tv_sec > now + 1;
    return in_future ? std::pair<std::int64_t, std::int64_t>(now, 0)
                     : std::pair<std::int64_t, std::int64_t>(entry.modified.tv_sec, entry.modified.tv_nsec);
  };
  std::ranges::stable_sort(entries, {}, last_use);
  std::uint64_t count = entries.size(), bytes = 0;
  for (const EntryFile& entry : entries) bytes += entry.bytes;
  const auto target = [fill](const std::optional<std::uint64_t>& limit, std::uint64_t now_there) {
    return limit && now_there > *limit ? Filled(*limit, fill) : now_there;
  };
  const auto is_old = [&](const EntryFile& entry) {
    return limits.max_age && now - entry.LastUse(now) > limits.max_age->count();
  };
  auto end = std::find_if_not(entries.begin(), entries.end(), is_old);
  for (auto i = entries.begin(); i != end; ++i) --count, bytes -= i->bytes;
  const std::uint64_t most = target(limits.max_kernels, count), most_bytes = target(limits.max_bytes, bytes);
  for (; end != entries.end() && (count > most || bytes > most_bytes); ++end) --count, bytes -= end->bytes;
  entries.erase(end, entries.end());
  return entries;
}

std::optional<std::chrono::seconds> AgeLimit(const CachePolicy& policy) {
  // Hours beyond what seconds can count would turn into ages below zero.
  constexpr auto kLongest = std::chrono::duration_cast<std::chrono::hours>(std::chrono::seconds::max());
  if (policy.cache_expiration_time == 0h || policy.cache_expiration_time > kLongest) return std::nullopt;
  return policy.cache_expiration_time;
}

int ShardsPerGroup(const CachePolicy& policy) {
  int shards = 1;
  const auto is_small = [&](std::uint64_t limit, std::uint64_t fewest) {
    return limit != 0 && limit / kShards < (fewest + static_cast<std::uint64_t>(shards) - 1) / shards;
  };
  while (shards < kShards &&
         (is_small(policy.max_cached_kernels, kFewestKernels) || is_small(policy.max_disk_cache_size, kFewestBytes)))
    shards *= 2;
  return shards;
}

void EvictAround(const std::string& directory, std::string_view digest, const CachePolicy& policy) try {
  const int shards = ShardsPerGroup(policy);
  int shard = 0;
  std::from_chars(digest.data(), digest.data() + 2, shard, 16);
  const int first = shard / shards * shards;
  std::vector<EntryFile> entries;
  for (int i = first; i < first + shards; ++i)
    VisitShard(directory, i, [&](const EntryFile& entry) { return entries.push_back(entry), true; });
  // The clock of files is coarse: of equal times the entry just put is the last to go.
  std::stable_partition(entries.begin(), entries.end(), [&](const EntryFile& e) { return e.digest != digest; });
  const std::vector<EntryFile> victims =
      Victims(std::move(entries), GroupLimits(policy, shards), std::time(nullptr), kFill);
  if (victims.empty()) return;
  MakePrivateDirectories(directory + "/metadata");
  // Not for correctness: two that evict at once choose the same ones. It spares them the work.
  const auto lock = FileLock::Acquire(LockPath(directory), "evict", 0ms);
  if (!lock) return;
  for (const EntryFile& victim : victims) RemoveEntry(directory, victim);
  ForgetUses(directory, victims);
  LogDebug("cache: {} kernels made room for others in {}", victims.size(), directory);
} catch (const Error& error) {
  LogDebug("cache: nothing evicted: {}", error.what());
}

}  // namespace gemmsmith
