#include "runtime/cpu/gemm_driver.h"

#include <algorithm>

#include "runtime/cpu/gemm_call.h"
#include "runtime/cpu/single_tile.h"

namespace gemmsmith {

void RunGemm(const MicroKernelSet& kernels, const CpuGemmParams& params) {
  if (params.m <= 0 || params.n <= 0 || params.batch <= 0) return;
  if (IsSingleTile(params)) return RunSingleTile(kernels, params);
  GemmCall(kernels, params).Run();
}

struct SmallGemm::Made {
  Made(const MicroKernelSet& kernels, const CpuGemmParams& given) : params(given), call(kernels, params) {}
  const CpuGemmParams params;
  GemmCall call;
};

SmallGemm::SmallGemm() = default;
SmallGemm::~SmallGemm() = default;

std::unique_ptr<const SmallGemm> SmallGemm::Record(const MicroKernelSet& kernels, const CpuGemmParams& params) {
  const CpuGemmParams& p = params;
  if (p.has_epilogue || p.alpha_pointer != nullptr || p.beta_pointer != nullptr) return nullptr;
  if (p.m <= 0 || p.n <= 0 || p.batch <= 0) return nullptr;
  const std::int64_t blocks = DivideUp(std::max<std::int64_t>(p.k, 1), p.kc);
  if (p.batch > kMostCalls || DivideUp(p.m, p.mr) * DivideUp(p.n, p.nr) * p.batch * blocks > kMostCalls) return nullptr;
  std::unique_ptr<SmallGemm> small(new SmallGemm);
  small->made_ = std::make_unique<Made>(kernels, params);
  if (!small->made_->call.NeedsNoMemory()) return nullptr;
  small->made_->call.Record(small->calls_, small->ends_);
  return small;
}

void SmallGemm::RunThreads() const {
  const int parts = static_cast<int>(ends_.size());
  ThreadPool::Lease lease = AcquireThreads(made_->params, parts);
  const int threads = lease.threads();
  auto task = [this, parts, threads](int index) {
    for (; index < parts; index += threads)
      for (std::size_t i = index == 0 ? 0 : ends_[index - 1]; i < ends_[index]; ++i) calls_[i].kernel(&calls_[i].args);
  };
  lease.Run(threads, task, true);
}

}  // namespace gemmsmith
