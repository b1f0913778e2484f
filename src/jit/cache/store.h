#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "gemmsmith/cache.h"
#include "jit/cache/tier.h"

namespace gemmsmith {

/// The cache tiers of one directory, shared by all engines that name it, and one compile per key across threads and
/// processes. Thread-safe.
class ArtifactStore {
 public:
  struct Options {
    std::string directory;  ///< Empty: no disk tier.
    bool enable_memory = true;
    std::uint64_t memory_bytes = 1ull << 30;          ///< Of artifacts in the memory tier; those not used lately go.
    std::chrono::milliseconds lock_timeout{120'000};  ///< For another process to compile what we want.
    std::chrono::milliseconds retry_after{60'000};    ///< After a failed write to disk.
    CachePolicy policy{};                             ///< Of the disk tier.
    std::vector<std::string> bundles{};               ///< Files, in the order in which they are asked.
    bool copy_bundle_hits = false;                    ///< To disk, for when the bundle is gone.

    friend bool operator==(const Options&, const Options&) = default;
  };
  explicit ArtifactStore(const Options& options);
  /// With tiers of the caller's in place of those of tiers.def.
  ArtifactStore(const Options& options, std::vector<std::unique_ptr<Tier>> tiers);
  ~ArtifactStore();

  /// The store of `options`; the same one for equal options, by the canonical directory, while anybody holds it.
  static std::shared_ptr<ArtifactStore> Open(const Options& options);

  struct Hit {
    ArtifactPtr artifact;
    Origin origin;
  };
  /// Looks through the tiers; a hit fills those above.
  std::optional<Hit> Get(const CacheKey& key, bool memory_only = false);
  /// Get, else `compile` once per key (others wait for it), then Put. A failure reaches every waiter and is not kept.
  /// Across processes an advisory lock serves the same end; waiting for it is bounded, compiling anyway after that.
  /// `cancel` ends the waiting (kCancelled), not the compile, which has its own. Where the one that compiles is
  /// cancelled, the next that waits compiles instead.
  Hit GetOrCompile(const CacheKey& key, bool memory_only, const std::function<Artifact()>& compile,
                   const CancellationToken* cancel = nullptr);
  /// Keeps the source beside the entry, with PTX and log, where the policy wants that.
  void KeepForDebugging(const CacheKey& key, std::string_view source, const Artifact& artifact);
  struct KeyedHit {
    CacheKey key;
    Hit hit;
  };
  /// Of the good entries of `recipe`, in any tier, the one of the newest toolchain that `accept` takes: for where there
  /// is no compiler.
  using Accept = std::function<bool(const CacheKey& key, const Artifact& artifact)>;
  std::optional<KeyedHit> GetNewest(
      const std::string& recipe, const Accept& accept = [](const CacheKey&, const Artifact&) { return true; });
  CacheStats Stats() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace gemmsmith
