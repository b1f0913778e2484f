// Kernels that outlive the process: policy, statistics and upkeep of the cache directory.
#include <algorithm>
#include <cstdio>
#include <jit/jit_persistent_cache.hpp>

#include "gemmsmith/gemmsmith.h"

using namespace gemmsmith;

int main() {
  CachePolicy policy = CachePolicy::Production();
  policy.max_disk_cache_size = std::min<std::uint64_t>(policy.max_disk_cache_size, GetAvailableDiskSpace(".") / 10);
  auto& cache = GlobalPersistentCacheManager::Instance();
  cache.Initialize("./jit_cache", policy);

  // Compiles for a GPU that need not be here; the second time, in this process or another, it comes from the cache.
  const GemmProblem problem = MakeProblem(64, 64, 64, DType::kF32, "nn");
  try {
    const DeviceSpec& gpu = FindDeviceSpec("a100");
    GlobalJITManager::Instance().DefaultEngine()->CompileAhead(problem, gpu.target, gpu);
  } catch (const Error& error) {
    std::printf("no CUDA compiler here: %s\n", error.what());
  }

  const auto stats = cache.GetStats();
  std::printf("%llu kernels, %llu hits, %llu misses, %.0f ms of compiling saved\n",
              static_cast<unsigned long long>(stats.total_cached_kernels.load()),
              static_cast<unsigned long long>(stats.disk_cache_hits.load()),
              static_cast<unsigned long long>(stats.disk_cache_misses.load()),
              stats.total_saved_compilation_time.load());
  for (const CachedKernel& kernel : cache.SearchKernels("gemm"))
    std::printf("%s: %s, %llu bytes of PTX, used %llu times\n", kernel.kernel_name.c_str(), kernel.arch.c_str(),
                static_cast<unsigned long long>(kernel.ptx_size), static_cast<unsigned long long>(kernel.usage_count));

  cache.CleanupExpiredCache();
  cache.CleanupBySize(policy.max_disk_cache_size);
  return cache.ValidateCacheIntegrity() ? 0 : 1;
}
