#pragma once

#include <memory>

#include "artifact.h"
#include "runtime/cuda/context.h"
#include "runtime/cuda/device_query.h"

namespace gemmsmith::cuda {

/// Loads the cubin of `artifact`, or, where this GPU or driver cannot take it, its PTX through the driver's compiler.
/// Throws kInvalidArgument for code that is not CUDA's, kDevice for what the driver refuses.
std::shared_ptr<const Kernel> LoadKernel(std::shared_ptr<const CudaContext> context, const LaunchLimits& limits,
                                         const Artifact& artifact);

}  // namespace gemmsmith::cuda
