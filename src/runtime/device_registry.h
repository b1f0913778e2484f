#pragma once

#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "gemmsmith/device.h"
#include "runtime/cuda/driver.h"

namespace gemmsmith {

/// Opens devices when they are first asked for, and keeps them. Thread-safe.
class DeviceRegistry {
 public:
  using MakeCpu = std::function<std::unique_ptr<Device>()>;
  explicit DeviceRegistry(MakeCpu make_cpu, std::string driver_library = cuda::CudaDriver::kLibrary);

  Device& Get(DeviceId id);
  Device& Best();
  std::vector<Device*> List();
  std::string CudaStatus();

 private:
  static constexpr std::size_t kKinds = 3, kPerKind = 256;
  std::unique_ptr<Device> Open(DeviceId id);
  /// Null where there is no driver or GPU; cuda_status_ then says why.
  std::shared_ptr<const cuda::CudaDriver> Driver();
  /// The GPUs that open; a warning for each that does not. At most `limit`.
  std::vector<Device*> Gpus(std::size_t limit);

  MakeCpu make_cpu_;
  std::string driver_library_;
  std::once_flag driver_once_;
  std::shared_ptr<const cuda::CudaDriver> driver_;
  std::string cuda_status_;

  std::mutex mutex_;  // Held while a device is opened.
  std::vector<std::unique_ptr<Device>> opened_;
  // By kind and index, so that finding an open device takes no lock.
  std::array<std::array<std::atomic<Device*>, kPerKind>, kKinds> slots_{};
};

}  // namespace gemmsmith
