#include "gemm_sm80.cuh"

struct Config {
  using A = gemmsmith::Half;
  using B = gemmsmith::Half;
  using D = gemmsmith::Half;
  using Accumulator = float;
  enum : int { kBlockM = 32 };
  enum : int { kBlockN = 32 };
  enum : int { kBlockK = 64 };
  enum : int { kWarpsM = 2 };
  enum : int { kWarpsN = 1 };
  enum : int { kStages = 4 };
  enum : bool { kAAlongK = true };
  enum : bool { kBAlongK = true };
  enum : int { kVectorA = 8 };
  enum : int { kVectorB = 8 };
  enum : int { kVectorD = 8 };
  enum : bool { kReadC = false };
  enum : bool { kSplit = false };
  enum : bool { kShortSums = false };
};

extern "C" __global__ void __launch_bounds__(64, 1)
gemmsmith_sm80_f16_nt_32x32x64_2x1_s4_v8_8_8(const __grid_constant__ gemmsmith::Sm80Params params) {
  extern __shared__ __align__(128) unsigned char shared[];
  gemmsmith::Sm80Gemm<Config>::Run(params, shared);
}
