#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "runtime/emulator/machine/code.h"

namespace gemmsmith::emulator {

/// What one lane accesses of global memory, 1 to 32 bytes.
struct Piece {
  std::uint64_t address;
  std::uint32_t bytes;
};

/// What an access of a warp, at most kLanes pieces, moves of global memory.
struct SectorCost {
  std::uint32_t sectors = 0;         ///< Aligned pieces of 32 bytes.
  std::uint32_t distinct_bytes = 0;  ///< Bytes that are asked for, each once.
};
SectorCost SectorsOf(std::span<const Piece> pieces);

/// What an access of a warp costs the 32 banks of shared memory. Lanes go in passes of 128 bytes: all 32 for up to 4
/// bytes each, half-warps for 8, quarter-warps for 16. A pass takes as many wavefronts as the busiest bank has distinct
/// words of 4 bytes to serve; without conflicts, one. Lanes of an atomic update one after the other where they mean the
/// same word.
struct BankCost {
  std::uint32_t wavefronts = 0;
  std::uint32_t conflicts = 0;  ///< Wavefronts beyond one for each pass.
};
BankCost BanksOf(const std::array<std::uint64_t, kLanes>& addresses, std::uint32_t lanes, std::uint32_t bytes,
                 bool atomic);

}  // namespace gemmsmith::emulator
