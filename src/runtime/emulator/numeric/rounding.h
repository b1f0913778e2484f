#pragma once

#include <bit>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <utility>

namespace gemmsmith::emulator {

/// PTX: .rn, .rz, .rp, .rm, .rna.
enum class Rounding { kNearest, kZero, kUp, kDown, kNearestAway };

/// What the largest exponent of a format holds besides numbers.
enum class Specials {
  kInfinityAndNan,  ///< IEEE: all of it. f16, bf16, tf32, e5m2.
  kNan,             ///< NaN where all bits are ones, numbers otherwise. e4m3.
  kNone,            ///< Numbers alone. e2m1, e2m3, e3m2.
};

struct FloatFormat {
  int exponent_bits, mantissa_bits;
  Specials specials = Specials::kInfinityAndNan;

  constexpr int bias() const { return (1 << (exponent_bits - 1)) - 1; }
  constexpr int lowest_exponent() const { return 1 - bias(); }
  constexpr std::uint64_t sign() const { return std::uint64_t{1} << (exponent_bits + mantissa_bits); }
  /// The bits of +infinity; for formats without it, those of the largest exponent.
  constexpr std::uint64_t infinity() const { return ((std::uint64_t{1} << exponent_bits) - 1) << mantissa_bits; }
  /// Canonical: all ones but for the sign (PTX ISA, "Floating Point Instructions").
  constexpr std::uint64_t nan() const { return sign() - 1; }
  constexpr std::uint64_t largest() const {
    if (specials == Specials::kInfinityAndNan) return infinity() - 1;
    return specials == Specials::kNan ? sign() - 2 : sign() - 1;
  }
};
inline constexpr FloatFormat kF64Format{11, 52}, kF32Format{8, 23}, kTf32Format{8, 10}, kF16Format{5, 10},
    kBf16Format{8, 7}, kE5m2Format{5, 2}, kE4m3Format{4, 3, Specials::kNan}, kE3m2Format{3, 2, Specials::kNone},
    kE2m3Format{2, 3, Specials::kNone}, kE2m1Format{2, 1, Specials::kNone};

/// `units` + `rest` / 2^`shift` rounded to an integer. 0 < shift; from 64 on `rest` is all there is of the value.
constexpr std::uint64_t RoundUnits(bool negative, std::uint64_t units, std::uint64_t rest, int shift,
                                   Rounding rounding) {
  // Above 64 bits nothing reaches the half any more.
  const std::uint64_t half = shift > 64 ? ~std::uint64_t{0} : std::uint64_t{1} << (shift - 1);
  bool up = false;
  switch (rounding) {
    case Rounding::kNearest:
      up = shift <= 64 && (rest > half || (rest == half && (units & 1) != 0));
      break;
    case Rounding::kNearestAway:
      up = shift <= 64 && rest >= half;
      break;
    case Rounding::kZero:
      break;
    case Rounding::kUp:
      up = !negative && rest != 0;
      break;
    case Rounding::kDown:
      up = negative && rest != 0;
      break;
  }
  return units + up;
}

/// The bits of a value beyond the largest: infinity, or the largest where the rounding leads towards zero or the
/// instruction saturates (.satfinite).
constexpr std::uint64_t Overflow(const FloatFormat& format, bool negative, Rounding rounding, bool finite) {
  const bool inwards = rounding == Rounding::kZero || rounding == (negative ? Rounding::kUp : Rounding::kDown);
  if (finite || inwards || format.specials == Specials::kNone) return format.largest();
  return format.specials == Specials::kInfinityAndNan ? format.infinity() : format.nan();
}

/// The bits of ±`significand` * 2^`exponent` in `format`, rounded once. `finite`: .satfinite.
constexpr std::uint64_t Encode(const FloatFormat& format, bool negative, std::uint64_t significand, int exponent,
                               Rounding rounding, bool finite = false) {
  const std::uint64_t sign = negative ? format.sign() : 0;
  if (significand == 0) return sign;
  const int top = exponent + 63 - std::countl_zero(significand);
  const int scale = top > format.lowest_exponent() ? top : format.lowest_exponent();
  const int shift = scale - format.mantissa_bits - exponent;  // the bits of the significand that do not fit
  if (scale > format.bias() + 1) return sign | Overflow(format, negative, rounding, finite);
  std::uint64_t units = 0;
  if (shift <= 0) {
    units = significand << -shift;
  } else {
    units = shift < 64 ? significand >> shift : 0;
    const std::uint64_t rest = shift < 64 ? significand & ((std::uint64_t{1} << shift) - 1) : significand;
    units = RoundUnits(negative, units, rest, shift, rounding);
  }
  // Added, not or-ed: a carry out of the mantissa raises the exponent, and makes a subnormal normal.
  const auto base = static_cast<std::uint64_t>(scale - format.lowest_exponent()) << format.mantissa_bits;
  const std::uint64_t bits = base + units;
  return sign | (bits > format.largest() ? Overflow(format, negative, rounding, finite) : bits);
}

/// A finite number taken apart: ±significand * 2^exponent.
struct Unpacked {
  bool negative;
  std::uint64_t significand;
  int exponent;
};
constexpr Unpacked Unpack(const FloatFormat& format, std::uint64_t bits) {
  const std::uint64_t field = (bits & (format.sign() - 1)) >> format.mantissa_bits;
  const std::uint64_t mantissa = bits & ((std::uint64_t{1} << format.mantissa_bits) - 1);
  const std::uint64_t hidden = field != 0 ? std::uint64_t{1} << format.mantissa_bits : 0;
  return {(bits & format.sign()) != 0, mantissa | hidden,
          (field != 0 ? static_cast<int>(field) - 1 : 0) + format.lowest_exponent() - format.mantissa_bits};
}

/// From one format to another, rounded once; NaN becomes the canonical NaN, or the largest number where there is none.
constexpr std::uint64_t Reformat(const FloatFormat& from, const FloatFormat& to, std::uint64_t bits, Rounding rounding,
                                 bool finite = false) {
  const std::uint64_t magnitude = bits & (from.sign() - 1);
  const bool negative = (bits & from.sign()) != 0;
  if (from.specials == Specials::kInfinityAndNan && magnitude >= from.infinity()) {
    if (magnitude > from.infinity()) return to.specials == Specials::kNone ? to.largest() : to.nan();
    return (negative ? to.sign() : 0) | Overflow(to, negative, Rounding::kNearest, finite);
  }
  if (from.specials == Specials::kNan && magnitude == from.nan())
    return to.specials == Specials::kNone ? to.largest() : to.nan();
  const Unpacked value = Unpack(from, bits);
  return Encode(to, negative, value.significand, value.exponent, rounding, finite);
}

/// `value` as an integer of its own type.
template <std::floating_point Float>
inline Float RoundToIntegral(Float value, Rounding rounding) {
  switch (rounding) {
    case Rounding::kNearest:
      return std::nearbyint(value);
    case Rounding::kZero:
      return std::trunc(value);
    case Rounding::kUp:
      return std::ceil(value);
    case Rounding::kDown:
      return std::floor(value);
    case Rounding::kNearestAway:
      return std::round(value);
  }
  return value;
}

/// cvt.<integer>.<float>: out of range gives the nearest limit. NaN gives 0 where the source is no f64 and the
/// destination not 64 bits wide, and its highest bit alone otherwise (PTX ISA, cvt).
template <std::integral Integer, std::floating_point Float>
inline Integer ToInteger(Float value, Rounding rounding) {
  using Limits = std::numeric_limits<Integer>;
  if (value != value) {
    const bool zero = sizeof(Float) < 8 && sizeof(Integer) < 8;
    return zero ? Integer{0} : static_cast<Integer>(std::make_unsigned_t<Integer>{1} << (sizeof(Integer) * 8 - 1));
  }
  const Float whole = rounding == Rounding::kZero ? value : RoundToIntegral(value, rounding);
  // 2^digits: the first power of two above, which every floating type has exactly; the limit itself it may not have.
  const Float above = static_cast<Float>(Limits::max() / 2 + 1) * 2;
  if (whole >= above) return Limits::max();
  if (whole <= static_cast<Float>(Limits::min())) return Limits::min();
  return static_cast<Integer>(whole);
}

/// cvt.<float>.<integer> into any format, rounded once.
template <std::integral Integer>
constexpr std::uint64_t FromInteger(const FloatFormat& format, Integer value, Rounding rounding, bool finite = false) {
  const bool negative = std::signed_integral<Integer> && value < 0;
  const auto wide = static_cast<std::uint64_t>(value);  // sign-extended, so that its negative is the magnitude
  return Encode(format, negative, negative ? 0 - wide : wide, 0, rounding, finite);
}

/// cvt.<integer>.<integer>, with .sat: clamped to the destination's range.
template <std::integral To, std::integral From>
constexpr To SaturateInteger(From value) {
  if (std::cmp_less(value, std::numeric_limits<To>::min())) return std::numeric_limits<To>::min();
  if (std::cmp_greater(value, std::numeric_limits<To>::max())) return std::numeric_limits<To>::max();
  return static_cast<To>(value);
}

}  // namespace gemmsmith::emulator
