#include "results/store.h"

#include <algorithm>

namespace gemmsmith::results {

std::optional<StoredResult> FindIn(const Contents& contents, const ResultKey& key) {
  const auto found = contents.entries.find(key);
  return found == contents.entries.end() ? std::nullopt : std::optional(found->second);
}

std::vector<TuningRecord> TuningsIn(const Contents& contents, const std::string& problem) {
  if (!problem.empty()) {
    const std::span<const TuningRecord> of_one = contents.tunings.Of(problem);
    return {of_one.begin(), of_one.end()};
  }
  std::vector<TuningRecord> found;
  contents.tunings.ForEach([&](const TuningRecord& record) { found.push_back(record); });
  std::ranges::stable_sort(found, {}, &TuningRecord::created_unix);
  return found;
}

std::optional<StoredResult> MemoryStore::Find(const ResultKey& key) { return FindIn(contents_, key); }
std::vector<TuningRecord> MemoryStore::Tunings(const std::string& problem) { return TuningsIn(contents_, problem); }

void MemoryStore::Apply(std::span<const Change> changes) {
  for (const Change& change : changes) contents_.Apply(change, Now());
}

ResultsChange MemoryStore::Prune(std::int64_t oldest, std::uint64_t most, bool dry_run) {
  if (!dry_run) return results::Prune(contents_, oldest, most);
  Contents copy = contents_;
  return results::Prune(copy, oldest, most);
}

}  // namespace gemmsmith::results
