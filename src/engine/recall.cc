#include <algorithm>
#include <map>
#include <optional>

#include "engine/m_ranges.h"
#include "engine/planner.h"
#include "engine/race.h"
#include "util/log.h"

namespace gemmsmith {
namespace {

/// What records say of the configs of one problem that are possible now, by the code they have now.
class Recall {
 public:
  using DigestOf = std::function<std::string(const GemmProblem&, const TileConfig&)>;
  Recall(const GemmProblem& problem, Planner::Choice& choice, DigestOf digest_of)
      : problem_(problem), choice_(choice), digest_of_(std::move(digest_of)) {}

  void ForgetWrong(const std::vector<TuningRecord>& records) {
    for (const TuningRecord& record : records) {
      if (record.wrong.empty() || record.code_digest.empty() || record.code_digest != Digest(record.config)) continue;
      const std::optional<TileConfig> config = Find(record.config);
      if (!config) continue;  // gone already
      std::erase_if(choice_.ranking.configs, [&](const auto& ranked) { return ranked.config == *config; });
      choice_.wrong.push_back(fmt::format("{}: {}", record.config, record.wrong));
    }
  }

  /// The config that the newest tuning chose.
  void TakeChosen(const std::vector<TuningRecord>& records) {
    const TuningRecord* newest = nullptr;
    std::optional<TileConfig> chosen;
    for (const TuningRecord& record : records) {
      if (problem_.m < record.m_from || problem_.m > record.m_to) continue;
      if (newest != nullptr && newest->created_unix > record.created_unix) continue;
      if (std::optional<TileConfig> config = Chosen(record)) newest = &record, chosen = std::move(config);
    }
    if (!chosen) return;
    const std::string range =
        newest->m_from == newest->m_to ? "" : fmt::format(" for m from {} to {}", newest->m_from, newest->m_to);
    MoveToFront(*chosen, "tuned" + range);
    choice_.tuned = true;
  }

  void TakeMeasured(const std::vector<TunedConfig>& fastest) {
    for (const TunedConfig& tuned : fastest)
      if (const auto config = Find(tuned.config)) choice_.measured.push_back({*config, tuned.median_us, tuned.timings});
  }

  /// Of what was timed, where nothing was tuned.
  void TakeFastest() {
    std::vector<double> times;
    std::vector<TileConfig> configs;
    for (const Ranking::Config& ranked : choice_.ranking.configs)
      if (const Planner::Measured* measured = choice_.Find(ranked.config)) {
        times.push_back(measured->microseconds);
        configs.push_back(ranked.config);
      }
    if (!times.empty()) MoveToFront(configs[FirstOfFastest(times)], "fastest of what was timed");
  }

  /// Of the code that a config of this problem has now; empty: there is none.
  std::string Digest(const std::string& text) {
    const auto [found, is_new] = digests_.try_emplace(text);
    if (!is_new) return found->second;
    if (const auto config = Find(text)) found->second = digest_of_(problem_, *config);
    return found->second;
  }

 private:
  static std::optional<TileConfig> Parse(const std::string& text) try {
    return ParseConfig(text);
  } catch (const Error&) {
    return std::nullopt;  // of another version
  }
  std::optional<TileConfig> Find(const std::string& text) const {
    std::optional<TileConfig> config = Parse(text);
    const auto is_it = [&](const Ranking::Config& ranked) { return ranked.config == *config; };
    if (config && std::ranges::none_of(choice_.ranking.configs, is_it)) config.reset();
    return config;
  }
  /// What a record's choice is for this m.
  std::optional<TileConfig> Chosen(const TuningRecord& record) {
    if (!record.wrong.empty() || record.m_to == 0) return std::nullopt;
    if (record.problem == ToString(problem_))
      return record.code_digest == Digest(record.config) ? Find(record.config) : std::nullopt;
    const std::optional<TileConfig> config = Parse(record.config);
    if (!config || digest_of_(WithM(problem_, record.m_to), *config) != record.code_digest) return std::nullopt;
    return Counterpart(*config, choice_.ranking.configs);
  }
  void MoveToFront(const TileConfig& config, std::string basis) {
    auto& configs = choice_.ranking.configs;
    const auto place = std::ranges::find(configs, config, &Ranking::Config::config);
    std::rotate(configs.begin(), place, place + 1);
    choice_.basis = std::move(basis);
    if (const Planner::Measured* measured = choice_.Find(config))
      choice_.basis += fmt::format(", measured {:.4g} us over {} timings", measured->microseconds, measured->timings);
  }

  const GemmProblem& problem_;
  Planner::Choice& choice_;
  const DigestOf digest_of_;
  std::map<std::string, std::string> digests_;
};

}  // namespace

const Planner::Measured* Planner::Choice::Find(const TileConfig& config) const {
  const auto found = std::ranges::find(measured, config, &Measured::config);
  return found == measured.end() ? nullptr : &*found;
}

std::string Planner::CodeDigest(const GemmProblem& problem, const TileConfig& config, const CodeTarget& target) try {
  std::string digest;
  for (const Rendered& step : RenderConfig(problem, config, target))
    digest += (digest.empty() ? "" : "+") + maker_.KeyOf(step.source).digest.Hex();
  return digest;
} catch (const Error& error) {
  LogDebug("results: no code for {}: {}", ToString(config), error.what());
  return "";
}

void Planner::AskResults(const GemmProblem& problem, Device& device, Choice& choice) {
  ResultsDatabase* const database = measured_.Find(device);
  if (database == nullptr) return;
  const std::string text = ToString(problem), target = ToString(choice.target);
  std::vector<TuningRecord> records = database->Tunings(text), of_ranges = database->Tunings(TextOfAnyM(problem));
  for (auto* some : {&records, &of_ranges})
    std::erase_if(*some, [&](const TuningRecord& record) { return record.target != target; });
  if (records.empty() && of_ranges.empty()) return;

  Recall recall(problem, choice,
                [&](const GemmProblem& p, const TileConfig& config) { return CodeDigest(p, config, choice.target); });
  const auto digest = [&](const std::string& config) { return recall.Digest(config); };
  std::vector<TunedConfig> fastest;
  if (!records.empty()) fastest = database->Fastest(text, digest);
  recall.ForgetWrong(records);
  recall.TakeMeasured(fastest);
  recall.TakeChosen(records);
  if (choice.basis.empty()) recall.TakeChosen(of_ranges);
  if (choice.basis.empty()) recall.TakeFastest();
}

}  // namespace gemmsmith
