#pragma once

#include <cstdint>

#include "gemmsmith/kernel.h"
#include "gemmsmith/target.h"

namespace gemmsmith::emulator {

/// What the devices of an architecture can do.
struct ArchitectureLimits {
  std::uint32_t threads_per_block = 1024;
  Dim3 block{1024, 1024, 64};
  Dim3 grid{0x7fffffff, 65535, 65535};
  std::uint32_t shared_per_block = 0;  ///< Bytes, after opting in.
  std::uint32_t shared_per_sm = 0;
  std::uint32_t threads_per_sm = 0;
  std::uint32_t blocks_per_sm = 0;
  std::uint32_t registers_per_sm = 65536, registers_per_thread = 255;
  std::uint32_t cluster = 1;  ///< Blocks; 8 everywhere that has clusters.
  int multiprocessors = 1;
};

ArchitectureLimits LimitsOf(const CodeTarget& target);

}  // namespace gemmsmith::emulator
