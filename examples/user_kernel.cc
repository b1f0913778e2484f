// A user's own CUDA source through the same compilers and cache. Launched where there is a CUDA device; elsewhere
// compiled for sm_90a, which needs NVRTC or nvcc alone.
#include <cstdio>
#include <vector>

#include "gemmsmith/gemmsmith.h"

using namespace gemmsmith;

constexpr const char* kSource = R"(
extern "C" __global__ void Scale(float* x, float factor, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) x[i] *= factor;
}
)";

int main() {
  Engine engine;
  KernelSource source;
  source.name = "scale";
  source.text = kSource;
  source.entry = "Scale";
  Device& device = engine.devices().Best();
  if (device.id().kind != DeviceKind::kCuda) {
    std::printf("no CUDA device: %s\n", engine.devices().CudaStatus().c_str());
    source.target = ParseTarget("sm_90a");
    try {
      std::printf("compiled for sm_90a: %zu bytes of cubin\n", engine.Emit(source, "cubin").size());
    } catch (const Error& error) {
      if (error.code() != Code::kNotFound) throw;
      std::printf("%s\n", error.what());
    }
    return 0;
  }

  source.target = device.targets().front();
  const auto kernel = engine.Compile(source, device.id());
  std::vector<float> host(1000, 1.5f);
  const Buffer x = device.Allocate(host.size() * sizeof(float));
  device.Copy(x.data(), host.data(), x.bytes());
  void* pointer = x.data();
  float factor = 2;
  int n = static_cast<int>(host.size());
  void* const args[] = {&pointer, &factor, &n};
  kernel->Launch({4}, {256}, {}, 0, args, {});
  device.Copy(host.data(), x.data(), x.bytes());
  device.Synchronize();
  std::printf("x[999] = %f\n", host[999]);
  return host[999] == 3.0f ? 0 : 1;
}
