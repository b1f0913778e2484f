#pragma once

#include <cstddef>
#include <string_view>
#include <utility>

namespace gemmsmith {

/// Pages that hold machine code: written once, then readable and executable, never writable again. Move-only.
class ExecutableMemory {
 public:
  ExecutableMemory() = default;
  /// Throws kOutOfMemory, or kDevice where the system forbids generated code.
  explicit ExecutableMemory(std::string_view code);
  ExecutableMemory(ExecutableMemory&& other) noexcept { *this = std::move(other); }
  ExecutableMemory& operator=(ExecutableMemory&& other) noexcept {
    std::swap(pages_, other.pages_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~ExecutableMemory();

  const std::byte* data() const { return static_cast<const std::byte*>(pages_); }

 private:
  void* pages_ = nullptr;
  std::size_t bytes_ = 0;
};

}  // namespace gemmsmith
