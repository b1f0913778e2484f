#include "engine/workspaces.h"

namespace gemmsmith {

Workspaces::Block& Workspaces::Find(const Device& device, Stream stream) {
  const std::scoped_lock lock(mutex_);
  std::unique_ptr<Block>& block = blocks_[{&device, stream.handle}];
  if (block == nullptr) block = std::make_unique<Block>();
  return *block;
}

Workspaces::Lease Workspaces::Take(Device& device, Stream stream, std::size_t bytes) {
  Block& block = Find(device, stream);
  Lease lease{std::unique_lock(block.mutex), nullptr};
  if (block.buffer.bytes() < bytes) {
    if (block.buffer.data() != nullptr) device.Synchronize(stream);  // launches may still use the old one
    block.buffer = Buffer();
    block.buffer = device.Allocate(bytes);
  }
  lease.data = block.buffer.data();
  return lease;
}

}  // namespace gemmsmith
