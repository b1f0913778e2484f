#pragma once

#include <cstdint>
#include <memory>

#include "gemmsmith/device.h"
#include "gemmsmith/tensor.h"
#include "kernels/cpu_gemm.h"

namespace gemmsmith {

std::unique_ptr<Device> MakeCpuDevice();

/// Writes B (k, n), or (batch, k, n), in the form that micro-kernels read: form.bytes(k, n) per matrix.
void PackB(const Tensor& b, const PackedForm& form, void* packed);

}  // namespace gemmsmith
