#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "gemmsmith/device.h"

namespace gemmsmith {

/// Device memory that the launches of one call pass on to each other: one block for each stream, for a stream's
/// launches follow each other. Blocks only grow, and stay as long as this.
class Workspaces {
 public:
  /// A stream's block, for one call: others that launch on that stream wait until this one has launched all it will.
  struct Lease {
    std::unique_lock<std::mutex> lock;
    void* data = nullptr;
  };

  /// At least `bytes`. Growing waits for nothing. Throws kOutOfMemory; kInvalidArgument where the block would have to
  /// grow while `stream` is captured.
  Lease Take(Device& device, Stream stream, std::size_t bytes);

 private:
  struct Block {
    std::mutex mutex;
    /// The last is taken. Launches under way, and graphs that were captured, may use those before it.
    std::vector<Buffer> buffers;
  };
  Block& Find(const Device& device, Stream stream);

  std::mutex mutex_;
  std::map<std::pair<const Device*, void*>, std::unique_ptr<Block>> blocks_;
};

}  // namespace gemmsmith
