// CPU GEMM beside its peers: every sample times each library in turn, so that all meet the same machine. The reported
// time is ours: the lower quartile of the samples, because a neighbour only ever adds. Counters give GFLOP/s of all,
// their time / ours (x_best: of the fastest peer), and where B streams from memory x_read: the time of reading B /
// ours.
#include <benchmark/benchmark.h>

#include <time.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <limits>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "jit/compiler.h"
#include "kernels/family.h"
#include "peers.h"
#include "runtime/cpu/cpu_info.h"
#include "runtime/cpu/cpu_kernel.h"
#include "runtime/cpu/thread_pool.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace gemmsmith {

const KernelFamily& X86Family();
const KernelFamily& PortableFamily();

namespace bench {
namespace {

struct Shape {
  std::int64_t m, n, k;
  bool b_transposed = false;
};
constexpr Shape kShapes[] = {
    {16, 16, 16},    {32, 32, 32},       {64, 64, 64},       {128, 128, 128},          {256, 256, 256},
    {512, 512, 512}, {1024, 1024, 1024}, {2048, 2048, 2048}, {1024, 1024, 1024, true}, {17, 23, 31},
    {33, 65, 129},   {100, 7, 300},      {1000, 1003, 997},  {128, 4096, 4096, true},  {512, 2112, 7168, true},
    {4096, 1, 4096},
};
// Weights of language models, (n, k), under a few tokens: B is read once, from memory.
constexpr std::int64_t kTokens[] = {1, 4, 16, 64},
                       kWeights[][2] = {{4096, 4096}, {7168, 2048}, {2048, 7168}, {11008, 4096}};
constexpr Shape kShapesF64[] = {{16, 16, 16}, {128, 128, 128}, {1024, 1024, 1024}, {1024, 1024, 1024, true}};

/// One problem on the CPU, planned as the selector's first choice would be, without an engine around it.
class PlannedGemm {
 public:
  PlannedGemm(const GemmProblem& problem, int threads) {
    const CodeTarget& target = CpuTargets().front();
    const KernelFamily& family = target.isa == Isa::kX86 ? X86Family() : PortableFamily();
    DeviceSpec spec = CpuSpec();
    spec.multiprocessors = threads;
    const TileConfig config = family.Candidates(problem, target, spec)[0];
    const auto compiler = target.isa == Isa::kX86 ? OpenX86Compiler() : OpenBuiltinCompiler();
    kernel_ = LoadCpuKernel(compiler->Compile(family.Render(problem, config, target, {}), {}));
    step_ = family.MakeLaunch(problem, config);
    label_ = ToString(config);
  }
  void Bind(const GemmArgs& args) { step_.bind(args, step_.params.data()); }
  void Run() {
    void* const args[] = {step_.params.data()};
    kernel_->Launch(step_.grid, step_.block, step_.cluster, 0, args, {});
  }
  const std::string& label() const { return label_; }
  const CpuKernel& kernel() const { return *kernel_; }

 private:
  std::shared_ptr<const CpuKernel> kernel_;
  LaunchStep step_;
  std::string label_;
};

template <class T>
GemmProblem ProblemOf(const Shape& shape) {
  GemmProblem p;
  p.m = shape.m;
  p.n = shape.n;
  p.k = shape.k;
  p.a_type = p.b_type = p.c_type = p.d_type = p.acc_type = DTypeOf<T>::value;
  p.lda = shape.k;
  p.ldb = shape.b_transposed ? shape.k : shape.n;
  p.ldc = p.ldd = shape.n;
  p.b_layout = shape.b_transposed ? Layout::kColMajor : Layout::kRowMajor;
  return p;
}

/// What one thread does alone is timed by its own clock, which stands while others have its core.
double Now(int threads) {
  timespec time;
  clock_gettime(threads == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

double Seconds(const std::function<void()>& call, int calls, int threads) {
  const double start = Now(threads);
  for (int i = 0; i < calls; ++i) call();
  return (Now(threads) - start) / calls;
}

double LowerQuartile(std::vector<double> values) {
  const auto middle = values.begin() + values.size() / 4;
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

template <class T>
HostTensor<T> RandomMatrix(std::int64_t rows, std::int64_t columns) {
  HostTensor<T> matrix(rows, columns);
  std::minstd_rand random(1);
  for (T& x : matrix) x = static_cast<T>(random()) / static_cast<T>(1 << 30) - 1;
  return matrix;
}

struct Contestant {
  std::string name;
  std::function<void()> run;
  std::vector<double> seconds;
};

/// Reads all of `bytes` once, each of the threads its part: the bar for what is bound by memory.
class MemoryReader {
 public:
  MemoryReader(const void* from, std::size_t bytes, int threads)
      : from_(static_cast<const char*>(from)), bytes_(bytes / threads / kStep * kStep), threads_(threads) {}
  void Run() const {
    auto task = [this](int index) { Read(from_ + bytes_ * static_cast<std::size_t>(index), bytes_); };
    ThreadPool::Lease lease = ThreadPool::Instance().Acquire(threads_);
    lease.Run(threads_, task);
  }

 private:
  static constexpr std::size_t kStep = 512;
#if defined(__x86_64__)
  __attribute__((target("avx512f"))) static void ReadWide(const char* from, std::size_t bytes) {
    __m512i sums[8] = {};
    for (std::size_t i = 0; i < bytes; i += kStep)
      for (int j = 0; j < 8; ++j) sums[j] = _mm512_xor_si512(sums[j], _mm512_loadu_si512(from + i + 64 * j));
    benchmark::DoNotOptimize(sums);
  }
#endif
  static void Read(const char* from, std::size_t bytes) {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f")) return ReadWide(from, bytes);
#endif
    std::uint64_t sums[4] = {};
    for (std::size_t i = 0; i < bytes; i += sizeof(sums)) {
      std::uint64_t words[4];
      std::memcpy(words, from + i, sizeof(words));
      for (int j = 0; j < 4; ++j) sums[j] ^= words[j];
    }
    benchmark::DoNotOptimize(sums);
  }
  const char* const from_;
  const std::size_t bytes_;
  const int threads_;
};

template <class T>
void BenchGemm(benchmark::State& state, Shape shape, int threads) {
  const GemmProblem problem = ProblemOf<T>(shape);
  PlannedGemm ours(problem, threads);
  const HostTensor<T> a = RandomMatrix<T>(shape.m, shape.k), b = RandomMatrix<T>(shape.k, shape.n);
  HostTensor<T> d(shape.m, shape.n);
  GemmArgs args;
  args.a = a;
  args.b = b;
  args.d = d;
  ours.Bind(args);

  std::vector<Contestant> contestants = {{"gemmsmith", [&] { ours.Run(); }, {}}};
  const PeerCall<T> call{shape.m, shape.n, shape.k, a.data(), b.data(), d.data(), shape.b_transposed};
  for (const Peer& peer : Peers()) {
    peer.set_threads(threads);
    if constexpr (std::is_same_v<T, float>)
      contestants.push_back({peer.name, [&call, &peer] { peer.f32(call); }, {}});
    else if (peer.f64 != nullptr)
      contestants.push_back({peer.name, [&call, &peer] { peer.f64(call); }, {}});
  }
  const std::size_t streamed = static_cast<std::size_t>(shape.n * shape.k) * sizeof(T);
  const MemoryReader reader(b.data(), streamed, threads);
  const std::size_t peers = contestants.size();
  if (streamed > static_cast<std::size_t>(CpuSpec().l3_bytes))
    contestants.push_back({"read", [&] { reader.Run(); }, {}});
  for (Contestant& c : contestants) c.run();
  // A sample lasts about a millisecond, or one call; the first call of each is not counted, it finds cold caches.
  const int calls = static_cast<int>(std::clamp(1e-3 / Seconds(contestants[0].run, 1, threads), 1.0, 1e5));
  for (auto _ : state) {
    for (Contestant& c : contestants) {
      c.run();
      c.seconds.push_back(Seconds(c.run, calls, threads));
    }
    state.SetIterationTime(contestants[0].seconds.back());
  }
  const double seconds = LowerQuartile(contestants[0].seconds);
  double best = std::numeric_limits<double>::infinity();
  for (std::size_t i = 0; i < contestants.size(); ++i) {
    const Contestant& c = contestants[i];
    const double theirs = LowerQuartile(c.seconds);
    if (i > 0) state.counters["x_" + c.name] = theirs / seconds;
    if (i > 0 && i < peers) best = std::min(best, theirs);
    if (i < peers)
      state.counters[c.name] = problem.flops() / theirs / 1e9;
    else
      state.counters["read_GB/s"] = static_cast<double>(streamed) / theirs / 1e9;
  }
  if (peers > 1) state.counters["x_best"] = best / seconds;
  state.SetLabel(ours.label());
}

/// From the recipe to executable code: what a new shape costs.
void BenchCodegen(benchmark::State& state, Shape shape) {
  const GemmProblem problem = ProblemOf<float>(shape);
  for (auto _ : state) {
    PlannedGemm gemm(problem, 1);
    benchmark::DoNotOptimize(gemm);
  }
}

/// Kernel::Launch beside a bare call of the emitted code, 16 x 16 x 16.
void BenchLaunch(benchmark::State& state, bool bare) {
  const Shape shape{16, 16, 16};
  PlannedGemm gemm(ProblemOf<float>(shape), 1);
  const HostTensor<float> a = RandomMatrix<float>(16, 16), b = RandomMatrix<float>(16, 16);
  HostTensor<float> d(16, 16);
  GemmArgs args;
  args.a = a;
  args.b = b;
  args.d = d;
  gemm.Bind(args);
  const float one = 1, zero = 0;
  const MicroKernelArgs micro{a.data(), b.data(), nullptr, d.data(), 64,      4, 64, a.data(), 0, 64,
                              16,       &one,     &zero,   16,       nullptr, 0, 0,  nullptr,  0, 0};
  const MicroKernel kernel = gemm.kernel().entries().full_full;
  for (auto _ : state) {
    if (bare)
      kernel(&micro);
    else
      gemm.Run();
  }
}

std::string NameOf(const char* dtype, const Shape& s, int threads) {
  return "cpu_gemm/" + std::string(dtype) + (s.b_transposed ? "/nt/" : "/nn/") + std::to_string(s.m) + "x" +
         std::to_string(s.n) + "x" + std::to_string(s.k) + "/threads:" + std::to_string(threads);
}

const bool registered = [] {
  for (const int threads : {1, 2}) {
    const auto set_up = [](benchmark::internal::Benchmark* b) {
      b->UseManualTime()->Iterations(21)->Unit(benchmark::kMicrosecond);
    };
    std::vector<Shape> shapes(std::begin(kShapes), std::end(kShapes));
    for (const bool b_transposed : {false, true})
      for (const std::int64_t m : kTokens)
        for (const auto& [n, k] : kWeights) shapes.push_back({m, n, k, b_transposed});
    for (const Shape& s : shapes)
      set_up(benchmark::RegisterBenchmark(NameOf("f32", s, threads).c_str(), BenchGemm<float>, s, threads));
    for (const Shape& s : kShapesF64)
      set_up(benchmark::RegisterBenchmark(NameOf("f64", s, threads).c_str(), BenchGemm<double>, s, threads));
  }
  benchmark::RegisterBenchmark("cpu_codegen/1024x1024x1024", BenchCodegen, Shape{1024, 1024, 1024});
  benchmark::RegisterBenchmark("cpu_codegen/16x16x16", BenchCodegen, Shape{16, 16, 16});
  benchmark::RegisterBenchmark("cpu_launch/16x16x16", BenchLaunch, false);
  benchmark::RegisterBenchmark("cpu_launch/16x16x16/emitted_code_alone", BenchLaunch, true);
  return true;
}();

}  // namespace
}  // namespace bench
}  // namespace gemmsmith
