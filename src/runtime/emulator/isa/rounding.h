#pragma once

#include <cfenv>
#include <cmath>
#include <limits>
#include <type_traits>

#include "runtime/emulator/isa/row.h"

namespace gemmsmith::emulator {

/// The rounding of an instruction for as long as it lives. What is computed under it must pass through Opaque, lest the
/// compiler move it out.
class RoundingMode {
 public:
  explicit RoundingMode(int mode) : old_(std::fegetround()) { std::fesetround(mode); }
  ~RoundingMode() { std::fesetround(old_); }
  RoundingMode(const RoundingMode&) = delete;
  RoundingMode& operator=(const RoundingMode&) = delete;

 private:
  int old_;
};

template <class T>
inline T Opaque(T value) {
  volatile T kept = value;
  return kept;
}

/// .rz, .rm, .rp, else .rn; .rzi and the like are the same to an integer.
inline int RoundingOf(const Form& form) {
  if (form.Has("rz") || form.Has("rzi")) return FE_TOWARDZERO;
  if (form.Has("rm") || form.Has("rmi")) return FE_DOWNWARD;
  return form.Has("rp") || form.Has("rpi") ? FE_UPWARD : FE_TONEAREST;
}

/// Denormals become zeros of their sign.
inline float Flushed(float x) { return std::abs(x) < std::numeric_limits<float>::min() ? std::copysign(0.0f, x) : x; }
inline double Flushed(double x) { return x; }

/// To [0, 1]; NaN to 0.
template <class T>
T Clamped(T x) {
  return x > T{0} ? (x < T{1} ? x : T{1}) : T{0};
}

/// The one NaN that single-precision instructions make; those of double precision keep what the host makes.
inline float Canonical(float x) { return x != x ? std::bit_cast<float>(0x7fffffffu) : x; }
inline double Canonical(double x) { return x; }

}  // namespace gemmsmith::emulator
