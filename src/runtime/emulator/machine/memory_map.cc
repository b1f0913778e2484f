#include "runtime/emulator/machine/memory_map.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <mutex>

#include "runtime/emulator/check/initialised_bytes.h"

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
  initialised_.erase(address);
}

void Allocations::AddPoisoned(void* begin, std::size_t bytes) {
  auto* const to = static_cast<std::byte*>(begin);
  for (std::size_t at = 0; at < bytes; at += sizeof kPoison)
    std::memcpy(to + at, &kPoison, std::min(sizeof kPoison, bytes - at));
  Add(begin, bytes);
  const std::unique_lock lock(mutex_);
  initialised_[reinterpret_cast<std::uint64_t>(begin)] = std::make_shared<InitialisedBytes>(bytes);
}

void Allocations::NoteWrite(const void* begin, std::size_t bytes) {
  const auto address = reinterpret_cast<std::uint64_t>(begin);
  const std::shared_lock lock(mutex_);
  auto found = initialised_.upper_bound(address);
  if (bytes == 0 || found == initialised_.begin()) return;
  --found;
  InitialisedBytes& all = *found->second;
  if (address - found->first < all.bytes())
    all.Mark(address - found->first, std::min(bytes, all.bytes() - (address - found->first)));
}

MemoryMap Allocations::Snapshot() const {
  const std::shared_lock lock(mutex_);
  MemoryMap map;
  for (Region region : regions_) {
    if (const auto found = initialised_.find(region.begin);
        found != initialised_.end() && found->second->FirstUninitialised(0, found->second->bytes())) {
      region.initialised = found->second.get();
      map.Keep(found->second);
    }
    map.Add(region);
  }
  return map;
}

}  // namespace gemmsmith::emulator
