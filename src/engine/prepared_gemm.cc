#include "gemmsmith/prepared_gemm.h"

#include "engine/engine_state.h"
#include "gemmsmith/engine.h"
#include "runtime/cpu/cpu_kernel.h"
#include "util/log.h"

namespace gemmsmith {
namespace {

/// A bounding range; of a packed B at least what its elements take.
std::size_t BytesOf(const Tensor& tensor) {
  std::int64_t last = 0;
  for (int i = 0; i < tensor.rank; ++i) {
    if (tensor.shape[i] == 0) return 0;
    last += (tensor.shape[i] - 1) * tensor.strides[i];
  }
  return static_cast<std::size_t>(last + 1) * SizeOf(tensor.dtype);
}

bool Meet(const void* x, std::size_t x_bytes, const void* y, std::size_t y_bytes) {
  const auto first = reinterpret_cast<std::uintptr_t>(x), second = reinterpret_cast<std::uintptr_t>(y);
  return first < second + y_bytes && second < first + x_bytes;
}

/// The call that `plan` makes of `args`, where that is a few calls of micro-kernels.
std::shared_ptr<const SmallGemm> RecordOnCpu(const Plan& plan, const GemmArgs& args) {
  if (plan.device.kind != DeviceKind::kCpu || plan.steps.size() != 1 || plan.swapped || plan.by_groups) return nullptr;
  const Plan::Step& step = plan.steps[0];
  const auto* const kernel = dynamic_cast<const CpuKernel*>(step.kernel.get());
  if (kernel == nullptr || plan.prepare != nullptr || plan.workspace_bytes != 0) return nullptr;
  alignas(128) std::byte params[LaunchStep::kMaxParamBytes];
  BindCall(step.launch, args, nullptr, *plan.there, params);
  return kernel->Record(*reinterpret_cast<const CpuGemmParams*>(params));
}

}  // namespace

PreparedGemm::PreparedGemm(Engine& engine, const GemmProblem& problem, const GemmArgs& args, const Plan& plan)
    : engine_(&engine),
      plan_(&plan),
      problem_(problem),
      epilogue_(args.epilogue == nullptr ? nullptr : std::make_shared<const EpilogueArgs>(*args.epilogue)),
      scales_(args.scales == nullptr ? nullptr : std::make_shared<const ScaleArgs>(*args.scales)),
      groups_(args.groups == nullptr ? nullptr : std::make_shared<const GroupArgs>(*args.groups)),
      args_(args),
      misaligned_((std::uintptr_t{1} << problem.alignment) - 1),
      bytes_{BytesOf(args.a), BytesOf(args.b), BytesOf(args.c.given() ? args.c : args.d), BytesOf(args.d)} {
  if (!args_.c.given()) args_.c = args_.d;
  args_.epilogue = epilogue_.get();
  args_.scales = scales_.get();
  args_.groups = groups_.get();
  small_ = RecordOnCpu(plan, args_);
}

void PreparedGemm::Run(Stream stream) const {
  const bool is_right = plan_->first_use == nullptr || plan_->first_use->right.load(std::memory_order_acquire);
  if (small_ != nullptr && is_right && !engine_->state_->profiler.enabled()) return small_->Run();
  engine_->Run(*plan_, args_, stream);
}

void PreparedGemm::Run(const void* a, const void* b, const void* c, void* d, Stream stream) const {
  GemmArgs args = args_;
  args.a.data = const_cast<void*>(a);
  args.b.data = const_cast<void*>(b);
  args.c.data = c != nullptr ? const_cast<void*>(c) : d;
  args.d.data = d;
  const auto bits = reinterpret_cast<std::uintptr_t>(a) | reinterpret_cast<std::uintptr_t>(b) |
                    reinterpret_cast<std::uintptr_t>(args.c.data) | reinterpret_cast<std::uintptr_t>(d);
  const bool meets = Meet(d, bytes_[3], a, bytes_[0]) || Meet(d, bytes_[3], b, bytes_[1]) ||
                     (args.c.data != d && Meet(d, bytes_[3], args.c.data, bytes_[2]));
  if ((bits & misaligned_) != 0 || meets || a == nullptr || b == nullptr || d == nullptr || epilogue_ != nullptr ||
      scales_ != nullptr || groups_ != nullptr) [[unlikely]]
    CheckAgain(args);
  engine_->Run(*plan_, args, stream);
}

/// In full: what seemed wrong may be two matrices side by side in a wider one.
void PreparedGemm::CheckAgain(const GemmArgs& args) const {
  const GemmProblem given = Describe(args, problem_.acc_type, problem_.compute);
  if (given.alignment < problem_.alignment)
    throw Fail(Code::kInvalidArgument, "prepare the call with the least aligned pointers",
               "prepared gemm: pointers are multiples of {} bytes; it was prepared for {}", 1 << given.alignment,
               1 << problem_.alignment);
}

}  // namespace gemmsmith
