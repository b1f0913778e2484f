#pragma once

#include <span>
#include <string>
#include <vector>

#include "cli/json.h"
#include "gemmsmith/engine.h"
#include "gemmsmith/shapes.h"

namespace gemmsmith::cli {

/// What to compile for: code, and the device to reckon with.
struct AheadTarget {
  CodeTarget target;
  DeviceSpec spec;
};

/// One distinct kernel and whom it serves.
struct AheadKernel {
  KernelReport report;
  std::size_t first_problem = 0;  ///< Index of one of the problems it serves.
  AheadTarget target;
  std::vector<std::string> problems;

  bool cached() const { return report.origin != Origin::kCompiled; }
  std::int64_t shared_bytes() const {
    return static_cast<std::int64_t>(report.dynamic_shared_bytes) + report.resources.static_shared_bytes;
  }
};

struct AheadResult {
  std::vector<AheadKernel> kernels;
  std::size_t problems = 0;
  double seconds = 0;
};

/// Compiles (or finds) the kernels of all problems for all targets, `jobs` at a time, with progress on stderr. The
/// first failure stops it and is thrown.
AheadResult CompileAll(Engine& engine, std::span<const NamedProblem> problems, std::span<const AheadTarget> targets,
                       int jobs);

Json ToJson(const AheadResult& result);
void PrintKernels(const AheadResult& result);

}  // namespace gemmsmith::cli
