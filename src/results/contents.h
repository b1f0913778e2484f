#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <unordered_map>
#include <variant>
#include <vector>

#include "gemmsmith/results.h"

namespace gemmsmith::results {

struct KeyHash {
  std::size_t operator()(const ResultKey& key) const;
};
/// "1 128 4096 7168 bf16 bf16 tile=1 partition=1 effort=exact precise=1": equal for equal keys, and for them only.
std::string KeyText(const ResultKey& key);

struct Counters {
  std::int64_t created_unix = 0, last_updated_unix = 0;
  double search_ms = 0;
  std::uint64_t hits = 0, misses = 0;
};

/// A use of a result, and lookups of a process: what is said of them besides their results.
struct Use {
  ResultKey key;
  std::int64_t unix_time = 0;
};
struct Lookups {
  std::uint64_t hits = 0, misses = 0;
};
using Change = std::variant<StoredResult, TuningRecord, Use, Lookups>;

/// Everything that a database of one architecture holds.
struct Contents {
  std::unordered_map<ResultKey, StoredResult, KeyHash> entries;
  std::vector<TuningRecord> tunings;
  Counters counters;

  std::size_t size() const { return entries.size() + tunings.size(); }
  void Apply(Change change, std::int64_t now);
};

/// Why this cannot be what it claims to be; empty: it can. Files and callers are asked the same.
std::string WhyImpossible(const StoredResult& entry);
std::string WhyImpossible(const TuningRecord& record);

/// Tuning records of wrong configs are for good.
inline bool MayGo(const TuningRecord& record) { return record.wrong.empty(); }
/// Removes what is unused since before `oldest`, then what is unused longest until `most` are left.
ResultsChange Prune(Contents& contents, std::int64_t oldest, std::uint64_t most);

std::int64_t Now();

}  // namespace gemmsmith::results
