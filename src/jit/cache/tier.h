#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "artifact.h"
#include "gemmsmith/kernel.h"
#include "jit/key.h"

namespace gemmsmith {

using ArtifactPtr = std::shared_ptr<const Artifact>;

/// One level of the cache. A miss is null; a broken entry is counted, set aside and a miss; an exception means the tier
/// itself fails, and the store turns it off with one warning. Thread-safe.
class Tier {
 public:
  virtual ~Tier() = default;
  virtual Origin origin() const = 0;
  virtual ArtifactPtr Get(const CacheKey& key) = 0;
  virtual void Put(const CacheKey& key, const ArtifactPtr& artifact) = 0;
  virtual void Remove(const CacheKey& key) = 0;
  /// Visits each entry until `visit` returns false. Order is unspecified.
  virtual void ForEach(const std::function<bool(const std::string& key_digest, std::uint64_t stored_bytes)>& visit) = 0;
  /// The keys of the entries of one recipe, of whichever toolchains. Nothing is verified but the recipe.
  virtual std::vector<CacheKey> KeysOf(const std::string& recipe) {
    static_cast<void>(recipe);
    return {};
  }
  /// Why entries are not read or written at the moment; empty: they are.
  virtual std::string Trouble() const { return {}; }
  /// False: it must not be written to, nor what lies beside its entries: locks, counters.
  virtual bool Ready() { return true; }
  /// Broken entries set aside.
  virtual std::uint64_t Quarantined() const { return 0; }
};

}  // namespace gemmsmith
