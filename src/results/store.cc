#include "results/store.h"

namespace gemmsmith::results {

std::optional<StoredResult> FindIn(const Contents& contents, const ResultKey& key) {
  const auto found = contents.entries.find(key);
  return found == contents.entries.end() ? std::nullopt : std::optional(found->second);
}

std::vector<TuningRecord> TuningsIn(const Contents& contents, const std::string& problem) {
  std::vector<TuningRecord> found;
  for (const TuningRecord& record : contents.tunings)
    if (problem.empty() || record.problem == problem) found.push_back(record);
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
