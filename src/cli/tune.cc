#include "gemmsmith/tune.h"

#include <algorithm>
#include <chrono>
#include <set>

#include "cli/command.h"
#include "cli/json.h"
#include "cli/measure.h"
#include "cli/progress.h"
#include "cli/table.h"

namespace gemmsmith::cli {
namespace {

using Clock = std::chrono::steady_clock;

void AddOptions(CLI::App& app, Options& options) {
  AddProblem(app, options);
  AddEpilogue(app, options);
  AddDevice(app, options);
  AddNumSms(app, options);
  AddTuning(app, options);
  AddCode(app, options);
  AddNoJit(app, options);
  AddCacheDir(app, options);
  AddOutput(app, options);
  RequireProblem(app, options);
}

/// With a range of m, problems that differ in m alone are one.
std::vector<NamedProblem> ToTune(const Options& options) {
  std::vector<NamedProblem> problems = Problems(options);
  if (options.m_to == 0) return problems;
  std::set<std::string> seen;
  std::erase_if(problems, [&](NamedProblem& shape) {
    const std::string text = ToString(shape.problem);
    return !seen.insert(text.substr(text.find(' '))).second;
  });
  return problems;
}

std::string Size(const TuneResult& result) {
  const std::string size = SizeText(result.problem);
  if (result.m_from == result.m_to) return size;
  const std::string m = std::to_string(result.problem.m);
  return std::string(size).replace(size.find(m + "x"), m.size(), fmt::format("{}..{}", result.m_from, result.m_to));
}

/// 0.1: 10 % faster than before; 0 where nothing was timed.
double Gain(const TuneResult& result) { return result.chosen_us > 0 ? result.incumbent_us / result.chosen_us - 1 : 0; }

void Print(Table& table, const std::string& name, const TuneResult& result) {
  const auto time = [](double us) { return us > 0 ? Number(us) : "-"; };
  table.Row({name, Size(result), time(result.incumbent_us), time(result.chosen_us),
             fmt::format("{:+.1f} %", 100 * Gain(result)), std::to_string(result.timings), ToString(result.chosen)});
  if (!(result.chosen == result.incumbent)) fmt::print("{:>73} {}\n", "before:", ToString(result.incumbent));
  if (!result.complete) fmt::print("{:>73} the budget ended before all rounds\n", "");
}

void PrintCandidates(const std::string& name, const TuneResult& result) {
  fmt::print("{}{}{}: {} candidates\n", name, name.empty() ? "" : " ", Size(result), result.candidates.size());
  for (const TunedCandidate& candidate : result.candidates)
    fmt::print("  {:>9} us by the model{}  {}\n", Number(candidate.predicted_us),
               candidate.config == result.incumbent ? ", chosen now" : "            ", ToString(candidate.config));
}

Json ToJson(const TunedCandidate& candidate) {
  Json json = {{"config", ToString(candidate.config)},
               {"predicted_us", candidate.predicted_us},
               {"median_us", candidate.median_us},
               {"times_us", candidate.times_us}};
  if (candidate.recorded_us > 0) json["recorded_us"] = candidate.recorded_us;
  if (!candidate.failed.empty()) json["failed"] = candidate.failed;
  return json;
}

Json ToJson(const std::string& name, const TuneResult& result) {
  Json json = cli::ToJson(result.problem);
  if (!name.empty()) json["name"] = name;
  json["m_from"] = result.m_from;
  json["m_to"] = result.m_to;
  json["before"] = {{"config", ToString(result.incumbent)}, {"us", result.incumbent_us}};
  json["chosen"] = {{"config", ToString(result.chosen)}, {"us", result.chosen_us}};
  json["gain"] = Gain(result);
  json["timings"] = result.timings;
  json["complete"] = result.complete;
  json["candidates"] = Json::array();
  for (const TunedCandidate& candidate : result.candidates) json["candidates"].push_back(ToJson(candidate));
  return json;
}

Outcome Run(Session& session) {
  const Options& options = session.options();
  const std::vector<NamedProblem> problems = ToTune(options);
  Table table({{"name", -16},
               {"m x n x k", -22},
               {"before us", 10},
               {"now us", 10},
               {"gain", 8},
               {"timings", 7},
               {"config", -100}});
  Progress progress("tuning", problems.size());
  TuneOptions tuning;
  tuning.candidates = static_cast<std::size_t>(options.candidates);
  tuning.m_from = options.m_from, tuning.m_to = options.m_to;
  tuning.dry_run = options.dry_run;
  std::string name;
  tuning.progress = [&](const TuneProgress& p) {
    progress.Show(p.total > 1 ? fmt::format("{} range {} of {}, {}", name, p.done + 1, p.total, p.what)
                              : name + " " + p.what);
  };
  const auto end = Clock::now() + std::chrono::seconds(options.budget);
  Json results = Json::array();
  for (std::size_t i = 0; i < problems.size(); ++i) {
    name = problems[i].name;
    // What others have left of their shares is for those that come.
    const auto left = std::chrono::duration<double>(end - Clock::now()) / static_cast<double>(problems.size() - i);
    tuning.budget = std::max(left, std::chrono::duration<double>(1e-3));
    const std::vector<TuneResult> tuned = session.engine().Tune(problems[i].problem, session.device(), tuning);
    progress.Hide();
    for (const TuneResult& result : tuned) {
      results.push_back(ToJson(name, result));
      if (session.text() && options.dry_run) PrintCandidates(name, result);
      if (session.text() && !options.dry_run) Print(table, name, result);
    }
    progress.Advance();
  }
  progress.Hide();
  return {true, {{"device", ToString(session.device())}, {"results", results}}};
}

}  // namespace

const Command kTune = {"tune", "Measure the candidates for problems, and remember which is the fastest",
                       "gemmsmith tune --shapes llama-3-8b --device cpu --budget 60s\n"
                       "  gemmsmith tune --m 1 --n 4096 --k 4096 --dtype bf16 --m-range 1:4096 --budget 5m\n"
                       "  gemmsmith tune --m 512 --n 4096 --k 4096 --dry-run",
                       AddOptions, Run};

}  // namespace gemmsmith::cli
