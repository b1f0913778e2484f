#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>

#include "gemmsmith/options.h"
#include "util/file.h"

namespace gemmsmith {

/// An advisory lock between processes, and between threads, on a file that serves nothing else. The kernel frees it
/// when its holder dies. The file is never unlinked: a waiter may hold its inode, and a new file of the same name would
/// be a second lock.
class FileLock {
 public:
  /// Creates the file where there is none. Waits at most `timeout`; empty when that is over, or when `cancel` is set.
  /// Throws kIo when the file or its system knows no locks.
  static std::optional<FileLock> Acquire(const std::string& path, std::chrono::milliseconds timeout,
                                         const CancellationToken* cancel = nullptr);
  FileLock(FileLock&&) = default;
  FileLock& operator=(FileLock&&) = delete;
  ~FileLock();

 private:
  explicit FileLock(UniqueFd fd);

  UniqueFd fd_;
  pid_t owner_;
};

}  // namespace gemmsmith
