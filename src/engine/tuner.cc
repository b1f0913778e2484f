#include "engine/tuner.h"

#include <algorithm>
#include <bit>
#include <mutex>

#include "engine/race.h"
#include "engine/trial_operands.h"
#include "util/log.h"

namespace gemmsmith {
namespace {

/// A config whose records say that it takes so much longer than the incumbent is not timed again.
constexpr double kClearlySlower = 1.15;
constexpr std::uint64_t kSeed = 1;

/// While a tuning runs: others would disturb its timings.
std::mutex& OneAtATime() {
  static std::mutex mutex;
  return mutex;
}

}  // namespace

struct Tuner::Candidate {
  TunedCandidate out;
  std::unique_ptr<Plan> plan;  ///< Null: out of the race.
};

struct Tuner::Contest {
  GemmProblem problem;
  Planner::Choice choice;
  std::vector<Candidate> candidates;  ///< In the model's order; of equals by their texts.
  std::size_t incumbent = 0, winner = 0;
  std::unique_ptr<TrialOperands> operands{};
  bool complete = true, decided = false;

  std::vector<std::size_t> runners() const {
    std::vector<std::size_t> left;
    for (std::size_t i = 0; i < candidates.size(); ++i)
      if (candidates[i].plan) left.push_back(i);
    return left;
  }
};

Tuner::Tuner(Planner planner, Device& device, MeasuredResults& results, const TuneOptions& options)
    : planner_(planner),
      device_(device),
      results_(results),
      options_(options),
      end_(Clock::now() + std::chrono::duration_cast<Clock::duration>(options.budget)),
      deadline_(end_) {}

void Tuner::Say(std::string what) const {
  if (options_.progress) options_.progress({std::move(what), range_, ranges_});
}

void Tuner::StopIfCancelled() const {
  if (options_.cancel.cancelled()) throw Fail(Code::kCancelled, "", "tune: cancelled; what was timed is recorded");
}

std::vector<TuneResult> Tuner::Run(const GemmProblem& problem) {
  if (options_.candidates < 1 || !(options_.budget.count() > 0))
    throw Fail(Code::kInvalidArgument, "", "tune: {} candidates in {} s; both must be above 0", options_.candidates,
               options_.budget.count());
  if (problem.n == 0 || problem.batch == 0 || (problem.m == 0 && options_.m_to == 0))
    throw Fail(Code::kInvalidArgument, "", "tune: there is nothing to compute in {}", ToString(problem));
  if (Planner::IsByGroups(problem, device_))
    throw Fail(Code::kUnsupported, "tune the product of one group", "tune: {} is one product after the other on {}",
               ToString(problem), ToString(device_.id()));
  const std::scoped_lock lock(OneAtATime());
  results_.SaveTimings();
  if (options_.m_from == 0 && options_.m_to == 0) return {TunePoint(problem, nullptr)};

  if (options_.m_from < 1 || options_.m_to < options_.m_from)
    throw Fail(Code::kInvalidArgument, "give 1 <= from <= to", "tune: m from {} to {} is no range", options_.m_from,
               options_.m_to);
  const std::vector<MRange> ranges = Ranges(problem);
  ranges_ = ranges.size();
  std::vector<TuneResult> results;
  // The largest first: its choice is a candidate for the next, for a larger m must not be faster.
  for (std::size_t i = ranges.size(); i-- > 0; ++range_) {
    const TileConfig* const larger = results.empty() ? nullptr : &results.back().chosen;
    deadline_ = Clock::now() + (end_ - Clock::now()) / static_cast<std::ptrdiff_t>(i + 1);
    results.push_back(TuneRange(problem, ranges[i], larger));
  }
  std::ranges::reverse(results);
  return results;
}

std::vector<MRange> Tuner::Ranges(const GemmProblem& problem) {
  return SplitAtEdges({options_.m_from, options_.m_to}, [&](std::int64_t m) -> MSignature {
    const GemmProblem p = WithM(problem, m);
    for (const CodeTarget& target : planner_.Targets(device_))
      if (const Ranking ranking = planner_.Rank(p, target, planner_.SpecOf(device_)); !ranking.configs.empty()) {
        const TileConfig& first = ranking.configs.front().config;
        // A CPU has no waves: doublings of m stand for them.
        const auto doublings = static_cast<std::int64_t>(std::bit_width(static_cast<std::uint64_t>(m - 1)));
        return {first, target.isa == Isa::kCuda ? Waves(p, first, planner_.SpecOf(device_)) : doublings};
      }
    return {};
  });
}

TuneResult Tuner::TunePoint(const GemmProblem& problem, const TileConfig* also) {
  Contest contest = Enter(problem, options_.candidates, also);
  if (options_.dry_run) return Result(contest);
  Build(contest);
  Check(contest);
  TimeAll(contest);
  Record(contest, /*decides=*/true);
  StopIfCancelled();
  return Result(contest);
}

TuneResult Tuner::TuneRange(const GemmProblem& problem, MRange range, const TileConfig* larger) {
  TuneResult result = TunePoint(WithM(problem, range.to), larger);
  result.m_from = range.from;
  if (options_.dry_run || (!result.complete && result.chosen == result.incumbent)) return result;
  struct Claim {
    std::int64_t from;
    TileConfig config;
    double microseconds;
  };
  std::vector<Claim> claims{{range.from, result.chosen, result.chosen_us}};
  if (range.last_edge != range.from) claims.push_back({range.last_edge, result.chosen, result.chosen_us});
  claims.push_back({range.last_edge, result.incumbent, result.incumbent_us});
  claims.push_back({range.to, result.chosen, result.chosen_us});
  const Claim& claim = *std::ranges::find_if(
      claims, [&](const Claim& c) { return c.from == range.to || HoldsAt(WithM(problem, c.from), c.config); });
  result.m_from = claim.from, result.chosen = claim.config, result.chosen_us = claim.microseconds;
  const GemmProblem& measured = result.problem;
  const auto found = std::ranges::find(result.candidates, result.chosen, &TunedCandidate::config);
  const Planner::Choice choice = planner_.Choose(measured, device_);
  TuningRecord record;
  record.problem = TextOfAnyM(measured);
  record.config = ToString(result.chosen);
  record.code_digest = planner_.CodeDigest(measured, result.chosen, choice.target);
  record.device = device_.spec().name;
  record.target = ToString(choice.target);
  record.times_us = found->times_us;
  record.m_from = result.m_from, record.m_to = range.to;
  results_.Open(device_).AddTuning(std::move(record));
  return result;
}

bool Tuner::HoldsAt(const GemmProblem& problem, const TileConfig& chosen) {
  Contest contest = Enter(problem, 0, nullptr);
  const std::optional<TileConfig> same = Counterpart(chosen, contest.choice.ranking.configs);
  if (!same) return false;
  if (*same == contest.candidates[contest.incumbent].out.config) return true;
  contest = Enter(problem, 0, &*same);
  Build(contest);
  Check(contest);
  TimeAll(contest);
  Record(contest, /*decides=*/false);
  StopIfCancelled();
  const auto& incumbent = contest.candidates[contest.incumbent].out;
  const auto found = std::ranges::find(contest.candidates, *same, [](const Candidate& c) { return c.out.config; });
  return found->plan && contest.decided && found->out.median_us <= incumbent.median_us * (1 + kTie);
}

Tuner::Contest Tuner::Enter(const GemmProblem& problem, std::size_t most, const TileConfig* also) {
  Contest contest{problem, planner_.Choose(problem, device_), {}};
  const TileConfig incumbent = contest.choice.ranking.configs.front().config;
  const Planner::Measured* const known = contest.choice.Find(incumbent);
  std::vector<Ranking::Config> configs = contest.choice.ranking.configs;
  std::ranges::sort(configs, [](const Ranking::Config& x, const Ranking::Config& y) {
    return std::pair(x.microseconds, ToString(x.config)) < std::pair(y.microseconds, ToString(y.config));
  });
  const std::optional<TileConfig> larger = also == nullptr ? std::nullopt : Counterpart(*also, configs);
  std::size_t taken = 0;
  for (const Ranking::Config& ranked : configs) {
    const bool is_incumbent = ranked.config == incumbent;
    if (!is_incumbent && !(larger && *larger == ranked.config) && taken >= most) continue;
    taken += !is_incumbent;
    Candidate candidate;
    candidate.out.config = ranked.config;
    candidate.out.predicted_us = ranked.microseconds;
    const Planner::Measured* const measured = contest.choice.Find(ranked.config);
    if (known != nullptr && measured != nullptr && measured->microseconds > known->microseconds * kClearlySlower)
      candidate.out.recorded_us = measured->microseconds;
    if (is_incumbent) contest.incumbent = contest.winner = contest.candidates.size();
    contest.candidates.push_back(std::move(candidate));
  }
  return contest;
}

/// The incumbent first, and others while half of the time is left.
void Tuner::Build(Contest& contest) {
  const auto begin = Clock::now();
  const auto half = begin + (deadline_ - begin) / 2;
  std::vector<std::size_t> order{contest.incumbent};
  for (std::size_t i = 0; i < contest.candidates.size(); ++i)
    if (i != contest.incumbent && contest.candidates[i].out.recorded_us == 0) order.push_back(i);
  for (const std::size_t i : order) {
    Candidate& candidate = contest.candidates[i];
    if (i != contest.incumbent && Clock::now() > half) {
      contest.complete = false;
      break;
    }
    Say(fmt::format("m={}: making {}", contest.problem.m, ToString(candidate.out.config)));
    try {
      candidate.plan =
          planner_.Build(contest.problem, device_, contest.choice.target, candidate.out.config, options_.cancel);
    } catch (const Error& error) {
      if (error.code() == Code::kCancelled || (i == contest.incumbent && error.code() != Code::kNotFound)) throw;
      candidate.out.failed = error.what();
      LogInfo("tune: {}: {}", ToString(candidate.out.config), error.what());
    }
  }
}

/// Drops those whose output is wrong. Where the incumbent is, or has no kernel here, the first of the others is.
void Tuner::Check(Contest& contest) {
  const PackedForm packed = planner_.Packed(contest.problem.b_type, device_);
  contest.operands = std::make_unique<TrialOperands>(contest.problem, device_, packed, kSeed);
  std::vector<std::size_t> order = contest.runners();
  std::ranges::stable_partition(order, [&](std::size_t i) { return i == contest.incumbent; });
  for (const std::size_t i : order) {
    Candidate& candidate = contest.candidates[i];
    StopIfCancelled();
    if (i != order.front() && Clock::now() > deadline_) {
      contest.complete = false;
      candidate.plan.reset();
      continue;
    }
    Say(fmt::format("m={}: checking {}", contest.problem.m, ToString(candidate.out.config)));
    candidate.out.failed = contest.operands->WhyWrong(*candidate.plan);
    if (candidate.out.failed.empty()) continue;
    Warn("tune: {} of {} is wrong, and not used any more: {}", ToString(candidate.out.config),
         ToString(contest.problem), candidate.out.failed);
    TuningRecord record = NewRecord(*candidate.plan, device_);
    record.wrong = candidate.out.failed;
    results_.Open(device_).AddTuning(std::move(record));
    candidate.plan.reset();
  }
  const std::vector<std::size_t> left = contest.runners();
  if (left.empty())
    throw Fail(Code::kUnsupported, "", "tune: no config of {} is right on {}", ToString(contest.problem),
               ToString(device_.id()));
  if (!contest.candidates[contest.incumbent].plan) contest.incumbent = contest.winner = left.front();
}

void Tuner::TimeAll(Contest& contest) {
  const std::vector<std::size_t> runners = contest.runners();
  Say(fmt::format("m={}: timing {} configs", contest.problem.m, runners.size()));
  const auto incumbent = std::ranges::find(runners, contest.incumbent) - runners.begin();
  const auto may_go_on = [&] { return Clock::now() < deadline_ && !options_.cancel.cancelled(); };
  Race race = RunRace(
      runners.size(), static_cast<std::size_t>(incumbent),
      [&](std::size_t i) { return contest.operands->Time(*contest.candidates[runners[i]].plan); }, may_go_on);
  contest.winner = runners[race.winner];
  contest.decided = race.decided;
  contest.complete &= race.complete;
  for (std::size_t i = 0; i < runners.size(); ++i) {
    TunedCandidate& out = contest.candidates[runners[i]].out;
    out.times_us = std::move(race.times[i]);
    if (!out.times_us.empty()) out.median_us = Median(out.times_us);
  }
  contest.operands.reset();
}

void Tuner::Record(Contest& contest, bool decides) {
  for (std::size_t i = 0; i < contest.candidates.size(); ++i) {
    const Candidate& candidate = contest.candidates[i];
    if (candidate.out.times_us.empty()) continue;
    TuningRecord record = NewRecord(*candidate.plan, device_);
    record.times_us = candidate.out.times_us;
    if (decides && contest.decided && i == contest.winner) record.m_from = record.m_to = contest.problem.m;
    results_.Open(device_).AddTuning(std::move(record));
  }
}

TuneResult Tuner::Result(const Contest& contest) const {
  TuneResult result;
  result.problem = contest.problem;
  result.m_from = result.m_to = contest.problem.m;
  const TunedCandidate &incumbent = contest.candidates[contest.incumbent].out,
                       &chosen = contest.candidates[contest.winner].out;
  result.incumbent = incumbent.config, result.incumbent_us = incumbent.median_us;
  result.chosen = chosen.config, result.chosen_us = chosen.median_us;
  result.complete = contest.complete;
  for (const Candidate& candidate : contest.candidates) {
    result.timings += candidate.out.times_us.size();
    result.candidates.push_back(candidate.out);
  }
  return result;
}

}  // namespace gemmsmith
