#pragma once

#include <memory>

#include "artifact.h"
#include "gemmsmith/kernel.h"
#include "kernels/cpu_gemm.h"
#include "runtime/cpu/gemm_driver.h"

namespace gemmsmith {

/// A loaded kernel. Launch takes one argument, a CpuGemmParams, and returns when D is complete.
class CpuKernel : public Kernel {
 public:
  /// The entries themselves, for tests and benchmarks.
  virtual const MicroKernelSet& entries() const = 0;
  /// A launch with these parameters made ready, if it is a small one. Must not outlive this. Throws as Launch.
  virtual std::unique_ptr<const SmallGemm> Record(const CpuGemmParams& params) const = 0;
};

/// Loads the part "x86" or "builtin" of an artifact. Throws kDevice where this CPU cannot run the code, or the part is
/// not whole.
std::shared_ptr<const CpuKernel> LoadCpuKernel(const Artifact& artifact);

}  // namespace gemmsmith
