// Code that nobody here wrote, on emulated devices: tensor cores by mma.h, 16- and 8-bit floats, the mathematics and
// the random numbers of the toolkit. What was to be expected is reckoned here without the emulator's conversions.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "../support/witness.h"

namespace gemmsmith::emulator {
namespace {

/// A binary float: significant bits, the exponent of the smallest normal number, the largest number.
struct FloatKind {
  int bits, lowest_exponent;
  double largest;
};
constexpr FloatKind kHalf{11, -14, 65504}, kBrain{8, -126, 0x1.fep127}, kE4m3{4, -6, 448}, kE5m2{3, -14, 57344};

double Nearest(double x) { return std::nearbyint(x); }
double TowardsZero(double x) { return std::trunc(x); }

double RoundTo(FloatKind kind, double x, double (*round)(double) = Nearest) {
  if (x == 0 || !std::isfinite(x)) return x;
  const int exponent = std::max(std::ilogb(x), kind.lowest_exponent);
  const double unit = std::ldexp(1.0, exponent - kind.bits + 1);
  const double rounded = round(x / unit) * unit;
  if (std::abs(rounded) <= kind.largest) return rounded;
  return std::copysign(round == TowardsZero ? kind.largest : std::numeric_limits<double>::infinity(), x);
}

/// The number of `bits`, whose exponent has `exponent_bits`. Infinities and NaN are large numbers here.
double Decode(std::uint32_t bits, int exponent_bits, int mantissa_bits) {
  const auto mantissa = static_cast<double>(bits & ((1u << mantissa_bits) - 1));
  const int exponent = static_cast<int>(bits >> mantissa_bits & ((1u << exponent_bits) - 1));
  const int bias = (1 << (exponent_bits - 1)) - 1;
  const double magnitude = exponent == 0 ? std::ldexp(mantissa, 1 - bias - mantissa_bits)
                                         : std::ldexp(mantissa + (1 << mantissa_bits), exponent - bias - mantissa_bits);
  return (bits >> (exponent_bits + mantissa_bits) & 1) != 0 ? -magnitude : magnitude;
}
double DecodeHalf(std::uint32_t bits) { return Decode(bits, 5, 10); }
double DecodeBrain(std::uint32_t bits) { return Decode(bits, 8, 7); }
double ClampTo(FloatKind kind, double x) { return std::clamp(RoundTo(kind, x), -kind.largest, kind.largest); }

/// Half of an integer from -8 to 8 has few bits in all types, so that sums are exact whatever the order.
template <class T>
struct Coded {
  static T Of(int halves) { return static_cast<T>(halves) / 2; }
  static double Value(T x) { return x; }
};
struct Half {
  std::uint16_t bits;
};
struct Brain {
  std::uint16_t bits;
};
template <>
struct Coded<Half> {
  static Half Of(int halves) {
    for (std::uint32_t bits = 0; bits < 0x10000; bits += 0x80)
      if (DecodeHalf(bits) == halves / 2.0) return {static_cast<std::uint16_t>(bits)};
    return {};
  }
  static double Value(Half x) { return DecodeHalf(x.bits); }
};
template <>
struct Coded<Brain> {
  static Brain Of(int halves) {
    const auto value = static_cast<float>(halves) / 2;
    std::uint32_t bits = 0;
    std::memcpy(&bits, &value, 4);
    return {static_cast<std::uint16_t>(bits >> 16)};
  }
  static double Value(Brain x) { return DecodeBrain(x.bits); }
};

struct Tile {
  int m, n, k_total;
  bool a_rows, b_columns;
};

class WitnessWmma : public Witness {
 protected:
  template <class T>
  std::vector<T> Matrix(int count) {
    std::vector<T> matrix;
    for (const std::uint32_t word : Draw(static_cast<std::size_t>(count), 17))
      matrix.push_back(Coded<T>::Of(static_cast<int>(word) - 8));
    return matrix;
  }
  template <class T, class S>
  void Check(const std::string& kernel, Tile t) {
    SCOPED_TRACE(kernel);
    const auto state = MakeState(GetParam(), seed);
    const std::vector<T> a = Matrix<T>(t.m * t.k_total), b = Matrix<T>(t.n * t.k_total);
    const std::vector<S> c = Matrix<S>(t.m * t.n);
    const DeviceBytes at_a(state, a.size() * sizeof(T)), at_b(state, b.size() * sizeof(T)),
        at_c(state, c.size() * sizeof(S)), at_d(state, c.size() * sizeof(S));
    std::memcpy(at_a.as<void>(), a.data(), a.size() * sizeof(T));
    std::memcpy(at_b.as<void>(), b.data(), b.size() * sizeof(T));
    std::memcpy(at_c.as<void>(), c.data(), c.size() * sizeof(S));
    Launch(state, kernel, {}, at_a.as<void>(), at_b.as<void>(), at_c.as<void>(), at_d.as<void>(), t.k_total);
    for (int row = 0; row < t.m; ++row)
      for (int column = 0; column < t.n; ++column) {
        const auto place = static_cast<std::size_t>(row * t.n + column);
        double sum = Coded<S>::Value(c[place]);
        for (int i = 0; i < t.k_total; ++i)
          sum += Coded<T>::Value(a[static_cast<std::size_t>(t.a_rows ? row * t.k_total + i : i * t.m + row)]) *
                 Coded<T>::Value(b[static_cast<std::size_t>(t.b_columns ? column * t.k_total + i : i * t.n + column)]);
        ASSERT_EQ(Coded<S>::Value(at_d.as<S>()[place]), sum) << row << ", " << column;
      }
  }
};

TEST_P(WitnessWmma, MultipliesMatricesOfEveryType) {
  if (!Open("wmma")) GTEST_SKIP() << missing;
  Check<Half, float>("wmma_f16", {16, 16, 64, true, true});
  Check<Half, float>("wmma_f16_wide", {8, 32, 48, false, false});
  Check<Half, Half>("wmma_f16_tall", {32, 8, 32, true, true});
  Check<Brain, float>("wmma_bf16", {16, 16, 64, true, false});
  Check<float, float>("wmma_tf32", {16, 16, 40, true, true});
  Check<std::int8_t, std::int32_t>("wmma_s8", {16, 16, 80, true, true});
  Check<double, double>("wmma_f64", {8, 8, 20, true, true});
}

class WitnessHalf : public Witness {
 protected:
  static constexpr std::size_t kLanes = 256;
  static constexpr WitnessShape kBlock{{1, 1, 1}, {kLanes, 1, 1}, {1, 1, 1}};

  /// Pairs of 16-bit floats whose exponents are so close together that doubles hold every sum.
  void CheckArithmetic(const std::string& kernel, FloatKind kind, double (*decode)(std::uint32_t)) {
    const int mantissa = kind.bits - 1, bias = 1 - kind.lowest_exponent;
    std::vector<std::uint32_t> pairs;
    for (const std::uint32_t word : Draw(kLanes)) {
      std::uint32_t both = 0;
      for (int k = 0; k < 2; ++k) {
        const std::uint32_t half = word >> (16 * k) & 0xffff, small = half & ((1u << mantissa) - 1);
        const auto exponent = static_cast<std::uint32_t>(bias) - 4 + (half >> mantissa) % 8;
        both |= ((half & 0x8000) | exponent << mantissa | small) << (16 * k);
      }
      pairs.push_back(word % 5 == 0 ? both << 16 | both >> 16 : word % 7 == 0 ? (both & 0xffff) * 0x10001 : both);
    }
    const auto out = Run(kernel, kBlock, pairs, std::vector<std::uint16_t>(12 * kLanes));
    for (std::size_t i = 0; i < kLanes; ++i) {
      const double a = decode(pairs[i] & 0xffff), b = decode(pairs[i] >> 16);
      const double twice = RoundTo(kind, a + a), twice_b = RoundTo(kind, b + b);
      const double expected[] = {RoundTo(kind, a + b),
                                 RoundTo(kind, a * b),
                                 RoundTo(kind, a * b + a),
                                 RoundTo(kind, a - b),
                                 std::max(a, b),
                                 std::min(a, b),
                                 -a,
                                 std::abs(b),
                                 twice,
                                 RoundTo(kind, b * twice_b + b),
                                 0,
                                 RoundTo(kind, b * b)};
      for (const std::size_t k : {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11})
        ASSERT_EQ(decode(out[12 * i + k]), expected[k]) << kernel << " " << k << ": " << a << ", " << b;
      ASSERT_EQ(out[12 * i + 10], (a < b) | (a == b) << 1 | (a >= b) << 3) << kernel << ": " << a << ", " << b;
    }
  }

  void CheckConversions() {
    std::vector<float> in = {0, -0.0f, 1e5f, -1e5f, 448, 464, 465, 57344, 61440, 65519, 65520, 1e-8f, 0x1p-25f, 3e38f};
    while (in.size() < kLanes)
      in.push_back(static_cast<float>(std::ldexp(DrawBetween(-1, 1), static_cast<int>(DrawBetween(-28, 18)))));
    const auto out = Run("conversions", kBlock, in, std::vector<std::uint16_t>(8 * kLanes));
    for (std::size_t i = 0; i < kLanes; ++i) {
      const double x = in[i], half = RoundTo(kHalf, x);
      const std::uint16_t* const got = &out[8 * i];
      const auto infinite = [](double value) { return std::isinf(value) ? std::copysign(65536.0, value) : value; };
      ASSERT_EQ(DecodeHalf(got[0]), infinite(half)) << x;
      ASSERT_EQ(DecodeHalf(got[1]), RoundTo(kHalf, x, TowardsZero)) << x;
      ASSERT_EQ(DecodeBrain(got[2]), RoundTo(kBrain, x)) << x;
      ASSERT_EQ(DecodeBrain(got[3]), RoundTo(kBrain, x, TowardsZero)) << x;
      const double integer = std::clamp(std::trunc(x), -2147483648.0, 2147483647.0);
      ASSERT_EQ(DecodeHalf(got[4]), infinite(RoundTo(kHalf, integer))) << x;
      ASSERT_EQ(static_cast<std::int16_t>(got[5]), std::clamp(std::nearbyint(half), -32768.0, 32767.0)) << x;
      ASSERT_EQ(Decode(got[6], 4, 3), ClampTo(kE4m3, x)) << x;
      ASSERT_EQ(Decode(got[7], 5, 2), ClampTo(kE5m2, x)) << x;
    }
  }
};

TEST_P(WitnessHalf, RoundAsIeeeHasIt) {
  if (!Open("half")) GTEST_SKIP() << missing;
  CheckArithmetic("f16_arithmetic", kHalf, DecodeHalf);
  CheckArithmetic("bf16_arithmetic", kBrain, DecodeBrain);
  CheckConversions();
}

class WitnessMathematics : public Witness {
 protected:
  static constexpr std::size_t kLanes = 256;
  static constexpr WitnessShape kBlock{{1, 1, 1}, {kLanes, 1, 1}, {1, 1, 1}};

  /// Within the bounds that the CUDA programming guide gives: at most 12 units in the last place.
  template <class T>
  void CheckFunctions(const std::string& kernel) {
    std::vector<T> in;
    for (std::size_t i = 0; i < 2 * kLanes; ++i) in.push_back(static_cast<T>(DrawBetween(-8, 8)));
    const auto out = Run(kernel, kBlock, in, std::vector<T>(12 * kLanes));
    for (std::size_t i = 0; i < kLanes; ++i) {
      using Wide = long double;
      const Wide x = in[2 * i], y = in[2 * i + 1];
      const auto million = static_cast<T>(1e6) * in[2 * i], positive = std::abs(in[2 * i + 1]) + static_cast<T>(0.5);
      const Wide expected[] = {std::sin(x),
                               std::cos(static_cast<Wide>(million)),
                               std::exp(y),
                               std::log(std::abs(x)),
                               std::erf(y),
                               std::pow(std::abs(x), y),
                               std::atan2(x, y),
                               std::tanh(y),
                               std::cbrt(x),
                               std::fmod(x, y),
                               std::tgamma(static_cast<Wide>(positive)),
                               x / y};
      for (std::size_t k = 0; k < 12; ++k) {
        const Wide bound = 12 * std::numeric_limits<T>::epsilon() * std::abs(expected[k]);
        ASSERT_LE(std::abs(static_cast<Wide>(out[12 * i + k]) - expected[k]), bound)
            << kernel << " " << k << " of " << in[2 * i] << ", " << in[2 * i + 1] << ": " << out[12 * i + k];
      }
    }
  }

  void CheckPhilox() {
    const std::uint64_t key = 0x123456789abcdef1;
    const auto state = MakeState(GetParam());
    const DeviceBytes out(state, kLanes * 16);
    Launch(state, "philox", kBlock, key, out.as<void>());
    for (std::uint32_t i = 0; i < kLanes; ++i) {
      std::uint32_t counter[4] = {0, 0, i, 0};
      auto low = static_cast<std::uint32_t>(key), high = static_cast<std::uint32_t>(key >> 32);
      for (int round = 0; round < 10; ++round, low += 0x9E3779B9, high += 0xBB67AE85) {
        const std::uint64_t first = std::uint64_t{0xD2511F53} * counter[0],
                            second = std::uint64_t{0xCD9E8D57} * counter[2];
        const std::uint32_t next[] = {
            static_cast<std::uint32_t>(second >> 32) ^ counter[1] ^ low, static_cast<std::uint32_t>(second),
            static_cast<std::uint32_t>(first >> 32) ^ counter[3] ^ high, static_cast<std::uint32_t>(first)};
        std::memcpy(counter, next, sizeof next);
      }
      for (std::uint32_t k = 0; k < 4; ++k) ASSERT_EQ(out.as<std::uint32_t>()[4 * i + k], counter[k]) << i << ", " << k;
    }
  }

  void CheckXorwow() {
    constexpr int kSteps = 9;
    const auto in = Draw(6 * kLanes);
    const auto out = Run("xorwow", kBlock, in, std::vector<std::uint32_t>(kSteps * kLanes), kSteps);
    for (std::size_t i = 0; i < kLanes; ++i) {
      std::uint32_t d = in[6 * i], v[5];
      std::copy_n(&in[6 * i + 1], 5, v);
      for (std::size_t step = 0; step < kSteps; ++step) {
        const std::uint32_t t = v[0] ^ v[0] >> 2, last = v[4];
        std::copy(v + 1, v + 5, v);
        v[4] = last ^ last << 4 ^ t ^ t << 1;
        d += 362437;
        ASSERT_EQ(out[i * kSteps + step], v[4] + d);
      }
    }
  }
};

TEST_P(WitnessMathematics, IsAsGoodAsOnTheHost) {
  if (!Open("mathematics")) GTEST_SKIP() << missing;
  CheckFunctions<float>("math_f32");
  CheckFunctions<double>("math_f64");
  CheckPhilox();
  CheckXorwow();
}

const auto kTargets = testing::Values("sm_80", "sm_90a");
INSTANTIATE_TEST_SUITE_P(Emulator, WitnessWmma, kTargets, TargetName);
INSTANTIATE_TEST_SUITE_P(Emulator, WitnessHalf, kTargets, TargetName);
INSTANTIATE_TEST_SUITE_P(Emulator, WitnessMathematics, kTargets, TargetName);

}  // namespace
}  // namespace gemmsmith::emulator
