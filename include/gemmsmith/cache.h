#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "gemmsmith/export.h"

namespace gemmsmith {

/// Counters and contents of one cache: its memory tier in this process, and its folder on disk, and its bundles.
struct CacheStats {
  std::string directory;    ///< Empty: no disk tier.
  std::string disk_status;  ///< Empty: working. Else why the disk tier is off.
  std::uint64_t memory_kernels = 0;
  std::uint64_t memory_bytes = 0;
  std::uint64_t disk_kernels = 0;
  std::uint64_t disk_bytes = 0;  ///< As stored.
  std::uint64_t bundle_kernels = 0;
  std::uint64_t bundle_bytes = 0;  ///< As stored.
  std::uint64_t quarantined = 0;   ///< Broken entries set aside, on disk.
  std::uint64_t memory_hits = 0, disk_hits = 0, bundle_hits = 0, misses = 0, compiles = 0;  ///< Of this process.
  double saved_compile_ms = 0;  ///< Compile time that this process' disk hits saved.
};

}  // namespace gemmsmith
