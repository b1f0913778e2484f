#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <ctime>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "jit/cache/entry_format.h"

namespace gemmsmith {

/// The files of a cache directory (docs/cache-format.md), for whoever reads or removes entries. Any of them may be gone
/// the moment after it was seen.

inline constexpr int kShards = 256;

/// An entry as it was seen.
struct EntryFile {
  std::string digest;
  std::uint64_t bytes = 0;
  std::timespec modified{};
  ino_t inode = 0;
  bool alone = false;  ///< Nothing but entries lies in its folder: there are no debug files.

  EntryFile(std::string_view name, const struct stat& info, bool is_alone)
      : digest(name),
        bytes(static_cast<std::uint64_t>(info.st_size)),
        modified(info.st_mtim),
        inode(info.st_ino),
        alone(is_alone) {}
  /// Seconds since 1970. A time in the future, after the clock was set back, is now.
  std::int64_t LastUse(std::int64_t now) const { return modified.tv_sec < now ? modified.tv_sec : now; }
};

std::string EntryPath(const std::string& directory, std::string_view digest);
/// Of the file with all locks of the cache (FileLock), by name: a key's digest, "evict", "counters <1 hex>".
std::string LockPath(const std::string& directory);
std::string QuarantinePath(const std::string& directory, std::string_view digest);

/// Visits the entries of one shard until `visit` returns false, which is then returned. What else lies there is no
/// entry. Throws kIo for a folder that cannot be read: some would be left out.
bool VisitShard(const std::string& directory, int shard, const std::function<bool(const EntryFile&)>& visit);
/// Of all shards.
void VisitEntries(const std::string& directory, const std::function<bool(const EntryFile&)>& visit);
/// Of those set aside.
void VisitQuarantine(const std::string& directory, const std::function<bool(const EntryFile&)>& visit);
/// Throws kIo.
std::uint64_t CountQuarantined(const std::string& directory);

struct FileBytes {
  std::unique_ptr<char[]> bytes;
  std::size_t size = 0;
  struct stat info {};

  std::string_view view() const { return {bytes.get(), size}; }
};
/// The first `most` bytes; by default a whole entry, or one byte more than any has. Empty for what is not there, or no
/// file. `touch` renews the time of last use, at most hourly. Throws kIo.
std::optional<FileBytes> ReadEntryFile(const std::string& path, bool touch, std::uint64_t most = kMaxEntryBytes + 1);

/// Puts the bytes of an entry in its place, whole or not at all. Throws kIo.
void WriteEntry(const std::string& directory, std::string_view digest, std::string_view bytes, bool sync);

/// Removes an entry and what is kept beside it for debugging, unless it was replaced or used since it was `seen`. False
/// if it was, or somebody else was first.
bool RemoveEntry(const std::string& directory, const EntryFile& seen);
/// Moves what has inode `inode` into the quarantine. False if it cannot be moved, or something else is in its place.
bool QuarantineEntry(const std::string& directory, std::string_view digest, ino_t inode);

/// What CachePolicy::enable_debug keeps beside an entry. Throws kIo.
void WriteDebugFile(const std::string& directory, std::string_view digest, std::string_view suffix,
                    std::string_view text);
/// Empty where it is not kept.
std::string ReadDebugFile(const std::string& directory, std::string_view digest, std::string_view suffix);
/// Those of all entries, and of entries that are gone.
void RemoveDebugFiles(const std::string& directory);
/// The suffixes of those files: ".cu", ".ptx", ".log".
inline constexpr std::string_view kDebugSuffixes[] = {".cu", ".ptx", ".log"};

}  // namespace gemmsmith
