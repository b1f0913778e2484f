#pragma once

#include <memory>
#include <string>

#include "gemmsmith/engine.h"
#include "gemmsmith/export.h"
#include "gemmsmith/options.h"

namespace gemmsmith {

struct GEMMSMITH_API GlobalJITConfig {
  bool enable_jit = true;      ///< False: nothing is generated; portable and cached kernels only.
  bool enable_caching = true;  ///< False: every plan makes its own kernel, and nothing is written to disk.
  std::string cache_dir;       ///< Empty: the environment's (see Environment).
  CachePolicy cache_policy;    ///< Of the cache on disk.

  EngineOptions ToOptions() const;
  friend bool operator==(const GlobalJITConfig&, const GlobalJITConfig&) = default;
};

/// The process-wide door to a default Engine and to engines that share its devices. Thread-safe.
class GEMMSMITH_API GlobalJITManager {
 public:
  static GlobalJITManager& Instance();

  /// Opens the best device and the cache directory now rather than at the first call. May be called again.
  void Initialize();
  /// Settings for engines made from now on; the default engine is replaced, calls under way finish on the old one.
  void SetGlobalConfig(const GlobalJITConfig& config);
  GlobalJITConfig GetGlobalConfig() const;

  /// The engine of the global settings.
  std::shared_ptr<Engine> DefaultEngine();
  /// The engine of these settings; callers with equal settings share one while any of them holds it.
  std::shared_ptr<Engine> EngineFor(const EngineOptions& options);
  Devices& devices();
  /// One for all engines. Enabled from the start, and written at exit, where GEMMSMITH_TRACE names a file.
  Profiler& profiler();

 private:
  GlobalJITManager();
  ~GlobalJITManager();
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace gemmsmith
