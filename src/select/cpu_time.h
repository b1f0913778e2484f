#pragma once

#include <string>
#include <vector>

#include "gemmsmith/engine.h"
#include "kernels/family.h"

namespace gemmsmith {

/// The predicted time of a CPU's kernel, term by term, in microseconds.
struct CpuTime {
  double compute = 0, memory = 0, packing = 0, launch = 0;

  /// Memory works beside the cores; packing and the start of threads come on top.
  double total() const;
  std::vector<CostTerm> Terms() const;
  std::string Limiting() const;
};

CpuTime PredictCpu(const GemmProblem& problem, const TileShape& shape, const DeviceSpec& spec);

}  // namespace gemmsmith
