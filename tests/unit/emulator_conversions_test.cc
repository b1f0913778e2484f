#include "runtime/emulator/numeric/conversions.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cfenv>
#include <cmath>
#include <random>
#include <vector>

#include "gemmsmith/dtype.h"

namespace gemmsmith::emulator {
namespace {

constexpr Rounding kAllRoundings[] = {Rounding::kNearest, Rounding::kZero, Rounding::kUp, Rounding::kDown,
                                      Rounding::kNearestAway};
const float kInf = std::numeric_limits<float>::infinity(), kNan = std::numeric_limits<float>::quiet_NaN();

/// f32 of all magnitudes: random bits, and neighbours of what lies on or halfway between values of narrow formats.
std::vector<float> Samples(int count) {
  std::mt19937 random(7);
  std::vector<float> values{0.0f, -0.0f, kInf, -kInf, kNan, 1.0f, -1.0f, 448.0f, 464.0f, 480.0f, 57344.0f, 61440.0f};
  for (float edge : {65504.0f, 65519.0f, 65520.0f, 0x1p-24f, 0x1p-25f, 0x1.8p-25f, 0x1p-149f, 0x1.fffffep127f, 6.0f})
    for (float sign : {1.0f, -1.0f}) {
      values.insert(values.end(), {sign * edge, sign * std::nextafter(edge, 0.0f), sign * std::nextafter(edge, kInf)});
    }
  for (int i = 0; i < count; ++i) {
    const std::uint32_t bits = random();
    values.push_back(F32FromBits(bits));
    values.push_back(F32FromBits(bits & 0xfffff000u));                                     // ties of f16 and tf32
    values.push_back(F32FromBits((bits & 0x80ffffffu) | ((0x68 + random() % 32) << 23)));  // within reach of f16, fp8
    values.push_back(F32FromBits((bits & 0x80f80000u) | ((0x68 + random() % 32) << 23)));
  }
  return values;
}

/// The value of `format` that `value` rounds to, found by search among all of them: no arithmetic in common with
/// Encode.
class Reference {
 public:
  explicit Reference(const FloatFormat& format) : format_(format) {
    for (std::uint64_t bits = 0; bits <= format.largest(); ++bits) {
      const int field = static_cast<int>(bits >> format.mantissa_bits);
      const auto mantissa = static_cast<double>(bits & ((1u << format.mantissa_bits) - 1));
      const double fraction = std::ldexp(mantissa, -format.mantissa_bits);
      values_.push_back(field == 0 ? std::ldexp(fraction, format.lowest_exponent())
                                   : std::ldexp(1 + fraction, field - format.bias()));
    }
    beyond_ = std::ldexp(1.0, std::ilogb(values_.back()) - format.mantissa_bits) + values_.back();
  }
  double value(std::uint64_t bits) const { return values_[bits]; }

  std::uint64_t Round(double value, Rounding rounding, bool finite) const {
    if (std::isnan(value)) return format_.specials == Specials::kNone ? format_.largest() : format_.nan();
    const bool negative = std::signbit(value);
    const std::uint64_t sign = negative ? format_.sign() : 0;
    const double magnitude = std::fabs(value);
    const std::uint64_t infinity = format_.specials == Specials::kInfinityAndNan ? format_.infinity() : format_.nan();
    const std::uint64_t too_large = finite || format_.specials == Specials::kNone ? format_.largest() : infinity;
    if (std::isinf(value)) return sign | too_large;
    const auto above = std::lower_bound(values_.begin(), values_.end(), magnitude);
    if (above != values_.end() && *above == magnitude)
      return sign | static_cast<std::uint64_t>(above - values_.begin());
    const auto low = static_cast<std::uint64_t>(above - values_.begin()) - 1;
    const double high_value = above == values_.end() ? beyond_ : *above;
    const std::uint64_t high = above == values_.end() ? too_large : low + 1;
    const bool outwards = rounding == (negative ? Rounding::kDown : Rounding::kUp);
    if (rounding == Rounding::kZero || rounding == (negative ? Rounding::kUp : Rounding::kDown)) return sign | low;
    if (outwards) return sign | high;
    const double to_low = magnitude - values_[low], to_high = high_value - magnitude;
    if (to_low == to_high) return sign | (rounding == Rounding::kNearestAway || (low & 1) != 0 ? high : low);
    return sign | (to_low < to_high ? low : high);
  }

 private:
  FloatFormat format_;
  std::vector<double> values_;
  double beyond_;
};

struct Named {
  const char* name;
  FloatFormat format;
};
class NarrowFormat : public ::testing::TestWithParam<Named> {};
INSTANTIATE_TEST_SUITE_P(All, NarrowFormat,
                         ::testing::Values(Named{"f16", kF16Format}, Named{"bf16", kBf16Format},
                                           Named{"tf32", kTf32Format}, Named{"e5m2", kE5m2Format},
                                           Named{"e4m3", kE4m3Format}, Named{"e3m2", kE3m2Format},
                                           Named{"e2m3", kE2m3Format}, Named{"e2m1", kE2m1Format}),
                         [](const auto& info) { return info.param.name; });

TEST_P(NarrowFormat, EveryRoundingOfSampledF32IsTheNeighbourThatItShouldBe) {
  const FloatFormat& format = GetParam().format;
  const Reference reference(format);
  for (float value : Samples(4000))
    for (Rounding rounding : kAllRoundings)
      for (bool finite : {false, true})
        ASSERT_EQ(Reformat(kF32Format, format, F32Bits(value), rounding, finite),
                  reference.Round(value, rounding, finite))
            << value << " rounding " << static_cast<int>(rounding) << (finite ? " finite" : "");
}

TEST_P(NarrowFormat, EveryRoundingOfSampledF64IsTheNeighbourThatItShouldBe) {
  const FloatFormat& format = GetParam().format;
  const Reference reference(format);
  std::mt19937_64 random(11);
  for (float base : Samples(1000)) {
    // A little beside a value of f32: rounding by way of f32 would lose it.
    const double values[] = {base * (1 + 0x1p-40), base * (1 - 0x1p-40), std::bit_cast<double>(random())};
    for (double value : values)
      for (Rounding rounding : kAllRoundings)
        ASSERT_EQ(Reformat(kF64Format, format, std::bit_cast<std::uint64_t>(value), rounding),
                  reference.Round(value, rounding, false))
            << value << " rounding " << static_cast<int>(rounding);
  }
}

TEST_P(NarrowFormat, EveryValueSurvivesTheWayToF32AndF64AndBack) {
  const FloatFormat& format = GetParam().format;
  const Reference reference(format);
  for (std::uint64_t bits = 0; bits <= format.largest(); ++bits)
    for (const std::uint64_t sign : {std::uint64_t{0}, format.sign()}) {
      const std::uint64_t single = Reformat(format, kF32Format, sign | bits, Rounding::kZero);
      EXPECT_EQ(std::fabs(F32FromBits(static_cast<std::uint32_t>(single))), reference.value(bits));
      EXPECT_EQ(Reformat(kF32Format, format, single, Rounding::kZero), sign | bits);
      const std::uint64_t wide = Reformat(format, kF64Format, sign | bits, Rounding::kZero);
      EXPECT_EQ(Reformat(kF64Format, format, wide, Rounding::kZero), sign | bits);
    }
}

TEST(EmulatorConversions, QuickOnesOfAll16BitValuesEqualTheExactOnes) {
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    const auto narrow = static_cast<std::uint16_t>(bits);
    ASSERT_EQ(F32Bits(F16ToF32(narrow)), Reformat(kF16Format, kF32Format, bits, Rounding::kNearest)) << bits;
    const double expected = Decode(DType::kF16, &narrow, 0);
    ASSERT_TRUE(F16ToF32(narrow) == expected || (std::isnan(expected) && F32Bits(F16ToF32(narrow)) == 0x7fffffff));
    ASSERT_EQ(F32Bits(Bf16ToF32(narrow)), bits << 16);
    if ((bits & 0x7fff) <= 0x7c00) {
      ASSERT_EQ(F32ToF16(F16ToF32(narrow)), bits);
    }
    if ((bits & 0x7fff) <= 0x7f80) {
      ASSERT_EQ(F32ToBf16(Bf16ToF32(narrow)), bits);
    }
  }
}

TEST(EmulatorConversions, QuickRoundingToNearestEqualsTheExactOne) {
  for (float value : Samples(100'000)) {
    ASSERT_EQ(F32ToF16(value), F32ToF16(value, Rounding::kNearest)) << value;
    ASSERT_EQ(F32ToBf16(value), F32ToBf16(value, Rounding::kNearest)) << value;
  }
}

TEST(EmulatorConversions, EightBitFormatsAgreeWithTheLibrarysOwn) {
  for (int i = 0; i < 256; ++i) {
    const auto bits = static_cast<std::uint8_t>(i);
    const double e4m3 = Decode(DType::kE4m3, &bits, 0), e5m2 = Decode(DType::kE5m2, &bits, 0);
    EXPECT_TRUE(E4m3ToF32(bits) == e4m3 || (std::isnan(e4m3) && std::isnan(E4m3ToF32(bits)))) << i;
    EXPECT_TRUE(E5m2ToF32(bits) == e5m2 || (std::isnan(e5m2) && std::isnan(E5m2ToF32(bits)))) << i;
    EXPECT_TRUE(F16ToF32(E4m3ToF16(bits)) == e4m3 || std::isnan(e4m3)) << i;
    EXPECT_TRUE(F16ToF32(E5m2ToF16(bits)) == e5m2 || std::isnan(e5m2)) << i;
  }
}

TEST(EmulatorConversions, SpecialValuesBecomeWhatThePtxIsaSays) {
  EXPECT_EQ(F32ToF16(-kNan), 0x7fff);
  EXPECT_EQ(F32ToBf16(-kNan), 0x7fff);
  EXPECT_EQ(F32Bits(F32ToTf32(-kNan, Rounding::kNearestAway)), 0x7fffffffu);
  EXPECT_EQ(F32ToTf32(kInf, Rounding::kNearestAway), kInf);
  EXPECT_EQ(F32Bits(F32ToTf32(kInf, Rounding::kNearest, true)), 0x7f7fe000u);
  EXPECT_EQ(F32ToTf32(1 + 0x1p-11f, Rounding::kNearestAway), 1 + 0x1p-10f);
  EXPECT_EQ(F32ToTf32(1 + 0x1p-11f, Rounding::kNearest), 1);
  EXPECT_EQ(TruncateToTf32(1 + 0x1.8p-11f), 1);
  EXPECT_EQ(F32ToE4m3(kNan), 0x7f);
  EXPECT_EQ(F32ToE5m2(kNan), 0x7f);
  EXPECT_EQ(F32ToE4m3(1e9f), 0x7e);
  EXPECT_EQ(F32ToE4m3(-kInf), 0xfe);
  EXPECT_EQ(F32ToE5m2(kInf), 0x7b);
  EXPECT_EQ(F32ToE2m1(kNan), 0x7);
  EXPECT_EQ(F32ToE2m1(-100), 0xf);
  EXPECT_EQ(E2m1ToF32(0xb), -1.5f);
  EXPECT_EQ(F64ToF32(1e300, Rounding::kZero), std::numeric_limits<float>::max());
  EXPECT_EQ(F64ToF32(1e300, Rounding::kNearest), kInf);
  EXPECT_EQ(F32Bits(F64ToF32(-kNan, Rounding::kNearest)), 0x7fffffffu);
  EXPECT_EQ(Saturate(kNan), 0);
  EXPECT_EQ(F32Bits(Saturate(-0.0f)), 0u);
  EXPECT_EQ(Saturate(1.5), 1);
  EXPECT_EQ(F32Bits(FlushToZero(-0x1p-130f)), 0x80000000u);
  EXPECT_EQ(Relu(-1), 0);
  EXPECT_TRUE(std::isnan(Relu(kNan)));
}

TEST(EmulatorConversions, Ue8m0IsThePowerOfTwo) {
  for (int i = 0; i < 255; ++i) {
    const float power = std::ldexp(1.0f, i - 127);
    const auto bits = static_cast<std::uint8_t>(i);
    EXPECT_EQ(Ue8m0ToF32(bits), power);
    EXPECT_EQ(F32ToUe8m0(power, Rounding::kZero, true), i);
    EXPECT_EQ(F32ToUe8m0(-power, Rounding::kUp, true), i);
    const float above = std::nextafter(power, kInf);
    EXPECT_EQ(F32ToUe8m0(above, Rounding::kZero, true), i);
    EXPECT_EQ(F32ToUe8m0(above, Rounding::kUp, true), std::min(i + 1, 254));
  }
  EXPECT_EQ(F32ToUe8m0(0x1.8p127f, Rounding::kUp, false), 255);
  EXPECT_EQ(F32ToUe8m0(kInf, Rounding::kZero, false), 255);
  EXPECT_EQ(F32ToUe8m0(kInf, Rounding::kZero, true), 254);
  EXPECT_EQ(F32ToUe8m0(kNan, Rounding::kZero, true), 255);
  EXPECT_EQ(F32ToUe8m0(0, Rounding::kUp, true), 0);
  EXPECT_TRUE(std::isnan(Ue8m0ToF32(255)));
}

TEST(EmulatorConversions, FloatToIntegerRoundsAndClamps) {
  struct Row {
    double value;
    int nearest, zero, up, down;
  };
  for (const Row& row : {Row{2.5, 2, 2, 3, 2}, Row{3.5, 4, 3, 4, 3}, Row{-2.5, -2, -2, -2, -3},
                         Row{-0.75, -1, 0, 0, -1}, Row{7, 7, 7, 7, 7}, Row{1e-30, 0, 0, 1, 0}}) {
    EXPECT_EQ(ToInteger<std::int32_t>(row.value, Rounding::kNearest), row.nearest);
    EXPECT_EQ(ToInteger<std::int8_t>(static_cast<float>(row.value), Rounding::kNearest), row.nearest);
    EXPECT_EQ(ToInteger<std::int64_t>(row.value, Rounding::kZero), row.zero);
    EXPECT_EQ(ToInteger<std::int32_t>(row.value, Rounding::kUp), row.up);
    EXPECT_EQ(ToInteger<std::int16_t>(static_cast<float>(row.value), Rounding::kDown), row.down);
    EXPECT_EQ(ToInteger<std::uint32_t>(row.value, Rounding::kDown), static_cast<unsigned>(std::max(row.down, 0)));
  }
  EXPECT_EQ(ToInteger<std::int32_t>(3e9f, Rounding::kZero), INT32_MAX);
  EXPECT_EQ(ToInteger<std::int32_t>(2147483647.0, Rounding::kZero), INT32_MAX);
  EXPECT_EQ(ToInteger<std::int32_t>(2147483646.5, Rounding::kNearest), 2147483646);
  EXPECT_EQ(ToInteger<std::int32_t>(-kInf, Rounding::kZero), INT32_MIN);
  EXPECT_EQ(ToInteger<std::uint32_t>(4294967295.0, Rounding::kZero), UINT32_MAX);
  EXPECT_EQ(ToInteger<std::uint32_t>(-3.0f, Rounding::kZero), 0u);
  EXPECT_EQ(ToInteger<std::uint64_t>(0x1p63, Rounding::kZero), std::uint64_t{1} << 63);
  EXPECT_EQ(ToInteger<std::uint64_t>(0x1p64, Rounding::kZero), UINT64_MAX);
  EXPECT_EQ(ToInteger<std::int64_t>(0x1p63f, Rounding::kZero), INT64_MAX);
  EXPECT_EQ(ToInteger<std::uint8_t>(300.0f, Rounding::kZero), 255);
  // NaN (PTX ISA, cvt).
  EXPECT_EQ(ToInteger<std::int32_t>(kNan, Rounding::kZero), 0);
  EXPECT_EQ(ToInteger<std::int32_t>(static_cast<double>(kNan), Rounding::kZero), INT32_MIN);
  EXPECT_EQ(ToInteger<std::uint64_t>(kNan, Rounding::kZero), std::uint64_t{1} << 63);
}

TEST(EmulatorConversions, IntegersRoundOnceAsTheProcessorDoesInEachMode) {
  const struct {
    Rounding rounding;
    int mode;
  } modes[] = {{Rounding::kNearest, FE_TONEAREST},
               {Rounding::kZero, FE_TOWARDZERO},
               {Rounding::kUp, FE_UPWARD},
               {Rounding::kDown, FE_DOWNWARD}};
  std::mt19937_64 random(3);
  for (int i = 0; i < 50'000; ++i) {
    const auto wide = static_cast<std::int64_t>(random()) >> (random() % 64);
    for (const auto& mode : modes) {
      std::fesetround(mode.mode);
      volatile std::int64_t opaque = wide;  // or the compiler converts in the default mode
      const volatile float single = static_cast<float>(opaque);
      const volatile double twice = static_cast<double>(opaque);
      std::fesetround(FE_TONEAREST);
      ASSERT_EQ(FromInteger(kF32Format, wide, mode.rounding), F32Bits(single)) << wide;
      const double exact = twice;
      ASSERT_EQ(FromInteger(kF64Format, wide, mode.rounding), std::bit_cast<std::uint64_t>(exact)) << wide;
    }
  }
  EXPECT_EQ(FromInteger(kF16Format, 2049, Rounding::kNearest), F32ToF16(2048));
  EXPECT_EQ(FromInteger(kF16Format, 65520, Rounding::kNearest), 0x7c00u);
  EXPECT_EQ(FromInteger(kF16Format, 65519, Rounding::kNearest), 0x7bffu);
  EXPECT_EQ(FromInteger(kF16Format, INT64_MIN, Rounding::kUp), 0xfbffu);
  EXPECT_EQ(FromInteger(kF32Format, UINT64_MAX, Rounding::kZero), F32Bits(0x1.fffffep63f));
  EXPECT_EQ(FromInteger(kF32Format, INT64_MIN, Rounding::kZero), F32Bits(-0x1p63f));
}

TEST(EmulatorConversions, IntegersClampToTheDestinationWithSat) {
  EXPECT_EQ((SaturateInteger<std::int8_t>(200)), 127);
  EXPECT_EQ((SaturateInteger<std::int8_t>(-200)), -128);
  EXPECT_EQ((SaturateInteger<std::uint8_t>(-5)), 0);
  EXPECT_EQ((SaturateInteger<std::int32_t>(UINT32_MAX)), INT32_MAX);
  EXPECT_EQ((SaturateInteger<std::uint64_t>(std::int64_t{-1})), 0u);
  EXPECT_EQ((SaturateInteger<std::int16_t>(std::uint64_t{12})), 12);
}

}  // namespace
}  // namespace gemmsmith::emulator
