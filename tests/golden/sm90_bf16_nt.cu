#define GEMMSMITH_WGMMA_N 256
#define GEMMSMITH_WGMMA_TYPES "k16.f32.bf16.bf16"
#define GEMMSMITH_WGMMA_MAJORS ", 1, 1, 0, 0"
#define GEMMSMITH_WGMMA_STEP_A "2"
#define GEMMSMITH_WGMMA_STEP_B "2"
#include "gemm_sm90.cuh"

struct Config {
  using A = gemmsmith::Bfloat16;
  using B = gemmsmith::Bfloat16;
  using D = gemmsmith::Bfloat16;
  using Accumulator = float;
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
  enum : bool { kBulkD = true };
  enum : bool { kReadC = false };
  enum : bool { kSplit = false };
};

extern "C" __global__ void __launch_bounds__(384, 1)
gemmsmith_sm90_bf16_nt_128x256_w2_c1x1_s4_b(const __grid_constant__ gemmsmith::Sm90Params params) {
  extern __shared__ __align__(1024) unsigned char shared[];
  gemmsmith::Sm90Gemm<Config>::Run(params, shared);
}
