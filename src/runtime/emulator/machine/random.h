#pragma once

#include <cstdint>

namespace gemmsmith::emulator {

/// splitmix64: the next of a sequence that only its state determines.
inline std::uint64_t Draw(std::uint64_t& state) {
  std::uint64_t z = (state += 0x9e3779b97f4a7c15);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

}  // namespace gemmsmith::emulator
