#include "jit/x86/vector_math.h"

#include <initializer_list>
#include <limits>
#include <span>

#include "jit/x86/vector_tables.h"

// Coefficients are minimax fits of our own in the weight named, printed by tools/fit_vector_math.py. Errors in ulp are
// the worst of all 2^32 floats: x86_vector_math_test.cc has the test.

namespace gemmsmith {
namespace {

constexpr std::uint32_t kSignBit = 0x80000000, kNan = 0x7fc00000, kInfinityBits = 0x7f800000;
constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kLog2E = 0x1.715476p+0f, kLn2 = 0x1.62e43p-1f, kLn2Rest = -0x1.05c61p-29f;
// Added to a number below 2^22, it leaves the nearest whole number in the low bits.
constexpr float kMagic = 0x1.8p23f;

V Horner(V x, std::span<const float> coefficients, std::size_t step) {
  V sum = x.Like(coefficients[0]);
  for (std::size_t i = step; i < coefficients.size(); i += step) sum = Fma(sum, x, coefficients[i]);
  return sum;
}

/// Coefficients from the highest degree to the lowest. A long chain of instructions that wait for each other is cut
/// into even and odd powers: the next vectors can only begin while all that waits has room.
V Polynomial(V x, std::initializer_list<float> coefficients) {
  constexpr std::size_t kLong = 8;
  const std::span<const float> all(coefficients.begin(), coefficients.size());
  if (all.size() < kLong) return Horner(x, all, 1);
  const V square = x * x, with_last = Horner(square, all.subspan((all.size() - 1) % 2), 2);
  return Fma(Horner(square, all.subspan(all.size() % 2), 2), x, with_last);
}

V Min(V x, V y) { return Apply(VectorOp::kMin, x, y); }
V Max(V x, V y) { return Apply(VectorOp::kMax, x, y); }
/// NaN stays.
V Clamped(V x, float low, float high) { return Max(x.Like(low), Min(x.Like(high), x)); }

/// x, which is not negative, with the sign of y.
V WithSign(V x, V y) {
  if (x.program().avx512()) return Apply(VectorOp::kCopySign, x, y);
  return x | (y & kSignBit);
}

/// What is left of a number without n * ln(2) / `parts`, and 2^n.
struct Reduced {
  V power, rest;
};

/// Of -magnitude, which is above -87 / parts: then 2^n is a normal number. The rest is negated too.
Reduced ReduceNegative(V magnitude, float parts) {
  const V shifted = Fma(magnitude, -kLog2E * parts, kMagic), n = shifted - kMagic;
  return {AddS32(shifted << 23, 0x3f800000), Fma(n, kLn2 / parts, magnitude)};
}

/// (1 - exp(-parts * r)) / parts = r - r^2 * (...) for |r| <= ln(2) / 2 / parts, weight r / (exp(r) - 1): 2^-26.
V SmallOneMinusExp(V r, float parts) {
  const float two = parts, four = parts * parts, eight = four * parts, more = eight * parts;
  const V tail = Polynomial(r, {0x1.6ba48p-10f * more * parts, -0x1.122a7p-7f * more, 0x1.5556fp-5f * eight,
                                -0x1.5554aep-3f * four, 0x1.fffffep-2f * two});
  return Fnma(tail, r * r, r);
}

}  // namespace

V Abs(V x) { return x & ~kSignBit; }
V Negated(V x) { return Apply(VectorOp::kXor, x, x.LikeBits(kSignBit)); }

namespace {

/// 1.00 ulp. n is a multiple of 1/16, whose fraction chooses from the table: 2^n * (1 + r * (...)), weight r / exp(r):
/// 2^-29. Scaling takes whole powers of 2 only.
V ExpFromTable(V clamped) {
  constexpr float kMagicOfSixteenths = kMagic / 16;
  const V shifted = Fma(clamped, kLog2E, kMagicOfSixteenths), n = shifted - kMagicOfSixteenths;
  const V rest = Fnma(n, clamped.Like(kLn2Rest), Fnma(n, clamped.Like(kLn2), clamped));
  const V fraction = Lookup(shifted, kExpTable[0]);
  const V sum = Fma(Polynomial(rest, {0x1.555642p-3f, 0x1.00022ap-1f, 1.0f}), rest * fraction, fraction);
  return Apply(VectorOp::kScale, sum, n);
}

}  // namespace

// 0.90 ulp. x = n * ln(2) + r; exp(r) = 1 + r + r^2 * (...), weight 1 / exp(r): 2^-28. Below 2^-150 and above the
// largest float, scaling rounds to 0 and infinity.
V Exp(V x) {
  const V clamped = Clamped(x, -104.0f, 89.0f);
  if (x.program().avx512()) return ExpFromTable(clamped);
  const V shifted = Fma(clamped, kLog2E, kMagic), n = shifted - kMagic;
  const V rest = Fnma(n, x.Like(kLn2Rest), Fnma(n, x.Like(kLn2), clamped));
  const V sum =
      Polynomial(rest, {0x1.6a4da6p-10f, 0x1.123e5ap-7f, 0x1.5558b8p-5f, 0x1.55548cp-3f, 0x1.fffffcp-2f, 1.0f, 1.0f});
  // 2^n may lie outside the floats, half of it never does; only the second product rounds.
  const V exponent = Apply(VectorOp::kNearestS32, n);
  const V half = Apply(VectorOp::kShiftRightSigned, exponent, 1u);
  const V other = Apply(VectorOp::kSubS32, exponent, half);
  return sum * AddS32(half << 23, 0x3f800000) * AddS32(other << 23, 0x3f800000);
}

// 1.12 ulp. x = 2^n * m with m in [2/3, 4/3); log(m) = f + f^2 * (...) for f = m - 1, weight f / log(1 + f): 2^-25.
V Log(V x) {
  const V is_small = Apply(VectorOp::kLess, x, x.Like(0x1p-126f));
  const V normal = Select(is_small, x * 0x1p23f, x);
  const V offset = AddS32(normal, -0x3f2aaaabu);
  const V exponent = Apply(VectorOp::kShiftRightSigned, offset, 23u);
  const V n = Apply(VectorOp::kToF32, exponent) - Select(is_small, x.Like(23.0f), x.Like(0.0f));
  const V f = Apply(VectorOp::kSubS32, normal, exponent << 23) - 1.0f;
  const V tail = Polynomial(f, {0x1.1f427ap-3f, -0x1.3b2846p-3f, 0x1.1ea258p-3f, -0x1.5032eap-3f, 0x1.99d428p-3f,
                                -0x1.00148p-2f, 0x1.5554fap-2f, -0x1.ffffd6p-2f});
  const V value = Fma(n, kLn2, Fma(tail, f * f, f));
  // What is left: +infinity and NaN as they are, NaN below 0, and -infinity at 0.
  const V finite = Select(Apply(VectorOp::kLess, x, x.Like(kInfinity)), value, x + x);
  const V positive = Select(Apply(VectorOp::kLess, x, x.Like(0.0f)), x.LikeBits(kNan), finite);
  return Select(Apply(VectorOp::kEqual, x, x.Like(0.0f)), x.Like(-kInfinity), positive);
}

namespace {

/// A polynomial in t of which each lane has its own: coefficients from the lowest degree to the highest.
V PolynomialOf(V index, V t, std::span<const LookupTable> tables) {
  V sum = Lookup(index, tables.back());
  for (std::size_t i = tables.size() - 1; i-- > 0;) sum = Fma(sum, t, Lookup(index, tables[i]));
  return sum;
}

/// 1.40 ulp. |x| in one of 16 pieces, which are shorter where tanh bends more: the exponent of |x| + 5/8 and two bits
/// of its mantissa say in which.
V TanhFromTable(V x) {
  const V magnitude = Min(x.Like(9.2f), Abs(x)), piece = (magnitude + 0.625f) >> 21;
  const std::span<const LookupTable> tables = kTanhTable;
  return WithSign(PolynomialOf(piece, magnitude - Lookup(piece, tables[0]), tables.subspan(1)), x);
}

/// 1.91 ulp. |x| = c + t with c a multiple of 1/4, which is what the magic number leaves in the low bits. t is added as
/// it is: near 0 a coefficient of 2 / sqrt(pi) would be too far from that.
V ErfFromTable(V x) {
  constexpr float kMagicOfQuarters = kMagic / 4;
  const V magnitude = Min(x.Like(0x1.effffep+1f), Abs(x)), shifted = magnitude + kMagicOfQuarters;
  const V t = magnitude - (shifted - kMagicOfQuarters);
  const std::span<const LookupTable> tables = kErfTable;
  const V at_c = Lookup(shifted, tables[0]);
  return WithSign(Fma(PolynomialOf(shifted, t, tables.subspan(1)), t, at_c + t), x);
}

}  // namespace

// 1.96 ulp. With h = (1 - exp(-2 |x|)) / 2: tanh |x| = h / (1 - h). The quotient q is corrected by what division and
// difference left out, times 1 / (1 - h) = 1 + q: two rounded operands alone would cost 2.5 ulp. 1 is reached
// before 9.2.
V Tanh(V x) {
  if (x.program().avx512()) return TanhFromTable(x);
  const V magnitude = Min(x.Like(9.2f), Abs(x));
  const auto [power, rest] = ReduceNegative(magnitude, 2);
  const V h = Fma(power, SmallOneMinusExp(rest, 2), Fma(power, -0.5f, 0.5f));
  const V difference = 1.0f - h, lost = (1.0f - difference) - h, quotient = h / difference;
  const V left = Fnma(quotient, lost, Fnma(quotient, difference, h));
  return WithSign(Fma(left, quotient + 1.0f, quotient), x);
}

// 1.85 ulp. erf |x| = 1 - exp(-q) with q = -log(erfc |x|) = |x| + |x| * (...), weight |x| * erfc |x| / erf |x| up to 4:
// 2^-28. One polynomial serves near 0 and far away, for exp(-q) makes its error vanish there. 1 is reached before 4.
V Erf(V x) {
  if (x.program().avx512()) return ErfFromTable(x);
  const V magnitude = Min(x.Like(4.0f), Abs(x));
  const V tail =
      Polynomial(magnitude, {-0x1.3695e8p-17f, 0x1.ed6b68p-14f, -0x1.4bc97cp-11f, 0x1.b4ffe4p-10f, -0x1.505c48p-13f,
                             -0x1.39cdcap-6f, 0x1.a4fa5ep-4f, 0x1.45f2fap-1f, 0x1.06eba8p-3f});
  const auto [power, rest] = ReduceNegative(Fma(tail, magnitude, magnitude), 1);
  return WithSign(Fma(power, SmallOneMinusExp(rest, 1), 1.0f - power), x);
}

// 1.49 ulp.
V Rsqrt(V x) { return 1.0f / Apply(VectorOp::kSqrt, x); }

// The instructions give the second operand for NaN and for two zeros: both orders together know of both signs.
V Minimum(V x, V y) {
  const V number = Min(x, y) | Min(y, x);
  return Select(Apply(VectorOp::kUnordered, x, y), x.LikeBits(kNan), number);
}
V Maximum(V x, V y) {
  const V number = Apply(VectorOp::kAnd, Max(x, y), Max(y, x));
  return Select(Apply(VectorOp::kUnordered, x, y), x.LikeBits(kNan), number);
}

namespace {

/// Makes 0 of NaN and the largest s32 of what is above it: the instruction has -2^31 for both.
V Saturated(VectorOp conversion, V x) {
  const V above = Apply(VectorOp::kLessEqual, x.Like(0x1p31f), x);
  const V within = Select(above, x.LikeBits(0x7fffffff), Apply(conversion, x));
  return Select(IsNan(x), x.LikeBits(0), within);
}

V NanAsZero(V x) { return Select(IsNan(x), x.Like(0.0f), x); }

struct Limits {
  float low, high;
};
Limits LimitsOf(DType dtype) {
  switch (dtype) {
    case DType::kS8:
      return {-128, 127};
    case DType::kU8:
      return {0, 255};
    case DType::kE4m3:
      return {-448, 448};
    default:
      return {-57344, 57344};
  }
}
int MantissaBits(DType dtype) { return dtype == DType::kE4m3 ? 3 : 2; }
int Bias(DType dtype) { return dtype == DType::kE4m3 ? 7 : 15; }
float PowerOf2(int exponent) { return std::bit_cast<float>(static_cast<std::uint32_t>(127 + exponent) << 23); }

V NearestInteger(DType dtype, V x) {
  const Limits limits = LimitsOf(dtype);
  return Apply(VectorOp::kNearestS32, Clamped(NanAsZero(x), limits.low, limits.high));
}

/// To the grid of a format of 8 bits, within its range: adding so large a number that the last bit that remains is the
/// last of the format, at x's own exponent or at the lowest.
V OnGrid(DType dtype, V x) {
  const std::uint32_t lowest = std::bit_cast<std::uint32_t>(PowerOf2(1 - Bias(dtype)));
  const V power = Apply(VectorOp::kMaxS32, x & kInfinityBits, x.LikeBits(lowest));
  const V large = AddS32(power, (static_cast<std::uint32_t>(23 - MantissaBits(dtype)) << 23) + 0x400000);
  return WithSign(Abs((x + large) - large), x);
}

/// The upper half is a bf16; the lower is to be dropped. Not for NaN.
V RoundedUpperHalf(V x) { return AddS32(AddS32(x, 0x7fff), (x >> 16) & 1); }

/// The bits of a number that is on the grid: scaled, its exponent has the format's bias.
V BitsOnGrid(DType dtype, V x) {
  const int dropped = 23 - MantissaBits(dtype);
  const V scaled = x * PowerOf2(Bias(dtype) - 127);
  const V magnitude = (scaled >> dropped) & 0x7f, sign = (x >> 24) & 0x80;
  if (dtype == DType::kE5m2) return magnitude | sign;
  return Select(IsNan(x), x.LikeBits(0x7f), magnitude) | sign;
}

/// Encode knows infinities: e5m2 has them, in e4m3 they are NaN.
V Encoded8(DType dtype, V x) {
  const Limits limits = LimitsOf(dtype);
  const V infinite = Apply(VectorOp::kEqual, Abs(x), x.Like(kInfinity));
  const V within = OnGrid(dtype, Clamped(x, limits.low, limits.high));
  return BitsOnGrid(dtype, Select(infinite, dtype == DType::kE5m2 ? x : x.LikeBits(kNan), within));
}

}  // namespace

V TruncatedS32(V x) { return Saturated(VectorOp::kTruncatedS32, x); }

V RoundedTo(DType dtype, V x) {
  switch (dtype) {
    case DType::kF16:
      return Apply(VectorOp::kHalf, x);
    case DType::kBf16:
      return Select(IsNan(x), x, RoundedUpperHalf(x) & 0xffff0000);
    case DType::kE4m3:
    case DType::kE5m2:
      return OnGrid(dtype, Clamped(x, LimitsOf(dtype).low, LimitsOf(dtype).high));
    default:
      return Apply(VectorOp::kToF32, NearestInteger(dtype, x));
  }
}

V Encoded(DType dtype, V x, bool rounded) {
  switch (dtype) {
    case DType::kBf16:
      if (rounded) return x >> 16;
      return Select(IsNan(x), x.LikeBits(kNan >> 16), RoundedUpperHalf(x) >> 16);
    case DType::kE4m3:
    case DType::kE5m2:
      return rounded ? BitsOnGrid(dtype, x) : Encoded8(dtype, x);
    case DType::kS32:
      return Saturated(VectorOp::kNearestS32, x);
    case DType::kS8:
    case DType::kU8:
      return rounded ? Apply(VectorOp::kNearestS32, x) : NearestInteger(dtype, x);
    default:
      return x;
  }
}

V EncodedS32(DType dtype, V x) {
  if (dtype == DType::kS32) return x;
  if (dtype != DType::kS8 && dtype != DType::kU8) return Encoded(dtype, Apply(VectorOp::kToF32, x), false);
  const bool is_signed = dtype == DType::kS8;
  const V above = Apply(VectorOp::kMaxS32, x, x.LikeBits(is_signed ? -128u : 0u));
  return Apply(VectorOp::kMinS32, above, x.LikeBits(is_signed ? 127u : 255u));
}

V Decoded(DType dtype, V bits) {
  if (dtype != DType::kE4m3 && dtype != DType::kE5m2)
    return Info(dtype).is_integer() ? Apply(VectorOp::kToF32, bits) : bits;
  const int dropped = 23 - MantissaBits(dtype);
  const V magnitude = bits & 0x7f, value = (magnitude << dropped) * PowerOf2(127 - Bias(dtype));
  const std::uint32_t largest = dtype == DType::kE4m3 ? 0x7e : 0x7b;
  const V special = Apply(VectorOp::kGreaterS32, magnitude, bits.LikeBits(largest));
  return Select(special, value | value.LikeBits(kInfinityBits), value) | ((bits & 0x80) << 24);
}

}  // namespace gemmsmith
