// setp and set.
#include <utility>

#include "runtime/emulator/isa/decoder.h"
#include "runtime/emulator/isa/map.h"
#include "runtime/emulator/isa/rounding.h"
#include "runtime/emulator/isa/small_float.h"

namespace gemmsmith::emulator {
namespace {

using ptx::ScalarType;

enum class Comparison : std::uint8_t {
  kEq,
  kNe,
  kLt,
  kLe,
  kGt,
  kGe,
  kEqu,
  kNeu,
  kLtu,
  kLeu,
  kGtu,
  kGeu,
  kNum,
  kNan,
};
enum class Combination : std::uint8_t { kNone, kAnd, kOr, kXor };

template <Comparison kComparison, class T>
bool Holds(T a, T b) {
  using enum Comparison;
  const bool unordered = a != a || b != b;
  switch (kComparison) {
    case kEq:
      return a == b;
    case kNe:
      return !unordered && a != b;
    case kLt:
      return a < b;
    case kLe:
      return a <= b;
    case kGt:
      return a > b;
    case kGe:
      return a >= b;
    case kEqu:
      return unordered || a == b;
    case kNeu:
      return a != b;
    case kLtu:
      return !(a >= b);
    case kLeu:
      return !(a > b);
    case kGtu:
      return !(a <= b);
    case kGeu:
      return !(a < b);
    case kNum:
      return !unordered;
    case kNan:
      return unordered;
  }
  return false;
}

/// The comparison chosen at run time: halves are few.
bool HoldsFloat(Comparison comparison, float a, float b) {
  using enum Comparison;
  const bool unordered = a != a || b != b;
  switch (comparison) {
    case kNum:
      return !unordered;
    case kNan:
      return unordered;
    default:
      break;
  }
  const bool or_unordered = comparison >= kEqu;
  if (unordered) return or_unordered;
  switch (static_cast<Comparison>(static_cast<int>(comparison) % static_cast<int>(kEqu))) {
    case kEq:
      return a == b;
    case kNe:
      return a != b;
    case kLt:
      return a < b;
    case kLe:
      return a <= b;
    case kGt:
      return a > b;
    default:
      return a >= b;
  }
}

/// 16-bit floats are compared as f32, which is exact.
template <class T>
auto Comparable(T x) {
  if constexpr (std::is_same_v<T, HalfBits> || std::is_same_v<T, BrainBits>)
    return ToFloat(x);
  else
    return x;
}

/// Lanes for which the comparison holds.
template <Comparison kComparison, class T>
std::uint32_t Compare(const Warp& warp, const Instruction& i, const Operand& left, const Operand& right) {
  const auto a = warp.Get<T>(left), b = warp.Get<T>(right);
  const bool ftz = i.options[1] != 0;
  std::uint8_t bits[kLanes];
  for (int l = 0; l < kLanes; ++l) {
    auto x = Comparable(a[l]), y = Comparable(b[l]);
    if constexpr (std::is_same_v<T, float>) {
      if (ftz) x = Flushed(x), y = Flushed(y);
    }
    bits[l] = Holds<kComparison>(x, y) ? 1 : 0;
  }
  std::uint32_t mask = 0;
  for (int l = 0; l < kLanes; ++l) mask |= static_cast<std::uint32_t>(bits[l]) << l;
  return mask;
}

std::uint32_t Combine(const Instruction& i, std::uint32_t x, std::uint32_t y) {
  switch (static_cast<Combination>(i.options[0])) {
    case Combination::kAnd:
      return x & y;
    case Combination::kOr:
      return x | y;
    case Combination::kXor:
      return x ^ y;
    default:
      return x;
  }
}

/// Operands: p, q, a, b and, where combined, c. q gets the opposite comparison, combined alike.
template <Comparison kComparison, class T>
struct SetPredicate {
  static void Run(Warp& warp, const Instruction& i) {
    const std::uint32_t holds = Compare<kComparison, T>(warp, i, i.operands[2], i.operands[3]);
    const std::uint32_t c = i.count > 4 ? warp.GetPredicate(i.operands[4]) : 0;
    const std::uint32_t p = Combine(i, holds, c), q = Combine(i, ~holds, c);
    warp.PutPredicate(i.operands[0], p);
    warp.PutPredicate(i.operands[1], q);
  }
};

/// set: all ones or 1.0 in a register. Operands: d, a, b and, where combined, c.
template <Comparison kComparison, class T>
struct SetRegister {
  static void Run(Warp& warp, const Instruction& i) {
    std::uint32_t holds = Compare<kComparison, T>(warp, i, i.operands[1], i.operands[2]);
    holds = Combine(i, holds, i.count > 3 ? warp.GetPredicate(i.operands[3]) : 0);
    std::uint32_t one = 0;
    std::memcpy(&one, &i.options[4], sizeof(one));
    std::uint32_t out[kLanes];
    for (int l = 0; l < kLanes; ++l) out[l] = (holds >> l & 1) != 0 ? one : 0;
    warp.Put(i.operands[0], out);
  }
};

constexpr std::string_view kComparisons[] = {"eq",  "ne",  "lt",  "le",  "gt",  "ge",  "equ",
                                             "neu", "ltu", "leu", "gtu", "geu", "num", "nan"};

Comparison ComparisonOf(const Form& form) {
  // Of unsigned integers they have names of their own.
  constexpr std::pair<std::string_view, Comparison> kUnsigned[] = {
      {"lo", Comparison::kLt}, {"ls", Comparison::kLe}, {"hi", Comparison::kGt}, {"hs", Comparison::kGe}};
  const std::string& word = form.instruction->modifiers[0];
  for (const auto& [name, comparison] : kUnsigned)
    if (word == name) return comparison;
  for (std::size_t k = 0; k < std::size(kComparisons); ++k)
    if (word == kComparisons[k]) return static_cast<Comparison>(k);
  return Comparison::kEq;
}

template <template <Comparison, class> class Op, class T, std::size_t... kIndex>
Execute ForComparison(Comparison comparison, std::index_sequence<kIndex...>) {
  constexpr Execute kRun[] = {Op<static_cast<Comparison>(kIndex), T>::Run...};
  const auto index = static_cast<std::size_t>(comparison);
  return index < sizeof...(kIndex) ? kRun[index] : nullptr;
}

/// Integers have the first six comparisons.
template <template <Comparison, class> class Op, class T, bool kFloat>
Execute ForComparison(const Form& form) {
  return ForComparison<Op, T>(ComparisonOf(form),
                              std::make_index_sequence < kFloat ? std::size(kComparisons) : std::size_t{6} > ());
}

/// The type that is compared is the last one.
template <template <Comparison, class> class Op>
Execute SelectComparison(const Form& form) {
  const ScalarType type = form.types.back();
  switch (type) {
    case ScalarType::kF32:
      return ForComparison<Op, float, true>(form);
    case ScalarType::kF64:
      return ForComparison<Op, double, true>(form);
    case ScalarType::kF16:
      return ForComparison<Op, HalfBits, true>(form);
    case ScalarType::kBf16:
      return ForComparison<Op, BrainBits, true>(form);
    default:
      return ForInteger(type, [&](auto zero) { return ForComparison<Op, decltype(zero), false>(form); });
  }
}

/// Both halves: p is of the low one, q of the high one. Operands as of setp.
template <class H>
void SetPredicateTwice(Warp& warp, const Instruction& i) {
  const auto comparison = static_cast<Comparison>(i.options[2]);
  const auto a = warp.Get<std::uint32_t>(i.operands[2]), b = warp.Get<std::uint32_t>(i.operands[3]);
  const std::uint32_t c = i.count > 4 ? warp.GetPredicate(i.operands[4]) : 0;
  for (int half = 0; half < 2; ++half) {
    std::uint32_t mask = 0;
    for (int l = 0; l < kLanes; ++l) {
      const float x = ToFloat(H{static_cast<std::uint16_t>(a[l] >> (16 * half))});
      const float y = ToFloat(H{static_cast<std::uint16_t>(b[l] >> (16 * half))});
      mask |= static_cast<std::uint32_t>(HoldsFloat(comparison, x, y)) << l;
    }
    warp.PutPredicate(i.operands[static_cast<std::size_t>(half)], Combine(i, mask, c));
  }
}

/// set of both halves: each 1.0 of the type, or all ones. Operands as of set.
template <class H>
void SetRegisterTwice(Warp& warp, const Instruction& i) {
  const auto comparison = static_cast<Comparison>(i.options[2]);
  const auto a = warp.Get<std::uint32_t>(i.operands[1]), b = warp.Get<std::uint32_t>(i.operands[2]);
  const std::uint32_t c = i.count > 3 ? warp.GetPredicate(i.operands[3]) : 0;
  std::uint32_t one = 0, out[kLanes] = {};
  std::memcpy(&one, &i.options[4], sizeof(one));
  for (int half = 0; half < 2; ++half) {
    std::uint32_t mask = 0;
    for (int l = 0; l < kLanes; ++l) {
      const float x = ToFloat(H{static_cast<std::uint16_t>(a[l] >> (16 * half))});
      const float y = ToFloat(H{static_cast<std::uint16_t>(b[l] >> (16 * half))});
      mask |= static_cast<std::uint32_t>(HoldsFloat(comparison, x, y)) << l;
    }
    mask = Combine(i, mask, c);
    for (int l = 0; l < kLanes; ++l)
      if ((mask >> l & 1) != 0) out[l] |= (one & 0xffff) << (16 * half);
  }
  warp.Put(i.operands[0], out);
}

Combination CombinationOf(const Form& form) {
  return form.Has("and")   ? Combination::kAnd
         : form.Has("or")  ? Combination::kOr
         : form.Has("xor") ? Combination::kXor
                           : Combination::kNone;
}

void PrepareComparison(Decoder& decoder, Instruction& out) {
  const Form& form = decoder.form();
  const Combination combination = CombinationOf(form);
  const bool register_result = decoder.source().mnemonic == "set";
  const std::size_t given = decoder.operand_count();
  if ((combination != Combination::kNone) != (given == 4)) throw decoder.Refuse("a predicate goes with and, or, xor");
  out.options[0] = static_cast<std::uint8_t>(combination);
  out.options[1] = form.Has("ftz") ? 1 : 0;
  out.options[2] = static_cast<std::uint8_t>(ComparisonOf(form));
  if (!register_result) return;
  std::uint32_t one = kAllLanes;
  if (form.type(0) == ScalarType::kF32) one = 0x3f800000;
  if (form.type(0) == ScalarType::kF16 || form.type(0) == ScalarType::kF16x2) one = 0x3c00;
  if (form.type(0) == ScalarType::kBf16 || form.type(0) == ScalarType::kBf16x2) one = 0x3f80;
  std::memcpy(&out.options[4], &one, sizeof(one));
}

constexpr Category kCategory = Category::kCompare;
#define GEMMSMITH_INTEGERS "{b16,b32,b64,u16,u32,u64,s16,s32,s64}"
#define GEMMSMITH_COMBINE "[.{and,or,xor}]"
#define GEMMSMITH_FLOAT_COMPARISONS ".{eq,ne,lt,le,gt,ge,equ,neu,ltu,leu,gtu,geu,num,nan}"
#define GEMMSMITH_INTEGER_COMPARISONS ".{eq,ne,lt,le,gt,ge,lo,ls,hi,hs}"

constexpr Row kRows[] = {
    {"setp" GEMMSMITH_INTEGER_COMPARISONS GEMMSMITH_COMBINE "." GEMMSMITH_INTEGERS, "dpred|dpred s s spred?", kCategory,
     10, 0, SelectComparison<SetPredicate>, PrepareComparison},
    {"setp" GEMMSMITH_FLOAT_COMPARISONS GEMMSMITH_COMBINE "[.ftz].{f32,f64,f16,bf16}", "dpred|dpred s s spred?",
     kCategory, 10, 0, SelectComparison<SetPredicate>, PrepareComparison},
    {"setp" GEMMSMITH_FLOAT_COMPARISONS GEMMSMITH_COMBINE "[.ftz].f16x2", "dpred|dpred s s spred?", kCategory, 42, 53,
     [](const Form&) -> Execute { return SetPredicateTwice<HalfBits>; }, PrepareComparison},
    {"setp" GEMMSMITH_FLOAT_COMPARISONS GEMMSMITH_COMBINE ".bf16x2", "dpred|dpred s s spred?", kCategory, 78, 90,
     [](const Form&) -> Execute { return SetPredicateTwice<BrainBits>; }, PrepareComparison},
    {"set" GEMMSMITH_INTEGER_COMPARISONS GEMMSMITH_COMBINE ".{u32,s32,f32}." GEMMSMITH_INTEGERS, "d s1 s1 spred?",
     kCategory, 10, 0, SelectComparison<SetRegister>, PrepareComparison},
    {"set" GEMMSMITH_FLOAT_COMPARISONS GEMMSMITH_COMBINE "[.ftz].{u32,s32,f32}.{f32,f64}", "d s1 s1 spred?", kCategory,
     10, 0, SelectComparison<SetRegister>, PrepareComparison},
    {"set" GEMMSMITH_FLOAT_COMPARISONS GEMMSMITH_COMBINE "[.ftz].{u16,s16,u32,s32,f16,bf16}.{f16,bf16}",
     "d s1 s1 spred?", kCategory, 42, 53, SelectComparison<SetRegister>, PrepareComparison},
    {"set" GEMMSMITH_FLOAT_COMPARISONS GEMMSMITH_COMBINE "[.ftz].{f16x2,u32,s32}.f16x2", "d s1 s1 spred?", kCategory,
     42, 53, [](const Form&) -> Execute { return SetRegisterTwice<HalfBits>; }, PrepareComparison},
    {"set" GEMMSMITH_FLOAT_COMPARISONS GEMMSMITH_COMBINE ".{bf16x2,u32,s32}.bf16x2", "d s1 s1 spred?", kCategory, 78,
     90, [](const Form&) -> Execute { return SetRegisterTwice<BrainBits>; }, PrepareComparison},
};

}  // namespace

std::span<const Row> CompareRows() { return kRows; }

}  // namespace gemmsmith::emulator
