#include "gemm_simt.cuh"

struct Config {
  using A = double;
  using B = double;
  using D = double;
  using Accumulator = double;
  enum : int { kBlockM = 16 };
  enum : int { kBlockN = 32 };
  enum : int { kBlockK = 32 };
  enum : int { kMicroM = 4 };
  enum : int { kMicroN = 4 };
  enum : bool { kAAlongK = false };
  enum : bool { kBAlongK = true };
  enum : int { kVectorA = 2 };
  enum : int { kVectorB = 2 };
  enum : int { kVectorD = 2 };
  enum : bool { kReadC = true };
};

extern "C" __global__ void __launch_bounds__(32)
gemmsmith_simt_f64_tt_16x32x32_4x4_v222_c(const __grid_constant__ gemmsmith::SimtParams params) {
  gemmsmith::SimtGemm<Config>::Run(params);
}
