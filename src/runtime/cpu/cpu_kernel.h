#pragma once

#include <memory>

#include "artifact.h"
#include "gemmsmith/kernel.h"
#include "kernels/cpu_gemm.h"

namespace gemmsmith {

/// Loads the part "x86" or "builtin" of an artifact. Kernel::Launch takes one argument, a CpuGemmParams, and returns
/// when D is complete. Throws kDevice where this CPU cannot run the code, or the part is not whole.
class CpuKernel;
std::shared_ptr<const CpuKernel> LoadCpuKernel(const Artifact& artifact);

class CpuKernel : public Kernel {
 public:
  /// The entries themselves, for tests and benchmarks.
  virtual const MicroKernelSet& entries() const = 0;
};

}  // namespace gemmsmith
