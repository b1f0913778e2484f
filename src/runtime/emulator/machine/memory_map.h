#pragma once

#include <cstddef>
#include <cstdint>
#include <shared_mutex>
#include <string>
#include <vector>

namespace gemmsmith::emulator {

/// Bytes [begin, end) of host memory that kernels may touch.
struct Region {
  std::uint64_t begin = 0, end = 0;
  bool writable = true;
  bool Holds(std::uint64_t first, std::uint64_t last) const { return first >= begin && last <= end && first <= last; }
};

/// The regions of one launch, in order of address. Immutable while the launch runs.
class MemoryMap {
 public:
  void Add(Region region);
  /// The region with the byte at `address`; else one that holds nothing.
  Region Find(std::uint64_t address) const;
  /// "12 bytes past the end of an allocation of 4096 bytes at 0x..." or "no allocation is near".
  std::string Describe(std::uint64_t address) const;

 private:
  std::vector<Region> regions_;
};

/// What is allocated on a device. Thread-safe.
class Allocations {
 public:
  void Add(const void* begin, std::size_t bytes);
  void Remove(const void* begin);
  MemoryMap Snapshot() const;

 private:
  mutable std::shared_mutex mutex_;
  std::vector<Region> regions_;
};

}  // namespace gemmsmith::emulator
