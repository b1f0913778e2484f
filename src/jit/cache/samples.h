#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "gemmsmith/persistent_cache.h"

namespace gemmsmith {

/// The file metadata/samples: how the cache directory grew. It holds a bounded number of rows, old ones farther apart.

/// Oldest first; lines that are damaged are skipped.
std::vector<CacheSample> ReadSamples(const std::string& directory);
/// Adds a row, unless the last is less than an hour old, or somebody else is at it. What is in the cache is counted up
/// to some thousands of entries and estimated beyond: the end of a process must not wait for more. Never throws.
void SampleHourly(const std::string& directory);
/// Adds a row with what is known to be in the cache; it takes the place of one that is a few minutes old. Never throws.
void AddSample(const std::string& directory, std::uint64_t kernels, std::uint64_t bytes);
void ForgetSamples(const std::string& directory);

struct EntryCount {
  std::uint64_t kernels = 0, bytes = 0;
};
/// Exact where there are at most `most`; else what as many shards as hold `most` lead to expect of all.
EntryCount EstimateEntries(const std::string& directory, std::uint64_t most);

}  // namespace gemmsmith
