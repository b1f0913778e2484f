#include "gemmsmith/device.h"
#include "runtime/cpu/cpu_device.h"
#include "runtime/device_registry.h"

namespace gemmsmith {

/// A door to the one registry of the process: contexts, pools and threads are too dear to have twice.
struct Devices::State {
  // Never destroyed: kernels and buffers may outlive every engine, up to the end of the process.
  static DeviceRegistry& OfProcess() {
    static auto* const registry = new DeviceRegistry(MakeCpuDevice);
    return *registry;
  }
  DeviceRegistry& registry = OfProcess();
};

Devices::Devices() : state_(std::make_unique<State>()) {}
Devices::~Devices() = default;

Device& Devices::Get(DeviceId id) { return state_->registry.Get(id); }
Device& Devices::Best() { return state_->registry.Best(); }
std::vector<Device*> Devices::List() { return state_->registry.List(); }
std::string Devices::CudaStatus() { return state_->registry.CudaStatus(); }

}  // namespace gemmsmith
