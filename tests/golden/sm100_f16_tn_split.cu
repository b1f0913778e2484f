#include "gemm_sm100.cuh"

struct Config {
  using A = gemmsmith::Half;
  using B = gemmsmith::Half;
  using D = float;
  using Accumulator = float;
  enum : int { kBlockM = 128 };
  enum : int { kBlockN = 256 };
  enum : int { kStages = 4 };
  enum : int { kVectorD = 1 };
  enum : int { kClusterM = 1 };
  enum : int { kClusterN = 1 };
  enum : bool { kAAlongK = false };
  enum : bool { kBAlongK = false };
  enum : bool { kScaled = false };
  enum : bool { kScaledColumns = false };
  enum : bool { kBulkD = false };
  enum : bool { kReadC = false };
  enum : bool { kSplit = true };
};

extern "C" __global__ void __launch_bounds__(192, 1)
gemmsmith_sm100_f16_f16_f32_tn_128x256_s4_v1_split(const __grid_constant__ gemmsmith::Sm90Params params) {
  extern __shared__ __align__(1024) unsigned char shared[];
  gemmsmith::Sm100Gemm<Config>::Run(params, shared);
}

// and then
#include "gemm_sm80.cuh"

struct Config {
  using D = gemmsmith::Half;
  using Accumulator = float;
  enum : int { kVectorD = 8 };
  enum : bool { kReadC = true };
};

extern "C" __global__ void __launch_bounds__(128)
gemmsmith_sm80_add_f32_f16_v8_c(const __grid_constant__ gemmsmith::Sm80Params params) {
  gemmsmith::Sm80Reduction<Config>::Run(params);
}
