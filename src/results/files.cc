#include "results/files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>

#include "gemmsmith/options.h"
#include "util/log.h"
#include "util/paths.h"
#include "util/trust.h"

namespace gemmsmith::results {
namespace {

namespace fs = std::filesystem;

constexpr off_t kMostBytes = off_t{1} << 30;

FileState Of(const struct stat& info) { return {true, info.st_dev, info.st_ino, info.st_size, info.st_mtim}; }

std::string FreeName(const std::string& path) {
  for (int i = 1;; ++i) {
    std::string name = fmt::format("{}.set-aside-{}", path, i);
    std::error_code error;
    if (!fs::exists(fs::symlink_status(name, error))) return name;
  }
}

}  // namespace

FileState StateOf(const std::string& path) {
  struct stat info {};
  return lstat(path.c_str(), &info) == 0 ? Of(info) : FileState{};
}

FileState StateOf(const UniqueFd& fd) {
  struct stat info {};
  return fd && fstat(fd.get(), &info) == 0 ? Of(info) : FileState{};
}

UniqueFd OpenDatabaseFile(const std::string& path, int flags) {
  // A pipe would be waited for.
  UniqueFd fd = OpenFile(path, flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
  if (!fd && errno == ENOENT) return fd;
  if (!fd && (errno == ELOOP || errno == ENXIO || errno == EISDIR)) throw Damaged("it is no plain file");
  if (!fd) throw IoError("open", path, errno);
  struct stat info {};
  if (fstat(fd.get(), &info) != 0) throw IoError("look at", path, errno);
  if (!S_ISREG(info.st_mode)) throw Damaged("it is no plain file");
  if (info.st_size > kMostBytes) throw Damaged(fmt::format("it has {} bytes; at most {}", info.st_size, kMostBytes));
  if (const std::string reason = WhyUntrusted(info); !reason.empty() && !Environment::Get().allow_shared_cache)
    throw Damaged(reason);
  return fd;
}

std::string ReadFrom(const UniqueFd& fd, const std::string& path, off_t offset) {
  struct stat info {};
  if (fstat(fd.get(), &info) != 0 || lseek(fd.get(), offset, SEEK_SET) < 0) throw IoError("read", path, errno);
  std::string bytes;
  if (info.st_size <= offset) return bytes;
  const auto size = static_cast<std::size_t>(info.st_size - offset);
  bytes.reserve(size + kPadding);
  bytes.resize(size);
  const std::ptrdiff_t count = ReadFully(fd.get(), bytes.data(), size);
  if (count < 0) throw IoError("read", path, errno);
  bytes.resize(static_cast<std::size_t>(count));
  return bytes;
}

FileLock LockDatabase(const Place& place) {
  MakePrivateDirectories(place.directory);
  std::optional<FileLock> lock =
      FileLock::Acquire(place.directory + "/lock", place.architecture.fingerprint, place.lock_timeout);
  if (!lock)
    throw Fail(Code::kIo, "see who holds it with lsof", "lock {}/lock: not free within {} ms", place.directory,
               place.lock_timeout.count());
  return std::move(*lock);
}

void SetAside(const std::string& path, const std::string& reason, bool copy) {
  const std::string name = FreeName(path);
  std::error_code error;
  if (copy) {
    fs::copy_file(path, name, error);
  } else {
    fs::rename(path, name, error);
  }
  if (error) throw IoError(copy ? "copy" : "rename", path, error.value());
  Warn("results: {}: {}; {} as {}", path, reason, copy ? "the rest of it is used, and it is kept" : "it is set aside",
       name);
}

}  // namespace gemmsmith::results
