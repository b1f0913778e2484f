#include "util/file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "util/log.h"

namespace gemmsmith {
namespace {

std::string_view RemedyFor(int error) {
  switch (error) {
    case ENOSPC:
    case EDQUOT:
      return "free some space, or name another folder";
    case EACCES:
    case EPERM:
    case EROFS:
      return "make it writable, or name another folder";
    case ENOTDIR:
      return "a file is in the way of the folder";
    default:
      return "";
  }
}

}  // namespace

UniqueFd::~UniqueFd() {
  if (fd_ >= 0) close(fd_);
}

Error IoError(std::string_view operation, const std::string& path, int error) {
  return Fail(Code::kIo, RemedyFor(error), "{} {}: {}", operation, path, std::generic_category().message(error));
}

UniqueFd OpenFile(const std::string& path, int flags, mode_t mode) {
  for (;;)
    if (const int fd = open(path.c_str(), flags, mode); fd >= 0 || errno != EINTR) return UniqueFd(fd);
}

std::filesystem::directory_iterator OpenFolder(const std::string& path, std::error_code& error) {
  for (;;)
    if (std::filesystem::directory_iterator folder(path, error); error != std::errc::interrupted) return folder;
}

std::ptrdiff_t ReadFully(int fd, char* buffer, std::size_t size) {
  std::size_t done = 0;
  while (done < size) {
    const ssize_t count = read(fd, buffer + done, size - done);
    if (count == 0) break;
    if (count > 0) {
      done += static_cast<std::size_t>(count);
    } else if (errno != EINTR) {
      return -1;
    }
  }
  return static_cast<std::ptrdiff_t>(done);
}

bool WriteFully(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t count = write(fd, bytes.data(), bytes.size());
    if (count >= 0) {
      bytes.remove_prefix(static_cast<std::size_t>(count));
    } else if (errno != EINTR) {
      return false;
    }
  }
  return true;
}

}  // namespace gemmsmith
