#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "gemmsmith/export.h"

namespace gemmsmith {

/// Limits and habits of one cache directory. A limit of zero means "no limit"; every field has the default shown.
/// Limits are kept by whoever adds an entry, in the part of the cache that it adds to, so that all processes together
/// keep them; `gemmsmith cache prune` keeps them everywhere at once. An entry past a limit may be used until it is
/// removed.
struct GEMMSMITH_API CachePolicy {
  std::uint64_t max_disk_cache_size = 5ull << 30;  ///< Bytes of entries, as stored. Those unused longest go first.
  std::uint64_t max_cached_kernels = 20'000;       ///< Entries. Those unused longest go first.
  std::chrono::hours cache_expiration_time{24 *
                                           30};  ///< Since last use, which is known to the hour; not since creation.
  bool enable_compression = true;                ///< zstd, for entries written from now on.
  bool enable_checksum = true;                   ///< Verify on read. Writing always stores one.
  bool enable_sync =
      false;  ///< Wait until an entry is on the medium (5 to 10 ms). Without it a power cut costs a compile.
  bool enable_debug = false;  ///< Keep source, PTX and log beside each entry that is compiled. Never changes the key.

  /// Takes code from the folder, and from bundles, even where other users own them or could write there; each of them
  /// can then run code as this user. That is all it does: what is written is still this user's alone (0600).
  /// GEMMSMITH_ALLOW_SHARED_CACHE=1 does the same.
  bool allow_shared_directory = false;
  /// Not empty: only those kernels of bundles are used that one of these has signed. Public keys as 64 hexadecimal
  /// digits, or files that hold them. One that is neither is warned of, and trusts nobody. GEMMSMITH_TRUSTED_SIGNERS
  /// adds to them. Folders are not signed: what is imported or copied there is the user's own.
  std::vector<std::string> trusted_signers{};

  /// For work on kernels: one day, with debug files.
  static CachePolicy Development();
  /// For serving: 30 days, compressed and verified.
  static CachePolicy Production();

  friend bool operator==(const CachePolicy&, const CachePolicy&) = default;
};

/// Bytes that this user may still write where `directory` is, or will be; empty: the environment's cache directory.
/// For a policy that is a share of the free disk. Throws kIo.
GEMMSMITH_API std::uint64_t GetAvailableDiskSpace(const std::string& directory = {});

/// Counters and contents of one cache: its memory tier in this process, its folder on disk, and its bundles.
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
