#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>
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

/// Those of one problem lie together, in the order in which they came.
class TuningRecords {
 public:
  void Add(TuningRecord record) {
    // What a document lists comes in the map's own order.
    by_problem_.try_emplace(by_problem_.end(), record.problem)->second.push_back(std::move(record));
    ++size_;
  }
  std::size_t size() const { return size_; }
  std::span<const TuningRecord> Of(const std::string& problem) const {
    const auto found = by_problem_.find(problem);
    return found == by_problem_.end() ? std::span<const TuningRecord>() : found->second;
  }
  template <class Visit>
  void ForEach(const Visit& visit) const {
    for (const auto& [problem, records] : by_problem_) std::ranges::for_each(records, visit);
  }
  template <class Goes>
  void EraseIf(const Goes& goes) {
    for (auto& [problem, records] : by_problem_) size_ -= std::erase_if(records, goes);
    std::erase_if(by_problem_, [](const auto& group) { return group.second.empty(); });
  }
  friend bool operator==(const TuningRecords&, const TuningRecords&) = default;

 private:
  std::map<std::string, std::vector<TuningRecord>> by_problem_;
  std::size_t size_ = 0;
};

/// Everything that a database of one architecture holds.
struct Contents {
  std::unordered_map<ResultKey, StoredResult, KeyHash> entries;
  TuningRecords tunings;
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
