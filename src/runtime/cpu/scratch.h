#pragma once

#include <cstddef>
#include <memory>

#include "util/thread_pool.h"

namespace gemmsmith {

/// What one calling thread keeps between GEMMs: memory for packed operands, and barriers. Grows, and is freed with the
/// thread. Memory is aligned to pages, huge ones where the system has them.
class Scratch {
 public:
  static Scratch& OfThisThread();
  Scratch() = default;
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch();

  /// Throws kOutOfMemory. The contents of an earlier call are lost if it grows.
  std::byte* Memory(std::size_t bytes);
  Barrier* Barriers(int count);

 private:
  void Release();
  void* memory_ = nullptr;
  std::size_t bytes_ = 0;
  std::unique_ptr<Barrier[]> barriers_;
  int barrier_count_ = 0;
};

}  // namespace gemmsmith
