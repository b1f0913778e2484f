#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "artifact.h"
#include "gemmsmith/bundle.h"
#include "gemmsmith/engine.h"
#include "jit/cache/store.h"
#include "jit/compiler.h"
#include "jit/key.h"

namespace gemmsmith {

/// From a source to an artifact and to a loaded kernel: compilers, cache, observers and reports in one place.
/// Thread-safe.
class KernelMaker {
 public:
  KernelMaker(const EngineOptions& options, Profiler& profiler);

  struct Made {
    ArtifactPtr artifact;
    CacheKey key;
    KernelReport report;
  };
  /// `dynamic_shared_bytes` and `problem` are for the report. `device` is where it will be loaded: of what other
  /// toolchains made, it gets what it can load.
  Made Obtain(const KernelSource& source, const CancellationToken& cancel, const std::string& problem = {},
              std::uint32_t dynamic_shared_bytes = 0, Device* device = nullptr);
  /// The key of what Obtain would give, without making it: where there is no compiler, of what the cache has. Throws
  /// kNotFound where there is neither.
  CacheKey KeyOf(const KernelSource& source);
  /// Loads once per device and key.
  std::shared_ptr<const Kernel> Load(const Made& made, Device& device);

  void AddObserver(std::shared_ptr<Observer> observer);
  void Fallback(std::string_view what, std::string_view reason);
  std::vector<KernelReport> Reports() const;
  /// Of the CUDA kernels of Reports().
  BundleSummary WriteBundle(const std::string& path, const BundleOptions& options);
  CacheStats Stats() const;

 private:
  /// Those of the options, else of the environment; empty: any.
  const std::string& wanted_compiler() const;
  /// Where there is no compiler, what another machine's has made.
  ArtifactStore::KeyedHit Find(const KernelSource& source, const CancellationToken& cancel, Device* device);
  /// False, and said so, where the device's driver refuses it.
  bool CanLoad(const CacheKey& key, const Artifact& artifact, Device& device);
  std::shared_ptr<const Kernel> Load(const CacheKey& key, const Artifact& artifact, Device& device);
  ArtifactStore::Hit Lookup(const KernelSource& source, const Compiler& compiler, const CacheKey& key,
                            const CancellationToken& cancel);
  Artifact Compile(const KernelSource& source, const Compiler& compiler, const std::string& digest,
                   const CancellationToken& cancel);
  template <class Call>
  void Notify(Call call);

  const EngineOptions options_;
  Profiler& profiler_;
  std::shared_ptr<ArtifactStore> store_;
  mutable std::mutex mutex_;
  std::vector<std::shared_ptr<Observer>> observers_;
  std::vector<KernelReport> reports_;
  std::map<std::pair<const Device*, Digest>, std::shared_ptr<const Kernel>> loaded_;
};

}  // namespace gemmsmith
