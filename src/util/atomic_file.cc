#include "util/atomic_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <system_error>

namespace gemmsmith {
namespace {

constexpr std::string_view kSuffix = ".tmp";

/// Unlike that of any other writer, on this machine or on another that shares the folder, forked or not.
std::string PrivateName() {
  std::array<char, 65> host{};
  gethostname(host.data(), host.size() - 1);
  std::replace(host.begin(), host.end(), '/', '_');
  std::uint64_t random = 0;
  if (getrandom(&random, sizeof random, 0) != sizeof random) random = static_cast<std::uint64_t>(clock());
  return fmt::format("{}-{}-{:016x}{}", host.data(), getpid(), random, kSuffix);
}

}  // namespace

AtomicFile::AtomicFile(const std::string& temp_directory)
    : temp_path_(temp_directory + "/" + PrivateName()),
      fd_(OpenFile(temp_path_, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600)) {
  if (!fd_) throw IoError("create", temp_path_, errno);
}

AtomicFile::~AtomicFile() {
  if (!temp_path_.empty()) unlink(temp_path_.c_str());
}

void AtomicFile::Write(std::string_view bytes) {
  if (!WriteFully(fd_.get(), bytes)) throw IoError("write", temp_path_, errno);
}

void AtomicFile::Sync() {
  while (fdatasync(fd_.get()) != 0)
    if (errno != EINTR) throw IoError("sync", temp_path_, errno);
}

void AtomicFile::Commit(const std::string& path) {
  // Network file systems and quotas report a failed write only here. A signal does not keep Linux from closing it.
  if (close(fd_.release()) != 0 && errno != EINTR) throw IoError("close", temp_path_, errno);
  if (std::rename(temp_path_.c_str(), path.c_str()) != 0) throw IoError("rename to", path, errno);
  temp_path_.clear();
}

void SweepTemporaries(const std::string& temp_directory, std::chrono::seconds age) {
  const std::time_t oldest = std::time(nullptr) - age.count();
  std::error_code error;
  for (std::filesystem::directory_iterator i = OpenFolder(temp_directory, error), end; !error && i != end;
       i.increment(error)) {
    struct stat info {};
    const std::string path = i->path().string();
    if (path.ends_with(kSuffix) && lstat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode) && info.st_mtime < oldest)
      unlink(path.c_str());
  }
}

}  // namespace gemmsmith
