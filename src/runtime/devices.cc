#include "gemmsmith/device.h"
#include "runtime/cpu/cpu_device.h"
#include "runtime/device_registry.h"
#include "util/log.h"

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

namespace {

[[noreturn]] void NoTensorMaps(const Device& device) {
  throw Fail(Code::kUnsupported, "use a device of sm_90 or newer", "tensor map: {} ({}) copies no tiles in bulk",
             ToString(device.id()), device.spec().name);
}

}  // namespace

EncodedTensorMap Device::EncodeTensorMap(const TensorMapShape&, void*) const { NoTensorMaps(*this); }
void Device::MoveTensorMap(EncodedTensorMap&, void*) const { NoTensorMaps(*this); }

Devices::Devices() : state_(std::make_unique<State>()) {}
Devices::~Devices() = default;

Device& Devices::Get(DeviceId id) { return state_->registry.Get(id); }
Device& Devices::Best() { return state_->registry.Best(); }
std::vector<Device*> Devices::List() { return state_->registry.List(); }
std::string Devices::CudaStatus() { return state_->registry.CudaStatus(); }

}  // namespace gemmsmith
