#include "util/paths.h"

#include <sys/stat.h>

#include <cerrno>
#include <filesystem>
#include <system_error>

#include "util/file.h"

namespace gemmsmith {

namespace fs = std::filesystem;

std::string CanonicalPath(const std::string& path) {
  if (path.empty()) return path;
  std::error_code error;
  const fs::path absolute = fs::absolute(path, error);
  fs::path canonical = fs::weakly_canonical(absolute, error);
  if (error) canonical = absolute.lexically_normal();
  // "dir/" and "dir" are the same folder.
  return (canonical.has_filename() || canonical == canonical.root_path() ? canonical : canonical.parent_path())
      .string();
}

void MakePrivateDirectories(const std::string& path) {
  if (mkdir(path.c_str(), 0700) == 0 || errno == EEXIST) return;
  const std::string parent = fs::path(path).parent_path().string();
  if (errno != ENOENT || parent == path) throw IoError("make folder", path, errno);
  MakePrivateDirectories(parent);
  if (mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) throw IoError("make folder", path, errno);
}

}  // namespace gemmsmith
