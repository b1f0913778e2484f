#include <algorithm>

#include "engine/engine_state.h"
#include "engine/tuner.h"
#include "util/log.h"

namespace gemmsmith {
namespace {

/// Of a tuning that a call waits for.
constexpr std::chrono::seconds kShortBudget{2};
constexpr std::size_t kFewCandidates = 3;

}  // namespace

std::vector<TuneResult> Engine::Tune(const GemmProblem& problem, DeviceId id, const TuneOptions& options) {
  State& s = *state_;
  const GemmProblem normalized = Normalized(problem);
  std::vector<TuneResult> results = Tuner(s.planner(), s.devices.Get(id), s.measured, options).Run(normalized);
  if (options.dry_run) return results;
  // Plans that are in use are made anew; where that changes nothing it costs little.
  const std::string text = TextOfAnyM(normalized);
  for (SmSetting* const setting : s.sms.All())
    for (const Plan* const plan : setting->plans.All(id)) {
      const std::int64_t m = plan->problem.m;
      const auto is_tuned = [&](const TuneResult& r) { return m >= r.m_from && m <= r.m_to; };
      if (TextOfAnyM(plan->problem) == text && std::ranges::any_of(results, is_tuned))
        setting->plans.Replace(s.planner(*setting).Make(plan->problem, id, options.cancel));
    }
  return results;
}

void Engine::AutoTune(const GemmProblem& problem, DeviceId id, const CancellationToken& cancel) {
  State& s = *state_;
  if (problem.m == 0 || problem.n == 0 || problem.batch == 0) return;
  Device& device = s.devices.Get(id);
  const std::scoped_lock lock(s.auto_tune);
  if (s.planner().Choose(problem, device).tuned) return;
  TuneOptions options;
  options.budget = kShortBudget;
  options.candidates = kFewCandidates;
  options.cancel = cancel;
  const TuneResult result = Tuner(s.planner(), device, s.measured, options).Run(problem).front();
  LogDebug("auto-tune: {}: {} takes {:.4g} us, {:.4g} us before", ToString(problem), ToString(result.chosen),
           result.chosen_us, result.incumbent_us);
}

void Engine::RecordPerformance(const GemmProblem& problem, DeviceId id, const TileConfig& config, double microseconds) {
  State& s = *state_;
  if (!(microseconds > 0 && microseconds < 1e15))
    throw Fail(Code::kInvalidArgument, "", "record performance: {} us is no time of a call", microseconds);
  const GemmProblem normalized = Normalized(problem);
  Device& device = s.devices.Get(id);
  const std::string text = ToString(normalized), config_text = ToString(config);
  s.measured.AddTiming(device, text, config_text, microseconds, [&] {
    Planner planner = s.planner();
    const Planner::Choice choice = planner.Choose(normalized, device);
    if (std::ranges::find(choice.ranking.configs, config, &Ranking::Config::config) == choice.ranking.configs.end())
      throw Fail(Code::kNotFound, "take it from PlanInfo or Explanation", "record performance: {} has no config \"{}\"",
                 text, config_text);
    TuningRecord record;
    record.problem = text;
    record.config = config_text;
    record.code_digest = planner.CodeDigest(normalized, config, choice.target);
    record.device = device.spec().name;
    record.target = ToString(choice.target);
    return record;
  });
}

TileConfig Engine::PredictOptimalConfig(const GemmProblem& problem, DeviceId id) {
  State& s = *state_;
  s.measured.SaveTimings();
  return s.planner().Choose(Normalized(problem), s.devices.Get(id)).ranking.configs.front().config;
}

}  // namespace gemmsmith
