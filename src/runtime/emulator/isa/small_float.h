#pragma once

#include "runtime/emulator/isa/map.h"
#include "runtime/emulator/numeric/conversions.h"

namespace gemmsmith::emulator {

// 16-bit floats as f32, exactly, and back.
inline float ToFloat(HalfBits x) { return F16ToF32(x.bits); }
inline float ToFloat(BrainBits x) { return Bf16ToF32(x.bits); }
inline void FromFloat(float value, HalfBits& out) { out.bits = F32ToF16(value); }
inline void FromFloat(float value, BrainBits& out) { out.bits = F32ToBf16(value); }
inline void FromDouble(double value, HalfBits& out) { out.bits = F64ToF16(value, Rounding::kNearest); }
inline void FromDouble(double value, BrainBits& out) { out.bits = F64ToBf16(value, Rounding::kNearest); }

inline Rounding RoundingOf(const Form& form, Rounding otherwise) {
  if (form.Has("rn") || form.Has("rni")) return Rounding::kNearest;
  if (form.Has("rz") || form.Has("rzi")) return Rounding::kZero;
  if (form.Has("rm") || form.Has("rmi")) return Rounding::kDown;
  if (form.Has("rp") || form.Has("rpi")) return Rounding::kUp;
  return form.Has("rna") ? Rounding::kNearestAway : otherwise;
}

}  // namespace gemmsmith::emulator
