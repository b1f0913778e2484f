#include <sys/statvfs.h>

#include <cerrno>
#include <filesystem>

#include "gemmsmith/cache.h"
#include "gemmsmith/options.h"
#include "util/file.h"
#include "util/log.h"
#include "util/paths.h"

namespace gemmsmith {

CachePolicy CachePolicy::Development() {
  CachePolicy policy;
  policy.cache_expiration_time = std::chrono::hours(24);
  policy.enable_debug = true;
  return policy;
}

CachePolicy CachePolicy::Production() {
  CachePolicy policy;
  policy.cache_expiration_time = std::chrono::hours(24 * 30);
  policy.enable_compression = true;
  policy.enable_checksum = true;
  return policy;
}

std::uint64_t GetAvailableDiskSpace(const std::string& directory) {
  const std::string named = directory.empty() ? Environment::Get().cache_dir : directory;
  if (named.empty()) throw Fail(Code::kNotFound, "name a folder, or set HOME", "free disk space: no cache directory");
  // The cache makes its folders later, on the file system of the nearest that is there.
  std::filesystem::path path = CanonicalPath(named);
  struct statvfs info {};
  while (statvfs(path.c_str(), &info) != 0) {
    if (errno != ENOENT || path == path.parent_path())
      throw IoError("look at the file system of", path.string(), errno);
    path = path.parent_path();
  }
  return static_cast<std::uint64_t>(info.f_bavail) * info.f_frsize;
}

}  // namespace gemmsmith
