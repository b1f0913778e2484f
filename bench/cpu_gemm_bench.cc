// What CPU kernels cost besides their work: making one, the first call of a new shape, a launch. Their speed beside
// other libraries: cpu/, gemmsmith-bench-cpu.
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <chrono>
#include <memory>
#include <random>
#include <string>

#include "gemmsmith/gemmsmith.h"
#include "jit/compiler.h"
#include "kernels/family.h"
#include "runtime/cpu/cpu_info.h"
#include "runtime/cpu/cpu_kernel.h"

namespace gemmsmith {

const KernelFamily& X86Family();
const KernelFamily& PortableFamily();

namespace bench {
namespace {

struct Shape {
  std::int64_t m, n, k;
};

/// The selector's first choice for a problem on the CPU, with no engine around it.
struct Choice {
  Choice(const GemmProblem& problem, int threads)
      : target(CpuTargets().front()),
        family(target.isa == Isa::kX86 ? X86Family() : PortableFamily()),
        compiler(target.isa == Isa::kX86 ? OpenX86Compiler() : OpenBuiltinCompiler()) {
    if (const std::string reason = family.WhyNot(problem, target); !reason.empty())
      throw Error(Code::kUnsupported, reason);
    DeviceSpec spec = CpuSpec();
    spec.multiprocessors = threads;
    config = family.Candidates(problem, target, spec)[0];
    source = family.Render(problem, config, target, {});
  }

  const CodeTarget& target;
  const KernelFamily& family;
  const std::shared_ptr<const Compiler> compiler;
  TileConfig config;
  KernelSource source;
};

/// That choice, loaded.
class PlannedGemm {
 public:
  PlannedGemm(const GemmProblem& problem, int threads) {
    const Choice choice(problem, threads);
    kernel_ = LoadCpuKernel(choice.compiler->Compile(choice.source, {}));
    step_ = choice.family.MakeLaunch(problem, choice.config);
  }
  void Bind(const GemmArgs& args) { step_.bind(args, step_.params.data()); }
  void Run() {
    void* const args[] = {step_.params.data()};
    kernel_->Launch(step_.grid, step_.block, step_.cluster, 0, args, {});
  }
  const CpuKernel& kernel() const { return *kernel_; }

 private:
  std::shared_ptr<const CpuKernel> kernel_;
  LaunchStep step_;
};

template <class T>
HostTensor<T> RandomMatrix(std::int64_t rows, std::int64_t columns) {
  HostTensor<T> matrix(rows, columns);
  std::minstd_rand random(1);
  for (T& x : matrix) x = static_cast<T>(random()) / static_cast<T>(1 << 30) - 1;
  return matrix;
}

/// From the recipe to code; and with all that a new shape costs: choosing a recipe, making its code executable, and
/// giving that memory back.
void BenchCodegen(benchmark::State& state, Shape shape, const char* epilogue, bool code_alone) {
  GemmProblem problem = MakeProblem(shape.m, shape.n, shape.k);
  if (*epilogue != '\0') SetEpilogue(problem, Epilogue::Parse(epilogue));
  try {
    const Choice choice(problem, 1);
    for (auto _ : state) {
      if (code_alone) {
        benchmark::DoNotOptimize(choice.compiler->Compile(choice.source, {}));
        continue;
      }
      PlannedGemm gemm(problem, 1);
      benchmark::DoNotOptimize(gemm);
    }
  } catch (const Error& e) {
    state.SkipWithError(e.what());
  }
}

/// Engine::Gemm of a shape that it has not met, with a kernel made for it or with one that a like shape left behind.
void BenchFirstCall(benchmark::State& state, bool new_kernel) {
  EngineOptions options;
  options.enable_disk = false;
  options.enable_caching = !new_kernel;
  Engine engine(options);
  constexpr std::int64_t kMost = 4096;
  const HostTensor<float> a = RandomMatrix<float>(16, kMost), b = RandomMatrix<float>(kMost, 16);
  HostTensor<float> d(16, 16);
  GemmArgs args;
  std::int64_t k = 0;
  const auto call = [&] {
    k = k % kMost + 1;
    args.a = Tensor(a.data(), {16, k});
    args.b = Tensor(b.data(), {k, 16});
    args.d = d;
    engine.Gemm(args);
  };
  call();
  for (auto _ : state) {
    const auto begin = std::chrono::steady_clock::now();
    call();
    state.SetIterationTime(std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  }
}

/// A prepared call beside a bare call of the emitted code, 16 x 16 x 16.
void BenchPrepared(benchmark::State& state, bool bare) {
  PlannedGemm gemm(MakeProblem(16, 16, 16), 1);
  const HostTensor<float> a = RandomMatrix<float>(16, 16), b = RandomMatrix<float>(16, 16);
  HostTensor<float> d(16, 16);
  GemmArgs args;
  args.a = a;
  args.b = b;
  args.d = d;
  Engine engine;
  const PreparedGemm prepared = engine.Prepare(args);
  const float one = 1, zero = 0;
  MicroKernelArgs micro{};
  micro.a = a.data(), micro.b = b.data(), micro.d = d.data(), micro.ahead = b.data();
  micro.a_row = 16 * sizeof(float), micro.a_col = sizeof(float);
  micro.b_step = micro.ahead_step = micro.d_row = 16 * sizeof(float);
  micro.k = micro.columns = 16;
  micro.alpha = &one, micro.beta = &zero;
  const MicroKernel kernel = gemm.kernel().entries().full_full;
  for (auto _ : state) {
    if (bare)
      kernel(&micro);
    else
      prepared.Run();
  }
}

const bool kRegistered = [] {
  for (const char* epilogue : {"", "bias+gelu"}) {
    for (const std::int64_t size : {16, 1024}) {
      const std::string name =
          fmt::format("cpu_codegen/{0}x{0}x{0}{1}{2}", size, *epilogue == '\0' ? "" : "/", epilogue);
      benchmark::RegisterBenchmark(name.c_str(), BenchCodegen, Shape{size, size, size}, epilogue, false);
      benchmark::RegisterBenchmark((name + "/code_alone").c_str(), BenchCodegen, Shape{size, size, size}, epilogue,
                                   true);
    }
  }
  benchmark::RegisterBenchmark("cpu_first_call/new_kernel", BenchFirstCall, true)->UseManualTime()->Iterations(1000);
  benchmark::RegisterBenchmark("cpu_first_call/kernel_of_a_like_shape", BenchFirstCall, false)
      ->UseManualTime()
      ->Iterations(1000);
  benchmark::RegisterBenchmark("cpu_prepared/16x16x16", BenchPrepared, false);
  benchmark::RegisterBenchmark("cpu_prepared/16x16x16/emitted_code_alone", BenchPrepared, true);
  return true;
}();

}  // namespace
}  // namespace bench
}  // namespace gemmsmith
