#pragma once

#include "select/gpu_time.h"

namespace gemmsmith {

/// What the vendor's library is expected to take for a problem of tensor-core types: the cost model's best over tiles
/// and splits such as its kernels have.
struct LibraryEstimate {
  double microseconds = 0;
  GpuTime time;
  TileShape shape;
};

/// `without`: a term to leave out, to see what it is worth; or null. Throws kUnsupported for types that tensor cores do
/// not multiply, and devices without them.
LibraryEstimate PredictLibrary(const GemmProblem& problem, const DeviceSpec& spec, double GpuTime::*without = nullptr);

}  // namespace gemmsmith
