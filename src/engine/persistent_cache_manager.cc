#include "gemmsmith/manager.h"
#include "gemmsmith/persistent_cache.h"
#include "jit/cache/entry_files.h"
#include "jit/cache/eviction.h"

namespace gemmsmith {
namespace {

GlobalJITConfig Settings() { return GlobalJITManager::Instance().GetGlobalConfig(); }
PersistentCache Cache() { return PersistentCache(Settings().cache_dir); }

}  // namespace

GlobalPersistentCacheManager& GlobalPersistentCacheManager::Instance() {
  static GlobalPersistentCacheManager manager;
  return manager;
}

void GlobalPersistentCacheManager::Initialize(const std::string& directory, const CachePolicy& policy) {
  GlobalJITConfig config = Settings();
  config.cache_dir = directory;
  config.cache_policy = policy;
  GlobalJITManager::Instance().SetGlobalConfig(config);
}

PersistentCacheStats GlobalPersistentCacheManager::GetStats() const {
  const PersistentCache cache = Cache();
  const CacheHistory history = cache.History();
  std::uint64_t kernels = 0;
  VisitEntries(cache.directory(), [&](const EntryFile&) { return ++kernels != 0; });
  return {kernels, history.disk_hits, history.misses, history.saved_compile_ms};
}

std::vector<CachedKernel> GlobalPersistentCacheManager::GetAllCachedKernels() const { return Cache().List(); }

std::vector<CachedKernel> GlobalPersistentCacheManager::SearchKernels(std::string_view text) const {
  return Cache().Search(text);
}

std::uint64_t GlobalPersistentCacheManager::CleanupExpiredCache() {
  return Cache().Prune({.max_age = AgeLimit(Settings().cache_policy)}).removed_kernels;
}

std::uint64_t GlobalPersistentCacheManager::CleanupBySize(std::uint64_t max_bytes) {
  return Cache().Prune({.max_bytes = max_bytes}).removed_kernels;
}

bool GlobalPersistentCacheManager::ValidateCacheIntegrity() { return Cache().Verify(/*repair=*/true).broken.empty(); }

}  // namespace gemmsmith
