#include "gemm_sm100.cuh"

struct Config {
  using A = gemmsmith::Bfloat16;
  using B = gemmsmith::Bfloat16;
  using D = gemmsmith::Bfloat16;
  using Accumulator = float;
  enum : int { kBlockM = 128 };
  enum : int { kBlockN = 256 };
  enum : int { kStages = 4 };
  enum : int { kVectorD = 1 };
  enum : int { kClusterM = 1 };
  enum : int { kClusterN = 1 };
  enum : bool { kAAlongK = true };
  enum : bool { kBAlongK = true };
  enum : bool { kScaled = false };
  enum : bool { kScaledColumns = false };
  enum : bool { kBulkD = true };
  enum : bool { kReadC = false };
  enum : bool { kSplit = false };
};

extern "C" __global__ void __launch_bounds__(192, 1)
gemmsmith_sm100_bf16_nt_128x256_s4_b(const __grid_constant__ gemmsmith::Sm90Params params) {
  extern __shared__ __align__(1024) unsigned char shared[];
  gemmsmith::Sm100Gemm<Config>::Run(params, shared);
}
