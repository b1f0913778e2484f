#include "engine/workspaces.h"

#include <algorithm>

#include "util/log.h"

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
  const std::size_t reserved = block.buffers.empty() ? 0 : block.buffers.back().bytes();
  if (reserved < bytes) {
    if (device.IsCapturing(stream))
      throw Fail(Code::kInvalidArgument, "call Engine::Prepare for the problem, with this stream, before the capture",
                 "workspace: a call needs {} bytes, {} are reserved for its stream, which is captured into a graph",
                 bytes, reserved);
    // By half more at the least, so that all it ever had is no more than three times the last.
    block.buffers.push_back(device.Allocate(std::max(bytes, reserved + reserved / 2)));
  }
  lease.data = block.buffers.back().data();
  return lease;
}

}  // namespace gemmsmith
