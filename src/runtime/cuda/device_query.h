#pragma once

#include <cstdint>
#include <vector>

#include "gemmsmith/kernel.h"
#include "gemmsmith/target.h"
#include "runtime/cuda/context.h"

namespace gemmsmith::cuda {

/// What a launch on the device may ask for.
struct LaunchLimits {
  std::uint32_t threads_per_block = 0;
  Dim3 block, grid;
  std::uint32_t shared_bytes = 0;        ///< Static and dynamic, per block, after opting in.
  std::uint32_t blocks_per_cluster = 1;  ///< 8 is what every device with clusters takes.
};

/// The targets whose code a GPU of compute capability major.minor loads, best first: its own, with the feature sets
/// that only it has; then those of the same major and a lower minor version. A GPU newer than every target gets,
/// through the driver's compiler, what runs anywhere.
std::vector<CodeTarget> CompatibleTargets(int major, int minor);

/// CompatibleTargets of the device. Throws kUnsupported if there are none.
std::vector<CodeTarget> QueryTargets(const CudaContext& context);
/// From the driver, and from the row of devices.json that comes nearest for what the driver does not tell.
DeviceSpec QueryDeviceSpec(const CudaContext& context, const CodeTarget& target);
LaunchLimits QueryLaunchLimits(const CudaContext& context);

}  // namespace gemmsmith::cuda
