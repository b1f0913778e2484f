// A kernel of cp.async, ldmatrix and mma.sync, as NVRTC makes it, against float64.
#include <gmock/gmock.h>

#include "../support/emulated_gemm.h"

namespace gemmsmith::emulator {
namespace {

/// Tiles of (64, 64) by four warps; three stages of 32 of k, their 16-byte pieces swizzled.
constexpr const char* kAmpere = R"(
using u32 = unsigned;
constexpr int kStages = 3, kStage = 64 * 64;
__device__ __forceinline__ u32 At(u32 tile, int row, int piece) { return tile + row * 64 + ((piece ^ (row >> 1 & 3)) * 16); }
__device__ __forceinline__ void Copy(u32 tile, const unsigned short* from, int row0, int rows, int k0, int k) {
  for (int i = threadIdx.x; i < 256; i += 128) {
    const int row = i / 4, piece = i % 4;
    const bool inside = row0 + row < rows && k0 + piece * 8 < k;
    const unsigned short* at = inside ? from + (size_t)(row0 + row) * k + k0 + piece * 8 : from;
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(At(tile, row, piece)), "l"(at), "r"(inside ? 16 : 0) : "memory");
  }
}
__device__ __forceinline__ void Fragments(u32 (&r)[4], u32 at) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];" : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(at) : "memory");
}
extern "C" __global__ void __launch_bounds__(128)
Gemm(const unsigned short* a, const unsigned short* b, unsigned short* d, int m, int n, int k) {
  __shared__ __align__(128) unsigned char smem[2 * kStages * kStage];
  const u32 sa = (u32)__cvta_generic_to_shared(smem), sb = sa + kStages * kStage;
  const int m0 = blockIdx.y * 64, n0 = blockIdx.x * 64, steps = (k + 31) / 32;
  const int lane = threadIdx.x % 32, wm = threadIdx.x / 32 % 2 * 32, wn = threadIdx.x / 64 * 32;
  float c[2][4][4] = {};
  auto load = [&](int i) {
    if (i < steps) {
      Copy(sa + i % kStages * kStage, a, m0, m, i * 32, k);
      Copy(sb + i % kStages * kStage, b, n0, n, i * 32, k);
    }
    asm volatile("cp.async.commit_group;" ::: "memory");
  };
  load(0);
  load(1);
  for (int i = 0; i < steps; i++) {
    asm volatile("cp.async.wait_group 1;" ::: "memory");
    __syncthreads();
    load(i + 2);
    for (int kk = 0; kk < 2; kk++) {
      u32 fa[2][4], fb[2][4];
      for (int j = 0; j < 2; j++) {
        Fragments(fa[j], At(sa + i % kStages * kStage, wm + j * 16 + lane % 16, kk * 2 + lane / 16));
        Fragments(fb[j], At(sb + i % kStages * kStage, wn + j * 16 + lane % 8 + lane / 16 * 8, kk * 2 + lane / 8 % 2));
      }
#pragma unroll
      for (int x = 0; x < 2; x++)
#pragma unroll
        for (int y = 0; y < 4; y++)
          asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
              : "+f"(c[x][y][0]), "+f"(c[x][y][1]), "+f"(c[x][y][2]), "+f"(c[x][y][3])
              : "r"(fa[x][0]), "r"(fa[x][1]), "r"(fa[x][2]), "r"(fa[x][3]), "r"(fb[y / 2][y % 2 * 2]), "r"(fb[y / 2][y % 2 * 2 + 1]));
    }
  }
  for (int x = 0; x < 2; x++)
    for (int y = 0; y < 4; y++)
      for (int e = 0; e < 4; e++) {
        const int row = m0 + wm + x * 16 + lane / 4 + e / 2 * 8, column = n0 + wn + y * 8 + lane % 4 * 2 + e % 2;
        unsigned short half;
        asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(half) : "f"(c[x][y][e]));
        if (row < m && column < n) d[(size_t)row * n + column] = half;
      }
}
)";

class EmulatedAmpere : public testing::Test {
 protected:
  void SetUp() override {
    ptx_ = CompileToPtx(kAmpere, "Gemm", "sm_80", &name_);
    if (ptx_.empty()) GTEST_SKIP() << "there is no NVRTC";
  }
  std::string Run(const std::string& ptx, int m, int n, int k, std::uint64_t seed, int threads = 0) const {
    const auto state = MakeState("sm_80", seed);
    state->options.threads = threads;
    const auto kernel = LoadPtx(state, ptx, name_);
    const Bf16Gemm gemm(state, m, n, k);
    const void *a = gemm.a.as<void>(), *b = gemm.b.as<void>(), *d = gemm.d.as<void>();
    void* args[] = {&a, &b, &d, &m, &n, &k};
    const Dim3 grid{static_cast<std::uint32_t>((n + 63) / 64), static_cast<std::uint32_t>((m + 63) / 64), 1};
    try {
      kernel->Launch(grid, {128, 1, 1}, {1, 1, 1}, 0, args, {});
    } catch (const Error& error) {
      return error.what();
    }
    return gemm.Check();
  }
  std::string ptx_, name_;
};

TEST_F(EmulatedAmpere, MultipliesRaggedShapesWhateverTheSeedAndThreads) {
  std::uint64_t seed = 1;
  for (const auto& [m, n, k] : {std::array{64, 64, 64}, {100, 132, 160}, {1, 7, 8}, {65, 63, 40}, {128, 64, 256}})
    for (const int threads : {1, 2}) EXPECT_EQ(Run(ptx_, m, n, k, seed++, threads), "") << m << "x" << n << "x" << k;
}

TEST_F(EmulatedAmpere, AMissingWaitGivesWrongResults) {
  const std::string wait = "cp.async.wait_group 1;";
  std::string ptx = ptx_;
  const std::size_t at = ptx.find(wait);
  ASSERT_NE(at, ptx.npos);
  ptx.erase(at, wait.size());
  EXPECT_NE(Run(ptx, 64, 64, 256, 1), "");
}

}  // namespace
}  // namespace gemmsmith::emulator
