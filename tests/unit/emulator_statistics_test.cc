// What emulated launches are counted to do: kernels whose numbers are known.
#include <gmock/gmock.h>

#include <set>

#include "../support/emulated_gemm.h"

namespace gemmsmith::emulator {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using Words = std::vector<std::uint32_t>;

constexpr const char* kStart =
    ".shared .align 1024 .b8 tile[16384]; .shared .align 8 .b64 bar; .reg .b32 %lane, %at, %one, %r<20>; .reg .f32 "
    "%f<8>; .reg .b64 %g, %o, %d<8>; .reg .pred %p<4>;\n"
    "mov.u32 %lane, %tid.x; mov.u32 %one, 1; setp.lt.u32 %p1, %lane, 16; setp.gt.u32 %p2, %lane, 999;\n";

/// Runs a body behind kStart once, and counts.
KernelStatistics Count(const std::string& body, LaunchShape shape = {}, bool check = false,
                       std::string_view target = "sm_90a", int threads = 0) {
  RunOptions options;
  options.check = check;
  options.threads = threads;
  PtxRunner runner(target, options);
  runner.device().emulation()->EnableStatistics(true);
  runner.Run(kStart + body + " ret;", Words(4096), shape);
  const std::vector<KernelStatistics> kernels = runner.device().emulation()->Statistics();
  EXPECT_EQ(kernels.size(), 1u);
  return kernels.empty() ? KernelStatistics() : kernels.front();
}

/// Addresses %g and %at for lanes that are `stride` bytes apart.
std::string Strided(int stride) {
  return fmt::format(
      "mul.wide.u32 %o, %lane, {0}; add.u64 %g, %out, %o; mov.u32 %at, tile; mad.lo.u32 %at, %lane, {0}, %at;\n",
      stride);
}

TEST(EmulatorStatistics, GlobalAccessesTouchSectorsOf32Bytes) {
  struct Case {
    int stride;
    const char* access;
    MemoryTraffic KernelStatistics::*kind;
    MemoryTraffic expected;  ///< requests, sectors, bytes, distinct bytes
  };
  constexpr auto kLoads = &KernelStatistics::global_loads;
  for (const Case& test :
       {Case{4, "ld.global.u32 %r1, [%g];", kLoads, {1, 4, 128, 128}},
        {4, "ld.u32 %r1, [%g];", kLoads, {1, 4, 128, 128}},
        {8, "ld.global.u32 %r1, [%g];", kLoads, {1, 8, 128, 128}},
        {128, "ld.global.u32 %r1, [%g];", kLoads, {1, 32, 128, 128}},
        {0, "ld.global.u32 %r1, [%g];", kLoads, {1, 1, 128, 4}},
        {4, "ld.global.u32 %r1, [%g+4];", kLoads, {1, 5, 128, 128}},
        {1, "ld.global.u8 %r1, [%g];", kLoads, {1, 1, 32, 32}},
        {16, "ld.global.v4.u32 {%r1,%r2,%r3,%r4}, [%g];", kLoads, {1, 16, 512, 512}},
        {4, "ld.global.u32 %r1, [%g]; ld.global.u32 %r2, [%g+128];", kLoads, {2, 8, 256, 256}},
        {4, "@%p1 ld.global.u32 %r1, [%g];", kLoads, {1, 2, 64, 64}},
        {4, "@%p2 ld.global.u32 %r1, [%g];", kLoads, {0, 0, 0, 0}},
        {8, "st.global.u32 [%g], %lane;", &KernelStatistics::global_stores, {1, 8, 128, 128}},
        {4, "sub.u64 %g, %out, %o; st.global.u32 [%g+124], %lane;", &KernelStatistics::global_stores, {1, 4, 128, 128}},
        {0, "red.global.add.u32 [%g], %one;", &KernelStatistics::global_atomics, {1, 1, 128, 4}}}) {
    const KernelStatistics counts = Count(Strided(test.stride) + test.access);
    EXPECT_EQ(counts.*test.kind, test.expected)
        << test.access << " stride " << test.stride << ": " << (counts.*test.kind).sectors << " sectors, "
        << (counts.*test.kind).distinct_bytes << " distinct bytes";
    EXPECT_EQ(counts.shared_loads.requests + counts.local_loads.requests, 0u);
  }
  const KernelStatistics strided = Count(Strided(8) + "ld.global.u32 %r1, [%g];");
  EXPECT_EQ(strided.global_loads.coalescing(), 0.5);
  EXPECT_EQ(strided.global_loads.sectors_per_request(), 8);
}

TEST(EmulatorStatistics, SharedAccessesTakeAWavefrontForEachWordOfTheBusiestBank) {
  struct Case {
    int stride;
    const char* access;
    SharedTraffic KernelStatistics::*kind;
    SharedTraffic expected;  ///< requests, bytes, wavefronts, conflicts
  };
  constexpr auto kLoads = &KernelStatistics::shared_loads;
  constexpr auto kMatrices = &KernelStatistics::matrix_loads;
  constexpr const char* kVector = "ld.shared.v4.u32 {%r1,%r2,%r3,%r4}, [%at];";
  constexpr const char* kLdmatrix = "ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%r1,%r2,%r3,%r4}, [%at];";
  for (const Case& test : {Case{4, "ld.shared.u32 %r1, [%at];", kLoads, {1, 128, 1, 0}},
                           {8, "ld.shared.u32 %r1, [%at];", kLoads, {1, 128, 2, 1}},
                           {128, "ld.shared.u32 %r1, [%at];", kLoads, {1, 128, 32, 31}},  // a column of a tile (32, 32)
                           {132, "ld.shared.u32 %r1, [%at];", kLoads, {1, 128, 1, 0}},    // padded to 33
                           {0, "ld.shared.u32 %r1, [%at];", kLoads, {1, 128, 1, 0}},      // broadcast
                           {2, "ld.shared.u16 %r1, [%at];", kLoads, {1, 64, 1, 0}},
                           {8, "ld.shared.u64 %d1, [%at];", kLoads, {1, 256, 2, 0}},
                           {16, "ld.shared.u64 %d1, [%at];", kLoads, {1, 256, 4, 2}},
                           {16, kVector, kLoads, {1, 512, 4, 0}},
                           {128, kVector, kLoads, {1, 512, 32, 28}},
                           {128, "@%p1 ld.shared.u32 %r1, [%at];", kLoads, {1, 64, 16, 15}},
                           {128, "st.shared.u32 [%at], %lane;", &KernelStatistics::shared_stores, {1, 128, 32, 31}},
                           {0, "red.shared.add.u32 [%at], %one;", &KernelStatistics::shared_atomics, {1, 128, 32, 31}},
                           {4, "red.shared.add.u32 [%at], %one;", &KernelStatistics::shared_atomics, {1, 128, 1, 0}},
                           {16, kLdmatrix, kMatrices, {1, 512, 4, 0}},
                           {128, kLdmatrix, kMatrices, {1, 512, 32, 28}},
                           {144, kLdmatrix, kMatrices, {1, 512, 4, 0}},
                           {128, "ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%r1}, [%at];", kMatrices, {1, 128, 8, 7}},
                           {64,
                            "stmatrix.sync.aligned.m8n8.x2.shared.b16 [%at], {%r1,%r2};",
                            &KernelStatistics::matrix_stores,
                            {1, 256, 8, 6}}}) {
    const KernelStatistics counts = Count(Strided(test.stride) + test.access);
    EXPECT_EQ(counts.*test.kind, test.expected)
        << test.access << " stride " << test.stride << ": " << (counts.*test.kind).wavefronts << " wavefronts, "
        << (counts.*test.kind).conflicts << " conflicts";
    EXPECT_EQ(counts.global_loads.requests, 0u);
  }
}

TEST(EmulatorStatistics, ParametersAndConstantsAreNoGlobalMemory) {
  // Both as a name and through an address; the address of a constant is generic to ld.const too.
  PtxRunner runner;
  runner.device().emulation()->EnableStatistics(true);
  runner.Run(
      ".reg .b64 %a, %b; mov.b64 %a, p; ld.param.u64 %b, [%a]; mov.u64 %a, table; ld.const.u64 %b, [%a]; "
      "ld.const.u64 %b, [table]; ret;",
      Words(1), {}, ".const .align 8 .b64 table[2] = {1, 2};\n");
  const KernelStatistics counts = runner.device().emulation()->Statistics().at(0);
  EXPECT_EQ(counts.global_loads, MemoryTraffic());
  EXPECT_EQ(counts.instructions, 7u);
}

TEST(EmulatorStatistics, LocalMemoryIsCountedByItself) {
  const KernelStatistics counts = Count(
      ".local .align 8 .b32 stack[8]; mov.u64 %d1, stack; st.local.u32 [%d1], %lane; ld.local.v2.u32 {%r1,%r2}, "
      "[%d1];\n");
  EXPECT_EQ(counts.local_stores, (MemoryTraffic{1, 4, 128, 128}));
  EXPECT_EQ(counts.local_loads, (MemoryTraffic{1, 8, 256, 256}));
  EXPECT_EQ(counts.global_stores, MemoryTraffic());
}

TEST(EmulatorStatistics, CopiesOfLanesAreOneRequestWhateverTheirSizes) {
  struct Case {
    const char* size;
    MemoryTraffic loads;
  };
  for (const Case& test : {Case{"mov.u32 %r9, 16;", {1, 16, 512, 512}},
                           {"selp.u32 %r9, 16, 8, %p1;", {1, 16, 384, 384}},
                           {"selp.u32 %r9, 16, 0, %p1;", {1, 8, 256, 256}},
                           {"mov.u32 %r9, 0;", {0, 0, 0, 0}}}) {
    const KernelStatistics counts =
        Count(Strided(16) + test.size + "cp.async.cg.shared.global [%at], [%g], 16, %r9; cp.async.wait_all;", {}, true);
    EXPECT_EQ(counts.copy_loads, test.loads) << test.size;
    EXPECT_EQ(counts.copy_stores, (SharedTraffic{1, 512, 4, 0})) << test.size;
    EXPECT_EQ(counts.global_loads, MemoryTraffic()) << test.size;
  }
}

constexpr const char* kBarrier =
    "setp.eq.u32 %p1, %lane, 0; @%p1 mbarrier.init.shared.b64 [bar], 1; bar.sync 0;\n"
    "@%p1 mbarrier.arrive.expect_tx.shared.b64 _, [bar], 512; mov.u32 %r10, bar; mov.u32 %r11, tile;\n";
constexpr const char* kWait = "W: mbarrier.try_wait.parity.shared.b64 %p3, [bar], 0; @!%p3 bra W;\n";

TEST(EmulatorStatistics, BulkCopiesAreCountedByBytes) {
  const KernelStatistics counts = Count(
      std::string(kBarrier) +
          "@%p1 cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%r11], [%out], 512, [%r10];\n" +
          kWait +
          "@%p1 cp.async.bulk.global.shared::cta.bulk_group [%out+512], [%r11], 256;\n"
          "@%p1 cp.reduce.async.bulk.global.shared::cta.bulk_group.add.u32 [%out+1024], [%r11], 64;\n"
          "cp.async.bulk.commit_group; cp.async.bulk.wait_group 0;",
      {}, true);
  EXPECT_EQ(counts.bulk_loads, (BulkTraffic{1, 512, 512}));
  EXPECT_EQ(counts.bulk_stores, (BulkTraffic{1, 256, 256}));
  EXPECT_EQ(counts.bulk_reductions, (BulkTraffic{1, 64, 64}));
  EXPECT_EQ(counts.bulk_exchanges, BulkTraffic());
  EXPECT_EQ(counts.multicasts, 0u);
  EXPECT_EQ(counts.cta_barrier_waits, 1u);
  EXPECT_EQ(counts.mbarrier_waits, 1u);
  EXPECT_EQ(counts.global_loads.requests + counts.shared_loads.requests, 0u);
}

TEST(EmulatorStatistics, AMulticastReadsOnceAndWritesToEachCta) {
  PtxRunner runner;
  Emulation& emulation = *runner.device().emulation();
  emulation.EnableStatistics(true);
  const Buffer buffer = runner.device().Allocate(4096);
  runner.device().Fill(buffer.data(), 0, 4096);
  const void* pointer = buffer.data();
  void* args[] = {&pointer};
  const std::string meet = "barrier.cluster.arrive; barrier.cluster.wait;\n";
  const std::string body =
      ".reg .b64 %out; .reg .b32 %rank; .reg .b16 %mask; ld.param.u64 %out, [p]; mov.u32 %rank, %cluster_ctarank;\n" +
      std::string(kStart) + kBarrier + "fence.mbarrier_init.release.cluster;\n" + meet +
      "mov.u16 %mask, 3; setp.eq.and.u32 %p2, %rank, 0, %p1;\n"
      "@%p2 cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster [%r11], [%out], 512, "
      "[%r10], %mask;\n" +
      kWait + "mov.u32 %r3, 0; mapa.shared::cluster.u32 %r4, %r11, %r3; ld.shared::cluster.u32 %r5, [%r4];\n" + meet +
      "ret;";
  runner.Load(runner.Text(".param .u64 p", body))->Launch({2, 1, 1}, {32, 1, 1}, {2, 1, 1}, 0, args, {});
  const KernelStatistics counts = emulation.Statistics().at(0);
  EXPECT_EQ(counts.bulk_loads, (BulkTraffic{1, 512, 1024}));
  EXPECT_EQ(counts.multicasts, 1u);
  EXPECT_EQ(counts.cluster_barrier_waits, 4u);
  // CTA 0 reads its own memory by the same address.
  EXPECT_EQ(counts.remote_requests, 1u);
  EXPECT_EQ(counts.remote_bytes, 128u);
  EXPECT_EQ(counts.shared_loads, (SharedTraffic{1, 128, 1, 0}));
}

TEST(EmulatorStatistics, ABoxReadsNothingOutsideOfItsTensor) {
  // 4 rows of 4 columns at column 6 of 8: half of each row is filled with zeros.
  for (const bool check : {true, false}) {
    const auto state = MakeState("sm_90a", 1, check);
    state->statistics.enabled = true;
    const DeviceBytes memory(state, 256);
    OpaqueMap map = MapOf(memory.as<void>(), MemoryType::kF32, 8, 8, 4, 4, 0);
    void* args[] = {&map};
    const std::string text =
        ".version 8.7\n.target sm_90a\n.address_size 64\n.visible .entry k(.param .align 64 .b8 m[128])\n{\n"
        ".shared .align 128 .b8 tile[64]; .shared .align 8 .b64 bar; .reg .b64 %map; .reg .pred %p; .reg .b32 %s, %b;\n"
        "mov.b64 %map, m; cvta.param.u64 %map, %map; mov.u32 %s, tile; mov.u32 %b, bar;\n"
        "mbarrier.init.shared.b64 [%b], 1; mbarrier.arrive.expect_tx.shared.b64 _, [%b], 64;\n"
        "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%s], [%map, {6, 0}], [%b];\n"
        "W: mbarrier.try_wait.parity.shared.b64 %p, [%b], 0; @!%p bra W; ret;\n}\n";
    LoadPtx(state, text, "k")->Launch({1, 1, 1}, {1, 1, 1}, {1, 1, 1}, 0, args, {});
    EXPECT_EQ(state->statistics.Kernels().at(0).bulk_loads, (BulkTraffic{1, 32, 64})) << check;
  }
}

TEST(EmulatorStatistics, TensorCoresAreCountedByShapeAndTypes) {
  const std::string mma =
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%f0,%f1,%f2,%f3}, {%r0,%r1,%r2,%r3}, {%r4,%r5}, "
      "{%f0,%f1,%f2,%f3};\n";
  const std::string int8 =
      "mma.sync.aligned.m16n8k32.row.col.satfinite.s32.s8.u8.s32 {%r6,%r7,%r8,%r9}, {%r0,%r1,%r2,%r3}, {%r4,%r5}, "
      "{%r6,%r7,%r8,%r9};\n";
  EXPECT_THAT(Count(mma + mma + int8, {{3, 1, 1}, {64, 1, 1}}).products,
              ElementsAre(ProductCount{"mma.m16n8k16.f32.bf16.bf16.f32", 12, 12 * 16 * 8 * 16},
                          ProductCount{"mma.m16n8k32.s32.s8.u8.s32", 6, 6 * 16 * 8 * 32}));
  // The four warps of a warpgroup execute one product.
  const std::string wgmma =
      "mov.u64 %d1, 0; wgmma.fence.sync.aligned;\n"
      "wgmma.mma_async.sync.aligned.m64n8k16.f32.f16.f16 {%f0,%f1,%f2,%f3}, %d1, %d1, %p2, 1, 1, 0, 0;\n"
      "wgmma.commit_group.sync.aligned; wgmma.wait_group.sync.aligned 0;";
  const KernelStatistics counts = Count(wgmma, {{2, 1, 1}, {256, 1, 1}});
  EXPECT_THAT(counts.products, ElementsAre(ProductCount{"wgmma.m64n8k16.f32.f16.f16", 4, 4 * 64 * 8 * 16}));
  EXPECT_EQ(counts.rounds, 1u);
}

TEST(EmulatorStatistics, InstructionsAreCountedByClassAndDivergence) {
  RunOptions options;
  PtxRunner runner("sm_80", options);
  runner.device().emulation()->EnableStatistics(true);
  runner.Run(
      ".reg .b32 %l, %r; .reg .pred %p; mov.u32 %l, %laneid; setp.lt.u32 %p, %l, 16;\n"
      "@%p bra A; add.u32 %r, %l, 1; add.u32 %r, %r, 1;\nA: add.u32 %r, %r, 1; bra B;\nB: ret;",
      Words(1));
  const KernelStatistics counts = runner.device().emulation()->Statistics().at(0);
  EXPECT_EQ(counts.instructions, 9u);  // The first loads the parameter.
  EXPECT_EQ(counts.lane_instructions, 6u * 32 + 3 * 16);
  EXPECT_EQ(counts.divergent_instructions, 2u);
  EXPECT_EQ(counts.branches, 2u);
  EXPECT_EQ(counts.divergent_branches, 1u);
  EXPECT_THAT(counts.classes, ElementsAre(ClassCount{"integer", 3}, ClassCount{"compare", 1}, ClassCount{"move", 1},
                                          ClassCount{"memory", 1}, ClassCount{"control", 3}));
}

/// A kernel with barriers, polls, shared and global memory, which has no faults.
constexpr const char* kBusy =
    "mul.wide.u32 %o, %lane, 4; add.u64 %g, %out, %o; mov.u32 %at, tile; mad.lo.u32 %at, %lane, 132, %at;\n"
    "st.shared.u32 [%at], %lane; bar.sync 0; ld.shared.u32 %r1, [%at]; atom.global.add.u32 %r2, [%out], %r1;\n"
    "@%p1 bra X; add.u32 %r1, %r1, 5;\nX: add.u32 %r1, %r1, %r2; mov.u32 %r5, %ctaid.x; mul.wide.u32 %d1, %r5, 384;\n"
    "add.u64 %g, %g, %d1; st.global.u32 [%g+512], %r1;";

TEST(EmulatorStatistics, NeitherThreadsNorChecksChangeThem) {
  const LaunchShape shape{{40, 1, 1}, {96, 1, 1}};
  const KernelStatistics one = Count(kBusy, shape, false, "sm_90a", 1);
  EXPECT_EQ(one, Count(kBusy, shape, false, "sm_90a", 2));
  EXPECT_EQ(one, Count(kBusy, shape, true, "sm_90a", 2));
  EXPECT_EQ(one.shared_stores, (SharedTraffic{120, 120 * 128, 120, 0}));
  EXPECT_EQ(one.global_atomics.requests, 120u);
  EXPECT_EQ(one.cta_barrier_waits, 120u);
}

TEST(EmulatorStatistics, AreOffAtFirstAndAddUpByKernel) {
  PtxRunner runner;
  Emulation& emulation = *runner.device().emulation();
  runner.Run("ret;", Words(1));
  EXPECT_THAT(emulation.Statistics(), IsEmpty());
  emulation.EnableStatistics(true);
  for (int i = 0; i < 3; ++i) runner.Run("ret;", Words(1), {{2, 1, 1}, {64, 1, 1}});
  const Buffer buffer = runner.device().Allocate(4);
  const void* pointer = buffer.data();
  void* args[] = {&pointer};
  runner.Load(runner.Header() + ".visible .entry other(.param .u64 p)\n{\nret;\n}\n", "other")
      ->Launch({1, 1, 1}, {32, 1, 1}, {1, 1, 1}, 0, args, {});
  // A launch that fails is none of them.
  EXPECT_NE(runner.ErrorOf("trap;", 1), "");
  emulation.EnableStatistics(false);
  runner.Run("ret;", Words(1));
  const std::vector<KernelStatistics> kernels = emulation.Statistics();
  ASSERT_EQ(kernels.size(), 2u);
  EXPECT_EQ(kernels[0].kernel, "k");
  EXPECT_EQ(kernels[0].launches, 3u);
  EXPECT_EQ(kernels[0].instructions, 3u * 4 * 2);
  EXPECT_THAT(kernels[0].classes, ElementsAre(ClassCount{"memory", 12}, ClassCount{"control", 12}));
  EXPECT_EQ(kernels[1].kernel, "other");
  EXPECT_EQ(kernels[1].instructions, 1u);
  emulation.ClearStatistics();
  EXPECT_THAT(emulation.Statistics(), IsEmpty());
}

TEST(EmulatorSeeds, TheSeedOfADeviceIsThatOfLaunchesToCome) {
  // Eight warps take a number each.
  const std::string body =
      std::string(kStart) +
      "mov.u32 %at, tile; setp.eq.u32 %p1, %lane, 0; @%p1 st.shared.u32 [%at], 0; bar.sync 0; and.b32 %r1, %lane, 31;\n"
      "setp.ne.u32 %p1, %r1, 0; @%p1 exit; atom.shared.add.u32 %r2, [%at], 1; mul.wide.u32 %o, %lane, 4;\n"
      "add.u64 %g, %out, %o; st.global.u32 [%g], %r2; ret;";
  const LaunchShape shape{{1, 1, 1}, {256, 1, 1}};
  PtxRunner runner;
  Emulation& emulation = *runner.device().emulation();
  EXPECT_EQ(emulation.seed(), 1u);
  std::set<Words> orders;
  for (const std::uint64_t seed : {1, 2, 3, 4, 5, 6, 7, 8}) {
    emulation.SetSeed(seed);
    EXPECT_EQ(emulation.seed(), seed);
    const Words words = runner.Run(body, Words(256), shape);
    RunOptions options;
    options.seed = seed;
    EXPECT_EQ(PtxRunner("sm_90a", options).Run(body, Words(256), shape), words) << seed;
    orders.insert(words);
  }
  EXPECT_GT(orders.size(), 1u);
}

}  // namespace
}  // namespace gemmsmith::emulator
