#include "runtime/emulator/numeric/conversions.h"

#include <array>

namespace gemmsmith::emulator {
namespace {

template <class Value, std::size_t kSize>
using Table = std::array<Value, kSize>;

/// Every value of a narrow format in a wider one.
template <std::size_t kSize>
constexpr Table<std::uint32_t, kSize> Widened(const FloatFormat& from, const FloatFormat& to) {
  Table<std::uint32_t, kSize> values{};
  for (std::size_t i = 0; i < kSize; ++i)
    values[i] = static_cast<std::uint32_t>(Reformat(from, to, i, Rounding::kNearest));
  return values;
}
constexpr auto kE4m3 = Widened<256>(kE4m3Format, kF32Format), kE5m2 = Widened<256>(kE5m2Format, kF32Format);
constexpr auto kE4m3Half = Widened<256>(kE4m3Format, kF16Format), kE5m2Half = Widened<256>(kE5m2Format, kF16Format);
constexpr auto kE2m1 = Widened<16>(kE2m1Format, kF32Format);
constexpr auto kE2m3 = Widened<64>(kE2m3Format, kF32Format), kE3m2 = Widened<64>(kE3m2Format, kF32Format);

}  // namespace

float E4m3ToF32(std::uint8_t bits) { return F32FromBits(kE4m3[bits]); }
float E5m2ToF32(std::uint8_t bits) { return F32FromBits(kE5m2[bits]); }
std::uint16_t E4m3ToF16(std::uint8_t bits) { return static_cast<std::uint16_t>(kE4m3Half[bits]); }
std::uint16_t E5m2ToF16(std::uint8_t bits) { return static_cast<std::uint16_t>(kE5m2Half[bits]); }
float E2m1ToF32(std::uint8_t bits) { return F32FromBits(kE2m1[bits & 15]); }
float E2m3ToF32(std::uint8_t bits) { return F32FromBits(kE2m3[bits & 63]); }
float E3m2ToF32(std::uint8_t bits) { return F32FromBits(kE3m2[bits & 63]); }

std::uint8_t F32ToUe8m0(float value, Rounding rounding, bool finite) {
  const std::uint32_t magnitude = F32Bits(value) & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return 255;
  if (magnitude == 0x7f800000u) return finite ? 254 : 255;
  // Below 2^-126 the field holds 0, which means 2^-127: everything up to that rounds to it.
  const std::uint32_t exponent = magnitude >> 23, mantissa = magnitude & 0x7fffff;
  const bool above = exponent == 0 ? mantissa > 0x400000 : mantissa != 0;
  const std::uint32_t rounded = exponent + (rounding == Rounding::kUp && above);
  return static_cast<std::uint8_t>(rounded == 255 && finite ? 254 : rounded);
}

}  // namespace gemmsmith::emulator
