#include <algorithm>

#include "cli/command.h"
#include "cli/json.h"
#include "cli/table.h"
#include "gemmsmith/select.h"

namespace gemmsmith::cli {
namespace {

constexpr std::size_t kShown = 10;

void AddOptions(CLI::App& app, Options& options) {
  AddProblem(app, options);
  AddEpilogue(app, options);
  AddDevice(app, options);
  AddNumSms(app, options);
  AddTarget(app, options);
  AddResultsDir(app, options);
  app.add_option("--groups", options.groups,
                 "Rows of groups that share one launch, each with a B of its own, in place of --m: 4096,17,0,300")
      ->delimiter(',')
      ->type_name("ROWS")
      ->check(CLI::NonNegativeNumber);
  app.add_option("--expected-groups", options.expected_groups, "Groups among which --m rows fall at random")
      ->type_name("N")
      ->check(CLI::PositiveNumber)
      ->excludes("--groups");
  AddOutput(app, options);
  app.get_option("--device")->excludes("--arch")->excludes("--gpu");
  app.get_option("--arch")->expected(1);
  RequireProblem(app, options);
  // Groups say how many rows there are.
  for (const char* name : {"--n", "--k"}) app.get_option(name)->remove_needs(app.get_option("--m"));
}

Explanation Explain(Session& session, const GemmProblem& problem) {
  const Options& options = session.options();
  std::vector<std::int64_t> groups = options.groups;
  if (options.expected_groups > 0) groups = ExpectedGroupRows(problem.m, options.expected_groups);
  if (options.arch.empty() && options.gpu.empty()) return session.engine().Explain(problem, session.device(), groups);
  const CodeTarget target =
      options.arch.empty() ? FindDeviceSpec(options.gpu).target : ParseTarget(options.arch.front());
  const bool is_cpu = options.gpu.empty() && target.isa != Isa::kCuda;
  const DeviceSpec spec =
      WithNumSms(is_cpu ? session.engine().devices().Get({}).spec() : GpuSpec(options, target), options);
  return session.engine().Explain(problem, target, spec, groups);
}

/// 0.1: by the model 10 % slower than its best.
double Behind(const Explanation& explanation, const RankedConfig& ranked) {
  return ranked.microseconds / std::ranges::min(explanation.ranked, {}, &RankedConfig::microseconds).microseconds - 1;
}

void Print(const Explanation& explanation) {
  fmt::print("{} on {} ({})\n", ToString(explanation.problem), explanation.device, explanation.target);
  if (const auto& groups = explanation.group_rows; !groups.empty()) {
    const auto [least, most] = std::ranges::minmax(groups);
    fmt::print("as one launch over {} groups of {} to {} rows\n", groups.size(), least, most);
  }
  if (!explanation.calibration.empty()) fmt::print("the model is calibrated: {}\n", explanation.calibration);
  if (!explanation.measured.empty()) fmt::print("the first is chosen by measurements: {}\n", explanation.measured);
  Table table({{"", 3}, {"us", 9}, {"behind", 7}, {"decided by", -10}, {"config", -95}});
  for (std::size_t i = 0; i < std::min(kShown, explanation.ranked.size()); ++i) {
    const RankedConfig& ranked = explanation.ranked[i];
    std::string terms;
    for (const CostTerm& term : ranked.terms)
      terms += fmt::format("{}{} {}", terms.empty() ? "" : ", ", term.name, Number(term.microseconds));
    table.Row({std::to_string(i + 1), Number(ranked.microseconds),
               fmt::format("{:.1f} %", 100 * Behind(explanation, ranked)), ranked.limiting, ToString(ranked.config)});
    fmt::print("{:33}us: {}\n", "", terms);
    if (ranked.timings > 0)
      fmt::print("{:33}measured {} us over {} timings\n", "", Number(ranked.measured_us), ranked.timings);
  }
  if (explanation.ranked.size() > kShown)
    fmt::print("    and {} more; --json lists them all\n", explanation.ranked.size() - kShown);
  for (const std::string& wrong : explanation.wrong) fmt::print("found wrong: {}\n", wrong);
  for (const std::string& refused : explanation.refused) fmt::print("not possible: {}\n", refused);
}

Json ToDocument(const NamedProblem& shape, const Explanation& explanation) {
  Json ranked = Json::array();
  for (const RankedConfig& config : explanation.ranked) {
    ranked.push_back(ToJson(config));
    ranked.back()["behind"] = Behind(explanation, config);
    if (config.timings > 0) ranked.back()["measured_us"] = config.measured_us;
    if (config.timings > 0) ranked.back()["timings"] = config.timings;
  }
  Json document = ToJson(explanation.group_rows.empty() ? shape.problem : explanation.problem);
  if (!shape.name.empty()) document["name"] = shape.name;
  document["device"] = explanation.device;
  document["arch"] = explanation.target;
  document["ranked"] = std::move(ranked);
  document["refused"] = explanation.refused;
  if (!explanation.calibration.empty()) document["calibration"] = explanation.calibration;
  if (!explanation.group_rows.empty()) document["group_rows"] = explanation.group_rows;
  document["measured"] = explanation.measured;
  document["wrong"] = explanation.wrong;
  return document;
}

Outcome Run(Session& session) {
  const bool list = !session.options().shapes.empty();
  Json results = Json::array();
  for (const NamedProblem& shape : Problems(session.options())) {
    const Explanation explanation = Explain(session, shape.problem);
    results.push_back(ToDocument(shape, explanation));
    if (session.text()) {
      if (list) fmt::print("{}{}: ", results.size() > 1 ? "\n" : "", shape.name);
      Print(explanation);
    }
  }
  return {true, list ? Json{{"results", results}} : results.front()};
}

}  // namespace

const Command kExplain = {"explain", "Show which kernel would be chosen for a problem, and why",
                          "gemmsmith explain --m 16 --n 4096 --k 7168 --layout nt\n"
                          "  gemmsmith explain --m 4096 --n 7168 --k 2048 --dtype bf16 --gpu h200\n"
                          "  gemmsmith explain --m 8192 --n 4096 --k 7168 --dtype bf16 --gpu h200 --expected-groups 64",
                          AddOptions, Run};

}  // namespace gemmsmith::cli
