#include "runtime/cpu/gemm_driver.h"

#include <algorithm>

#include "runtime/cpu/gemm_call.h"

namespace gemmsmith {

void RunGemm(const MicroKernelSet& kernels, const CpuGemmParams& params) {
  if (params.m <= 0 || params.n <= 0 || params.batch <= 0) return;
  GemmCall(kernels, params).Run();
}

struct SmallGemm::Made {
  Made(const MicroKernelSet& kernels, const CpuGemmParams& given)
      : entries(kernels), params(given), call(entries, params), sum(Info(given.math).sum) {}
  const MicroKernelSet entries;
  const CpuGemmParams params;
  GemmCall call;
  const DType sum;
};

SmallGemm::SmallGemm() = default;
SmallGemm::~SmallGemm() = default;

std::unique_ptr<const SmallGemm> SmallGemm::Record(const MicroKernelSet& kernels, const CpuGemmParams& params) {
  const CpuGemmParams& p = params;
  if (p.has_epilogue || p.m <= 0 || p.n <= 0 || p.k <= 0 || p.batch <= 0) return nullptr;
  const std::int64_t blocks = DivideUp(p.k, p.kc);
  if (p.batch > kMostCalls || DivideUp(p.m, p.mr) * DivideUp(p.n, p.nr) * p.batch * blocks > kMostCalls) return nullptr;
  std::unique_ptr<SmallGemm> small(new SmallGemm);
  small->made_ = std::make_unique<Made>(kernels, params);
  if (!small->made_->call.NeedsNoMemory()) return nullptr;
  small->made_->call.Record(small->calls_, small->ends_);
  return small;
}

std::unique_ptr<const SmallGemm> SmallGemm::At(const CpuOperands& operands) const {
  CpuGemmParams params = made_->params;
  params.a = operands.a, params.b = operands.b, params.c = operands.c, params.d = operands.d;
  params.alpha = operands.alpha, params.beta = operands.beta;
  if (operands.alpha_pointer != nullptr || operands.beta_pointer != nullptr)
    return nullptr;  // They are read each time.
  return Record(made_->entries, params);
}

namespace {

/// Makes recorded calls with operands that lie elsewhere.
class Mover {
 public:
  Mover(const CpuGemmParams& recorded, const CpuOperands& now, DType sum)
      : a_(Bytes(now.a) - Bytes(recorded.a)),
        b_(Bytes(now.b) - Bytes(recorded.b)),
        c_(Bytes(now.c) - Bytes(recorded.c)),
        d_(Bytes(now.d) - Bytes(recorded.d)),
        alpha_(sum, now.alpha, now.alpha_pointer),
        beta_(sum, now.beta, now.beta_pointer) {}

  void Run(const SmallGemm::TileCall& call) const {
    MicroKernelArgs args = call.args;
    args.a = Bytes(args.a) + a_;
    args.b = Bytes(args.b) + b_;
    args.ahead = Bytes(args.ahead) + b_;
    args.d = static_cast<std::byte*>(args.d) + d_;
    args.alpha = alpha_.data();
    if (args.c_is_sum != 0) {  // That of D so far.
      args.c = Bytes(args.c) + d_;
    } else {
      args.c = Bytes(args.c) + c_;
      args.beta = beta_.data();
    }
    call.kernel(&args);
  }

 private:
  const std::ptrdiff_t a_, b_, c_, d_;
  const SumValue alpha_, beta_;
};

}  // namespace

void SmallGemm::Run(const CpuOperands& operands) const {
  if (ends_.size() > 1) return RunThreads(&operands);
  const Mover mover(made_->params, operands, made_->sum);
  for (const TileCall& call : calls_) mover.Run(call);
}

void SmallGemm::RunThreads(const CpuOperands* operands) const {
  const int parts = static_cast<int>(ends_.size());
  ThreadPool::Lease lease = AcquireThreads(made_->params, parts);
  const int threads = lease.threads();
  const auto run = [&](const auto& make) {
    auto task = [&](int index) {
      for (; index < parts; index += threads)
        for (std::size_t i = index == 0 ? 0 : ends_[index - 1]; i < ends_[index]; ++i) make(calls_[i]);
    };
    lease.Run(threads, task, true);
  };
  if (operands == nullptr) return run([](const TileCall& call) { call.kernel(&call.args); });
  const Mover mover(made_->params, *operands, made_->sum);
  run([&](const TileCall& call) { mover.Run(call); });
}

}  // namespace gemmsmith
