#include "util/file_lock.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <thread>

#include "util/digest.h"

namespace gemmsmith {

using namespace std::chrono_literals;

namespace {

/// Any byte of a file can be locked, also where it has none. Names that share one would wait for each other, no more.
off_t ByteOf(std::string_view name) { return static_cast<off_t>(Hash64(name.data(), name.size()) >> 2); }

/// Of the open file, not of the process (which fcntl's older locks are of): threads exclude each other too, and closing
/// another descriptor of the file frees nothing.
bool SetLock(const UniqueFd& fd, short type, off_t byte) {
  struct flock lock {};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  lock.l_start = byte;
  lock.l_len = 1;
  return fcntl(fd.get(), F_OFD_SETLK, &lock) == 0;
}

}  // namespace

FileLock::FileLock(UniqueFd fd, off_t byte) : fd_(std::move(fd)), byte_(byte), owner_(getpid()) {}

FileLock::~FileLock() {
  // A forked child shares the lock: its unlocking would free the parent's. The parent's must not wait for the child to
  // close its copy.
  if (fd_ && owner_ == getpid()) SetLock(fd_, F_UNLCK, byte_);
}

std::optional<FileLock> FileLock::Acquire(const std::string& path, std::string_view name,
                                          std::chrono::milliseconds timeout, const CancellationToken* cancel) {
  UniqueFd fd = OpenFile(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (!fd) throw IoError("open", path, errno);
  const off_t byte = ByteOf(name);
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  // Polled: waiting in the kernel has no time-out, and an alarm would belong to the program.
  for (auto pause = 1ms;; pause = std::min(2 * pause, 50ms)) {
    if (SetLock(fd, F_WRLCK, byte)) return FileLock(std::move(fd), byte);
    if (errno == EINTR) continue;
    if (errno != EAGAIN && errno != EACCES) throw IoError("lock", path, errno);
    if (std::chrono::steady_clock::now() >= deadline || (cancel != nullptr && cancel->cancelled())) return std::nullopt;
    std::this_thread::sleep_for(pause);
  }
}

}  // namespace gemmsmith
