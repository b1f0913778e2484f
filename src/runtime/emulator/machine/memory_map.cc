#include "runtime/emulator/machine/memory_map.h"

#include <fmt/format.h>

#include <algorithm>
#include <mutex>

namespace gemmsmith::emulator {

void MemoryMap::Add(Region region) {
  const auto at = std::upper_bound(regions_.begin(), regions_.end(), region.begin,
                                   [](std::uint64_t begin, const Region& r) { return begin < r.begin; });
  regions_.insert(at, region);
}

Region MemoryMap::Find(std::uint64_t address) const {
  const auto after = std::upper_bound(regions_.begin(), regions_.end(), address,
                                      [](std::uint64_t a, const Region& r) { return a < r.begin; });
  if (after == regions_.begin() || address >= std::prev(after)->end) return {};
  return *std::prev(after);
}

std::string MemoryMap::Describe(std::uint64_t address) const {
  // Farther off than this, a neighbour explains nothing.
  constexpr std::uint64_t kNear = 1 << 20;
  const auto after = std::upper_bound(regions_.begin(), regions_.end(), address,
                                      [](std::uint64_t a, const Region& r) { return a < r.begin; });
  if (after != regions_.begin() && address - std::prev(after)->end < kNear) {
    const Region& r = *std::prev(after);
    return fmt::format("{} bytes past the end of the {} bytes at {:#x}", address - r.end, r.end - r.begin, r.begin);
  }
  if (after != regions_.begin() && address < std::prev(after)->end) {
    const Region& r = *std::prev(after);
    return fmt::format("at byte {} of the {} bytes at {:#x}", address - r.begin, r.end - r.begin, r.begin);
  }
  if (after != regions_.end() && after->begin - address < kNear)
    return fmt::format("{} bytes before the {} bytes at {:#x}", after->begin - address, after->end - after->begin,
                       after->begin);
  return "no allocation is near";
}

void Allocations::Add(const void* begin, std::size_t bytes) {
  const auto address = reinterpret_cast<std::uint64_t>(begin);
  const std::unique_lock lock(mutex_);
  regions_.push_back({address, address + bytes, true});
}

void Allocations::Remove(const void* begin) {
  const auto address = reinterpret_cast<std::uint64_t>(begin);
  const std::unique_lock lock(mutex_);
  std::erase_if(regions_, [&](const Region& r) { return r.begin == address; });
}

MemoryMap Allocations::Snapshot() const {
  const std::shared_lock lock(mutex_);
  MemoryMap map;
  for (const Region& region : regions_) map.Add(region);
  return map;
}

}  // namespace gemmsmith::emulator
