#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gemmsmith/persistent_cache.h"
#include "jit/cache/entry_files.h"

namespace gemmsmith {

/// Which of `entries` must go: those too old, and, where a limit is passed, those unused longest until `fill` (0 to 1)
/// of it is left.
std::vector<EntryFile> Victims(std::vector<EntryFile> entries, const PruneLimits& limits, std::int64_t now,
                               double fill);

/// The age that the policy lets entries reach; empty for one without end.
std::optional<std::chrono::seconds> AgeLimit(const CachePolicy& policy);

/// Of the 256 shards, those that keep the policy's limits together: the fewest whose share is so large that chance does
/// not matter. A power of two.
int ShardsPerGroup(const CachePolicy& policy);

/// Keeps the policy in the group of shards that `digest` is in, as far as nobody else is at it. Never throws: what
/// cannot be removed stays. Several processes may do so at once.
void EvictAround(const std::string& directory, std::string_view digest, const CachePolicy& policy);

}  // namespace gemmsmith
