#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "gemmsmith/options.h"
#include "util/file.h"

namespace gemmsmith {

/// An advisory lock between processes, and between threads, by name. A lock is a byte of a file that serves nothing
/// else, so that one file has all of them. The kernel frees it when its holder dies. The file is never unlinked: a new
/// one would be a second set of locks.
class FileLock {
 public:
  /// Creates the file where there is none; it stays empty. Waits at most `timeout`; empty when that is over, or when
  /// `cancel` is set. Throws kIo when the file or its system knows no locks.
  static std::optional<FileLock> Acquire(const std::string& path, std::string_view name,
                                         std::chrono::milliseconds timeout, const CancellationToken* cancel = nullptr);
  FileLock(FileLock&&) = default;
  FileLock& operator=(FileLock&&) = delete;
  ~FileLock();

 private:
  FileLock(UniqueFd fd, off_t byte);

  UniqueFd fd_;
  off_t byte_;
  pid_t owner_;
};

}  // namespace gemmsmith
