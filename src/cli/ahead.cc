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

namespace gemmsmith::cli {
namespace {

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

/// Several problems may share a kernel: it counts once, and as compiled if any of them compiled it.
void Add(const KernelReport& report, const AheadTarget& target, std::size_t problem, std::string problem_name,
         std::vector<AheadKernel>& kernels) {
  auto it =
      std::find_if(kernels.begin(), kernels.end(), [&](const AheadKernel& k) { return k.report.key == report.key; });
  if (it == kernels.end()) it = kernels.insert(kernels.end(), {report, problem, target, {}});
  if (it->cached() && report.origin != Origin::kMemory) it->report = report;
  it->problems.push_back(std::move(problem_name));
}

std::string NameOf(const NamedProblem& shape) {
  return (shape.name.empty() ? "" : shape.name + ": ") + ToString(shape.problem);
}

using OnFailure = std::function<void(const NamedProblem& shape, const AheadTarget& target, const Error& error)>;

AheadResult Compile(Engine& engine, std::span<const NamedProblem> problems, std::span<const AheadTarget> targets,
                    int jobs, const OnFailure& fail) {
  const auto begin = std::chrono::steady_clock::now();
  const std::size_t count = problems.size() * targets.size();
  std::vector<std::vector<KernelReport>> reports(count);
  Progress progress("compiling", count);
  const CancellationToken cancel;
  ForEachParallel(count, jobs, cancel, [&](std::size_t i) {
    const NamedProblem& shape = problems[i % problems.size()];
    const AheadTarget& target = targets[i / problems.size()];
    progress.Show(shape.name + " " + ToString(target.target));
    try {
      reports[i] = engine.CompileAhead(shape.problem, target.target, target.spec, cancel);
    } catch (const Error& error) {
      fail(shape, target, error);
    }
    progress.Advance();
  });
  AheadResult result;
  result.problems = problems.size();
  for (std::size_t i = 0; i < count; ++i) {
    const NamedProblem& shape = problems[i % problems.size()];
    for (const KernelReport& report : reports[i])
      Add(report, targets[i / problems.size()], i % problems.size(), NameOf(shape), result.kernels);
  }
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  return result;
}

}  // namespace

std::vector<AheadTarget> AheadTargets(Session& session) {
  const Options& options = session.options();
  if (options.arch.empty()) {
    const DeviceSpec& spec = FindDeviceSpec(options.gpu);
    return {{spec.target, spec}};
  }
  std::vector<AheadTarget> targets;
  for (const std::string& name : options.arch) {
    const CodeTarget target = ParseTarget(name);
    const bool is_cpu = options.gpu.empty() && target.isa != Isa::kCuda;
    targets.push_back({target, is_cpu ? session.engine().devices().Get({}).spec() : GpuSpec(options, target)});
  }
  return targets;
}

void RequireAhead(CLI::App& app, const Options& options) {
  app.parse_complete_callback([&app, &options] {
    if (app.count("--m") == 0 && options.shapes.empty())
      throw CLI::RequiredError("a problem (--m, --n and --k, or --shapes)");
    if (options.arch.empty() && options.gpu.empty()) throw CLI::RequiredError("--arch or --gpu");
  });
}

AheadResult CompileAll(Engine& engine, std::span<const NamedProblem> problems, std::span<const AheadTarget> targets,
                       int jobs) {
  return Compile(engine, problems, targets, jobs, [](const NamedProblem&, const AheadTarget&, const Error&) { throw; });
}

AheadResult CompileEach(Engine& engine, std::span<const NamedProblem> problems, std::span<const AheadTarget> targets,
                        int jobs) {
  std::mutex mutex;
  std::vector<AheadFailure> failures;
  AheadResult result = Compile(
      engine, problems, targets, jobs, [&](const NamedProblem& shape, const AheadTarget& target, const Error& error) {
        std::scoped_lock lock(mutex);
        failures.push_back({NameOf(shape), ToString(target.target), std::string(ToString(error.code())), error.what()});
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
