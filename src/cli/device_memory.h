#pragma once

#include <cstddef>

#include "gemmsmith/engine.h"

namespace gemmsmith::cli {

/// Memory of a device, and its copy in host memory; one and the same on the CPU.
class DeviceMemory {
 public:
  DeviceMemory() = default;
  DeviceMemory(Engine& engine, DeviceId device, std::size_t bytes);

  void* device() const { return device_.data(); }
  void* host() const { return host_.data() != nullptr ? host_.data() : device_.data(); }
  /// The first `bytes` of one into the other; waits for them.
  void ToDevice(std::size_t bytes) const { Copy(device_.data(), host_.data(), bytes); }
  void ToHost(std::size_t bytes) const { Copy(host_.data(), device_.data(), bytes); }

 private:
  void Copy(void* to, const void* from, std::size_t bytes) const;

  Device* owner_ = nullptr;
  Buffer device_, host_;
};

}  // namespace gemmsmith::cli
