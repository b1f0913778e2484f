// mma.sync, wmma, ldmatrix, stmatrix and movmatrix of the emulated device against host arithmetic.
#include <gmock/gmock.h>

#include <cmath>

#include "../support/ptx_testing.h"
#include "runtime/emulator/isa/matrix_product.h"
#include "runtime/emulator/numeric/conversions.h"

namespace gemmsmith::emulator {
namespace {

using testing::HasSubstr;
using Words = std::vector<std::uint32_t>;

struct MmaCase {
  const char* form;
  int m, n, k;
  const char *a, *b, *c, *d;  ///< Types.
  int sm = 80;
};
constexpr MmaCase kCases[] = {
    {"m16n8k8.row.col.f16.f16.f16.f16", 16, 8, 8, "f16", "f16", "f16", "f16"},
    {"m16n8k8.row.col.f32.f16.f16.f32", 16, 8, 8, "f16", "f16", "f32", "f32"},
    {"m16n8k16.row.col.f16.f16.f16.f16", 16, 8, 16, "f16", "f16", "f16", "f16"},
    {"m16n8k16.row.col.f32.f16.f16.f32", 16, 8, 16, "f16", "f16", "f32", "f32"},
    {"m16n8k8.row.col.f32.bf16.bf16.f32", 16, 8, 8, "bf16", "bf16", "f32", "f32"},
    {"m16n8k16.row.col.f32.bf16.bf16.f32", 16, 8, 16, "bf16", "bf16", "f32", "f32"},
    {"m16n8k4.row.col.f32.tf32.tf32.f32", 16, 8, 4, "tf32", "tf32", "f32", "f32"},
    {"m16n8k8.row.col.f32.tf32.tf32.f32", 16, 8, 8, "tf32", "tf32", "f32", "f32"},
    {"m16n8k32.row.col.f32.e4m3.e5m2.f32", 16, 8, 32, "e4m3", "e5m2", "f32", "f32", 89},
    {"m16n8k32.row.col.f32.e5m2.e4m3.f32", 16, 8, 32, "e5m2", "e4m3", "f32", "f32", 90},
    {"m16n8k16.row.col.f16.e4m3.e4m3.f16", 16, 8, 16, "e4m3", "e4m3", "f16", "f16", 89},
    {"m8n8k4.row.col.f64.f64.f64.f64", 8, 8, 4, "f64", "f64", "f64", "f64"},
    {"m16n8k4.row.col.f64.f64.f64.f64", 16, 8, 4, "f64", "f64", "f64", "f64", 90},
    {"m16n8k8.row.col.f64.f64.f64.f64", 16, 8, 8, "f64", "f64", "f64", "f64", 90},
    {"m16n8k16.row.col.f64.f64.f64.f64", 16, 8, 16, "f64", "f64", "f64", "f64", 90},
    {"m8n8k16.row.col.s32.s8.u8.s32", 8, 8, 16, "s8", "u8", "s32", "s32"},
    {"m16n8k16.row.col.s32.u8.s8.s32", 16, 8, 16, "u8", "s8", "s32", "s32"},
    {"m16n8k32.row.col.satfinite.s32.s8.s8.s32", 16, 8, 32, "s8", "s8", "s32", "s32"},
    {"m8n8k32.row.col.s32.s4.u4.s32", 8, 8, 32, "s4", "u4", "s32", "s32"},
    {"m16n8k32.row.col.s32.u4.s4.s32", 16, 8, 32, "u4", "s4", "s32", "s32"},
    {"m16n8k64.row.col.satfinite.s32.s4.s4.s32", 16, 8, 64, "s4", "s4", "s32", "s32"},
    {"m8n8k128.row.col.s32.b1.b1.s32.xor.popc", 8, 8, 128, "b1", "b1", "s32", "s32"},
    {"m16n8k128.row.col.s32.b1.b1.s32.and.popc", 16, 8, 128, "b1", "b1", "s32", "s32"},
    {"m16n8k256.row.col.s32.b1.b1.s32.xor.popc", 16, 8, 256, "b1", "b1", "s32", "s32"},
};

int BitsOfName(std::string_view type) {
  if (type == "b1") return 1;
  if (const auto element = ParseTensorType(type)) return BitsOf(*element);
  return type == "f64" ? 64 : 32;
}

/// The bits of a small integer as an element.
std::uint64_t Encode(std::string_view type, int value) {
  const auto number = static_cast<float>(value);
  if (type == "f16") return F32ToF16(number);
  if (type == "bf16") return F32ToBf16(number);
  if (type == "e4m3") return F32ToE4m3(number);
  if (type == "e5m2") return F32ToE5m2(number);
  if (type == "f64") return std::bit_cast<std::uint64_t>(static_cast<double>(value));
  if (type == "f32" || type == "tf32") return F32Bits(number);
  return static_cast<std::uint64_t>(static_cast<std::int64_t>(value)) & ((std::uint64_t{1} << BitsOfName(type)) - 1);
}

/// A matrix of small integers that every type holds exactly.
struct Matrix {
  int rows, columns;
  std::vector<int> values;
  Matrix(int r, int c, std::string_view type, std::mt19937& random) : rows(r), columns(c) {
    const bool is_unsigned = type[0] == 'u', bit = type == "b1";
    values.resize(static_cast<std::size_t>(r * c));
    for (int& v : values)
      v = bit ? static_cast<int>(random() % 2) : static_cast<int>(random() % 8) - (is_unsigned ? 0 : 4);
  }
  int At(Position p) const { return values[static_cast<std::size_t>(p.row * columns + p.column)]; }
};

/// Appends a lane's registers to what the kernel loads.
void Pack(const FragmentLayout& layout, const Matrix& matrix, std::string_view type, int lane, Words& out) {
  const int bits = BitsOfName(type);
  for (int r = 0; r < layout.registers(); ++r) {
    std::uint64_t word = 0;
    for (int e = 0; e < layout.per_register(); ++e)
      word |= Encode(type, matrix.At(layout.At(lane, r * layout.per_register() + e))) << (e * bits % 64);
    out.push_back(static_cast<std::uint32_t>(word));
    if (bits == 64) out.push_back(static_cast<std::uint32_t>(word >> 32));
  }
}

std::string Registers(char name, int count) {
  std::string list = "{";
  for (int r = 0; r < count; ++r) list += fmt::format("{}%{}{}", r == 0 ? "" : ", ", name, r);
  return list + "}";
}

TEST(EmulatorMma, EveryDenseFormMultipliesWhatTheFragmentsHold) {
  for (const MmaCase& test : kCases) {
    SCOPED_TRACE(test.form);
    std::mt19937 random(7);
    const Matrix a(test.m, test.k, test.a, random), b(test.k, test.n, test.b, random), c(test.m, test.n, "s32", random);
    const FragmentLayout layouts[] = {
        FragmentLayout::Mma(MatrixRole::kA, test.m, test.k, BitsOfName(test.a)),
        FragmentLayout::Mma(MatrixRole::kB, test.k, test.n, BitsOfName(test.b)),
        FragmentLayout::Mma(MatrixRole::kAccumulator, test.m, test.n, BitsOfName(test.c)),
        FragmentLayout::Mma(MatrixRole::kAccumulator, test.m, test.n, BitsOfName(test.d))};
    const char* const types[] = {test.a, test.b, test.c, test.d};
    Words words;
    std::size_t d_at = 0, per_lane = 0;
    for (int lane = 0; lane < 32; ++lane) {
      const std::size_t begin = words.size();
      Pack(layouts[0], a, test.a, lane, words);
      Pack(layouts[1], b, test.b, lane, words);
      Pack(layouts[2], c, test.c, lane, words);
      d_at = words.size() - begin;
      Pack(layouts[3], Matrix(test.m, test.n, "s32", random), test.d, lane, words);
      per_lane = words.size() - begin;
    }
    std::string body = fmt::format(
        ".reg .b32 %lane; .reg .b64 %at, %o; mov.u32 %lane, %laneid;\n"
        "mul.wide.u32 %o, %lane, {}; add.u64 %at, %out, %o;\n",
        4 * per_lane);
    std::size_t offset = 0;
    for (int k = 0; k < 4; ++k) {
      const bool wide = BitsOfName(types[k]) == 64;
      const char* const type = wide ? "f64" : std::string_view(types[k]) == "f32" && k > 1 ? "f32" : "b32";
      const int count = layouts[k].registers();
      body += fmt::format(".reg .{} %{}<{}>;\n", type, "abcd"[k], count);
      for (int r = 0; r < count && k < 3; ++r, offset += wide ? 8 : 4)
        body += fmt::format("ld.global.{} %{}{}, [%at+{}];\n", type, "abc"[k], r, offset);
    }
    body += fmt::format("mma.sync.aligned.{} {}, {}, {}, {};\n", test.form, Registers('d', layouts[3].registers()),
                        Registers('a', layouts[0].registers()), Registers('b', layouts[1].registers()),
                        Registers('c', layouts[2].registers()));
    const bool wide = BitsOfName(test.d) == 64;
    for (int r = 0; r < layouts[3].registers(); ++r)
      body += fmt::format("st.global.{} [%at+{}], %d{};\n", wide ? "f64" : "b32",
                          4 * d_at + static_cast<std::size_t>(r) * (wide ? 8 : 4), r);
    const Words out = PtxRunner(test.sm == 80 ? "sm_80" : test.sm == 89 ? "sm_89" : "sm_90a").Run(body + "ret;", words);
    for (int lane = 0; lane < 32; ++lane) {
      Words expected;
      Matrix d = c;
      for (int row = 0; row < test.m; ++row)
        for (int column = 0; column < test.n; ++column)
          for (int k = 0; k < test.k; ++k) {
            const int x = a.At({row, k}), y = b.At({k, column});
            const bool bits = std::string_view(test.a) == "b1",
                       both = std::string_view(test.form).find("and") != std::string_view::npos;
            d.values[static_cast<std::size_t>(row * test.n + column)] += !bits ? x * y : both ? (x & y) : (x ^ y);
          }
      Pack(layouts[3], d, test.d, lane, expected);
      const auto begin = out.begin() + static_cast<std::ptrdiff_t>(static_cast<std::size_t>(lane) * per_lane + d_at);
      ASSERT_EQ(Words(begin, begin + static_cast<std::ptrdiff_t>(expected.size())), expected) << "lane " << lane;
    }
  }
}

TEST(EmulatorMma, SaturatesIntegersWhereToldTo) {
  // 127 * 127 * 32 onto the largest integer, by all elements.
  const auto run = [](const char* saturate) {
    const std::string body = fmt::format(
        ".reg .b32 %r<8>; mov.u32 %r0, 0x7f7f7f7f; mov.u32 %r1, 0x7fffffff;\n"
        "mma.sync.aligned.m16n8k32.row.col{}.s32.s8.s8.s32 {{%r2,%r3,%r4,%r5}}, {{%r0,%r0,%r0,%r0}}, {{%r0,%r0}}, "
        "{{%r1,%r1,%r1,%r1}};\nst.global.b32 [%out], %r5; ret;",
        saturate);
    return PtxRunner("sm_80").Run(body, Words(1))[0];
  };
  EXPECT_EQ(run(".satfinite"), 0x7fffffffu);
  EXPECT_EQ(run(""), 0x7fffffffu + 127u * 127 * 32);
}

TEST(EmulatorMma, QuadPairsMultiplyFourTimesEight) {
  for (const bool a_rows : {false, true})
    for (const bool b_rows : {false, true}) {
      std::mt19937 random(3);
      const Matrix a(32, 4, "f16", random), b(4, 32, "f16", random);
      const auto la = FragmentLayout::QuadPairs(MatrixRole::kA, a_rows, 16);
      const auto lb = FragmentLayout::QuadPairs(MatrixRole::kB, b_rows, 16);
      const auto ld = FragmentLayout::QuadPairs(MatrixRole::kAccumulator, true, 32);
      Words words;
      for (int lane = 0; lane < 32; ++lane) {
        Pack(la, a, "f16", lane, words);
        Pack(lb, b, "f16", lane, words);
        words.resize(words.size() + 8);
      }
      const Words out =
          PtxRunner("sm_80").Run(fmt::format(".reg .b32 %lane, %r<4>; .reg .f32 %f<8>, %z; .reg .b64 %at, %o; mov.u32 "
                                             "%lane, %laneid; mov.f32 %z, 0f3f800000;\n"
                                             "mul.wide.u32 %o, %lane, 48; add.u64 %at, %out, %o; ld.global.b32 %r0, "
                                             "[%at]; ld.global.b32 %r1, [%at+4];\n"
                                             "ld.global.b32 %r2, [%at+8]; ld.global.b32 %r3, [%at+12];\n"
                                             "mma.sync.aligned.m8n8k4.{}.{}.f32.f16.f16.f32 "
                                             "{{%f0,%f1,%f2,%f3,%f4,%f5,%f6,%f7}}, {{%r0,%r1}}, {{%r2,%r3}}, "
                                             "{{%z,%z,%z,%z,%z,%z,%z,%z}};\n"
                                             "st.global.f32 [%at+16], %f0; st.global.f32 [%at+20], %f1; st.global.f32 "
                                             "[%at+24], %f2; st.global.f32 [%at+28], %f3;\n"
                                             "st.global.f32 [%at+32], %f4; st.global.f32 [%at+36], %f5; st.global.f32 "
                                             "[%at+40], %f6; st.global.f32 [%at+44], %f7; ret;",
                                             a_rows ? "row" : "col", b_rows ? "row" : "col"),
                                 words);
      for (int lane = 0; lane < 32; ++lane)
        for (int e = 0; e < 8; ++e) {
          const Position at = ld.At(lane, e);
          int sum = 1;
          for (int k = 0; k < 4; ++k) sum += a.At({at.row, k}) * b.At({k, at.row / 8 * 8 + at.column});
          ASSERT_EQ(std::bit_cast<float>(out[static_cast<std::size_t>(lane * 12 + 4 + e)]), static_cast<float>(sum))
              << a_rows << b_rows << " lane " << lane << " element " << e;
        }
    }
}

TEST(EmulatorMma, ADivergedWarpIsAnError) {
  const std::string body =
      ".reg .b32 %r<8>; .reg .f32 %f<4>; .reg .pred %p; mov.u32 %r0, %laneid; setp.lt.u32 %p, %r0, 16; mov.u32 %r1, "
      "0;\n"
      "@%p bra SKIP; mma.sync.aligned.m16n8k8.row.col.f32.bf16.bf16.f32 {%f0,%f1,%f2,%f3}, {%r1,%r1}, {%r1}, "
      "{%f0,%f1,%f2,%f3}; bra SKIP;\nSKIP: ret;";
  EXPECT_THAT(PtxRunner("sm_80").ErrorOf(body, 1), testing::AnyOf(HasSubstr("all 32 lanes"), HasSubstr("never come")));
}

/// wmma through memory: D = A * B + C with every layout of the operands.
struct WmmaCase {
  const char *shape, *a, *b, *c, *d;
  int m, n, k;
};
constexpr WmmaCase kWmma[] = {
    {"m16n16k16", "f16", "f16", "f32", "f32", 16, 16, 16},   {"m16n16k16", "f16", "f16", "f16", "f16", 16, 16, 16},
    {"m8n32k16", "f16", "f16", "f32", "f16", 8, 32, 16},     {"m32n8k16", "f16", "f16", "f16", "f32", 32, 8, 16},
    {"m16n16k16", "bf16", "bf16", "f32", "f32", 16, 16, 16}, {"m8n32k16", "bf16", "bf16", "f32", "f32", 8, 32, 16},
    {"m32n8k16", "s8", "s8", "s32", "s32", 32, 8, 16},       {"m16n16k16", "u8", "u8", "s32", "s32", 16, 16, 16},
    {"m16n16k8", "tf32", "tf32", "f32", "f32", 16, 16, 8},   {"m8n8k4", "f64", "f64", "f64", "f64", 8, 8, 4},
};

/// The bytes of a matrix, lines of `lead` elements.
void Place(const Matrix& matrix, std::string_view type, bool by_rows, int lead, std::byte* to) {
  const auto bytes = static_cast<std::size_t>(BitsOfName(type) / 8);
  for (int row = 0; row < matrix.rows; ++row)
    for (int column = 0; column < matrix.columns; ++column) {
      const std::uint64_t bits = Encode(type, matrix.At({row, column}));
      const auto at = static_cast<std::size_t>(by_rows ? row * lead + column : column * lead + row);
      std::memcpy(to + at * bytes, &bits, bytes);
    }
}

int RegistersOf(const WmmaCase& t, MatrixRole role, const char* type) {
  return FragmentLayout::Wmma(role, role == MatrixRole::kB ? t.k : t.m, role == MatrixRole::kA ? t.k : t.n,
                              BitsOfName(type), std::string_view(type) == "f16")
      .registers();
}

TEST(EmulatorWmma, EveryLayoutOfEveryTypeGoesThroughMemory) {
  constexpr int kLead = 48, kBytes = 48 * 48 * 8;
  for (const WmmaCase& t : kWmma)
    for (int layouts = 0; layouts < 16; ++layouts) {
      SCOPED_TRACE(fmt::format("{} {} {} layouts {}", t.shape, t.a, t.d, layouts));
      const auto layout = [&](int k) { return (layouts >> k & 1) != 0 ? "row" : "col"; };
      const auto by_rows = [&](int k) { return (layouts >> k & 1) != 0; };
      std::mt19937 random(11);
      const Matrix a(t.m, t.k, t.a, random), b(t.k, t.n, t.b, random), c(t.m, t.n, "s32", random);
      Matrix d = c;
      for (int row = 0; row < t.m; ++row)
        for (int column = 0; column < t.n; ++column)
          for (int k = 0; k < t.k; ++k)
            d.values[static_cast<std::size_t>(row * t.n + column)] += a.At({row, k}) * b.At({k, column});
      std::vector<std::byte> bytes(4 * kBytes), expected(kBytes);
      Place(a, t.a, by_rows(0), kLead, bytes.data());
      Place(b, t.b, by_rows(1), kLead, bytes.data() + kBytes);
      Place(c, t.c, by_rows(2), kLead, bytes.data() + 2 * kBytes);
      Place(d, t.d, by_rows(3), kLead, expected.data());
      const int ra = RegistersOf(t, MatrixRole::kA, t.a), rb = RegistersOf(t, MatrixRole::kB, t.b);
      const int rc = RegistersOf(t, MatrixRole::kAccumulator, t.c), rd = RegistersOf(t, MatrixRole::kAccumulator, t.d);
      const auto type = [](std::string_view name) { return name == "f64" ? "f64" : name == "f32" ? "f32" : "b32"; };
      const bool halves = std::string_view(t.a) == "f16";
      const std::string types = halves ? fmt::format("{}.{}", t.d, t.c)
                                       : fmt::format("{}.{}.{}.{}{}", t.d, t.a, t.b, t.c,
                                                     // nvcc writes the rounding here.
                                                     std::string_view(t.a) == "f64" && layouts % 2 == 0 ? ".rn" : "");
      const std::string body = fmt::format(
          ".reg .{} %a<{}>; .reg .{} %b<{}>; .reg .{} %c<{}>; .reg .{} %d<{}>;\n"
          "wmma.load.a.sync.aligned.{}.{}.global.{} {}, [%out], {};\nwmma.load.b.sync.aligned.{}.{}.global.{} {}, "
          "[%out+{}], {};\n"
          "wmma.load.c.sync.aligned.{}.{}.global.{} {}, [%out+{}], {};\nwmma.mma.sync.aligned.{}.{}.{}.{} {}, {}, {}, "
          "{};\n"
          "wmma.store.d.sync.aligned.{}.{}.global.{} [%out+{}], {}, {}; ret;",
          type(t.a) == std::string_view("f64") ? "f64" : "b32", ra,
          type(t.b) == std::string_view("f64") ? "f64" : "b32", rb, type(t.c), rc, type(t.d), rd, layout(0), t.shape,
          t.a, Registers('a', ra), kLead, layout(1), t.shape, t.b, Registers('b', rb), kBytes, kLead, layout(2),
          t.shape, t.c, Registers('c', rc), 2 * kBytes, kLead, layout(0), layout(1), t.shape, types, Registers('d', rd),
          Registers('a', ra), Registers('b', rb), Registers('c', rc), layout(3), t.shape, t.d, 3 * kBytes,
          Registers('d', rd), kLead);
      Words words(bytes.size() / 4);
      std::memcpy(words.data(), bytes.data(), bytes.size());
      const Words out = PtxRunner("sm_80").Run(body, words);
      ASSERT_EQ(std::memcmp(out.data() + 3 * kBytes / 4, expected.data(), kBytes), 0);
    }
}

TEST(EmulatorMatrixLoad, FourMatricesComeAndGoTransposedOrNot) {
  for (const char* trans : {"", ".trans"}) {
    Words words(32 * 8);
    for (std::size_t w = 0; w < 128; ++w) words[w] = static_cast<std::uint32_t>(2 * w + ((2 * w + 1) << 16));
    // Lane l fills row l; then the matrices are loaded, stored again likewise, and read back by rows.
    const std::string body = fmt::format(
        ".shared .align 16 .b8 tile[512]; .shared .align 16 .b8 other[512]; .reg .b32 %lane, %at, %to, %r<8>; .reg "
        ".b64 %o, %g;\n"
        "mov.u32 %lane, %laneid; mul.wide.u32 %o, %lane, 16; add.u64 %g, %out, %o; ld.global.v4.u32 "
        "{{%r0,%r1,%r2,%r3}}, [%g];\n"
        "mov.u32 %at, tile; mov.u32 %to, other; mad.lo.u32 %at, %lane, 16, %at; mad.lo.u32 %to, %lane, 16, %to;\n"
        "st.shared.v4.u32 [%at], {{%r0,%r1,%r2,%r3}}; bar.warp.sync -1;\n"
        "ldmatrix.sync.aligned.m8n8.x4{0}.shared.b16 {{%r4,%r5,%r6,%r7}}, [%at];\n"
        "st.global.v4.u32 [%g+512], {{%r4,%r5,%r6,%r7}};\n"
        "stmatrix.sync.aligned.m8n8.x4{0}.shared.b16 [%to], {{%r4,%r5,%r6,%r7}}; bar.warp.sync -1;\n"
        "ld.shared.v4.u32 {{%r0,%r1,%r2,%r3}}, [%to]; st.global.v4.u32 [%g], {{%r0,%r1,%r2,%r3}}; ret;",
        trans);
    const Words out = PtxRunner("sm_90a").Run(body, words);
    EXPECT_EQ(Words(out.begin(), out.begin() + 128), Words(words.begin(), words.begin() + 128)) << trans;
    for (std::uint32_t lane = 0; lane < 32; ++lane)
      for (std::uint32_t matrix = 0; matrix < 4; ++matrix) {
        const auto element = [&](std::uint32_t row, std::uint32_t column) { return matrix * 64 + row * 8 + column; };
        const std::uint32_t x = lane / 4, y = lane % 4 * 2;
        const std::uint32_t low = *trans == 0 ? element(x, y) : element(y, x),
                            high = *trans == 0 ? low + 1 : element(y + 1, x);
        EXPECT_EQ(out[128 + lane * 4 + matrix], low | high << 16) << trans << " lane " << lane;
      }
  }
}

TEST(EmulatorMatrixLoad, OnlyTheLanesThatGiveRowsNeedValidAddresses) {
  const auto body = [](const char* count, const char* registers) {
    return fmt::format(
        ".shared .align 16 .b8 tile[512]; .reg .b32 %lane, %at, %r<4>; mov.u32 %lane, %laneid; mov.u32 %at, tile;\n"
        "mad.lo.u32 %at, %lane, 64, %at; ldmatrix.sync.aligned.m8n8.{}.shared.b16 {{{}}}, [%at];\nret;",
        count, registers);
  };
  RunOptions unchecked;  // Nobody wrote the tile.
  unchecked.check = false;
  EXPECT_EQ(PtxRunner("sm_90a", unchecked).ErrorOf(body("x1", "%r0"), 1), "");
  EXPECT_THAT(PtxRunner("sm_90a", unchecked).ErrorOf(body("x2", "%r0, %r1"), 1), HasSubstr("lane 8: reads 16 bytes"));
  EXPECT_THAT(PtxRunner().ErrorOf(".shared .align 16 .b8 tile[512]; .reg .b32 %r<4>;\n"
                                  "ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%r0}, [tile+8]; ret;",
                                  1),
              HasSubstr("not a multiple of 16"));
}

TEST(EmulatorMatrixLoad, MovmatrixTransposes) {
  Words words(32);
  for (std::uint32_t l = 0; l < 32; ++l) words[l] = 2 * l | (2 * l + 1) << 16;
  const Words out = PtxRunner().Run(
      ".reg .b32 %lane, %r<2>; .reg .b64 %o, %g; mov.u32 %lane, %laneid; mul.wide.u32 %o, %lane, 4; add.u64 %g, %out, "
      "%o;\n"
      "ld.global.b32 %r0, [%g]; movmatrix.sync.aligned.m8n8.trans.b16 %r1, %r0; st.global.b32 [%g], %r1; ret;",
      words);
  for (std::uint32_t l = 0; l < 32; ++l) EXPECT_EQ(out[l], (l % 4 * 16 + l / 4) | (l % 4 * 16 + 8 + l / 4) << 16) << l;
}

}  // namespace
}  // namespace gemmsmith::emulator
