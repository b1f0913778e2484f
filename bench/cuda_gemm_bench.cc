// GEMM on a CUDA GPU beside cuBLAS, both timed by events of the device. Operands rotate through more memory than the L2
// holds. Without a GPU there are no cases; without cuBLAS, none of its.
#include <benchmark/benchmark.h>
#include <dlfcn.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "gemmsmith/gemmsmith.h"

namespace gemmsmith {
namespace {

constexpr DeviceId kGpu{DeviceKind::kCuda, 0};

Engine& TheEngine() {
  static Engine engine;
  return engine;
}
Device& Gpu() { return TheEngine().devices().Get(kGpu); }

struct Case {
  std::int64_t m, n, k;
  DType dtype;
};

// m of decoding and of prefill, for two layers each of DeepSeek-V3 and Llama-3-8B; squares for the types of the HPC.
constexpr Case kCases[] = {
    {1, 7168, 2048, DType::kBf16},    {128, 7168, 2048, DType::kBf16},   {4096, 7168, 2048, DType::kBf16},
    {128, 24576, 1536, DType::kBf16}, {4096, 24576, 1536, DType::kBf16}, {1, 4096, 4096, DType::kF16},
    {512, 4096, 4096, DType::kF16},   {512, 4096, 14336, DType::kF16},   {512, 512, 512, DType::kF32},
    {2048, 2048, 2048, DType::kF32},  {4096, 4096, 4096, DType::kF32},   {2048, 2048, 2048, DType::kF64},
};

/// D (m, n) = A (m, k) * B^T (n, k), as often as it takes to leave the L2 behind between two uses of an operand.
class OperandSets {
 public:
  explicit OperandSets(const Case& c) : case_(c) {
    const std::int64_t bytes_per_set = (c.m * c.k + c.n * c.k + c.m * c.n) * static_cast<std::int64_t>(SizeOf(c.dtype));
    const std::int64_t count = std::clamp<std::int64_t>(4 * Gpu().spec().l2_bytes / bytes_per_set + 1, 4, 64);
    for (std::int64_t i = 0; i < count; ++i)
      sets_.push_back({Fill(c.m * c.k, i), Fill(c.n * c.k, ~i), Fill(c.m * c.n, i)});
  }
  std::size_t count() const { return sets_.size(); }
  GemmArgs Args(std::size_t set) const {
    GemmArgs args;
    args.a = Tensor(sets_[set].a.data(), case_.dtype, {case_.m, case_.k}, kGpu);
    args.b = Tensor(sets_[set].b.data(), case_.dtype, {case_.n, case_.k}, kGpu).Transposed();
    args.d = Tensor(sets_[set].d.data(), case_.dtype, {case_.m, case_.n}, kGpu);
    return args;
  }

 private:
  struct Set {
    Buffer a, b, d;
  };
  Buffer Fill(std::int64_t elements, std::int64_t seed) const {
    Buffer buffer = Gpu().Allocate(elements * SizeOf(case_.dtype));
    std::vector<std::byte> host(elements * SizeOf(case_.dtype));
    // Random, since zeros make a GPU faster than it is; one megabyte of it, since this is no test.
    const std::size_t some = std::min<std::size_t>(host.size(), 1 << 20);
    FillRandom(Tensor(host.data(), case_.dtype, {static_cast<std::int64_t>(some / SizeOf(case_.dtype))}), seed);
    for (std::size_t at = some; at < host.size(); at += some)
      std::copy_n(host.begin(), std::min(some, host.size() - at), host.begin() + at);
    Gpu().Copy(buffer.data(), host.data(), host.size());
    Gpu().Synchronize();
    return buffer;
  }

  Case case_;
  std::vector<Set> sets_;
};

/// Times `call(set)` over all sets per iteration.
template <class Call>
void TimeOnGpu(benchmark::State& state, const Case& c, const OperandSets& sets, Call call) {
  const auto start = Gpu().CreateEvent(), stop = Gpu().CreateEvent();
  const auto run = [&] {
    start->Record({});
    for (std::size_t set = 0; set < sets.count(); ++set) call(set);
    stop->Record({});
    return stop->MillisecondsSince(*start) * 1e-3;
  };
  run();  // Warm: kernels are compiled and loaded here.
  double seconds = 0;
  for (auto _ : state) {
    const double once = run();
    seconds += once;
    state.SetIterationTime(once);
  }
  const double calls = static_cast<double>(state.iterations()) * static_cast<double>(sets.count());
  state.counters["GFLOP/s"] = 2e-9 * c.m * c.n * c.k * calls / seconds;
  state.counters["us"] = 1e6 * seconds / calls;
}

void Gemmsmith(benchmark::State& state, const Case& c) {
  try {
    const OperandSets sets(c);
    std::vector<GemmArgs> args;
    for (std::size_t set = 0; set < sets.count(); ++set) args.push_back(sets.Args(set));
    const DType accumulator = c.dtype == DType::kF64 ? DType::kF64 : DType::kF32;
    const GemmProblem problem = Describe(args[0], accumulator);
    TimeOnGpu(state, c, sets, [&](std::size_t set) { TheEngine().Gemm(problem, args[set]); });
  } catch (const Error& error) {
    state.SkipWithError(error.what());
  }
}

/// What is used of cuBLAS, declared here so that the bench builds without it (cublas_api.h, library_types.h).
class Cublas {
 public:
  /// Null where there is none.
  static const Cublas* Get() {
    static const std::unique_ptr<const Cublas> cublas = Open();
    return cublas.get();
  }

  /// 0 on success.
  int Gemm(const Case& c, const GemmArgs& args) const {
    // Column-major to cuBLAS: D^T (n, m) = B (n, k) * A^T (k, m), where B is seen as B^T.
    constexpr int kTranspose = 1, kAsIs = 0, kDefaultAlgorithm = -1;
    const Type type = TypeOf(c.dtype);
    const float one = 1, zero = 0;
    const double one64 = 1, zero64 = 0;
    const bool f64 = c.dtype == DType::kF64;
    const int m = static_cast<int>(c.m), n = static_cast<int>(c.n), k = static_cast<int>(c.k);
    return gemm_(handle_, kTranspose, kAsIs, n, m, k, f64 ? static_cast<const void*>(&one64) : &one, args.b.data,
                 type.data, k, args.a.data, type.data, k, f64 ? static_cast<const void*>(&zero64) : &zero, args.d.data,
                 type.data, n, type.compute, kDefaultAlgorithm);
  }

 private:
  struct Type {
    int data, compute;  ///< cudaDataType_t, cublasComputeType_t.
  };
  static Type TypeOf(DType dtype) {
    switch (dtype) {
      case DType::kF64:
        return {1, 70};
      case DType::kF16:
        return {2, 68};
      case DType::kBf16:
        return {14, 68};
      default:
        return {0, 68};
    }
  }

  using Create = int(void** handle);
  using GemmEx = int(void* handle, int op_a, int op_b, int m, int n, int k, const void* alpha, const void* a,
                     int a_type, int lda, const void* b, int b_type, int ldb, const void* beta, void* c, int c_type,
                     int ldc, int compute_type, int algorithm);

  static std::unique_ptr<const Cublas> Open() {
    for (const char* name : {"libcublas.so.13", "libcublas.so.12", "libcublas.so.11", "libcublas.so"}) {
      void* library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
      if (library == nullptr) continue;
      auto made = std::make_unique<Cublas>();
      auto* create = reinterpret_cast<Create*>(dlsym(library, "cublasCreate_v2"));
      made->gemm_ = reinterpret_cast<GemmEx*>(dlsym(library, "cublasGemmEx"));
      if (create != nullptr && made->gemm_ != nullptr && create(&made->handle_) == 0) return made;
    }
    return nullptr;
  }

  void* handle_ = nullptr;  // As long as the process: cuBLAS may be gone before static destructors run.
  GemmEx* gemm_ = nullptr;
};

void CublasGemm(benchmark::State& state, const Case& c) {
  try {
    const OperandSets sets(c);
    int status = 0;
    TimeOnGpu(state, c, sets, [&](std::size_t set) { status |= Cublas::Get()->Gemm(c, sets.Args(set)); });
    if (status != 0) state.SkipWithError(("cublasGemmEx failed: status " + std::to_string(status)).c_str());
  } catch (const Error& error) {
    state.SkipWithError(error.what());
  }
}

bool RegisterCases() {
  const std::string status = TheEngine().devices().CudaStatus();
  if (!status.empty()) {
    std::fprintf(stderr, "no GPU benchmarks: %s\n", status.c_str());
    return false;
  }
  const bool cublas = Cublas::Get() != nullptr;
  if (!cublas)
    std::fprintf(stderr, "no cuBLAS benchmarks: libcublas.so was not found; name its folder in LD_LIBRARY_PATH\n");
  for (const Case& c : kCases) {
    const std::string name = std::string(ToString(c.dtype)) + "/nt/m:" + std::to_string(c.m) +
                             "/n:" + std::to_string(c.n) + "/k:" + std::to_string(c.k);
    const auto add = [&](const std::string& who, auto run) {
      benchmark::RegisterBenchmark(("cuda_gemm/" + who + "/" + name).c_str(), run, c)->UseManualTime();
    };
    add("gemmsmith", Gemmsmith);
    if (cublas) add("cublas", CublasGemm);
  }
  return true;
}
[[maybe_unused]] const bool registered = RegisterCases();

}  // namespace
}  // namespace gemmsmith
