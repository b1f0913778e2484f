// How long a kernel takes to compile, from rendered source to checked cubin.

#include <benchmark/benchmark.h>

#include <memory>

#include "gemmsmith/error.h"
#include "jit/compiler.h"
#include "kernels/family.h"

namespace gemmsmith {

const KernelFamily& SimtFamily();
const KernelFamily& Sm80Family();
const KernelFamily& Sm90Family();
const KernelFamily& Sm100Family();

namespace {

/// The first tensor-core kernel of a large product.
KernelSource TensorSource(const KernelFamily& family, DType dtype, const CodeTarget& target) {
  GemmProblem p = MakeProblem(4096, 4096, 4096, DType::kF32, "nt");
  SetDTypes(p, SizeOf(dtype) == 1 ? "e4m3,e4m3,bf16" : ToString(dtype));
  if (SizeOf(dtype) == 1) SetScaling(p, "128x128");
  return family.Render(p, family.Candidates(p, target, DefaultDeviceSpec(target)).at(0), target, {});
}
KernelSource Sm80Source(DType dtype, const CodeTarget& target) { return TensorSource(Sm80Family(), dtype, target); }
KernelSource Sm90Source(DType dtype, const CodeTarget& target) { return TensorSource(Sm90Family(), dtype, target); }
KernelSource Sm100Source(DType dtype, const CodeTarget& target) { return TensorSource(Sm100Family(), dtype, target); }

KernelSource SimtSource(DType dtype, const CodeTarget& target) {
  GemmProblem p;
  p.m = p.n = p.k = 4096;
  p.lda = p.ldb = p.ldc = p.ldd = 4096;
  p.a_type = p.b_type = p.c_type = p.d_type = dtype;
  p.acc_type = dtype == DType::kF64 ? DType::kF64 : DType::kF32;
  p.beta = BetaClass::kGeneral;
  p.alignment = 4;
  DeviceSpec spec;
  spec.multiprocessors = 132;
  return SimtFamily().Render(p, SimtFamily().Candidates(p, target, spec).at(0), target, {});
}

void BM_Compile(benchmark::State& state, std::shared_ptr<const Compiler> (*open)(),
                KernelSource (*render)(DType, const CodeTarget&), DType dtype, CodeTarget target) {
  std::shared_ptr<const Compiler> compiler;
  try {
    compiler = open();
  } catch (const Error& error) {
    return state.SkipWithError(error.what());
  }
  if (!compiler->Supports(target)) return state.SkipWithError("the compiler does not know the target");
  const KernelSource source = render(dtype, target);
  std::size_t bytes = 0;
  for (auto _ : state) bytes = compiler->Compile(source, {}).parts.at("cubin").size();
  state.counters["cubin_bytes"] = static_cast<double>(bytes);
}

#define GEMMSMITH_COMPILE_BENCH(compiler, type, arch, ...)                                                      \
  BENCHMARK_CAPTURE(BM_Compile, compiler##_simt_##type##_##arch, Open##compiler, SimtSource, ParseDType(#type), \
                    __VA_ARGS__)                                                                                \
      ->Name("compile/" #compiler "/" #type "/" #arch)                                                          \
      ->Unit(benchmark::kMillisecond)                                                                           \
      ->UseRealTime()
GEMMSMITH_COMPILE_BENCH(Nvrtc, f32, sm_80, CodeTarget{Isa::kCuda, 80, 0});
GEMMSMITH_COMPILE_BENCH(Nvrtc, f32, sm_90a, CodeTarget{Isa::kCuda, 90, 'a'});
GEMMSMITH_COMPILE_BENCH(Nvrtc, f64, sm_90a, CodeTarget{Isa::kCuda, 90, 'a'});
GEMMSMITH_COMPILE_BENCH(Nvrtc, f16, sm_90a, CodeTarget{Isa::kCuda, 90, 'a'});
GEMMSMITH_COMPILE_BENCH(Nvrtc, bf16, sm_90a, CodeTarget{Isa::kCuda, 90, 'a'});
GEMMSMITH_COMPILE_BENCH(Nvcc, f32, sm_80, CodeTarget{Isa::kCuda, 80, 0});
GEMMSMITH_COMPILE_BENCH(Nvcc, f32, sm_90a, CodeTarget{Isa::kCuda, 90, 'a'});
#undef GEMMSMITH_COMPILE_BENCH
BENCHMARK_CAPTURE(BM_Compile, nvrtc_sm80_bf16, OpenNvrtc, Sm80Source, DType::kBf16, CodeTarget{Isa::kCuda, 80, 0})
    ->Name("compile/Nvrtc/tensor cores, bf16/sm_80")
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();
BENCHMARK_CAPTURE(BM_Compile, nvrtc_sm90_bf16, OpenNvrtc, Sm90Source, DType::kBf16, CodeTarget{Isa::kCuda, 90, 'a'})
    ->Name("compile/Nvrtc/tensor cores, bf16/sm_90a")
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();
BENCHMARK_CAPTURE(BM_Compile, nvrtc_sm90_e4m3, OpenNvrtc, Sm90Source, DType::kE4m3, CodeTarget{Isa::kCuda, 90, 'a'})
    ->Name("compile/Nvrtc/tensor cores, e4m3 by block scales/sm_90a")
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();
BENCHMARK_CAPTURE(BM_Compile, nvrtc_sm100_bf16, OpenNvrtc, Sm100Source, DType::kBf16, CodeTarget{Isa::kCuda, 100, 'a'})
    ->Name("compile/Nvrtc/tensor cores, bf16/sm_100a")
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();

}  // namespace
}  // namespace gemmsmith
