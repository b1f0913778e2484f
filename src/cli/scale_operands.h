#pragma once

#include <cstdint>

#include "cli/device_memory.h"
#include "gemmsmith/args.h"

namespace gemmsmith::cli {

/// Random factors, around 1, for a problem whose operands are scaled.
class ScaleOperands {
 public:
  ScaleOperands(Engine& engine, DeviceId device, const GemmProblem& problem, std::uint64_t seed);
  ScaleOperands(const ScaleOperands&) = delete;
  ScaleOperands& operator=(const ScaleOperands&) = delete;

  /// The tensors as the device and as the host see them.
  const ScaleArgs& device() const { return device_args_; }
  const ScaleArgs& host() const { return host_args_; }

 private:
  DeviceMemory a_, b_;
  ScaleArgs device_args_, host_args_;
};

}  // namespace gemmsmith::cli
