#include <algorithm>
#include <exception>
#include <map>
#include <mutex>

#include "results/compression.h"
#include "results/database.h"
#include "util/log.h"

namespace gemmsmith {

using namespace results;

namespace {

constexpr std::int64_t kUseGrain = 86'400;  // Seconds: uses are noted at most daily.

double Median(std::vector<double> times) {
  const auto middle = times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2);
  std::ranges::nth_element(times, middle);
  if (times.size() % 2 != 0) return *middle;
  return (*std::max_element(times.begin(), middle) + *middle) / 2;
}

template <class Record>
void RequirePossible(const Record& record) {
  if (const std::string why = WhyImpossible(record); !why.empty())
    throw Fail(Code::kInvalidArgument, "", "results: put: {}", why);
}

}  // namespace

ResultsDatabase::ResultsDatabase(const std::string& architecture, const ResultsOptions& options)
    : state_(std::make_unique<State>(architecture, options)) {}

ResultsDatabase::~ResultsDatabase() {
  state_->StopSaver();
  const auto lock = state_->Lock();
  state_->Close();
}

std::optional<StoredResult> ResultsDatabase::Find(const ResultKey& key) {
  const auto lock = state_->Lock();
  std::optional<StoredResult> found = state_->unsaved.Find(key);
  if (!found) state_->With([&](Store& store) { found = store.Find(key); });
  (found ? state_->lookups.hits : state_->lookups.misses) += 1;
  if (found && Now() - found->last_used_unix > kUseGrain) {
    found->last_used_unix = Now();
    state_->unsaved.Apply(std::vector<Change>{*found});
    state_->pending.emplace_back(Use{key, Now()});
  }
  return found;
}

void ResultsDatabase::Put(const ResultKey& key, const GEMMResult& result) {
  StoredResult entry{key, result, Now(), Now(), false};
  RequirePossible(entry);
  state_->Keep(std::move(entry));
}

void ResultsDatabase::AddTuning(TuningRecord record) {
  if (record.created_unix == 0) record.created_unix = Now();
  RequirePossible(record);
  state_->Keep(std::move(record));
}

std::vector<TuningRecord> ResultsDatabase::Tunings(const std::string& problem) {
  const auto lock = state_->Lock();
  std::vector<TuningRecord> records;
  state_->With([&](Store& store) { records = store.Tunings(problem); });
  for (TuningRecord& record : state_->unsaved.Tunings(problem)) records.push_back(std::move(record));
  return records;
}

std::vector<TunedConfig> ResultsDatabase::Fastest(
    const std::string& problem, const std::function<std::string(const std::string& config)>& code_digest) {
  struct Known {
    std::string digest;
    std::vector<double> times;
    bool wrong = false;
  };
  std::map<std::string, Known> configs;
  for (const TuningRecord& record : Tunings(problem)) {
    const auto [known, is_new] = configs.try_emplace(record.config);
    Known& config = known->second;
    if (is_new) config.digest = code_digest(record.config);
    if (config.digest.empty() || record.code_digest != config.digest) continue;
    config.wrong |= !record.wrong.empty();
    config.times.insert(config.times.end(), record.times_us.begin(), record.times_us.end());
  }
  std::vector<TunedConfig> fastest;
  for (const auto& [config, known] : configs)
    if (!known.wrong && !known.times.empty()) fastest.push_back({config, Median(known.times), known.times.size()});
  // Of equal ones the first by name: every process chooses the same.
  std::ranges::stable_sort(fastest, {}, &TunedConfig::median_us);
  return fastest;
}

bool ResultsDatabase::IsWrong(const std::string& problem, const std::string& config, const std::string& code_digest) {
  return std::ranges::any_of(Tunings(problem), [&](const TuningRecord& record) {
    return record.config == config && record.code_digest == code_digest && !record.wrong.empty();
  });
}

std::vector<StoredResult> ResultsDatabase::Entries() {
  const auto lock = state_->Lock();
  const Contents contents = state_->ReadAll();
  std::vector<StoredResult> entries;
  for (const auto& [key, entry] : contents.entries) entries.push_back(entry);
  std::ranges::sort(entries, {}, [](const StoredResult& entry) {
    const auto& [shape, mode] = entry.key;
    return std::tuple(shape.G, shape.M, shape.K, shape.N, shape.input_dtype, shape.output_dtype, mode.effort,
                      mode.tile_search, mode.partition_search, mode.use_precise_evaluator);
  });
  return entries;
}

ResultsStatistics ResultsDatabase::Statistics() {
  const auto lock = state_->Lock();
  state_->Save(/*lookups_too=*/false, /*again=*/false);
  Summary summary = SummaryOf(Contents());
  std::string storage = state_->unsaved.name();
  state_->With([&](Store& store) {
    summary = store.Summarize();
    storage = store.name();
  });
  const Summary unsaved = state_->unsaved.Summarize();
  const Place& place = state_->place;
  return {place.architecture.fingerprint,
          place.architecture.text,
          state_->store ? place.directory : "",
          storage,
          summary.results + unsaved.results,
          summary.tunings + unsaved.tunings,
          summary.counters.created_unix != 0 ? summary.counters.created_unix : unsaved.counters.created_unix,
          std::max(summary.counters.last_updated_unix, unsaved.counters.last_updated_unix),
          (summary.counters.search_ms + unsaved.counters.search_ms) / 3.6e6,
          summary.counters.hits + state_->lookups.hits,
          summary.counters.misses + state_->lookups.misses};
}

bool ResultsDatabase::Flush() {
  const auto lock = state_->Lock();
  return state_->Save(/*lookups_too=*/true, /*again=*/true);
}

ResultsChange ResultsDatabase::Prune(const ResultsPruneLimits& limits, bool dry_run) {
  const std::int64_t oldest = limits.max_unused ? Now() - limits.max_unused->count() : 0;
  const std::uint64_t most = limits.max_entries.value_or(std::numeric_limits<std::uint64_t>::max());
  const auto lock = state_->Lock();
  state_->Save(/*lookups_too=*/false, /*again=*/true);
  ResultsChange gone = state_->unsaved.Prune(oldest, most, dry_run);
  state_->Do([&](Store& store) {
    const ResultsChange saved = store.Prune(oldest, most, dry_run);
    gone.results += saved.results;
    gone.tunings += saved.tunings;
  });
  return gone;
}

void ResultsDatabase::Export(const std::string& path, bool compress) {
  const auto lock = state_->Lock();
  const std::string text = WriteDocument(state_->ReadAll(), state_->place.architecture, "");
  WriteWhole(path, compress ? Compress(text) : text);
}

ResultsChange ResultsDatabase::Import(const std::string& path) {
  const auto lock = state_->Lock();
  const Document document = ReadForeign(path, state_->place.architecture.text);
  const Contents present = state_->ReadAll();
  ResultsChange added;
  for (const auto& [key, entry] : document.contents.entries) {
    const auto found = present.entries.find(key);
    if (found != present.entries.end() && found->second.created_unix >= entry.created_unix) continue;
    state_->pending.emplace_back(entry);
    ++added.results;
  }
  document.contents.tunings.ForEach([&](const TuningRecord& record) {
    const std::span<const TuningRecord> same = present.tunings.Of(record.problem);
    if (std::ranges::find(same, record) != same.end()) return;
    state_->pending.emplace_back(record);
    ++added.tunings;
  });
  state_->unsaved.Apply(state_->pending);
  if (!state_->Save(/*lookups_too=*/false, /*again=*/true))
    throw Fail(Code::kIo, "", "import {}: it could not be saved", path);
  return added;
}

}  // namespace gemmsmith
