// A kernel of sm_100a that compilers made: TMA in, tcgen05 products into tensor memory, and out through registers.
#include <gmock/gmock.h>

#include "../support/emulated_gemm.h"

namespace gemmsmith::emulator {
namespace {

using testing::ContainsRegex;

/// One tile of (128, 128) per CTA. Warp 0 feeds a ring of TMA copies, warp 1 multiplies, all four then store. kForm:
/// the instruction descriptor; kElement: bytes.
constexpr const char* kSource = R"(
using u32 = unsigned; using u64 = unsigned long long;
struct alignas(64) Map { u64 words[16]; };
constexpr int kStages = 3, kStage = 128 * 128, kColumns = 128;
__device__ __forceinline__ u32 Shared(const void* p) { return (u32)__cvta_generic_to_shared(p); }
__device__ __forceinline__ void Wait(u32 bar, u32 parity) {
  asm volatile("{\n.reg .pred p;\nW: mbarrier.try_wait.parity.shared::cta.b64 p, [%0], %1;\n@!p bra W;\n}" ::"r"(bar), "r"(parity) : "memory");
}
__device__ __forceinline__ void Load(u32 to, const Map* map, u32 bar, int x, int y) {
  asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4}], [%2];"
               ::"r"(to), "l"(map), "r"(bar), "r"(x), "r"(y) : "memory");
}
// 128-byte swizzle, 8 rows every 1024 bytes.
__device__ __forceinline__ u64 Descriptor(u32 at) {
  return (u64)(at >> 4) | (u64)1 << 16 | (u64)64 << 32 | (u64)1 << 46 | (u64)2 << 61;
}
__device__ __forceinline__ void Multiply(u32 d, u64 a, u64 b, bool adds) {
  asm volatile("{\n.reg .pred p;\nsetp.ne.u32 p, %4, 0;\ntcgen05.mma.cta_group::1.kind::" KIND " [%0], %1, %2, %3, p;\n}"
               ::"r"(d), "l"(a), "l"(b), "r"(kForm), "r"((u32)adds) : "memory");
}
__device__ __forceinline__ void Commit(u32 bar) {
  asm volatile("tcgen05.commit.cta_group::1.mbarrier::arrive::one.shared::cluster.b64 [%0];" ::"r"(bar) : "memory");
}
extern "C" __global__ void __launch_bounds__(128, 1)
Gemm(const __grid_constant__ Map ma, const __grid_constant__ Map mb, float* d, int m, int n, int k) {
  extern __shared__ __align__(1024) unsigned char smem[];
  __shared__ u64 bars[2 * kStages + 1];
  __shared__ u32 slot;
  const u32 a = Shared(smem), b = a + kStages * kStage, full = Shared(bars), empty = full + 8 * kStages;
  const u32 done = empty + 8 * kStages;
  const int m0 = blockIdx.y * 128, n0 = blockIdx.x * kColumns, warp = threadIdx.x / 32;
  const int per_step = 128 / kElement, steps = (k + per_step - 1) / per_step;
  if (warp == 0) {
    asm volatile("tcgen05.alloc.cta_group::1.sync.aligned.shared::cta.b32 [%0], 128;" ::"r"(Shared(&slot)) : "memory");
    asm volatile("tcgen05.relinquish_alloc_permit.cta_group::1.sync.aligned;" ::: "memory");
  }
  if (threadIdx.x == 0) {
    for (int s = 0; s < 2 * kStages + 1; s++) asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;" ::"r"(full + 8 * s));
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
  }
  asm volatile("tcgen05.fence::before_thread_sync;" ::: "memory");
  __syncthreads();
  asm volatile("tcgen05.fence::after_thread_sync;" ::: "memory");
  const u32 tensor = slot;
  if (threadIdx.x == 0) {
    for (int i = 0; i < steps; i++) {
      const int s = i % kStages;
      Wait(empty + 8 * s, (i / kStages & 1) ^ 1);
      asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(full + 8 * s), "r"(2 * kStage) : "memory");
      Load(a + s * kStage, &ma, full + 8 * s, i * per_step, m0);
      Load(b + s * kStage, &mb, full + 8 * s, i * per_step, n0);
    }
  } else if (threadIdx.x == 32) {
    for (int i = 0; i < steps; i++) {
      const int s = i % kStages;
      Wait(full + 8 * s, i / kStages & 1);
      asm volatile("tcgen05.fence::after_thread_sync;" ::: "memory");
#pragma unroll
      for (int kk = 0; kk < 4; kk++)  // 32 bytes of k each
        Multiply(tensor, Descriptor(a + s * kStage) + kk * 2, Descriptor(b + s * kStage) + kk * 2, i != 0 || kk != 0);
      Commit(empty + 8 * s);
    }
    Commit(done);
  }
  __syncwarp();
  Wait(done, 0);
  asm volatile("tcgen05.fence::after_thread_sync;" ::: "memory");
  const int row = m0 + threadIdx.x;
  for (int c = 0; c < kColumns; c += 8) {
    u32 r[8];
    asm volatile("tcgen05.ld.sync.aligned.32x32b.x8.b32 {%0,%1,%2,%3,%4,%5,%6,%7}, [%8];"
      : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]), "=r"(r[4]), "=r"(r[5]), "=r"(r[6]), "=r"(r[7])
      : "r"(tensor + (warp << 21) + c));
    asm volatile("tcgen05.wait::ld.sync.aligned;" ::: "memory");
    for (int i = 0; i < 8; i++)
      if (row < m && n0 + c + i < n) d[(long long)row * n + n0 + c + i] = __uint_as_float(r[i]);
  }
  asm volatile("tcgen05.fence::before_thread_sync;" ::: "memory");
  __syncthreads();
  if (warp == 0) asm volatile("tcgen05.dealloc.cta_group::1.sync.aligned.b32 %0, 128;" ::"r"(tensor));
}
)";

struct GemmType {
  const char *name, *kind;
  int bytes;
  unsigned form;  ///< m128n128, K-major, sums in f32.
  float (*widen)(std::uint32_t);
  std::uint32_t (*narrow)(float);
};
const GemmType kTypes[] = {
    {"bf16", "f16", 2, 0x08200490, [](std::uint32_t x) { return Bf16ToF32(static_cast<std::uint16_t>(x)); },
     [](float x) { return std::uint32_t{F32ToBf16(x)}; }},
    {"e4m3", "f8f6f4", 1, 0x08200010, [](std::uint32_t x) { return E4m3ToF32(static_cast<std::uint8_t>(x)); },
     [](float x) { return std::uint32_t{F32ToE4m3(x)}; }},
};

class EmulatedBlackwell : public testing::TestWithParam<GemmType> {
 protected:
  void SetUp() override {
    const GemmType& type = GetParam();
    const std::string source =
        fmt::format("#define KIND \"{}\"\nconstexpr unsigned kForm = {:#x};\nconstexpr int kElement = {};\n", type.kind,
                    type.form, type.bytes) +
        kSource;
    ptx_ = CompileToPtx(source, "Gemm", "sm_100a", &name_);
    if (ptx_.empty()) GTEST_SKIP() << "there is no NVRTC";
  }
  /// What is wrong, or empty. Against float64: each sum of f32 rounds once per product.
  std::string Run(const std::string& ptx, int m, int n, int k, std::uint64_t seed, bool check = true) const {
    const GemmType& type = GetParam();
    const auto state = MakeState("sm_100a", seed, check);
    const auto kernel = LoadPtx(state, ptx, name_);
    const auto bytes = static_cast<std::size_t>(type.bytes);
    const auto size = [](int x, int y) { return static_cast<std::size_t>(x) * static_cast<std::size_t>(y); };
    const DeviceBytes a(state, size(m, k) * bytes), b(state, size(n, k) * bytes), d(state, size(m, n) * 4);
    std::mt19937 random(static_cast<unsigned>(seed));
    const auto fill = [&](const DeviceBytes& to, std::size_t count) {
      for (std::size_t i = 0; i < count; ++i) {
        const std::uint32_t value = type.narrow(static_cast<float>(static_cast<int>(random() % 2001) - 1000) / 500.0f);
        std::memcpy(to.as<std::byte>() + i * bytes, &value, bytes);
      }
    };
    fill(a, size(m, k));
    fill(b, size(n, k));
    std::fill_n(d.as<float>(), size(m, n), 12345.0f);
    const MemoryType element = type.bytes == 2 ? MemoryType::kBf16 : MemoryType::kU8;
    OpaqueMap ma = MapOf(a.as<void>(), element, m, k, 128, 128 / type.bytes, 3);
    OpaqueMap mb = MapOf(b.as<void>(), element, n, k, 128, 128 / type.bytes, 3);
    float* out = d.as<float>();
    void* args[] = {&ma, &mb, &out, &m, &n, &k};
    const Dim3 grid{static_cast<std::uint32_t>((n + 127) / 128), static_cast<std::uint32_t>((m + 127) / 128), 1};
    try {
      kernel->Launch(grid, {128, 1, 1}, {1, 1, 1}, 2 * 3 * 16384, args, {});
    } catch (const Error& error) {
      return error.what();
    }
    const auto at = [&](const DeviceBytes& from, std::size_t i) {
      std::uint32_t value = 0;
      std::memcpy(&value, from.as<std::byte>() + i * bytes, bytes);
      return static_cast<double>(type.widen(value));
    };
    for (int row = 0; row < m; ++row)
      for (int column = 0; column < n; ++column) {
        double sum = 0, magnitude = 0;
        for (int i = 0; i < k; ++i) {
          const double product =
              at(a, size(row, k) + static_cast<std::size_t>(i)) * at(b, size(column, k) + static_cast<std::size_t>(i));
          sum += product;
          magnitude += std::abs(product);
        }
        const double got = out[size(row, n) + static_cast<std::size_t>(column)];
        if (!(std::abs(got - sum) <= magnitude * k * 0x1p-24))
          return fmt::format("({}, {}) is {}, not {}", row, column, got, sum);
      }
    return "";
  }
  /// The PTX with each `what` replaced.
  std::string With(const std::string& what, const std::string& instead) const {
    std::string text = ptx_;
    EXPECT_NE(text.find(what), text.npos) << what;
    for (std::size_t at = text.find(what); at != text.npos; at = text.find(what, at + instead.size()))
      text.replace(at, what.size(), instead);
    return text;
  }
  std::string ptx_, name_;
};

TEST_P(EmulatedBlackwell, MultipliesRaggedShapesWhateverTheSeed) {
  std::uint64_t seed = 1;
  for (const auto& [m, n, k] : {std::array{128, 128, 128}, {200, 264, 320}, {72, 136, 80}, {8, 8, 16}, {128, 256, 640}})
    for (int i = 0; i < 2; ++i, ++seed)
      EXPECT_EQ(Run(ptx_, m, n, k, seed, i == 0), "") << m << "x" << n << "x" << k << " seed " << seed;
}

TEST_P(EmulatedBlackwell, WhatIsLeftOutIsFoundWhateverTheSeed) {
  struct Case {
    const char *what, *instead, *message;
  };
  for (const Case& test : {
           Case{"tcgen05.wait::ld.sync.aligned;", "",
                "dealloc.*overwrite of what an asynchronous operation still uses"},
           Case{"tcgen05.commit.cta_group::1", "// ", "deadlock"},
           Case{"tcgen05.dealloc.cta_group::1.sync.aligned.b32", "// ", "128 columns of tensor memory are allocated"},
           Case{"mbarrier.arrive.expect_tx.shared::cta.b64 _,", "mbarrier.expect_tx.shared::cta.b64", "deadlock"},
           Case{"tcgen05.alloc.cta_group::1.sync.aligned.shared::cta.b32 [", "// [", "uninitialised|not all allocated"},
       })
    for (std::uint64_t seed = 1; seed <= 3; ++seed)
      EXPECT_THAT(Run(With(test.what, test.instead), 128, 128, 768, seed), ContainsRegex(test.message)) << test.what;
  // The last wait of the kernel is for the products.
  std::string text = ptx_;
  const std::size_t wait = text.rfind("mbarrier.try_wait");
  ASSERT_NE(wait, text.npos);
  text.replace(wait, std::string_view("mbarrier.try_wait").size(), "setp.eq.u32 p, 0, 0; //");
  for (std::uint64_t seed = 1; seed <= 3; ++seed)
    EXPECT_THAT(
        Run(text, 128, 128, 768, seed),
        ContainsRegex("read before the asynchronous operation completed: tensor memory|uninitialised read: tensor"));
}

INSTANTIATE_TEST_SUITE_P(Types, EmulatedBlackwell, testing::ValuesIn(kTypes),
                         [](const auto& info) { return "Of" + std::string(info.param.name); });

}  // namespace
}  // namespace gemmsmith::emulator
