#define GEMMSMITH_WGMMA_N 256
#define GEMMSMITH_WGMMA_TYPES "k32.s32.s8.s8"
#define GEMMSMITH_WGMMA_MAJORS ""
#define GEMMSMITH_WGMMA_STEP_A "2"
#define GEMMSMITH_WGMMA_STEP_B "2"
#define GEMMSMITH_WGMMA_INTEGER
#include "gemm_sm90.cuh"

struct Config {
  using A = signed char;
  using B = signed char;
  using D = int;
  using Accumulator = int;
  enum : int { kBlockM = 128 };
  enum : int { kBlockN = 256 };
  enum : int { kStages = 4 };
  enum : int { kConsumers = 2 };
  enum : int { kClusterM = 1 };
  enum : int { kClusterN = 1 };
  enum : int { kVectorD = 1 };
  enum : bool { kPingPong = false };
  enum : bool { kSwap = false };
  enum : bool { kAAlongK = true };
  enum : bool { kBAlongK = true };
  enum : bool { kShortSums = false };
  enum : bool { kScaled = false };
  enum : bool { kScaledRows = true };
  enum : bool { kScaledColumns = false };
  enum : bool { kBulkD = false };
  enum : bool { kReadC = false };
  enum : bool { kSplit = true };
};

extern "C" __global__ void __launch_bounds__(384, 1)
gemmsmith_sm90_s8_s8_s32_nt_128x256_w2_c1x1_s4_v1_split(const __grid_constant__ gemmsmith::Sm90Params params) {
  extern __shared__ __align__(1024) unsigned char shared[];
  gemmsmith::Sm90Gemm<Config>::Run(params, shared);
}

// and then
#include "gemm_sm80.cuh"
#include "epilogue.cuh"

struct Config {
  using D = gemmsmith::Half;
  using Accumulator = int;
  enum : int { kVectorD = 8 };
  enum : bool { kReadC = false };
};

struct Epilogue {
  enum : bool { kPaired = false };
  template <class Inputs, class Outputs>
  __device__ __forceinline__ static void Apply(const Inputs& in, Outputs& out) {
    const float v0 = in.Accumulator();
    const float v1 = in.ScaleColumn();
    const float v2 = __fmul_rn(v0, v1);
    out.D(v2);
  }
};

extern "C" __global__ void __launch_bounds__(128)
gemmsmith_sm80_add_s32_f16_v8_ed2a27c12c3c5352b(const __grid_constant__ gemmsmith::Sm80FusedParams params) {
  gemmsmith::Sm80Reduction<Config>::Run(params.tensor, gemmsmith::Fused<Epilogue, float, float>{params.epilogue, params.tensor.gemm.m, params.tensor.gemm.n});
}
