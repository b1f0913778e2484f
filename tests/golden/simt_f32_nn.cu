#include "gemm_simt.cuh"

struct Config {
  using A = float;
  using B = float;
  using D = float;
  using Accumulator = float;
  enum : int { kBlockM = 16 };
  enum : int { kBlockN = 32 };
  enum : int { kBlockK = 32 };
  enum : int { kMicroM = 4 };
  enum : int { kMicroN = 4 };
  enum : bool { kAAlongK = true };
  enum : bool { kBAlongK = false };
  enum : int { kVectorA = 4 };
  enum : int { kVectorB = 4 };
  enum : int { kVectorD = 4 };
  enum : bool { kReadC = false };
};

extern "C" __global__ void __launch_bounds__(32)
gemmsmith_simt_f32_nn_16x32x32_4x4_v444(const __grid_constant__ gemmsmith::SimtParams params) {
  gemmsmith::SimtGemm<Config>::Run(params);
}
