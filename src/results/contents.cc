#include "results/contents.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <ctime>
#include <unordered_set>

#include "util/digest.h"

namespace gemmsmith::results {
namespace {

constexpr std::int64_t kLatest = 253'402'300'799;  // The last second of the year 9999.
constexpr std::size_t kLongestText = 4096;         // Of a field of a tuning record.
constexpr std::size_t kMostTimings = 1'000'000;

bool IsAmount(double value) { return std::isfinite(value) && value >= 0; }
bool IsTime(std::int64_t unix_time) { return unix_time >= 0 && unix_time <= kLatest; }

bool IsLoopOrder(std::string order) {
  std::ranges::sort(order);
  return order == "kmn";
}

template <class... Ts>
struct Cases : Ts... {
  using Ts::operator()...;
};
template <class... Ts>
Cases(Ts...) -> Cases<Ts...>;

}  // namespace

std::int64_t Now() { return std::time(nullptr); }

std::size_t KeyHash::operator()(const ResultKey& key) const {
  const GEMMShape& s = key.shape;
  const auto packed = static_cast<std::int64_t>(s.input_dtype) | static_cast<std::int64_t>(s.output_dtype) << 8 |
                      static_cast<std::int64_t>(key.mode.effort) << 16 |
                      static_cast<std::int64_t>(key.mode.tile_search) << 24 |
                      static_cast<std::int64_t>(key.mode.partition_search) << 25 |
                      static_cast<std::int64_t>(key.mode.use_precise_evaluator) << 26;
  const std::array<std::int64_t, 5> words{s.G, s.M, s.K, s.N, packed};
  return Hash64(words.data(), sizeof words);
}

std::string KeyText(const ResultKey& key) {
  const GEMMShape& s = key.shape;
  return fmt::format("{} {} {} {} {} {} {}", s.G, s.M, s.K, s.N, ToString(s.input_dtype), ToString(s.output_dtype),
                     ToString(key.mode));
}

void Contents::Apply(Change change, std::int64_t now) {
  if (counters.created_unix == 0) counters.created_unix = now;
  counters.last_updated_unix = std::max(counters.last_updated_unix, now);
  std::visit(Cases{[&](StoredResult& entry) {
                     counters.search_ms += entry.result.search.search_time_ms;
                     const ResultKey key = entry.key;
                     entries.insert_or_assign(key, std::move(entry));
                   },
                   [&](TuningRecord& record) { tunings.Add(std::move(record)); },
                   [&](const Use& use) {
                     const auto found = entries.find(use.key);
                     if (found != entries.end())
                       found->second.last_used_unix = std::max(found->second.last_used_unix, use.unix_time);
                   },
                   [&](const Lookups& lookups) {
                     counters.hits += lookups.hits;
                     counters.misses += lookups.misses;
                   }},
             change);
}

std::string WhyImpossible(const StoredResult& entry) {
  const GEMMShape& s = entry.key.shape;
  if (std::min({s.G, s.M, s.K, s.N}) < 1) return fmt::format("a size of {}x{}x{}x{} is below 1", s.G, s.M, s.K, s.N);
  const GEMMResult& r = entry.result;
  for (const double amount : {r.latency_us, r.compute_time_us, r.memory_time_us, r.flops, r.arch_utilization,
                              r.effective_utilization, r.search.search_time_ms})
    if (!IsAmount(amount)) return fmt::format("{} is no time, count or share", amount);
  if (r.dram_traffic_bytes < 0 || r.search.num_searched_partitions < 0 || r.search.num_searched_tiles < 0)
    return "a count is negative";
  // The roofline knows neither tile nor order nor partition.
  if (std::ranges::min(r.best_tile) < 0 || std::ranges::min(r.best_partition) < 0) return "a tile is negative";
  if (!r.best_loop_order.empty() && !IsLoopOrder(r.best_loop_order))
    return fmt::format("the loop order has {} letters that are not m, n and k", r.best_loop_order.size());
  if (!IsTime(entry.created_unix) || !IsTime(entry.last_used_unix)) return "a time is out of range";
  return "";
}

std::string WhyImpossible(const TuningRecord& record) {
  if (record.problem.empty() || record.config.empty()) return "a tuning record names no problem or no config";
  for (const std::string* text :
       {&record.problem, &record.config, &record.code_digest, &record.device, &record.target, &record.wrong})
    if (text->size() > kLongestText)
      return fmt::format("a text of a tuning record has {} bytes; at most {}", text->size(), kLongestText);
  if (!IsAmount(record.core_clock_mhz) || !IsAmount(record.memory_clock_mhz)) return "a clock is negative";
  if (record.times_us.size() > kMostTimings || (record.times_us.empty() && record.wrong.empty()))
    return fmt::format("a tuning record has {} timings; 1 to {} are possible", record.times_us.size(), kMostTimings);
  for (const double time : record.times_us)
    if (!IsAmount(time) || time == 0) return fmt::format("{} us is no timing", time);
  if (record.m_from < 0 || record.m_to < record.m_from || (record.m_from == 0) != (record.m_to == 0))
    return fmt::format("m from {} to {} is no range", record.m_from, record.m_to);
  return IsTime(record.created_unix) ? "" : "a time is out of range";
}

ResultsChange Prune(Contents& contents, std::int64_t oldest, std::uint64_t most) {
  struct Candidate {
    std::int64_t used;
    const ResultKey* key;        // Of a result; null: of a tuning record.
    const TuningRecord* tuning;  // Stays where it is until all are known.
  };
  std::vector<Candidate> candidates;
  for (const auto& [key, entry] : contents.entries) candidates.push_back({entry.last_used_unix, &key, nullptr});
  contents.tunings.ForEach([&](const TuningRecord& record) {
    if (MayGo(record)) candidates.push_back({record.created_unix, nullptr, &record});
  });
  std::ranges::stable_sort(candidates, {}, &Candidate::used);
  const auto first_kept = std::ranges::lower_bound(candidates, oldest, {}, &Candidate::used) - candidates.begin();
  const std::size_t surplus = contents.size() - std::min<std::uint64_t>(most, contents.size());
  candidates.resize(std::min(candidates.size(), std::max<std::size_t>(surplus, first_kept)));

  ResultsChange gone;
  std::unordered_set<const TuningRecord*> goes;
  for (const Candidate& candidate : candidates) {
    if (candidate.key == nullptr) goes.insert(candidate.tuning);
    (candidate.key == nullptr ? gone.tunings : gone.results) += 1;
  }
  for (const Candidate& candidate : candidates)
    if (candidate.key != nullptr) contents.entries.erase(ResultKey(*candidate.key));
  contents.tunings.EraseIf([&](const TuningRecord& record) { return goes.contains(&record); });
  return gone;
}

}  // namespace gemmsmith::results
