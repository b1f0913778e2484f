#pragma once

#include <cstdint>
#include <memory>

#include "gemmsmith/device.h"
#include "gemmsmith/tensor.h"

namespace gemmsmith {

std::unique_ptr<Device> MakeCpuDevice();

/// Writes B (k, n), or (batch, k, n), into column panels of width `nr`: PackedBElements(k, n, nr) elements per matrix.
/// Throws kUnsupported for dtypes without CPU kernels.
void PackB(const Tensor& b, std::int64_t nr, void* packed);

}  // namespace gemmsmith
