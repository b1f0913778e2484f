#include "gemmsmith/memory.h"

#include <algorithm>
#include <bit>
#include <limits>
#include <map>
#include <mutex>
#include <unordered_map>
#include <utility>
#include <vector>

#include "util/log.h"

namespace gemmsmith {
namespace {

constexpr std::size_t kSmallestBlock = 256;
// Beyond this, classes would waste too much: whole granules instead.
constexpr std::size_t kLargestClass = 64u << 20;
constexpr std::size_t kGranule = 2u << 20;
constexpr std::size_t kMaxBytes = std::numeric_limits<std::ptrdiff_t>::max() - kGranule;

/// The size of the block that serves a request: 256, 384, 512, 768, 1024, ... bytes.
std::size_t BlockBytes(std::size_t bytes) {
  if (bytes <= kSmallestBlock) return kSmallestBlock;
  if (bytes > kLargestClass) return (bytes + kGranule - 1) / kGranule * kGranule;
  const std::size_t power = std::bit_ceil(bytes);
  return bytes <= power / 4 * 3 ? power / 4 * 3 : power;
}

struct Block {
  void* pointer = nullptr;
  std::size_t bytes = 0;
};

}  // namespace

struct MemoryPool::State {
  Source source;
  mutable std::mutex mutex;
  std::uint64_t cap = 0;
  MemoryPoolStats stats;
  std::unordered_map<void*, std::size_t> used;       // Bytes of the block, by its address.
  std::map<std::size_t, std::vector<void*>> cached;  // Free blocks, by their size.

  /// A cached block, or one with a null pointer for which used_bytes has been raised: memory to ask the source for.
  /// Throws over the cap. `evicted` are to be freed by the caller, without the lock.
  Block Reserve(std::size_t bytes, std::vector<Block>& evicted) {
    const std::scoped_lock lock(mutex);
    ++stats.allocations;
    void* pointer = TakeCached(bytes);
    if (pointer == nullptr) Admit(bytes, evicted);
    stats.used_bytes += bytes;
    stats.peak_used_bytes = std::max(stats.peak_used_bytes, stats.used_bytes);
    return {pointer, bytes};
  }

  void* TakeCached(std::size_t bytes) {
    const auto found = cached.find(bytes);
    if (found == cached.end()) return nullptr;
    void* pointer = found->second.back();
    found->second.pop_back();
    if (found->second.empty()) cached.erase(found);
    stats.cached_bytes -= bytes;
    ++stats.reuses;
    used.emplace(pointer, bytes);
    return pointer;
  }

  void Admit(std::size_t bytes, std::vector<Block>& evicted) {
    if (cap == 0) return;
    if (stats.used_bytes + bytes > cap)
      throw Fail(Code::kOutOfMemory, "free buffers, or raise the pool's cap",
                 "{}: {} bytes asked for, {} in use, cap {}", source.name, bytes, stats.used_bytes, cap);
    EvictTo(cap - bytes - stats.used_bytes, evicted);
  }

  /// Largest first: fewest calls to the system.
  void EvictTo(std::uint64_t limit, std::vector<Block>& evicted) {
    while (stats.cached_bytes > limit) {
      const auto largest = std::prev(cached.end());
      evicted.push_back({largest->second.back(), largest->first});
      stats.cached_bytes -= largest->first;
      largest->second.pop_back();
      if (largest->second.empty()) cached.erase(largest);
    }
  }

  void Release(const std::vector<Block>& evicted) const {
    for (const Block& block : evicted) source.free(block.pointer, block.bytes);
  }

  /// From the source; once more after a trim, for the cache may hold what it lacks. Null if there is no more.
  void* AskSource(std::size_t bytes) {
    if (void* pointer = source.allocate(bytes)) return pointer;
    std::vector<Block> evicted;
    {
      const std::scoped_lock lock(mutex);
      EvictTo(0, evicted);
    }
    if (evicted.empty()) return nullptr;
    Release(evicted);
    return source.allocate(bytes);
  }

  void CancelReservation(std::size_t bytes) {
    const std::scoped_lock lock(mutex);
    stats.used_bytes -= bytes;
  }

  Error Exhausted(std::size_t bytes) const {
    const std::scoped_lock lock(mutex);
    return Fail(Code::kOutOfMemory, "free buffers, or use smaller ones", "{}: no memory for {} bytes beside {} in use",
                source.name, bytes, stats.used_bytes);
  }
};

MemoryPool::MemoryPool(Source source) : state_(std::make_unique<State>()) { state_->source = std::move(source); }

MemoryPool::~MemoryPool() { Trim(); }

void* MemoryPool::Allocate(std::size_t bytes) {
  if (bytes > kMaxBytes) throw state_->Exhausted(bytes);
  std::vector<Block> evicted;
  Block block = state_->Reserve(state_->source.exact ? std::max<std::size_t>(bytes, 1) : BlockBytes(bytes), evicted);
  if (block.pointer != nullptr) return block.pointer;
  // Without the lock: the system is slow, and others may be served from the cache meanwhile.
  state_->Release(evicted);
  try {
    block.pointer = state_->AskSource(block.bytes);
  } catch (...) {
    state_->CancelReservation(block.bytes);
    throw;
  }
  if (block.pointer == nullptr) {
    state_->CancelReservation(block.bytes);
    throw state_->Exhausted(block.bytes);
  }
  const std::scoped_lock lock(state_->mutex);
  state_->used.emplace(block.pointer, block.bytes);
  return block.pointer;
}

void MemoryPool::Free(void* pointer) {
  if (pointer == nullptr) return;
  std::vector<Block> evicted;
  {
    const std::scoped_lock lock(state_->mutex);
    const auto found = state_->used.find(pointer);
    if (found == state_->used.end())
      throw Fail(Code::kInvalidArgument, "free each block once, to the pool that gave it",
                 "{}: {} is not a block in use", state_->source.name, fmt::ptr(pointer));
    const std::size_t bytes = found->second;
    state_->used.erase(found);
    state_->cached[bytes].push_back(pointer);
    state_->stats.used_bytes -= bytes;
    state_->stats.cached_bytes += bytes;
    // The cap may have been lowered since the block was given out.
    const std::uint64_t used_bytes = state_->stats.used_bytes;
    if (state_->source.exact) state_->EvictTo(0, evicted);
    if (state_->cap != 0) state_->EvictTo(state_->cap - std::min(state_->cap, used_bytes), evicted);
  }
  state_->Release(evicted);
}

void MemoryPool::SetCap(std::uint64_t bytes) {
  std::vector<Block> evicted;
  {
    const std::scoped_lock lock(state_->mutex);
    state_->cap = bytes;
    if (bytes != 0) state_->EvictTo(bytes - std::min(bytes, state_->stats.used_bytes), evicted);
  }
  state_->Release(evicted);
}

void MemoryPool::Trim() {
  std::vector<Block> evicted;
  {
    const std::scoped_lock lock(state_->mutex);
    state_->EvictTo(0, evicted);
  }
  state_->Release(evicted);
}

MemoryPoolStats MemoryPool::stats() const {
  const std::scoped_lock lock(state_->mutex);
  return state_->stats;
}

}  // namespace gemmsmith
