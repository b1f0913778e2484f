#include "util/trust.h"

#include <fmt/format.h>
#include <sys/auxv.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <deque>
#include <filesystem>

#include "util/file.h"

namespace gemmsmith {
namespace {

namespace fs = std::filesystem;

constexpr int kMostLinks = 40;  // As in the kernel.

bool IsOurs(const struct stat& info) { return info.st_uid == geteuid() || info.st_uid == 0; }

/// Where an access control list lets others write, the bits of the group say so too: they are its mask.
bool OthersMayWrite(const struct stat& info) { return (info.st_mode & (S_IWGRP | S_IWOTH)) != 0; }

/// Whether somebody could replace what lies in this folder.
bool OthersMayReplaceIn(const struct stat& info) {
  // With the sticky bit, as on /tmp, only its owner can rename or remove what lies there.
  if (!OthersMayWrite(info) || (info.st_mode & S_ISVTX) != 0) return false;
  // Most distributions give each user a group of the same number with no other members, and homes that it may write to.
  const bool private_group = info.st_gid == getegid() && info.st_gid == geteuid();
  return !private_group || (info.st_mode & S_IWOTH) != 0;
}

void Prepend(std::deque<std::string>& parts, const fs::path& path) {
  std::deque<std::string> more;
  for (const fs::path& part : path.relative_path())
    if (!part.empty() && part != ".") more.push_back(part.string());
  parts.insert(parts.begin(), more.begin(), more.end());
}

/// Goes down a path one part at a time.
class Walk {
 public:
  explicit Walk(const fs::path& absolute) { Prepend(rest_, absolute); }

  /// Ends at what the path leads to, or where something is missing or is wrong.
  PathVerdict Run() {
    Look("/");
    while (verdict_.reason.empty() && verdict_.exists && !rest_.empty()) {
      const std::string part = rest_.front();
      rest_.pop_front();
      // Links are resolved by now: the parent is that of the name.
      part == ".." ? Look(here_.parent_path()) : Look(here_ / part);
    }
    if (verdict_.reason.empty() && verdict_.exists && OthersMayWrite(info_)) RefuseWriters(here_);
    for (const std::string& part : rest_) here_ /= part;
    verdict_.path = here_.lexically_normal().string();
    return std::move(verdict_);
  }
  bool missing_parents() const { return !verdict_.exists && std::count(rest_.begin(), rest_.end(), "..") > 0; }

 private:
  void Look(const fs::path& next) {
    verdict_.exists = lstat(next.c_str(), &info_) == 0;
    if (!verdict_.exists && errno != ENOENT && errno != ENOTDIR) throw IoError("look at", next.string(), errno);
    if (verdict_.exists && S_ISLNK(info_.st_mode)) return Follow(next);
    here_ = next;
    if (!verdict_.exists) return;
    if (!IsOurs(info_)) return RefuseOwner("", next);
    if (OthersMayReplaceIn(info_)) RefuseWriters(next);
  }

  void Follow(const fs::path& link) {
    if (!IsOurs(info_)) return RefuseOwner("the link ", link);
    std::error_code error;
    const fs::path target = fs::read_symlink(link, error);
    if (error) throw IoError("read the link", link.string(), error.value());
    if (++links_ > kMostLinks) throw IoError("follow the links of", link.string(), ELOOP);
    Prepend(rest_, target);
    Look(target.is_absolute() ? fs::path("/") : here_);
  }

  void RefuseOwner(const char* what, const fs::path& path) {
    verdict_.reason = fmt::format("{}{} belongs to user {}", what, path.string(), info_.st_uid);
    verdict_.remedy = "use a place of your own";
  }
  void RefuseWriters(const fs::path& path) {
    verdict_.reason = fmt::format("other users may write to {}", path.string());
    verdict_.remedy = "chmod go-w " + path.string();
  }

  PathVerdict verdict_;
  fs::path here_;
  struct stat info_ {};
  std::deque<std::string> rest_;
  int links_ = 0;
};

}  // namespace

std::string WhyUntrusted(const struct stat& info) {
  if (!IsOurs(info)) return fmt::format("it belongs to user {}", info.st_uid);
  return OthersMayWrite(info) ? "other users may write to it" : "";
}

PathVerdict InspectPath(const std::string& path) {
  if (path.empty()) return {};
  std::error_code error;
  const fs::path absolute = fs::absolute(path, error);
  if (error) throw IoError("find the folder of", path, error.value());
  Walk walk(absolute);
  PathVerdict verdict = walk.Run();
  // What was missing may have led back to what is there.
  if (verdict.reason.empty() && walk.missing_parents()) return InspectPath(verdict.path);
  if (!verdict.reason.empty()) verdict.path = absolute.string();
  return verdict;
}

bool HasForeignEnvironment() { return getauxval(AT_SECURE) != 0; }

std::string TrustedVariable(const char* name) {
  const char* value = secure_getenv(name);
  return value != nullptr ? value : "";
}

}  // namespace gemmsmith
