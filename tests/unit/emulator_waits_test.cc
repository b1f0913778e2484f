// What a deadlock's report says of those who wait, and what a CTA must not leave behind when it ends.
#include <gmock/gmock.h>

#include "../support/ptx_testing.h"

namespace gemmsmith::emulator {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

// p1: thread 0 of the CTA, p2: its first warp, p3: CTA 0.
constexpr const char* kPrologue =
    ".shared .align 1024 .b8 tile[2048]; .shared .align 8 .b64 ring[4];\n"
    ".reg .b32 %tid, %cta, %at, %tile, %ring, %r<20>; .reg .b64 %g, %d<8>; .reg .pred %p<8>;\n"
    "mov.u32 %tid, %tid.x; mov.u32 %cta, %ctaid.x; mov.u32 %tile, tile; mov.u32 %ring, ring;\n"
    "mad.lo.u32 %at, %tid, 16, %tile; mul.wide.u32 %d0, %tid, 16; add.u64 %g, %out, %d0;\n"
    "setp.eq.u32 %p1, %tid, 0; setp.lt.u32 %p2, %tid, 32; setp.eq.u32 %p3, %cta, 0;\n";

/// The error of CTAs of 96 threads, all of one cluster where that is asked for.
std::string ErrorOf(const std::string& body, std::uint32_t ctas = 1, bool cluster = false) {
  PtxRunner runner("sm_90a");
  const Buffer buffer = runner.device().Allocate(4096);
  std::memset(buffer.data(), 0, 4096);
  const void* pointer = buffer.data();
  void* args[] = {&pointer};
  const std::string start = ".reg .b64 %out; ld.param.u64 %out, [p];\n";
  try {
    runner.Load(runner.Text(".param .u64 p", start + kPrologue + body + "\nret;"))
        ->Launch({ctas, 1, 1}, {96, 1, 1}, {cluster ? ctas : 1, 1, 1}, 0, args, {});
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(EmulatorWaits, NameBarriersWithCountsAndWhoIsMissing) {
  EXPECT_THAT(ErrorOf("@%p2 bra A; bar.sync 3, 96; bra END; A: bar.sync 4, 96; END:"),
              AllOf(HasSubstr("deadlock"),
                    HasSubstr("CTA (0, 0, 0) warps 1, 2: wait on barrier 3 of the CTA, where 64 of 96 threads have "
                              "arrived, not warp 0 at `bar.sync 3, 96;` (ptx line "),
                    HasSubstr("CTA (0, 0, 0) warp 0: wait on barrier 4 of the CTA, where 32 of 96 threads have "
                              "arrived, not warps 1, 2 at `bar.sync 4, 96;`")));
  EXPECT_THAT(ErrorOf("@!%p2 bra END; bar.sync 3, 64; END:"),
              HasSubstr("where 32 of 64 threads have arrived (warps 1, 2 exited) at"));
  EXPECT_THAT(ErrorOf("setp.ge.u32 %p4, %tid, 64; @%p2 bar.arrive 3, 96; @%p4 bar.sync 3, 96;\n"
                      "@%p2 bar.sync 5, 96; @!%p2 bar.sync 6, 96;"),
              AllOf(HasSubstr("warp 2: wait on barrier 3 of the CTA, where 64 of 96 threads have arrived, not warp 1 "),
                    HasSubstr("warp 1: wait on barrier 6 of the CTA, where 32 of 96")));
}

TEST(EmulatorWaits, NameMbarriersWithParityArrivalsAndBytes) {
  const std::string init = "@%p1 mbarrier.init.shared.b64 [%ring+8], 3; bar.sync 0;\n";
  const std::string wait = "W: mbarrier.try_wait.parity.shared.b64 %p4, [%ring+8], 0; @!%p4 bra W;\n";
  EXPECT_THAT(
      ErrorOf(init + "@%p1 mbarrier.arrive.expect_tx.shared.b64 _, [%ring+8], 640;" + wait),
      AllOf(HasSubstr("CTA (0, 0, 0) warps 0, 1, 2: wait on the mbarrier at 0xc08 (ring+8), parity 0: it is in phase "
                      "0 with 2 of 3 arrivals and 640 bytes to come at `mbarrier.try_wait"),
            Not(HasSubstr("and 1 more"))));
  EXPECT_THAT(ErrorOf("@%p1 mbarrier.init.shared.b64 [%ring], 1; bar.sync 0; @%p1 mbarrier.arrive.shared.b64 _, "
                      "[%ring]; W: mbarrier.try_wait.parity.shared.b64 %p4, [%ring], 1; @!%p4 bra W;"
                      "bar.sync 0; V: mbarrier.try_wait.parity.shared.b64 %p4, [%ring], 1; @!%p4 bra V;"),
              HasSubstr("(ring), parity 1: it is in phase 1 with 1 of 1 arrivals and 0 bytes to come"));
}

TEST(EmulatorWaits, NameTheCtasThatAreMissingFromTheirCluster) {
  EXPECT_THAT(ErrorOf("setp.eq.u32 %p4, %cta, 2; @%p4 bra OTHER; barrier.cluster.arrive; barrier.cluster.wait; bra "
                      "END; OTHER: bar.sync 1, 64; END:",
                      4, true),
              AllOf(HasSubstr("CTA (0, 0, 0) warps 0, 1, 2; CTA (1, 0, 0) warps 0, 1, 2; CTA (3, 0, 0) warps 0, 1, 2: "
                              "wait on the barrier of its cluster, where these have not arrived: warp"),
                    HasSubstr(" of CTA (2, 0, 0) at `barrier.cluster.wait;`")));
}

TEST(EmulatorWaits, NameWhatIsPolledAndGroupThoseWhoDo) {
  EXPECT_THAT(ErrorOf("W: ld.volatile.global.u32 %r1, [%out+64]; setp.eq.u32 %p4, %r1, 0; @%p4 bra W;", 6),
              AllOf(HasSubstr("CTA (0, 0, 0) warps 0, 1, 2; CTA (1, 0, 0) warps 0, 1, 2; CTA (2, 0, 0) warps 0, 1, 2; "
                              "CTA (3, 0, 0) warps 0, 1, 2; and 2 more CTAs: spin on global memory at 0x"),
                    HasSubstr("at byte 64 of the 4096 bytes"), HasSubstr("with `ld.volatile.global.u32")));
}

TEST(EmulatorLeaks, AreWhatStillHappensToACtaThatEnds) {
  const char* const copy = "cp.async.cg.shared.global [%at], [%g], 16; cp.async.commit_group;";
  EXPECT_THAT(ErrorOf(copy), AllOf(HasSubstr("CTA (0, 0, 0) ends while `cp.async.cg"), HasSubstr("was not awaited")));
  EXPECT_EQ(ErrorOf(std::string(copy) + "cp.async.wait_group 0;"), "");
  EXPECT_EQ(ErrorOf("@%p1 mbarrier.init.shared.b64 [%ring], 96; bar.sync 0; cp.async.cg.shared.global [%at], [%g], 16; "
                    "cp.async.mbarrier.arrive.noinc.shared.b64 [%ring];\n"
                    "W: mbarrier.try_wait.parity.shared.b64 %p4, [%ring], 0; @!%p4 bra W;"),
            "");
  EXPECT_THAT(ErrorOf("@%p1 mbarrier.init.shared.b64 [%ring], 2; @%p1 mbarrier.arrive.expect_tx.shared.b64 _, [%ring], "
                      "64;"),
              HasSubstr("has 64 bytes to come"));
  EXPECT_THAT(ErrorOf("barrier.cluster.arrive;", 2, true),
              HasSubstr("has arrived at the barrier of its cluster, and not waited"));
}

TEST(EmulatorLeaks, ArrivalsThatNobodyWaitsForAreNone) {
  EXPECT_EQ(ErrorOf("@%p1 mbarrier.init.shared.b64 [%ring], 2; @%p1 mbarrier.arrive.shared.b64 _, [%ring];"), "");
  // CTA 0 leaves before the others meet a second time: those that have exited are not waited for.
  EXPECT_EQ(ErrorOf("barrier.cluster.arrive; barrier.cluster.wait; @%p3 bra END; barrier.cluster.arrive; "
                    "barrier.cluster.wait; END:",
                    3, true),
            "");
}

TEST(EmulatorLeaks, UsingTheSharedMemoryOfACtaThatEndedIsAnError) {
  const std::string map =
      "mov.u32 %r3, 0; mapa.shared::cluster.u32 %r4, %tile, %r3; barrier.cluster.arrive; "
      "barrier.cluster.wait; ";
  const std::string write = "@%p3 bra END; @%p1 st.shared::cluster.u32 [%r4], %tid; END:";
  const char* const spin =
      "@%p3 bra END; mov.u32 %r5, 0; S: add.u32 %r5, %r5, 1; setp.lt.u32 %p4, %r5, 20000; @%p4 bra S;\n";
  EXPECT_THAT(ErrorOf(map + spin + write, 2, true),
              HasSubstr("CTA (1, 0, 0), warp 0, lane 0: shared memory of CTA (0, 0, 0), which has ended"));
  EXPECT_EQ(ErrorOf(map + write + "barrier.cluster.arrive; barrier.cluster.wait;", 2, true), "");
}

}  // namespace
}  // namespace gemmsmith::emulator
