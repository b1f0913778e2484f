// Logic, shifts and bit fields.
#include "runtime/emulator/isa/decoder.h"
#include "runtime/emulator/isa/map.h"

namespace gemmsmith::emulator {
namespace {

using Word = std::uint32_t;

template <class T>
T And(T a, T b) {
  return a & b;
}
template <class T>
T Or(T a, T b) {
  return a | b;
}
template <class T>
T Xor(T a, T b) {
  return a ^ b;
}
template <class T>
T Not(T a) {
  return static_cast<T>(~a);
}
bool AndPredicate(bool a, bool b) { return a && b; }
bool OrPredicate(bool a, bool b) { return a || b; }
bool XorPredicate(bool a, bool b) { return a != b; }
bool NotPredicate(bool a) { return !a; }
template <class T>
T LogicalNot(T a) {
  return a == 0 ? 1 : 0;
}
/// Shifts by more than the width give zeros, or signs.
template <class T>
T ShiftLeft(T a, Word b) {
  return b < 8 * sizeof(T) ? static_cast<T>(static_cast<std::uint64_t>(a) << b) : T{0};
}
template <class T>
T ShiftRight(T a, Word b) {
  constexpr Word kBits = 8 * sizeof(T);
  if (b < kBits) return static_cast<T>(a >> b);
  return std::is_signed_v<T> ? static_cast<T>(a >> (kBits - 1)) : T{0};
}
template <bool kLeft, bool kWrap>
Word Funnel(Word a, Word b, Word c) {
  const Word n = kWrap ? c & 31 : c < 32 ? c : 32;
  const std::uint64_t both = static_cast<std::uint64_t>(b) << 32 | a;
  return static_cast<Word>(kLeft ? (both << n) >> 32 : both >> n);
}

template <class T>
Word PopulationCount(T a) {
  return static_cast<Word>(std::popcount(a));
}
template <class T>
Word LeadingZeros(T a) {
  return static_cast<Word>(std::countl_zero(a));
}
/// Position of the highest bit that tells the value from 0, or from -1.
template <class T>
Word FindHighest(T a) {
  using U = std::make_unsigned_t<T>;
  const U bits = a < 0 ? static_cast<U>(~a) : static_cast<U>(a);
  return bits == 0 ? ~Word{0} : static_cast<Word>(8 * sizeof(T) - 1) - static_cast<Word>(std::countl_zero(bits));
}
template <class T>
Word FindHighestShift(T a) {
  const Word at = FindHighest(a);
  return at == ~Word{0} ? at : static_cast<Word>(8 * sizeof(T) - 1) - at;
}
template <class T>
T Reversed(T a) {
  T r = 0;
  for (std::size_t k = 0; k < 8 * sizeof(T); ++k) r |= (a >> k & 1) << (8 * sizeof(T) - 1 - k);
  return r;
}
/// A signed field beyond the register's end is filled with the value's sign.
template <class T>
T ExtractField(T a, Word b, Word c) {
  constexpr Word kBits = 8 * sizeof(T);
  const Word at = b & 0xff, length = c & 0xff;
  if (length == 0) return 0;
  using U = std::make_unsigned_t<T>;
  const Word top = at + length - 1 < kBits - 1 ? at + length - 1 : kBits - 1;
  const bool sign = std::is_signed_v<T> && (static_cast<U>(a) >> top & 1) != 0;
  const U mask = length >= kBits ? ~U{0} : (U{1} << length) - 1;
  const Word inside = at >= kBits ? 0 : (length < kBits - at ? length : kBits - at);
  const U field = at >= kBits ? U{0} : static_cast<U>(a) >> at & mask;
  const U filled = inside >= kBits ? U{0} : ~U{0} << inside;
  return static_cast<T>(sign ? field | filled : field);
}
template <class T>
T InsertField(T a, T b, Word c, Word d) {
  constexpr Word kBits = 8 * sizeof(T);
  const Word at = c & 0xff, length = d & 0xff;
  if (at >= kBits || length == 0) return b;
  const T mask = static_cast<T>((length >= kBits ? ~T{0} : (T{1} << length) - 1) << at);
  return (b & ~mask) | (static_cast<T>(a << at) & mask);
}

template <bool kSigned, bool kClamp>
Word ExtendFrom(Word a, Word b) {
  const Word n = kClamp ? (b < 32 ? b : 32) : b & 31;
  if (n == 0) return 0;
  if (n == 32) return a;
  const Word low = a & ((Word{1} << n) - 1);
  return kSigned && (a >> (n - 1) & 1) != 0 ? low | ~Word{0} << n : low;
}
template <bool kClamp>
Word BitMask(Word a, Word b) {
  const Word at = kClamp ? a : a & 31, length = kClamp ? b : b & 31;
  if (at >= 32 || length == 0) return 0;
  const Word ones = length >= 32 ? ~Word{0} : (Word{1} << length) - 1;
  return ones << at;
}
/// The position of the n-th set bit, counted from `base` up or down.
Word FindNth(Word mask, Word base, std::int32_t offset) {
  const int step = offset < 0 ? -1 : 1;
  if (base > 31) return ~Word{0};
  if (offset == 0) return (mask >> base & 1) != 0 ? base : ~Word{0};
  int left = offset * step;
  for (int at = static_cast<int>(base); at >= 0 && at < 32; at += step)
    if ((mask >> at & 1) != 0 && --left == 0) return static_cast<Word>(at);
  return ~Word{0};
}

/// prmt: four bytes out of eight.
enum class Permutation : std::uint8_t { kDefault, kF4e, kB4e, kRc8, kEcl, kEcr, kRc16 };
template <Permutation kMode>
Word Permute(Word a, Word b, Word c) {
  constexpr Word kF4e[4] = {0x3210, 0x4321, 0x5432, 0x6543}, kB4e[4] = {0x5670, 0x6701, 0x7012, 0x0123};
  constexpr Word kRc8[4] = {0x0000, 0x1111, 0x2222, 0x3333}, kEcl[4] = {0x3210, 0x3211, 0x3222, 0x3333};
  constexpr Word kEcr[4] = {0x0000, 0x1110, 0x2210, 0x3210}, kRc16[4] = {0x1010, 0x3232, 0x1010, 0x3232};
  Word selector = c & 0xffff;
  switch (kMode) {
    case Permutation::kDefault:
      break;
    case Permutation::kF4e:
      selector = kF4e[c & 3];
      break;
    case Permutation::kB4e:
      selector = kB4e[c & 3];
      break;
    case Permutation::kRc8:
      selector = kRc8[c & 3];
      break;
    case Permutation::kEcl:
      selector = kEcl[c & 3];
      break;
    case Permutation::kEcr:
      selector = kEcr[c & 3];
      break;
    case Permutation::kRc16:
      selector = kRc16[c & 3];
      break;
  }
  const std::uint64_t bytes = static_cast<std::uint64_t>(b) << 32 | a;
  Word out = 0;
  for (int k = 0; k < 4; ++k) {
    const Word pick = selector >> (4 * k) & 15;
    Word byte = static_cast<Word>(bytes >> (8 * (pick & 7))) & 0xff;
    if (kMode == Permutation::kDefault && (pick & 8) != 0) byte = (byte & 0x80) != 0 ? 0xff : 0;
    out |= byte << (8 * k);
  }
  return out;
}

/// Any function of three bits, by its table.
void Lop3(Warp& warp, const Instruction& i) {
  const auto a = warp.Get<Word>(i.operands[1]), b = warp.Get<Word>(i.operands[2]), c = warp.Get<Word>(i.operands[3]);
  const unsigned table = i.options[0];
  Word minterms[8];
  for (unsigned k = 0; k < 8; ++k) minterms[k] = (table >> k & 1) != 0 ? ~Word{0} : 0;
  Word out[kLanes];
  for (int l = 0; l < kLanes; ++l) {
    const Word x = a[l], y = b[l], z = c[l];
    out[l] = (minterms[0] & ~x & ~y & ~z) | (minterms[1] & ~x & ~y & z) | (minterms[2] & ~x & y & ~z) |
             (minterms[3] & ~x & y & z) | (minterms[4] & x & ~y & ~z) | (minterms[5] & x & ~y & z) |
             (minterms[6] & x & y & ~z) | (minterms[7] & x & y & z);
  }
  warp.Put(i.operands[0], out);
}
void PrepareLop3(Decoder& decoder, Instruction& out) {
  const std::uint64_t table = decoder.Immediate(decoder.operand(4));
  if (table > 255) throw decoder.Refuse("its table has 8 bits");
  out.options[0] = static_cast<std::uint8_t>(table);
}
/// lop3.or.b32 d|p, a, b, c, table, q: p is whether the result is not zero, combined with q.
template <bool kOr>
void Lop3Predicate(Warp& warp, const Instruction& i) {
  Instruction plain = i;
  const Operand without[4] = {i.operands[0], i.operands[2], i.operands[3], i.operands[4]};
  plain.operands = without;
  Operand kept = i.operands[0];
  const auto a = warp.Get<Word>(without[1]), b = warp.Get<Word>(without[2]), c = warp.Get<Word>(without[3]);
  std::uint32_t set = 0;
  for (int l = 0; l < kLanes; ++l) {
    Word out = 0;
    for (int bit = 0; bit < 32; ++bit) {
      const unsigned row = (a[l] >> bit & 1) << 2 | (b[l] >> bit & 1) << 1 | (c[l] >> bit & 1);
      out |= (static_cast<Word>(i.options[0]) >> row & 1) << bit;
    }
    set |= static_cast<std::uint32_t>(out != 0) << l;
  }
  const std::uint32_t q = warp.GetPredicate(i.operands[6]);
  if (!kept.sink) Lop3(warp, plain);
  warp.PutPredicate(i.operands[1], kOr ? set | q : set & q);
}

constexpr Category kCategory = Category::kInteger;
#define GEMMSMITH_BITS(function, predicate)                                                                \
  [](const Form& form) -> Execute {                                                                        \
    if (form.type() == ptx::ScalarType::kPred) return predicate;                                           \
    return ForBits(form.type(), [](auto zero) -> Execute { return Map<&function<decltype(zero)>>::Run; }); \
  }
#define GEMMSMITH_SIGNED(function)                                                                            \
  [](const Form& form) -> Execute {                                                                           \
    return ForInteger(form.type(), [](auto zero) -> Execute { return Map<&function<decltype(zero)>>::Run; }); \
  }
#define GEMMSMITH_WIDE(function)                                                                          \
  [](const Form& form) -> Execute {                                                                       \
    return ptx::Bits(form.type()) == 64 ? Map<&function<std::uint64_t>>::Run : Map<&function<Word>>::Run; \
  }
#define GEMMSMITH_WIDE_SIGNED(function)                                                                            \
  [](const Form& form) -> Execute {                                                                                \
    if (ptx::IsSigned(form.type()))                                                                                \
      return ptx::Bits(form.type()) == 64 ? Map<&function<std::int64_t>>::Run : Map<&function<std::int32_t>>::Run; \
    return ptx::Bits(form.type()) == 64 ? Map<&function<std::uint64_t>>::Run : Map<&function<Word>>::Run;          \
  }
#define GEMMSMITH_PLAIN(...) [](const Form&) -> Execute { return Map<&__VA_ARGS__>::Run; }

constexpr Row kRows[] = {
    {"and.{pred,b16,b32,b64}", "d s s", kCategory, 10, 0, GEMMSMITH_BITS(And, Map<&AndPredicate>::Run)},
    {"or.{pred,b16,b32,b64}", "d s s", kCategory, 10, 0, GEMMSMITH_BITS(Or, Map<&OrPredicate>::Run)},
    {"xor.{pred,b16,b32,b64}", "d s s", kCategory, 10, 0, GEMMSMITH_BITS(Xor, Map<&XorPredicate>::Run)},
    {"not.{pred,b16,b32,b64}", "d s", kCategory, 10, 0, GEMMSMITH_BITS(Not, Map<&NotPredicate>::Run)},
    {"cnot.{b16,b32,b64}", "d s", kCategory, 10, 0, GEMMSMITH_BITS(LogicalNot, nullptr)},
    {"shl.{b16,b32,b64}", "d s sb32", kCategory, 10, 0, GEMMSMITH_BITS(ShiftLeft, nullptr)},
    {"shr.{b16,b32,b64,u16,u32,u64,s16,s32,s64}", "d s sb32", kCategory, 10, 0, GEMMSMITH_SIGNED(ShiftRight)},
    {"shf.l.clamp.b32", "d s s sb32", kCategory, 31, 32, GEMMSMITH_PLAIN(Funnel<true, false>)},
    {"shf.l.wrap.b32", "d s s sb32", kCategory, 31, 32, GEMMSMITH_PLAIN(Funnel<true, true>)},
    {"shf.r.clamp.b32", "d s s sb32", kCategory, 31, 32, GEMMSMITH_PLAIN(Funnel<false, false>)},
    {"shf.r.wrap.b32", "d s s sb32", kCategory, 31, 32, GEMMSMITH_PLAIN(Funnel<false, true>)},
    {"popc.{b32,b64}", "db32 s", kCategory, 20, 0, GEMMSMITH_WIDE(PopulationCount)},
    {"clz.{b32,b64}", "db32 s", kCategory, 20, 0, GEMMSMITH_WIDE(LeadingZeros)},
    {"bfind.{u32,u64,s32,s64}", "db32 s", kCategory, 20, 0, GEMMSMITH_WIDE_SIGNED(FindHighest)},
    {"bfind.shiftamt.{u32,u64,s32,s64}", "db32 s", kCategory, 20, 0, GEMMSMITH_WIDE_SIGNED(FindHighestShift)},
    {"brev.{b32,b64}", "d s", kCategory, 20, 0, GEMMSMITH_WIDE(Reversed)},
    {"bfe.{u32,u64,s32,s64}", "d s sb32 sb32", kCategory, 20, 0, GEMMSMITH_WIDE_SIGNED(ExtractField)},
    {"bfi.{b32,b64}", "d s s sb32 sb32", kCategory, 20, 0, GEMMSMITH_WIDE(InsertField)},
    {"szext.{wrap,clamp}.{u32,s32}", "d s sb32", kCategory, 76, 70,
     [](const Form& form) -> Execute {
       if (form.Has("clamp"))
         return ptx::IsSigned(form.type()) ? Map<&ExtendFrom<true, true>>::Run : Map<&ExtendFrom<false, true>>::Run;
       return ptx::IsSigned(form.type()) ? Map<&ExtendFrom<true, false>>::Run : Map<&ExtendFrom<false, false>>::Run;
     }},
    {"bmsk.clamp.b32", "d s s", kCategory, 76, 70, GEMMSMITH_PLAIN(BitMask<true>)},
    {"bmsk.wrap.b32", "d s s", kCategory, 76, 70, GEMMSMITH_PLAIN(BitMask<false>)},
    {"fns.b32", "d sb32 sb32 ss32", kCategory, 60, 30, GEMMSMITH_PLAIN(FindNth)},
    {"prmt.b32", "d s s s", kCategory, 20, 0, GEMMSMITH_PLAIN(Permute<Permutation::kDefault>)},
    {"prmt.b32.f4e", "d s s s", kCategory, 20, 0, GEMMSMITH_PLAIN(Permute<Permutation::kF4e>)},
    {"prmt.b32.b4e", "d s s s", kCategory, 20, 0, GEMMSMITH_PLAIN(Permute<Permutation::kB4e>)},
    {"prmt.b32.rc8", "d s s s", kCategory, 20, 0, GEMMSMITH_PLAIN(Permute<Permutation::kRc8>)},
    {"prmt.b32.ecl", "d s s s", kCategory, 20, 0, GEMMSMITH_PLAIN(Permute<Permutation::kEcl>)},
    {"prmt.b32.ecr", "d s s s", kCategory, 20, 0, GEMMSMITH_PLAIN(Permute<Permutation::kEcr>)},
    {"prmt.b32.rc16", "d s s s", kCategory, 20, 0, GEMMSMITH_PLAIN(Permute<Permutation::kRc16>)},
    {"lop3.b32", "d s s s i", kCategory, 43, 50, [](const Form&) -> Execute { return Lop3; }, PrepareLop3},
    {"lop3.or.b32", "d|dpred s s s i spred", kCategory, 82, 70,
     [](const Form&) -> Execute { return Lop3Predicate<true>; }, PrepareLop3},
    {"lop3.and.b32", "d|dpred s s s i spred", kCategory, 82, 70,
     [](const Form&) -> Execute { return Lop3Predicate<false>; }, PrepareLop3},
};

}  // namespace

std::span<const Row> BitRows() { return kRows; }

}  // namespace gemmsmith::emulator
