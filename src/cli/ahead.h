#pragma once

#include <span>
#include <string>
#include <vector>

#include "cli/command.h"
#include "cli/json.h"
#include "gemmsmith/engine.h"
#include "gemmsmith/shapes.h"

namespace gemmsmith::cli {

/// What to compile for: code, and the device to reckon with.
struct AheadTarget {
  CodeTarget target;
  DeviceSpec spec;
};

/// What to compile.
struct AheadWork {
  struct Task {
    NamedProblem shape;
    AheadTarget target;
  };
  std::vector<Task> tasks;
  std::size_t problems = 0;  ///< That were asked for.
  double seconds = 0;        ///< To find out.
};

/// One distinct kernel and whom it serves.
struct AheadKernel {
  KernelReport report;
  GemmProblem problem;  ///< One of those it serves.
  AheadTarget target;
  std::vector<std::string> problems;

  bool cached() const { return report.origin != Origin::kCompiled; }
  std::int64_t shared_bytes() const {
    return static_cast<std::int64_t>(report.dynamic_shared_bytes) + report.resources.static_shared_bytes;
  }
};

/// A problem that could not be compiled, and why.
struct AheadFailure {
  std::string problem, arch;
  std::string code, message;
};

struct AheadResult {
  std::vector<AheadKernel> kernels;
  std::vector<AheadFailure> failures;
  std::size_t problems = 0;
  double seconds = 0;
};

/// Compiles (or finds) the kernels of all tasks, `jobs` at a time, with progress on stderr. The first failure stops it
/// and is thrown.
AheadResult CompileAll(Engine& engine, const AheadWork& work, int jobs);
/// The same, but what fails is noted, and the rest goes on.
AheadResult CompileEach(Engine& engine, const AheadWork& work, int jobs);
/// What --arch and --gpu say.
std::vector<AheadTarget> AheadTargets(Session& session);
/// All problems for all targets.
AheadWork WorkOf(std::span<const NamedProblem> problems, std::span<const AheadTarget> targets);
/// What the command line asks for, for --arch and --gpu: of --model what its kernels need.
AheadWork WorkOf(Session& session);
/// Refuses a command line without a problem or without a target.
void RequireAhead(CLI::App& app, const Options& options);

Json ToJson(const AheadResult& result);
void PrintKernels(const AheadResult& result);
/// On stderr.
void PrintFailures(const AheadResult& result);

}  // namespace gemmsmith::cli
