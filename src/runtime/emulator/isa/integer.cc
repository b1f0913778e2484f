// Integer arithmetic.
#include <limits>

#include "runtime/emulator/isa/decoder.h"
#include "runtime/emulator/isa/map.h"

namespace gemmsmith::emulator {
namespace {

template <class T>
using Unsigned = std::make_unsigned_t<T>;

// Arithmetic wraps, which C++ has for unsigned types only; 16-bit products must not become those of int.
template <class T>
using Wrapping = std::conditional_t<sizeof(T) <= 4, std::uint32_t, std::uint64_t>;
template <class T>
constexpr Wrapping<T> Wrap(T x) {
  return static_cast<Wrapping<T>>(x);
}

template <class T>
T Add(T a, T b) {
  return static_cast<T>(Wrap(a) + Wrap(b));
}
template <class T>
T Sub(T a, T b) {
  return static_cast<T>(Wrap(a) - Wrap(b));
}
std::int32_t Saturated(std::int64_t x) {
  constexpr std::int64_t kLow = std::numeric_limits<std::int32_t>::min(),
                         kHigh = std::numeric_limits<std::int32_t>::max();
  return static_cast<std::int32_t>(x < kLow ? kLow : x > kHigh ? kHigh : x);
}
std::int32_t AddSaturated(std::int32_t a, std::int32_t b) { return Saturated(std::int64_t{a} + b); }
std::int32_t SubSaturated(std::int32_t a, std::int32_t b) { return Saturated(std::int64_t{a} - b); }
template <class T>
T MulLow(T a, T b) {
  return static_cast<T>(Wrap(a) * Wrap(b));
}
template <class T>
T MulHigh(T a, T b) {
  return static_cast<T>((Wider<T>{a} * b) >> (8 * sizeof(T)));
}
template <class T>
Wider<T> MulWide(T a, T b) {
  return Wider<T>{a} * b;
}
template <class T>
T MadLow(T a, T b, T c) {
  return static_cast<T>(Wrap(a) * Wrap(b) + Wrap(c));
}
template <class T>
T MadHigh(T a, T b, T c) {
  return Add(MulHigh(a, b), c);
}
std::int32_t MadHighSaturated(std::int32_t a, std::int32_t b, std::int32_t c) {
  return Saturated(std::int64_t{MulHigh(a, b)} + c);
}
template <class T>
Wider<T> MadWide(T a, T b, Wider<T> c) {
  return Add(MulWide(a, b), c);
}

std::int64_t Low24(std::int32_t x) { return static_cast<std::int32_t>(static_cast<std::uint32_t>(x) << 8) >> 8; }
std::uint64_t Low24(std::uint32_t x) { return x & 0xffffff; }
template <class T>
T Mul24Low(T a, T b) {
  return static_cast<T>(Low24(a) * Low24(b));
}
template <class T>
T Mul24High(T a, T b) {
  return static_cast<T>((Low24(a) * Low24(b)) >> 16);
}
template <class T>
T Mad24Low(T a, T b, T c) {
  return Add(Mul24Low(a, b), c);
}
template <class T>
T Mad24High(T a, T b, T c) {
  return Add(Mul24High(a, b), c);
}
std::int32_t Mad24HighSaturated(std::int32_t a, std::int32_t b, std::int32_t c) {
  return Saturated(std::int64_t{Mul24High(a, b)} + c);
}

/// Division by zero gives all ones, as on devices; the one quotient that overflows wraps.
template <class T>
T Div(T a, T b) {
  if (b == 0) return static_cast<T>(-1);
  if constexpr (std::is_signed_v<T>)
    if (b == -1) return Sub(T{0}, a);
  return static_cast<T>(a / b);
}
template <class T>
T Rem(T a, T b) {
  if (b == 0) return a;
  if constexpr (std::is_signed_v<T>)
    if (b == -1) return 0;
  return static_cast<T>(a % b);
}
template <class T>
T Abs(T a) {
  return a < 0 ? Sub(T{0}, a) : a;
}
template <class T>
T Neg(T a) {
  return Sub(T{0}, a);
}
template <class T>
T Min(T a, T b) {
  return b < a ? b : a;
}
template <class T>
T Max(T a, T b) {
  return a < b ? b : a;
}
template <class T>
T MinRelu(T a, T b) {
  return Max(Min(a, b), T{0});
}
template <class T>
T MaxRelu(T a, T b) {
  return Max(Max(a, b), T{0});
}
template <class T>
T Sad(T a, T b, T c) {
  return Add(c, a < b ? Sub(b, a) : Sub(a, b));
}

/// Both halves of a register, as two 16-bit numbers.
template <class T, T (*f)(T, T)>
std::uint32_t Twice(std::uint32_t a, std::uint32_t b) {
  const auto low = static_cast<std::uint16_t>(f(static_cast<T>(a), static_cast<T>(b)));
  const auto high = static_cast<std::uint16_t>(f(static_cast<T>(a >> 16), static_cast<T>(b >> 16)));
  return low | static_cast<std::uint32_t>(high) << 16;
}

template <bool kSignedA, bool kSignedB>
std::uint32_t Dp4a(std::uint32_t a, std::uint32_t b, std::uint32_t c) {
  for (int shift = 0; shift < 32; shift += 8) {
    const auto x = static_cast<std::uint8_t>(a >> shift), y = static_cast<std::uint8_t>(b >> shift);
    const int p = (kSignedA ? static_cast<std::int8_t>(x) : x) * (kSignedB ? static_cast<std::int8_t>(y) : y);
    c += static_cast<std::uint32_t>(p);
  }
  return c;
}
template <bool kSignedA, bool kSignedB, bool kHigh>
std::uint32_t Dp2a(std::uint32_t a, std::uint32_t b, std::uint32_t c) {
  for (int i = 0; i < 2; ++i) {
    const auto x = static_cast<std::uint16_t>(a >> (16 * i));
    const auto y = static_cast<std::uint8_t>(b >> (8 * i + (kHigh ? 16 : 0)));
    const int p = (kSignedA ? static_cast<std::int16_t>(x) : x) * (kSignedB ? static_cast<std::int8_t>(y) : y);
    c += static_cast<std::uint32_t>(p);
  }
  return c;
}

#define GEMMSMITH_INTEGER(function)                                                                           \
  [](const Form& form) -> Execute {                                                                           \
    return ForInteger(form.type(), [](auto zero) -> Execute { return Map<&function<decltype(zero)>>::Run; }); \
  }
#define GEMMSMITH_PLAIN(...) [](const Form&) -> Execute { return Map<&__VA_ARGS__>::Run; }

/// 24-bit forms exist for 32 bits alone.
#define GEMMSMITH_INTEGER_32(function)                                                                          \
  [](const Form& form) -> Execute {                                                                             \
    return ptx::IsSigned(form.type()) ? Map<&function<std::int32_t>>::Run : Map<&function<std::uint32_t>>::Run; \
  }
/// Wide forms: 16 and 32 bits.
#define GEMMSMITH_INTEGER_WIDE(function)                                                         \
  [](const Form& form) -> Execute {                                                              \
    const bool is_signed = ptx::IsSigned(form.type());                                           \
    if (ptx::Bits(form.type()) == 16)                                                            \
      return is_signed ? Map<&function<std::int16_t>>::Run : Map<&function<std::uint16_t>>::Run; \
    return is_signed ? Map<&function<std::int32_t>>::Run : Map<&function<std::uint32_t>>::Run;   \
  }
#define GEMMSMITH_TWICE(function)                                                        \
  [](const Form& form) -> Execute {                                                      \
    return form.Has("s16x2") ? Map<&Twice<std::int16_t, function<std::int16_t>>>::Run    \
                             : Map<&Twice<std::uint16_t, function<std::uint16_t>>>::Run; \
  }

Execute SelectDp4a(const Form& form) {
  const bool a = ptx::IsSigned(form.type(0)), b = ptx::IsSigned(form.type(1));
  if (a) return b ? Map<&Dp4a<true, true>>::Run : Map<&Dp4a<true, false>>::Run;
  return b ? Map<&Dp4a<false, true>>::Run : Map<&Dp4a<false, false>>::Run;
}
template <bool kHigh>
Execute SelectDp2aHalf(const Form& form) {
  const bool a = ptx::IsSigned(form.type(0)), b = ptx::IsSigned(form.type(1));
  if (a) return b ? Map<&Dp2a<true, true, kHigh>>::Run : Map<&Dp2a<true, false, kHigh>>::Run;
  return b ? Map<&Dp2a<false, true, kHigh>>::Run : Map<&Dp2a<false, false, kHigh>>::Run;
}
Execute SelectDp2a(const Form& form) {
  return form.Has("hi") ? SelectDp2aHalf<true>(form) : SelectDp2aHalf<false>(form);
}

/// add.cc and its kin: the carry is a predicate of the frame that only they know, the last operand.
enum class Chain : std::uint8_t { kAdd, kSub, kMadLow, kMadHigh };
template <class T, Chain kOperation, bool kCarryIn, bool kCarryOut>
void RunChain(Warp& warp, const Instruction& i) {
  constexpr bool kMad = kOperation == Chain::kMadLow || kOperation == Chain::kMadHigh;
  const auto a = warp.Get<T>(i.operands[1]), b = warp.Get<T>(i.operands[2]), c = warp.Get<T>(i.operands[kMad ? 3 : 2]);
  const Operand& flag = i.operands[kMad ? 4 : 3];
  const std::uint32_t carry = kCarryIn ? warp.GetPredicate(flag) : 0;
  T out[kLanes];
  std::uint32_t carried = 0;
  for (int l = 0; l < kLanes; ++l) {
    const Wider<T> in = carry >> l & 1;
    const Wider<T> product = Wider<T>{a[l]} * b[l];
    Wider<T> sum = 0;
    if constexpr (kOperation == Chain::kAdd) sum = Wider<T>{a[l]} + b[l] + in;
    if constexpr (kOperation == Chain::kSub) sum = Wider<T>{a[l]} - b[l] - in;
    if constexpr (kOperation == Chain::kMadLow) sum = Wider<T>{static_cast<T>(product)} + c[l] + in;
    if constexpr (kOperation == Chain::kMadHigh) sum = (product >> (8 * sizeof(T))) + c[l] + in;
    out[l] = static_cast<T>(sum);
    carried |= static_cast<std::uint32_t>(sum >> (8 * sizeof(T)) & 1) << l;
  }
  warp.Put(i.operands[0], out);
  if (kCarryOut) warp.PutPredicate(flag, carried);
}
template <class T, Chain kOperation>
Execute SelectCarries(const Form& form, bool in) {
  if (in) return form.Has("cc") ? RunChain<T, kOperation, true, true> : RunChain<T, kOperation, true, false>;
  return RunChain<T, kOperation, false, true>;
}
/// mad.hi of signed numbers carries like that of unsigned ones, but multiplies otherwise: refused by the rows.
template <Chain kOperation, bool kIn>
Execute SelectChain(const Form& form) {
  return ptx::Bits(form.type()) == 32 ? SelectCarries<std::uint32_t, kOperation>(form, kIn)
                                      : SelectCarries<std::uint64_t, kOperation>(form, kIn);
}
template <bool kIn>
Execute SelectMadChain(const Form& form) {
  return form.Has("hi") ? SelectChain<Chain::kMadHigh, kIn>(form) : SelectChain<Chain::kMadLow, kIn>(form);
}

constexpr Category kCategory = Category::kInteger;

/// vabsdiff4 of unsigned bytes, side by side or added to c: the one video instruction that the toolkit's headers use.
template <bool kAdd>
std::uint32_t AbsoluteDifferences(std::uint32_t a, std::uint32_t b, std::uint32_t c) {
  std::uint32_t bytes = 0, sum = c;
  for (unsigned shift = 0; shift < 32; shift += 8) {
    const std::uint32_t x = a >> shift & 255, y = b >> shift & 255, difference = x < y ? y - x : x - y;
    bytes |= difference << shift;
    sum += difference;
  }
  return kAdd ? sum : bytes;
}
template <bool kAdd>
Execute SelectDifferences(const Form&) {
  return Map<AbsoluteDifferences<kAdd>>::Run;
}

constexpr Row kRows[] = {
    {"add.sat.s32", "d s s", kCategory, 10, 0, GEMMSMITH_PLAIN(AddSaturated)},
    {"add.{u16,u32,u64,s16,s32,s64}", "d s s", kCategory, 10, 0, GEMMSMITH_INTEGER(Add)},
    {"add.{u16x2,s16x2}", "db32 sb32 sb32", kCategory, 80, 90, GEMMSMITH_TWICE(Add)},
    {"sub.sat.s32", "d s s", kCategory, 10, 0, GEMMSMITH_PLAIN(SubSaturated)},
    {"sub.{u16,u32,u64,s16,s32,s64}", "d s s", kCategory, 10, 0, GEMMSMITH_INTEGER(Sub)},
    {"mul.lo.{u16,u32,u64,s16,s32,s64}", "d s s", kCategory, 10, 0, GEMMSMITH_INTEGER(MulLow)},
    {"mul.hi.{u16,u32,u64,s16,s32,s64}", "d s s", kCategory, 10, 0, GEMMSMITH_INTEGER(MulHigh)},
    {"mul.wide.{u16,u32,s16,s32}", "w s s", kCategory, 10, 0, GEMMSMITH_INTEGER_WIDE(MulWide)},
    {"mad.lo.{u16,u32,u64,s16,s32,s64}", "d s s s", kCategory, 10, 0, GEMMSMITH_INTEGER(MadLow)},
    {"mad.hi.sat.s32", "d s s s", kCategory, 10, 0, GEMMSMITH_PLAIN(MadHighSaturated)},
    {"mad.hi.{u16,u32,u64,s16,s32,s64}", "d s s s", kCategory, 10, 0, GEMMSMITH_INTEGER(MadHigh)},
    {"mad.wide.{u16,u32,s16,s32}", "w s s sw", kCategory, 10, 0, GEMMSMITH_INTEGER_WIDE(MadWide)},
    {"mul24.lo.{u32,s32}", "d s s", kCategory, 10, 0, GEMMSMITH_INTEGER_32(Mul24Low)},
    {"mul24.hi.{u32,s32}", "d s s", kCategory, 10, 0, GEMMSMITH_INTEGER_32(Mul24High)},
    {"mad24.lo.{u32,s32}", "d s s s", kCategory, 10, 0, GEMMSMITH_INTEGER_32(Mad24Low)},
    {"mad24.hi.sat.s32", "d s s s", kCategory, 10, 0, GEMMSMITH_PLAIN(Mad24HighSaturated)},
    {"mad24.hi.{u32,s32}", "d s s s", kCategory, 10, 0, GEMMSMITH_INTEGER_32(Mad24High)},
    {"div.{u16,u32,u64,s16,s32,s64}", "d s s", kCategory, 10, 0, GEMMSMITH_INTEGER(Div)},
    {"rem.{u16,u32,u64,s16,s32,s64}", "d s s", kCategory, 10, 0, GEMMSMITH_INTEGER(Rem)},
    {"abs.{s16,s32,s64}", "d s", kCategory, 10, 0, GEMMSMITH_INTEGER(Abs)},
    {"neg.{s16,s32,s64}", "d s", kCategory, 10, 0, GEMMSMITH_INTEGER(Neg)},
    {"min.{u16,u32,u64,s16,s32,s64}", "d s s", kCategory, 10, 0, GEMMSMITH_INTEGER(Min)},
    {"max.{u16,u32,u64,s16,s32,s64}", "d s s", kCategory, 10, 0, GEMMSMITH_INTEGER(Max)},
    {"min.relu.s32", "d s s", kCategory, 80, 90, GEMMSMITH_PLAIN(MinRelu<std::int32_t>)},
    {"max.relu.s32", "d s s", kCategory, 80, 90, GEMMSMITH_PLAIN(MaxRelu<std::int32_t>)},
    {"min.{u16x2,s16x2}", "db32 sb32 sb32", kCategory, 80, 90, GEMMSMITH_TWICE(Min)},
    {"max.{u16x2,s16x2}", "db32 sb32 sb32", kCategory, 80, 90, GEMMSMITH_TWICE(Max)},
    {"min.relu.s16x2", "db32 sb32 sb32", kCategory, 80, 90, GEMMSMITH_TWICE(MinRelu)},
    {"max.relu.s16x2", "db32 sb32 sb32", kCategory, 80, 90, GEMMSMITH_TWICE(MaxRelu)},
    {"sad.{u16,u32,u64,s16,s32,s64}", "d s s s", kCategory, 10, 0, GEMMSMITH_INTEGER(Sad)},
    {"dp4a.{u32,s32}.{u32,s32}", "db32 sb32 sb32 sb32", kCategory, 50, 61, SelectDp4a},
    {"dp2a.{lo,hi}.{u32,s32}.{u32,s32}", "db32 sb32 sb32 sb32", kCategory, 50, 61, SelectDp2a},
    {"vabsdiff4.u32.u32.u32", "db32 sb32 sb32 sb32", kCategory, 30, 30, SelectDifferences<false>},
    {"vabsdiff4.u32.u32.u32.add", "db32 sb32 sb32 sb32", kCategory, 30, 30, SelectDifferences<true>},
    {"add.cc.{u32,s32,u64,s64}", "d s s c", kCategory, 12, 0, SelectChain<Chain::kAdd, false>},
    {"addc[.cc].{u32,s32,u64,s64}", "d s s c", kCategory, 12, 0, SelectChain<Chain::kAdd, true>},
    {"sub.cc.{u32,s32,u64,s64}", "d s s c", kCategory, 12, 0, SelectChain<Chain::kSub, false>},
    {"subc[.cc].{u32,s32,u64,s64}", "d s s c", kCategory, 12, 0, SelectChain<Chain::kSub, true>},
    {"mad.lo.cc.{u32,s32,u64,s64}", "d s s s c", kCategory, 30, 0, SelectMadChain<false>},
    {"madc.lo[.cc].{u32,s32,u64,s64}", "d s s s c", kCategory, 30, 0, SelectMadChain<true>},
    {"mad.hi.cc.{u32,u64}", "d s s s c", kCategory, 30, 0, SelectMadChain<false>},
    {"madc.hi[.cc].{u32,u64}", "d s s s c", kCategory, 30, 0, SelectMadChain<true>},
};

}  // namespace

std::span<const Row> IntegerRows() { return kRows; }

}  // namespace gemmsmith::emulator
