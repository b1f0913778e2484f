#include "runtime/cpu/scratch.h"

#include <sys/mman.h>

#include "util/log.h"

namespace gemmsmith {
namespace {

constexpr std::size_t kHugePage = 2u << 20;

}  // namespace

Scratch& Scratch::OfThisThread() {
  thread_local Scratch scratch;
  return scratch;
}

std::byte* Scratch::Memory(std::size_t bytes) {
  if (bytes > bytes_) {
    Release();
    const std::size_t rounded = (bytes + kHugePage - 1) / kHugePage * kHugePage;
    void* const memory = mmap(nullptr, rounded, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
      throw Fail(Code::kOutOfMemory, "", "cpu: no {} bytes of memory to pack operands", rounded);
    madvise(memory, rounded, MADV_HUGEPAGE);  // A wish: ordinary pages work too.
    memory_ = memory;
    bytes_ = rounded;
  }
  return static_cast<std::byte*>(memory_);
}

Barrier* Scratch::Barriers(int count) {
  if (count > barrier_count_) {
    barriers_ = std::make_unique<Barrier[]>(static_cast<std::size_t>(count));
    barrier_count_ = count;
  }
  return barriers_.get();
}

Scratch::~Scratch() { Release(); }

void Scratch::Release() {
  if (memory_ != nullptr) munmap(memory_, bytes_);
  memory_ = nullptr;
  bytes_ = 0;
}

}  // namespace gemmsmith
