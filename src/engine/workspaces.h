#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <utility>

#include "gemmsmith/device.h"

namespace gemmsmith {

/// Device memory that the launches of one call pass on to each other: one block for each stream, for a stream's
/// launches follow each other.
class Workspaces {
 public:
  /// A stream's block, for one call: others that launch on that stream wait until this one has launched all it will.
  struct Lease {
    std::unique_lock<std::mutex> lock;
    void* data = nullptr;
  };

  /// At least `bytes`. Growing waits for the stream. Throws kOutOfMemory.
  Lease Take(Device& device, Stream stream, std::size_t bytes);

 private:
  struct Block {
    std::mutex mutex;
    Buffer buffer;
  };
  Block& Find(const Device& device, Stream stream);

  std::mutex mutex_;
  std::map<std::pair<const Device*, void*>, std::unique_ptr<Block>> blocks_;
};

}  // namespace gemmsmith
