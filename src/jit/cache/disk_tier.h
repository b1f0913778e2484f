#pragma once

#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "gemmsmith/error.h"
#include "jit/cache/entry_files.h"
#include "jit/cache/entry_format.h"
#include "jit/cache/store.h"
#include "jit/cache/tier.h"

namespace gemmsmith {

/// One file per artifact below a folder that processes and machines may share; docs/cache-format.md shows the folders.
/// They are made with the first entry. What the system refuses (no space, no permission) is warned of once and tried
/// again after `retry_after`; until then entries are read only. A put also keeps the limits of the policy, around the
/// entry that it adds.
///
/// A folder that others could put code into is not used at all. Its sub-folders need no look: in a folder that others
/// cannot write to, only whom we trust can have made them; and of whatever is in them, each file must be trusted by its
/// owner and mode.
class DiskTier : public Tier {
 public:
  /// `directory` is absolute.
  DiskTier(std::string directory, std::chrono::milliseconds retry_after, const CachePolicy& policy = {})
      : directory_(std::move(directory)), retry_after_(retry_after), policy_(policy) {}
  static std::unique_ptr<Tier> Open(const ArtifactStore::Options& options);

  Origin origin() const override { return Origin::kDisk; }
  ArtifactPtr Get(const CacheKey& key) override;
  void Put(const CacheKey& key, const ArtifactPtr& artifact) override;
  void Remove(const CacheKey& key) override;
  void ForEach(const std::function<bool(const std::string& key_digest, std::uint64_t stored_bytes)>& visit) override;
  /// Reads the start of every entry, the first time and again where that is `retry_after` ago.
  std::vector<CacheKey> KeysOf(const std::string& recipe) override;
  std::string Trouble() const override;
  bool Ready() override;
  std::uint64_t Quarantined() const override;

  /// An entry as it is, which is no use of it; broken where there is none. The folder has been looked at. Throws kIo.
  Entry Read(const std::string& digest);

 private:
  using Clock = std::chrono::steady_clock;

  enum class Standing { kMissing, kTrusted, kRefused };
  Standing Examine() const;
  bool MakeFolder();
  std::optional<FileBytes> ReadTrusted(const std::string& digest, bool touch);
  void WarnOnce(const std::string& digest, std::string_view reason);
  void Quarantine(const std::string& digest, std::string_view reason, ino_t inode);
  bool Paused() const;
  void Pause();
  void Report(const Error& error);
  std::multimap<Digest, std::string> ScanRecipes();

  const std::string directory_;
  const std::chrono::milliseconds retry_after_;
  const CachePolicy policy_;
  std::once_flag sweep_;
  mutable std::mutex mutex_;
  std::string trouble_;
  Clock::time_point resume_{};                 // Of writing.
  mutable std::atomic<bool> trusted_ = false;  // Known: nobody but those whom we trust can change that.
  mutable std::string distrust_;               // Why the folder is refused.
  mutable Clock::time_point examine_again_{};
  std::unordered_set<std::string> reported_;  // Broken and foreign entries, by digest.
  std::mutex recipes_mutex_;
  std::multimap<Digest, std::string> recipes_;  // Digests of keys by those of their recipes.
  std::optional<Clock::time_point> scanned_;
};

}  // namespace gemmsmith
