#pragma once

#include <cstdint>

#include "cli/device_memory.h"
#include "gemmsmith/args.h"

namespace gemmsmith::cli {

/// Random groups (FillGroups) for a grouped problem.
class GroupOperands {
 public:
  GroupOperands(Engine& engine, DeviceId device, const GemmProblem& problem, std::uint64_t seed);
  GroupOperands(const GroupOperands&) = delete;
  GroupOperands& operator=(const GroupOperands&) = delete;

  /// The tensor as the device and as the host see it.
  const GroupArgs& device() const { return device_args_; }
  const GroupArgs& host() const { return host_args_; }

 private:
  DeviceMemory memory_;
  GroupArgs device_args_, host_args_;
};

}  // namespace gemmsmith::cli
