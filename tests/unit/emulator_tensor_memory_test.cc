// Tensor memory of tcgen05: what each shape loads and stores, what tcgen05.cp brings, and who may do what when.
#include <gmock/gmock.h>

#include "../support/tensor_ptx.h"
#include "runtime/emulator/tensor_memory/swizzle.h"

namespace gemmsmith::emulator {
namespace {

using testing::AllOf;
using testing::ContainsRegex;
using testing::HasSubstr;
using Words = std::vector<std::uint32_t>;

constexpr int kColumns = 256;

/// A figure of the PTX ISA, "Data Movement Shape", as steps: a bit of the thread's number, or of the register's, moves
/// by so many lanes and columns. Bits of registers behind the last move by `repeat` columns, and twice that.
struct Step {
  int lanes, columns;
};
struct Shape {
  const char* name;
  std::vector<Step> thread, registers;
  int repeat, most;
  bool halves = false;
};
const Shape kShapes[] = {
    {"32x32b", {{1, 0}, {2, 0}, {4, 0}, {8, 0}, {16, 0}}, {}, 1, 128},
    {"16x64b", {{8, 0}, {0, 1}, {1, 0}, {2, 0}, {4, 0}}, {}, 2, 128},
    {"16x128b", {{0, 1}, {0, 2}, {1, 0}, {2, 0}, {4, 0}}, {{8, 0}}, 4, 64},
    {"16x256b", {{0, 2}, {0, 4}, {1, 0}, {2, 0}, {4, 0}}, {{0, 1}, {8, 0}}, 8, 32},
    {"16x32bx2", {{1, 0}, {2, 0}, {4, 0}, {8, 0}, {0, 0}}, {}, 1, 128, true},
};
Step PlaceOf(const Shape& shape, int thread, int r, int half_offset) {
  Step at{0, shape.halves ? thread / 16 * half_offset : 0};
  for (std::size_t bit = 0; bit < 5; ++bit) {
    at.lanes += (thread >> bit & 1) * shape.thread[bit].lanes;
    at.columns += (thread >> bit & 1) * shape.thread[bit].columns;
  }
  for (const Step& step : shape.registers) {
    at.lanes += r % 2 * step.lanes;
    at.columns += r % 2 * step.columns;
    r /= 2;
  }
  at.columns += r * shape.repeat;
  return at;
}
int RegistersOf(const Shape& shape, int repeats) { return repeats << shape.registers.size(); }

std::uint32_t Value(int lane, int column) { return static_cast<std::uint32_t>(lane << 16 | column << 4 | 5); }

/// Every word of the quarter of each warp becomes Value.
std::string Fill() {
  std::string body = ".reg .b32 %v<128>, %base, %at; and.b32 %base, %t, 127; shl.b32 %base, %base, 16;\n";
  for (int half = 0; half < kColumns; half += 128) {
    for (int c = 0; c < 128; ++c) body += fmt::format("add.u32 %v{}, %base, {};\n", c, Value(0, half + c));
    body += fmt::format("tcgen05.st.sync.aligned.32x32b.x128.b32 [%q+{}], {};\n", half, RegisterList("%v", 128));
  }
  return body + "tcgen05.wait::st.sync.aligned;\n";
}
/// Registers of thread t go to words t * 128 and on.
std::string StoreRegisters(const std::string& name, int count) {
  std::string body = ".reg .b64 %g; mul.wide.u32 %g, %t, 512; add.u64 %g, %g, %out;\n";
  for (int r = 0; r < count; ++r) body += fmt::format("st.global.b32 [%g+{}], {}{};\n", 4 * r, name, r);
  return body;
}
constexpr LaunchShape kFourWarps{{1, 1, 1}, {128, 1, 1}, 0};

std::string Access(const char* what, const Shape& shape, int repeats, bool packed, bool store, int column, int lane,
                   int offset) {
  const std::string address =
      fmt::format("[%q+{}]{}", (lane << 16) + column, shape.halves ? fmt::format(", {}", offset) : "");
  const std::string registers = RegisterList("%d", RegistersOf(shape, repeats));
  return fmt::format("tcgen05.{}.sync.aligned.{}.x{}{}.b32 {}, {};\n", what, shape.name, repeats,
                     packed ? store ? ".unpack::16b" : ".pack::16b" : "", store ? address : registers,
                     store ? registers : address);
}

class EmulatedTensorMemory : public testing::TestWithParam<Shape> {};

TEST_P(EmulatedTensorMemory, LoadsTheWordsOfItsShape) {
  const Shape& shape = GetParam();
  for (int repeats = 1; repeats <= shape.most; repeats *= 2)
    for (const bool packed : {false, true}) {
      const int registers = RegistersOf(shape, repeats), width = shape.repeat * repeats * (packed ? 2 : 1);
      if (width > kColumns) continue;
      const int lane = shape.thread[4].lanes == 16 || repeats % 4 == 0 ? 0 : 16;
      const int offset = shape.halves ? std::min(width, kColumns - width) : 0;
      const int column = std::min(4, kColumns - width - offset);
      const Words out = PtxRunner("sm_100a").Run(
          TensorPrologue(kColumns) + Fill() + fmt::format(".reg .b32 %d<{}>;\n", registers) +
              Access("ld", shape, repeats, packed, false, column, lane, offset) + "tcgen05.wait::ld.sync.aligned;\n" +
              StoreRegisters("%d", registers) + TensorEpilogue(kColumns),
          Words(128 * 128), kFourWarps);
      for (int thread = 0; thread < 128; ++thread)
        for (int r = 0; r < registers; ++r) {
          const Step at = PlaceOf(shape, thread % 32, r, packed ? 0 : offset);
          const int first = packed && shape.halves ? thread % 32 / 16 * offset : 0;
          const int on = thread / 32 * 32 + lane + at.lanes;
          const int word = column + first + at.columns * (packed ? 2 : 1);
          const std::uint32_t expected =
              packed ? (Value(on, word) & 0xffff) | Value(on, word + 1) << 16 : Value(on, word);
          ASSERT_EQ(out[static_cast<std::size_t>(thread * 128 + r)], expected)
              << shape.name << ".x" << repeats << (packed ? " packed" : "") << " thread " << thread << " register "
              << r;
        }
    }
}

TEST_P(EmulatedTensorMemory, StoresTheWordsOfItsShape) {
  const Shape& shape = GetParam();
  for (int repeats = 1; repeats <= 8; repeats *= 2)
    for (const bool packed : {false, true}) {
      const int registers = RegistersOf(shape, repeats), width = shape.repeat * repeats * (packed ? 2 : 1);
      if (width > 96) continue;  // 128 columns are looked at.
      const int lane = shape.thread[4].lanes == 16 || repeats == 1 ? 0 : 16, offset = shape.halves ? 32 : 0;
      std::string body = TensorPrologue(kColumns) + Fill() + fmt::format(".reg .b32 %d<{}>;\n", registers);
      for (int r = 0; r < registers; ++r)
        body += fmt::format("mad.lo.u32 %d{0}, %t, 65537, {1};\n", r, r << 24 | r << 8);
      body += Access("st", shape, repeats, packed, true, 2, lane, offset) + "tcgen05.wait::st.sync.aligned;\n";
      body += fmt::format("tcgen05.ld.sync.aligned.32x32b.x128.b32 {}, [%q];\n", RegisterList("%v", 128));
      const Words out = PtxRunner("sm_100a").Run(
          body + "tcgen05.wait::ld.sync.aligned;\n" + StoreRegisters("%v", 128) + TensorEpilogue(kColumns),
          Words(128 * 128), kFourWarps);
      Words expected(128 * 128);
      for (int l = 0; l < 128; ++l)
        for (int c = 0; c < 128; ++c) expected[static_cast<std::size_t>(l * 128 + c)] = Value(l, c);
      for (int thread = 0; thread < 128; ++thread)
        for (int r = 0; r < registers; ++r) {
          const Step at = PlaceOf(shape, thread % 32, r, packed ? 0 : offset);
          const int first = packed && shape.halves ? thread % 32 / 16 * offset : 0;
          const auto value = static_cast<std::uint32_t>(thread * 65537 + (r << 24 | r << 8));
          const int row = thread / 32 * 32 + lane + at.lanes;
          const auto word = static_cast<std::size_t>(row * 128 + 2 + first + at.columns * (packed ? 2 : 1));
          expected[word] = packed ? value & 0xffff : value;
          if (packed) expected[word + 1] = value >> 16;
        }
      ASSERT_EQ(out, expected) << shape.name << ".x" << repeats << (packed ? " packed" : "") << ", " << width
                               << " columns";
    }
}

INSTANTIATE_TEST_SUITE_P(Shapes, EmulatedTensorMemory, testing::ValuesIn(kShapes),
                         [](const auto& info) { return "Of" + std::string(info.param.name); });

/// Rows of `bits` in shared memory, 8 of them 256 bytes (a core matrix for each 16 bytes) from the next.
struct CopyCase {
  const char* shape;
  int bits;
  int (*row)(int lane);  ///< That lands in the lane; -1: none.
};
const CopyCase kCopies[] = {
    {"128x256b", 256, [](int lane) { return lane; }},
    {"128x128b", 128, [](int lane) { return lane; }},
    {"4x256b", 256, [](int lane) { return lane % 32 == 0 ? lane / 32 : -1; }},
    {"64x128b.warpx2::02_13", 128, [](int lane) { return lane % 64; }},
    {"64x128b.warpx2::01_23", 128, [](int lane) { return lane / 64 * 32 + lane % 32; }},
    {"32x128b.warpx4", 128, [](int lane) { return lane % 32; }},
};

std::string SharedFill() {
  return ".shared .align 1024 .b8 tile[4096]; .shared .align 8 .b64 bar; .reg .b32 %s, %f, %bar, %n; .reg .pred %p, "
         "%more;"
         " mov.u32 %s, tile; mov.u32 %bar, bar; @%one mbarrier.init.shared.b64 [%bar], 1;\n"
         "mad.lo.u32 %s, %t, 32, %s; mul.lo.u32 %f, %t, 8; mov.u32 %n, 0;\n"
         "FILL: st.shared.b32 [%s], %f; add.u32 %s, %s, 4; add.u32 %f, %f, 1; add.u32 %n, %n, 1; setp.lt.u32 %more, "
         "%n, "
         "8; @%more bra FILL;\n"
         "fence.proxy.async; bar.sync 0;\n";
}
// Without a swizzle: the next 16 bytes of a row are 128 bytes away, the next 8 rows 256.
std::string Descriptor(const char* name) {
  return fmt::format(
      ".reg .b64 {0}; mov.u32 %s, tile; shr.u32 %s, %s, 4; cvt.u64.u32 {0}, %s; or.b64 {0}, {0}, {1:#x};\n", name,
      std::uint64_t{1} << 46 | std::uint64_t{256 / 16} << 32 | std::uint64_t{128 / 16} << 16);
}
const std::string kCommit = "@%one tcgen05.commit.cta_group::1.mbarrier::arrive::one.shared::cluster.b64 [%bar];\n";
const std::string kWait =
    "W: mbarrier.try_wait.parity.shared.b64 %p, [%bar], 0; @!%p bra W;\ntcgen05.fence::after_thread_sync;\n";

TEST(EmulatorTensorCopy05, BringsRowsToTheLanesOfItsShape) {
  for (const CopyCase& test : kCopies) {
    const int columns = test.bits / 32;
    const Words out = PtxRunner("sm_100a").Run(
        TensorPrologue(kColumns) + Fill() + "tcgen05.fence::before_thread_sync;\n" + SharedFill() +
            Descriptor("%desc") + fmt::format("@%one tcgen05.cp.cta_group::1.{} [%tm+8], %desc;\n", test.shape) +
            kCommit + kWait +
            fmt::format(".reg .b32 %d<32>; tcgen05.ld.sync.aligned.32x32b.x32.b32 {}, [%q];\n",
                        RegisterList("%d", 32)) +
            "tcgen05.wait::ld.sync.aligned;\n" + StoreRegisters("%d", 32) + TensorEpilogue(kColumns),
        Words(128 * 128), kFourWarps);
    for (int lane = 0; lane < 128; ++lane)
      for (int c = 0; c < 32; ++c) {
        const int row = test.row(lane), word = c - 8;
        const bool copied = row >= 0 && word >= 0 && word < columns;
        // The word of the tile is the number of its place.
        const int place = row / 8 * 64 + word / 4 * 32 + row % 8 * 4 + word % 4;
        ASSERT_EQ(out[static_cast<std::size_t>(lane * 128 + c)],
                  copied ? static_cast<std::uint32_t>(place) : Value(lane, c))
            << test.shape << " lane " << lane << " column " << c;
      }
  }
}

std::string ErrorOf(const std::string& body, const RunOptions& options = {}, unsigned threads = 128) {
  return PtxRunner("sm_100a", options).ErrorOf(body, 128 * 128, {{1, 1, 1}, {threads, 1, 1}, 0});
}
const std::string kRegisters = ".reg .b32 %d<8>; mov.b32 %d0, 1; mov.b32 %d1, 2;\n";
const std::string kStore = "tcgen05.st.sync.aligned.32x32b.x2.b32 [%q], {%d0, %d1};\n";
const std::string kStored = "tcgen05.wait::st.sync.aligned;\n";
const std::string kLoad = "tcgen05.ld.sync.aligned.32x32b.x2.b32 {%d2, %d3}, [%q];\n";
const std::string kLoaded = "tcgen05.wait::ld.sync.aligned;\n";

TEST(EmulatorTensorMemory, IsAllocatedByColumns) {
  const auto alloc = [](int columns) {
    return fmt::format("@%first tcgen05.alloc.cta_group::1.sync.aligned.shared::cta.b32 [slot], {};\n", columns);
  };
  const auto free = [](const char* at, int columns) {
    return fmt::format("@%first tcgen05.dealloc.cta_group::1.sync.aligned.b32 {}, {};\n", at, columns);
  };
  const std::string start =
      ".shared .align 4 .b32 slot; .reg .b32 %t, %w, %q, %tm; .reg .pred %first; mov.u32 %t, %tid.x; shr.u32 %w, %t, "
      "5; "
      "setp.eq.u32 %first, %w, 0;\n" +
      kRegisters;
  const std::string use = "bar.sync 0; ld.shared.b32 %tm, [slot]; shl.b32 %q, %w, 21; add.u32 %q, %q, %tm;\n" + kStore +
                          kStored + "bar.sync 0;\n";
  EXPECT_EQ(ErrorOf(start + alloc(32) + use + free("%tm", 32) + "ret;"), "");
  // Memory that was freed is there for the next one.
  EXPECT_EQ(ErrorOf(start + alloc(512) + use + free("%tm", 512) + alloc(512) + use + free("%tm", 512) + "ret;"), "");
  EXPECT_THAT(ErrorOf(start + alloc(512) + alloc(32) + "ret;"),
              AllOf(HasSubstr("deadlock"), HasSubstr("free columns of tensor memory")));
  EXPECT_THAT(ErrorOf(start + alloc(32) + "ret;"), HasSubstr("ends while 32 columns of tensor memory are allocated"));
  EXPECT_THAT(ErrorOf(start + alloc(32) + alloc(64) + "ret;"), HasSubstr("the numbers may not increase"));
  EXPECT_THAT(ErrorOf(start + alloc(48) + "ret;"), HasSubstr("48 columns: it takes 32, 64"));
  EXPECT_THAT(ErrorOf(start + alloc(64) + use + free("%tm", 32) + "ret;"), HasSubstr("are not what was allocated"));
  EXPECT_THAT(ErrorOf(start + alloc(32) + use + free("%tm", 32) + use), HasSubstr("are not all allocated"));
  EXPECT_THAT(
      ErrorOf(start + "@%first tcgen05.relinquish_alloc_permit.cta_group::1.sync.aligned;\n" + alloc(32) + "ret;"),
      HasSubstr("has executed tcgen05.relinquish_alloc_permit"));
  EXPECT_THAT(ErrorOf(start + alloc(32) + "@%first tcgen05.relinquish_alloc_permit.cta_group::2.sync.aligned; ret;"),
              HasSubstr("had .cta_group::1"));
  EXPECT_THAT(ErrorOf(start + "@%first tcgen05.alloc.cta_group::2.sync.aligned.shared::cta.b32 [slot], 32; ret;"),
              HasSubstr("has no peer"));
  EXPECT_THAT(ErrorOf(start + "setp.lt.u32 %first, %t, 16;\n" + alloc(32) + "ret;"), HasSubstr("all 32 lanes"));
}

TEST(EmulatorTensorMemory, IsReachedByTheWarpsThatMayAndWhereItIs) {
  const std::string start = TensorPrologue(32) + kRegisters, end = TensorEpilogue(32);
  const auto at = [&](const char* address) {
    return start + fmt::format("tcgen05.st.sync.aligned.32x32b.x2.b32 [{}], {{%d0, %d1}};\n", address) + kStored + end;
  };
  EXPECT_EQ(ErrorOf(at("%q")), "");
  EXPECT_THAT(
      ErrorOf(at("%tm")),
      ContainsRegex("reaches lanes (32 to 63|64 to 95|96 to 127) of tensor memory, and this 32 from lane 0 on"));
  EXPECT_THAT(ErrorOf(at("%q+1048576")), ContainsRegex("from lane (16|48|80|112) on"));
  EXPECT_THAT(ErrorOf(at("%q+31")), HasSubstr("columns 31 to 32 of tensor memory are not all allocated"));
  EXPECT_THAT(ErrorOf(at("%q+511")), HasSubstr("128 lanes of 512 columns"));
  EXPECT_THAT(ErrorOf(at("%t")), HasSubstr("the address is"));
}

/// With `bug` in the place of `fix`: the first is told of, with `report`, the second is not, whatever the seed.
struct Planted {
  const char* name;
  std::string before, bug, fix, after, report;
};

TEST(EmulatorTensorMemory, IsWatchedForWhatIsNotInOrder) {
  const std::string start = TensorPrologue(32) + kRegisters, end = TensorEpilogue(32);
  const std::string fill = SharedFill() + Descriptor("%desc");
  const std::string copy = "@%one tcgen05.cp.cta_group::1.128x128b [%tm], %desc;\n" + kCommit;
  const Planted cases[] = {
      {"nothing was stored", start, "", kStore + kStored, kLoad + kLoaded + end,
       "uninitialised read: tensor memory at lane [0-9]+, column 0"},
      {"no wait for a store", start + kStore, "", kStored, kLoad + kLoaded + end,
       "read before the asynchronous operation completed: tensor memory.*the other is `tcgen05.st"},
      {"no wait for a store before the end", start + kStore, "", kStored, end,
       "`@%first tcgen05.dealloc.*overwrite of what an asynchronous.*the other is `tcgen05.st"},
      {"no wait for a load before the end", start + kStore + kStored + kLoad, "", kLoaded, end,
       "`@%first tcgen05.dealloc.*overwrite of what an asynchronous.*the other is `tcgen05.ld"},
      {"no wait for a load before the next store", start + kStore + kStored + kLoad, "", kLoaded,
       kStore + kStored + kLoaded + end, "overwrite of what an asynchronous.*tensor memory.*the other is `tcgen05.ld"},
      {"no wait for a copy", start + fill + copy, "tcgen05.fence::after_thread_sync;\n", kWait,
       kLoad + kLoaded + "V: mbarrier.try_wait.parity.shared.b64 %p, [%bar], 0; @!%p bra V;\n" + end,
       "read before the asynchronous operation completed: tensor memory.*the other is `@%one tcgen05.cp|uninitialised"},
      {"no proxy fence before a copy",
       start + std::string(fill).replace(fill.find("fence.proxy.async; bar.sync 0;"), 30, ""), "bar.sync 0;\n",
       "fence.proxy.async; bar.sync 0;\n", copy + kWait + end, "missing fence.proxy.async"},
      {"overwriting what a copy reads", start + fill + copy, "", kWait,
       "@%one st.shared.b32 [tile], %t; V: mbarrier.try_wait.parity.shared.b64 %p, [%bar], 0; @!%p bra V;\n" + end,
       "overwrite of what an asynchronous operation still uses: shared memory"},
      {"ending before a copy is done", start + fill + copy, "", kWait, end,
       "`@%first tcgen05.dealloc.*overwrite of what an asynchronous"},
      {"no barrier between the words of warps and a copy over them", start + fill + kStore + kStored, "",
       "bar.sync 0;\n", copy + kWait + end, "race: write after write: tensor memory|overwrite of what an asynchronous"},
  };
  for (const Planted& test : cases)
    for (std::uint64_t seed = 1; seed <= 10; ++seed) {
      RunOptions options;
      options.seed = seed;
      ASSERT_THAT(ErrorOf(test.before + test.bug + test.after, options), ContainsRegex(test.report))
          << test.name << ", seed " << seed;
      ASSERT_EQ(ErrorOf(test.before + test.fix + test.after, options), "") << test.name << ", seed " << seed;
    }
}

TEST(EmulatorTensorMemory, IsThereForItsArchitecturesAlone) {
  const auto refusal = [](const char* target, const std::string& text) {
    return PtxRunner(target).ErrorOf(TensorPrologue(32) + text + TensorEpilogue(32), 128 * 128, kFourWarps);
  };
  EXPECT_EQ(refusal("sm_100a", ""), "");
  EXPECT_EQ(refusal("sm_103a", ""), "");
  EXPECT_THAT(refusal("sm_120a", ""), AllOf(HasSubstr("ptx:"), HasSubstr("tcgen05.alloc"), HasSubstr("needs sm_100a")));
  EXPECT_THAT(refusal("sm_100", ""), HasSubstr("this is code for sm_100"));
  EXPECT_THAT(refusal("sm_90a", ""), HasSubstr("it needs sm_100"));
  EXPECT_THAT(refusal("sm_100a", "@%one tcgen05.shift.cta_group::1.down [%tm];"),
              HasSubstr("no form of tcgen05 has these modifiers"));
  EXPECT_THAT(refusal("sm_100a", kRegisters + "tcgen05.ld.sync.aligned.32x32b.x2.b32 {%d2}, [%q];"),
              HasSubstr("1 registers where 2 belong"));
}

}  // namespace
}  // namespace gemmsmith::emulator
