#include "util/file_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <thread>

namespace gemmsmith {

using namespace std::chrono_literals;

FileLock::FileLock(UniqueFd fd) : fd_(std::move(fd)), owner_(getpid()) {}

FileLock::~FileLock() {
  // A forked child shares the lock: its unlocking would free the parent's. The parent's must not wait for the child to
  // close its copy.
  if (fd_ && owner_ == getpid()) flock(fd_.get(), LOCK_UN);
}

std::optional<FileLock> FileLock::Acquire(const std::string& path, std::chrono::milliseconds timeout,
                                          const CancellationToken* cancel) {
  UniqueFd fd = OpenFile(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (!fd) throw IoError("open", path, errno);
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  // Polled: flock has no time-out, and an alarm would belong to the program.
  for (auto pause = 1ms;; pause = std::min(2 * pause, 50ms)) {
    if (flock(fd.get(), LOCK_EX | LOCK_NB) == 0) return FileLock(std::move(fd));
    if (errno != EWOULDBLOCK && errno != EINTR) throw IoError("lock", path, errno);
    if (std::chrono::steady_clock::now() >= deadline || (cancel != nullptr && cancel->cancelled())) return std::nullopt;
    std::this_thread::sleep_for(pause);
  }
}

}  // namespace gemmsmith
