#include "cublaslt.h"

#include <cublasLt.h>
#include <dlfcn.h>
#include <fmt/format.h>

#include <stdexcept>

namespace gemmsmith::bench {
namespace {

constexpr int kAlgorithms = 8;
constexpr std::size_t kWorkspaceBytes = 64 << 20;

struct Api {
  decltype(&cublasLtCreate) create;
  decltype(&cublasLtMatmulDescCreate) create_product;
  decltype(&cublasLtMatmulDescDestroy) destroy_product;
  decltype(&cublasLtMatmulDescSetAttribute) set_product;
  decltype(&cublasLtMatrixLayoutCreate) create_layout;
  decltype(&cublasLtMatrixLayoutDestroy) destroy_layout;
  decltype(&cublasLtMatmulPreferenceCreate) create_preference;
  decltype(&cublasLtMatmulPreferenceDestroy) destroy_preference;
  decltype(&cublasLtMatmulPreferenceSetAttribute) set_preference;
  decltype(&cublasLtMatmulAlgoGetHeuristic) propose;
  decltype(&cublasLtMatmul) run;
};

Api Open() {
  void* library = nullptr;
  for (const char* name : {"libcublasLt.so.13", "libcublasLt.so.12", "libcublasLt.so"})
    if (library == nullptr) library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) throw std::runtime_error("libcublasLt.so is not there; name its folder in LD_LIBRARY_PATH");
  const auto find = [&](auto& function, const char* name) {
    function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(dlsym(library, name));
    if (function == nullptr) throw std::runtime_error(fmt::format("libcublasLt.so has no {}", name));
  };
  Api api{};
  find(api.create, "cublasLtCreate");
  find(api.create_product, "cublasLtMatmulDescCreate"), find(api.destroy_product, "cublasLtMatmulDescDestroy");
  find(api.set_product, "cublasLtMatmulDescSetAttribute");
  find(api.create_layout, "cublasLtMatrixLayoutCreate"), find(api.destroy_layout, "cublasLtMatrixLayoutDestroy");
  find(api.create_preference, "cublasLtMatmulPreferenceCreate");
  find(api.destroy_preference, "cublasLtMatmulPreferenceDestroy");
  find(api.set_preference, "cublasLtMatmulPreferenceSetAttribute");
  find(api.propose, "cublasLtMatmulAlgoGetHeuristic"), find(api.run, "cublasLtMatmul");
  return api;
}

void Check(cublasStatus_t status, const char* what) {
  if (status != CUBLAS_STATUS_SUCCESS)
    throw std::runtime_error(fmt::format("{}: status {}", what, static_cast<int>(status)));
}

cudaDataType_t TypeOf(DType dtype) {
  switch (dtype) {
    case DType::kF64:
      return CUDA_R_64F;
    case DType::kF32:
      return CUDA_R_32F;
    case DType::kF16:
      return CUDA_R_16F;
    case DType::kBf16:
      return CUDA_R_16BF;
    case DType::kE4m3:
      return CUDA_R_8F_E4M3;
    case DType::kE5m2:
      return CUDA_R_8F_E5M2;
    case DType::kS8:
      return CUDA_R_8I;
    case DType::kS32:
      return CUDA_R_32I;
    default:
      throw std::runtime_error("no type of cuBLASLt's");
  }
}

cublasComputeType_t ComputeOf(const Case& c) {
  if (c.ab == DType::kF64) return CUBLAS_COMPUTE_64F;
  if (c.ab == DType::kS8) return CUBLAS_COMPUTE_32I;
  return c.compute == ComputeMode::kTf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
}

}  // namespace

struct CublasLt::State {
  Api api = Open();
  cublasLtHandle_t handle = nullptr;  // As long as the process: cuBLAS may be gone before static destructors run.
  Buffer workspace;
};

CublasLt::CublasLt(Device& device) : state_(std::make_unique<State>()) {
  state_->workspace = device.Allocate(kWorkspaceBytes);
  Check(state_->api.create(&state_->handle), "cublasLtCreate");
}
CublasLt::~CublasLt() = default;

struct CublasLt::Product::State {
  const CublasLt::State& library;
  cublasLtMatmulDesc_t product = nullptr;
  cublasLtMatrixLayout_t first = nullptr, second = nullptr, d = nullptr;
  cublasLtMatmulPreference_t preference = nullptr;
  cublasLtMatmulHeuristicResult_t proposed[kAlgorithms] = {};
  int count = 0;
  bool f64 = false, integer = false;

  explicit State(const CublasLt::State& library) : library(library) {}
  ~State() {
    library.api.destroy_preference(preference);
    for (cublasLtMatrixLayout_t layout : {first, second, d}) library.api.destroy_layout(layout);
    library.api.destroy_product(product);
  }
};

// Column-major to cuBLAS: D^T (n, m) = B (n, k) * A^T (k, m), where the first comes as its transpose.
CublasLt::Product::Product(const CublasLt& library, const Case& c) : state_(std::make_unique<State>(*library.state_)) {
  State& s = *state_;
  const Api& api = s.library.api;
  s.f64 = c.ab == DType::kF64, s.integer = c.ab == DType::kS8;
  const cudaDataType_t scale = s.f64 ? CUDA_R_64F : s.integer ? CUDA_R_32I : CUDA_R_32F;
  Check(api.create_product(&s.product, ComputeOf(c), scale), "cublasLtMatmulDescCreate");
  const cublasOperation_t transpose = CUBLAS_OP_T, as_is = CUBLAS_OP_N;
  Check(api.set_product(s.product, CUBLASLT_MATMUL_DESC_TRANSA, &transpose, sizeof(transpose)), "transposition");
  Check(api.set_product(s.product, CUBLASLT_MATMUL_DESC_TRANSB, &as_is, sizeof(as_is)), "transposition");
  Check(api.create_layout(&s.first, TypeOf(c.ab), c.k, c.n, c.k), "layout");
  Check(api.create_layout(&s.second, TypeOf(c.ab), c.k, c.m, c.k), "layout");
  Check(api.create_layout(&s.d, TypeOf(c.d), c.n, c.m, c.n), "layout");
  Check(api.create_preference(&s.preference), "preference");
  Check(api.set_preference(s.preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &kWorkspaceBytes,
                           sizeof(kWorkspaceBytes)),
        "preference");
  Check(api.propose(s.library.handle, s.product, s.first, s.second, s.d, s.d, s.preference, kAlgorithms, s.proposed,
                    &s.count),
        "cublasLtMatmulAlgoGetHeuristic");
  if (s.count == 0) throw std::runtime_error("no algorithm");
}
CublasLt::Product::~Product() = default;

std::size_t CublasLt::Product::algorithms() const { return static_cast<std::size_t>(state_->count); }

void CublasLt::Product::Run(std::size_t algorithm, const GemmArgs& args, Stream stream) const {
  const State& s = *state_;
  const float one = 1, zero = 0;
  const double one64 = 1, zero64 = 0;
  const std::int32_t one32 = 1, zero32 = 0;
  const void* const alpha = s.f64       ? static_cast<const void*>(&one64)
                            : s.integer ? static_cast<const void*>(&one32)
                                        : &one;
  const void* const beta = s.f64       ? static_cast<const void*>(&zero64)
                           : s.integer ? static_cast<const void*>(&zero32)
                                       : &zero;
  Check(s.library.api.run(s.library.handle, s.product, alpha, args.b.data, s.first, args.a.data, s.second, beta,
                          args.d.data, s.d, args.d.data, s.d, &s.proposed[algorithm].algo, s.library.workspace.data(),
                          kWorkspaceBytes, static_cast<cudaStream_t>(stream.handle)),
        "cublasLtMatmul");
}

}  // namespace gemmsmith::bench
