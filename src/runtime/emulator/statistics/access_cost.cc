#include "runtime/emulator/statistics/access_cost.h"

#include <algorithm>
#include <bit>
#include <cstddef>

namespace gemmsmith::emulator {
namespace {

constexpr std::uint32_t kSectorBytes = 32, kBanks = 32, kWordBytes = 4;

/// The bytes that are asked for of one sector, by bits.
struct Part {
  std::uint64_t sector;
  std::uint32_t bytes;
};

/// `count` sorted words, of which each counts `once` or as often as it is there: how many the busiest bank has.
std::uint32_t Busiest(const std::uint32_t* words, std::size_t count, bool once) {
  std::array<std::uint8_t, kBanks> served{};
  std::uint8_t most = 0;
  for (std::size_t w = 0; w < count; ++w) {
    if (once && w > 0 && words[w] == words[w - 1]) continue;
    most = std::max(most, ++served[words[w] % kBanks]);
  }
  return most;
}

}  // namespace

SectorCost SectorsOf(std::span<const Piece> pieces) {
  std::array<Part, std::size_t{2} * kLanes> parts;
  std::size_t count = 0;
  bool ascending = true;
  const auto add = [&](std::uint64_t sector, std::uint64_t bytes) {
    if (count > 0 && parts[count - 1].sector == sector) {
      parts[count - 1].bytes |= static_cast<std::uint32_t>(bytes);
      return;
    }
    ascending = ascending && (count == 0 || parts[count - 1].sector < sector);
    parts[count++] = {sector, static_cast<std::uint32_t>(bytes)};
  };
  for (const Piece& piece : pieces) {
    const std::uint64_t first = piece.address / kSectorBytes;
    const std::uint64_t bytes = ((std::uint64_t{1} << piece.bytes) - 1) << piece.address % kSectorBytes;
    add(first, bytes & 0xffffffff);
    if (bytes >> kSectorBytes != 0) add(first + 1, bytes >> kSectorBytes);
  }
  if (!ascending)
    std::sort(parts.begin(), parts.begin() + static_cast<std::ptrdiff_t>(count),
              [](const Part& a, const Part& b) { return a.sector < b.sector; });
  SectorCost cost;
  for (std::size_t p = 0; p < count;) {
    const std::uint64_t sector = parts[p].sector;
    std::uint32_t bytes = 0;
    for (; p < count && parts[p].sector == sector; ++p) bytes |= parts[p].bytes;
    ++cost.sectors;
    cost.distinct_bytes += static_cast<std::uint32_t>(std::popcount(bytes));
  }
  return cost;
}

BankCost BanksOf(const std::array<std::uint64_t, kLanes>& addresses, std::uint32_t lanes, std::uint32_t bytes,
                 bool atomic) {
  const std::uint32_t words_per_lane = std::max(1u, bytes / kWordBytes);
  const std::uint32_t together = std::max(1u, kBanks / words_per_lane);  // Lanes of a pass.
  BankCost cost;
  for (std::uint32_t first = 0; first < kLanes; first += together) {
    std::array<std::uint32_t, kBanks> words;
    std::size_t count = 0;
    for (std::uint32_t lane = first; lane < first + together; ++lane)
      for (std::uint32_t w = 0; (lanes >> lane & 1) != 0 && w < words_per_lane; ++w)
        words[count++] = static_cast<std::uint32_t>(addresses[lane]) / kWordBytes + w;
    if (count == 0) continue;
    std::sort(words.begin(), words.begin() + static_cast<std::ptrdiff_t>(count));
    const std::uint32_t wavefronts = Busiest(words.data(), count, !atomic);
    cost.wavefronts += wavefronts;
    cost.conflicts += wavefronts - 1;
  }
  return cost;
}

}  // namespace gemmsmith::emulator
