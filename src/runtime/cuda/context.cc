#include "runtime/cuda/context.h"

#include "util/log.h"

namespace gemmsmith::cuda {

CudaContext::CudaContext(std::shared_ptr<const CudaDriver> driver, int index)
    : driver_(std::move(driver)), name_(fmt::format("cuda:{}", index)) {
  Check(api().cuDeviceGet(&device_, index), "cuDeviceGet");
}

CudaContext::~CudaContext() {
  if (context_.load() != nullptr) Report(api().cuDevicePrimaryCtxRelease_v2(device_), "cuDevicePrimaryCtxRelease");
}

Error CudaContext::Failure(CUresult result, std::string_view operation) const {
  return driver_->Failure(result, fmt::format("{}: {}", name_, operation));
}

CUcontext CudaContext::Retained() const {
  CUcontext context = context_.load(std::memory_order_acquire);
  if (context != nullptr) [[likely]]
    return context;
  const std::scoped_lock lock(mutex_);
  context = context_.load(std::memory_order_relaxed);
  if (context == nullptr) {
    Check(api().cuDevicePrimaryCtxRetain(&context, device_), "cuDevicePrimaryCtxRetain");
    context_.store(context, std::memory_order_release);
  }
  return context;
}

CudaContext::Scope::Scope(const CudaContext& context) : context_(context) {
  const CUcontext wanted = context.Retained();
  context.Check(context.api().cuCtxGetCurrent(&previous_), "cuCtxGetCurrent");
  if (previous_ == wanted) return;
  context.Check(context.api().cuCtxSetCurrent(wanted), "cuCtxSetCurrent");
  switched_ = true;
}

CudaContext::Scope::~Scope() {
  if (switched_) context_.Report(context_.api().cuCtxSetCurrent(previous_), "cuCtxSetCurrent");
}

void CudaContext::Report(CUresult result, std::string_view operation) const {
  if (result != CUDA_SUCCESS && result != CUDA_ERROR_DEINITIALIZED) ReportFailedCleanup(Failure(result, operation));
}

// Not a warning: on a lost device every release fails, long after the error that matters was thrown.
void CudaContext::ReportFailedCleanup(const Error& error) const { LogInfo("{}", error.what()); }

}  // namespace gemmsmith::cuda
