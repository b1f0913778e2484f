// Process-wide settings, and a weight that is packed once for many calls.
#include <cstdio>

#include "gemmsmith/gemmsmith.h"

using namespace gemmsmith;

int main() {
  auto& manager = GlobalJITManager::Instance();
  manager.Initialize();
  GlobalJITConfig config;
  config.enable_jit = true;
  config.enable_caching = true;
  config.cache_dir = "./jit_cache";
  manager.SetGlobalConfig(config);

  HostTensor<float> input(3, 128), weight(128, 100), output(3, 100);
  FillRandom(input, 1);
  FillRandom(weight, 2);
  Gemm<float> gemm;
  gemm.SetWeight(weight);
  gemm.Prepack();  // the device's own form of B, made at the first Forward
  JITWrapper<Gemm<float>> layer(gemm);
  layer.Forward(input, output);

  weight(0, 0) += 1;
  gemm.WeightChanged();  // drops the packed copy
  const float before = output(0, 0);
  layer.Forward(input, output);
  std::printf("output(0, 0): %f, then %f\n", before, output(0, 0));
  return std::abs(output(0, 0) - before - input(0, 0)) < 1e-4 ? 0 : 1;
}
