// What a call costs besides the kernel: plan lookup, Forward at 16^3 beside the emitted kernel called directly.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <vector>

#include "engine/plan_table.h"
#include "gemmsmith/gemmsmith.h"
#include "jit/compiler.h"
#include "kernels/family.h"
#include "runtime/cpu/cpu_info.h"
#include "runtime/cpu/cpu_kernel.h"
#include "select/cost_model.h"

namespace gemmsmith::bench {
namespace {

using Clock = std::chrono::steady_clock;

const PlanTable& TableOf(std::int64_t plans) {
  static PlanTable table;
  static const bool filled = [plans] {
    for (std::int64_t m = 1; m <= plans; ++m) {
      auto plan = std::make_unique<Plan>();
      plan->problem = MakeProblem(m, 4096, 4096, DType::kF32, "nt");
      table.Insert(std::move(plan));
    }
    return true;
  }();
  benchmark::DoNotOptimize(filled);
  return table;
}

/// Finding a plan among 1000, each thread for itself.
void PlanLookup(benchmark::State& state) {
  const PlanTable& table = TableOf(1000);
  GemmProblem problem = MakeProblem(1, 4096, 4096, DType::kF32, "nt");
  for (auto _ : state) {
    problem.m = problem.m % 1000 + 1;
    problem.lda = problem.m == 1 ? 4096 : problem.lda;
    benchmark::DoNotOptimize(table.Find(problem, {}));
  }
}
BENCHMARK(PlanLookup)->Name("overhead/plan_lookup")->Threads(1)->Threads(2);

void DescribeArguments(benchmark::State& state) {
  HostTensor<float> a(16, 16), b(16, 16), d(16, 16);
  GemmArgs args;
  args.a = a, args.b = b, args.d = d;
  for (auto _ : state) {
    benchmark::DoNotOptimize(args);
    benchmark::DoNotOptimize(Describe(args, DType::kF32));
  }
}
BENCHMARK(DescribeArguments)->Name("overhead/describe");

/// Choosing a config for a problem that no plan has, on the GPU of the row.
void Choose(benchmark::State& state, const char* gpu, DType dtype) {
  const DeviceSpec& spec = FindDeviceSpec(gpu);
  GemmProblem problem = MakeProblem(1, 7168, 2048, dtype, "nt");
  for (auto _ : state) {
    problem.m = problem.m % 8192 + 1;
    benchmark::DoNotOptimize(RankConfigs(problem, spec.target, spec));
  }
}
BENCHMARK_CAPTURE(Choose, bf16_h100, "h100", DType::kBf16)->Name("overhead/choose/bf16_h100");
BENCHMARK_CAPTURE(Choose, f32_a100, "a100", DType::kF32)->Name("overhead/choose/f32_a100");

/// The micro-kernel of the same plan with arguments of its own: the floor of what Forward can cost.
class DirectKernel {
 public:
  DirectKernel(const Engine& engine, const GemmProblem& problem) {
    const TileConfig config = engine.Explain(problem, DeviceId{}).ranked.front().config;
    const CodeTarget target = CpuTargets().front();
    const KernelSource source = FindFamily(config.family).Render(problem, config, target, {});
    kernel_ = LoadCpuKernel(FindCompiler(target, "")->Compile(source, {}));
    const MicroKernelSet& entries = kernel_->entries();
    const bool whole = problem.n % config.Get("nr") == 0;
    const bool rows = problem.m % config.Get("mr") == 0;
    entry_ = rows ? (whole ? entries.full_full : entries.full_last) : (whole ? entries.last_full : entries.last_last);
    tiles_m_ = (problem.m + config.Get("mr") - 1) / config.Get("mr");
    tiles_n_ = (problem.n + config.Get("nr") - 1) / config.Get("nr");
  }
  /// Whether one call of the micro-kernel is the whole problem.
  bool single() const { return tiles_m_ == 1 && tiles_n_ == 1; }
  void operator()(const MicroKernelArgs& args) const { entry_(&args); }

 private:
  std::shared_ptr<const CpuKernel> kernel_;
  MicroKernel entry_;
  std::int64_t tiles_m_, tiles_n_;
};

double Nanoseconds(int calls, const auto& call) {
  const auto begin = Clock::now();
  for (int i = 0; i < calls; ++i) call();
  return std::chrono::duration<double, std::nano>(Clock::now() - begin).count() / calls;
}

double Median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + values.size() / 2, values.end());
  return values[values.size() / 2];
}

/// Forward, Engine::Gemm and the bare kernel at n^3, timed in turns.
void Forward(benchmark::State& state) {
  const std::int64_t size = state.range(0);
  HostTensor<float> a(size, size), b(size, size), d(size, size);
  FillRandom(a, 1);
  FillRandom(b, 2);
  Gemm<float> gemm;
  gemm.SetWeight(b);
  JITWrapper<Gemm<float>> jit(gemm);
  const Tensor input = a, output = d;
  jit.Forward(input, output);
  GemmArgs args;
  args.a = a, args.b = b, args.c = d, args.d = d;
  const DirectKernel direct(jit.engine(), Describe(args, DType::kF32));
  if (!direct.single()) return state.SkipWithError("more than one tile");
  const float one = 1, zero = 0;
  const std::int64_t row = size * static_cast<std::int64_t>(sizeof(float));
  MicroKernelArgs kernel_args{};
  kernel_args.a = a.data(), kernel_args.b = kernel_args.ahead = b.data(), kernel_args.d = d.data();
  kernel_args.a_row = kernel_args.b_step = kernel_args.ahead_step = kernel_args.d_row = row;
  kernel_args.a_col = sizeof(float);
  kernel_args.k = kernel_args.columns = size;
  kernel_args.alpha = &one, kernel_args.beta = &zero;

  constexpr int kCalls = 2000;
  std::vector<double> kernel, forward, engine;
  for (auto _ : state) {
    kernel.push_back(Nanoseconds(kCalls, [&] { direct(kernel_args); }));
    forward.push_back(Nanoseconds(kCalls, [&] { jit.Forward(input, output); }));
    engine.push_back(Nanoseconds(kCalls, [&] { jit.engine().Gemm(args); }));
    state.SetIterationTime(forward.back() * 1e-9);
  }
  state.counters["kernel_ns"] = Median(kernel);
  state.counters["forward_ns"] = Median(forward);
  state.counters["engine_ns"] = Median(engine);
  state.counters["forward_extra_ns"] = Median(forward) - Median(kernel);
}
BENCHMARK(Forward)->Name("overhead/forward")->Arg(16)->UseManualTime()->Iterations(200);

}  // namespace
}  // namespace gemmsmith::bench
