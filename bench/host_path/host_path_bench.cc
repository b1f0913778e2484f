// What a warm call on a GPU costs the host, up to the driver: its functions are stubs that do nothing (stub_driver.cc).
// Kernels are compiled by NVRTC as ever, and never run.
#include <benchmark/benchmark.h>
#include <dlfcn.h>

#include <cstdio>
#include <string>

#include "gemmsmith/gemmsmith.h"

namespace gemmsmith {
namespace {

constexpr DeviceId kGpu{DeviceKind::kCuda, 0};

struct Case {
  const char* name;
  std::int64_t m, n, k;
  DType dtype;
  bool block_scales = false, fused = false;
};
constexpr Case kCases[] = {
    {"bf16", 4096, 7168, 2048, DType::kBf16},
    {"bf16_small", 16, 64, 64, DType::kBf16},
    {"bf16_split_k", 64, 576, 7168, DType::kBf16},
    {"bf16_bias_gelu", 4096, 7168, 2048, DType::kBf16, false, true},
    {"e4m3_block_scales", 4096, 7168, 2048, DType::kE4m3, true},
};

/// A call whose tensors nobody reads: one buffer holds the largest.
class Call {
 public:
  Call(Engine& engine, const Case& c) {
    const DType d_type = SizeOf(c.dtype) == 1 ? DType::kBf16 : c.dtype;
    Device& device = engine.devices().Get(kGpu);
    for (Buffer* buffer : {&a_, &b_, &d_, &other_}) *buffer = device.Allocate(std::size_t{64} << 20);
    args.a = Tensor(a_.data(), c.dtype, {c.m, c.k}, kGpu);
    args.b = Tensor(b_.data(), c.dtype, {c.n, c.k}, kGpu).Transposed();
    args.d = Tensor(d_.data(), d_type, {c.m, c.n}, kGpu);
    if (c.block_scales) {
      scales_.a = Tensor(other_.data(), DType::kF32, {c.m, c.k / 128}, kGpu);
      scales_.b = Tensor(other_.data(), DType::kF32, {c.n / 128, c.k / 128}, kGpu);
      args.scales = &scales_;
    }
    if (c.fused) {
      epilogue_.epilogue = Epilogue::Parse("bias+gelu");
      epilogue_.bias = Tensor(other_.data(), DType::kF32, {c.n}, kGpu);
      args.epilogue = &epilogue_;
    }
  }
  GemmArgs args;

 private:
  Buffer a_, b_, d_, other_;
  ScaleArgs scales_;
  EpilogueArgs epilogue_;
};

Engine& TheEngine() {
  static Engine engine;
  return engine;
}

void GemmCall(benchmark::State& state, const Case& c) {
  const Call call(TheEngine(), c);
  TheEngine().Gemm(call.args);
  for (auto _ : state) TheEngine().Gemm(call.args);
}

void PreparedCall(benchmark::State& state, const Case& c) {
  const Call call(TheEngine(), c);
  const PreparedGemm prepared = TheEngine().Prepare(call.args);
  for (auto _ : state) prepared.Run();
}

void Forward(benchmark::State& state) {
  const Call call(TheEngine(), kCases[0]);
  Gemm<Bfloat16> gemm(false, true);
  gemm.SetWeight(call.args.b.Transposed());
  JITWrapper<decltype(gemm)> jit(gemm);
  jit.Forward(call.args.a, call.args.d);
  for (auto _ : state) jit.Forward(call.args.a, call.args.d);
}

void Register() {
  for (const Case& c : kCases) {
    benchmark::RegisterBenchmark((std::string("host_path/gemm/") + c.name).c_str(), GemmCall, c);
    benchmark::RegisterBenchmark((std::string("host_path/prepared/") + c.name).c_str(), PreparedCall, c);
  }
  benchmark::RegisterBenchmark("host_path/forward/bf16", Forward);
}

}  // namespace
}  // namespace gemmsmith

int main(int argc, char** argv) {
  // By its soname it is found again when the library looks for a driver.
  if (dlopen(GEMMSMITH_STUB_DRIVER, RTLD_NOW | RTLD_GLOBAL) == nullptr) {
    std::fprintf(stderr, "%s\n", dlerror());
    return 1;
  }
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  try {
    gemmsmith::Register();
    benchmark::RunSpecifiedBenchmarks();
  } catch (const gemmsmith::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  benchmark::Shutdown();
  return 0;
}
