#define GEMMSMITH_WGMMA_N 256
#define GEMMSMITH_WGMMA_TYPES "k16.f32.f16.f16"
#define GEMMSMITH_WGMMA_MAJORS ", 1, 1, 0, 0"
#define GEMMSMITH_WGMMA_STEP_A "2"
#define GEMMSMITH_WGMMA_STEP_B "2"
#include "grouped_tiles.cuh"

struct Config {
  using A = gemmsmith::Half;
  using B = gemmsmith::Half;
  using D = gemmsmith::Half;
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
gemmsmith_sm90_f16_nt_128x256_w2_c1x1_s4_b_masked(const __grid_constant__ gemmsmith::Sm90Params params) {
  extern __shared__ __align__(1024) unsigned char shared[];
  gemmsmith::Sm90Gemm<Config, gemmsmith::MaskedRows>::Run(params, shared);
}
