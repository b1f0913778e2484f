// cvt: between any two types.
#include <algorithm>
#include <limits>

#include "runtime/emulator/isa/decoder.h"
#include "runtime/emulator/isa/map.h"
#include "runtime/emulator/isa/small_float.h"

namespace gemmsmith::emulator {
namespace {

using ptx::ScalarType;

struct Conversion {
  ScalarType to{}, from{};
  Rounding rounding = Rounding::kNearest;
  bool integral = false;  ///< .rni and the like: a float is rounded to an integer of its own type.
  bool ftz = false, sat = false, relu = false, finite = false;
};

std::int64_t SignExtended(std::uint64_t bits, int width) {
  const int shift = 64 - width;
  return static_cast<std::int64_t>(bits << shift) >> shift;
}
std::uint64_t LowBits(std::uint64_t bits, int width) {
  return width == 64 ? bits : bits & ((std::uint64_t{1} << width) - 1);
}

const FloatFormat& FormatOf(ScalarType type) {
  switch (type) {
    case ScalarType::kF16:
      return kF16Format;
    case ScalarType::kBf16:
      return kBf16Format;
    case ScalarType::kF64:
      return kF64Format;
    case ScalarType::kE4m3:
    case ScalarType::kE4m3x2:
      return kE4m3Format;
    case ScalarType::kE5m2:
    case ScalarType::kE5m2x2:
      return kE5m2Format;
    case ScalarType::kTf32:
      return kTf32Format;
    default:
      return kF32Format;
  }
}

double ToDouble(ScalarType type, std::uint64_t bits) {
  return std::bit_cast<double>(Reformat(FormatOf(type), kF64Format, bits, Rounding::kNearest));
}

/// Registers of 8-bit results are wider: signed values fill them.
std::uint64_t Widened(std::int64_t value) { return static_cast<std::uint64_t>(value); }

std::uint64_t IntegerToInteger(const Conversion& c, std::uint64_t bits) {
  const int from = ptx::Bits(c.from), to = ptx::Bits(c.to);
  const bool from_signed = ptx::IsSigned(c.from), to_signed = ptx::IsSigned(c.to);
  std::uint64_t value = from_signed ? Widened(SignExtended(bits, from)) : LowBits(bits, from);
  if (c.sat) {
    const bool negative = from_signed && static_cast<std::int64_t>(value) < 0;
    const std::uint64_t highest = to_signed ? ~std::uint64_t{0} >> (65 - to) : LowBits(~std::uint64_t{0}, to);
    const std::int64_t lowest = to_signed ? -static_cast<std::int64_t>(highest) - 1 : 0;
    if (negative && static_cast<std::int64_t>(value) < lowest) value = static_cast<std::uint64_t>(lowest);
    if (!negative && value > highest) value = highest;
  }
  return to_signed ? Widened(SignExtended(value, to)) : LowBits(value, to);
}

template <class Float>
std::uint64_t FloatToIntegerOf(const Conversion& c, Float value) {
  switch (c.to) {
    case ScalarType::kU8:
      return ToInteger<std::uint8_t>(value, c.rounding);
    case ScalarType::kS8:
      return Widened(ToInteger<std::int8_t>(value, c.rounding));
    case ScalarType::kU16:
      return ToInteger<std::uint16_t>(value, c.rounding);
    case ScalarType::kS16:
      return Widened(ToInteger<std::int16_t>(value, c.rounding));
    case ScalarType::kU32:
      return ToInteger<std::uint32_t>(value, c.rounding);
    case ScalarType::kS32:
      return Widened(ToInteger<std::int32_t>(value, c.rounding));
    case ScalarType::kU64:
      return ToInteger<std::uint64_t>(value, c.rounding);
    default:
      return Widened(ToInteger<std::int64_t>(value, c.rounding));
  }
}

std::uint64_t FloatToInteger(const Conversion& c, std::uint64_t bits) {
  if (c.from == ScalarType::kF64) return FloatToIntegerOf(c, std::bit_cast<double>(bits));
  auto value = static_cast<float>(ToDouble(c.from, LowBits(bits, ptx::Bits(c.from))));
  if (c.ftz) value = FlushToZero(value);
  return FloatToIntegerOf(c, value);
}

std::uint64_t IntegerToFloat(const Conversion& c, std::uint64_t bits) {
  const int from = ptx::Bits(c.from);
  std::uint64_t result = ptx::IsSigned(c.from) ? FromInteger(FormatOf(c.to), SignExtended(bits, from), c.rounding)
                                               : FromInteger(FormatOf(c.to), LowBits(bits, from), c.rounding);
  if (!c.sat) return result;
  const double value = Saturate(ToDouble(c.to, result));
  return Reformat(kF64Format, FormatOf(c.to), std::bit_cast<std::uint64_t>(value), c.rounding);
}

std::uint64_t FloatToFloat(const Conversion& c, std::uint64_t bits) {
  const FloatFormat &from = FormatOf(c.from), &to = FormatOf(c.to);
  bits = LowBits(bits, ptx::Bits(c.from));
  if (c.ftz && c.from == ScalarType::kF32) bits = F32Bits(FlushToZero(F32FromBits(static_cast<std::uint32_t>(bits))));
  if (c.integral) {
    const double value = RoundToIntegral(ToDouble(c.from, bits), c.rounding);
    bits = Reformat(kF64Format, from, std::bit_cast<std::uint64_t>(value), Rounding::kNearest);
  }
  if (c.sat) {
    const double value = Saturate(ToDouble(c.from, bits));
    bits = Reformat(kF64Format, from, std::bit_cast<std::uint64_t>(value), Rounding::kNearest);
  }
  // -0 too becomes +0.
  if (c.relu && (bits & from.sign()) != 0 && (bits & (from.sign() - 1)) <= from.infinity()) bits = 0;
  std::uint64_t result = Reformat(from, to, bits, c.rounding, c.finite);
  if (c.to == ScalarType::kTf32) result = result == to.nan() ? 0x7fffffff : result << 13;
  if (c.ftz && c.to == ScalarType::kF32) result = F32Bits(FlushToZero(F32FromBits(static_cast<std::uint32_t>(result))));
  return result;
}

/// Any conversion, one lane after the other.
template <std::uint64_t (*convert)(const Conversion&, std::uint64_t)>
void Convert(Warp& warp, const Instruction& i) {
  const auto& c = *static_cast<const Conversion*>(i.extra);
  std::uint64_t values[kLanes];
  warp.GetBits(i.operands[1], values);
  for (std::uint64_t& value : values) value = convert(c, value);
  warp.PutBits(i.operands[0], values);
}

// The frequent ones, of registers as wide as the types.
template <class To, class From>
To Cast(From x) {
  return static_cast<To>(x);
}
float HalfToFloat(HalfBits x) { return ToFloat(x); }
float BrainToFloat(BrainBits x) { return ToFloat(x); }
HalfBits FloatToHalf(float x) { return {F32ToF16(x)}; }
BrainBits FloatToBrain(float x) { return {F32ToBf16(x)}; }

struct Shortcut {
  ScalarType to, from;
  Execute execute;
};
constexpr Shortcut kShortcuts[] = {
    {ScalarType::kS64, ScalarType::kS32, Map<&Cast<std::int64_t, std::int32_t>>::Run},
    {ScalarType::kU64, ScalarType::kU32, Map<&Cast<std::uint64_t, std::uint32_t>>::Run},
    {ScalarType::kU32, ScalarType::kU64, Map<&Cast<std::uint32_t, std::uint64_t>>::Run},
    {ScalarType::kF32, ScalarType::kS32, Map<&Cast<float, std::int32_t>>::Run},
    {ScalarType::kF32, ScalarType::kU32, Map<&Cast<float, std::uint32_t>>::Run},
    {ScalarType::kF64, ScalarType::kF32, Map<&Cast<double, float>>::Run},
    {ScalarType::kF32, ScalarType::kF64, Map<&Cast<float, double>>::Run},
    {ScalarType::kF32, ScalarType::kF16, Map<&HalfToFloat>::Run},
    {ScalarType::kF32, ScalarType::kBf16, Map<&BrainToFloat>::Run},
    {ScalarType::kF16, ScalarType::kF32, Map<&FloatToHalf>::Run},
    {ScalarType::kBf16, ScalarType::kF32, Map<&FloatToBrain>::Run},
};

/// Two values into one register, or out of one: the first source operand is the upper half.
/// Operands: d, a, b for packs of f32; d, a for those of packed types.
void ConvertPair(Warp& warp, const Instruction& i) {
  const auto& c = *static_cast<const Conversion*>(i.extra);
  const bool two_sources = i.count == 3;
  const int to = ptx::Bits(c.to), from = ptx::Bits(c.from);
  std::uint64_t high[kLanes], low[kLanes];
  warp.GetBits(i.operands[1], high);
  if (two_sources) warp.GetBits(i.operands[2], low);
  for (int l = 0; l < kLanes; ++l) {
    const std::uint64_t upper = two_sources ? high[l] : high[l] >> from;
    const std::uint64_t lower = two_sources ? low[l] : LowBits(high[l], from);
    high[l] = FloatToFloat(c, upper) << to | LowBits(FloatToFloat(c, lower), to);
  }
  warp.PutBits(i.operands[0], high);
}

ScalarType ElementOf(ScalarType type) {
  switch (type) {
    case ScalarType::kF16x2:
      return ScalarType::kF16;
    case ScalarType::kBf16x2:
      return ScalarType::kBf16;
    case ScalarType::kE4m3x2:
      return ScalarType::kE4m3;
    case ScalarType::kE5m2x2:
      return ScalarType::kE5m2;
    default:
      return type;
  }
}

Conversion Describe(const Form& form) {
  Conversion c;
  c.to = ElementOf(form.type(0));
  c.from = ElementOf(form.type(1));
  c.rounding = RoundingOf(form, Rounding::kNearest);
  c.integral = form.Has("rni") || form.Has("rzi") || form.Has("rmi") || form.Has("rpi");
  c.ftz = form.Has("ftz");
  c.sat = form.Has("sat");
  c.relu = form.Has("relu");
  c.finite = form.Has("satfinite");
  return c;
}

bool IsPlain(const Conversion& c) {
  const bool nearest = c.rounding == Rounding::kNearest;
  return nearest && !c.integral && !c.ftz && !c.sat && !c.relu && !c.finite;
}

void PrepareConversion(Decoder& decoder, Instruction& out) {
  const Form& form = decoder.form();
  const Conversion c = Describe(form);
  const bool to_float = ptx::IsFloat(c.to), from_float = ptx::IsFloat(c.from);
  if (decoder.operand_count() != 2) throw decoder.Refuse("it takes two operands");
  decoder.Push(decoder.Destination(decoder.operand(0), form.type(0), true));
  const Operand source = decoder.Source(decoder.operand(1), form.type(1), true);
  decoder.Push(source);
  out.execute = to_float ? (from_float ? Convert<FloatToFloat> : Convert<IntegerToFloat>)
                         : (from_float ? Convert<FloatToInteger> : Convert<IntegerToInteger>);
  // From a float to an integer the rounding is part of the conversion; from f64 to f32 of what host code does, too.
  const auto [to_register, to_type] = decoder.Register(decoder.operand(0));
  const bool exact_registers =
      ptx::Bits(to_type) == ptx::Bits(c.to) && source.lane_bytes <= std::max(4, ptx::Bits(c.from) / 8);
  if (IsPlain(c) && exact_registers)
    for (const Shortcut& shortcut : kShortcuts)
      if (shortcut.to == c.to && shortcut.from == c.from) out.execute = shortcut.execute;
  if (c.to == ScalarType::kF32 && c.from == ScalarType::kF32 && IsPlain(c)) throw decoder.Refuse("it converts nothing");
  out.extra = decoder.Keep(c);
}

void PreparePair(Decoder& decoder, Instruction& out) {
  Conversion c = Describe(decoder.form());
  c.finite = c.finite || ptx::Bits(c.to) == 8;
  out.extra = decoder.Keep(c);
}

constexpr Category kCategory = Category::kConvert;
#define GEMMSMITH_INTEGERS "{u8,u16,u32,u64,s8,s16,s32,s64}"
#define GEMMSMITH_FLOATS "{f16,bf16,f32,f64}"
#define GEMMSMITH_PAIR [](const Form&) -> Execute { return ConvertPair; }, PreparePair

constexpr Row kRows[] = {
    {"cvt[.sat]." GEMMSMITH_INTEGERS "." GEMMSMITH_INTEGERS, "", kCategory, 10, 0, nullptr, PrepareConversion},
    {"cvt.{rni,rzi,rmi,rpi}[.ftz][.sat]." GEMMSMITH_INTEGERS "." GEMMSMITH_FLOATS, "", kCategory, 10, 0, nullptr,
     PrepareConversion},
    {"cvt.{rn,rz,rm,rp}[.sat]." GEMMSMITH_FLOATS "." GEMMSMITH_INTEGERS, "", kCategory, 10, 0, nullptr,
     PrepareConversion},
    {"cvt[.{rn,rz,rm,rp,rni,rzi,rmi,rpi}][.ftz][.sat]." GEMMSMITH_FLOATS "." GEMMSMITH_FLOATS, "", kCategory, 10, 0,
     nullptr, PrepareConversion},
    {"cvt.{rn,rz}[.relu][.satfinite].{f16,bf16}.f32", "", kCategory, 70, 80, nullptr, PrepareConversion},
    {"cvt.{rn,rz}[.relu][.satfinite].tf32.f32", "", kCategory, 78, 90, nullptr, PrepareConversion},
    {"cvt.rna[.satfinite].tf32.f32", "", kCategory, 70, 80, nullptr, PrepareConversion},
    {"cvt.{rn,rz}[.relu][.satfinite].{f16x2,bf16x2}.f32", "d s1 s1", kCategory, 70, 80, GEMMSMITH_PAIR},
    {"cvt.rn.satfinite[.relu].{e4m3x2,e5m2x2}.f32", "d s1 s1", kCategory, 78, 89, GEMMSMITH_PAIR},
    {"cvt.rn.satfinite[.relu].{e4m3x2,e5m2x2}.f16x2", "d s1", kCategory, 78, 89, GEMMSMITH_PAIR},
    {"cvt.rn[.relu].f16x2.{e4m3x2,e5m2x2}", "d s1", kCategory, 78, 89, GEMMSMITH_PAIR},
};

}  // namespace

std::span<const Row> ConvertRows() { return kRows; }

}  // namespace gemmsmith::emulator
