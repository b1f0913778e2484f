#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "jit/cache/bundle_format.h"
#include "jit/cache/store.h"
#include "jit/cache/tier.h"

namespace gemmsmith {

/// Precompiled kernels, read where they lie. A bundle that is broken, that somebody else could have written, or that is
/// not signed as the policy demands, is warned of once and left out.
class BundleTier : public Tier {
 public:
  /// The first bundle that has a kernel serves it.
  explicit BundleTier(const std::vector<std::string>& paths, const CachePolicy& policy = {});
  static std::unique_ptr<Tier> Open(const ArtifactStore::Options& options);

  Origin origin() const override { return Origin::kBundle; }
  ArtifactPtr Get(const CacheKey& key) override;
  /// Bundles are read only.
  void Put(const CacheKey&, const ArtifactPtr&) override {}
  void Remove(const CacheKey&) override {}
  void ForEach(const std::function<bool(const std::string& key_digest, std::uint64_t stored_bytes)>& visit) override;
  std::vector<CacheKey> KeysOf(const std::string& recipe) override;

 private:
  Entry Read(const BundleReader& bundle, const BundleRow& row);

  std::vector<BundleReader> bundles_;
  std::mutex mutex_;
  std::set<const BundleReader*> reported_;  // With a broken entry.
};

}  // namespace gemmsmith
