// Floating point arithmetic in f32 and f64.
#include <numbers>

#include "runtime/emulator/isa/decoder.h"
#include "runtime/emulator/isa/map.h"
#include "runtime/emulator/isa/rounding.h"

namespace gemmsmith::emulator {
namespace {

template <class T>
T Add(T a, T b) {
  return a + b;
}
template <class T>
T Sub(T a, T b) {
  return a - b;
}
template <class T>
T Mul(T a, T b) {
  return a * b;
}
template <class T>
T Div(T a, T b) {
  return a / b;
}
template <class T>
T Fma(T a, T b, T c) {
  return std::fma(a, b, c);
}
template <class T>
T Reciprocal(T a) {
  return T{1} / a;
}
template <class T>
T Root(T a) {
  return std::sqrt(a);
}
// The approximate ones have no more than their last bits in doubt, which is what the double result rounded to f32 is.
float ReciprocalRoot(float a) { return static_cast<float>(1 / std::sqrt(static_cast<double>(a))); }
double ReciprocalRootDouble(double a) { return 1 / std::sqrt(a); }
float Sine(float a) { return static_cast<float>(std::sin(static_cast<double>(a))); }
float Cosine(float a) { return static_cast<float>(std::cos(static_cast<double>(a))); }
float Log2(float a) { return static_cast<float>(std::log2(static_cast<double>(a))); }
float Exp2(float a) { return static_cast<float>(std::exp2(static_cast<double>(a))); }
float Tanh(float a) { return static_cast<float>(std::tanh(static_cast<double>(a))); }
/// rcp.approx.ftz.f64 and its root look at the upper word alone.
double UpperWord(double a) {
  return std::bit_cast<double>(std::bit_cast<std::uint64_t>(a) & ~std::uint64_t{0xffffffff});
}
double ReciprocalUpper(double a) { return UpperWord(1 / UpperWord(a)); }
double ReciprocalRootUpper(double a) { return UpperWord(1 / std::sqrt(UpperWord(a))); }

template <class T>
T Abs(T a) {
  return std::abs(a);
}
template <class T>
T Neg(T a) {
  return -a;
}
/// Of a NaN and a number the number; -0 is less than +0.
template <class T>
T Min(T a, T b) {
  if (a != a) return b;
  if (b != b) return a;
  if (a == b) return std::signbit(a) ? a : b;
  return a < b ? a : b;
}
template <class T>
T Max(T a, T b) {
  if (a != a) return b;
  if (b != b) return a;
  if (a == b) return std::signbit(a) ? b : a;
  return a < b ? b : a;
}
template <class T>
T CopySign(T a, T b) {
  return std::copysign(b, a);  // PTX names the sign's source first.
}

/// Bits of options[0].
enum FloatOption : std::uint8_t { kFtz = 1, kSat = 2, kNan = 4, kXorSign = 8, kDirected = 16, kAbsolute = 32 };

/// Arithmetic: f, under options and, in options[1], a rounding other than to nearest.
template <auto f>
struct Arithmetic;
template <class T, class... A, T (*f)(A...)>
struct Arithmetic<f> {
  static void Run(Warp& warp, const Instruction& i) {
    if (i.options[0] == 0)
      Plain(warp, i, std::index_sequence_for<A...>());
    else if ((i.options[0] & kDirected) != 0)
      Directed(warp, i, std::index_sequence_for<A...>());
    else
      Modified(warp, i, std::index_sequence_for<A...>());
  }

 private:
  template <std::size_t... k>
  static void Plain(Warp& warp, const Instruction& i, std::index_sequence<k...>) {
    const auto in = std::make_tuple(warp.Get<A>(i.operands[k + 1])...);
    T out[kLanes];
    for (int l = 0; l < kLanes; ++l) out[l] = Canonical(f(std::get<k>(in)[l]...));
    warp.Put(i.operands[0], out);
  }
  template <std::size_t... k>
  static void Modified(Warp& warp, const Instruction& i, std::index_sequence<k...>) {
    const auto in = std::make_tuple(warp.Get<A>(i.operands[k + 1])...);
    T out[kLanes];
    for (int l = 0; l < kLanes; ++l) out[l] = Finished(i, f(Taken(i, std::get<k>(in)[l])...));
    warp.Put(i.operands[0], out);
  }
  template <std::size_t... k>
  static void Directed(Warp& warp, const Instruction& i, std::index_sequence<k...>) {
    const auto in = std::make_tuple(warp.Get<A>(i.operands[k + 1])...);
    T out[kLanes];
    const RoundingMode mode(RoundingModes()[i.options[1]]);
    for (int l = 0; l < kLanes; ++l) out[l] = Opaque(Finished(i, f(Opaque(Taken(i, std::get<k>(in)[l]))...)));
    warp.Put(i.operands[0], out);
  }
  static T Taken(const Instruction& i, T x) { return (i.options[0] & kFtz) != 0 ? Flushed(x) : x; }
  static T Finished(const Instruction& i, T x) {
    if ((i.options[0] & kFtz) != 0) x = Flushed(x);
    if ((i.options[0] & kSat) != 0) return Clamped(x);
    return Canonical(x);
  }
  static const int* RoundingModes() {
    static constexpr int kModes[] = {FE_TONEAREST, FE_TOWARDZERO, FE_DOWNWARD, FE_UPWARD};
    return kModes;
  }
};

#if defined(__x86_64__)
/// Without the instruction each lane would be a call of the C library: several times as slow as all else in a kernel.
template <class T>
__attribute__((target("avx2,fma"))) void FmaByInstruction(Warp& warp, const Instruction& i) {
  const auto a = warp.Get<T>(i.operands[1]), b = warp.Get<T>(i.operands[2]), c = warp.Get<T>(i.operands[3]);
  T out[kLanes];
  for (int l = 0; l < kLanes; ++l) {
    if constexpr (sizeof(T) == 4)
      out[l] = Canonical(__builtin_fmaf(a[l], b[l], c[l]));
    else
      out[l] = __builtin_fma(a[l], b[l], c[l]);
  }
  warp.Put(i.operands[0], out);
}
bool HasFma() { return __builtin_cpu_supports("fma") && __builtin_cpu_supports("avx2"); }
#endif

void PrepareArithmetic(Decoder& decoder, Instruction& out) {
  const Form& form = decoder.form();
  out.options[0] = static_cast<std::uint8_t>((form.Has("ftz") ? kFtz : 0) | (form.Has("sat") ? kSat : 0));
  switch (RoundingOf(form)) {
    case FE_TOWARDZERO:
      out.options[1] = 1;
      break;
    case FE_DOWNWARD:
      out.options[1] = 2;
      break;
    case FE_UPWARD:
      out.options[1] = 3;
      break;
    default:
      return;
  }
  out.options[0] |= kDirected;
}

/// The plain form is what the inner loops of matrix products are made of.
template <class T>
void PrepareFma(Decoder& decoder, Instruction& out) {
  PrepareArithmetic(decoder, out);
#if defined(__x86_64__)
  if (out.options[0] == 0 && HasFma()) out.execute = FmaByInstruction<T>;
#endif
}

/// min and max, of two or three.
template <class T, bool kMax>
void MinMax(Warp& warp, const Instruction& i) {
  const unsigned options = i.options[0];
  const auto a = warp.Get<T>(i.operands[1]), b = warp.Get<T>(i.operands[2]), c = warp.Get<T>(i.operands[i.count - 1]);
  const auto pick = [&](T x, T y) {
    if ((options & kNan) != 0 && (x != x || y != y)) return std::numeric_limits<T>::quiet_NaN();
    return kMax ? Max(x, y) : Min(x, y);
  };
  const auto take = [&](T x) {
    if ((options & kFtz) != 0) x = Flushed(x);
    return (options & (kXorSign | kAbsolute)) != 0 ? std::abs(x) : x;
  };
  T out[kLanes];
  for (int l = 0; l < kLanes; ++l) {
    T r = pick(take(a[l]), take(b[l]));
    if (i.count == 4) r = pick(r, take(c[l]));
    r = Canonical(r);
    if ((options & kXorSign) != 0) r = std::copysign(r, std::signbit(a[l]) != std::signbit(b[l]) ? T{-1} : T{1});
    out[l] = r;
  }
  warp.Put(i.operands[0], out);
}
void PrepareMinMax(Decoder& decoder, Instruction& out) {
  const Form& form = decoder.form();
  out.options[0] = static_cast<std::uint8_t>((form.Has("ftz") ? kFtz : 0) | (form.Has("NaN") ? kNan : 0) |
                                             (form.Has("xorsign") ? kXorSign
                                              : form.Has("abs")   ? kAbsolute
                                                                  : 0));
}

template <class T>
bool IsFinite(T a) {
  return std::isfinite(a);
}
template <class T>
bool IsInfinite(T a) {
  return std::isinf(a);
}
template <class T>
bool IsNumber(T a) {
  return a == a;
}
template <class T>
bool IsNotANumber(T a) {
  return a != a;
}
template <class T>
bool IsNormal(T a) {
  return std::isnormal(a);
}
template <class T>
bool IsSubnormal(T a) {
  return std::fpclassify(a) == FP_SUBNORMAL;
}
template <class T>
Execute SelectTest(const Form& form) {
  if (form.Has("finite")) return Map<&IsFinite<T>>::Run;
  if (form.Has("infinite")) return Map<&IsInfinite<T>>::Run;
  if (form.Has("number")) return Map<&IsNumber<T>>::Run;
  if (form.Has("notanumber")) return Map<&IsNotANumber<T>>::Run;
  return form.Has("normal") ? Map<&IsNormal<T>>::Run : Map<&IsSubnormal<T>>::Run;
}

constexpr Category kCategory = Category::kFloat;
#define GEMMSMITH_ARITHMETIC(function) \
  [](const Form&) -> Execute { return Arithmetic<&function>::Run; }, PrepareArithmetic
#define GEMMSMITH_FMA(type) [](const Form&) -> Execute { return Arithmetic<&Fma<type>>::Run; }, PrepareFma<type>
#define GEMMSMITH_MAP(function) [](const Form&) -> Execute { return Map<&function>::Run; }
#define GEMMSMITH_ROUNDING "[.{rn,rz,rm,rp}]"

constexpr Row kRows[] = {
    {"add" GEMMSMITH_ROUNDING "[.ftz][.sat].f32", "d s s", kCategory, 10, 0, GEMMSMITH_ARITHMETIC(Add<float>)},
    {"add" GEMMSMITH_ROUNDING ".f64", "d s s", kCategory, 10, 0, GEMMSMITH_ARITHMETIC(Add<double>)},
    {"sub" GEMMSMITH_ROUNDING "[.ftz][.sat].f32", "d s s", kCategory, 10, 0, GEMMSMITH_ARITHMETIC(Sub<float>)},
    {"sub" GEMMSMITH_ROUNDING ".f64", "d s s", kCategory, 10, 0, GEMMSMITH_ARITHMETIC(Sub<double>)},
    {"mul" GEMMSMITH_ROUNDING "[.ftz][.sat].f32", "d s s", kCategory, 10, 0, GEMMSMITH_ARITHMETIC(Mul<float>)},
    {"mul" GEMMSMITH_ROUNDING ".f64", "d s s", kCategory, 10, 0, GEMMSMITH_ARITHMETIC(Mul<double>)},
    {"fma.{rn,rz,rm,rp}[.ftz][.sat].f32", "d s s s", kCategory, 20, 0, GEMMSMITH_FMA(float)},
    {"fma.{rn,rz,rm,rp}.f64", "d s s s", kCategory, 14, 0, GEMMSMITH_FMA(double)},
    {"mad" GEMMSMITH_ROUNDING "[.ftz][.sat].f32", "d s s s", kCategory, 10, 0, GEMMSMITH_FMA(float)},
    {"mad" GEMMSMITH_ROUNDING ".f64", "d s s s", kCategory, 10, 0, GEMMSMITH_FMA(double)},
    {"div.{approx,full}[.ftz].f32", "d s s", kCategory, 14, 0, GEMMSMITH_ARITHMETIC(Div<float>)},
    {"div.{rn,rz,rm,rp}[.ftz].f32", "d s s", kCategory, 14, 0, GEMMSMITH_ARITHMETIC(Div<float>)},
    {"div.{rn,rz,rm,rp}.f64", "d s s", kCategory, 14, 0, GEMMSMITH_ARITHMETIC(Div<double>)},
    {"rcp.{approx,rn,rz,rm,rp}[.ftz].f32", "d s", kCategory, 14, 0, GEMMSMITH_ARITHMETIC(Reciprocal<float>)},
    {"rcp.{rn,rz,rm,rp}.f64", "d s", kCategory, 14, 0, GEMMSMITH_ARITHMETIC(Reciprocal<double>)},
    {"rcp.approx.ftz.f64", "d s", kCategory, 21, 0, GEMMSMITH_MAP(ReciprocalUpper)},
    {"sqrt.{approx,rn,rz,rm,rp}[.ftz].f32", "d s", kCategory, 14, 0, GEMMSMITH_ARITHMETIC(Root<float>)},
    {"sqrt.{rn,rz,rm,rp}.f64", "d s", kCategory, 14, 0, GEMMSMITH_ARITHMETIC(Root<double>)},
    {"rsqrt.approx[.ftz].f32", "d s", kCategory, 14, 0, GEMMSMITH_ARITHMETIC(ReciprocalRoot)},
    {"rsqrt.approx.f64", "d s", kCategory, 14, 0, GEMMSMITH_ARITHMETIC(ReciprocalRootDouble)},
    {"rsqrt.approx.ftz.f64", "d s", kCategory, 40, 0, GEMMSMITH_MAP(ReciprocalRootUpper)},
    {"sin.approx[.ftz].f32", "d s", kCategory, 14, 0, GEMMSMITH_ARITHMETIC(Sine)},
    {"cos.approx[.ftz].f32", "d s", kCategory, 14, 0, GEMMSMITH_ARITHMETIC(Cosine)},
    {"lg2.approx[.ftz].f32", "d s", kCategory, 14, 0, GEMMSMITH_ARITHMETIC(Log2)},
    {"ex2.approx[.ftz].f32", "d s", kCategory, 14, 0, GEMMSMITH_ARITHMETIC(Exp2)},
    {"tanh.approx.f32", "d s", kCategory, 70, 75, GEMMSMITH_ARITHMETIC(Tanh)},
    {"abs[.ftz].f32", "d s", kCategory, 10, 0, GEMMSMITH_ARITHMETIC(Abs<float>)},
    {"abs.f64", "d s", kCategory, 10, 0, GEMMSMITH_ARITHMETIC(Abs<double>)},
    {"neg[.ftz].f32", "d s", kCategory, 10, 0, GEMMSMITH_ARITHMETIC(Neg<float>)},
    {"neg.f64", "d s", kCategory, 10, 0, GEMMSMITH_ARITHMETIC(Neg<double>)},
    {"min[.ftz][.NaN][.xorsign][.abs].f32", "d s s s?", kCategory, 10, 0,
     [](const Form&) -> Execute { return MinMax<float, false>; }, PrepareMinMax},
    {"max[.ftz][.NaN][.xorsign][.abs].f32", "d s s s?", kCategory, 10, 0,
     [](const Form&) -> Execute { return MinMax<float, true>; }, PrepareMinMax},
    {"min.f64", "d s s", kCategory, 10, 0, [](const Form&) -> Execute { return MinMax<double, false>; }},
    {"max.f64", "d s s", kCategory, 10, 0, [](const Form&) -> Execute { return MinMax<double, true>; }},
    {"copysign.f32", "d s s", kCategory, 20, 0, GEMMSMITH_MAP(CopySign<float>)},
    {"copysign.f64", "d s s", kCategory, 20, 0, GEMMSMITH_MAP(CopySign<double>)},
    {"testp.{finite,infinite,number,notanumber,normal,subnormal}.f32", "dpred s", kCategory, 20, 0, SelectTest<float>},
    {"testp.{finite,infinite,number,notanumber,normal,subnormal}.f64", "dpred s", kCategory, 20, 0, SelectTest<double>},
};

}  // namespace

std::span<const Row> FloatRows() { return kRows; }

}  // namespace gemmsmith::emulator
