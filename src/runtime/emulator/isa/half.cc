// Arithmetic in f16 and bf16, one value or two in a register.
#include "runtime/emulator/isa/decoder.h"
#include "runtime/emulator/isa/small_float.h"

namespace gemmsmith::emulator {
namespace {

/// Bits of options[0].
enum HalfOption : std::uint8_t { kFtz = 1, kSat = 2, kRelu = 4, kNan = 8, kXorSign = 16, kAbsolute = 32 };

template <class H>
H Canonical() {
  return H{0x7fff};
}
template <class H>
bool IsNan(H x) {
  return ToFloat(x) != ToFloat(x);
}

/// Results have 24 bits before they are rounded to 11 or 8, enough for sums and products of those to be rounded as if
/// they were exact.
template <class H>
H Add(H a, H b, H) {
  H r;
  FromFloat(ToFloat(a) + ToFloat(b), r);
  return r;
}
template <class H>
H Sub(H a, H b, H) {
  H r;
  FromFloat(ToFloat(a) - ToFloat(b), r);
  return r;
}
template <class H>
H Mul(H a, H b, H) {
  H r;
  FromFloat(ToFloat(a) * ToFloat(b), r);
  return r;
}
/// The product is exact; the sum is rounded to odd, so that the second rounding sees on which side of a tie it was.
template <class H>
H Fma(H a, H b, H c) {
  const double product = static_cast<double>(ToFloat(a)) * ToFloat(b), addend = ToFloat(c);
  double sum = product + addend;
  if (std::isfinite(sum)) {
    const double part = sum - product;
    const double error = (product - (sum - part)) + (addend - part);
    auto bits = std::bit_cast<std::uint64_t>(sum);
    if (error != 0 && (bits & 1) == 0) {
      bits += (error > 0) == (sum > 0) ? 1 : std::uint64_t{0} - 1;
      sum = std::bit_cast<double>(bits);
    }
  }
  H r;
  FromDouble(sum, r);
  return r;
}
template <class H>
H Abs(H a, H, H) {
  return IsNan(a) ? Canonical<H>() : H{static_cast<std::uint16_t>(a.bits & 0x7fff)};
}
template <class H>
H Neg(H a, H, H) {
  return IsNan(a) ? Canonical<H>() : H{static_cast<std::uint16_t>(a.bits ^ 0x8000)};
}
template <class H, bool kMax>
H Pick(H a, H b, H) {
  if (IsNan(a)) return IsNan(b) ? Canonical<H>() : b;
  if (IsNan(b)) return a;
  const float x = ToFloat(a), y = ToFloat(b);
  if (x == y) return (((a.bits & 0x8000) != 0) == kMax) ? b : a;
  return (x < y) == kMax ? b : a;
}
template <class H>
H Exp2(H a, H, H) {
  H r;
  FromDouble(std::exp2(static_cast<double>(ToFloat(a))), r);
  return r;
}
template <class H>
H Tanh(H a, H, H) {
  H r;
  FromDouble(std::tanh(static_cast<double>(ToFloat(a))), r);
  return r;
}

template <class H>
H Flush(H x) {
  const std::uint16_t exponent = std::is_same_v<H, HalfBits> ? 0x7c00 : 0x7f80;
  return (x.bits & exponent) == 0 ? H{static_cast<std::uint16_t>(x.bits & 0x8000)} : x;
}
template <class H>
H Finish(unsigned options, H r) {
  if ((options & kFtz) != 0) r = Flush(r);
  if ((options & kRelu) != 0 && !IsNan(r) && (r.bits & 0x8000) != 0) r = H{0};
  if ((options & kSat) != 0) FromFloat(Saturate(ToFloat(r)), r);
  return r;
}

/// f on each half of the registers; of those with one value the upper half is of no account.
template <class H, H (*f)(H, H, H), bool kTwo>
struct Halves {
  static void Run(Warp& warp, const Instruction& i) {
    const unsigned options = i.options[0], sources = i.count - 1u;
    const auto a = warp.Get<std::uint32_t>(i.operands[1]);
    const auto b = warp.Get<std::uint32_t>(i.operands[sources > 1 ? 2 : 1]);
    const auto c = warp.Get<std::uint32_t>(i.operands[sources > 2 ? 3 : 1]);
    std::uint32_t out[kLanes];
    for (int l = 0; l < kLanes; ++l) {
      out[l] = One(options, a[l], b[l], c[l]);
      if (kTwo) out[l] |= One(options, a[l] >> 16, b[l] >> 16, c[l] >> 16) << 16;
    }
    warp.Put(i.operands[0], out);
  }

 private:
  static std::uint32_t One(unsigned options, std::uint32_t a, std::uint32_t b, std::uint32_t c) {
    H x{static_cast<std::uint16_t>(a)}, y{static_cast<std::uint16_t>(b)}, z{static_cast<std::uint16_t>(c)};
    if (options == 0) return f(x, y, z).bits;
    if ((options & kFtz) != 0) x = Flush(x), y = Flush(y), z = Flush(z);
    if ((options & kNan) != 0 && (IsNan(x) || IsNan(y))) return Canonical<H>().bits;
    const std::uint16_t sign = (x.bits ^ y.bits) & 0x8000;
    if ((options & (kXorSign | kAbsolute)) != 0) x.bits &= 0x7fff, y.bits &= 0x7fff;
    H r = Finish(options, f(x, y, z));
    if ((options & kXorSign) != 0) r.bits = static_cast<std::uint16_t>((r.bits & 0x7fff) | sign);
    return r.bits;
  }
};

void Prepare(Decoder& decoder, Instruction& out) {
  const Form& form = decoder.form();
  const bool xorsign = form.Has("xorsign");
  out.options[0] = static_cast<std::uint8_t>((form.Has("ftz") ? kFtz : 0) | (form.Has("sat") ? kSat : 0) |
                                             (form.Has("relu") ? kRelu : 0) | (form.Has("NaN") ? kNan : 0) |
                                             (xorsign           ? kXorSign
                                              : form.Has("abs") ? kAbsolute
                                                                : 0));
}

template <class H>
H Minimum(H a, H b, H c) {
  return Pick<H, false>(a, b, c);
}
template <class H>
H Maximum(H a, H b, H c) {
  return Pick<H, true>(a, b, c);
}

#define GEMMSMITH_HALF(function)                                   \
  [](const Form& form) -> Execute {                                \
    switch (form.type()) {                                         \
      case ptx::ScalarType::kF16:                                  \
        return Halves<HalfBits, function<HalfBits>, false>::Run;   \
      case ptx::ScalarType::kF16x2:                                \
        return Halves<HalfBits, function<HalfBits>, true>::Run;    \
      case ptx::ScalarType::kBf16:                                 \
        return Halves<BrainBits, function<BrainBits>, false>::Run; \
      default:                                                     \
        return Halves<BrainBits, function<BrainBits>, true>::Run;  \
    }                                                              \
  },                                                               \
      Prepare
constexpr Category kCategory = Category::kHalf;

constexpr Row kRows[] = {
    {"add[.rn][.ftz][.sat].{f16,f16x2}", "d s s", kCategory, 42, 53, GEMMSMITH_HALF(Add)},
    {"add[.rn].{bf16,bf16x2}", "d s s", kCategory, 78, 90, GEMMSMITH_HALF(Add)},
    {"sub[.rn][.ftz][.sat].{f16,f16x2}", "d s s", kCategory, 42, 53, GEMMSMITH_HALF(Sub)},
    {"sub[.rn].{bf16,bf16x2}", "d s s", kCategory, 78, 90, GEMMSMITH_HALF(Sub)},
    {"mul[.rn][.ftz][.sat].{f16,f16x2}", "d s s", kCategory, 42, 53, GEMMSMITH_HALF(Mul)},
    {"mul[.rn].{bf16,bf16x2}", "d s s", kCategory, 78, 90, GEMMSMITH_HALF(Mul)},
    {"fma.rn[.ftz][.{sat,relu}].{f16,f16x2}", "d s s s", kCategory, 42, 53, GEMMSMITH_HALF(Fma)},
    {"fma.rn[.relu].{bf16,bf16x2}", "d s s s", kCategory, 70, 80, GEMMSMITH_HALF(Fma)},
    {"abs[.ftz].{f16,f16x2}", "d s", kCategory, 65, 53, GEMMSMITH_HALF(Abs)},
    {"abs.{bf16,bf16x2}", "d s", kCategory, 70, 80, GEMMSMITH_HALF(Abs)},
    {"neg[.ftz].{f16,f16x2}", "d s", kCategory, 60, 53, GEMMSMITH_HALF(Neg)},
    {"neg.{bf16,bf16x2}", "d s", kCategory, 70, 80, GEMMSMITH_HALF(Neg)},
    {"min[.ftz][.NaN][.xorsign][.abs].{f16,f16x2,bf16,bf16x2}", "d s s", kCategory, 70, 80, GEMMSMITH_HALF(Minimum)},
    {"max[.ftz][.NaN][.xorsign][.abs].{f16,f16x2,bf16,bf16x2}", "d s s", kCategory, 70, 80, GEMMSMITH_HALF(Maximum)},
    {"ex2.approx[.ftz].{f16,f16x2,bf16,bf16x2}", "d s", kCategory, 70, 75, GEMMSMITH_HALF(Exp2)},
    {"tanh.approx.{f16,f16x2,bf16,bf16x2}", "d s", kCategory, 70, 75, GEMMSMITH_HALF(Tanh)},
};

}  // namespace

std::span<const Row> HalfRows() { return kRows; }

}  // namespace gemmsmith::emulator
