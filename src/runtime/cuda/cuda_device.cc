#include "runtime/cuda/cuda_device.h"

#include "artifact.h"
#include "runtime/cuda/module.h"
#include "util/log.h"

namespace gemmsmith::cuda {
namespace {

CUdeviceptr Address(const void* pointer) { return reinterpret_cast<CUdeviceptr>(pointer); }
CUstream Handle(Stream stream) { return static_cast<CUstream>(stream.handle); }

/// Null where memory is used up; the pool then trims itself and asks again.
void* Granted(const CudaContext& context, CUresult result, void* pointer, std::string_view function,
              std::size_t bytes) {
  if (result == CUDA_SUCCESS) return pointer;
  if (result == CUDA_ERROR_OUT_OF_MEMORY) return nullptr;
  throw context.Failure(result, fmt::format("{} of {} bytes", function, bytes));
}

MemoryPool::Source DeviceMemory(std::shared_ptr<const CudaContext> context) {
  const auto allocate = [context](std::size_t bytes) {
    const CudaContext::Scope scope(*context);
    CUdeviceptr address = 0;
    const CUresult result = context->api().cuMemAlloc_v2(&address, bytes);
    return Granted(*context, result, reinterpret_cast<void*>(address), "cuMemAlloc", bytes);
  };
  const auto free = [context](void* pointer, std::size_t) {
    context->Cleanup("cuMemFree", [&] { return context->api().cuMemFree_v2(Address(pointer)); });
  };
  return {context->name(), allocate, free};
}

MemoryPool::Source PinnedMemory(std::shared_ptr<const CudaContext> context) {
  const auto allocate = [context](std::size_t bytes) {
    const CudaContext::Scope scope(*context);
    void* pointer = nullptr;
    const CUresult result = context->api().cuMemHostAlloc(&pointer, bytes, kHostAllocPortable);
    return Granted(*context, result, pointer, "cuMemHostAlloc", bytes);
  };
  const auto free = [context](void* pointer, std::size_t) {
    context->Cleanup("cuMemFreeHost", [&] { return context->api().cuMemFreeHost(pointer); });
  };
  return {context->name() + " pinned", allocate, free};
}

std::shared_ptr<const CudaContext> OpenContext(std::shared_ptr<const CudaDriver> driver, int index) {
  if (index < 0 || index >= driver->device_count())
    throw Fail(Code::kNotFound, "", "no device cuda:{}: this machine has {} (cuda:0 to cuda:{})", index,
               driver->device_count(), driver->device_count() - 1);
  return std::make_shared<const CudaContext>(std::move(driver), index);
}

class CudaEvent final : public Event {
 public:
  explicit CudaEvent(std::shared_ptr<const CudaContext> context) : context_(std::move(context)) {
    const CudaContext::Scope scope(*context_);
    context_->Check(context_->api().cuEventCreate(&event_, CU_EVENT_DEFAULT), "cuEventCreate");
  }
  ~CudaEvent() override {
    context_->Cleanup("cuEventDestroy", [&] { return context_->api().cuEventDestroy_v2(event_); });
  }
  CudaEvent(const CudaEvent&) = delete;
  CudaEvent& operator=(const CudaEvent&) = delete;

  void Record(Stream stream) override {
    const CudaContext::Scope scope(*context_);
    context_->Check(context_->api().cuEventRecord(event_, Handle(stream)), "cuEventRecord");
  }

  double MillisecondsSince(const Event& start) const override {
    const auto* begin = dynamic_cast<const CudaEvent*>(&start);
    if (begin == nullptr || begin->context_ != context_)
      throw Fail(Code::kInvalidArgument, "", "event: the start of a time on {} must be an event of {}",
                 context_->name(), context_->name());
    const CudaContext::Scope scope(*context_);
    float milliseconds = 0;
    context_->Check(context_->api().cuEventSynchronize(begin->event_), "cuEventSynchronize");
    context_->Check(context_->api().cuEventSynchronize(event_), "cuEventSynchronize");
    context_->Check(context_->api().cuEventElapsedTime(&milliseconds, begin->event_, event_),
                    "cuEventElapsedTime (both events must be recorded)");
    return milliseconds;
  }

 private:
  std::shared_ptr<const CudaContext> context_;
  CUevent event_ = nullptr;
};

}  // namespace

CudaDevice::CudaDevice(std::shared_ptr<const CudaDriver> driver, int index)
    : id_{DeviceKind::kCuda, static_cast<std::uint8_t>(index)},
      context_(OpenContext(std::move(driver), index)),
      targets_(QueryTargets(*context_)),
      spec_(QueryDeviceSpec(*context_, targets_.front())),
      limits_(QueryLaunchLimits(*context_)),
      memory_(DeviceMemory(context_)),
      pinned_memory_(PinnedMemory(context_)) {}

std::shared_ptr<const Kernel> CudaDevice::Load(const Artifact& artifact) {
  return LoadKernel(context_, limits_, artifact);
}

void CudaDevice::Copy(void* to, const void* from, std::size_t bytes, Stream stream) {
  if (bytes == 0) return;
  if (to == nullptr || from == nullptr)
    throw Fail(Code::kInvalidArgument, "", "{}: copy of {} bytes {} a null pointer", context_->name(), bytes,
               to == nullptr ? "to" : "from");
  const CudaContext::Scope scope(*context_);
  // Addresses are unified: the driver tells host from device by the pointers.
  context_->Check(context_->api().cuMemcpyAsync(Address(to), Address(from), bytes, Handle(stream)), "cuMemcpyAsync");
}

void CudaDevice::Fill(void* to, std::uint8_t byte, std::size_t bytes, Stream stream) {
  if (bytes == 0) return;
  if (to == nullptr)
    throw Fail(Code::kInvalidArgument, "", "{}: fill of {} bytes at a null pointer", context_->name(), bytes);
  const CudaContext::Scope scope(*context_);
  context_->Check(context_->api().cuMemsetD8Async(Address(to), byte, bytes, Handle(stream)), "cuMemsetD8Async");
}

Stream CudaDevice::CreateStream() {
  const CudaContext::Scope scope(*context_);
  CUstream stream = nullptr;
  context_->Check(context_->api().cuStreamCreate(&stream, CU_STREAM_DEFAULT), "cuStreamCreate");
  return {stream};
}

void CudaDevice::DestroyStream(Stream stream) {
  if (stream.handle == nullptr)
    throw Fail(Code::kInvalidArgument, "", "{}: the default stream cannot be destroyed", context_->name());
  const CudaContext::Scope scope(*context_);
  context_->Check(context_->api().cuStreamDestroy_v2(Handle(stream)), "cuStreamDestroy");
}

void CudaDevice::Synchronize(Stream stream) {
  const CudaContext::Scope scope(*context_);
  context_->Check(context_->api().cuStreamSynchronize(Handle(stream)), "cuStreamSynchronize");
}

bool CudaDevice::IsCapturing(Stream stream) const {
  const CudaContext::Scope scope(*context_);
  CUstreamCaptureStatus status = CU_STREAM_CAPTURE_STATUS_NONE;
  // It fails on the default stream while another one captures: waiting for it would then fail too.
  return context_->api().cuStreamIsCapturing(Handle(stream), &status) != CUDA_SUCCESS ||
         status != CU_STREAM_CAPTURE_STATUS_NONE;
}

std::unique_ptr<Event> CudaDevice::CreateEvent() { return std::make_unique<CudaEvent>(context_); }

}  // namespace gemmsmith::cuda
