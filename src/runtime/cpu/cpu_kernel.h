#pragma once

#include <memory>

#include "artifact.h"
#include "gemmsmith/kernel.h"
#include "kernels/cpu_gemm.h"

namespace gemmsmith {

/// A loaded kernel. Launch takes one argument, a CpuGemmParams, and returns when D is complete.
class CpuKernel : public Kernel {
 public:
  /// The entries themselves, for tests and benchmarks.
  virtual const MicroKernelSet& entries() const = 0;
};

/// Loads the part "x86" or "builtin" of an artifact. Throws kDevice where this CPU cannot run the code, or the part is
/// not whole.
std::shared_ptr<const CpuKernel> LoadCpuKernel(const Artifact& artifact);

}  // namespace gemmsmith
