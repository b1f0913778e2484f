#include "jit/cache/entry_files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <span>
#include <system_error>
#include <vector>

#include "util/atomic_file.h"
#include "util/file.h"
#include "util/paths.h"

namespace gemmsmith {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kSuffix = ".gsk";
constexpr std::size_t kDigestDigits = 32;
constexpr std::time_t kTouchSeconds = 3600;

bool IsDigest(std::string_view name) {
  return name.size() == kDigestDigits && name.find_first_not_of("0123456789abcdef") == name.npos;
}

std::string PathBeside(const std::string& directory, std::string_view digest, std::string_view suffix) {
  return fmt::format("{}/kernels/{}/{}{}", directory, digest.substr(0, 2), digest, suffix);
}

/// What another process may remove at any time, or has not made yet, may be missing. All else is trouble.
void RequireGone(std::string_view operation, const std::string& path, int error) {
  if (error != ENOENT && error != ENOTDIR) throw IoError(operation, path, error);
}

/// False once `visit` is.
template <class Visit>
bool VisitFolder(const std::string& folder, const Visit& visit) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator i = OpenFolder(folder, error), end; !error && i != end; i.increment(error))
    names.push_back(i->path().native().substr(folder.size() + 1));
  if (error) RequireGone("read folder", folder, error.value());
  const auto others =
      std::partition(names.begin(), names.end(), [](std::string_view name) { return name.ends_with(kSuffix); });
  for (const std::string& name : std::span(names.begin(), others)) {
    const std::string_view digest = std::string_view(name).substr(0, name.size() - kSuffix.size());
    if (!IsDigest(digest)) continue;
    struct stat info {};
    const std::string path = folder + '/' + name;
    if (lstat(path.c_str(), &info) != 0) {
      RequireGone("stat", path, errno);
    } else if (S_ISREG(info.st_mode) && !visit(EntryFile(digest, info, others == names.end()))) {
      return false;
    }
  }
  return true;
}

/// Makes the folders each time: anybody may empty a cache by removing them.
void WriteFileAt(const std::string& directory, const std::string& path, std::string_view bytes, bool sync) {
  const std::string temp = directory + "/temp";
  MakePrivateDirectories(temp);
  MakePrivateDirectories(fs::path(path).parent_path().string());
  AtomicFile file(temp);
  file.Write(bytes);
  if (sync) file.Sync();
  file.Commit(path);
}

}  // namespace

std::string EntryPath(const std::string& directory, std::string_view digest) {
  return PathBeside(directory, digest, kSuffix);
}

std::string LockPath(const std::string& directory) { return directory + "/metadata/locks"; }

std::string QuarantinePath(const std::string& directory, std::string_view digest) {
  return fmt::format("{}/quarantine/{}{}", directory, digest, kSuffix);
}

bool VisitShard(const std::string& directory, int shard, const std::function<bool(const EntryFile&)>& visit) {
  const std::string name = fmt::format("{:02x}", shard);
  return VisitFolder(directory + "/kernels/" + name,
                     [&](const EntryFile& file) { return !file.digest.starts_with(name) || visit(file); });
}

void VisitEntries(const std::string& directory, const std::function<bool(const EntryFile&)>& visit) {
  for (int shard = 0; shard < kShards; ++shard)
    if (!VisitShard(directory, shard, visit)) return;
}

void VisitQuarantine(const std::string& directory, const std::function<bool(const EntryFile&)>& visit) {
  VisitFolder(directory + "/quarantine", visit);
}

std::uint64_t CountQuarantined(const std::string& directory) {
  std::uint64_t count = 0;
  VisitQuarantine(directory, [&](const EntryFile&) { return ++count != 0; });
  return count;
}

// Read and not mapped: faster at these sizes, and a file that shrinks meanwhile is no SIGBUS.
std::optional<FileBytes> ReadEntryFile(const std::string& path, bool touch, std::uint64_t most) {
  // A FIFO in the way must not block.
  const UniqueFd fd = OpenFile(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (!fd && (errno == ENOENT || errno == ENOTDIR)) return std::nullopt;
  if (!fd) throw IoError("open", path, errno);
  FileBytes file;
  if (fstat(fd.get(), &file.info) != 0) throw IoError("stat", path, errno);
  if (!S_ISREG(file.info.st_mode)) return std::nullopt;
  const auto size = std::min<std::uint64_t>(static_cast<std::uint64_t>(file.info.st_size), most);
  file.bytes = std::make_unique_for_overwrite<char[]>(size);
  const std::ptrdiff_t count = ReadFully(fd.get(), file.bytes.get(), size);
  if (count < 0) throw IoError("read", path, errno);
  file.size = static_cast<std::size_t>(count);
  // The time of last use, for whoever prunes; access times are often off. At most hourly: a hit should write nothing.
  if (touch && std::abs(std::time(nullptr) - file.info.st_mtime) > kTouchSeconds) futimens(fd.get(), nullptr);
  return file;
}

bool RemoveEntry(const std::string& directory, const EntryFile& seen) {
  const std::string path = EntryPath(directory, seen.digest);
  struct stat now {};
  if (lstat(path.c_str(), &now) != 0 || now.st_ino != seen.inode ||
      static_cast<std::uint64_t>(now.st_size) != seen.bytes || now.st_mtim.tv_sec != seen.modified.tv_sec ||
      now.st_mtim.tv_nsec != seen.modified.tv_nsec)
    return false;
  if (unlink(path.c_str()) != 0) return false;
  if (seen.alone) return true;
  for (const std::string_view suffix : kDebugSuffixes) unlink(PathBeside(directory, seen.digest, suffix).c_str());
  return true;
}

bool QuarantineEntry(const std::string& directory, std::string_view digest, ino_t inode) {
  const std::string path = EntryPath(directory, digest);
  struct stat now {};
  // Somebody may have put a good entry in its place.
  if (stat(path.c_str(), &now) != 0 || now.st_ino != inode) return false;
  try {
    MakePrivateDirectories(directory + "/quarantine");
  } catch (const Error&) {
    return false;  // A cache that cannot be written: the entry stays a miss.
  }
  return std::rename(path.c_str(), QuarantinePath(directory, digest).c_str()) == 0;
}

void WriteEntry(const std::string& directory, std::string_view digest, std::string_view bytes, bool sync) {
  WriteFileAt(directory, EntryPath(directory, digest), bytes, sync);
}

void WriteDebugFile(const std::string& directory, std::string_view digest, std::string_view suffix,
                    std::string_view text) {
  WriteFileAt(directory, PathBeside(directory, digest, suffix), text, /*sync=*/false);
}

std::string ReadDebugFile(const std::string& directory, std::string_view digest, std::string_view suffix) {
  std::ifstream file(PathBeside(directory, digest, suffix), std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void RemoveDebugFiles(const std::string& directory) {
  for (int shard = 0; shard < kShards; ++shard) {
    std::error_code error;
    for (fs::directory_iterator i = OpenFolder(fmt::format("{}/kernels/{:02x}", directory, shard), error), end;
         !error && i != end; i.increment(error))
      if (IsDigest(i->path().stem().native()) &&
          std::count(std::begin(kDebugSuffixes), std::end(kDebugSuffixes), i->path().extension().native()) > 0)
        unlink(i->path().c_str());
  }
}

}  // namespace gemmsmith
