#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "kernels/cpu_gemm.h"

namespace gemmsmith {

/// Runs the loops around the micro-kernels: D = alpha * A * B + beta * C for every matrix of the batch, to the end.
/// Results do not depend on the number of threads, nor on timing. Any number of callers at once.
void RunGemm(const MicroKernelSet& kernels, const CpuGemmParams& params);

/// Where the operands of a call lie, and what its sums are multiplied by.
struct CpuOperands {
  const void* a;
  const void* b;
  const void* c;
  void* d;
  double alpha, beta;
  const void* alpha_pointer = nullptr;  ///< As CpuGemmParams::alpha_pointer.
  const void* beta_pointer = nullptr;
};

/// What RunGemm would do, where that is a few calls of micro-kernels: the calls themselves, in a part for each thread.
/// A product that takes a hundred nanoseconds spends half of them on finding these.
class SmallGemm {
 public:
  struct TileCall {
    MicroKernel kernel;
    MicroKernelArgs args;
  };

  /// Null where it is more than that: many tiles, copies, an epilogue, sums of nothing. The code must outlive this.
  static std::unique_ptr<const SmallGemm> Record(const MicroKernelSet& kernels, const CpuGemmParams& params);
  ~SmallGemm();

  /// With the operands that it was recorded with. Thread-safe, as the other.
  void Run() const {
    if (ends_.size() > 1) return RunThreads(nullptr);
    for (const TileCall& call : calls_) call.kernel(&call.args);
  }
  /// With others, of the same shapes and strides.
  void Run(const CpuOperands& operands) const;
  /// Recorded anew, for these operands.
  std::unique_ptr<const SmallGemm> At(const CpuOperands& operands) const;

 private:
  static constexpr std::int64_t kMostCalls = 64;
  struct Made;
  SmallGemm();
  /// Null: as recorded.
  void RunThreads(const CpuOperands* operands) const;
  std::unique_ptr<Made> made_;  ///< What the calls point to.
  std::vector<TileCall> calls_;
  std::vector<std::size_t> ends_;  ///< Of the part of each thread.
};

}  // namespace gemmsmith
