#pragma once

#include <memory>
#include <utility>

#include "gemmsmith/args.h"
#include "kernels/family.h"
#include "runtime/cpu/gemm_driver.h"

namespace gemmsmith {

/// The launch of a plan on a CPU that is a few calls of micro-kernels.
class SmallCall {
 public:
  /// That of `step`, with scalars and operands yet to come; null where it is more than that. The kernel must outlive
  /// this.
  static std::unique_ptr<const SmallCall> Record(const LaunchStep& step, const Kernel& kernel, const Device& device);

  /// As a launch of the step with these operands, a and b as the arguments name them. Thread-safe.
  void Run(const CpuOperands& operands) const { gemm_->Run(InOrder(operands)); }
  /// The same for these alone; may be null.
  std::shared_ptr<const SmallGemm> At(const CpuOperands& operands) const { return gemm_->At(InOrder(operands)); }

  static CpuOperands OperandsOf(const GemmArgs& args) {
    return {args.a.data,
            args.b.data,
            args.c.given() ? args.c.data : args.d.data,
            args.d.data,
            args.alpha.value,
            args.beta.value,
            args.alpha.device_pointer,
            args.beta.device_pointer};
  }

 private:
  SmallCall(std::unique_ptr<const SmallGemm> gemm, bool exchanges) : gemm_(std::move(gemm)), exchanges_(exchanges) {}
  CpuOperands InOrder(CpuOperands operands) const {
    if (exchanges_) std::swap(operands.a, operands.b);
    return operands;
  }
  const std::unique_ptr<const SmallGemm> gemm_;
  const bool exchanges_;  ///< The kernel's A is the args' b.
};

}  // namespace gemmsmith
