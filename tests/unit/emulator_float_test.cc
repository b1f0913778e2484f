// Floating-point instructions against host arithmetic, lane by lane.
#include <bit>
#include <cfenv>
#include <cmath>

#include "../support/ptx_testing.h"
#include "gemmsmith/dtype.h"
#include "runtime/emulator/numeric/conversions.h"

namespace gemmsmith::emulator {
namespace {

using U64 = std::uint64_t;

float F(U64 bits) { return std::bit_cast<float>(static_cast<std::uint32_t>(bits)); }
double D(U64 bits) { return std::bit_cast<double>(bits); }
U64 B(float x) { return x != x ? 0x7fffffff : std::bit_cast<std::uint32_t>(x); }
U64 B(double x) { return std::bit_cast<U64>(x); }
float Ftz(float x) { return std::fpclassify(x) == FP_SUBNORMAL ? std::copysign(0.0f, x) : x; }
float Half(U64 x) { return F16ToF32(static_cast<std::uint16_t>(x)); }
float Brain(U64 x) { return Bf16ToF32(static_cast<std::uint16_t>(x)); }
U64 ToHalf(double x) { return F64ToF16(x, Rounding::kNearest); }

/// Floats of all magnitudes, with specials.
U64 DrawF32(std::mt19937_64& random) {
  constexpr std::uint32_t kSpecial[] = {0,          0x80000000, 0x3f800000, 0xbf800000, 0x7f800000,
                                        0xff800000, 0x7fc00000, 1,          0x7fffff,   0x7f7fffff};
  if (random() % 4 == 0) return kSpecial[random() % std::size(kSpecial)];
  if (random() % 2 == 0)
    return std::bit_cast<std::uint32_t>(static_cast<float>(static_cast<double>(random()) / 1e18 - 9));
  return static_cast<std::uint32_t>(random());
}
U64 DrawF64(std::mt19937_64& random) {
  constexpr U64 kSpecial[] = {0, U64{1} << 63, 0x3ff0000000000000, 0x7ff0000000000000, 1, 0x7fefffffffffffff};
  if (random() % 4 == 0) return kSpecial[random() % std::size(kSpecial)];
  return std::bit_cast<U64>(static_cast<double>(random()) / 1e17 - 90);
}
U64 DrawHalves(std::mt19937_64& random) {
  constexpr std::uint16_t kSpecial[] = {0, 0x8000, 0x3c00, 0x3f80, 0x7c00, 1, 0x7bff, 0x0400, 0xc000};
  U64 bits = 0;
  for (int k = 0; k < 64; k += 16)
    bits |= U64{random() % 4 == 0 ? kSpecial[random() % std::size(kSpecial)] : static_cast<std::uint16_t>(random())}
            << k;
  return bits;
}

bool BothNan64(U64 x, U64 y) { return D(x) != D(x) && D(y) != D(y); }
bool CloseF32(U64 x, U64 y) {
  const float a = F(x), b = F(y);
  return a == b || (a != a && b != b) || std::abs(a - b) <= 4e-6f * std::abs(b) + 1e-38f;
}
bool BothNanHalf(U64 x, U64 y) { return (x & 0x7fff) > 0x7c00 && (y & 0x7fff) > 0x7c00; }

template <class F>
auto Rounded(int mode, F f) {
  const int old = std::fegetround();
  std::fesetround(mode);
  const volatile auto result = f();
  std::fesetround(old);
  return result;
}

void CheckAll(std::initializer_list<LaneCase> cases, U64 (*draw)(std::mt19937_64&), bool (*same)(U64, U64) = nullptr) {
  PtxRunner runner("sm_100a");
  for (const LaneCase& test : cases)
    for (std::uint64_t seed = 0; seed < 6; ++seed) {
      CheckLanes(runner, test, seed, draw, same);
      if (testing::Test::HasFatalFailure()) return;
    }
}

TEST(EmulatorFloats, SingleArithmeticHasTheBitsOfTheHost) {
  CheckAll(
      {
          {"add.f32 d, a, b;", {"f32", "f32", "f32"}, [](U64 a, U64 b, U64) { return B(F(a) + F(b)); }},
          {"sub.rn.f32 d, a, b;", {"f32", "f32", "f32"}, [](U64 a, U64 b, U64) { return B(F(a) - F(b)); }},
          {"mul.f32 d, a, b;", {"f32", "f32", "f32"}, [](U64 a, U64 b, U64) { return B(F(a) * F(b)); }},
          {"mul.ftz.f32 d, a, b;",
           {"f32", "f32", "f32"},
           [](U64 a, U64 b, U64) { return B(Ftz(Ftz(F(a)) * Ftz(F(b)))); }},
          {"fma.rn.f32 d, a, b, c;",
           {"f32", "f32", "f32", "f32"},
           [](U64 a, U64 b, U64 c) { return B(std::fma(F(a), F(b), F(c))); }},
          {"add.rz.f32 d, a, b;",
           {"f32", "f32", "f32"},
           [](U64 a, U64 b, U64) {
             return B(Rounded(FE_TOWARDZERO, [=] {
               volatile float x = F(a), y = F(b);
               return x + y;
             }));
           }},
          {"mul.rp.f32 d, a, b;",
           {"f32", "f32", "f32"},
           [](U64 a, U64 b, U64) {
             return B(Rounded(FE_UPWARD, [=] {
               volatile float x = F(a), y = F(b);
               return x * y;
             }));
           }},
          {"div.rm.f32 d, a, b;",
           {"f32", "f32", "f32"},
           [](U64 a, U64 b, U64) {
             return B(Rounded(FE_DOWNWARD, [=] {
               volatile float x = F(a), y = F(b);
               return x / y;
             }));
           }},
          {"add.sat.f32 d, a, b;",
           {"f32", "f32", "f32"},
           [](U64 a, U64 b, U64) {
             const float s = F(a) + F(b);
             return B(s > 0 ? std::min(s, 1.0f) : 0.0f);
           }},
          {"div.rn.f32 d, a, b;", {"f32", "f32", "f32"}, [](U64 a, U64 b, U64) { return B(F(a) / F(b)); }},
          {"rcp.rn.f32 d, a;", {"f32", "f32"}, [](U64 a, U64, U64) { return B(1 / F(a)); }},
          {"sqrt.rn.f32 d, a;", {"f32", "f32"}, [](U64 a, U64, U64) { return B(std::sqrt(F(a))); }},
          {"abs.f32 d, a;", {"f32", "f32"}, [](U64 a, U64, U64) { return B(std::abs(F(a))); }},
          {"neg.f32 d, a;", {"f32", "f32"}, [](U64 a, U64, U64) { return B(-F(a)); }},
          {"copysign.f32 d, a, b;",
           {"f32", "f32", "f32"},
           [](U64 a, U64 b, U64) { return (b & 0x7fffffff) | (a & 0x80000000); }},
          {"min.f32 d, a, b;",
           {"f32", "f32", "f32"},
           [](U64 a, U64 b, U64) {
             const float x = F(a), y = F(b);
             if (x == y) return B(std::signbit(x) ? x : y);
             return B(std::fmin(x, y));
           }},
          {"max.NaN.f32 d, a, b;",
           {"f32", "f32", "f32"},
           [](U64 a, U64 b, U64) {
             const float x = F(a), y = F(b);
             if (x != x || y != y) return U64{0x7fffffff};
             return x == y ? B(std::signbit(x) ? y : x) : B(std::fmax(x, y));
           }},
          {"max.f32 d, a, b, c;",
           {"f32", "f32", "f32", "f32"},
           [](U64 a, U64 b, U64 c) {
             const auto pick = [](float x, float y) { return x == y ? (std::signbit(x) ? y : x) : std::fmax(x, y); };
             return B(pick(pick(F(a), F(b)), F(c)));
           }},
          {"testp.subnormal.f32 d, a;",
           {"pred", "f32"},
           [](U64 a, U64, U64) { return U64{std::fpclassify(F(a)) == FP_SUBNORMAL}; }},
          {"testp.notanumber.f32 d, a;", {"pred", "f32"}, [](U64 a, U64, U64) { return U64{F(a) != F(a)}; }},
      },
      DrawF32);
}

TEST(EmulatorFloats, ApproximationsAreClose) {
  CheckAll(
      {
          {"ex2.approx.f32 d, a;", {"f32", "f32"}, [](U64 a, U64, U64) { return B(std::exp2(F(a))); }},
          {"lg2.approx.f32 d, a;", {"f32", "f32"}, [](U64 a, U64, U64) { return B(std::log2(F(a))); }},
          {"rsqrt.approx.f32 d, a;", {"f32", "f32"}, [](U64 a, U64, U64) { return B(1 / std::sqrt(F(a))); }},
          {"sin.approx.f32 d, a;", {"f32", "f32"}, [](U64 a, U64, U64) { return B(std::sin(F(a))); }},
          {"tanh.approx.f32 d, a;", {"f32", "f32"}, [](U64 a, U64, U64) { return B(std::tanh(F(a))); }},
          {"div.full.f32 d, a, b;", {"f32", "f32", "f32"}, [](U64 a, U64 b, U64) { return B(F(a) / F(b)); }},
      },
      DrawF32, CloseF32);
}

TEST(EmulatorFloats, DoubleArithmeticHasTheBitsOfTheHost) {
  CheckAll(
      {
          {"add.f64 d, a, b;", {"f64", "f64", "f64"}, [](U64 a, U64 b, U64) { return B(D(a) + D(b)); }},
          {"fma.rn.f64 d, a, b, c;",
           {"f64", "f64", "f64", "f64"},
           [](U64 a, U64 b, U64 c) { return B(std::fma(D(a), D(b), D(c))); }},
          {"div.rn.f64 d, a, b;", {"f64", "f64", "f64"}, [](U64 a, U64 b, U64) { return B(D(a) / D(b)); }},
          {"sqrt.rn.f64 d, a;", {"f64", "f64"}, [](U64 a, U64, U64) { return B(std::sqrt(D(a))); }},
          {"mul.rm.f64 d, a, b;",
           {"f64", "f64", "f64"},
           [](U64 a, U64 b, U64) {
             return B(Rounded(FE_DOWNWARD, [=] {
               volatile double x = D(a), y = D(b);
               return x * y;
             }));
           }},
          {"cvt.rzi.s32.f64 d, a;",
           {"b32", "f64"},
           [](U64 a, U64, U64) {
             return static_cast<U64>(
                 static_cast<std::int64_t>(std::min(std::max(std::trunc(D(a)), -2147483648.0), 2147483647.0)));
           }},
          {"cvt.rn.f32.f64 d, a;", {"f32", "f64"}, [](U64 a, U64, U64) { return B(static_cast<float>(D(a))); }},
      },
      DrawF64, BothNan64);
}

TEST(EmulatorFloats, HalvesAreRoundedOnce) {
  CheckAll(
      {
          {"add.f16 d, a, b;",
           {"b16", "b16", "b16"},
           [](U64 a, U64 b, U64) { return ToHalf(double{Half(a)} + Half(b)); }},
          {"mul.rn.f16 d, a, b;",
           {"b16", "b16", "b16"},
           [](U64 a, U64 b, U64) { return ToHalf(double{Half(a)} * Half(b)); }},
          {"fma.rn.f16 d, a, b, c;",
           {"b16", "b16", "b16", "b16"},
           [](U64 a, U64 b, U64 c) { return ToHalf(double{Half(a)} * Half(b) + Half(c)); }},
          {"fma.rn.bf16 d, a, b, c;",
           {"b16", "b16", "b16", "b16"},
           [](U64 a, U64 b, U64 c) {
             // Long double holds what matters of any such sum that is not far off in magnitude.
             const long double sum = static_cast<long double>(Brain(a)) * Brain(b) + Brain(c);
             auto narrow = static_cast<double>(sum);
             if (std::isfinite(narrow) && narrow != sum && (B(narrow) & 1) == 0)
               narrow = std::nextafter(narrow, sum > narrow ? HUGE_VAL : -HUGE_VAL);
             return U64{F64ToBf16(narrow, Rounding::kNearest)};
           }},
          {"add.f16x2 d, a, b;",
           {"b32", "b32", "b32"},
           [](U64 a, U64 b, U64) {
             return ToHalf(double{Half(a)} + Half(b)) | ToHalf(double{Half(a >> 16)} + Half(b >> 16)) << 16;
           }},
          {"cvt.f32.f16 d, a;", {"f32", "b16"}, [](U64 a, U64, U64) { return B(Half(a)); }},
          {"cvt.f32.bf16 d, a;",
           {"f32", "b16"},
           [](U64 a, U64, U64) { return U64{std::bit_cast<std::uint32_t>(Brain(a))}; }},
          {"setp.lt.f16 d, a, b;", {"pred", "b16", "b16"}, [](U64 a, U64 b, U64) { return U64{Half(a) < Half(b)}; }},
          {"setp.geu.bf16 d, a, b;",
           {"pred", "b16", "b16"},
           [](U64 a, U64 b, U64) { return U64{!(Brain(a) < Brain(b))}; }},
      },
      DrawHalves, BothNanHalf);
}

TEST(EmulatorFloats, ConversionsRoundAndSaturate) {
  CheckAll(
      {
          {"cvt.rzi.s32.f32 d, a;",
           {"b32", "f32"},
           [](U64 a, U64, U64) {
             const float x = F(a);
             if (x != x) return U64{0};
             return static_cast<U64>(
                 static_cast<std::int64_t>(std::min(std::max(std::trunc(double{x}), -2147483648.0), 2147483647.0)));
           }},
          {"cvt.rni.u8.f32 d, a;",
           {"b32", "f32"},
           [](U64 a, U64, U64) {
             const float x = F(a);
             return x != x ? U64{0} : static_cast<U64>(std::min(std::max(std::nearbyint(x), 0.0f), 255.0f));
           }},
          {"cvt.rn.f16.f32 d, a;", {"b16", "f32"}, [](U64 a, U64, U64) { return U64{F32ToF16(F(a))}; }},
          {"cvt.rn.relu.bf16.f32 d, a;",
           {"b16", "f32"},
           [](U64 a, U64, U64) { return F(a) < 0 || a == 0x80000000 ? 0 : U64{F32ToBf16(F(a))}; }},
          {"cvt.rn.f16x2.f32 d, a, b;",
           {"b32", "f32", "f32"},
           [](U64 a, U64 b, U64) { return U64{F32ToF16(F(a))} << 16 | F32ToF16(F(b)); }},
          {"cvt.rn.satfinite.e4m3x2.f32 d, a, b;",
           {"b16", "f32", "f32"},
           [](U64 a, U64 b, U64) { return U64{F32ToE4m3(F(a))} << 8 | F32ToE4m3(F(b)); }},
          {"cvt.rna.tf32.f32 d, a;",
           {"b32", "f32"},
           [](U64 a, U64, U64) { return B(F32ToTf32(F(a), Rounding::kNearestAway)); }},
          {"cvt.rmi.f32.f32 d, a;", {"f32", "f32"}, [](U64 a, U64, U64) { return B(std::floor(F(a))); }},
          {"cvt.f64.f32 d, a;", {"f64", "f32"}, [](U64 a, U64, U64) { return B(static_cast<double>(F(a))); }},
          {"setp.neu.f32 d, a, b;", {"pred", "f32", "f32"}, [](U64 a, U64 b, U64) { return U64{F(a) != F(b)}; }},
          {"setp.num.and.f32 d, a, b, !q;",
           {"pred", "f32", "f32"},
           [](U64 a, U64 b, U64) { return U64{F(a) == F(a) && F(b) == F(b)}; }},
          {"set.gt.u32.f32 d, a, b;",
           {"b32", "f32", "f32"},
           [](U64 a, U64 b, U64) { return F(a) > F(b) ? U64{0xffffffff} : 0; }},
          {"set.le.f32.f32 d, a, b;",
           {"b32", "f32", "f32"},
           [](U64 a, U64 b, U64) { return F(a) <= F(b) ? U64{0x3f800000} : 0; }},
      },
      DrawF32, BothNan64);
}

TEST(EmulatorFloats, IntegersBecomeFloats) {
  CheckAll(
      {
          {"cvt.rn.f32.s32 d, a;",
           {"f32", "b32"},
           [](U64 a, U64, U64) { return B(static_cast<float>(static_cast<std::int32_t>(a))); }},
          {"cvt.rn.f32.u64 d, a;", {"f32", "b64"}, [](U64 a, U64, U64) { return B(static_cast<float>(a)); }},
          {"cvt.rz.f32.u32 d, a;",
           {"f32", "b32"},
           [](U64 a, U64, U64) {
             return B(Rounded(FE_TOWARDZERO, [=] {
               volatile auto x = static_cast<std::uint32_t>(a);
               return static_cast<float>(x);
             }));
           }},
          {"cvt.rn.f64.s64 d, a;",
           {"f64", "b64"},
           [](U64 a, U64, U64) { return B(static_cast<double>(static_cast<std::int64_t>(a))); }},
          {"cvt.rn.f16.s16 d, a;",
           {"b16", "b16"},
           [](U64 a, U64, U64) { return ToHalf(static_cast<std::int16_t>(a)); }},
      },
      DrawOperand);
}

}  // namespace
}  // namespace gemmsmith::emulator
