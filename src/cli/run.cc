#include "cli/command.h"
#include "cli/emulation.h"
#include "cli/measure.h"
#include "cli/progress.h"
#include "cli/table.h"

namespace gemmsmith::cli {
namespace {

void AddOptions(CLI::App& app, Options& options) {
  AddProblem(app, options);
  AddEpilogue(app, options);
  AddOperands(app, options);
  AddDevice(app, options);
  AddNumSms(app, options);
  AddEmulation(app, options);
  app.add_flag("--check", options.check, "Compare the result with a float64 reference; a wrong one is a failure");
  AddCompiling(app, options);
  AddNoJit(app, options);
  AddCacheDir(app, options);
  AddInsight(app, options);
  // Each seed has an engine of its own.
  for (const char* insight : {"--profile", "--debug-dump"})
    app.get_option("--seeds")->excludes(app.get_option(insight));
  AddOutput(app, options);
  RequireProblem(app, options);
}

void PrintOne(const Measurement& m, const std::string& epilogue) {
  fmt::print("problem    {}\n", ToString(m.shape.problem));
  if (!epilogue.empty()) fmt::print("epilogue   {}\n", epilogue);
  fmt::print("device     {}\n", m.device);
  for (const KernelReport& kernel : m.plan.kernels)
    fmt::print("kernel     {} ({}), {}\n", kernel.config, kernel.target, m.source());
  fmt::print("compile    {} ms\n", Number(m.compile_ms()));
  fmt::print("first call {} ms, all included\n", Number(m.first_ms));
  fmt::print("steady     {} ms, median of {} calls: {} GFLOP/s\n", Number(m.median_ms), m.calls, Number(m.gflops()));
  if (m.check)
    fmt::print("check      {}: error {} of at most {}, {} elements\n", m.ok() ? "ok" : "WRONG",
               Number(m.check->max_error), Number(m.check->tolerance), m.check->checked);
}

Outcome Run(Session& session) {
  const Options& options = session.options();
  if (options.seeds > 0) return RunSeeds(session);
  if (options.stats) EmulationOf(session, "--stats");
  const std::vector<NamedProblem> problems = Problems(options);
  Workbench workbench(session.engine(), session.device(), problems, options.seed);
  const bool list = !options.shapes.empty();
  if (session.text() && list && !options.epilogue.empty()) fmt::print("epilogue {}\n", options.epilogue);
  Table table({{"name", -18},
               {"m x n x k", -18},
               {"types", -8},
               {"device", -6},
               {"source", -8},
               {"first ms", 9},
               {"steady ms", 9},
               {"GFLOP/s", 8},
               {"error", 9},
               {"check", -5}});
  Progress progress("measuring", problems.size());
  Outcome outcome;
  Json results = Json::array();
  std::vector<std::pair<std::string, std::vector<KernelStatistics>>> statistics;
  for (const NamedProblem& shape : problems) {
    progress.Show(shape.name + " " + SizeText(shape.problem));
    const Measurement m = workbench.Measure(shape, {options.alpha, options.check, 0.5, options.stats});
    outcome.ok = outcome.ok && m.ok();
    results.push_back(ToJson(m));
    if (options.stats) results.back()["statistics"] = ToJson(m.statistics);
    if (!options.epilogue.empty()) results.back()["epilogue"] = options.epilogue;
    progress.Hide();
    if (session.text() && list)
      table.Row({shape.name, SizeText(shape.problem), std::string(ToString(shape.problem.a_type)), m.device, m.source(),
                 Number(m.first_ms), Number(m.median_ms), Number(m.gflops()),
                 m.check ? Number(m.check->max_error) : "-", m.check ? m.ok() ? "ok" : "WRONG" : "-"});
    if (session.text() && !list) PrintOne(m, options.epilogue);
    statistics.emplace_back(shape.name, m.statistics);
    progress.Advance();
  }
  progress.Hide();
  for (const auto& [name, kernels] : statistics)
    if (session.text()) PrintStatistics(name, kernels);
  outcome.document = list ? Json{{"ok", outcome.ok}, {"results", results}} : results.front();
  return outcome;
}

}  // namespace

const Command kRun = {"run", "Run problems with random operands, time them, and check the results",
                      "gemmsmith run --m 512 --n 4096 --k 4096 --check\n"
                      "  gemmsmith run --m 512 --n 4096 --k 4096 --epilogue bias+gelu --check\n"
                      "  gemmsmith run --m 200 --n 264 --k 320 --dtype bf16 --device emulator:sm_80 --stats\n"
                      "  gemmsmith run --shapes llama-3-8b --dtype bf16 --device cuda:0 --check --json",
                      AddOptions, Run};

}  // namespace gemmsmith::cli
