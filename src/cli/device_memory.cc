#include "cli/device_memory.h"

#include <algorithm>

namespace gemmsmith::cli {

DeviceMemory::DeviceMemory(Engine& engine, DeviceId device, std::size_t bytes) : owner_(&engine.devices().Get(device)) {
  bytes = std::max<std::size_t>(bytes, 1);
  device_ = owner_->Allocate(bytes);
  if (device.kind != DeviceKind::kCpu) host_ = engine.devices().Get({}).Allocate(bytes);
}

void DeviceMemory::Copy(void* to, const void* from, std::size_t bytes) const {
  if (host_.data() == nullptr || bytes == 0) return;
  owner_->Copy(to, from, bytes);
  owner_->Synchronize();
}

}  // namespace gemmsmith::cli
