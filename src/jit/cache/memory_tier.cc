#include "jit/cache/memory_tier.h"

#include <mutex>
#include <vector>

namespace gemmsmith {

std::unique_ptr<Tier> MemoryTier::Open(const ArtifactStore::Options& options) {
  return options.enable_memory ? std::make_unique<MemoryTier>(options.memory_bytes) : nullptr;
}

ArtifactPtr MemoryTier::Get(const CacheKey& key) {
  Shard& shard = ShardOf(key.digest);
  std::shared_lock lock(shard.mutex);
  const auto found = shard.slots.find(key.digest);
  if (found == shard.slots.end() || found->second.key_text != key.text) return nullptr;
  // Written only when it changes: readers on other cores keep their copy of the line.
  if (!found->second.used.load(std::memory_order_relaxed)) found->second.used.store(true, std::memory_order_relaxed);
  return found->second.artifact;
}

void MemoryTier::Put(const CacheKey& key, const ArtifactPtr& artifact) {
  if (artifact->size() > max_bytes_) return;
  Shard& shard = ShardOf(key.digest);
  {
    std::unique_lock lock(shard.mutex);
    const auto [found, is_new] = shard.slots.try_emplace(key.digest);
    Slot& slot = found->second;
    if (is_new) {
      shard.clock.push_back(key.digest);
    } else {
      bytes_ -= slot.artifact->size();
    }
    slot.key_text = key.text;
    slot.artifact = artifact;
    bytes_ += artifact->size();
  }
  Evict(key.digest);
}

void MemoryTier::Remove(const CacheKey& key) {
  Shard& shard = ShardOf(key.digest);
  std::unique_lock lock(shard.mutex);
  if (shard.slots.contains(key.digest)) {
    Erase(shard, key.digest);
    std::erase(shard.clock, key.digest);
  }
}

void MemoryTier::ForEach(const std::function<bool(const std::string&, std::uint64_t)>& visit) {
  for (Shard& shard : shards_) {
    // Copied, so that `visit` may use the tier.
    std::vector<std::pair<std::string, std::uint64_t>> entries;
    {
      std::shared_lock lock(shard.mutex);
      for (const auto& [digest, slot] : shard.slots) entries.emplace_back(digest.Hex(), slot.artifact->size());
    }
    for (const auto& [digest, bytes] : entries)
      if (!visit(digest, bytes)) return;
  }
}

/// Takes one artifact from each shard in turn until the cap holds, but not the `newest`, nor one that has been used
/// since the last round: two rounds in which nothing could be taken show that nothing is left.
void MemoryTier::Evict(const Digest& newest) {
  std::size_t idle = 0;
  while (bytes_ > max_bytes_ && idle < 2 * kShards) idle = EvictOne(shards_[hand_++ % kShards], newest) ? 0 : idle + 1;
}

bool MemoryTier::EvictOne(Shard& shard, const Digest& newest) {
  std::unique_lock lock(shard.mutex);
  for (std::size_t left = shard.clock.size(); left > 0; --left) {
    const Digest digest = shard.clock.front();
    shard.clock.pop_front();
    if (digest != newest && !shard.slots.at(digest).used.exchange(false)) {
      Erase(shard, digest);
      return true;
    }
    shard.clock.push_back(digest);
  }
  return false;
}

void MemoryTier::Erase(Shard& shard, const Digest& digest) {
  const auto found = shard.slots.find(digest);
  bytes_ -= found->second.artifact->size();
  shard.slots.erase(found);
}

}  // namespace gemmsmith
