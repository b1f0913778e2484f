// Divergence, what lanes do together, barriers, scheduling.
#include <gmock/gmock.h>

#include <numeric>

#include "../support/ptx_testing.h"
#include "runtime/emulator/isa/program.h"
#include "runtime/emulator/machine/launch.h"

namespace gemmsmith::emulator {
namespace {

using testing::HasSubstr;
using Words = std::vector<std::uint32_t>;

constexpr const char* kLane =
    ".reg .b32 %lane, %r<20>; .reg .b64 %at, %rd<8>; .reg .pred %p<8>; mov.u32 %lane, %tid.x;\n"
    "mul.wide.u32 %rd0, %lane, 4; add.u64 %at, %out, %rd0; ld.global.u32 %r0, [%at];\n";

Words RunLanes(const std::string& body, Words words, LaunchShape shape = {}) {
  return PtxRunner().Run(kLane + body + "\nst.global.u32 [%at], %r1; ret;", std::move(words), shape);
}
std::string ErrorOf(const std::string& body, LaunchShape shape = {}) {
  return PtxRunner().ErrorOf(kLane + body + "\nst.global.u32 [%at], %r1; ret;", 1024, shape);
}
Words Iota(std::size_t count) {
  Words words(count);
  std::iota(words.begin(), words.end(), 0u);
  return words;
}

TEST(EmulatorWarps, LoopsWithATripCountPerLaneConverge) {
  // The sum of 1 ... lane; behind the loop all lanes are together again.
  const Words out = RunLanes(
      "mov.u32 %r1, 0; mov.u32 %r2, 0;\n"
      "LOOP: setp.ge.u32 %p1, %r2, %r0; @%p1 bra DONE; add.u32 %r2, %r2, 1; add.u32 %r1, %r1, %r2; bra LOOP;\n"
      "DONE: activemask.b32 %r3; setp.ne.u32 %p2, %r3, -1; @%p2 mov.u32 %r1, 77777;",
      Iota(32));
  for (std::uint32_t l = 0; l < 32; ++l) EXPECT_EQ(out[l], l * (l + 1) / 2) << l;
}

TEST(EmulatorWarps, NestedBranchesAndEarlyExitsKeepLanesApart) {
  const Words out = RunLanes(
      "mov.u32 %r1, 1; setp.lt.u32 %p1, %r0, 8; @%p1 exit;\n"
      "and.b32 %r2, %r0, 1; setp.eq.u32 %p2, %r2, 0; @%p2 bra EVEN;\n"
      "and.b32 %r2, %r0, 2; setp.eq.u32 %p3, %r2, 0; mov.u32 %r1, 30; @%p3 bra JOIN; mov.u32 %r1, 31; bra JOIN;\n"
      "EVEN: mov.u32 %r1, 20;\nJOIN: add.u32 %r1, %r1, 100;",
      Iota(32));
  for (std::uint32_t l = 0; l < 32; ++l)
    EXPECT_EQ(out[l], l < 8 ? l : l % 2 == 0 ? 120u : l % 4 == 1 ? 130u : 131u) << l;
}

TEST(EmulatorWarps, AJumpTableSendsEachLaneItsWay) {
  const Words out = RunLanes(
      "and.b32 %r2, %r0, 3; T: .branchtargets A, B, C, D; brx.idx %r2, T;\n"
      "A: mov.u32 %r1, 10; bra E; B: mov.u32 %r1, 11; bra E; C: mov.u32 %r1, 12; bra E; D: mov.u32 %r1, 13;\nE:",
      Iota(32));
  for (std::uint32_t l = 0; l < 32; ++l) EXPECT_EQ(out[l], 10 + l % 4);
}

TEST(EmulatorWarps, ALaneThatSpinsOnAnothersLockLetsItGoOn) {
  // Each lane takes the lock, adds to a plain counter, and releases it.
  const std::string body =
      std::string(kLane) +
      "LOOP: atom.global.cas.b32 %r2, [%out+512], 0, 1; setp.ne.u32 %p1, %r2, 0; @%p1 bra LOOP;\n"
      "ld.volatile.global.u32 %r3, [%out+516]; add.u32 %r3, %r3, 1; st.volatile.global.u32 [%out+516], %r3;\n"
      "atom.global.exch.b32 %r4, [%out+512], 0; ret;";
  const Words out = PtxRunner().Run(body, Words(130), {{2, 1, 1}, {64, 1, 1}});
  EXPECT_EQ(out[128], 0u);
  EXPECT_EQ(out[129], 128u);
}

TEST(EmulatorWarps, ShufflesFollowTheirSegments) {
  struct {
    const char* text;
    std::uint32_t (*expected)(std::uint32_t lane);
  } kCases[] = {
      {"shfl.sync.bfly.b32 %r1, %r0, 3, 31, -1;", [](std::uint32_t l) { return l ^ 3; }},
      {"shfl.sync.up.b32 %r1, %r0, 2, 0, -1;", [](std::uint32_t l) { return l < 2 ? l : l - 2; }},
      {"shfl.sync.down.b32 %r1|%p1, %r0, 5, 31, -1; @!%p1 mov.u32 %r1, 99;",
       [](std::uint32_t l) { return l + 5 > 31 ? 99 : l + 5; }},
      {"shfl.sync.idx.b32 %r1, %r0, 1, 0x181f, -1;", [](std::uint32_t l) { return (l & 24) | 1; }},
      {"shfl.sync.down.b32 %r1, %r0, 4, 0x181f, -1;", [](std::uint32_t l) { return l % 8 + 4 > 7 ? l : l + 4; }},
  };
  for (const auto& test : kCases) {
    const Words out = RunLanes(test.text, Iota(32));
    for (std::uint32_t l = 0; l < 32; ++l) EXPECT_EQ(out[l], test.expected(l)) << test.text << l;
  }
}

TEST(EmulatorWarps, VotesMatchesAndReductionsSeeAllMembers) {
  struct {
    const char* text;
    std::uint32_t (*expected)(std::uint32_t lane);
  } kCases[] = {
      {"setp.gt.u32 %p1, %r0, 4; vote.sync.ballot.b32 %r1, %p1, -1;", [](std::uint32_t) { return 0xffffffe0; }},
      {"setp.lt.u32 %p1, %r0, 32; vote.sync.all.pred %p2, %p1, -1; selp.u32 %r1, 1, 0, %p2;",
       [](std::uint32_t) { return 1u; }},
      {"setp.eq.u32 %p1, %r0, 9; vote.sync.any.pred %p2, %p1, -1; selp.u32 %r1, 1, 0, %p2;",
       [](std::uint32_t) { return 1u; }},
      {"setp.eq.u32 %p1, %r0, 9; vote.sync.uni.pred %p2, %p1, -1; selp.u32 %r1, 1, 0, %p2;",
       [](std::uint32_t) { return 0u; }},
      {"shr.u32 %r2, %r0, 4; match.any.sync.b32 %r1, %r2, -1;",
       [](std::uint32_t l) { return l < 16 ? 0xffffu : 0xffff0000u; }},
      {"match.all.sync.b32 %r1|%p1, 5, -1;", [](std::uint32_t) { return 0xffffffffu; }},
      {"redux.sync.add.u32 %r1, %r0, -1;", [](std::uint32_t) { return 496u; }},
      {"redux.sync.max.s32 %r1, %r0, -1;", [](std::uint32_t) { return 31u; }},
      {"elect.sync %r1|%p1, -1; @%p1 mov.u32 %r1, 50;", [](std::uint32_t l) { return l == 0 ? 50u : 0u; }},
      // Two halves of the warp vote apart, at the same instruction.
      {"mov.u32 %r2, 0xffff; setp.gt.u32 %p1, %r0, 15; @%p1 mov.u32 %r2, 0xffff0000; redux.sync.add.u32 %r1, %r0, %r2;",
       [](std::uint32_t l) { return l < 16 ? 120u : 376u; }},
  };
  for (const auto& test : kCases) {
    const Words out = RunLanes(test.text, Iota(32));
    for (std::uint32_t l = 0; l < 32; ++l) EXPECT_EQ(out[l], test.expected(l)) << test.text << l;
  }
}

TEST(EmulatorWarps, LanesAreWaitedForWhereTheMaskNamesThem) {
  // Odd lanes take a longer way to the shuffle.
  const Words out = RunLanes(
      "and.b32 %r2, %r0, 1; setp.eq.u32 %p1, %r2, 0; @%p1 bra MEET; add.u32 %r0, %r0, 100; bra MEET;\n"
      "MEET: shfl.sync.bfly.b32 %r1, %r0, 1, 31, -1;",
      Iota(32));
  for (std::uint32_t l = 0; l < 32; ++l) EXPECT_EQ(out[l], l % 2 == 0 ? l + 101 : l - 1) << l;
  EXPECT_THAT(ErrorOf("setp.lt.u32 %p1, %lane, 4; @%p1 bra A; shfl.sync.bfly.b32 %r1, %r0, 1, 31, -1; bra B;\n"
                      "A: shfl.sync.bfly.b32 %r1, %r0, 1, 31, -1; B:"),
              HasSubstr("wait for lanes that never come"));
  EXPECT_THAT(ErrorOf("setp.lt.u32 %p1, %lane, 4; @%p1 exit; vote.sync.ballot.b32 %r1, %p1, -1;"),
              HasSubstr("have exited"));
}

TEST(EmulatorWarps, BarriersOfAWarpMeetAcrossBranches) {
  // Even lanes write, odd ones read what they wrote, each behind a barrier of its own.
  const Words out = RunLanes(
      ".shared .b32 s[32]; mov.u32 %r2, s; shl.b32 %r3, %lane, 2; add.u32 %r3, %r3, %r2; and.b32 %r4, %lane, 1;\n"
      "mov.u32 %r1, 0; setp.eq.u32 %p1, %r4, 0; @%p1 bra EVEN; bar.warp.sync -1; ld.shared.u32 %r1, [%r3+-4]; bra "
      "END;\n"
      "EVEN: add.u32 %r5, %lane, 50; st.shared.u32 [%r3], %r5; bar.warp.sync -1;\nEND:",
      Iota(32));
  for (std::uint32_t l = 0; l < 32; ++l) EXPECT_EQ(out[l], l % 2 == 0 ? 0u : l + 49) << l;
  EXPECT_THAT(ErrorOf("setp.eq.u32 %p1, %lane, 0; @%p1 bra END; bar.warp.sync -1; END:"), "");
  EXPECT_THAT(ErrorOf("setp.eq.u32 %p1, %lane, 0; @%p1 bra END; bar.warp.sync -1; END: bar.warp.sync 0xff;"),
              HasSubstr("lanes that never come"));
}

constexpr const char* kReverse =
    ".shared .b32 s[256]; .reg .b32 %a; mov.u32 %r2, s; shl.b32 %r3, %lane, 2; add.u32 %r3, %r3, %r2;\n"
    "st.shared.u32 [%r3], %r0; bar.sync 0; mov.u32 %r4, 255; sub.u32 %r4, %r4, %lane; shl.b32 %r4, %r4, 2;\n"
    "add.u32 %r4, %r4, %r2; ld.shared.u32 %r1, [%r4];";

TEST(EmulatorBarriers, AllThreadsSeeWhatWasWrittenBefore) {
  const Words out = RunLanes(kReverse, Iota(256), {{1, 1, 1}, {256, 1, 1}});
  for (std::uint32_t t = 0; t < 256; ++t) EXPECT_EQ(out[t], 255 - t);
}

TEST(EmulatorBarriers, ProducersArriveAndConsumersWait) {
  // Warp 0 writes and arrives, warp 1 waits and reads.
  const Words out = RunLanes(
      ".shared .b32 s; mov.u32 %r1, 0; setp.lt.u32 %p1, %lane, 32; @!%p1 bra READ;\n"
      "st.shared.u32 [s], 41; bar.arrive 3, 64; bra END;\nREAD: bar.sync 3, 64; ld.shared.u32 %r1, [s];\nEND:",
      Words(64), {{1, 1, 1}, {64, 1, 1}});
  EXPECT_EQ(out[0], 0u);
  for (std::size_t t = 32; t < 64; ++t) EXPECT_EQ(out[t], 41u);
}

TEST(EmulatorBarriers, ReductionsCountAndCombine) {
  const LaunchShape shape{{1, 1, 1}, {96, 1, 1}};
  EXPECT_EQ(RunLanes("setp.lt.u32 %p1, %r0, 40; bar.red.popc.u32 %r1, 0, %p1;", Iota(96), shape), Words(96, 40));
  EXPECT_EQ(
      RunLanes("setp.lt.u32 %p1, %r0, 40; bar.red.or.pred %p2, 0, %p1; selp.u32 %r1, 1, 0, %p2;", Iota(96), shape),
      Words(96, 1));
  EXPECT_EQ(
      RunLanes("setp.lt.u32 %p1, %r0, 95; bar.red.and.pred %p2, 0, %p1; selp.u32 %r1, 1, 0, %p2;", Iota(96), shape),
      Words(96, 0));
}

TEST(EmulatorBarriers, ThreadsThatHaveExitedAreNotWaitedFor) {
  const Words out = RunLanes("mov.u32 %r1, 5; setp.ge.u32 %p1, %lane, 64; @%p1 exit; bar.sync 0;", Words(128),
                             {{1, 1, 1}, {128, 1, 1}});
  EXPECT_EQ(out[63], 5u);
  EXPECT_EQ(out[64], 0u);
}

TEST(EmulatorFaults, DeadlocksNameWhoWaitsOnWhat) {
  const LaunchShape two{{1, 1, 1}, {64, 1, 1}};
  const std::string barrier =
      ErrorOf("setp.lt.u32 %p1, %lane, 32; @%p1 bra A; bar.sync 1, 64; bra B; A: bar.sync 2, 64; B:", two);
  EXPECT_THAT(barrier, HasSubstr("deadlock"));
  EXPECT_THAT(barrier, HasSubstr("warp 0: wait on barrier 2 of the CTA"));
  EXPECT_THAT(barrier, HasSubstr("warp 1: wait on barrier 1 of the CTA"));
  const std::string spin =
      ErrorOf("LOOP: ld.volatile.global.u32 %r1, [%out+64]; setp.eq.u32 %p1, %r1, 0; @%p1 bra LOOP;");
  EXPECT_THAT(spin, HasSubstr("deadlock"));
  EXPECT_THAT(spin, HasSubstr("spin"));
}

TEST(EmulatorFaults, DivergenceAtAnAlignedBarrierIsAnError) {
  EXPECT_THAT(ErrorOf("setp.lt.u32 %p1, %lane, 3; @%p1 bra A; bar.sync 0; bra B; A: bar.sync 0; B:"),
              HasSubstr("lanes of a warp wait for lanes that never come"));
}

TEST(EmulatorFaults, TrapsNameThePlace) {
  const std::string trap = ErrorOf("setp.eq.u32 %p1, %lane, 37; @%p1 trap;", {{1, 1, 1}, {64, 1, 1}});
  EXPECT_THAT(trap, HasSubstr("`@%p1 trap;` (ptx line 9), CTA (0, 0, 0), warp 1, lane 5"));
}

/// Runs a kernel of one parameter without a device, so that options can be chosen.
RunStatistics RunWith(const RunOptions& options, const std::string& body, Words& words, Dim3 grid, Dim3 block,
                      int multiprocessors = 4) {
  PtxRunner runner;
  const Program program(runner.Text(".param .u64 p", ".reg .b64 %out; ld.param.u64 %out, [p];\n" + body),
                        ParseTarget("sm_90a"));
  Launch launch;
  launch.kernel = program.Kernel("k").function;
  launch.functions = &program.functions();
  launch.name = "k";
  launch.grid = grid;
  launch.block = block;
  launch.static_shared_bytes = program.static_shared_bytes();
  const auto address = reinterpret_cast<std::uint64_t>(words.data());
  launch.parameters.resize(8);
  std::memcpy(launch.parameters.data(), &address, 8);
  launch.memory.Add({address, address + words.size() * 4, true});
  launch.multiprocessors = multiprocessors;
  launch.options = options;
  return Run(launch);
}

TEST(EmulatorFaults, RunawaysStopAtTheirBudget) {
  Words words(32);
  RunOptions options;
  options.instruction_budget = 100'000;
  try {
    RunWith(options, ".reg .b32 %r; LOOP: add.u32 %r, %r, 1; bra LOOP;", words, {1, 1, 1}, {32, 1, 1});
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("the budget of a launch"));
    EXPECT_THAT(error.what(), HasSubstr("raise the budget"));
  }
}

TEST(EmulatorScheduler, ResultsAreTheSameForASeedWhateverTheThreads) {
  // Order matters: each CTA folds its number into one word, and notes what it found there.
  const std::string body =
      ".reg .b32 %r<8>; .reg .b64 %rd<4>; mov.u32 %r1, %ctaid.x; mov.u32 %r2, %tid.x; setp.ne.u32 %p, %r2, 0;\n"
      "@%p exit; mov.u32 %r5, 0; LOOP: atom.global.exch.b32 %r3, [%out], %r1; mad.lo.u32 %r6, %r6, 31, %r3;\n"
      "add.u32 %r5, %r5, 1; setp.lt.u32 %p, %r5, 20; @%p bra LOOP; mul.wide.u32 %rd1, %r1, 4; add.u64 %rd1, %rd1, "
      "%out;\n"
      "st.global.u32 [%rd1+4], %r6; ret;";
  Words results[3];
  const int threads[3] = {1, 2, 2};
  for (int k = 0; k < 3; ++k) {
    results[k] = Words(65);
    RunOptions options;
    options.threads = threads[k];
    options.seed = 7;
    RunWith(options, ".reg .pred %p;\n" + body, results[k], {64, 1, 1}, {64, 1, 1});
  }
  EXPECT_EQ(results[0], results[1]);
  EXPECT_EQ(results[1], results[2]);
}

TEST(EmulatorScheduler, GridsHaveAWorkspaceToMeetIn) {
  // As cooperative groups find it: its size in bytes, then a counter that starts at nought in every launch.
  for (int launch = 0; launch < 2; ++launch)
    EXPECT_EQ(PtxRunner().Run(".reg .b32 %r<4>; .reg .b64 %rd<2>; mov.u32 %r1, %envreg1; mov.u32 %r2, %envreg2;\n"
                              "mov.b64 %rd1, {%r2, %r1}; ld.u32 %r3, [%rd1]; st.volatile.global.u32 [%out], %r3;\n"
                              "atom.add.release.gpu.u32 %r3, [%rd1+4], 1; red.global.max.u32 [%out+4], %r3; ret;",
                              Words(2), {{5, 1, 1}, {1, 1, 1}}),
              (Words{8, 4}));
}

TEST(EmulatorScheduler, CtasThatAreResidentTogetherMakeProgressTogether) {
  // CTA 0 waits for the others; each of four multiprocessors holds one.
  const std::string body =
      ".reg .b32 %r<8>; .reg .pred %p; mov.u32 %r1, %ctaid.x; setp.eq.u32 %p, %r1, 0; @%p bra WAIT;\n"
      "red.release.gpu.global.add.u32 [%out], 1; ret;\n"
      "WAIT: ld.acquire.gpu.global.u32 %r2, [%out]; setp.ne.u32 %p, %r2, 3; @%p bra WAIT; st.global.u32 [%out+4], 9; "
      "ret;";
  Words words(2);
  RunWith({}, body, words, {4, 1, 1}, {1, 1, 1});
  EXPECT_EQ(words[1], 9u);
  // On a device that holds three at a time the last one runs when others are through; on one that holds one, never.
  words.assign(2, 0);
  RunWith({}, body, words, {4, 1, 1}, {1, 1, 1}, 3);
  EXPECT_EQ(words[1], 9u);
  words.assign(2, 0);
  EXPECT_THROW(RunWith({}, body, words, {4, 1, 1}, {1, 1, 1}, 1), Error);
}

}  // namespace
}  // namespace gemmsmith::emulator
