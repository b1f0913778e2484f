// C = alpha * A * B + beta * C through JITWrapper, with its own kernel cache directory.
#include <cstdio>

#include "gemmsmith/gemmsmith.h"

using namespace gemmsmith;

int main() {
  HostTensor<float> input(4, 64), weight(32, 64), output(4, 32);  // weight (n, k), as models store it
  FillRandom(input, 1);
  FillRandom(weight, 2);

  Gemm<float> gemm(/*trans_a=*/false, /*trans_b=*/true, /*alpha=*/1.f, /*beta=*/0.f);
  gemm.SetWeight(weight);  // by reference: never copied
  JITWrapper<Gemm<float>> jit_gemm(gemm);
  jit_gemm.EnablePersistentCache(true);
  jit_gemm.SetPersistentCacheDirectory("./jit_cache");
  jit_gemm.Forward(input, output);  // C = alpha * A * B + beta * C

  std::printf("persistent cache: %s in %s\n", jit_gemm.IsPersistentCacheEnabled() ? "on" : "off",
              jit_gemm.GetPersistentCacheDirectory().c_str());

  double expected = 0;
  for (int p = 0; p < 64; ++p) expected += static_cast<double>(input(3, p)) * weight(31, p);
  std::printf("output(3, 31) = %f, expected %f\n", output(3, 31), expected);
  return std::abs(output(3, 31) - expected) < 1e-4 ? 0 : 1;
}
