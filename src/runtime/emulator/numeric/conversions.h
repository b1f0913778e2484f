#pragma once

#include <bit>
#include <cstdint>

#include "runtime/emulator/numeric/rounding.h"

namespace gemmsmith::emulator {

// The conversions of the PTX ISA, "cvt". Those that kernels use most come without branches, so that loops over 32 lanes
// become vector code; the rest goes through Reformat. Rounding happens once, from the source's exact value.

inline float F32FromBits(std::uint32_t bits) { return std::bit_cast<float>(bits); }
inline std::uint32_t F32Bits(float value) { return std::bit_cast<std::uint32_t>(value); }

/// Exact; NaN becomes the canonical NaN.
inline float F16ToF32(std::uint16_t half) {
  const std::uint32_t magnitude = half & 0x7fffu, sign = static_cast<std::uint32_t>(half & 0x8000u) << 16;
  // Multiplying by 2^112 moves the exponent from one bias to the other, subnormals included.
  const std::uint32_t scaled = F32Bits(F32FromBits(magnitude << 13) * 0x1p112f);
  const std::uint32_t infinite = magnitude >= 0x7c00 ? 0x7f800000u : scaled;
  return F32FromBits(magnitude > 0x7c00 ? 0x7fffffffu : infinite | sign);
}
/// Exact, NaN payloads included: the upper half of an f32.
inline float Bf16ToF32(std::uint16_t brain) { return F32FromBits(static_cast<std::uint32_t>(brain) << 16); }
float E4m3ToF32(std::uint8_t bits);
float E5m2ToF32(std::uint8_t bits);
std::uint16_t E4m3ToF16(std::uint8_t bits);
std::uint16_t E5m2ToF16(std::uint8_t bits);
/// The low 4 or 6 bits.
float E2m1ToF32(std::uint8_t bits);
float E2m3ToF32(std::uint8_t bits);
float E3m2ToF32(std::uint8_t bits);
/// 2^(bits - 127); 255 is NaN.
inline float Ue8m0ToF32(std::uint8_t bits) {
  if (bits == 255) return F32FromBits(0x7fffffff);
  return F32FromBits(bits == 0 ? 0x00400000u : static_cast<std::uint32_t>(bits) << 23);
}

/// Nearest even; NaN becomes 0x7fff, and values too large become infinity.
inline std::uint16_t F32ToF16(float value) {
  const std::uint32_t bits = F32Bits(value), magnitude = bits & 0x7fffffffu, sign = (bits >> 16) & 0x8000u;
  const std::uint32_t normal = ((magnitude + 0xfffu + ((magnitude >> 13) & 1)) >> 13) - (112u << 10);
  // One unit of [0.5, 1) is the smallest f16: the addition rounds to it.
  const std::uint32_t subnormal = F32Bits(F32FromBits(magnitude) + 0.5f) - F32Bits(0.5f);
  std::uint32_t half = magnitude < 0x38800000u ? subnormal : normal;
  half = magnitude >= 0x477ff000u ? 0x7c00u : half;
  return static_cast<std::uint16_t>(magnitude > 0x7f800000u ? 0x7fffu : half | sign);
}
/// Nearest even; NaN becomes 0x7fff.
inline std::uint16_t F32ToBf16(float value) {
  const std::uint32_t bits = F32Bits(value);
  const std::uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1)) >> 16;
  return static_cast<std::uint16_t>((bits & 0x7fffffffu) > 0x7f800000u ? 0x7fffu : rounded);
}
inline std::uint16_t F32ToF16(float value, Rounding rounding, bool finite = false) {
  return static_cast<std::uint16_t>(Reformat(kF32Format, kF16Format, F32Bits(value), rounding, finite));
}
inline std::uint16_t F32ToBf16(float value, Rounding rounding, bool finite = false) {
  return static_cast<std::uint16_t>(Reformat(kF32Format, kBf16Format, F32Bits(value), rounding, finite));
}

/// A tf32 is kept as an f32 whose low 13 bits are zero.
inline float F32ToTf32(float value, Rounding rounding, bool finite = false) {
  const auto bits = static_cast<std::uint32_t>(Reformat(kF32Format, kTf32Format, F32Bits(value), rounding, finite));
  return F32FromBits((bits & 0x7ffff) == kTf32Format.nan() ? 0x7fffffffu : bits << 13);
}
/// What a tensor core sees of an f32 that was not converted: the upper 19 bits.
inline float TruncateToTf32(float value) { return F32FromBits(F32Bits(value) & 0xffffe000u); }

// .satfinite is not optional for these (PTX ISA, cvt).
inline std::uint8_t F32ToE4m3(float value) {
  return static_cast<std::uint8_t>(Reformat(kF32Format, kE4m3Format, F32Bits(value), Rounding::kNearest, true));
}
inline std::uint8_t F32ToE5m2(float value) {
  return static_cast<std::uint8_t>(Reformat(kF32Format, kE5m2Format, F32Bits(value), Rounding::kNearest, true));
}
inline std::uint8_t F32ToE2m1(float value) {
  return static_cast<std::uint8_t>(Reformat(kF32Format, kE2m1Format, F32Bits(value), Rounding::kNearest, true));
}
inline std::uint8_t F32ToE2m3(float value) {
  return static_cast<std::uint8_t>(Reformat(kF32Format, kE2m3Format, F32Bits(value), Rounding::kNearest, true));
}
inline std::uint8_t F32ToE3m2(float value) {
  return static_cast<std::uint8_t>(Reformat(kF32Format, kE3m2Format, F32Bits(value), Rounding::kNearest, true));
}
/// The power of two of |value|, rounded towards zero or, with kUp, away from it. Without `finite` what is too large
/// becomes NaN.
std::uint8_t F32ToUe8m0(float value, Rounding rounding, bool finite);

inline std::uint16_t F64ToF16(double value, Rounding rounding) {
  return static_cast<std::uint16_t>(
      Reformat(kF64Format, kF16Format, std::bit_cast<std::uint64_t>(value), rounding, false));
}
inline std::uint16_t F64ToBf16(double value, Rounding rounding) {
  return static_cast<std::uint16_t>(
      Reformat(kF64Format, kBf16Format, std::bit_cast<std::uint64_t>(value), rounding, false));
}
inline float F64ToF32(double value, Rounding rounding) {
  if (rounding == Rounding::kNearest && value == value) return static_cast<float>(value);
  return F32FromBits(static_cast<std::uint32_t>(
      Reformat(kF64Format, kF32Format, std::bit_cast<std::uint64_t>(value), rounding, false)));
}

/// .sat of a floating-point result: into [0, 1], NaN to +0.
inline float Saturate(float value) { return value > 0 ? (value < 1 ? value : 1.0f) : 0.0f; }
inline double Saturate(double value) { return value > 0 ? (value < 1 ? value : 1.0) : 0.0; }
/// .ftz: subnormals become zero of the same sign.
inline float FlushToZero(float value) {
  const std::uint32_t bits = F32Bits(value);
  return F32FromBits((bits & 0x7f800000u) == 0 ? bits & 0x80000000u : bits);
}
/// .relu of a conversion: negative values become +0, NaN stays NaN.
inline float Relu(float value) { return (value != value) || value > 0 ? value : 0.0f; }

}  // namespace gemmsmith::emulator
