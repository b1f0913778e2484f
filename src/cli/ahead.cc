#include "cli/ahead.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <tuple>

#include "cli/progress.h"
#include "cli/table.h"
#include "gemmsmith/error.h"
#include "gemmsmith/serving.h"

namespace gemmsmith::cli {
namespace {

using Clock = std::chrono::steady_clock;
double SecondsSince(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

/// Calls work(i) for each i below count on `jobs` threads; after a failure no more are begun, and it is thrown.
template <class Work>
void ForEachParallel(std::size_t count, int jobs, const CancellationToken& cancel, Work work) {
  std::atomic<std::size_t> next{0};
  std::exception_ptr failure;
  std::mutex mutex;
  const auto loop = [&] {
    for (std::size_t i; !cancel.cancelled() && (i = next.fetch_add(1)) < count;) {
      try {
        work(i);
      } catch (...) {
        std::scoped_lock lock(mutex);
        if (!failure) failure = std::current_exception();
        CancellationToken(cancel).Cancel();
      }
    }
  };
  {
    std::vector<std::jthread> threads;
    for (std::size_t i = 1; i < std::min<std::size_t>(jobs, count); ++i) threads.emplace_back(loop);
    loop();
  }
  if (failure) std::rethrow_exception(failure);
}

std::string NameOf(const NamedProblem& shape) {
  return (shape.name.empty() ? "" : shape.name + ": ") + ToString(shape.problem);
}

/// Several problems may share a kernel: it counts once, and as compiled if any of them compiled it.
void Add(const KernelReport& report, const AheadWork::Task& task, std::vector<AheadKernel>& kernels) {
  auto it =
      std::find_if(kernels.begin(), kernels.end(), [&](const AheadKernel& k) { return k.report.key == report.key; });
  if (it == kernels.end()) it = kernels.insert(kernels.end(), {report, task.shape.problem, task.target, {}});
  if (it->cached() && report.origin != Origin::kMemory) it->report = report;
  it->problems.push_back(NameOf(task.shape));
}

using OnFailure = std::function<void(const AheadWork::Task& task, const Error& error)>;

AheadResult Compile(Engine& engine, const AheadWork& work, int jobs, const OnFailure& fail) {
  const auto begin = Clock::now();
  std::vector<std::vector<KernelReport>> reports(work.tasks.size());
  Progress progress("compiling", work.tasks.size());
  const CancellationToken cancel;
  ForEachParallel(work.tasks.size(), jobs, cancel, [&](std::size_t i) {
    const auto& [shape, target] = work.tasks[i];
    progress.Show(shape.name + " " + ToString(target.target));
    try {
      reports[i] = engine.CompileAhead(shape.problem, target.target, target.spec, cancel);
    } catch (const Error& error) {
      fail(work.tasks[i], error);
    }
    progress.Advance();
  });
  AheadResult result;
  result.problems = work.problems;
  for (std::size_t i = 0; i < reports.size(); ++i)
    for (const KernelReport& report : reports[i]) Add(report, work.tasks[i], result.kernels);
  result.seconds = work.seconds + SecondsSince(begin);
  return result;
}

}  // namespace

std::vector<AheadTarget> AheadTargets(Session& session) {
  const Options& options = session.options();
  if (options.arch.empty()) {
    const DeviceSpec& spec = FindDeviceSpec(options.gpu);
    return {{spec.target, WithNumSms(spec, options)}};
  }
  std::vector<AheadTarget> targets;
  for (const std::string& name : options.arch) {
    const CodeTarget target = ParseTarget(name);
    const bool is_cpu = options.gpu.empty() && target.isa != Isa::kCuda;
    const DeviceSpec& spec = is_cpu ? session.engine().devices().Get({}).spec() : GpuSpec(options, target);
    targets.push_back({target, WithNumSms(spec, options)});
  }
  return targets;
}

AheadWork WorkOf(std::span<const NamedProblem> problems, std::span<const AheadTarget> targets) {
  AheadWork work;
  work.problems = problems.size();
  for (const AheadTarget& target : targets)
    for (const NamedProblem& shape : problems) work.tasks.push_back({shape, target});
  return work;
}

AheadWork WorkOf(Session& session) {
  const auto begin = Clock::now();
  const Options& options = session.options();
  const std::vector<NamedProblem> problems = Problems(options);
  const std::vector<AheadTarget> targets = AheadTargets(session);
  if (options.model.empty()) return WorkOf(problems, targets);
  AheadWork work;
  work.problems = problems.size();
  for (const AheadTarget& target : targets)
    for (NamedProblem& shape : DistinctKernels(problems, options.rows, target.target, target.spec))
      work.tasks.push_back({std::move(shape), target});
  work.seconds = SecondsSince(begin);
  return work;
}

void RequireAhead(CLI::App& app, const Options& options) {
  app.parse_complete_callback([&app, &options] {
    if (app.count("--m") == 0 && options.shapes.empty() && options.model.empty())
      throw CLI::RequiredError(app.get_option_no_throw("--model") == nullptr
                                   ? "a problem (--m, --n and --k, or --shapes)"
                                   : "a problem (--m, --n and --k, --shapes, or --model)");
    if (options.arch.empty() && options.gpu.empty()) throw CLI::RequiredError("--arch or --gpu");
  });
}

AheadResult CompileAll(Engine& engine, const AheadWork& work, int jobs) {
  return Compile(engine, work, jobs, [](const AheadWork::Task&, const Error&) { throw; });
}

AheadResult CompileEach(Engine& engine, const AheadWork& work, int jobs) {
  std::mutex mutex;
  std::vector<AheadFailure> failures;
  AheadResult result = Compile(engine, work, jobs, [&](const AheadWork::Task& task, const Error& error) {
    std::scoped_lock lock(mutex);
    failures.push_back(
        {NameOf(task.shape), ToString(task.target.target), std::string(ToString(error.code())), error.what()});
  });
  // In an order that does not depend on the threads.
  std::ranges::sort(failures, {}, [](const AheadFailure& f) { return std::tie(f.arch, f.problem, f.message); });
  result.failures = std::move(failures);
  return result;
}

Json ToJson(const AheadResult& result) {
  Json kernels = Json::array();
  for (const AheadKernel& k : result.kernels) {
    const bool cuda = k.target.target.isa == Isa::kCuda;
    kernels.push_back({{"name", k.report.name},
                       {"arch", k.report.target},
                       {"config", k.report.config},
                       {"cached", k.cached()},
                       {"source", ToString(k.report.origin)},
                       {"compile_ms", k.report.compile_ms},
                       {"obtain_ms", k.report.obtain_ms},
                       {cuda ? "cubin_bytes" : "code_bytes", k.report.code_bytes},
                       {"registers", k.report.resources.registers},
                       {"spill_bytes", k.report.resources.spill_bytes},
                       {"shared_bytes", k.shared_bytes()},
                       {"key", k.report.key},
                       {"compiler", k.report.compiler},
                       {"problems", k.problems}});
  }
  return {{"problems", result.problems}, {"seconds", result.seconds}, {"kernels", kernels}};
}

void PrintKernels(const AheadResult& result) {
  Table table({{"kernel", -46},
               {"arch", -8},
               {"source", -8},
               {"compile ms", 10},
               {"bytes", 8},
               {"regs", 5},
               {"spill", 6},
               {"shared", 7},
               {"problems", 8}});
  for (const AheadKernel& k : result.kernels)
    table.Row({k.report.name, k.report.target, std::string(ToString(k.report.origin)),
               k.cached() ? "-" : Number(k.report.compile_ms), std::to_string(k.report.code_bytes),
               std::to_string(k.report.resources.registers), std::to_string(k.report.resources.spill_bytes),
               std::to_string(k.shared_bytes()), std::to_string(k.problems.size())});
}

void PrintFailures(const AheadResult& result) {
  for (const AheadFailure& failure : result.failures)
    fmt::print(stderr, "failed: {} for {}: {}\n", failure.problem, failure.arch, failure.message);
}

}  // namespace gemmsmith::cli
