// Integer instructions against host arithmetic, lane by lane, on fresh random inputs.
#include <bit>
#include <limits>

#include "../support/ptx_testing.h"

namespace gemmsmith::emulator {
namespace {

using U64 = std::uint64_t;
using I64 = std::int64_t;
using U32 = std::uint32_t;
using I32 = std::int32_t;
using U16 = std::uint16_t;
using I16 = std::int16_t;
__extension__ using I128 = __int128;
__extension__ using U128 = unsigned __int128;

U64 Bits(I64 x) { return static_cast<U64>(x); }

const LaneCase kArithmetic[] = {
    {"add.u16 d, a, b;", {"b16", "b16", "b16"}, [](U64 a, U64 b, U64) { return a + b; }},
    {"add.s32 d, a, b;", {"b32", "b32", "b32"}, [](U64 a, U64 b, U64) { return a + b; }},
    {"add.u64 d, a, b;", {"b64", "b64", "b64"}, [](U64 a, U64 b, U64) { return a + b; }},
    {"add.s32 d, a, -7;", {"b32", "b32"}, [](U64 a, U64, U64) { return a - 7; }},
    {"add.sat.s32 d, a, b;",
     {"b32", "b32", "b32"},
     [](U64 a, U64 b, U64) {
       const I64 sum = I64{static_cast<I32>(a)} + static_cast<I32>(b);
       return Bits(sum > INT32_MAX ? INT32_MAX : sum < INT32_MIN ? INT32_MIN : sum);
     }},
    {"sub.s64 d, a, b;", {"b64", "b64", "b64"}, [](U64 a, U64 b, U64) { return a - b; }},
    {"mul.lo.s32 d, a, b;", {"b32", "b32", "b32"}, [](U64 a, U64 b, U64) { return a * b; }},
    {"mul.lo.u16 d, a, b;", {"b16", "b16", "b16"}, [](U64 a, U64 b, U64) { return a * b; }},
    {"mul.hi.s32 d, a, b;",
     {"b32", "b32", "b32"},
     [](U64 a, U64 b, U64) { return Bits(I64{static_cast<I32>(a)} * static_cast<I32>(b) >> 32); }},
    {"mul.hi.u32 d, a, b;", {"b32", "b32", "b32"}, [](U64 a, U64 b, U64) { return a * b >> 32; }},
    {"mul.hi.s64 d, a, b;",
     {"b64", "b64", "b64"},
     [](U64 a, U64 b, U64) { return static_cast<U64>(I128{static_cast<I64>(a)} * static_cast<I64>(b) >> 64); }},
    {"mul.hi.u64 d, a, b;",
     {"b64", "b64", "b64"},
     [](U64 a, U64 b, U64) { return static_cast<U64>(U128{a} * b >> 64); }},
    {"mul.wide.s32 d, a, b;",
     {"b64", "b32", "b32"},
     [](U64 a, U64 b, U64) { return Bits(I64{static_cast<I32>(a)} * static_cast<I32>(b)); }},
    {"mul.wide.u16 d, a, b;", {"b32", "b16", "b16"}, [](U64 a, U64 b, U64) { return a * b; }},
    {"mad.lo.s32 d, a, b, c;", {"b32", "b32", "b32", "b32"}, [](U64 a, U64 b, U64 c) { return a * b + c; }},
    {"mad.wide.u32 d, a, b, c;", {"b64", "b32", "b32", "b64"}, [](U64 a, U64 b, U64 c) { return a * b + c; }},
    {"mad.hi.u32 d, a, b, c;", {"b32", "b32", "b32", "b32"}, [](U64 a, U64 b, U64 c) { return (a * b >> 32) + c; }},
    {"mul24.lo.u32 d, a, b;", {"b32", "b32", "b32"}, [](U64 a, U64 b, U64) { return (a & 0xffffff) * (b & 0xffffff); }},
    {"div.u32 d, a, b;", {"b32", "b32", "b32"}, [](U64 a, U64 b, U64) { return b == 0 ? ~U64{0} : a / b; }},
    {"div.s32 d, a, b;",
     {"b32", "b32", "b32"},
     [](U64 a, U64 b, U64) { return b == 0 ? ~U64{0} : Bits(I64{static_cast<I32>(a)} / static_cast<I32>(b)); }},
    {"rem.s32 d, a, b;",
     {"b32", "b32", "b32"},
     [](U64 a, U64 b, U64) { return b == 0 ? a : Bits(I64{static_cast<I32>(a)} % static_cast<I32>(b)); }},
    {"rem.u64 d, a, b;", {"b64", "b64", "b64"}, [](U64 a, U64 b, U64) { return b == 0 ? a : a % b; }},
    {"abs.s32 d, a;", {"b32", "b32"}, [](U64 a, U64, U64) { return static_cast<I32>(a) < 0 ? 0 - a : a; }},
    {"neg.s16 d, a;", {"b16", "b16"}, [](U64 a, U64, U64) { return 0 - a; }},
    {"min.s32 d, a, b;",
     {"b32", "b32", "b32"},
     [](U64 a, U64 b, U64) { return static_cast<I32>(a) < static_cast<I32>(b) ? a : b; }},
    {"max.u64 d, a, b;", {"b64", "b64", "b64"}, [](U64 a, U64 b, U64) { return a > b ? a : b; }},
    {"max.s16 d, a, b;",
     {"b16", "b16", "b16"},
     [](U64 a, U64 b, U64) { return static_cast<I16>(a) > static_cast<I16>(b) ? a : b; }},
    {"sad.u32 d, a, b, c;",
     {"b32", "b32", "b32", "b32"},
     [](U64 a, U64 b, U64 c) { return c + (a < b ? b - a : a - b); }},
    {"dp4a.s32.u32 d, a, b, c;",
     {"b32", "b32", "b32", "b32"},
     [](U64 a, U64 b, U64 c) {
       I64 sum = static_cast<I32>(c);
       for (int k = 0; k < 32; k += 8) sum += static_cast<std::int8_t>(a >> k) * static_cast<I64>(b >> k & 255);
       return Bits(sum);
     }},
    {"vabsdiff4.u32.u32.u32 d, a, b, c;",
     {"b32", "b32", "b32", "b32"},
     [](U64 a, U64 b, U64) {
       U64 bytes = 0;
       for (int k = 0; k < 32; k += 8)
         bytes |= Bits(std::abs(static_cast<I64>(a >> k & 255) - static_cast<I64>(b >> k & 255))) << k;
       return bytes;
     }},
    {"vabsdiff4.u32.u32.u32.add d, a, b, c;",
     {"b32", "b32", "b32", "b32"},
     [](U64 a, U64 b, U64 c) {
       for (int k = 0; k < 32; k += 8)
         c += Bits(std::abs(static_cast<I64>(a >> k & 255) - static_cast<I64>(b >> k & 255)));
       return c;
     }},
    {"dp2a.hi.s32.s32 d, a, b, c;",
     {"b32", "b32", "b32", "b32"},
     [](U64 a, U64 b, U64 c) {
       I64 sum = static_cast<I32>(c);
       for (int k = 0; k < 2; ++k)
         sum += static_cast<I16>(a >> 16 * k) * static_cast<I64>(static_cast<std::int8_t>(b >> (16 + 8 * k)));
       return Bits(sum);
     }},
    {"add.s16x2 d, a, b;",
     {"b32", "b32", "b32"},
     [](U64 a, U64 b, U64) { return ((a + b) & 0xffff) | (((a >> 16) + (b >> 16)) & 0xffff) << 16; }},
};

const LaneCase kBits[] = {
    {"and.b32 d, a, b;", {"b32", "b32", "b32"}, [](U64 a, U64 b, U64) { return a & b; }},
    {"or.b64 d, a, b;", {"b64", "b64", "b64"}, [](U64 a, U64 b, U64) { return a | b; }},
    {"xor.b16 d, a, b;", {"b16", "b16", "b16"}, [](U64 a, U64 b, U64) { return a ^ b; }},
    {"not.b32 d, a;", {"b32", "b32"}, [](U64 a, U64, U64) { return ~a; }},
    {"cnot.b32 d, a;", {"b32", "b32"}, [](U64 a, U64, U64) { return U64{a == 0}; }},
    {"shl.b32 d, a, b;", {"b32", "b32", "b32"}, [](U64 a, U64 b, U64) { return b < 32 ? a << b : 0; }},
    {"shl.b64 d, a, b;", {"b64", "b64", "b32"}, [](U64 a, U64 b, U64) { return b < 64 ? a << b : 0; }},
    {"shr.u32 d, a, b;", {"b32", "b32", "b32"}, [](U64 a, U64 b, U64) { return b < 32 ? a >> b : 0; }},
    {"shr.s32 d, a, b;",
     {"b32", "b32", "b32"},
     [](U64 a, U64 b, U64) { return Bits(static_cast<I32>(a) >> (b < 32 ? b : 31)); }},
    {"shf.l.wrap.b32 d, a, b, c;",
     {"b32", "b32", "b32", "b32"},
     [](U64 a, U64 b, U64 c) { return (b << 32 | a) << (c & 31) >> 32; }},
    {"shf.r.clamp.b32 d, a, b, c;",
     {"b32", "b32", "b32", "b32"},
     [](U64 a, U64 b, U64 c) { return (b << 32 | a) >> (c < 32 ? c : 32); }},
    {"popc.b64 d, a;", {"b32", "b64"}, [](U64 a, U64, U64) { return static_cast<U64>(std::popcount(a)); }},
    {"clz.b32 d, a;",
     {"b32", "b32"},
     [](U64 a, U64, U64) { return static_cast<U64>(std::countl_zero(static_cast<U32>(a))); }},
    {"brev.b32 d, a;",
     {"b32", "b32"},
     [](U64 a, U64, U64) {
       U64 r = 0;
       for (int k = 0; k < 32; ++k) r |= (a >> k & 1) << (31 - k);
       return r;
     }},
    {"bfind.u32 d, a;",
     {"b32", "b32"},
     [](U64 a, U64, U64) { return Bits(31 - std::countl_zero(static_cast<U32>(a))); }},
    {"bfe.u32 d, a, b, 5;",
     {"b32", "b32", "b32"},
     [](U64 a, U64 b, U64) { return (b & 255) > 31 ? 0 : a >> (b & 255) & 31; }},
    {"bfe.s32 d, a, 8, 8;", {"b32", "b32"}, [](U64 a, U64, U64) { return Bits(static_cast<std::int8_t>(a >> 8)); }},
    {"bfi.b32 d, a, b, 4, 8;",
     {"b32", "b32", "b32"},
     [](U64 a, U64 b, U64) { return (b & ~U64{0xff0}) | (a & 255) << 4; }},
    {"prmt.b32 d, a, b, 0x5410;",
     {"b32", "b32", "b32"},
     [](U64 a, U64 b, U64) { return (a & 0xffff) | (b & 0xffff) << 16; }},
    {"prmt.b32 d, a, b, c;",
     {"b32", "b32", "b32", "b32"},
     [](U64 a, U64 b, U64 c) {
       U64 r = 0;
       for (int k = 0; k < 4; ++k) {
         const U64 pick = c >> 4 * k & 15, byte = (b << 32 | a) >> 8 * (pick & 7) & 255;
         r |= ((pick & 8) == 0 ? byte : (byte & 128) != 0 ? 255 : 0) << 8 * k;
       }
       return r;
     }},
    {"lop3.b32 d, a, b, c, 0xe8;",
     {"b32", "b32", "b32", "b32"},
     [](U64 a, U64 b, U64 c) { return (a & b) | (b & c) | (a & c); }},
    {"szext.clamp.s32 d, a, 8;", {"b32", "b32"}, [](U64 a, U64, U64) { return Bits(static_cast<std::int8_t>(a)); }},
    {"bmsk.clamp.b32 d, a, 3;", {"b32", "b32"}, [](U64 a, U64, U64) { return a < 32 ? U64{7} << a : 0; }},
    {"{ .reg .b32 lo, hi, x, y; mov.b64 {lo, hi}, a; mov.b64 {x, y}, b; add.cc.u32 lo, lo, x; addc.u32 hi, hi, y;"
     " mov.b64 d, {lo, hi}; }",
     {"b64", "b64", "b64"},
     [](U64 a, U64 b, U64) { return a + b; }},
    {"{ .reg .b32 lo, hi, x, y; mov.b64 {lo, hi}, a; mov.b64 {x, y}, b; sub.cc.u32 lo, lo, x; subc.u32 hi, hi, y;"
     " mov.b64 d, {lo, hi}; }",
     {"b64", "b64", "b64"},
     [](U64 a, U64 b, U64) { return a - b; }},
};

void CheckAll(const LaneCase* begin, const LaneCase* end) {
  PtxRunner runner;
  for (const LaneCase* test = begin; test != end; ++test)
    for (std::uint64_t seed = 0; seed < 6; ++seed) {
      // A block of instructions cannot be guarded.
      if (test->text[0] == '{' && seed % 2 == 1) continue;
      LaneCase copy = *test;
      if (copy.text[0] == '{') copy.text = "mov.b64 d, 0; " + copy.text;
      CheckLanes(runner, copy, seed);
      if (testing::Test::HasFatalFailure()) return;
    }
}

TEST(EmulatorIntegers, ArithmeticIsThatOfTheHost) { CheckAll(std::begin(kArithmetic), std::end(kArithmetic)); }
TEST(EmulatorIntegers, BitsAreThoseOfTheHost) { CheckAll(std::begin(kBits), std::end(kBits)); }

TEST(EmulatorIntegers, ConversionsExtendCutAndSaturate) {
  const LaneCase kCases[] = {
      {"cvt.s64.s32 d, a;", {"b64", "b32"}, [](U64 a, U64, U64) { return Bits(static_cast<I32>(a)); }},
      {"cvt.s64.s32 d, a;", {"b64", "b64"}, [](U64 a, U64, U64) { return Bits(static_cast<I32>(a)); }},
      {"cvt.u64.u32 d, a;", {"b64", "b32"}, [](U64 a, U64, U64) { return a; }},
      {"cvt.u32.u64 d, a;", {"b32", "b64"}, [](U64 a, U64, U64) { return a; }},
      {"cvt.s32.s8 d, a;", {"b32", "b32"}, [](U64 a, U64, U64) { return Bits(static_cast<std::int8_t>(a)); }},
      {"cvt.u16.u8 d, a;", {"b16", "b16"}, [](U64 a, U64, U64) { return a & 255; }},
      {"cvt.sat.s8.s32 d, a;",
       {"b32", "b32"},
       [](U64 a, U64, U64) {
         const I32 x = static_cast<I32>(a);
         return Bits(x > 127 ? 127 : x < -128 ? -128 : x);
       }},
      {"cvt.sat.u16.s32 d, a;",
       {"b16", "b32"},
       [](U64 a, U64, U64) {
         const I32 x = static_cast<I32>(a);
         return Bits(x > 65535 ? 65535 : x < 0 ? 0 : x);
       }},
      {"cvt.sat.s32.u64 d, a;", {"b32", "b64"}, [](U64 a, U64, U64) { return a > INT32_MAX ? U64{INT32_MAX} : a; }},
  };
  CheckAll(std::begin(kCases), std::end(kCases));
}

}  // namespace
}  // namespace gemmsmith::emulator
