#pragma once

#include <sys/stat.h>

#include <optional>
#include <string>

#include "util/file.h"
#include "util/file_lock.h"

#include "results/store.h"

namespace gemmsmith::results {

/// What tells one file, and one state of it, from others.
struct FileState {
  bool exists = false;
  dev_t device = 0;
  ino_t inode = 0;
  off_t size = 0;
  timespec modified{};

  friend bool operator==(const FileState& x, const FileState& y) {
    return x.exists == y.exists && x.device == y.device && x.inode == y.inode && x.size == y.size &&
           x.modified.tv_sec == y.modified.tv_sec && x.modified.tv_nsec == y.modified.tv_nsec;
  }
};
FileState StateOf(const std::string& path);
FileState StateOf(const UniqueFd& fd);

/// Opens a file of a database; empty where there is none. Throws kIo, and Damaged for what is no plain file, too large,
/// or not this user's alone to write.
UniqueFd OpenDatabaseFile(const std::string& path, int flags);
/// From `offset` to the end, with room for the parser's padding behind it. Throws kIo.
std::string ReadFrom(const UniqueFd& fd, const std::string& path, off_t offset);

/// The lock of all that is written to one database. Throws kIo when it is not to be had in time.
FileLock LockDatabase(const Place& place);
/// Gives a file another name, which a warning says; with `copy` it also stays. Call it under the lock.
void SetAside(const std::string& path, const std::string& reason, bool copy = false);

}  // namespace gemmsmith::results
