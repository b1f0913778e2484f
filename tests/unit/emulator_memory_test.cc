// Loads, stores and atomics of all spaces, and what is said of those that go wrong.
#include <gmock/gmock.h>

#include "../support/ptx_testing.h"

namespace gemmsmith::emulator {
namespace {

using testing::HasSubstr;
using Words = std::vector<std::uint32_t>;

constexpr const char* kLane =
    ".reg .b32 %lane, %r<20>; .reg .b16 %h<8>; .reg .b64 %at, %rd<8>; .reg .f32 %f<8>; .reg .pred %p<8>;\n"
    "mov.u32 %lane, %tid.x; mul.wide.u32 %rd0, %lane, 4; add.u64 %at, %out, %rd0; ld.global.u32 %r0, [%at];\n";

Words RunLanes(const std::string& body, Words words, LaunchShape shape = {}, const std::string& before = "") {
  return PtxRunner("sm_100a").Run(kLane + body + "\nst.global.u32 [%at], %r1; ret;", std::move(words), shape, before);
}
std::string ErrorOf(const std::string& body, LaunchShape shape = {}, const std::string& before = "") {
  return PtxRunner("sm_100a").ErrorOf(kLane + body + "\nst.global.u32 [%at], %r1; ret;", 32, shape, before);
}
Words Iota(std::size_t count) {
  Words words(count);
  for (std::size_t k = 0; k < count; ++k) words[k] = static_cast<std::uint32_t>(k);
  return words;
}

TEST(EmulatorMemory, NarrowLoadsExtendAndStoresCut) {
  struct {
    const char* text;
    std::uint32_t (*expected)(std::uint32_t word);
  } kCases[] = {
      {"ld.global.u8 %r1, [%at+1];", [](std::uint32_t w) { return w >> 8 & 0xff; }},
      {"ld.global.s8 %r1, [%at+1];",
       [](std::uint32_t w) { return static_cast<std::uint32_t>(static_cast<std::int8_t>(w >> 8)); }},
      {"ld.global.s16 %r1, [%at+2];",
       [](std::uint32_t w) { return static_cast<std::uint32_t>(static_cast<std::int16_t>(w >> 16)); }},
      {"ld.global.nc.L1::no_allocate.L2::128B.b16 %h1, [%at]; mov.b32 %r1, {%h1, %h1};",
       [](std::uint32_t w) { return (w & 0xffff) | w << 16; }},
      {"st.global.u8 [%at+3], %r0; ld.global.u32 %r1, [%at];",
       [](std::uint32_t w) { return (w & 0xffffff) | w << 24; }},
      {"st.global.b16 [%at+2], 7; ld.global.cg.u32 %r1, [%at];",
       [](std::uint32_t w) { return (w & 0xffff) | 7 << 16; }},
  };
  std::mt19937 random(3);
  Words words(32);
  for (std::uint32_t& w : words) w = static_cast<std::uint32_t>(random());
  for (const auto& test : kCases) {
    const Words out = RunLanes(test.text, words);
    for (std::size_t l = 0; l < 32; ++l) EXPECT_EQ(out[l], test.expected(words[l])) << test.text;
  }
}

TEST(EmulatorMemory, VectorsAreReadInOrder) {
  // Lanes 0 ... 3 copy 8 words each, through shared memory and local memory.
  const std::string body =
      std::string(kLane) +
      ".shared .align 32 .b8 s[128]; .local .align 16 .b8 l[32]; setp.gt.u32 %p1, %lane, 3; @%p1 exit;\n"
      "mul.wide.u32 %rd1, %lane, 32; add.u64 %rd1, %rd1, %out; shl.b32 %r2, %lane, 5; mov.u32 %r3, s; add.u32 %r2, "
      "%r2, %r3;\n"
      "ld.global.v8.b32 {%r4, %r5, %r6, %r7, %r8, %r9, %r10, %r11}, [%rd1];\n"
      "st.shared.v4.b32 [%r2], {%r4, %r5, %r6, %r7}; st.shared.v2.b32 [%r2+16], {%r8, %r9};\n"
      "st.local.v2.b32 [l+8], {%r10, %r11}; ld.shared.v2.b64 {%rd2, %rd3}, [%r2]; ld.local.b64 %rd4, [l+8];\n"
      "ld.shared.b64 %rd5, [%r2+16]; add.u64 %rd1, %rd1, 128; st.global.v2.b64 [%rd1], {%rd3, %rd2};\n"
      "st.global.b64 [%rd1+16], %rd4; st.global.b64 [%rd1+24], %rd5; ret;";
  const Words out = PtxRunner("sm_100a").Run(body, Iota(64));
  for (std::uint32_t l = 0; l < 4; ++l) {
    const std::uint32_t order[8] = {2, 3, 0, 1, 6, 7, 4, 5};
    for (std::uint32_t k = 0; k < 8; ++k) EXPECT_EQ(out[32 + 8 * l + k], 8 * l + order[k]);
  }
}

TEST(EmulatorMemory, GenericAddressesReachEverySpace) {
  const Words out = RunLanes(
      ".shared .b32 s[32]; .local .b32 l[2]; mov.u64 %rd1, s; cvta.shared.u64 %rd1, %rd1; add.u64 %rd1, %rd1, %rd0;\n"
      "mov.u64 %rd2, l; cvta.local.u64 %rd2, %rd2; mov.u64 %rd3, c; cvta.const.u64 %rd3, %rd3;\n"
      "st.u32 [%rd1], %r0; st.u32 [%rd2+4], 100; ld.u32 %r2, [%rd1]; ld.local.u32 %r3, [l+4]; ld.u32 %r4, [%rd3+4];\n"
      "isspacep.shared %p1, %rd1; selp.u32 %r5, 1000, 0, %p1; isspacep.global %p2, %out; selp.u32 %r6, 10000, 0, %p2;\n"
      "add.u32 %r1, %r2, %r3; add.u32 %r1, %r1, %r4; add.u32 %r1, %r1, %r5; add.u32 %r1, %r1, %r6;\n"
      "cvta.to.shared.u64 %rd1, %rd1; cvt.u32.u64 %r7, %rd1; ld.shared.u32 %r8, [%r7]; sub.u32 %r1, %r1, %r8;",
      Iota(32), {}, ".const .align 4 .b32 c[2] = {5, 7};\n");
  for (std::uint32_t l = 0; l < 32; ++l) EXPECT_EQ(out[l], 11107u);
}

TEST(EmulatorMemory, VariablesOfTheModuleAreInitialised) {
  const Words out = RunLanes(
      "ld.global.u64 %rd1, [q]; ld.global.u32 %r1, [%rd1]; ld.global.f32 %f1, [f+4]; cvt.rzi.u32.f32 %r2, %f1;\n"
      "add.u32 %r1, %r1, %r2; st.global.u32 [t], 50;",
      Words(32), {},
      ".global .u32 t[3] = {1, 2, 3};\n.global .u64 q = generic(t)+8;\n.global .f32 f[2] = {0f3f800000, 40.0};\n");
  for (const std::uint32_t word : out) EXPECT_EQ(word, 43u);
}

TEST(EmulatorMemory, DynamicSharedMemoryFollowsTheStatic) {
  const Words out = RunLanes(
      ".shared .align 4 .b8 s[12]; mov.u32 %r2, d; mov.u32 %r3, s; sub.u32 %r1, %r2, %r3; st.shared.u32 [%r2+252], 1;\n"
      "mov.u32 %r4, %dynamic_smem_size; mad.lo.u32 %r1, %r4, 1000, %r1;",
      Words(32), {{1, 1, 1}, {32, 1, 1}, 256}, ".extern .shared .align 16 .b8 d[];\n");
  EXPECT_EQ(out[0], 256016u);
}

TEST(EmulatorMemory, AtomicsOfEveryKind) {
  struct {
    const char* text;
    std::uint32_t begin, end;
  } kCases[] = {
      {"atom.global.add.u32 %r1, [%out+128], 3;", 5, 5 + 96},
      {"red.global.min.s32 [%out+128], %r0;", 7, 0},
      {"red.global.max.u32 [%out+128], %r0;", 7, 31},
      {"atom.global.and.b32 %r1, [%out+128], 0xf0;", 0xff, 0xf0},
      {"atom.global.or.b32 %r1, [%out+128], %r0;", 64, 95},
      {"atom.global.xor.b32 %r1, [%out+128], 1;", 6, 6},
      {"atom.global.inc.u32 %r1, [%out+128], 9;", 0, 2},
      {"atom.global.dec.u32 %r1, [%out+128], 9;", 0, 8},
      {"atom.global.exch.b32 %r1, [%out+128], %r0;", 99, 31},
      {"atom.global.cas.b32 %r1, [%out+128], %r0, 1000;", 3, 1000},
      {"red.global.add.f32 [%out+128], 0f40000000;", 0x3f800000, 0x42820000},
      {"red.relaxed.gpu.global.add.noftz.f16x2 [%out+128], %r2;", 0x00003c00, 0x00005080},
      {"atom.add.u32 %r1, [%out+128], 1;", 0, 32},
  };
  for (const auto& test : kCases) {
    Words words = Iota(33);
    words[32] = test.begin;
    const Words out =
        PtxRunner("sm_100a").Run(std::string(kLane) + "mov.u32 %r2, 0x00003c00;" + test.text + "ret;", words);
    // The f16 sum: 1 + 32 times 1 is 33 = 0x5020.
    const std::uint32_t end = std::string_view(test.text).find("f16x2") != std::string_view::npos ? 0x5020 : test.end;
    EXPECT_EQ(out[32], end) << test.text;
  }
}

TEST(EmulatorMemory, SharedAtomicsReturnWhatWasThere) {
  const Words out = RunLanes(
      ".shared .b32 s; setp.ne.u32 %p1, %lane, 0; @!%p1 st.shared.u32 [s], 0; bar.sync 0; atom.shared.add.u32 %r2, "
      "[s], 1;\n"
      "bar.sync 0; ld.shared.u32 %r1, [s];",
      Words(96), {{1, 1, 1}, {96, 1, 1}});
  for (const std::uint32_t word : out) EXPECT_EQ(word, 96u);
}

TEST(EmulatorMemory, OrderAndScopeOfAtomicsStandBeforeOrBehindTheOperation) {
  for (const char* form : {"atom.acq_rel.gpu.global.add.u32", "atom.global.gpu.add.u32",
                           "atom.global.add.release.gpu.u32", "atom.add.relaxed.cta.u32", "atom.add.acquire.sys.u32"}) {
    const std::vector<std::uint32_t> out =
        PtxRunner().Run(fmt::format(".reg .b32 %r<3>; mov.u32 %r1, %tid.x; {} %r2, [%out], %r1; ret;", form), {7});
    EXPECT_EQ(out[0], 7 + 31 * 16) << form;
  }
  for (const char* twice : {"atom.gpu.global.cta.add.u32", "atom.gpu.add.gpu.u32", "atom.relaxed.add.release.u32"})
    EXPECT_THAT(PtxRunner().ErrorOf(fmt::format(".reg .b32 %r<3>; {} %r2, [%out], %r1; ret;", twice), 1),
                HasSubstr("it has two orders or two scopes"));
}

TEST(EmulatorMemory, VectorAndWideAtomics) {
  const std::string body =
      std::string(kLane) +
      ".reg .b128 %q<4>; red.global.add.v2.f32 [%out+128], {0f3f800000, 0f40000000}; mov.b64 %rd1, 5; mov.b64 %rd2, "
      "6;\n"
      "mov.b128 %q1, {%rd1, %rd2}; setp.ne.u32 %p1, %lane, 0; @!%p1 atom.global.exch.b128 %q2, [%out+144], %q1;\n"
      "@%p1 exit; mov.b128 {%rd3, %rd4}, %q2; st.global.u64 [%out+160], %rd4; ret;";
  Words words(44);
  words[38] = 9;
  const Words out = PtxRunner("sm_100a").Run(body, words);
  EXPECT_EQ(out[32], 0x42000000u);
  EXPECT_EQ(out[33], 0x42800000u);
  EXPECT_EQ(out[36], 5u);
  EXPECT_EQ(out[38], 6u);
  EXPECT_EQ(out[40], 9u);
}

TEST(EmulatorMemory, WrongAccessesNameThePlace) {
  struct {
    const char* body;
    const char* message;
  } kCases[] = {
      {"ld.global.u32 %r1, [%at+4];", "lane 31: reads 4 bytes of global memory at"},
      {"ld.global.u32 %r1, [%at+4];", "0 bytes past the end of the 128 bytes at"},
      {"st.global.u32 [%at+-4], %r1;", "lane 0: writes 4 bytes of global memory at"},
      {"ld.global.u32 %r1, [%at+2];", "lane 0: reads 4 bytes at"},
      {"ld.global.u32 %r1, [%at+2];", "which is not a multiple of 4"},
      {"mov.u64 %rd1, 0; ld.u32 %r1, [%rd1];", "no allocation is near"},
      {"st.shared.u32 [%r1+900], 1;", "outside of shared memory (0x400 to 0x408)"},
      {"mov.u32 %r2, s; st.shared.v4.b32 [%r2], {%r1, %r1, %r1, %r1};", "outside of shared memory"},
      {".local .b32 l[2]; ld.local.u32 %r1, [l+8];", "outside of local memory"},
      {"mov.u64 %rd1, c; st.global.u32 [%rd1], %r1;", "writes constant memory"},
      {"mov.u64 %rd1, 0x0500000000000000; ld.u32 %r1, [%rd1];", "which is no memory"},
      {"mov.u32 %r2, s; add.u32 %r2, %r2, 1; atom.shared.add.u32 %r1, [%r2], 1;", "updates 4 bytes at"},
  };
  for (const auto& test : kCases)
    EXPECT_THAT(ErrorOf(test.body, {}, ".shared .b32 s[2];\n.const .b32 c = 1;\n"), HasSubstr(test.message))
        << test.body;
  EXPECT_THAT(ErrorOf("setp.eq.u32 %p1, %lane, 33; @%p1 ld.global.u32 %r1, [%at+40000];", {{1, 1, 1}, {32, 1, 1}}), "");
}

TEST(EmulatorMemory, MemoryThatWasFreedIsOutOfBounds) {
  PtxRunner runner;
  const auto kernel =
      runner.Load(runner.Text(".param .u64 p", ".reg .b64 %a; ld.param.u64 %a, [p]; st.global.u32 [%a], 1; ret;"));
  void* pointer = runner.device().memory().Allocate(4);
  void* args[] = {&pointer};
  kernel->Launch({}, {}, {}, 0, args, {});
  EXPECT_EQ(*static_cast<std::uint32_t*>(pointer), 1u);
  runner.device().memory().Free(pointer);
  EXPECT_THROW(kernel->Launch({}, {}, {}, 0, args, {}), Error);
}

}  // namespace
}  // namespace gemmsmith::emulator
