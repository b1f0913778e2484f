#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

namespace gemmsmith::emulator {

/// Which bytes of an allocation in global memory were ever written. Threads may use it at once.
class InitialisedBytes {
 public:
  explicit InitialisedBytes(std::size_t bytes);

  std::size_t bytes() const { return bytes_; }
  /// The range lies within the allocation.
  void Mark(std::size_t offset, std::size_t bytes);
  /// Offset of the first byte of the range that was never written.
  std::optional<std::size_t> FirstUninitialised(std::size_t offset, std::size_t bytes) const;
  /// Of the range, which lies within 64 bytes from a multiple of 64 on, a bit for each byte that was never written: all
  /// at one moment.
  std::uint64_t Uninitialised(std::size_t offset, std::size_t bytes) const;

 private:
  std::size_t bytes_;
  std::unique_ptr<std::atomic<std::uint64_t>[]> words_;  // a bit for each byte
};

}  // namespace gemmsmith::emulator
