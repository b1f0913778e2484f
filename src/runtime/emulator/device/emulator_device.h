#pragma once

#include <memory>

#include "gemmsmith/device.h"
#include "runtime/emulator/machine/launch.h"

namespace gemmsmith::emulator {

/// A CUDA device of the architecture `target` that executes PTX on the CPU. Every call has run to its end when it
/// returns. Throws kUnsupported for a target that is not CUDA's.
std::unique_ptr<Device> MakeDevice(const CodeTarget& target);
/// Not as the environment says, but so.
std::unique_ptr<Device> MakeDevice(const CodeTarget& target, const RunOptions& options);

}  // namespace gemmsmith::emulator
