#pragma once

#include <memory>
#include <vector>

#include "gemmsmith/device.h"
#include "runtime/cuda/context.h"
#include "runtime/cuda/device_query.h"

namespace gemmsmith::cuda {

/// One GPU. Streams that it makes wait for the default stream and it for them, as CUDA's own default is, so that a copy
/// on the default stream is seen by work started later on any of them.
class CudaDevice final : public Device {
 public:
  /// Throws kNotFound if there is no GPU `index`, kUnsupported if it is too old. Its context is made at first use.
  CudaDevice(std::shared_ptr<const CudaDriver> driver, int index);

  DeviceId id() const override { return id_; }
  const DeviceSpec& spec() const override { return spec_; }
  std::vector<CodeTarget> targets() const override { return targets_; }

  std::shared_ptr<const Kernel> Load(const Artifact& artifact) override;
  MemoryPool& memory() override { return memory_; }
  MemoryPool& pinned_memory() override { return pinned_memory_; }
  void Copy(void* to, const void* from, std::size_t bytes, Stream stream) override;
  void Fill(void* to, std::uint8_t byte, std::size_t bytes, Stream stream) override;

  Stream CreateStream() override;
  void DestroyStream(Stream stream) override;
  void Synchronize(Stream stream) override;
  bool IsCapturing(Stream stream) const override;
  std::unique_ptr<Event> CreateEvent() override;

 private:
  DeviceId id_;
  std::shared_ptr<const CudaContext> context_;
  std::vector<CodeTarget> targets_;
  DeviceSpec spec_;
  LaunchLimits limits_;
  MemoryPool memory_, pinned_memory_;
};

}  // namespace gemmsmith::cuda
