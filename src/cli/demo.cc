#include <algorithm>
#include <chrono>
#include <set>

#include "cli/ahead.h"
#include "cli/command.h"
#include "cli/measure.h"
#include "cli/progress.h"
#include "cli/subprocess.h"
#include "cli/table.h"
#include "gemmsmith/error.h"

namespace gemmsmith::cli {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::int64_t kMostRows = 512;  ///< m, without --full.
constexpr const char* kAheadTargets[] = {"sm_80", "sm_90a"};
constexpr const char* kAheadDType = "bf16";
/// Seconds to spend on the calls of one shape after the first.
constexpr double kShapeSeconds = 0.3;
/// Seconds after which, without --full, shapes that would take long are left out, so that a slow machine ends as well.
constexpr double kBudgetSeconds = 120;

void AddOptions(CLI::App& app, Options& options) {
  app.add_flag("--full", options.full, "Also m=4096");
  AddSeed(app, options);
  AddDevice(app, options);
  AddCompiler(app, options);
  AddJobs(app, options);
  AddCacheDir(app, options);
  AddInsight(app, options);
  AddOutput(app, options);
}

double SecondsSince(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

std::vector<NamedProblem> ModelProblems(bool full, const char* dtype) {
  std::vector<NamedProblem> problems;
  for (const std::string& model : BuiltinShapes())
    for (NamedProblem& shape : ReadShapes(model)) {
      if (!full && shape.problem.m > kMostRows) continue;
      SetDTypes(shape.problem, dtype);
      problems.push_back(std::move(shape));
    }
  return problems;
}

/// What the runs came to.
struct Tally {
  std::size_t done = 0, wrong = 0, skipped = 0;
  double worst_error = 0, best_gflops = 0;

  void Add(const Measurement& m) {
    ++done;
    if (!m.ok()) ++wrong;
    if (!(m.check->max_error <= worst_error)) worst_error = m.check->max_error;
    best_gflops = std::max(best_gflops, m.gflops());
  }
};

/// A shape's calls and its check, on what this machine has shown so far.
double EstimatedSeconds(const GemmProblem& problem, double gflops) {
  constexpr int kCalls = 2;
  return gflops == 0 ? 0 : kCalls * problem.flops() / gflops / 1e9;
}

/// A config in a column's width: its numbers, which Legend explains.
std::string Values(const TileConfig& config) {
  std::string text(config.family);
  for (std::size_t i = 0; i < config.fields.size(); ++i)
    text += fmt::format("{}{}", i == 0 ? " " : ",", config.values[i]);
  return text;
}
std::string Legend(const TileConfig& config) {
  std::string text(config.family);
  for (std::size_t i = 0; i < config.fields.size(); ++i)
    text += fmt::format("{}{}", i == 0 ? " " : ",", config.fields[i].name);
  return text;
}

void PrintRow(Table& table, const Measurement& m) {
  const bool compiled = !m.plan.kernels.empty() && m.plan.kernels.front().origin == Origin::kCompiled;
  table.Row({m.shape.name, SizeText(m.shape.problem), m.device, Values(m.plan.config), m.source(),
             compiled ? Number(m.compile_ms()) : "-", Number(m.first_ms), Number(m.median_ms), Number(m.gflops()),
             m.ok() ? Number(m.check->max_error) : "WRONG"});
}

Tally RunShapes(Session& session, Json& document) {
  const Options& options = session.options();
  const Clock::time_point begin = Clock::now();
  const DeviceId device = session.device();
  const char* dtype = device.kind == DeviceKind::kCpu ? "f32" : "bf16";
  const std::vector<NamedProblem> problems = ModelProblems(options.full, dtype);
  if (session.text())
    fmt::print(
        "{} layer shapes of DeepSeek-V3 and Llama-3-8B, {}, weights as stored (nt), on {}; seeded random operands, "
        "poisoned\noutputs, checked against float64\n\n",
        problems.size(), dtype, ToString(device));
  Workbench workbench(session.engine(), device, problems, options.seed);
  Table table({{"layer", -14},
               {"m x n x k", -15},
               {"device", -6},
               {"config", -31},
               {"source", -8},
               {"compile", 7},
               {"first ms", 8},
               {"ms", 7},
               {"GFLOP/s", 7},
               {"error", 8}});
  Progress progress("running", problems.size());
  Tally tally;
  std::set<std::string> legends;
  for (const NamedProblem& shape : problems) {
    const double estimate = EstimatedSeconds(shape.problem, tally.best_gflops);
    if (!options.full && SecondsSince(begin) + estimate > kBudgetSeconds) {
      ++tally.skipped;
      continue;
    }
    progress.Show(shape.name + " " + SizeText(shape.problem));
    const Measurement m = workbench.Measure(shape, {1, /*check=*/true, kShapeSeconds});
    tally.Add(m);
    legends.insert(Legend(m.plan.config));
    document["results"].push_back(ToJson(m));
    progress.Hide();
    if (session.text()) PrintRow(table, m);
    progress.Advance();
  }
  progress.Hide();
  if (session.text()) fmt::print("\nconfig: {}\n", fmt::join(legends, "; "));
  document["skipped"] = tally.skipped;
  return tally;
}

/// A line that says what a list of kernels came to.
std::string Sum(const Json& ahead) {
  std::int64_t bytes = 0, spills = 0, registers = 0, shared = 0, cached = 0;
  double compile_ms = 0;
  for (const Json& kernel : ahead.at("kernels")) {
    bytes += kernel.at("cubin_bytes").get<std::int64_t>();
    spills += kernel.at("spill_bytes").get<std::int64_t>();
    registers = std::max(registers, kernel.at("registers").get<std::int64_t>());
    shared = std::max(shared, kernel.at("shared_bytes").get<std::int64_t>());
    cached += kernel.at("cached").get<bool>() ? 1 : 0;
    if (!kernel.at("cached").get<bool>()) compile_ms += kernel.at("compile_ms").get<double>();
  }
  return fmt::format(
      "{} distinct kernels for {} problems in {} s: {} found in the cache, {} compiled ({} ms);\n{} of code, at most "
      "{} "
      "registers and {} of shared memory, {} bytes spilled",
      ahead.at("kernels").size(), ahead.at("problems").get<std::size_t>() * std::size(kAheadTargets),
      Number(ahead.at("seconds").get<double>()), cached, ahead.at("kernels").size() - static_cast<std::size_t>(cached),
      Number(compile_ms), Bytes(static_cast<double>(bytes)), registers, Bytes(static_cast<double>(shared)), spills);
}

std::string ShapesText(const std::vector<NamedProblem>& problems) {
  std::string text;
  for (const auto& [name, p, beta] : problems)
    text += fmt::format("{} {} {} {} layout=nt dtype={}\n", name, p.m, p.n, p.k, kAheadDType);
  return text;
}

Json CompileInSecondProcess(const Options& options, const std::string& compiler,
                            const std::vector<NamedProblem>& problems) {
  std::vector<std::string> arguments{"compile",    "--shapes",
                                     "-",          "--json",
                                     "--compiler", compiler,
                                     "--arch",     fmt::format("{}", fmt::join(kAheadTargets, ",")),
                                     "--jobs",     std::to_string(Jobs(options))};
  if (!options.engine.cache_dir.empty()) arguments.insert(arguments.end(), {"--cache-dir", options.engine.cache_dir});
  return Json::parse(RunAgain(arguments, ShapesText(problems)));
}

/// Compiles the same problems for GPUs that need not be here, here and once more in a second process.
void CompileForGpus(Session& session, Json& document) {
  const Options& options = session.options();
  const std::vector<NamedProblem> problems = ModelProblems(options.full, kAheadDType);
  std::vector<AheadTarget> targets;
  for (const char* name : kAheadTargets) targets.push_back({ParseTarget(name), DefaultDeviceSpec(ParseTarget(name))});
  EngineOptions engine_options = session.engine_options();
  if (engine_options.compiler.empty()) engine_options.compiler = Environment::Get().compiler;
  if (engine_options.compiler.empty()) engine_options.compiler = "nvrtc";
  if (session.text())
    fmt::print("\nThe same problems in {}, compiled ahead for {} by {}; no GPU is needed\n\n", kAheadDType,
               fmt::join(kAheadTargets, " and "), engine_options.compiler);
  Engine engine(engine_options);
  const AheadResult result = CompileAll(engine, WorkOf(problems, targets), Jobs(options));
  document["ahead"] = ToJson(result);
  if (session.text()) {
    PrintKernels(result);
    fmt::print("\nfirst process:  {}\n", Sum(document["ahead"]));
    if (const CacheStats stats = engine.Cache(); stats.directory.empty() || !stats.disk_status.empty())
      fmt::print("The disk cache is off: {}\n", stats.disk_status.empty() ? "no folder for it" : stats.disk_status);
  }
  document["ahead_again"] = CompileInSecondProcess(options, engine_options.compiler, problems);
  if (session.text()) fmt::print("second process: {}\n", Sum(document["ahead_again"]));
}

void CompileForGpusIfPossible(Session& session, Json& document) {
  try {
    CompileForGpus(session, document);
  } catch (const Error& error) {
    if (error.code() != Code::kNotFound) throw;
    document["ahead_skipped"] = error.what();
    if (session.text()) fmt::print("Skipped, as there is no compiler for CUDA: {}\n", error.what());
  }
}

Outcome Run(Session& session) {
  const Clock::time_point begin = Clock::now();
  Outcome outcome{true, {{"ok", true}, {"device", ToString(session.device())}, {"results", Json::array()}}};
  const Tally tally = RunShapes(session, outcome.document);
  CompileForGpusIfPossible(session, outcome.document);
  outcome.document["ok"] = outcome.ok = tally.wrong == 0;
  outcome.document["seconds"] = SecondsSince(begin);
  if (session.text()) {
    fmt::print("\n{} of {} results right, worst error {}; at best {} GFLOP/s; {} s in all\n", tally.done - tally.wrong,
               tally.done, Number(tally.worst_error), Number(tally.best_gflops), Number(SecondsSince(begin)));
    if (tally.skipped > 0)
      fmt::print("{} shapes were left out, as they would have taken too long on this machine; --full runs all\n",
                 tally.skipped);
  }
  return outcome;
}

}  // namespace

const Command kDemo = {"demo", "Run, check and time the layer shapes of two language models, and compile them for GPUs",
                       "gemmsmith demo\n  gemmsmith demo --full --json > demo.json", AddOptions, Run};

}  // namespace gemmsmith::cli
