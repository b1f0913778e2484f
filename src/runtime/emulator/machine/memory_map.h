#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <shared_mutex>
#include <string>
#include <utility>
#include <vector>

namespace gemmsmith::emulator {

class InitialisedBytes;

/// What fresh memory holds, 8 bytes at a time: NaN in every type of 16 bits and more.
inline constexpr std::uint64_t kPoison = 0x7fd57fd57fd57fd5;

/// Bytes [begin, end) of host memory that kernels may touch.
struct Region {
  std::uint64_t begin = 0, end = 0;
  bool writable = true;
  InitialisedBytes* initialised = nullptr;  ///< Null: all are.
  bool Holds(std::uint64_t first, std::uint64_t last) const { return first >= begin && last <= end && first <= last; }
};

/// The regions of one launch, in order of address. Immutable while the launch runs.
class MemoryMap {
 public:
  void Add(Region region);
  void Keep(std::shared_ptr<InitialisedBytes> bytes) { kept_.push_back(std::move(bytes)); }
  /// The region with the byte at `address`; else one that holds nothing.
  Region Find(std::uint64_t address) const;
  /// "12 bytes past the end of an allocation of 4096 bytes at 0x..." or "no allocation is near".
  std::string Describe(std::uint64_t address) const;

 private:
  std::vector<Region> regions_;
  std::vector<std::shared_ptr<InitialisedBytes>> kept_;
};

/// What is allocated on a device. Thread-safe.
class Allocations {
 public:
  void Add(const void* begin, std::size_t bytes);
  /// The same with poison in it: whoever reads what was not written since can be told so.
  void AddPoisoned(void* begin, std::size_t bytes);
  void Remove(const void* begin);
  /// The host has written, by a call of the device.
  void NoteWrite(const void* begin, std::size_t bytes);
  MemoryMap Snapshot() const;

 private:
  mutable std::shared_mutex mutex_;
  std::vector<Region> regions_;
  std::map<std::uint64_t, std::shared_ptr<InitialisedBytes>> initialised_;  // by where the allocation begins
};

}  // namespace gemmsmith::emulator
