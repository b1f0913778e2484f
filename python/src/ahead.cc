#include <algorithm>
#include <atomic>
#include <mutex>
#include <span>
#include <thread>

#include "array.h"
#include "bindings.h"
#include "engine_access.h"
#include "gemmsmith/doctor.h"
#include "gemmsmith/engine.h"
#include "gemmsmith/select.h"
#include "gemmsmith/serving.h"
#include "rows.h"

namespace gemmsmith::python {
namespace {

nb::dict RowOf(const KernelReport& report) {
  return Row()
      .Add("kernel", report.name)
      .Add("arch", report.target)
      .Add("origin", Str(ToString(report.origin)))
      .Add("compile_ms", report.compile_ms)
      .Add("code_bytes", report.code_bytes)
      .Add("registers", report.resources.registers)
      .Add("spill_bytes", report.resources.spill_bytes)
      .Add("shared_bytes", report.dynamic_shared_bytes + report.resources.static_shared_bytes)
      .Add("config", report.config)
      .Add("compiler", report.compiler)
      .Add("key", report.key);
}

struct Target {
  CodeTarget code;
  DeviceSpec spec;
};

/// What `arch` and `gpu` mean: code for the one, reckoned with the numbers of the other.
Target TargetOf(Engine& engine, const std::string& arch, const std::string& gpu) {
  if (arch.empty()) return {FindDeviceSpec(gpu).target, FindDeviceSpec(gpu)};
  const CodeTarget code = ParseTarget(arch);
  if (!gpu.empty()) return {code, FindDeviceSpec(gpu)};
  return {code, code.isa == Isa::kCuda ? DefaultDeviceSpec(code) : engine.devices().Get({}).spec()};
}

/// Calls work(i) for each i below count on so many threads; after a failure no more are begun, and it is thrown.
template <class Work>
void ForEach(std::size_t count, int threads, const CancellationToken& cancel, const Work& work) {
  std::atomic<std::size_t> next{0};
  std::atomic<bool> failed{false};
  std::exception_ptr failure;
  std::mutex mutex;
  const auto loop = [&] {
    for (std::size_t i; !cancel.cancelled() && !failed.load() && (i = next.fetch_add(1)) < count;) {
      try {
        work(i);
      } catch (...) {
        const std::scoped_lock lock(mutex);
        if (!failure) failure = std::current_exception();
        failed.store(true);
      }
    }
  };
  {
    std::vector<std::jthread> others;
    for (std::size_t i = 1; i < std::min<std::size_t>(std::max(threads, 1), count); ++i) others.emplace_back(loop);
    loop();
  }
  if (failure) std::rethrow_exception(failure);
}

using Pairs = std::vector<std::pair<std::string, GemmProblem>>;

/// `work`: problems by architecture. `bundle`: not empty, a file to write the kernels into.
nb::tuple Compile(const std::vector<std::pair<std::string, Pairs>>& work, const std::string& gpu, int jobs,
                  const std::string& bundle, const BundleOptions& options) {
  struct Task {
    std::string name;
    GemmProblem problem;
    Target target;
  };
  // A bundle has what its engine made or found: of one of its own, these kernels alone.
  const std::shared_ptr<Engine> engine =
      bundle.empty() ? CurrentEngine() : std::make_shared<Engine>(CurrentEngine()->options());
  std::vector<Task> tasks;
  for (const auto& [arch, problems] : work)
    for (const auto& [name, problem] : problems) tasks.push_back({name, problem, TargetOf(*engine, arch, gpu)});
  using Reports = std::vector<std::vector<KernelReport>>;
  const Reports reports = Interruptibly([&](const CancellationToken& cancel) {
    Reports made(tasks.size());
    ForEach(tasks.size(), jobs, cancel, [&](std::size_t i) {
      made[i] = engine->CompileAhead(tasks[i].problem, tasks[i].target.code, tasks[i].target.spec, cancel);
    });
    return made;
  });
  nb::list rows;
  for (std::size_t i = 0; i < tasks.size(); ++i)
    for (const KernelReport& report : reports[i]) {
      nb::dict row = Row().Add("name", tasks[i].name).Add("problem", ToString(tasks[i].problem));
      row.update(RowOf(report));
      rows.append(row);
    }
  const BundleSummary written = bundle.empty() ? BundleSummary{} : engine->WriteBundle(bundle, options);
  return nb::make_tuple(rows, BundleRow(written));
}

nb::dict RowOf(const RankedConfig& ranked) {
  nb::dict row = Row()
                     .Add("family", Str(ranked.config.family))
                     .Add("us", ranked.microseconds)
                     .Add("limiting", ranked.limiting)
                     .Add("measured_us", ranked.measured_us)
                     .Add("timings", ranked.timings)
                     .Add("config", ToString(ranked.config));
  for (const CostTerm& term : ranked.terms) row[nb::str((term.name + "_us").c_str())] = term.microseconds;
  for (std::size_t i = 0; i < ranked.config.fields.size(); ++i)
    row[Str(ranked.config.fields[i].name)] = ranked.config[i];
  return row;
}

nb::dict DictOf(const Explanation& explanation) {
  return Row()
      .Add("problem", ToString(explanation.problem))
      .Add("device", explanation.device)
      .Add("arch", explanation.target)
      .Add("measured", explanation.measured)
      .Add("calibration", explanation.calibration)
      .Add("refused", explanation.refused)
      .Add("wrong", explanation.wrong)
      .Add("rows", Rows(explanation.ranked, [](const RankedConfig& ranked) { return RowOf(ranked); }));
}

nb::dict Explain(const GemmProblem& problem, const std::string& device, const std::string& arch, const std::string& gpu,
                 const std::vector<std::int64_t>& groups) {
  const std::shared_ptr<Engine> engine = CurrentEngine();
  if (!arch.empty() || !gpu.empty()) {
    const Target target = TargetOf(*engine, arch, gpu);
    return DictOf(engine->Explain(problem, target.code, target.spec, groups));
  }
  return DictOf(engine->Explain(problem, NamedDevice(*engine, device), groups));
}

std::string PredictConfig(const GemmProblem& problem, const std::string& device) {
  const std::shared_ptr<Engine> engine = CurrentEngine();
  return ToString(engine->PredictOptimalConfig(problem, NamedDevice(*engine, device)));
}

void RecordPerformance(const GemmProblem& problem, const std::string& config, double microseconds,
                       const std::string& device) {
  const std::shared_ptr<Engine> engine = CurrentEngine();
  const DeviceId id = NamedDevice(*engine, device);
  for (const RankedConfig& ranked : engine->Explain(problem, id).ranked)
    if (ToString(ranked.config) == config) return engine->RecordPerformance(problem, id, ranked.config, microseconds);
  throw Error(Code::kNotFound,
              "record_performance: " + ToString(problem) + " has no config \"" + config + "\" on " + ToString(id),
              "explain lists them");
}

/// What `gemmsmith show-code` shows, or another part of the kernel: text, but for a cubin.
nb::object ShowCode(const GemmProblem& problem, const std::string& device, const std::string& arch,
                    const std::string& gpu, const std::string& part) {
  const std::shared_ptr<Engine> engine = CurrentEngine();
  Target target;
  if (!arch.empty() || !gpu.empty()) {
    target = TargetOf(*engine, arch, gpu);
  } else {
    const DeviceId id = NamedDevice(*engine, device);
    target = {ParseTarget(engine->Explain(problem, id).target), engine->devices().Get(id).spec()};
  }
  const KernelSource source = engine->Render(problem, target.code, target.spec);
  const std::string wanted = !part.empty() ? part : source.target.isa == Isa::kX86 ? "listing" : "source";
  const std::string code =
      Interruptibly([&](const CancellationToken& cancel) { return engine->Emit(source, wanted, cancel); });
  if (wanted == "cubin") return nb::bytes(code.data(), code.size());
  return nb::str(code.data(), code.size());
}

nb::dict RowOf(const TunedCandidate& candidate) {
  return Row()
      .Add("config", ToString(candidate.config))
      .Add("predicted_us", candidate.predicted_us)
      .Add("median_us", candidate.median_us)
      .Add("times_us", candidate.times_us)
      .Add("recorded_us", candidate.recorded_us)
      .Add("failed", candidate.failed);
}

nb::list Tune(const GemmProblem& problem, const std::string& device, double budget, std::int64_t candidates,
              std::int64_t m_from, std::int64_t m_to, bool dry_run, nb::object progress) {
  const std::shared_ptr<Engine> engine = CurrentEngine();
  const DeviceId id = NamedDevice(*engine, device);
  TuneOptions options;
  options.budget = std::chrono::duration<double>(budget);
  options.candidates = static_cast<std::size_t>(candidates);
  options.m_from = m_from, options.m_to = m_to;
  options.dry_run = dry_run;
  std::exception_ptr raised;
  const std::vector<TuneResult> results = Interruptibly([&](const CancellationToken& cancel) {
    options.cancel = cancel;
    if (!progress.is_none())
      options.progress = [&](const TuneProgress& so_far) {
        const nb::gil_scoped_acquire held;
        try {
          progress(so_far.what, so_far.done, so_far.total);
        } catch (...) {
          raised = std::current_exception();
          options.cancel.Cancel();
        }
      };
    try {
      return engine->Tune(problem, id, options);
    } catch (const Error&) {
      if (!raised) throw;
      return std::vector<TuneResult>();
    }
  });
  if (raised) std::rethrow_exception(raised);
  return Rows(results, [](const TuneResult& result) -> nb::dict {
    return Row()
        .Add("problem", ToString(result.problem))
        .Add("m_from", result.m_from)
        .Add("m_to", result.m_to)
        .Add("before", ToString(result.incumbent))
        .Add("before_us", result.incumbent_us)
        .Add("chosen", ToString(result.chosen))
        .Add("chosen_us", result.chosen_us)
        .Add("timings", result.timings)
        .Add("complete", result.complete)
        .Add("candidates", Rows(result.candidates, [](const TunedCandidate& one) { return RowOf(one); }));
  });
}

nb::list ListDevices() {
  Devices& devices = CurrentEngine()->devices();
  nb::list rows = Rows(devices.List(), [](Device* device) -> nb::dict {
    if (device->id().kind == DeviceKind::kCuda) UseCuda();
    const DeviceSpec& spec = device->spec();
    std::vector<std::string> targets;
    for (const CodeTarget& target : device->targets()) targets.push_back(ToString(target));
    return Row()
        .Add("device", ToString(device->id()))
        .Add("name", spec.name)
        .Add("arch", targets.empty() ? std::string() : targets.front())
        .Add("multiprocessors", spec.multiprocessors)
        .Add("clock_ghz", spec.clock_ghz)
        .Add("f32_gflops", spec.PeakGflops(DType::kF32))
        .Add("memory_gbps", spec.memory_gbps)
        .Add("memory_gib", spec.memory_gib)
        .Add("targets", targets);
  });
  return rows;
}

nb::list Doctor() {
  static constexpr const char* kStatus[] = {"ok", "missing", "warning"};
  return Rows(Diagnose(*CurrentEngine()), [](const Finding& finding) -> nb::dict {
    return Row()
        .Add("item", finding.item)
        .Add("status", kStatus[static_cast<int>(finding.status)])
        .Add("version", finding.version)
        .Add("path", finding.path)
        .Add("remedy", finding.remedy);
  });
}

/// Of a model's products, those that need all its kernels for any m of the range.
std::vector<std::pair<std::string, GemmProblem>> DistinctProblems(
    const std::vector<std::pair<std::string, GemmProblem>>& problems, std::int64_t first, std::int64_t last,
    const std::string& arch, const std::string& gpu) {
  std::vector<NamedProblem> named;
  for (const auto& [name, problem] : problems) named.push_back({name, problem, 0});
  const Target target = TargetOf(*CurrentEngine(), arch, gpu);
  std::vector<std::pair<std::string, GemmProblem>> distinct;
  for (const NamedProblem& one : DistinctKernels(named, {first, last}, target.code, target.spec))
    distinct.emplace_back(one.name, one.problem);
  return distinct;
}

Pairs PairsOf(nb::handle problems) {
  Pairs pairs;
  for (const nb::handle one : nb::iter(problems))
    pairs.emplace_back(nb::cast<std::string>(one[0]), nb::cast<const GemmProblem&>(one[1]));
  return pairs;
}

}  // namespace

void BindAhead(nb::module_& m) {
  m.def(
      "compile_ahead",
      [](nb::handle work, const std::string& gpu, int jobs, const std::string& bundle, int level,
         const std::string& key_file) {
        std::vector<std::pair<std::string, Pairs>> by_arch;
        for (const nb::handle one : nb::iter(work))
          by_arch.emplace_back(nb::cast<std::string>(one[0]), PairsOf(one[1]));
        return Compile(by_arch, gpu, jobs, bundle, {level, key_file});
      },
      nb::sig("def compile_ahead(work: list[tuple[str, list[tuple[str, Problem]]]], gpu: str, jobs: int, "
              "bundle: str, level: int, key_file: str) -> tuple[list[dict[str, typing.Any]], dict[str, int]]"));
  m.def(
      "distinct_problems",
      [](nb::handle problems, std::int64_t first, std::int64_t last, const std::string& arch, const std::string& gpu) {
        nb::list list;
        for (const auto& [name, problem] : DistinctProblems(PairsOf(problems), first, last, arch, gpu))
          list.append(nb::make_tuple(name, problem));
        return list;
      },
      nb::sig("def distinct_problems(problems: list[tuple[str, Problem]], first: int, last: int, arch: str, "
              "gpu: str) -> list[tuple[str, Problem]]"));
  m.def("explain", &Explain,
        nb::sig("def explain(problem: Problem, device: str, arch: str, gpu: str, groups: list[int]) -> "
                "dict[str, typing.Any]"));
  m.def("predict_config", &PredictConfig);
  m.def("record_performance", &RecordPerformance);
  m.def("show_code", &ShowCode,
        nb::sig("def show_code(problem: Problem, device: str, arch: str, gpu: str, part: str) -> typing.Any"));
  m.def("tune", &Tune, nb::arg("problem"), nb::arg("device"), nb::arg("budget"), nb::arg("candidates"),
        nb::arg("m_from"), nb::arg("m_to"), nb::arg("dry_run"), nb::arg("progress").none(),
        nb::sig("def tune(problem: Problem, device: str, budget: float, candidates: int, m_from: int, m_to: int, "
                "dry_run: bool, progress: typing.Any) -> list[dict[str, typing.Any]]"));
  m.def("devices", &ListDevices, nb::sig("def devices() -> list[dict[str, typing.Any]]"));
  m.def("cuda_status", [] { return CurrentEngine()->devices().CudaStatus(); });
  m.def("doctor", &Doctor, nb::sig("def doctor() -> list[dict[str, typing.Any]]"));
  m.def(
      "kernels",
      [] { return Rows(CurrentEngine()->Kernels(), [](const KernelReport& report) { return RowOf(report); }); },
      nb::sig("def kernels() -> list[dict[str, typing.Any]]"));
}

}  // namespace gemmsmith::python
