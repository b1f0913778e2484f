#include "jit/cache/disk_tier.h"

#include <unistd.h>

#include <filesystem>
#include <optional>

#include "jit/cache/entry_files.h"
#include "jit/cache/entry_format.h"
#include "jit/cache/eviction.h"
#include "jit/cache/policy.h"
#include "util/atomic_file.h"
#include "util/log.h"
#include "util/paths.h"

namespace gemmsmith {
namespace {

using namespace std::chrono_literals;
namespace fs = std::filesystem;

constexpr auto kTemporaryLife = 1h;

/// Keys are shorter: what is longer is found by its digest alone.
constexpr std::size_t kKeyBytes = 16 << 10;

Entry Decode(std::string_view bytes, const CacheKey& key, bool verify) {
  if (bytes.size() > kMaxEntryBytes) return {EntryState::kBroken, "it is too large", {}, {}};
  Entry entry = DecodeEntry(bytes, verify);
  if (entry.state == EntryState::kGood && entry.key_text != key.text)
    return {EntryState::kBroken, "it belongs to another key", {}, {}};
  return entry;
}

/// The key of the entry at `path`, unverified.
std::optional<CacheKey> PeekAt(const std::string& path) try {
  const std::optional<FileBytes> file = ReadEntryFile(path, /*touch=*/false, kKeyBytes);
  return file ? ParseKey(PeekKey(file->view())) : std::nullopt;
} catch (const Error&) {
  return std::nullopt;
}

}  // namespace

std::unique_ptr<Tier> DiskTier::Open(const ArtifactStore::Options& options) {
  if (options.directory.empty()) return nullptr;
  return std::make_unique<DiskTier>(options.directory, options.retry_after, options.policy);
}

/// Looks at the folder until it is known to be trusted: warns at the start of a refusal, and looks again after
/// `retry_after`. What cannot be looked at is refused, too.
DiskTier::Standing DiskTier::Examine() const {
  if (trusted_.load(std::memory_order_acquire)) return Standing::kTrusted;
  std::string news;
  {
    std::scoped_lock lock(mutex_);
    if (!distrust_.empty() && Clock::now() < examine_again_) return Standing::kRefused;
    try {
      trusted_ = RequireTrusted(directory_, policy_).exists;
      distrust_.clear();
      return trusted_ ? Standing::kTrusted : Standing::kMissing;
    } catch (const Error& error) {
      examine_again_ = Clock::now() + retry_after_;
      if (distrust_.empty()) news = error.what();
      distrust_ = error.what();
    }
  }
  // Outside the lock: the handler is the user's, and may ask for the state.
  if (!news.empty()) Warn("cache: {}; going on without it", news);
  return Standing::kRefused;
}

/// Before anything is written. False where the folder is refused. Throws kIo.
bool DiskTier::MakeFolder() {
  trusted_ = false;  // It may have been removed, and made again by somebody else.
  if (Examine() == Standing::kMissing) MakePrivateDirectories(directory_);
  return Examine() == Standing::kTrusted;
}

bool DiskTier::Ready() try { return MakeFolder(); } catch (const Error& error) {
  LogDebug("cache: {}", error.what());  // A put will tell.
  return false;
}

/// Empty for what is not there, or is not to be trusted. The folder is.
std::optional<FileBytes> DiskTier::ReadTrusted(const std::string& digest, bool touch) {
  std::optional<FileBytes> file = ReadEntryFile(EntryPath(directory_, digest), touch);
  if (!file) return file;
  const std::string reason = WhyUntrusted(file->info, policy_);
  if (reason.empty()) return file;
  WarnOnce(digest, reason);
  return std::nullopt;
}

ArtifactPtr DiskTier::Get(const CacheKey& key) try {
  if (Examine() != Standing::kTrusted) return nullptr;
  const std::string digest = key.digest.Hex();
  const std::optional<FileBytes> file = ReadTrusted(digest, /*touch=*/true);
  if (!file) return nullptr;
  Entry entry = Decode(file->view(), key, policy_.enable_checksum);
  if (entry.state == EntryState::kGood) return std::make_shared<const Artifact>(std::move(entry.artifact));
  if (entry.state == EntryState::kBroken) Quarantine(digest, entry.reason, file->info.st_ino);
  return nullptr;
} catch (const Error& error) {
  Report(error);
  return nullptr;
}

Entry DiskTier::Read(const std::string& digest) {
  const std::optional<FileBytes> file = ReadTrusted(digest, /*touch=*/false);
  if (!file || file->size > kMaxEntryBytes) return {};
  return DecodeEntry(file->view());
}

std::multimap<Digest, std::string> DiskTier::ScanRecipes() {
  std::multimap<Digest, std::string> recipes;
  ForEach([&](const std::string& digest, std::uint64_t) {
    if (const std::optional<CacheKey> key = PeekAt(EntryPath(directory_, digest)))
      recipes.emplace(DigestOf(key->recipe), digest);
    return true;
  });
  return recipes;
}

std::vector<CacheKey> DiskTier::KeysOf(const std::string& recipe) {
  if (Examine() != Standing::kTrusted) return {};
  std::scoped_lock lock(recipes_mutex_);
  if (!scanned_ || Clock::now() - *scanned_ >= retry_after_) {
    recipes_ = ScanRecipes();
    scanned_ = Clock::now();
  }
  std::vector<CacheKey> keys;
  const auto [first, last] = recipes_.equal_range(DigestOf(recipe));
  for (auto row = first; row != last; ++row)
    if (std::optional<CacheKey> key = PeekAt(EntryPath(directory_, row->second)); key && key->recipe == recipe)
      keys.push_back(std::move(*key));
  return keys;
}

void DiskTier::Put(const CacheKey& key, const ArtifactPtr& artifact) try {
  if (Paused() || !MakeFolder()) return;
  const std::optional<std::string> entry =
      EncodeEntry(key, *artifact, policy_.enable_compression ? Codec::kZstd : Codec::kRaw);
  if (!entry) {
    LogInfo("cache: {} is too large for the disk", artifact->kernel_name);
    return;
  }
  const std::string digest = key.digest.Hex();
  WriteEntry(directory_, digest, *entry, policy_.enable_sync);
  std::call_once(sweep_, [&] { SweepTemporaries(directory_ + "/temp", kTemporaryLife); });
  EvictAround(directory_, digest, policy_);
  std::scoped_lock lock(mutex_);
  trouble_.clear();
} catch (const Error& error) {
  Pause();
  Report(error);
}

void DiskTier::Remove(const CacheKey& key) {
  if (Examine() == Standing::kTrusted) unlink(EntryPath(directory_, key.digest.Hex()).c_str());
}

void DiskTier::ForEach(const std::function<bool(const std::string&, std::uint64_t)>& visit) try {
  if (Examine() == Standing::kTrusted)
    VisitEntries(directory_, [&](const EntryFile& entry) { return visit(entry.digest, entry.bytes); });
} catch (const Error& error) {
  Report(error);
}

void DiskTier::WarnOnce(const std::string& digest, std::string_view reason) {
  bool is_new = false;
  {
    std::scoped_lock lock(mutex_);
    is_new = reported_.insert(digest).second;
  }
  if (is_new) Warn("cache: {} is not used: {}", EntryPath(directory_, digest), reason);
}

/// Moves what was read out of the way, for whoever wants to know what broke it.
void DiskTier::Quarantine(const std::string& digest, std::string_view reason, ino_t inode) {
  WarnOnce(digest, reason);
  QuarantineEntry(directory_, digest, inode);
}

std::uint64_t DiskTier::Quarantined() const try {
  return Examine() == Standing::kTrusted ? CountQuarantined(directory_) : 0;
} catch (const Error& error) {
  LogDebug("cache: {}", error.what());
  return 0;
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
  Examine();
  std::scoped_lock lock(mutex_);
  return distrust_.empty() ? trouble_ : distrust_;
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
