#include "runtime/device_registry.h"

#include <utility>

#include "runtime/cuda/cuda_device.h"
#include "runtime/emulator/device/emulator_device.h"
#include "util/log.h"

namespace gemmsmith {

DeviceRegistry::DeviceRegistry(MakeCpu make_cpu, std::string driver_library)
    : make_cpu_(std::move(make_cpu)), driver_library_(std::move(driver_library)) {}

Device& DeviceRegistry::Get(DeviceId id) {
  std::atomic<Device*>& slot = slots_.at(static_cast<std::size_t>(id.kind)).at(id.index);
  if (Device* device = slot.load(std::memory_order_acquire)) [[likely]]
    return *device;
  const std::scoped_lock lock(mutex_);
  if (Device* device = slot.load(std::memory_order_relaxed)) return *device;
  // Kept only on success, so that a GPU that was busy can be asked for again.
  Device* device = opened_.emplace_back(Open(id)).get();
  slot.store(device, std::memory_order_release);
  return *device;
}

std::unique_ptr<Device> DeviceRegistry::Open(DeviceId id) {
  switch (id.kind) {
    case DeviceKind::kCpu:
      if (id.index != 0) throw Fail(Code::kNotFound, "", "no device cpu:{}: there is one CPU device, cpu", id.index);
      return make_cpu_();
    case DeviceKind::kCuda: {
      const auto driver = Driver();
      if (driver == nullptr) throw Fail(Code::kNotFound, "", "no device {}: {}", ToString(id), cuda_status_);
      return std::make_unique<cuda::CudaDevice>(driver, id.index);
    }
    case DeviceKind::kEmulator:
      if (id.index >= AllTargets().size())
        throw Fail(Code::kNotFound, "", "no device {}: there are {} architectures", ToString(id), AllTargets().size());
      return emulator::MakeDevice(AllTargets()[id.index]);
  }
  throw Fail(Code::kInvalidArgument, "", "no such kind of device: {}", static_cast<int>(id.kind));
}

std::shared_ptr<const cuda::CudaDriver> DeviceRegistry::Driver() {
  std::call_once(driver_once_, [&] {
    try {
      driver_ = std::make_shared<const cuda::CudaDriver>(driver_library_);
    } catch (const Error& error) {
      cuda_status_ = error.what();
    }
  });
  return driver_;
}

std::vector<Device*> DeviceRegistry::Gpus(std::size_t limit) {
  std::vector<Device*> gpus;
  const auto driver = Driver();
  for (int i = 0; driver != nullptr && i < driver->device_count() && gpus.size() < limit; ++i) {
    try {
      gpus.push_back(&Get({DeviceKind::kCuda, static_cast<std::uint8_t>(i)}));
    } catch (const Error& error) {
      Warn("cuda:{} is left out: {}", i, error.what());
    }
  }
  return gpus;
}

Device& DeviceRegistry::Best() {
  const std::vector<Device*> gpus = Gpus(1);
  return gpus.empty() ? Get({}) : *gpus.front();
}

std::vector<Device*> DeviceRegistry::List() {
  std::vector<Device*> devices = Gpus(kPerKind);
  devices.insert(devices.begin(), &Get({}));
  return devices;
}

std::string DeviceRegistry::CudaStatus() {
  Driver();
  return cuda_status_;
}

}  // namespace gemmsmith
