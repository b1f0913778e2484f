// Kernels with one planted bug each, which the right checker must report, and their correct twins, which must be clean.
#include <gmock/gmock.h>

#include "../support/ptx_testing.h"

namespace gemmsmith::emulator {
namespace {

using testing::AllOf;
using testing::ContainsRegex;
using testing::HasSubstr;
using testing::Not;

constexpr int kSeeds = 10;

// Two warps; `at` is a lane's own word of the tile, `other` that of the same lane of the other warp; `g` its 16 bytes
// of global memory and `at16` their place in the tile. p1: thread 0.
constexpr const char* kPrologue =
    ".shared .align 1024 .b8 tile[8192]; .shared .align 8 .b64 bar; .shared .align 4 .b32 flag;\n"
    ".reg .b32 %tid, %at, %other, %at16, %tile, %bar, %r<20>; .reg .b64 %g, %d<8>; .reg .f32 %f<8>; .reg .pred %p<4>;\n"
    "mov.u32 %tid, %tid.x; mov.u32 %tile, tile; mov.u32 %bar, bar; mad.lo.u32 %at, %tid, 4, %tile;\n"
    "xor.b32 %r0, %tid, 32; mad.lo.u32 %other, %r0, 4, %tile; mad.lo.u32 %at16, %tid, 16, %tile;\n"
    "mul.wide.u32 %d0, %tid, 16; add.u64 %g, %out, %d0; setp.eq.u32 %p1, %tid, 0;\n";
constexpr const char* kInit = "@%p1 mbarrier.init.shared.b64 [bar], 1; bar.sync 0;\n";
constexpr const char* kExpect = "@%p1 mbarrier.arrive.expect_tx.shared.b64 _, [%bar], 512;\n";
constexpr const char* kBulkLoad =
    "@%p1 cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%tile], [%out], 512, [%bar];\n";
constexpr const char* kWait = "W: mbarrier.try_wait.parity.shared.b64 %p2, [%bar], 0; @!%p2 bra W;\n";
constexpr const char* kBulkStore =
    "@%p1 cp.async.bulk.global.shared::cta.bulk_group [%out], [%tile], 256; @%p1 cp.async.bulk.commit_group;\n";
constexpr const char* kBulkWait = "@%p1 cp.async.bulk.wait_group.read 0;\n";
// Descriptors without a swizzle of (64, 16) and (8, 16) in bf16, of a tile of zeros.
constexpr const char* kZeros =
    "mov.u32 %r1, 0; mov.u32 %r2, %at16; st.shared.v4.u32 [%r2], {%r1,%r1,%r1,%r1};\n"
    "st.shared.v4.u32 [%r2+2048], {%r1,%r1,%r1,%r1};\n";
constexpr const char* kMultiply =
    "cvt.u64.u32 %d1, %tile; shr.u64 %d1, %d1, 4; or.b64 %d1, %d1, 68720001024; mov.f32 %f0, 0f00000000; mov.f32 %f1, "
    "%f0; mov.f32 %f2, %f0; mov.f32 %f3, %f0;\n"
    "wgmma.fence.sync.aligned; setp.ne.u32 %p3, %tid, %tid;\n"
    "wgmma.mma_async.sync.aligned.m64n8k16.f32.bf16.bf16 {%f0,%f1,%f2,%f3}, %d1, %d1, %p3, 1, 1, 0, 0;\n"
    "wgmma.commit_group.sync.aligned;\n";
constexpr const char* kMultiplied = "wgmma.wait_group.sync.aligned 0;\n";

struct Planted {
  const char* name;
  std::string before, bug, fix, after;
  const char* report;  ///< A regular expression.
  std::uint32_t threads = 64;
};

std::vector<Planted> SharedMemory() {
  return {
      {"missing barrier before overwriting", "st.shared.u32 [%at], %tid; bar.sync 0; ld.shared.u32 %r1, [%other];", "",
       "bar.sync 0;", "st.shared.u32 [%at], %r1;", "race: (write after read|read after write).*the other is `"},
      {"missing barrier between writers", "st.shared.u32 [%at], %tid;", "", "bar.sync 0;",
       "st.shared.u32 [%other], %tid;", "race: write after write"},
      {"too few warps at the barrier", "st.shared.u32 [%at], %tid;", "bar.sync 1, 32;", "bar.sync 1, 64;",
       "st.shared.u32 [%other], %tid;", "race: write after write"},
      {"uninitialised shared memory", "", "", "st.shared.u32 [%at], %tid;", "ld.shared.u32 %r1, [%at];",
       "uninitialised read: shared memory"},
      {"uninitialised byte", "st.shared.u8 [%at], %tid; st.shared.u8 [%at+1], %tid; st.shared.u8 [%at+3], %tid;", "",
       "st.shared.u8 [%at+2], %tid;", "ld.shared.u32 %r1, [%at];", "uninitialised read: shared memory"},
      {"plain access to a counter",
       "@%p1 st.shared.u32 [flag], %tid; bar.sync 0; setp.gt.u32 %p2, %tid, 31; @!%p2 atom.shared.add.u32 %r1, [flag], "
       "1;",
       "", "bar.sync 0;", "@%p2 ld.shared.u32 %r2, [flag];", "race: (read after write|write after read)"},
      {"flag without release and acquire",
       "@%p1 st.shared.u32 [flag], %tid; st.shared.u32 [%at], %tid; bar.sync 0; setp.gt.u32 %p2, %tid, 31; @%p2 bra "
       "SECOND; st.shared.u32 [%at], %tid; mov.u32 %r5, 1;",
       "@%p1 st.volatile.shared.u32 [flag], %r5;", "bar.warp.sync -1; @%p1 st.release.cta.shared.u32 [flag], %r5;",
       "bra END; SECOND: ld.acquire.cta.shared.u32 %r6, [flag]; setp.eq.u32 %p3, %r6, 0; @%p3 bra SECOND; "
       "ld.shared.u32 "
       "%r1, [%other]; END:",
       "race: read after write"},
      {"flag without a fence",
       "@%p1 st.shared.u32 [flag], %tid; st.shared.u32 [%at], %tid; bar.sync 0; setp.gt.u32 %p2, %tid, 31; @%p2 bra "
       "SECOND; st.shared.u32 [%at], %tid; mov.u32 %r5, 1;",
       "", "membar.cta;",
       "@%p1 st.volatile.shared.u32 [flag], %r5; bra END; SECOND: ld.volatile.shared.u32 %r6, [flag]; setp.eq.u32 %p3, "
       "%r6, 0; @%p3 bra SECOND; fence.acq_rel.cta; ld.shared.u32 %r1, [%other]; END:",
       "race: read after write"},
      {"flag with the fence of a proxy",
       "@%p1 st.shared.u32 [flag], %tid; st.shared.u32 [%at], %tid; bar.sync 0; setp.gt.u32 %p2, %tid, 31; @%p2 bra "
       "SECOND; st.shared.u32 [%at], %tid; mov.u32 %r5, 1;",
       "fence.proxy.async;", "fence.acq_rel.cta;",
       "@%p1 st.volatile.shared.u32 [flag], %r5; bra END; SECOND: ld.volatile.shared.u32 %r6, [flag]; setp.eq.u32 %p3, "
       "%r6, 0; @%p3 bra SECOND; fence.acq_rel.cta; ld.shared.u32 %r1, [%other]; END:",
       "race: read after write"},
  };
}

std::vector<Planted> Copies() {
  return {
      {"missing wait for cp.async", "cp.async.cg.shared.global [%at16], [%g], 16; cp.async.commit_group;", "",
       "cp.async.wait_group 0;", "ld.shared.u32 %r1, [%at16];", "read before the asynchronous operation completed"},
      {"wait for the wrong group of cp.async",
       "cp.async.cg.shared.global [%at16], [%g], 16; cp.async.commit_group; cp.async.cg.shared.global [%at16+2048], "
       "[%g], "
       "16; cp.async.commit_group;",
       "cp.async.wait_group 2;", "cp.async.wait_group 1;", "ld.shared.u32 %r1, [%at16]; cp.async.wait_all;",
       "read before the asynchronous operation completed"},
      {"cp.async awaited by its own warp alone",
       "cp.async.cg.shared.global [%at16], [%g], 16; cp.async.commit_group; cp.async.wait_group 0; xor.b32 %r1, %at16, "
       "512;",
       "", "bar.sync 0;", "ld.shared.u32 %r2, [%r1];",
       "read before the asynchronous operation completed|uninitialised"},
      {"cp.async over what others read",
       "st.shared.v4.u32 [%at16], {%tid,%tid,%tid,%tid}; bar.sync 0; xor.b32 %r1, %at16, 512; ld.shared.u32 %r2, "
       "[%r1];",
       "", "bar.sync 0;", "cp.async.cg.shared.global [%at16], [%g], 16; cp.async.wait_all;",
       "race: write after read|read before the asynchronous"},
      {"missing wait for the barrier of cp.async",
       "@%p1 mbarrier.init.shared.b64 [bar], 64; bar.sync 0; cp.async.cg.shared.global [%at16], [%g], 16; "
       "cp.async.mbarrier.arrive.noinc.shared.b64 [bar]; xor.b32 %r1, %at16, 512;",
       "", kWait, "ld.shared.u32 %r2, [%r1];", "read before the asynchronous operation completed|uninitialised"},
      {"missing wait for an mbarrier", std::string(kInit) + kExpect + kBulkLoad, "", kWait,
       "bar.sync 0; ld.shared.u32 %r1, [%at];" + std::string("V: mbarrier.try_wait.parity.shared.b64 %p2, [%bar], 0; "
                                                             "@!%p2 bra V;"),
       "read before the asynchronous operation completed"},
      {"relaxed wait for an mbarrier",
       std::string(kInit) + kExpect + kBulkLoad +
           "W: mbarrier.try_wait.parity.relaxed.cta.shared::cta.b64 %p2, [%bar], 0; @!%p2 bra W;",
       "", "fence.acq_rel.cta;", "ld.shared.u32 %r1, [%at];", "read before the asynchronous operation completed"},
      {"wrong parity", std::string(kInit) + kExpect + kBulkLoad + "bar.sync 0;",
       "W: mbarrier.try_wait.parity.shared.b64 %p2, [%bar], 1; @!%p2 bra W;", kWait, "ld.shared.u32 %r1, [%at];",
       "read before the asynchronous operation completed|deadlock"},
      {"missing expect_tx", kInit, "@%p1 mbarrier.arrive.shared.b64 _, [%bar];", kExpect,
       kBulkLoad + std::string("bar.sync 0;") + kWait + "ld.shared.u32 %r1, [%at];",
       "read before the asynchronous operation completed|more than were expected"},
      {"too few bytes expected", kInit, "@%p1 mbarrier.arrive.expect_tx.shared.b64 _, [%bar], 496;", kExpect,
       kBulkLoad + std::string(kWait), "more than were expected"},
      {"too many bytes expected", kInit, "@%p1 mbarrier.arrive.expect_tx.shared.b64 _, [%bar], 528;", kExpect,
       kBulkLoad + std::string(kWait), "deadlock.*16 bytes to come"},
      {"barrier used before all know of it", "@%p1 mbarrier.init.shared.b64 [bar], 64;", "", "bar.sync 0;",
       "mbarrier.arrive.shared.b64 _, [%bar];", "race: |no barrier was initialised"},
      {"missing fence.proxy.async", "st.shared.u32 [%at], %tid;", "", "fence.proxy.async.shared::cta;",
       std::string("bar.sync 0;") + kBulkStore + kBulkWait, "missing fence.proxy.async.*the other is `st.shared.u32"},
      {"missing barrier before a bulk store", "st.shared.u32 [%at], %tid; fence.proxy.async.shared::cta;", "",
       "bar.sync 0;", std::string(kBulkStore) + kBulkWait, "race: |overwrite of what|uninitialised"},
      {"overwriting what a bulk store reads",
       std::string("st.shared.u32 [%at], %tid; fence.proxy.async.shared::cta; bar.sync 0;") + kBulkStore, "", kBulkWait,
       "bar.sync 0; st.shared.u32 [%at], %tid; @%p1 cp.async.bulk.wait_group 0;", "overwrite of what an asynchronous"},
      {"ending before a bulk store has read",
       std::string("st.shared.u32 [%at], %tid; fence.proxy.async.shared::cta; bar.sync 0;") + kBulkStore, "", kBulkWait,
       "", "ends while `@%p1 cp.async.bulk.global.*was not awaited|has ended"},
      {"threads that nobody waits for", "setp.gt.u32 %p2, %tid, 31; @!%p2 bar.arrive 1, 64;", "",
       "@%p2 bar.sync 1, 64;", "", "ends while 32 threads of 64 have arrived at barrier 1"},
  };
}

std::vector<Planted> Products() {
  const std::string zeros = std::string(kZeros) + "fence.proxy.async.shared::cta; bar.sync 0;";
  return {
      {"missing fence before wgmma", kZeros, "", "fence.proxy.async;",
       std::string("bar.sync 0;") + kMultiply + kMultiplied, "missing fence.proxy.async", 128},
      {"overwriting factors before the wait", zeros + kMultiply, "", kMultiplied,
       "bar.sync 0; st.shared.u32 [%at], %tid; wgmma.wait_group.sync.aligned 0;", "overwrite of what an asynchronous",
       128},
      {"loading over factors before the wait", kInit + zeros + kMultiply, "", kMultiplied,
       std::string("bar.sync 0;") + kExpect + kBulkLoad + kWait + "wgmma.wait_group.sync.aligned 0;",
       "overwrite of what an asynchronous", 128},
      {"reading accumulators before the wait", zeros + kMultiply, "", kMultiplied,
       "add.f32 %f5, %f0, %f1; wgmma.wait_group.sync.aligned 0;", "reads a result of .* which is under way", 128},
      {"using registers without wgmma.fence", zeros + kMultiply + kMultiplied + "add.f32 %f1, %f0, %f1;", "",
       "wgmma.fence.sync.aligned;",
       "wgmma.mma_async.sync.aligned.m64n8k16.f32.bf16.bf16 {%f0,%f1,%f2,%f3}, %d1, %d1, %p3, 1, 1, 0, 0; "
       "wgmma.commit_group.sync.aligned; wgmma.wait_group.sync.aligned 0;",
       "have accessed since the last wgmma.fence", 128},
      {"ending with a product under way", zeros + kMultiply, "", kMultiplied, "", "ends while `wgmma.*not awaited",
       128},
  };
}

void CheckPlanted(const std::vector<Planted>& cases) {
  for (const Planted& test : cases)
    for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
      RunOptions options;
      options.seed = seed;
      const auto error = [&](const std::string& line) {
        return PtxRunner("sm_90a", options)
            .ErrorOf(kPrologue + test.before + "\n" + line + "\n" + test.after + "\nret;", 1024,
                     {{}, {test.threads, 1, 1}});
      };
      ASSERT_THAT(error(test.bug), AllOf(ContainsRegex(test.report), HasSubstr("CTA (0, 0, 0)")))
          << test.name << ", seed " << seed;
      ASSERT_EQ(error(test.fix), "") << test.name << ", seed " << seed;
    }
}

TEST(EmulatorChecks, ReportRacesAndUninitialisedReadsOfSharedMemory) { CheckPlanted(SharedMemory()); }
TEST(EmulatorChecks, ReportWhatComesBeforeTheEndOfCopies) { CheckPlanted(Copies()); }
TEST(EmulatorChecks, ReportWhatComesBeforeTheEndOfProducts) { CheckPlanted(Products()); }

TEST(EmulatorChecks, NameInstructionLinesWarpAndLane) {
  const std::string error =
      PtxRunner().ErrorOf(std::string(kPrologue) +
                              ".loc 1 77 0\nsetp.eq.u32 %p2, %tid, 37; @!%p2 st.shared.u32 [%at], %tid;\n.loc 1 78 0\n"
                              "ld.shared.u32 %r1, [%at];\nret;",
                          1024, {{}, {64, 1, 1}}, ".file 1 \"kernel.cu\"\n");
  EXPECT_THAT(error, AllOf(HasSubstr("`ld.shared.u32 %r1, [%at];` (ptx line 1"), HasSubstr("kernel.cu:78"),
                           HasSubstr("CTA (0, 0, 0), warp 1, lane 5: uninitialised read")));
}

TEST(EmulatorChecks, ReportUsesOfACtaThatMayHaveEnded) {
  // CTA 0 stores to CTA 1, soon or late.
  const auto error = [](std::uint64_t seed, int delay, const char* end) {
    RunOptions options;
    options.seed = seed;
    PtxRunner runner("sm_90a", options);
    const std::string body = fmt::format(
        ".shared .align 4 .b32 word; .reg .b32 %r<4>; .reg .pred %p; mov.u32 %r0, %cluster_ctarank; mov.u32 %r1, "
        "word;\n"
        "setp.eq.u32 %p, %r0, 1; @%p bra END; mov.u32 %r3, {}; AGAIN: sub.u32 %r3, %r3, 1; setp.ne.u32 %p, %r3, 0; @%p "
        "bra AGAIN;\n"
        "mapa.shared::cluster.u32 %r2, %r1, 1; st.shared::cluster.u32 [%r2], %r0; END: {} ret;",
        delay, end);
    std::uint64_t unused = 0;
    void* args[] = {&unused};
    try {
      runner.Load(runner.Text(".param .u64 p", body))->Launch({2, 1, 1}, {32, 1, 1}, {2, 1, 1}, 0, args, {});
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    EXPECT_THAT(error(seed, 1, ""),
                ContainsRegex("CTA \\(1, 0, 0\\) ends while shared memory at .* may still be in use; "
                              "the other is `st.shared::cluster"));
    EXPECT_THAT(error(seed, 10000, ""), HasSubstr("shared memory of CTA (1, 0, 0), which has ended"));
    for (const int delay : {1, 10000})
      EXPECT_EQ(error(seed, delay, "barrier.cluster.arrive; barrier.cluster.wait;"), "") << "seed " << seed;
  }
}

class GlobalMemory : public ::testing::Test {
 protected:
  /// Reads word `index` after what `prepare` has done; the error.
  std::string ErrorOf(const std::string& before, void (*prepare)(Device&, Buffer&), bool check = true) {
    RunOptions options;
    options.check = check;
    PtxRunner runner("sm_80", options);
    Buffer buffer = runner.device().Allocate(256);
    prepare(runner.device(), buffer);
    const void* pointer = buffer.data();
    void* args[] = {&pointer};
    try {
      runner
          .Load(runner.Text(".param .u64 p",
                            ".reg .b64 %out, %d1; .reg .b32 %r1, %tid; ld.param.u64 %out, [p];\n"
                            "mov.u32 %tid, %tid.x; mul.wide.u32 %d1, %tid, 4; add.u64 %d1, %d1, %out;\n" +
                                before + "ld.global.u32 %r1, [%d1+64]; ret;"))
          ->Launch({}, {32, 1, 1}, {}, 0, args, {});
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }
};

TEST_F(GlobalMemory, IsUninitialisedUntilSomebodyWrites) {
  const auto nothing = [](Device&, Buffer&) {};
  EXPECT_THAT(ErrorOf("", nothing), AllOf(HasSubstr("lane 0: uninitialised read: global memory"),
                                          HasSubstr("at byte 64 of the 256 bytes"), HasSubstr("ld.global.u32")));
  EXPECT_EQ(ErrorOf("", nothing, false), "");
  EXPECT_EQ(ErrorOf("st.global.u32 [%d1+64], %tid;", nothing), "");
  EXPECT_THAT(ErrorOf("st.global.u16 [%d1+64], 1;", nothing), HasSubstr("at byte 66"));
  EXPECT_THAT(ErrorOf("st.global.u32 [%d1+60], %tid;", nothing), HasSubstr("lane 31: uninitialised"));
  EXPECT_EQ(ErrorOf("", [](Device& device, Buffer& b) { device.Fill(b.data(), 0, 256); }), "");
  EXPECT_THAT(ErrorOf("", [](Device& device, Buffer& b) { device.Fill(b.data(), 0, 128); }), HasSubstr("lane 16"));
  EXPECT_EQ(ErrorOf("", [](Device& device, Buffer& b) { device.Copy(b.data(), std::string(256, 'x').data(), 256); }),
            "");
  EXPECT_EQ(ErrorOf("", [](Device&, Buffer& b) { std::memset(b.data(), 0, 256); }), "");
  EXPECT_THAT(ErrorOf("", [](Device&, Buffer& b) { std::memset(b.data(), 0, 72); }), HasSubstr("lane 2"));
}

TEST(EmulatorChecks, CanBeSwitchedOffButForBounds) {
  RunOptions options;
  options.check = false;
  for (const Planted& test : SharedMemory())
    EXPECT_THAT(
        PtxRunner("sm_90a", options)
            .ErrorOf(kPrologue + test.before + test.bug + test.after + "ret;", 1024, {{}, {test.threads, 1, 1}}),
        Not(ContainsRegex("race|uninitialised")))
        << test.name;
  EXPECT_THAT(
      PtxRunner("sm_90a", options).ErrorOf(std::string(kPrologue) + "ld.global.u32 %r1, [%out+4096]; ret;", 1024),
      HasSubstr("past the end"));
}

}  // namespace
}  // namespace gemmsmith::emulator
