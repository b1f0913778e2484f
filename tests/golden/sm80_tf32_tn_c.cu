#include "gemm_sm80.cuh"

struct Config {
  using A = float;
  using B = float;
  using D = float;
  using Accumulator = float;
  enum : int { kBlockM = 32 };
  enum : int { kBlockN = 32 };
  enum : int { kBlockK = 32 };
  enum : int { kWarpsM = 2 };
  enum : int { kWarpsN = 1 };
  enum : int { kStages = 4 };
  enum : bool { kAAlongK = false };
  enum : bool { kBAlongK = false };
  enum : int { kVectorA = 4 };
  enum : int { kVectorB = 4 };
  enum : int { kVectorD = 4 };
  enum : bool { kReadC = true };
  enum : bool { kSplit = false };
  enum : bool { kShortSums = false };
};

extern "C" __global__ void __launch_bounds__(64, 1)
gemmsmith_sm80_f32_tn_32x32x32_2x1_s4_v4_4_4_c(const __grid_constant__ gemmsmith::Sm80Params params) {
  extern __shared__ __align__(128) unsigned char shared[];
  gemmsmith::Sm80Gemm<Config>::Run(params, shared);
}
