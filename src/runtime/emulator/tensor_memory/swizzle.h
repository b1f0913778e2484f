#pragma once

#include <cstdint>

namespace gemmsmith::emulator {

/// How the 16-byte pieces of shared memory trade places, by the width in bytes within which they do.
enum class Swizzle { kNone, k32, k64, k128 };

constexpr std::uint32_t SwizzleBytes(Swizzle swizzle) {
  return swizzle == Swizzle::kNone ? 16 : 16u << static_cast<int>(swizzle);
}
/// After how many bytes the pattern repeats, to which its start is aligned.
constexpr std::uint32_t SwizzlePeriod(Swizzle swizzle) { return 8 * SwizzleBytes(swizzle); }

/// Where the byte at `address` lies: the number of its 16-byte piece is xored with that of its 128-byte line. Addresses
/// count from the start of a CTA's shared memory. `first_line`: the line where the pattern starts, where that is not a
/// multiple of its period (the base offset of matrix descriptors).
constexpr std::uint32_t Swizzled(Swizzle swizzle, std::uint32_t address, std::uint32_t first_line = 0) {
  const std::uint32_t mask = (1u << static_cast<int>(swizzle)) - 1;
  return address ^ ((((address >> 7) - first_line) & mask) << 4);
}

}  // namespace gemmsmith::emulator
