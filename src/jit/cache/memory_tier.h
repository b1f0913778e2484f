#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <shared_mutex>
#include <unordered_map>

#include "jit/cache/store.h"
#include "jit/cache/tier.h"

namespace gemmsmith {

/// Artifacts of this process. Sharded by digest; readers of a shard do not wait for each other. What has not been used
/// since the last round goes first when the byte cap is reached.
class MemoryTier : public Tier {
 public:
  /// `max_bytes` of all parts together. An artifact larger than that is not kept.
  explicit MemoryTier(std::uint64_t max_bytes) : max_bytes_(max_bytes) {}
  static std::unique_ptr<Tier> Open(const ArtifactStore::Options& options);

  Origin origin() const override { return Origin::kMemory; }
  ArtifactPtr Get(const CacheKey& key) override;
  void Put(const CacheKey& key, const ArtifactPtr& artifact) override;
  void Remove(const CacheKey& key) override;
  void ForEach(const std::function<bool(const std::string& key_digest, std::uint64_t stored_bytes)>& visit) override;

 private:
  static constexpr std::size_t kShards = 16;

  struct Slot {
    std::string key_text;
    ArtifactPtr artifact;
    std::atomic<bool> used = false;  // Since the hand of the clock last passed.
  };
  struct DigestHash {
    std::size_t operator()(const Digest& digest) const { return digest.low; }
  };
  struct alignas(64) Shard {
    std::shared_mutex mutex;
    std::unordered_map<Digest, Slot, DigestHash> slots;
    std::deque<Digest> clock;  // The same digests; the next to be looked at first.
  };

  Shard& ShardOf(const Digest& digest) { return shards_[digest.high % kShards]; }
  void Evict(const Digest& newest);
  bool EvictOne(Shard& shard, const Digest& newest);
  void Erase(Shard& shard, const Digest& digest);

  const std::uint64_t max_bytes_;
  std::atomic<std::uint64_t> bytes_ = 0;
  std::atomic<std::size_t> hand_ = 0;  // The shard that gives next.
  std::array<Shard, kShards> shards_;
};

}  // namespace gemmsmith
