#pragma once

#include <cstddef>
#include <string>
#include <string_view>
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

/// Reads until the end or `size` bytes, whichever is first; the bytes read. -1 and errno when that fails.
std::ptrdiff_t ReadFully(int fd, char* buffer, std::size_t size);
/// Writes all of `bytes`. False and errno when that fails.
bool WriteFully(int fd, std::string_view bytes);

}  // namespace gemmsmith
