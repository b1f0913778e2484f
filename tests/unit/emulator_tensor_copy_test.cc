// cp.async.bulk.tensor of every rank, its reductions, and tensor maps that kernels change.
#include <gmock/gmock.h>

#include <numeric>

#include "../support/emulated_gemm.h"

namespace gemmsmith::emulator {
namespace {

using testing::HasSubstr;

/// A tensor of f32 with its map, and a kernel of one thread with [map] and [out].
struct TensorRun {
  std::shared_ptr<DeviceState> state = MakeState("sm_90a");
  DeviceBytes memory{state, 4096}, copy{state, 4096};
  TensorMap map;
  explicit TensorRun(int rank) {
    std::iota(memory.as<float>(), memory.as<float>() + 1024, 1.0f);
    std::fill(copy.as<float>(), copy.as<float>() + 1024, 0.5f);
    map.type = MemoryType::kF32;
    map.rank = rank;
    map.address = reinterpret_cast<std::uint64_t>(memory.as<void>());
    map.dims = {8, 4, 4, 2, 2};
    map.strides = {32, 128, 512, 1024};
    map.box = {4, 2, 2, 2, 2};
  }
  std::string Launch(const std::string& body) {
    const std::string text = fmt::format(
        ".version 8.7\n.target sm_90a\n.address_size 64\n.visible .entry k(.param .align 64 .b8 m[128], .param .u64 "
        "p)\n{{\n"
        ".shared .align 128 .b8 tile[2048]; .shared .align 128 .b8 other[128]; .shared .align 8 .b64 bar; .reg .b64 "
        "%map, %out, %x; .reg .b32 %s, %b, %i; .reg .f32 %f; .reg .pred %p, %q;\n"
        "mov.b64 %map, m; cvta.param.u64 %map, %map; ld.param.u64 %out, [p]; mov.u32 %s, tile; mov.u32 %b, bar;\n{}\n "
        "ret;\n}}\n",
        body);
    OpaqueMap opaque;
    map.EncodeAnyway(opaque.bytes);
    const void* out = copy.as<void>();
    void* args[] = {&opaque, &out};
    try {
      LoadPtx(state, text, "k")->Launch({1, 1, 1}, {1, 1, 1}, {1, 1, 1}, 0, args, {});
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }
};
constexpr const char* kNames[] = {"", "{1}", "{1, 2}", "{1, 2, 1}", "{1, 2, 1, 0}", "{1, 2, 1, 0, 1}"};

std::string Load(int rank, int bytes, const char* map = "%map") {
  return fmt::format(
      "mbarrier.init.shared.b64 [%b], 1; mbarrier.arrive.expect_tx.shared.b64 _, [%b], {};\n"
      "cp.async.bulk.tensor.{}d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%s], [{}, {}], [%b];\n"
      "W: mbarrier.try_wait.parity.shared.b64 %p, [%b], 0; @!%p bra W;\n",
      bytes, rank, map, kNames[rank]);
}
/// All of the tile to the output.
std::string Dump(int bytes) {
  return fmt::format(
      "cp.async.bulk.global.shared::cta.bulk_group [%out], [%s], {}; cp.async.bulk.commit_group; "
      "cp.async.bulk.wait_group 0;",
      bytes);
}

TEST(EmulatorTensorCopy, LoadsBoxesOfEveryRank) {
  for (int rank = 1; rank <= 5; ++rank) {
    TensorRun run(rank);
    const int count = 4 << (rank - 1);
    ASSERT_EQ(run.Launch(Load(rank, 4 * count) + Dump(4 * count)), "") << rank;
    constexpr int kOrigin[] = {1, 2, 1, 0, 1};
    for (int e = 0; e < count; ++e) {
      float expected = 1;
      bool inside = true;
      for (int d = 0, rest = e; d < rank; ++d) {
        const int size = d == 0 ? 4 : 2, at = kOrigin[d] + rest % size;
        rest /= size;
        inside = inside && at < static_cast<int>(run.map.dims[static_cast<std::size_t>(d)]);
        expected += static_cast<float>(at) *
                    static_cast<float>(d == 0 ? 1 : run.map.strides[static_cast<std::size_t>(d - 1)] / 4);
      }
      EXPECT_EQ(run.copy.as<float>()[e], inside ? expected : 0) << "rank " << rank << " element " << e;
    }
  }
}

TEST(EmulatorTensorCopy, StoresAndReducesBoxes) {
  const std::string fill =
      "mov.u32 %i, 0; L: add.u32 %b, %s, %i; mov.f32 %f, 0f40000000; st.shared.f32 [%b], %f; add.u32 %i, %i, 4; "
      "setp.lt.u32 %p, %i, 32; @%p bra L; fence.proxy.async;\n";
  const std::string end = "cp.async.bulk.commit_group; cp.async.bulk.wait_group 0;";
  TensorRun run(2);
  ASSERT_EQ(run.Launch(fill + "cp.async.bulk.tensor.2d.global.shared::cta.bulk_group [%map, {4, 3}], [%s];" + end), "");
  for (int e = 0; e < 4; ++e) EXPECT_EQ(run.memory.as<float>()[28 + e], 2.0f);
  EXPECT_EQ(run.memory.as<float>()[32], 33.0f);  // Row 4 is outside of the tensor.
  ASSERT_EQ(
      run.Launch(fill + "cp.reduce.async.bulk.tensor.2d.global.shared::cta.add.tile.bulk_group [%map, {4, 2}], [%s];" +
                 end),
      "");
  EXPECT_EQ(run.memory.as<float>()[28], 4.0f);
  EXPECT_EQ(run.memory.as<float>()[20], 23.0f);
}

TEST(EmulatorTensorCopy, AKernelMayReplaceEveryField) {
  TensorRun run(2);
  const TensorMap wanted = run.map;
  run.map = TensorMap{};
  run.map.rank = 1;
  // The map is made in shared memory, and handed over by way of the output's last 128 bytes.
  const std::string copy =
      "mov.u32 %b, other; mov.u32 %i, 0; L: cvt.u64.u32 %x, %i; add.u64 %x, %map, %x; ld.u32 %s, [%x]; st.shared.u32 "
      "[%b], %s; add.u32 %b, %b, 4; add.u32 %i, %i, 4; setp.lt.u32 %p, %i, 128; @%p bra L;\n";
  const std::string fields = fmt::format(
      "tensormap.replace.tile.global_address.shared::cta.b1024.b64 [other], {:#x}; "
      "tensormap.replace.tile.rank.shared::cta.b1024.b32 [other], 1;\n"
      "tensormap.replace.tile.box_dim.shared::cta.b1024.b32 [other], 0, 4; "
      "tensormap.replace.tile.box_dim.shared::cta.b1024.b32 [other], 1, 2;\n"
      "tensormap.replace.tile.global_dim.shared::cta.b1024.b32 [other], 0, 8; "
      "tensormap.replace.tile.global_dim.shared::cta.b1024.b32 [other], 1, 4;\n"
      "tensormap.replace.tile.global_stride.shared::cta.b1024.b64 [other], 0, 32; "
      "tensormap.replace.tile.element_stride.shared::cta.b1024.b32 [other], 0, 1;\n"
      "tensormap.replace.tile.element_stride.shared::cta.b1024.b32 [other], 1, 1; "
      "tensormap.replace.tile.elemtype.shared::cta.b1024.b32 [other], 7;\n"
      "tensormap.replace.tile.interleave_layout.shared::cta.b1024.b32 [other], 0; "
      "tensormap.replace.tile.swizzle_mode.shared::cta.b1024.b32 [other], 0;\n"
      "tensormap.replace.tile.fill_mode.shared::cta.b1024.b32 [other], 1;\n",
      wanted.address);
  // One lane alone cannot execute the .aligned copy: plain stores do it.
  const std::string back =
      "mov.u32 %b, other; mov.u32 %i, 0; add.u64 %map, %out, 3968; M: cvt.u64.u32 %x, %i; add.u64 %x, %map, %x; "
      "ld.shared.u32 %s, [%b]; st.u32 [%x], %s; add.u32 %b, %b, 4; add.u32 %i, %i, 4; setp.lt.u32 %p, %i, 128; @%p bra "
      "M;\n"
      "fence.proxy.tensormap::generic.acquire.gpu [%map], 128; mov.u32 %s, tile; mov.u32 %b, bar;\n";
  ASSERT_EQ(run.Launch(copy + fields + back + Load(2, 32) + Dump(32)), "");
  const float* const out = run.copy.as<float>();
  EXPECT_EQ(std::vector<float>(out, out + 8), (std::vector<float>{18, 19, 20, 21, 26, 27, 28, 29}));
}

TEST(EmulatorTensorCopy, MisuseIsAnError) {
  TensorRun run(2);
  EXPECT_THAT(run.Launch(Load(3, 32)), HasSubstr("3 coordinates for a tensor map of rank 2"));
  EXPECT_THAT(run.Launch("add.u32 %s, %s, 64;" + Load(2, 32)), HasSubstr("align it to 128 bytes"));
  EXPECT_THAT(run.Launch("add.u32 %s, %s, 1024; add.u32 %s, %s, 1280;" + Load(2, 32)),
              HasSubstr("outside of shared memory"));
  EXPECT_THAT(run.Launch(Load(2, 48)), HasSubstr("16 bytes to come"));
  EXPECT_THAT(run.Launch("mov.b64 %map, %out;" + Load(2, 32)), HasSubstr("no tensor map"));
  EXPECT_THAT(run.Launch("add.u64 %map, %out, 16;" + Load(2, 32)), HasSubstr("64-byte alignment"));
  EXPECT_THAT(run.Launch("cp.async.bulk.tensor.3d.shared::cluster.global.im2col.mbarrier::complete_tx::bytes [%s], "
                         "[%map, {1, 2, 3}], [%b], {};"),
              testing::AllOf(HasSubstr("im2col"), HasSubstr("ptx:8")));
  run.map.dims[1] = 64;
  run.map.strides[0] = 128;
  EXPECT_THAT(
      run.Launch(
          "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%s], [%map, {0, 40}], [%b];"),
      testing::AnyOf(HasSubstr("past the end"), HasSubstr("has ended")));  // Whichever the seed brings first.
}

}  // namespace
}  // namespace gemmsmith::emulator
