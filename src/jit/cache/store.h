#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

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
  };
  explicit ArtifactStore(const Options& options);
  ~ArtifactStore();

  /// The store of `options`; the same one for the same canonical directory while anybody holds it.
  static std::shared_ptr<ArtifactStore> Open(const Options& options);

  struct Hit {
    ArtifactPtr artifact;
    Origin origin;
  };
  /// Looks through the tiers; a hit fills those above.
  std::optional<Hit> Get(const CacheKey& key, bool memory_only = false);
  /// Get, else `compile` once per key (others wait for it), then Put. A failure reaches every waiter and is not kept.
  /// Across processes an advisory lock serves the same end; waiting for it is bounded, compiling anyway after that.
  Hit GetOrCompile(const CacheKey& key, bool memory_only, const std::function<Artifact()>& compile);
  CacheStats Stats() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace gemmsmith
