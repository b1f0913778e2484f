#pragma once

#include <sys/types.h>

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "gemmsmith/error.h"

namespace gemmsmith {

/// Owns a file descriptor. Move-only.
class UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~UniqueFd();

  explicit operator bool() const { return fd_ >= 0; }
  int get() const { return fd_; }
  /// For a close that is checked.
  int release() { return std::exchange(fd_, -1); }

 private:
  int fd_ = -1;
};

/// kIo: "write /a/b: No space left on device", with a remedy where there is one. `error` is an errno.
Error IoError(std::string_view operation, const std::string& path, int error);

/// open(2), once more where a signal interrupts it, as on network file systems. Empty and errno when that fails.
UniqueFd OpenFile(const std::string& path, int flags, mode_t mode = 0);
/// The same for the entries of a folder.
std::filesystem::directory_iterator OpenFolder(const std::string& path, std::error_code& error);
/// Reads until the end or `size` bytes, whichever is first; the bytes read. -1 and errno when that fails.
std::ptrdiff_t ReadFully(int fd, char* buffer, std::size_t size);
/// Writes all of `bytes`. False and errno when that fails.
bool WriteFully(int fd, std::string_view bytes);

}  // namespace gemmsmith
