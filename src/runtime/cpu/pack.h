#pragma once

#include <cstdint>

#include "kernels/cpu_gemm.h"

namespace gemmsmith {

/// Copies `k` slices of `width` elements into a panel (ceil(k / group), panel) of units, contiguous and zero beyond
/// `width` and `k`. Element `i` of slice `p` comes from source + (i * width_stride + p * k_stride) elements; one of the
/// strides must be 1 (or its extent is 1). `sums`: (panel) gets the sums of the panel's columns added; of kB and fours
/// only, else null.
using PackPanel = void (*)(const void* source, std::int64_t width_stride, std::int64_t k_stride, std::int64_t width,
                           std::int64_t panel, std::int64_t k, void* packed, std::int32_t* sums);

/// What is packed. kAFlipped: 8-bit integers with the top bit flipped, which makes s8 + 128 of s8, u8 - 128 of u8.
/// kAOfDots: elements as they are, in units of one.
enum class PackSide : std::uint8_t { kA, kAFlipped, kAOfDots, kB };

/// The fastest for this CPU, of elements stored as `stored`.
PackPanel FindPackPanel(DType stored, CpuMath math, PackSide side);
/// For any CPU.
PackPanel FindPortablePackPanel(DType stored, CpuMath math, PackSide side);
/// For CPUs with AVX2 and F16C: f32, f64, s16. Null: the portable one serves.
PackPanel FindAvx2PackPanel(DType stored, CpuMath math, PackSide side);
/// For CPUs with AVX-512 and VNNI: bf16, u8s8, s8u8. Null: the portable one serves.
PackPanel FindAvx512PackPanel(DType stored, CpuMath math, PackSide side);

}  // namespace gemmsmith
