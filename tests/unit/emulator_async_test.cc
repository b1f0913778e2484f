// Asynchronous copies, mbarrier and clusters of the emulated device.
#include <gmock/gmock.h>

#include <numeric>

#include "../support/ptx_testing.h"

namespace gemmsmith::emulator {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using Words = std::vector<std::uint32_t>;

Words Iota(std::size_t count) {
  Words words(count);
  std::iota(words.begin(), words.end(), 0u);
  return words;
}

// Each lane copies 16 bytes; what it gets goes behind the input.
constexpr const char* kLane =
    ".shared .align 128 .b8 tile[4096]; .shared .align 8 .b64 bar; .reg .b32 %lane, %at, %r<20>; .reg .b64 %g, %o, "
    "%d<8>; .reg .pred %p<4>;\n"
    "mov.u32 %lane, %tid.x; mul.wide.u32 %o, %lane, 16; add.u64 %g, %out, %o; mov.u32 %at, tile; mad.lo.u32 %at, "
    "%lane, 16, %at;\n";
constexpr const char* kStore =
    "ld.shared.v4.u32 {%r0,%r1,%r2,%r3}, [%at]; st.global.v4.u32 [%g+512], {%r0,%r1,%r2,%r3}; ret;";

TEST(EmulatorCpAsync, CopiesAreThereAfterTheWait) {
  for (const char* wait : {"cp.async.wait_all;", "cp.async.commit_group; cp.async.wait_group 0;",
                           "cp.async.commit_group; cp.async.commit_group; cp.async.wait_group 1;"}) {
    const Words in = Iota(256);
    const Words out =
        PtxRunner("sm_80").Run(std::string(kLane) + "cp.async.cg.shared.global [%at], [%g], 16;" + wait + kStore, in);
    EXPECT_EQ(Words(out.begin() + 128, out.end()), Words(in.begin(), in.begin() + 128)) << wait;
  }
}

TEST(EmulatorCpAsync, WhatIsBeyondTheSourceIsZero) {
  struct Case {
    const char *copy, *before;
    unsigned words;
  };
  for (const Case& test : {Case{"cp.async.cg.shared.global.L2::128B [%at], [%g], 16, %r9;", "mov.u32 %r9, 8;", 2},
                           Case{"cp.async.cg.shared.global [%at], [%g+999999], 16, %r9;", "mov.u32 %r9, 0;", 0},
                           Case{"cp.async.cg.shared.global [%at], [%g], 16, %p1;", "setp.eq.u32 %p1, %lane, %lane;", 0},
                           Case{"cp.async.ca.shared.global.L2::cache_hint [%at], [%g], 16, %d1;", "mov.u64 %d1, 0;", 4},
                           Case{"cp.async.ca.shared.global [%at], [%g], 16, 4;", "", 1}}) {
    const Words out = PtxRunner("sm_80").Run(std::string(kLane) + "st.shared.v4.u32 [%at], {%lane,%lane,%lane,%lane};" +
                                                 test.before + test.copy + "cp.async.wait_all;" + kStore,
                                             Iota(256));
    for (std::uint32_t w = 0; w < 128; ++w) EXPECT_EQ(out[128 + w], w % 4 < test.words ? w : 0) << test.copy << w;
  }
}

TEST(EmulatorCpAsync, MisuseIsAnError) {
  const auto error = [](const std::string& copy) { return PtxRunner("sm_80").ErrorOf(kLane + copy + "ret;", 256); };
  EXPECT_THAT(error("cp.async.cg.shared.global [%at], [%g+8], 16;"), HasSubstr("not a multiple of 16"));
  EXPECT_THAT(error("cp.async.cg.shared.global [%at+8], [%g], 16;"), HasSubstr("not a multiple of 16"));
  EXPECT_THAT(error("cp.async.cg.shared.global [%at], [%g], 8;"), HasSubstr("it copies 16 bytes"));
  EXPECT_THAT(error("cp.async.ca.shared.global [%at], [%g], 4, 8;"), HasSubstr("a source of 8 bytes for a copy of 4"));
  EXPECT_THAT(error("cp.async.cg.shared.global [%at], [%g+1024], 16;"), HasSubstr("past the end"));
}

TEST(EmulatorCpAsync, WithoutTheWaitTheDataIsNotThere) {
  // Late is late: whatever the seed, no lane's copy is through at the very next instruction.
  RunOptions options;
  options.check = false;
  const Words out = PtxRunner("sm_80", options)
                        .Run(std::string(kLane) +
                                 "st.shared.v4.u32 [%at], {%lane,%lane,%lane,%lane};\n"
                                 "cp.async.cg.shared.global [%at], [%g], 16;" +
                                 kStore,
                             Iota(256));
  for (std::uint32_t w = 0; w < 128; ++w) EXPECT_EQ(out[128 + w], w / 4);
}

TEST(EmulatorCpAsync, ArrivesOnABarrierWhenCopiesAreThrough) {
  for (const char* kind : {"", ".noinc"}) {
    const std::string body =
        std::string(kLane) +
        fmt::format(
            "setp.eq.u32 %p1, %lane, 0; @%p1 mbarrier.init.shared.b64 [bar], {}; bar.sync 0;\n"
            "cp.async.ca.shared.global [%at], [%g], 16; cp.async.mbarrier.arrive{}.shared.b64 [bar];\n"
            "{}W: mbarrier.try_wait.parity.shared.b64 %p2, [bar], 0; @!%p2 bra W;",
            *kind == 0 ? 64 : 32, kind, *kind == 0 ? "mbarrier.arrive.shared.b64 %d1, [bar], 2; " : "");
    if (*kind == 0) {
      // Each lane's arrival was added to what is pending: 64 + 32 - 2 * 32 - 32 are left.
      const Words out = PtxRunner().Run(body + kStore, Iota(256));
      EXPECT_EQ(out[255], 127u);
    } else {
      EXPECT_EQ(PtxRunner().Run(body + kStore, Iota(256))[255], 127u);
    }
  }
}

std::string Barrier(const std::string& body) {
  return std::string(kLane) + "mov.u32 %r10, bar; setp.eq.u32 %p1, %lane, 0; @!%p1 bra DONE;\n" + body + "\nDONE: ret;";
}

TEST(EmulatorMbarrier, CountsArrivalsBytesAndPhases) {
  const Words out = PtxRunner().Run(
      Barrier(
          "mbarrier.init.shared::cta.b64 [%r10], 3;\n"
          "mbarrier.arrive.shared::cta.b64 %d1, [%r10]; mbarrier.pending_count.b64 %r1, %d1; st.global.u32 [%out], "
          "%r1;\n"
          "mbarrier.arrive.noComplete.shared.b64 %d2, [%r10], 1; mbarrier.pending_count.b64 %r1, %d2; st.global.u32 "
          "[%out+4], %r1;\n"
          "mbarrier.test_wait.shared.b64 %p2, [%r10], %d1; selp.u32 %r1, 1, 0, %p2; st.global.u32 [%out+8], %r1;\n"
          "mbarrier.arrive.expect_tx.release.cta.shared::cta.b64 _, [%r10], 48;\n"
          "mbarrier.test_wait.shared.b64 %p2, [%r10], %d1; selp.u32 %r1, 1, 0, %p2; st.global.u32 [%out+12], %r1;\n"
          "mbarrier.complete_tx.relaxed.cta.shared::cta.b64 [%r10], 48;\n"
          "mbarrier.try_wait.shared.b64 %p2, [%r10], %d1, 100; selp.u32 %r1, 1, 0, %p2; st.global.u32 [%out+16], %r1;\n"
          "mbarrier.test_wait.parity.acquire.cta.shared.b64 %p2, [%r10], 0; selp.u32 %r1, 1, 0, %p2; st.global.u32 "
          "[%out+20], %r1;\n"
          "mbarrier.test_wait.parity.shared.b64 %p2, [%r10], 1; selp.u32 %r1, 1, 0, %p2; st.global.u32 [%out+24], "
          "%r1;\n"
          "mbarrier.arrive_drop.shared.b64 _, [%r10]; mbarrier.arrive.shared.b64 %d3, [%r10], 2;\n"
          "mbarrier.arrive.shared.b64 %d4, [%r10]; mbarrier.pending_count.b64 %r1, %d4; st.global.u32 [%out+28], %r1;\n"
          "mbarrier.inval.shared.b64 [%r10];"),
      Words(8, 77));
  EXPECT_EQ(out, (Words{3, 2, 0, 0, 1, 1, 0, 2}));
}

TEST(EmulatorMbarrier, MisuseIsAnErrorThatNamesTheInstruction) {
  struct Case {
    const char *body, *message;
  };
  for (const Case& test : {
           Case{"mbarrier.arrive.shared.b64 %d1, [%r10];", "no barrier was initialised"},
           Case{"mbarrier.init.shared.b64 [%r10+4], 1;", "8 aligned bytes"},
           Case{"mbarrier.init.shared.b64 [%r10], 0;", "count 0"},
           Case{"mbarrier.init.shared.b64 [%r10], 1; mbarrier.init.shared.b64 [%r10], 1;", "is in use"},
           Case{"mbarrier.init.shared.b64 [%r10], 1; mbarrier.arrive.shared.b64 %d1, [%r10], 2;", "2 arrivals"},
           Case{"mbarrier.init.shared.b64 [%r10], 1; mbarrier.complete_tx.shared::cta.b64 [%r10], 16; "
                "mbarrier.arrive.shared.b64 %d1, [%r10];",
                "expect all bytes"},
           Case{"mbarrier.init.shared.b64 [%r10], 1; st.shared.u32 [%r10], 9; mbarrier.arrive.shared.b64 %d1, [%r10];",
                "was written over"},
           Case{"mbarrier.init.shared.b64 [%r10], 1; W: mbarrier.try_wait.parity.shared.b64 %p2, [%r10], 0; @!%p2 bra "
                "W;",
                "deadlock"},
           Case{"mbarrier.init.shared.b64 [%r10], 1; mbarrier.arrive.expect_tx.shared.b64 _, [%r10], 32;\n"
                "W: mbarrier.try_wait.parity.shared.b64 %p2, [%r10], 0; @!%p2 bra W;",
                "32 bytes to come"},
       })
    EXPECT_THAT(PtxRunner().ErrorOf(Barrier(test.body), 8), AllOf(HasSubstr(test.message), HasSubstr("mbarrier")))
        << test.body;
}

TEST(EmulatorBulkCopy, GoesThroughSharedMemoryAndBack) {
  const std::string body = Barrier(
      "mbarrier.init.shared.b64 [%r10], 1; mov.u32 %r11, tile; mbarrier.arrive.expect_tx.shared.b64 _, [%r10], 512;\n"
      "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%r11], [%out], 512, [%r10];\n"
      "W: mbarrier.try_wait.parity.shared.b64 %p2, [%r10], 0; @!%p2 bra W;\n"
      "cp.async.bulk.global.shared::cta.bulk_group [%out+512], [%r11], 256;\n"
      "cp.reduce.async.bulk.global.shared::cta.bulk_group.add.u32 [%out+768], [%r11], 256;\n"
      "cp.async.bulk.commit_group; cp.async.bulk.wait_group 0;");
  const Words out = PtxRunner().Run(body, Iota(256));
  for (std::uint32_t w = 0; w < 64; ++w) {
    EXPECT_EQ(out[128 + w], w);
    EXPECT_EQ(out[192 + w], 192 + w + w);
  }
}

TEST(EmulatorBulkCopy, MisuseIsAnError) {
  const std::string start =
      "mbarrier.init.shared.b64 [%r10], 1; mov.u32 %r11, tile; mbarrier.arrive.expect_tx.shared.b64 _, [%r10], 512;\n";
  struct Case {
    const char *body, *message;
  };
  for (const Case& test : {
           Case{"cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%r11], [%out], 500, [%r10];",
                "not a multiple of 16"},
           Case{"cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%r11+8], [%out], 512, [%r10];",
                "not a multiple of 16"},
           Case{"cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%r11], [%out], 2048, [%r10];",
                "global memory"},
           Case{"cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%r11+4000], [%out], 512, [%r10];",
                "outside of shared"},
           Case{"cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%r11], [%out], 528, [%r10];\n"
                "W: mbarrier.try_wait.parity.shared.b64 %p2, [%r10], 0; @!%p2 bra W;",
                "more than were expected"},
           Case{"cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%r11], [%out], 496, [%r10];\n"
                "W: mbarrier.try_wait.parity.shared.b64 %p2, [%r10], 0; @!%p2 bra W;",
                "16 bytes to come"},
           Case{"cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%r11], [%out], 512, [%r10];",
                "ends while the mbarrier at 0x1400 has 512 bytes to come"},
       })
    EXPECT_THAT(PtxRunner().ErrorOf(Barrier(start + test.body), 256), HasSubstr(test.message)) << test.body;
}

/// Two CTAs of one cluster.
Words RunPair(const std::string& body, Words words, std::string* error = nullptr) {
  PtxRunner runner;
  const Buffer buffer = runner.device().Allocate(words.size() * 4);
  std::memcpy(buffer.data(), words.data(), words.size() * 4);
  const void* pointer = buffer.data();
  void* args[] = {&pointer};
  try {
    runner
        .Load(
            runner.Text(".param .u64 p",
                        ".reg .b64 %out; ld.param.u64 %out, [p]; .reg .b32 %rank; mov.u32 %rank, %cluster_ctarank;\n" +
                            std::string(kLane) + body))
        ->Launch({2, 1, 1}, {32, 1, 1}, {2, 1, 1}, 0, args, {});
  } catch (const Error& e) {
    if (error == nullptr) throw;
    *error = e.what();
  }
  std::memcpy(words.data(), buffer.data(), words.size() * 4);
  return words;
}
constexpr const char* kMeet = "barrier.cluster.arrive.release.aligned; barrier.cluster.wait.acquire.aligned;\n";

TEST(EmulatorCluster, CtasSeeEachOthersSharedMemory) {
  const Words out = RunPair(
      std::string("mad.lo.u32 %r1, %rank, 1000, %lane; st.shared.u32 [%at], %r1; mov.u32 %r2, 0; st.shared.u32 "
                  "[%at+4], %r2;\n") +
          kMeet +
          "xor.b32 %r3, %rank, 1; mapa.shared::cluster.u32 %r4, %at, %r3; ld.shared::cluster.u32 %r5, [%r4];\n"
          "getctarank.shared::cluster.u32 %r6, %r4; mad.lo.u32 %r5, %r6, 10000, %r5;\n"
          "cvta.shared.u64 %d1, tile; mapa.u64 %d2, %d1, %r3; atom.add.u32 %r7, [%d2+4], 5; cvt.u64.u32 %d3, %lane;\n" +
          kMeet +
          "ld.shared.u32 %r8, [tile+4]; add.u32 %r5, %r5, %r8; mad.lo.u32 %r9, %rank, 32, %lane; mul.wide.u32 %d4, "
          "%r9, 4;\n"
          "add.u64 %d4, %out, %d4; st.global.u32 [%d4], %r5; ret;",
      Words(64));
  for (std::uint32_t t = 0; t < 64; ++t) {
    const std::uint32_t other = 1 - t / 32;
    EXPECT_EQ(out[t], other * 10000 + other * 1000 + t % 32 + 160) << t;
  }
}

TEST(EmulatorCluster, MulticastAndRemoteArrivalsReachBothCtas) {
  // CTA 0 copies to both; each is told by its own barrier. Then CTA 1 arrives at the barrier of CTA 0.
  const Words out =
      RunPair(std::string("setp.eq.u32 %p1, %lane, 0; @%p1 mbarrier.init.shared.b64 [bar], 1; @%p1 "
                          "mbarrier.arrive.expect_tx.shared.b64 _, [bar], 512;\n"
                          "fence.mbarrier_init.release.cluster;\n") +
                  kMeet +
                  "mov.u32 %r10, bar; mov.u32 %r11, tile; setp.eq.and.u32 %p2, %rank, 0, %p1; .reg .b16 %mask; mov.u16 "
                  "%mask, 3;\n"
                  "@%p2 cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster [%r11], "
                  "[%out], 512, [%r10], %mask;\n"
                  "W: mbarrier.try_wait.parity.shared.b64 %p3, [bar], 0; @!%p3 bra W;\n"
                  "ld.shared.u32 %r1, [%at]; mad.lo.u32 %r9, %rank, 32, %lane; mul.wide.u32 %d4, %r9, 4; add.u64 %d4, "
                  "%out, %d4; st.global.u32 [%d4+512], %r1;\n"
                  "setp.eq.and.u32 %p2, %rank, 1, %p1; mov.u32 %r3, 0; mapa.shared::cluster.u32 %r4, %r10, %r3;\n"
                  "@%p2 mbarrier.arrive.release.cluster.shared::cluster.b64 _, [%r4]; setp.ne.u32 %p2, %rank, 0; @%p2 "
                  "bra END;\n"
                  "V: mbarrier.try_wait.parity.acquire.cluster.shared.b64 %p3, [bar], 1; @!%p3 bra V;\nEND:\n" +
                  kMeet + "ret;",
              Iota(192));
  for (std::uint32_t t = 0; t < 64; ++t) EXPECT_EQ(out[128 + t], t % 32 * 4) << t;
}

TEST(EmulatorCluster, MisuseIsAnError) {
  const auto error = [](const std::string& body) {
    std::string text;
    RunPair(body + "ret;", Words(64), &text);
    return text;
  };
  EXPECT_THAT(error("barrier.cluster.wait;"), HasSubstr("without barrier.cluster.arrive"));
  EXPECT_THAT(error("barrier.cluster.arrive; barrier.cluster.arrive;"), HasSubstr("a second time"));
  EXPECT_THAT(error("mov.u32 %r3, 2; mapa.shared::cluster.u32 %r4, %at, %r3;"), HasSubstr("CTA 2 of a cluster of 2"));
  // CTA 0 waits on a barrier of its own that nobody else comes to.
  EXPECT_THAT(error("barrier.cluster.arrive; setp.eq.u32 %p1, %rank, 0; setp.eq.and.u32 %p1, %lane, 0, %p1;\n"
                    "@%p1 mbarrier.init.shared.b64 [bar], 1; @!%p1 bra END;\n"
                    "W: mbarrier.try_wait.parity.shared.b64 %p2, [bar], 0; @!%p2 bra W;\nEND: barrier.cluster.wait;"),
              AllOf(HasSubstr("deadlock"), HasSubstr("the mbarrier at")));
}

}  // namespace
}  // namespace gemmsmith::emulator
