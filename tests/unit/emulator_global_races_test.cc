// Races through global memory, planted one by one between CTAs and warps, and the synchronisation that mends each.
#include <gmock/gmock.h>

#include <regex>

#include "../support/ptx_testing.h"

namespace gemmsmith::emulator {
namespace {

using testing::AllOf;
using testing::ContainsRegex;
using testing::HasSubstr;

constexpr int kSeeds = 6;

// CTAs of two warps. `same` is the thread's word in a block of 256 bytes that all CTAs see, `mine` in one of the CTA's
// own, `next` in that of the CTA after it, `flag` and `flag2` are further on. p0: CTA 0, p1: thread 0, p3: CTA 1.
constexpr const char* kPrologue =
    ".shared .align 128 .b8 tile[256]; .shared .align 4 .b32 last;\n"
    ".reg .b32 %tid, %cta, %n, %at, %r<20>; .reg .b64 %same, %mine, %next, %flag, %flag2, %d<8>; .reg .pred %p<8>;\n"
    "mov.u32 %tid, %tid.x; mov.u32 %cta, %ctaid.x; mov.u32 %n, %nctaid.x; mov.u32 %at, tile;\n"
    "mul.wide.u32 %d0, %tid, 4; add.u64 %same, %out, %d0; mul.wide.u32 %d1, %cta, 256; add.u64 %mine, %same, %d1;\n"
    "add.u32 %r0, %cta, 1; rem.u32 %r0, %r0, %n; mul.wide.u32 %d1, %r0, 256; add.u64 %next, %same, %d1;\n"
    "add.u64 %flag, %out, 2048; add.u64 %flag2, %out, 2176; mad.lo.u32 %at, %tid, 4, %at;\n"
    "setp.eq.u32 %p0, %cta, 0; setp.eq.u32 %p1, %tid, 0; setp.eq.u32 %p3, %cta, 1;\n";
// CTA 0 writes `same` and tells by the flag; CTA 1 waits for it and reads.
constexpr const char* kProduce = "@!%p0 bra CONSUME; st.global.u32 [%same], %tid; mov.u32 %r3, 1;\n";
constexpr const char* kConsume =
    "bra END; CONSUME: @!%p3 bra END; @!%p1 bra JOIN; W: ld.volatile.global.u32 %r1, [%flag]; setp.eq.u32 %p2, %r1, 0; "
    "@%p2 bra W;\n";
constexpr const char* kTell = "@%p1 st.volatile.global.u32 [%flag], %r3;\n";
constexpr const char* kRead = "JOIN: bar.sync 0; ld.global.u32 %r2, [%same]; END:\n";
constexpr const char* kRace =
    "ld.global.u32 %r2, \\[%same\\].*CTA .1, 0, 0.*race: read after write: global memory at .*"
    "the other is `st.global.u32 \\[%same\\].*warp [01] of CTA .0, 0, 0.";

struct Planted {
  const char* name;
  std::string before, bug, fix, after;
  const char* report;  ///< A regular expression.
};

std::string Then(std::initializer_list<const char*> parts) {
  std::string all;
  for (const char* const part : parts) all += part;
  return all;
}

std::vector<Planted> Flags() {
  const std::string consume = Then({kConsume, "membar.gl;", kRead}), tell_and_consume = kTell + consume;
  return {
      {"no fence before the flag", Then({kProduce, "bar.sync 0;"}), "", "membar.gl;", tell_and_consume, kRace},
      {"a fence for the CTA alone", Then({kProduce, "bar.sync 0;"}), "membar.cta;", "fence.acq_rel.gpu;",
       tell_and_consume, kRace},
      {"no barrier before the flag", kProduce, "membar.gl;", "bar.sync 0; membar.gl;", tell_and_consume, kRace},
      {"no fence behind the flag", Then({kProduce, "bar.sync 0; membar.gl;", kTell, kConsume}), "", "membar.gl;", kRead,
       kRace},
      {"a flag by a plain store", Then({kProduce, "bar.sync 0; membar.gl;"}), "@%p1 st.global.u32 [%flag], %r3;", kTell,
       consume, "race: (read after write|write after read): global memory at .*\\[%flag\\]"},
      {"a release for the CTA alone", Then({kProduce, "bar.sync 0;"}),
       "@%p1 red.release.cta.global.add.u32 [%flag], 1;", "@%p1 red.release.gpu.global.add.u32 [%flag], 1;", consume,
       "race: read after write: global memory at .*red.release.cta"},
      {"a relaxed wait",
       Then({kProduce,
             "bar.sync 0; @%p1 st.release.gpu.global.u32 [%flag], %r3;\n"
             "bra END; CONSUME: @!%p3 bra END; @!%p1 bra JOIN; W:"}),
       "ld.relaxed.gpu.global.u32 %r1, [%flag];", "ld.acquire.gpu.global.u32 %r1, [%flag];",
       Then({"setp.eq.u32 %p2, %r1, 0; @%p2 bra W;", kRead}), kRace},
      {"a chain of three with a weak link",
       Then({kProduce, "bar.sync 0; membar.gl;", kTell,
             "bra END; CONSUME: @!%p1 bra JOIN; @!%p3 bra LAST; W: ld.volatile.global.u32 %r1, [%flag]; setp.eq.u32 "
             "%p2, %r1, 0; @%p2 bra W; mov.u32 %r3, 1;"}),
       "", "membar.gl;",
       Then({"st.volatile.global.u32 [%flag2], %r3; bra JOIN; LAST: V: ld.volatile.global.u32 %r1, [%flag2]; "
             "setp.eq.u32 %p2, %r1, 0; @%p2 bra V; membar.gl;",
             "JOIN: bar.sync 0; @!%p3 ld.global.u32 %r2, [%same]; END:"}),
       "CTA .2, 0, 0.*race: read after write: global memory at .*the other is .*CTA .0, 0, 0."},
  };
}

std::vector<Planted> Meetings() {
  // All CTAs arrive at the counter and wait for the others.
  const char* const meet =
      "bar.sync 0; membar.gl; @!%p1 bra JOIN; red.global.add.u32 [%flag], 1; W: ld.volatile.global.u32 %r1, [%flag]; "
      "setp.lt.u32 %p2, %r1, %n; @%p2 bra W; membar.gl; JOIN: bar.sync 0;\n";
  const char* const last =
      "@%p1 atom.global.add.u32 %r1, [%flag], 1; @%p1 st.shared.u32 [last], %r1; bar.sync 0; ld.shared.u32 %r2, [last];"
      "add.u32 %r2, %r2, 1; setp.eq.u32 %p2, %r2, %n; @%p2 ld.global.u32 %r4, [%next];\n";
  const char* const locked =
      "ld.global.u32 %r2, [%out]; add.u32 %r2, %r2, 1; st.global.u32 [%out], %r2;\n"
      "mov.u32 %r3, 0; st.release.gpu.global.u32 [%flag], %r3; END:";
  return {
      {"CTAs that write the same words", "", "st.global.u32 [%same], %tid;", "st.global.u32 [%mine], %tid;", "",
       "st.global.u32 \\[%same\\].*CTA .*warp .*race: write after write: global memory at .*the other is "
       "`st.global.u32 \\[%same\\]"},
      {"CTAs that write the same bytes", "add.u64 %d2, %out, 2; @!%p0 mov.u64 %d2, %out; setp.lt.u32 %p4, %cta, 2;",
       "@%p4 st.global.u16 [%out], 7;", "and.pred %p4, %p4, %p1; @%p4 st.global.u16 [%d2], 7;", "",
       "race: write after write"},
      {"no meeting of the grid", "st.global.u32 [%mine], %tid;", "", meet, "ld.global.u32 %r2, [%next];",
       "race: (read after write|write after read): global memory at "},
      {"a meeting of the grid that not all warps know of", "st.global.u32 [%mine], %tid;",
       "membar.gl; @!%p1 bra JOIN; red.global.add.u32 [%flag], 1; W: ld.volatile.global.u32 %r1, [%flag]; "
       "setp.lt.u32 %p2, %r1, %n; @%p2 bra W; membar.gl; JOIN: bar.sync 0;",
       meet, "ld.global.u32 %r2, [%next];", "race: (read after write|write after read): global memory at "},
      {"a plain read of what others add", "red.global.add.u32 [%flag], 1;", "ld.global.u32 %r1, [%flag];",
       "ld.relaxed.gpu.global.u32 %r1, [%flag];", "",
       "red.global.add.u32 .*race: write after read|race: read after write: global memory at .*red.global.add.u32"},
      {"atomics that are so for the CTA alone", "", "red.relaxed.cta.global.add.u32 [%same], 1;",
       "red.relaxed.gpu.global.add.u32 [%same], 1;", "", "race: write after write: global memory at "},
      {"the last CTA of a reduction, without a fence", "st.global.u32 [%mine], %tid;", "bar.sync 0;",
       "membar.gl; bar.sync 0;", last, "ld.global.u32 %r4, \\[%next\\].*race: read after write"},
      {"a lock that does not acquire", "@!%p1 bra END; LOOP:", "atom.relaxed.gpu.global.cas.b32 %r1, [%flag], 0, 1;",
       "atom.acquire.gpu.global.cas.b32 %r1, [%flag], 0, 1;",
       std::string("setp.ne.u32 %p2, %r1, 0; @%p2 bra LOOP;") + locked, "race: read after write: global memory at "},
      {"warps of one CTA", "st.global.u32 [%mine], %tid; xor.b64 %d2, %mine, 128;", "", "bar.sync 0;",
       "ld.global.u32 %r2, [%d2];", "race: (read after write|write after read): global memory at "},
      {"a bulk store that is not awaited",
       "st.shared.u32 [%at], %tid; fence.proxy.async.shared::cta; bar.sync 0; @%p1 cp.async.bulk.global.shared::cta."
       "bulk_group [%mine], [%at], 256; @%p1 cp.async.bulk.commit_group;",
       "", "@%p1 cp.async.bulk.wait_group 0;",
       "bar.sync 0; ld.global.u32 %r2, [%mine]; @%p1 cp.async.bulk.wait_group 0;",
       "read before the asynchronous operation completed: global memory at .*the other is `@%p1 cp.async.bulk.*issued "
       "by warp 0"},
  };
}

std::string ErrorOf(const std::string& body, std::uint64_t seed, int threads = 0) {
  RunOptions options;
  options.seed = seed;
  options.threads = threads;
  return PtxRunner("sm_90a", options).ErrorOf(kPrologue + body + "\nret;", 1024, {{3, 1, 1}, {64, 1, 1}});
}

void CheckPlanted(const std::vector<Planted>& cases) {
  for (const Planted& test : cases)
    for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
      EXPECT_THAT(ErrorOf(test.before + test.bug + test.after, seed), ContainsRegex(test.report))
          << test.name << ", seed " << seed;
      EXPECT_EQ(ErrorOf(test.before + test.fix + test.after, seed), "") << test.name << ", seed " << seed;
    }
}

TEST(EmulatorGlobalRaces, AreReportedWhereAFlagDoesNotOrder) { CheckPlanted(Flags()); }
TEST(EmulatorGlobalRaces, AreReportedWhereNothingOrders) { CheckPlanted(Meetings()); }

TEST(EmulatorGlobalRaces, AreTheSameWhateverTheNumberOfThreads) {
  const auto without_addresses = [](const std::string& text) {
    return std::regex_replace(text, std::regex("0x[0-9a-f]+"), "0x");
  };
  for (const std::vector<Planted>& cases : {Flags(), Meetings()})
    for (const Planted& test : cases) {
      const std::string one = ErrorOf(test.before + test.bug + test.after, 3, 1);
      EXPECT_EQ(without_addresses(one), without_addresses(ErrorOf(test.before + test.bug + test.after, 3, 4)));
    }
}

// What the host has written is not taken for poison while another CTA writes it.
TEST(EmulatorGlobalRaces, AreNotTakenForReadsOfWhatNobodyWrote) {
  RunOptions options;
  options.threads = 4;
  const std::string body =
      "mov.u32 %r1, 0; W: st.global.u32 [%mine], %tid; ld.global.u32 %r2, [%next]; add.u64 %mine, %mine, 1024;\n"
      "add.u64 %next, %next, 1024; add.u32 %r1, %r1, 1; setp.lt.u32 %p2, %r1, 1000; @%p2 bra W; ret;";
  EXPECT_THAT(PtxRunner("sm_90a", options).ErrorOf(kPrologue + body, 256 * 1000, {{4, 1, 1}, {64, 1, 1}}),
              ContainsRegex("race: (read after write|write after read): global memory at "));
}

TEST(EmulatorGlobalRaces, OfOneLaunchAreNoneOfTheNext) {
  PtxRunner runner;
  const std::string body = std::string(kPrologue) + "st.global.u32 [%mine], %tid; ret;";
  const std::vector<std::uint32_t> words = runner.Run(body, std::vector<std::uint32_t>(1024), {{2, 1, 1}, {64, 1, 1}});
  EXPECT_EQ(runner.Run(body, words, {{2, 1, 1}, {64, 1, 1}}), words);
}

TEST(EmulatorGlobalRaces, NameLinesAndLanesOfBothSides) {
  const std::string error = PtxRunner().ErrorOf(
      std::string(kPrologue) + ".loc 1 70 0\nsetp.eq.u32 %p4, %tid, 37; @%p4 st.global.u32 [%same], %tid;\nret;", 1024,
      {{2, 1, 1}, {64, 1, 1}}, ".file 1 \"kernel.cu\"\n");
  EXPECT_THAT(error, AllOf(HasSubstr("kernel.cu:70), CTA (1, 0, 0), warp 1, lane 5: race: write after write"),
                           HasSubstr("at byte 148 of the 4096 bytes"),
                           ContainsRegex("the other is .*kernel.cu:70., warp 1 of CTA .0, 0, 0.")));
}

}  // namespace
}  // namespace gemmsmith::emulator
