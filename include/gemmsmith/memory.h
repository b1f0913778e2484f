#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "gemmsmith/export.h"

namespace gemmsmith {

struct MemoryPoolStats {
  std::uint64_t used_bytes = 0;    ///< Held by callers.
  std::uint64_t cached_bytes = 0;  ///< Free, kept for the next allocation.
  std::uint64_t peak_used_bytes = 0;
  std::uint64_t allocations = 0;  ///< Calls of Allocate.
  std::uint64_t reuses = 0;       ///< Of these, served from cached memory.
};

/// Keeps freed blocks for reuse, by power-of-two-and-a-half size classes (beyond 64 MiB: whole 2 MiB). Thread-safe. One
/// per device and kind of memory (device, pinned host, host).
class GEMMSMITH_API MemoryPool {
 public:
  /// Where blocks come from. `allocate` returns null when there is no more.
  struct Source {
    std::string name;  ///< "cuda:0", "cuda:0 pinned", "host"; appears in errors.
    std::function<void*(std::size_t bytes)> allocate;
    std::function<void(void* pointer, std::size_t bytes)> free;
    bool exact = false;  ///< Blocks have just the bytes asked for and are not kept: for devices that check accesses.
  };
  explicit MemoryPool(Source source);
  ~MemoryPool();
  MemoryPool(const MemoryPool&) = delete;
  MemoryPool& operator=(const MemoryPool&) = delete;

  /// A block of at least `bytes`, aligned to 256 bytes. Before giving up it trims itself and asks the system again.
  /// Throws kOutOfMemory, naming the cap or the source.
  void* Allocate(std::size_t bytes);
  /// Returns a block, which the next Allocate may give out: no stream may use it any more. `nullptr` is ignored. Throws
  /// kInvalidArgument for a pointer that is not a block in use.
  void Free(void* pointer);
  /// Bytes that used and cached blocks together may take; 0: no limit (the default).
  void SetCap(std::uint64_t bytes);
  /// Gives cached memory back to the system.
  void Trim();
  MemoryPoolStats stats() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace gemmsmith
