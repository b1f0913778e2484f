#include "gemm_simt.cuh"

struct Config {
  using A = gemmsmith::Bfloat16;
  using B = gemmsmith::Bfloat16;
  using D = float;
  using Accumulator = float;
  enum : int { kBlockM = 16 };
  enum : int { kBlockN = 32 };
  enum : int { kBlockK = 32 };
  enum : int { kMicroM = 4 };
  enum : int { kMicroN = 4 };
  enum : bool { kAAlongK = true };
  enum : bool { kBAlongK = true };
  enum : int { kVectorA = 8 };
  enum : int { kVectorB = 8 };
  enum : int { kVectorD = 4 };
  enum : bool { kReadC = false };
};

extern "C" __global__ void __launch_bounds__(32)
gemmsmith_simt_bf16_bf16_f32_nt_16x32x32_4x4_v884(const __grid_constant__ gemmsmith::SimtParams params) {
  gemmsmith::SimtGemm<Config>::Run(params);
}
