#include "jit/cache/disk_tier.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <memory>
#include <optional>
#include <system_error>

#include "jit/cache/entry_format.h"
#include "util/atomic_file.h"
#include "util/file.h"
#include "util/log.h"
#include "util/paths.h"

namespace gemmsmith {
namespace {

using namespace std::chrono_literals;
namespace fs = std::filesystem;

constexpr std::string_view kSuffix = ".gsk";
constexpr std::size_t kDigestDigits = 32;
constexpr auto kTemporaryLife = 1h;
constexpr std::time_t kTouchSeconds = 3600;

/// Keys are shorter: what is longer is found by its digest alone.
constexpr std::size_t kKeyBytes = 16 << 10;

struct File {
  UniqueFd fd;
  std::unique_ptr<char[]> bytes;
  std::size_t size = 0;
  struct stat info {};

  std::string_view view() const { return {bytes.get(), size}; }
};

/// Empty for what is not there, or no file. Read and not mapped: faster at these sizes, and a file that shrinks
/// meanwhile is no SIGBUS. Throws kIo.
std::optional<File> ReadEntry(const std::string& path, std::uint64_t most = kMaxEntryBytes + 1) {
  File file;
  // A FIFO in the way must not block.
  file.fd = UniqueFd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (!file.fd && (errno == ENOENT || errno == ENOTDIR)) return std::nullopt;
  if (!file.fd) throw IoError("open", path, errno);
  if (fstat(file.fd.get(), &file.info) != 0) throw IoError("stat", path, errno);
  if (!S_ISREG(file.info.st_mode)) return std::nullopt;
  // One byte too long stands for any length too long.
  const auto size = std::min<std::uint64_t>(static_cast<std::uint64_t>(file.info.st_size), most);
  file.bytes = std::make_unique_for_overwrite<char[]>(size);
  const std::ptrdiff_t count = ReadFully(file.fd.get(), file.bytes.get(), size);
  if (count < 0) throw IoError("read", path, errno);
  file.size = static_cast<std::size_t>(count);
  return file;
}

/// The time of last use, for whoever prunes; access times are often off. At most hourly: a hit should write nothing.
void Touch(const File& file) {
  if (std::abs(std::time(nullptr) - file.info.st_mtime) > kTouchSeconds) futimens(file.fd.get(), nullptr);
}

Entry Decode(std::string_view bytes, const CacheKey& key) {
  if (bytes.size() > kMaxEntryBytes) return {EntryState::kBroken, "it is too large", {}, {}};
  Entry entry = DecodeEntry(bytes);
  if (entry.state == EntryState::kGood && entry.key_text != key.text)
    return {EntryState::kBroken, "it belongs to another key", {}, {}};
  return entry;
}

/// The key of the entry at `path`, unverified.
std::optional<CacheKey> PeekAt(const std::string& path) try {
  const std::optional<File> file = ReadEntry(path, kKeyBytes);
  return file ? ParseKey(PeekKey(file->view())) : std::nullopt;
} catch (const Error&) {
  return std::nullopt;
}

bool IsDigest(std::string_view name) {
  return name.size() == kDigestDigits && name.find_first_not_of("0123456789abcdef") == name.npos;
}

/// Visits the entries in one folder: what else lies there is left alone. False once `visit` is.
template <class Visit>
bool VisitFolder(const fs::path& folder, const Visit& visit) {
  std::error_code error;
  for (fs::directory_iterator i(folder, error), end; !error && i != end; i.increment(error)) {
    const fs::path& path = i->path();
    const std::string digest = path.stem().string();
    struct stat info {};
    // Another process may have removed it.
    if (path.extension() == kSuffix && IsDigest(digest) && lstat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode) &&
        !visit(digest, static_cast<std::uint64_t>(info.st_size)))
      return false;
  }
  return true;
}

}  // namespace

std::unique_ptr<Tier> DiskTier::Open(const ArtifactStore::Options& options) {
  return options.directory.empty() ? nullptr : std::make_unique<DiskTier>(options.directory, options.retry_after);
}

std::string DiskTier::PathOf(std::string_view digest) const {
  return fmt::format("{}/kernels/{}/{}{}", directory_, digest.substr(0, 2), digest, kSuffix);
}

ArtifactPtr DiskTier::Get(const CacheKey& key) try {
  const std::string digest = key.digest.Hex();
  const std::optional<File> file = ReadEntry(PathOf(digest));
  if (!file) return nullptr;
  Touch(*file);
  Entry entry = Decode(file->view(), key);
  if (entry.state == EntryState::kGood) return std::make_shared<const Artifact>(std::move(entry.artifact));
  if (entry.state == EntryState::kBroken) Quarantine(digest, entry.reason, file->info);
  return nullptr;
} catch (const Error& error) {
  Report(error);
  return nullptr;
}

Entry DiskTier::Read(std::string_view digest) const {
  const std::optional<File> file = ReadEntry(PathOf(digest));
  if (!file || file->size > kMaxEntryBytes) return {};
  return DecodeEntry(file->view());
}

std::multimap<Digest, std::string> DiskTier::ScanRecipes() {
  std::multimap<Digest, std::string> recipes;
  ForEach([&](const std::string& digest, std::uint64_t) {
    if (const std::optional<CacheKey> key = PeekAt(PathOf(digest))) recipes.emplace(DigestOf(key->recipe), digest);
    return true;
  });
  return recipes;
}

std::vector<CacheKey> DiskTier::KeysOf(const std::string& recipe) {
  std::scoped_lock lock(recipes_mutex_);
  if (!scanned_ || Clock::now() - *scanned_ >= retry_after_) {
    recipes_ = ScanRecipes();
    scanned_ = Clock::now();
  }
  std::vector<CacheKey> keys;
  const auto [first, last] = recipes_.equal_range(DigestOf(recipe));
  for (auto row = first; row != last; ++row)
    if (std::optional<CacheKey> key = PeekAt(PathOf(row->second)); key && key->recipe == recipe)
      keys.push_back(std::move(*key));
  return keys;
}

void DiskTier::Put(const CacheKey& key, const ArtifactPtr& artifact) try {
  if (Paused()) return;
  const std::optional<std::string> entry = EncodeEntry(key, *artifact);
  if (!entry) {
    LogInfo("cache: {} is too large for the disk", artifact->kernel_name);
    return;
  }
  Write(key.digest.Hex(), *entry);
  std::scoped_lock lock(mutex_);
  trouble_.clear();
} catch (const Error& error) {
  Pause();
  Report(error);
}

void DiskTier::Write(std::string_view digest, std::string_view entry) {
  // Each time: anybody may empty a cache by removing its folders.
  const std::string temp = directory_ + "/temp", path = PathOf(digest);
  MakePrivateDirectories(temp);
  MakePrivateDirectories(fs::path(path).parent_path().string());
  std::call_once(sweep_, [&] { SweepTemporaries(temp, kTemporaryLife); });
  AtomicFile file(temp);
  file.Write(entry);
  file.Commit(path);
}

void DiskTier::Remove(const CacheKey& key) { unlink(PathOf(key.digest.Hex()).c_str()); }

void DiskTier::ForEach(const std::function<bool(const std::string&, std::uint64_t)>& visit) {
  for (int shard = 0; shard < 256; ++shard) {
    const std::string name = fmt::format("{:02x}", shard);
    const bool go_on =
        VisitFolder(directory_ + "/kernels/" + name, [&](const std::string& digest, std::uint64_t bytes) {
          return !digest.starts_with(name) || visit(digest, bytes);
        });
    if (!go_on) return;
  }
}

/// Moves what was read as `read` out of the way, for whoever wants to know what broke it.
void DiskTier::Quarantine(const std::string& digest, std::string_view reason, const struct stat& read) {
  const std::string path = PathOf(digest), folder = directory_ + "/quarantine";
  bool is_new = false;
  {
    std::scoped_lock lock(mutex_);
    is_new = reported_.insert(digest).second;
  }
  if (is_new) Warn("cache: {} is not used: {}", path, reason);
  // Somebody may have put a good entry in its place.
  struct stat now {};
  if (stat(path.c_str(), &now) != 0 || now.st_ino != read.st_ino || now.st_dev != read.st_dev) return;
  try {
    MakePrivateDirectories(folder);
  } catch (const Error&) {
    return;  // A cache that cannot be written: the entry stays a miss.
  }
  std::rename(path.c_str(), fmt::format("{}/{}{}", folder, digest, kSuffix).c_str());
}

std::uint64_t DiskTier::Quarantined() const {
  std::uint64_t count = 0;
  VisitFolder(directory_ + "/quarantine", [&](const std::string&, std::uint64_t) { return ++count != 0; });
  return count;
}

bool DiskTier::Paused() const {
  std::scoped_lock lock(mutex_);
  return Clock::now() < resume_;
}

void DiskTier::Pause() {
  std::scoped_lock lock(mutex_);
  resume_ = Clock::now() + retry_after_;
}

std::string DiskTier::Trouble() const {
  std::scoped_lock lock(mutex_);
  return trouble_;
}

/// Warns at the start of a trouble, which lasts until a write succeeds.
void DiskTier::Report(const Error& error) {
  bool is_new = false;
  {
    std::scoped_lock lock(mutex_);
    is_new = trouble_.empty();
    trouble_ = error.what();
  }
  // Outside the lock: the handler is the user's, and may ask for the state.
  if (is_new) Warn("cache: {}; going on without it, and trying again later", error.what());
}

}  // namespace gemmsmith
