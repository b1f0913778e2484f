#pragma once

#include "gemmsmith/engine.h"

namespace gemmsmith::python {

/// engine.Gemm on a device that no array lies on: all operands are on the host, and copied there and back.
void MultiplyOn(Device& device, Engine& engine, const GemmArgs& args, ComputeMode compute);

}  // namespace gemmsmith::python
