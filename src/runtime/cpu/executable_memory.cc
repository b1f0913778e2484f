#include "runtime/cpu/executable_memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "util/log.h"

namespace gemmsmith {

ExecutableMemory::ExecutableMemory(std::string_view code) {
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  bytes_ = (code.size() + page - 1) / page * page;
  void* const pages = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (pages == MAP_FAILED)
    throw Fail(Code::kOutOfMemory, "", "cpu: no memory for {} bytes of code: {}", code.size(), std::strerror(errno));
  std::memcpy(pages, code.data(), code.size());
  if (mprotect(pages, bytes_, PROT_READ | PROT_EXEC) != 0) {
    const int error = errno;
    munmap(pages, bytes_);
    throw Fail(Code::kDevice, "set GEMMSMITH_CPU_ISA=portable", "cpu: the system refuses to execute generated code: {}",
               std::strerror(error));
  }
  pages_ = pages;
}

ExecutableMemory::~ExecutableMemory() {
  if (pages_ != nullptr) munmap(pages_, bytes_);
}

}  // namespace gemmsmith
