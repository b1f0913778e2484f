#pragma once

#include "gemmsmith/dtype.h"
#include "runtime/emulator/isa/map.h"

namespace gemmsmith::emulator {

// 16-bit floats as f32 and back. Exact one way; to nearest even the other.
float ToFloat(HalfBits x);
inline float ToFloat(BrainBits x) { return std::bit_cast<float>(static_cast<std::uint32_t>(x.bits) << 16); }

/// Of the exact value, or of one that was rounded to odd.
template <class H>
H Rounded(double x);

}  // namespace gemmsmith::emulator
