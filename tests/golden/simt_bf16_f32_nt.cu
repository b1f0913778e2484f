#include "gemm_simt.cuh"

namespace {

struct Config {
  using A = gemmsmith::Bfloat16;
  using B = gemmsmith::Bfloat16;
  using D = float;
  using Accumulator = float;
  static constexpr int kBlockM = 16;
  static constexpr int kBlockN = 32;
  static constexpr int kBlockK = 32;
  static constexpr int kMicroM = 4;
  static constexpr int kMicroN = 4;
  static constexpr bool kAAlongK = true;
  static constexpr bool kBAlongK = true;
  static constexpr int kVectorA = 8;
  static constexpr int kVectorB = 8;
  static constexpr int kVectorD = 4;
  static constexpr bool kReadC = false;
};

}  // namespace

extern "C" __global__ void __launch_bounds__(32)
gemmsmith_simt_bf16_bf16_f32_nt_16x32x32_4x4_v884(const __grid_constant__ gemmsmith::SimtParams params) {
  gemmsmith::SimtGemm<Config>::Run(params);
}
