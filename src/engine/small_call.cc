#include "engine/small_call.h"

#include "runtime/cpu/cpu_kernel.h"

namespace gemmsmith {
namespace {

/// Arguments for a call that is only recorded: nothing is read there. Far apart, and aligned as badly as may be.
GemmArgs Somewhere() {
  GemmArgs args;
  std::uintptr_t tebibytes = 1;
  for (Tensor* tensor : {&args.a, &args.b, &args.c, &args.d}) {
    tensor->data = reinterpret_cast<void*>((tebibytes++ << 40) + 1);
    tensor->rank = 2;
  }
  return args;
}

}  // namespace

std::unique_ptr<const SmallCall> SmallCall::Record(const LaunchStep& step, const Kernel& kernel, const Device& device) {
  const auto* const on_cpu = dynamic_cast<const CpuKernel*>(&kernel);
  if (on_cpu == nullptr || step.prepare != nullptr || step.workspace_bytes != 0) return nullptr;
  if (reinterpret_cast<const CpuGemmParams*>(step.params.data())->has_epilogue) return nullptr;
  const GemmArgs args = Somewhere();
  alignas(128) std::byte bytes[LaunchStep::kMaxParamBytes];
  BindCall(step, args, nullptr, device, bytes);
  const auto& params = *reinterpret_cast<const CpuGemmParams*>(bytes);
  std::unique_ptr<const SmallGemm> gemm = on_cpu->Record(params);
  if (gemm == nullptr) return nullptr;
  return std::unique_ptr<const SmallCall>(new SmallCall(std::move(gemm), params.a == args.b.data));
}

}  // namespace gemmsmith
