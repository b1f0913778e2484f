// wgmma of the emulated device: every type, both places of A, every layout; and a TMA kernel that compilers made.
#include <gmock/gmock.h>

#include "../support/emulated_gemm.h"
#include "runtime/emulator/isa/matrix_product.h"

namespace gemmsmith::emulator {
namespace {

using testing::HasSubstr;
using Words = std::vector<std::uint32_t>;

struct WgmmaCase {
  const char *types, *a, *b;  ///< "f32.bf16.bf16"
  int n, k;
  bool a_in_registers = false, a_trans = false, b_trans = false;
  int scale_a = 1, scale_b = 1;
};
constexpr WgmmaCase kCases[] = {
    {"f32.bf16.bf16", "bf16", "bf16", 128, 16},
    {"f32.f16.f16", "f16", "f16", 8, 16},
    {"f16.f16.f16", "f16", "f16", 256, 16},
    {"f32.bf16.bf16", "bf16", "bf16", 64, 16, false, true, false},
    {"f32.bf16.bf16", "bf16", "bf16", 96, 16, false, false, true, -1, 1},
    {"f32.f16.f16", "f16", "f16", 40, 16, false, true, true, 1, -1},
    {"f32.bf16.bf16", "bf16", "bf16", 24, 16, true},
    {"f32.f16.f16", "f16", "f16", 32, 16, true, false, true, -1, -1},
    {"f32.tf32.tf32", "tf32", "tf32", 16, 8},
    {"f32.tf32.tf32", "tf32", "tf32", 48, 8, true},
    {"f32.e4m3.e5m2", "e4m3", "e5m2", 72, 32},
    {"f16.e5m2.e4m3", "e5m2", "e4m3", 80, 32, true},
    {"s32.s8.u8", "s8", "u8", 32, 32},
    {"s32.u8.s8", "u8", "s8", 24, 32, true},
    {"s32.s8.s8.satfinite", "s8", "s8", 64, 32},
};

int BitsOfName(std::string_view type) { return type == "f32" || type == "s32" ? 32 : BitsOf(*ParseTensorType(type)); }
std::uint32_t Encode(std::string_view type, int value) {
  const auto number = static_cast<float>(value);
  if (type == "f16") return F32ToF16(number);
  if (type == "bf16") return F32ToBf16(number);
  if (type == "e4m3") return F32ToE4m3(number);
  if (type == "e5m2") return F32ToE5m2(number);
  if (type == "f32" || type == "tf32") return F32Bits(number);
  return type == "s32" ? static_cast<std::uint32_t>(value) : static_cast<std::uint32_t>(value) & 0xff;
}

/// A matrix of small integers by (line of m or n, k), laid out without a swizzle: core matrices of 8 lines of 16 bytes,
/// 128 bytes each, first along k (or, transposed, first along the lines).
struct Factor {
  int lines, k;
  std::string_view type;
  bool trans;
  std::vector<int> values;
  Factor(int l, int depth, std::string_view t, bool transposed, std::mt19937& random)
      : lines(l), k(depth), type(t), trans(transposed), values(static_cast<std::size_t>(l * depth)) {
    for (int& v : values) v = static_cast<int>(random() % 8) - (t[0] == 'u' ? 0 : 4);
  }
  int At(int line, int depth) const { return values[static_cast<std::size_t>(line * k + depth)]; }
  void Place(std::byte* to) const {
    const int bytes = BitsOfName(type) / 8, per = 16 / bytes;
    for (int line = 0; line < lines; ++line)
      for (int d = 0; d < k; ++d) {
        const int row = trans ? d : line, column = trans ? line : d, across = (trans ? lines : k) / per;
        const int at = (row / 8 * across + column / per) * 128 + row % 8 * 16 + column % per * bytes;
        const std::uint32_t bits = Encode(type, At(line, d));
        std::memcpy(to + at, &bits, static_cast<std::size_t>(bytes));
      }
  }
  /// The next core matrix along a line is 128 bytes away, the next 8 rows follow behind all of a line.
  std::uint64_t Descriptor(std::uint32_t start) const {
    const int across = (trans ? lines : k) * BitsOfName(type) / 128;
    const auto near = std::uint64_t{128 / 16}, far = static_cast<std::uint64_t>(across) * 128 / 16;
    // K-major: leading is along k, stride along lines. MN-major without swizzle: stride is along lines, leading along
    // k.
    return start >> 4 | (trans ? far : near) << 16 | (trans ? near : far) << 32;
  }
};

std::string Registers(char name, int count) {
  std::string list = "{";
  for (int r = 0; r < count; ++r) list += fmt::format("{}%{}{}", r == 0 ? "" : ", ", name, r);
  return list + "}";
}

constexpr std::uint32_t kTile = 1024;  // Where shared memory begins.

// The tile is filled from [out]; b lies 16 KiB behind a.
constexpr const char* kStart =
    ".shared .align 1024 .b8 tile[32768]; .reg .b32 %t, %s, %v; .reg .b64 %o, %g, %l; .reg .pred %p, %one;\n"
    "mov.u32 %t, %tid.x; mov.u32 %s, tile; mad.lo.u32 %s, %t, 4, %s; mul.wide.u32 %o, %t, 4; add.u64 %g, %out, %o; "
    "add.u64 %l, %g, 32768;\n"
    "FILL: ld.global.u32 %v, [%g]; st.shared.u32 [%s], %v; add.u64 %g, %g, 512; add.u32 %s, %s, 512; setp.lt.u64 %p, "
    "%g, %l; @%p bra FILL;\n"
    "fence.proxy.async; bar.sync 0; setp.eq.u32 %one, %t, %t; mul.wide.u32 %o, %t, 1024; add.u64 %g, %out, 32768; "
    "add.u64 %g, %g, %o;\n";

TEST(EmulatorWgmma, EveryTypeAndPlaceOfAMultiplies) {
  for (const WgmmaCase& t : kCases) {
    SCOPED_TRACE(fmt::format("m64n{}k{}.{} registers {} trans {} {}", t.n, t.k, t.types, t.a_in_registers, t.a_trans,
                             t.b_trans));
    std::mt19937 random(1);
    const Factor a(64, t.k, t.a, t.a_trans, random), b(t.n, t.k, t.b, t.b_trans, random);
    const std::string_view sum = std::string_view(t.types).substr(0, 3);
    const auto layout = FragmentLayout::Mma(MatrixRole::kAccumulator, 16, t.n, sum == "f16" ? 16 : 32);
    const auto a_layout = FragmentLayout::Mma(MatrixRole::kA, 16, t.k, BitsOfName(t.a));
    Words words(8192 + 128 * 256);
    a.Place(reinterpret_cast<std::byte*>(words.data()));
    b.Place(reinterpret_cast<std::byte*>(words.data()) + 16384);
    const bool halves = BitsOfName(t.a) == 16, scales = sum != "s32";
    std::string body = kStart, operand = fmt::format("{:#x}", a.Descriptor(kTile));
    // The first product overwrites D; the second adds to it.
    if (t.a_in_registers) {
      body += fmt::format(".reg .b32 %a<{}>;\n", a_layout.registers());
      for (int lane = 0; lane < 128; ++lane)
        for (int r = 0; r < a_layout.registers(); ++r) {
          std::uint32_t word = 0;
          for (int e = 0; e < a_layout.per_register(); ++e) {
            const Position at = a_layout.At(lane % 32, r * a_layout.per_register() + e);
            word |= Encode(t.a, a.At(lane / 32 * 16 + at.row, at.column)) << (e * BitsOfName(t.a));
          }
          words[static_cast<std::size_t>(8192 + lane * 256 + r)] = word;
        }
      for (int r = 0; r < a_layout.registers(); ++r) body += fmt::format("ld.global.b32 %a{}, [%g+{}];\n", r, 4 * r);
      operand = Registers('a', a_layout.registers());
    }
    std::string tail;
    if (scales) tail += fmt::format(", {}, {}", t.scale_a, t.scale_b);
    if (halves && !t.a_in_registers) tail += t.a_trans ? ", 1" : ", 0";
    if (halves) tail += t.b_trans ? ", 1" : ", 0";
    const int count = layout.registers();
    body += fmt::format(".reg .{} %d<{}>;\nwgmma.fence.sync.aligned;\n", sum == "f32" ? "f32" : "b32", count);
    for (const char* scale : {"!%one", "%one"})
      body += fmt::format("wgmma.mma_async.sync.aligned.m64n{}k{}.{} {}, {}, {:#x}, {}{};\n", t.n, t.k, t.types,
                          Registers('d', count), operand, b.Descriptor(kTile + 16384), scale, tail);
    body += "wgmma.commit_group.sync.aligned; wgmma.wait_group.sync.aligned 0;\n";
    for (int r = 0; r < count; ++r) body += fmt::format("st.global.b32 [%g+{}], %d{};\n", 4 * r, r);
    const Words out = PtxRunner("sm_90a").Run(body + "ret;", words, {{1, 1, 1}, {128, 1, 1}});
    for (int lane = 0; lane < 128; ++lane)
      for (int r = 0; r < count; ++r) {
        std::uint32_t expected = 0;
        for (int e = 0; e < layout.per_register(); ++e) {
          const Position at = layout.At(lane % 32, r * layout.per_register() + e);
          int value = 0;
          for (int k = 0; k < t.k; ++k) value += a.At(lane / 32 * 16 + at.row, k) * b.At(at.column, k);
          expected |= Encode(sum, 2 * value * t.scale_a * t.scale_b) << (16 * e);
        }
        ASSERT_EQ(out[static_cast<std::size_t>(8192 + lane * 256 + r)], expected)
            << "thread " << lane << " register " << r;
      }
  }
}

/// A 64 x 8 x 16 product of zeros, and what stands around it.
std::string ErrorOf(const std::string& body, unsigned threads = 128) {
  const std::string text = std::string(kStart) +
                           ".reg .f32 %d<4>, %f<4>; .reg .b32 %a<4>; .reg .b64 %x; mov.u64 %x, 0x800080040; mov.b32 "
                           "%a0, 0; mov.b32 %a1, 0; mov.b32 %a2, 0; mov.b32 %a3, 0;\n" +
                           body + " ret;";
  return PtxRunner("sm_90a").ErrorOf(text, 8192 + 128 * 256, {{1, 1, 1}, {threads, 1, 1}});
}
constexpr const char* kFence = "wgmma.fence.sync.aligned;";
constexpr const char* kMma =
    "wgmma.mma_async.sync.aligned.m64n8k16.f32.bf16.bf16 {%d0,%d1,%d2,%d3}, %x, %x, %one, 1, 1, 0, 0;";
constexpr const char* kMmaA =
    "wgmma.mma_async.sync.aligned.m64n8k16.f32.bf16.bf16 {%d0,%d1,%d2,%d3}, {%a0,%a1,%a2,%a3}, %x, %one, 1, 1, 0;";
constexpr const char* kCommit = "wgmma.commit_group.sync.aligned;";
constexpr const char* kWait0 = "wgmma.wait_group.sync.aligned 0;";
constexpr const char* kWait1 = "wgmma.wait_group.sync.aligned 1;";

TEST(EmulatorWgmma, ResultsAreSealedUntilTheWait) {
  const std::string fence = kFence, mma = kMma, commit = kCommit;
  EXPECT_EQ(ErrorOf(fence + mma + mma + commit + kWait0 + "add.f32 %f0, %d0, %d0;"), "");
  EXPECT_THAT(ErrorOf(fence + mma + commit + "add.f32 %f0, %d1, %d1;"), HasSubstr("reads a result of `wgmma"));
  EXPECT_THAT(ErrorOf(fence + mma + commit + kWait1 + "add.f32 %f0, %d1, %d1;"), HasSubstr("reads a result of"));
  // Two groups: the first is through when only one may be pending.
  const std::string other =
      "wgmma.mma_async.sync.aligned.m64n8k16.f32.bf16.bf16 {%f0,%f1,%f2,%f3}, %x, %x, %one, 1, 1, 0, 0;";
  EXPECT_EQ(ErrorOf(fence + mma + commit + other + commit + kWait1 + "st.global.f32 [%g], %d0;" + kWait0), "");
  EXPECT_THAT(ErrorOf(fence + mma + commit + other + commit + kWait1 + "st.global.f32 [%g], %f0;"),
              HasSubstr("reads a result"));
  // Uncommitted ones are never through.
  EXPECT_THAT(ErrorOf(fence + mma + kWait0 + "st.global.f32 [%g], %d0;"), HasSubstr("reads a result of"));
  // A mov carries the seal along.
  EXPECT_EQ(ErrorOf(fence + mma + commit + "mov.f32 %f1, %d1;" + kWait0 + "add.f32 %f0, %f1, %f1;"), "");
  EXPECT_THAT(ErrorOf(fence + mma + commit + "mov.f32 %f1, %d1; add.f32 %f0, %f1, %f1;"),
              HasSubstr("reads a result of"));
}

TEST(EmulatorWgmma, Fp8SumsKeepNoMoreBitsThanHopperDoes) {
  // 2^14 + 1, and 32 products of 1: aligned to 2^14 with 13 bits behind it, every 1 is cut off.
  const auto run = [](const char* types, const char* depth, const char* rest) {
    const std::string body =
        std::string(kStart) +
        fmt::format(
            ".reg .f32 %d<4>; .reg .b64 %x; mov.u64 %x, 0x800080040; mov.f32 %d0, 0f46800200; mov.f32 %d1, %d0; "
            "mov.f32 %d2, %d0; "
            "mov.f32 %d3, %d0;\nwgmma.fence.sync.aligned; wgmma.mma_async.sync.aligned.m64n8{}.{} {{%d0,%d1,%d2,%d3}}, "
            "%x, %x, %one, 1, 1{};\n"
            "wgmma.commit_group.sync.aligned; wgmma.wait_group.sync.aligned 0; st.global.f32 [%g], %d0; ret;",
            depth, types, rest);
    // Ones of e4m3, or of bf16.
    Words words(8192 + 128 * 256, *rest == 0 ? 0x38383838u : 0x3f803f80u);
    return std::bit_cast<float>(PtxRunner("sm_90a").Run(body, words, {{1, 1, 1}, {128, 1, 1}})[8192]);
  };
  EXPECT_EQ(run("f32.e4m3.e4m3", "k32", ""), 16384.0f);
  EXPECT_EQ(run("f32.bf16.bf16", "k16", ", 0, 0"), 16385.0f + 16);
}

TEST(EmulatorWgmma, TheWaitIsForAllFourWarps) {
  // A warp that never comes is waited for.
  EXPECT_THAT(ErrorOf(std::string("setp.lt.u32 %p, %t, 32; @%p bra END;") + kFence + kMma + kCommit + kWait0 + "END:"),
              testing::AllOf(HasSubstr("deadlock"), HasSubstr("the other warps of its warpgroup")));
}

TEST(EmulatorWgmma, MisuseIsAnError) {
  const std::string fence = kFence, mma = kMma, commit = kCommit;
  EXPECT_THAT(ErrorOf(mma + commit + kWait0), HasSubstr("no wgmma.fence"));
  EXPECT_THAT(ErrorOf(fence + kMmaA + commit + "mov.b32 %a1, 5;" + kWait0), HasSubstr("still reads"));
  EXPECT_EQ(ErrorOf(fence + kMmaA + commit + kWait0 + "mov.b32 %a1, 5;"), "");
  EXPECT_THAT(ErrorOf(fence + mma, 64), HasSubstr("fewer than 4 warps"));
  EXPECT_THAT(
      ErrorOf("setp.lt.u32 %p, %t, 32; @%p bra OTHER;" + fence + mma + "bra END; OTHER:" + fence + kMmaA + "END:"),
      HasSubstr("another warp of its warpgroup"));
  EXPECT_THAT(ErrorOf("setp.lt.u32 %p, %t, 16; @%p bra END;" + fence + "END:"),
              testing::AnyOf(HasSubstr("all 32 lanes"), HasSubstr("never come")));
  EXPECT_THAT(ErrorOf(fence + "mov.u64 %x, 0x4000;" + mma), HasSubstr("bits set between its fields"));
  EXPECT_THAT(ErrorOf(fence + "mov.u64 %x, 0x800083fff;" + mma), HasSubstr("of shared memory"));
  EXPECT_THAT(ErrorOf(fence + "wgmma.mma_async.sp.sync.aligned.m64n8k32.f32.bf16.bf16 {%d0,%d1,%d2,%d3}, %x, %x, %a0, "
                              "0, %one, 1, 1, 0, 0;"),
              HasSubstr("sparse"));
}

/// One tile of (128, 128) per CTA: a producer warp feeds a ring of TMA copies, two warpgroups multiply, and TMA stores.
constexpr const char* kHopper = R"(
using u32 = unsigned; using u64 = unsigned long long;
struct alignas(64) Map { u64 words[16]; };
constexpr int kStages = 3, kStage = 128 * 64 * 2;
__device__ __forceinline__ u32 Shared(const void* p) { return (u32)__cvta_generic_to_shared(p); }
__device__ __forceinline__ void Wait(u32 bar, u32 parity) {
  asm volatile("{\n.reg .pred p;\nW: mbarrier.try_wait.parity.shared::cta.b64 p, [%0], %1;\n@!p bra W;\n}" ::"r"(bar), "r"(parity) : "memory");
}
__device__ __forceinline__ void Load(u32 to, const Map* map, u32 bar, int x, int y) {
  asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4}], [%2];"
               ::"r"(to), "l"(map), "r"(bar), "r"(x), "r"(y) : "memory");
}
__device__ __forceinline__ u64 Descriptor(u32 at) { return (u64)(at >> 4) | (u64)1 << 16 | (u64)64 << 32 | (u64)1 << 62; }
#define D8(i) "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3]), "+f"(d[i + 4]), "+f"(d[i + 5]), "+f"(d[i + 6]), "+f"(d[i + 7])
__device__ __forceinline__ void Multiply(float (&d)[64], u64 a, u64 b) {
  asm volatile("{\n.reg .pred p;\nsetp.eq.u32 p, 0, 0;\nwgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 "
    "{%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31,"
    "%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47,%48,%49,%50,%51,%52,%53,%54,%55,%56,%57,%58,%59,%60,%61,%62,%63},"
    " %64, %65, p, 1, 1, 0, 0;\n}" : D8(0), D8(8), D8(16), D8(24), D8(32), D8(40), D8(48), D8(56) : "l"(a), "l"(b));
}
__device__ __forceinline__ u32 Pack(float x, float y) { u32 r; asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(y), "f"(x)); return r; }
extern "C" __global__ void __launch_bounds__(384, 1)
Gemm(const __grid_constant__ Map ma, const __grid_constant__ Map mb, const __grid_constant__ Map md, int k) {
  extern __shared__ __align__(1024) unsigned char smem[];
  __shared__ u64 bars[2 * kStages];
  const u32 a = Shared(smem), b = a + kStages * kStage, full = Shared(bars), empty = full + 8 * kStages;
  const int m0 = blockIdx.y * 128, n0 = blockIdx.x * 128, group = threadIdx.x / 128, steps = (k + 63) / 64;
  if (threadIdx.x == 0) {
    for (int s = 0; s < kStages; s++) {
      asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;" ::"r"(full + 8 * s));
      asm volatile("mbarrier.init.shared::cta.b64 [%0], 2;" ::"r"(empty + 8 * s));
    }
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
  }
  __syncthreads();
  if (group == 0) {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 40;");
    if (threadIdx.x != 0) return;
    for (int i = 0; i < steps; i++) {
      const int s = i % kStages;
      Wait(empty + 8 * s, (i / kStages & 1) ^ 1);
      asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(full + 8 * s), "r"(2 * kStage) : "memory");
      Load(a + s * kStage, &ma, full + 8 * s, i * 64, m0);
      Load(b + s * kStage, &mb, full + 8 * s, i * 64, n0);
    }
    return;
  }
  asm volatile("setmaxnreg.inc.sync.aligned.u32 232;");
  const int c = group - 1;
  float d[64];
#pragma unroll
  for (int i = 0; i < 64; i++) d[i] = 0;
#pragma unroll 1
  for (int i = 0; i < steps; i++) {
    const int s = i % kStages;
    Wait(full + 8 * s, i / kStages & 1);
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
#pragma unroll
    for (int kk = 0; kk < 4; kk++) Multiply(d, Descriptor(a + s * kStage + c * 8192) + kk * 2, Descriptor(b + s * kStage) + kk * 2);
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
    asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory");
    if (threadIdx.x % 128 == 0) asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(empty + 8 * s) : "memory");
  }
  const int warp = threadIdx.x / 32 % 4, lane = threadIdx.x % 32;
  const u32 out = a + 2 * kStages * kStage + c * 16384;
#pragma unroll
  for (int j = 0; j < 8; j++) {
    const int row = warp * 16 + lane % 16, piece = (j % 4) * 2 + lane / 16;
    asm volatile("stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1, %2, %3, %4};" ::
      "r"(out + j / 4 * 8192 + row * 128 + ((piece ^ (row & 7)) * 16)), "r"(Pack(d[8 * j], d[8 * j + 1])),
      "r"(Pack(d[8 * j + 2], d[8 * j + 3])), "r"(Pack(d[8 * j + 4], d[8 * j + 5])), "r"(Pack(d[8 * j + 6], d[8 * j + 7])) : "memory");
  }
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
  asm volatile("bar.sync %0, 128;" ::"r"(c + 1) : "memory");
  if (threadIdx.x % 128 != 0) return;
  for (int q = 0; q < 2; q++)
    asm volatile("cp.async.bulk.tensor.2d.global.shared::cta.bulk_group [%0, {%1, %2}], [%3];" ::
      "l"(&md), "r"(n0 + q * 64), "r"(m0 + c * 64), "r"(out + q * 8192) : "memory");
  asm volatile("cp.async.bulk.commit_group;\ncp.async.bulk.wait_group.read 0;" ::: "memory");
}
)";

class EmulatedHopper : public testing::Test {
 protected:
  void SetUp() override {
    ptx_ = CompileToPtx(kHopper, "Gemm", "sm_90a", &name_);
    if (ptx_.empty()) GTEST_SKIP() << "there is no NVRTC";
  }
  std::string Run(const std::string& ptx, int m, int n, int k, std::uint64_t seed) const {
    const auto state = MakeState("sm_90a", seed);
    const auto kernel = LoadPtx(state, ptx, name_);
    const Bf16Gemm gemm(state, m, n, k);
    OpaqueMap a = MapOf(gemm.a.as<void>(), MemoryType::kBf16, m, k, 128, 64, 3);
    OpaqueMap b = MapOf(gemm.b.as<void>(), MemoryType::kBf16, n, k, 128, 64, 3);
    OpaqueMap d = MapOf(gemm.d.as<void>(), MemoryType::kBf16, m, n, 64, 64, 3);
    void* args[] = {&a, &b, &d, &k};
    const Dim3 grid{static_cast<std::uint32_t>((n + 127) / 128), static_cast<std::uint32_t>((m + 127) / 128), 1};
    try {
      kernel->Launch(grid, {384, 1, 1}, {1, 1, 1}, 2 * 3 * 16384 + 32768, args, {});
    } catch (const Error& error) {
      return error.what();
    }
    return gemm.Check();
  }
  /// The PTX with the first `what` gone, or replaced.
  std::string Without(const std::string& what, const std::string& instead = "") const {
    std::string text = ptx_;
    const std::size_t at = text.find(what);
    EXPECT_NE(at, text.npos) << what;
    return at == text.npos ? text : text.replace(at, what.size(), instead);
  }
  std::string ptx_, name_;
};

TEST_F(EmulatedHopper, MultipliesRaggedShapesWhateverTheSeed) {
  std::uint64_t seed = 1;
  for (const auto& [m, n, k] : {std::array{128, 128, 64}, {200, 264, 320}, {72, 136, 88}, {8, 8, 8}, {256, 128, 512}})
    for (int i = 0; i < 3; ++i)
      EXPECT_EQ(Run(ptx_, m, n, k, seed++), "") << m << "x" << n << "x" << k << " seed " << seed;
}

TEST_F(EmulatedHopper, WhatIsLeftOutIsFound) {
  struct Case {
    const char *what, *instead, *message;
  };
  for (const Case& test : {
           Case{"wgmma.wait_group.sync.aligned 0;", "", "overwrite of what an asynchronous operation still uses"},
           Case{"wgmma.commit_group.sync.aligned;", "", "overwrite of what an asynchronous operation still uses"},
           Case{"cp.async.bulk.wait_group.read 0;", "", "was not awaited"},
           Case{"mbarrier.arrive.shared::cta.b64 _,", "mbarrier.pending_count.b64 _, 0; //", "deadlock"},
           Case{"mbarrier.arrive.expect_tx.shared::cta.b64 _,", "mbarrier.expect_tx.shared::cta.b64", "deadlock"},
       })
    EXPECT_THAT(Run(Without(test.what, test.instead), 128, 128, 512, 1), HasSubstr(test.message)) << test.what;
}

}  // namespace
}  // namespace gemmsmith::emulator
