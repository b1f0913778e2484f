// D (m, n) = A (m, k) * B (n, k) transposed, in bf16: a kernel with all that can go wrong on Hopper, in which
// emulator_mutants_test plants bugs. Two CTAs of a cluster share B, of which each loads a half for both. One warp
// loads, two warpgroups multiply, through a ring of stages; tiles of D leave by way of shared memory. Each CTA makes a
// row of tiles, so that all of it is used again.
//
// NVRTC compiles it, without headers. Instructions stand one to a line, as the test reads PTX.

using u16 = unsigned short;
using u32 = unsigned;
using u64 = unsigned long long;
struct alignas(64) TensorMap {
  u64 words[16];
};

enum : int {
  kCtas = 2,
  kGroups = 2,
  kBlockM = 128,
  kBlockN = 64,
  kBlockK = 64,
  kStages = 3,
  kRowBytes = kBlockK * 2,
  kBytesA = kBlockM * kRowBytes,
  kBytesB = kBlockN * kRowBytes,
  kStageBytes = kBytesA + kBytesB,
  kGroupRows = kBlockM / kGroups,
  kOutBytes = kGroupRows * kBlockN * 2,
  kShareN = kBlockN / kCtas,
  kSwizzle = 128,
  kAtomRows = 8
};

__device__ __forceinline__ u32 SharedAddress(const void* pointer) {
  return static_cast<u32>(__cvta_generic_to_shared(pointer));
}
__device__ __forceinline__ u32 ClusterRank() {
  u32 rank;
  asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
  return rank;
}
__device__ __forceinline__ void Init(u32 barrier, u32 arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(barrier), "r"(arrivals) : "memory");
}
__device__ __forceinline__ void ExpectBytes(u32 barrier, u32 bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(barrier), "r"(bytes) : "memory");
}
__device__ __forceinline__ void ArriveAt(u32 barrier, u32 cta) {
  u32 there;
  asm volatile("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(there) : "r"(barrier), "r"(cta));
  asm volatile("mbarrier.arrive.release.cluster.shared::cluster.b64 _, [%0];" ::"r"(there) : "memory");
}
__device__ __forceinline__ void Wait(u32 barrier, u32 parity) {
  asm volatile(
      "{\n"
      ".reg .pred ended;\n"
      "AGAIN:\n"
      "mbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 ended, [%0], %1;\n"
      "@!ended bra AGAIN;\n"
      "}" ::"r"(barrier),
      "r"(parity)
      : "memory");
}
__device__ __forceinline__ void Load(u32 to, const TensorMap* map, u32 barrier, int x, int y) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4}], [%2];" ::"r"(
          to),
      "l"(map), "r"(barrier), "r"(x), "r"(y)
      : "memory");
}
__device__ __forceinline__ void LoadForAll(u32 to, const TensorMap* map, u32 barrier, int x, int y, u16 ctas) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster [%0], [%1, {%3, "
      "%4}], [%2], %5;" ::"r"(to),
      "l"(map), "r"(barrier), "r"(x), "r"(y), "h"(ctas)
      : "memory");
}
__device__ __forceinline__ void Store(const TensorMap* map, int x, int y, u32 from) {
  asm volatile("cp.async.bulk.tensor.2d.global.shared::cta.bulk_group [%0, {%1, %2}], [%3];" ::"l"(map), "r"(x), "r"(y),
               "r"(from)
               : "memory");
}
/// Of a tile whose rows of 128 bytes are swizzled: groups of 8 rows follow each other.
__device__ __forceinline__ u64 Descriptor(u32 at) {
  constexpr u64 kSwizzle128 = 1;
  return static_cast<u64>(at >> 4) | static_cast<u64>(kAtomRows * kRowBytes >> 4) << 32 | kSwizzle128 << 62;
}
#define D8(i) \
  "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3]), "+f"(d[i + 4]), "+f"(d[i + 5]), "+f"(d[i + 6]), "+f"(d[i + 7])
/// d (64, 64) = a (64, 16) * b (64, 16) transposed, added to d if `adds`.
__device__ __forceinline__ void Multiply(float (&d)[32], u64 a, u64 b, int adds) {
  asm volatile(
      "{\n"
      ".reg .pred adds;\n"
      "setp.ne.s32 adds, %34, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 {%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, "
      "%13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31}, %32, %33, adds, "
      "1, 1, 0, 0;\n"
      "}"
      : D8(0), D8(8), D8(16), D8(24)
      : "l"(a), "l"(b), "r"(adds));
}
/// Until all products but those of the last kPending commits are complete, and d with them if there are none.
template <int kPending>
__device__ __forceinline__ void WaitForProducts(float (&d)[32]) {
  asm volatile("wgmma.wait_group.sync.aligned %32;" : D8(0), D8(8), D8(16), D8(24) : "n"(kPending) : "memory");
}
__device__ __forceinline__ u32 Pack(float low, float high) {
  u32 both;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(high), "f"(low));
  return both;
}
__device__ __forceinline__ void StoreShared(u32 to, u32 word) {
  asm volatile("st.shared.b32 [%0], %1;" ::"r"(to), "r"(word) : "memory");
}

// full[stage]: the loads of both CTAs tell the consumers of this one. empty[stage]: the consumers of both CTAs tell the
// loading warp of this one, whose half of B goes to both.
extern "C" __global__ void __cluster_dims__(kCtas, 1, 1) __launch_bounds__(kGroups * 128 + 32, 1)
    Gemm(const __grid_constant__ TensorMap map_a, const __grid_constant__ TensorMap map_b,
         const __grid_constant__ TensorMap map_d, int n, int k) {
  extern __shared__ __align__(1024) unsigned char shared[];
  __shared__ __align__(8) u64 full_barriers[kStages], empty_barriers[kStages];
  const u32 tiles = SharedAddress(shared), full = SharedAddress(full_barriers), empty = SharedAddress(empty_barriers);
  const int group = static_cast<int>(threadIdx.x) / 128, thread = static_cast<int>(threadIdx.x) % 128;
  const int row = static_cast<int>(blockIdx.x) * kBlockM;
  const int across = (n + kBlockN - 1) / kBlockN, steps = (k + kBlockK - 1) / kBlockK;
  if (threadIdx.x == 0) {
#pragma unroll 1
    for (int i = 0; i < kStages; ++i) {
      Init(full + 8 * i, 1);
      Init(empty + 8 * i, kCtas * kGroups);
    }
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
  }
  asm volatile("barrier.cluster.arrive.relaxed.aligned;" ::: "memory");
  asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory");
  int stage = 0;   // of the ring
  u32 parity = 0;  // of its lap
  if (group == kGroups) {
    if (thread == 0) {
      const int share = static_cast<int>(ClusterRank()) * kShareN;
#pragma unroll 1
      for (int tile = 0; tile < across; ++tile)
#pragma unroll 1
        for (int step = 0; step < steps; ++step) {
          const u32 a = tiles + stage * kStageBytes, b = a + kBytesA;
          Wait(empty + 8 * stage, parity ^ 1);  // the first lap passes at once
          ExpectBytes(full + 8 * stage, kStageBytes);
          Load(a, &map_a, full + 8 * stage, step * kBlockK, row);
          LoadForAll(b + share * kRowBytes, &map_b, full + 8 * stage, step * kBlockK, tile * kBlockN + share,
                     (1 << kCtas) - 1);
          if (++stage == kStages) {
            stage = 0;
            parity ^= 1;
          }
        }
    }
  } else {
    const u32 out = tiles + kStages * kStageBytes + group * kOutBytes;
    const int line = thread / 32 * 16 + thread % 32 / 4, word = thread % 4 * 4;
#pragma unroll 1
    for (int tile = 0; tile < across; ++tile) {
      float sums[32];
      int before = 0;  // the stage of the step before
#pragma unroll 1
      for (int step = 0; step < steps; ++step) {
        const u32 a = tiles + stage * kStageBytes, b = a + kBytesA;
        Wait(full + 8 * stage, parity);
        asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
#pragma unroll
        for (int part = 0; part < kBlockK / 16; ++part)
          Multiply(sums, Descriptor(a + group * kGroupRows * kRowBytes + part * 32), Descriptor(b + part * 32),
                   step + part);
        asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
        WaitForProducts<1>(sums);
        if (step > 0 && thread < kCtas) ArriveAt(empty + 8 * before, thread);
        before = stage;
        if (++stage == kStages) {
          stage = 0;
          parity ^= 1;
        }
      }
      WaitForProducts<0>(sums);
      if (thread < kCtas) ArriveAt(empty + 8 * before, thread);
      // The store of the tile before has read what is written now.
      if (thread == 0) asm volatile("cp.async.bulk.wait_group.read 0;" ::: "memory");
      asm volatile("bar.sync %0, 128;" ::"r"(group + 1) : "memory");
#pragma unroll
      for (int piece = 0; piece < kBlockN / 8; ++piece) {
        const u32 at = out + line * kSwizzle + (piece ^ (line & kAtomRows - 1)) * 16 + word;
        StoreShared(at, Pack(sums[4 * piece], sums[4 * piece + 1]));
        StoreShared(at + 8 * kSwizzle, Pack(sums[4 * piece + 2], sums[4 * piece + 3]));
      }
      asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
      asm volatile("bar.sync %0, 128;" ::"r"(group + 1) : "memory");
      if (thread == 0) {
        Store(&map_d, tile * kBlockN, row + group * kGroupRows, out);
        asm volatile("cp.async.bulk.commit_group;" ::: "memory");
      }
    }
    if (thread == 0) asm volatile("cp.async.bulk.wait_group.read 0;" ::: "memory");
  }
  // The other CTA may still arrive at barriers of this one.
  asm volatile("barrier.cluster.arrive.release.aligned;" ::: "memory");
  asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory");
}
