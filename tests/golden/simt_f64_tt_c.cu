#include "gemm_simt.cuh"

namespace {

struct Config {
  using A = double;
  using B = double;
  using D = double;
  using Accumulator = double;
  static constexpr int kBlockM = 16;
  static constexpr int kBlockN = 32;
  static constexpr int kBlockK = 32;
  static constexpr int kMicroM = 4;
  static constexpr int kMicroN = 4;
  static constexpr bool kAAlongK = false;
  static constexpr bool kBAlongK = true;
  static constexpr int kVectorA = 2;
  static constexpr int kVectorB = 2;
  static constexpr int kVectorD = 2;
  static constexpr bool kReadC = true;
};

}  // namespace

extern "C" __global__ void __launch_bounds__(32)
gemmsmith_simt_f64_tt_16x32x32_4x4_v222_c(const __grid_constant__ gemmsmith::SimtParams params) {
  gemmsmith::SimtGemm<Config>::Run(params);
}
