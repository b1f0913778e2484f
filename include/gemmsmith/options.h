#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "gemmsmith/cache.h"
#include "gemmsmith/export.h"
#include "gemmsmith/kernel_config.h"

namespace gemmsmith {

/// How kernels are compiled; part of every cache key but for the warning.
struct CompileOptions {
  int opt_level = 3;               ///< 0 to 3, ptxas's level.
  bool fast_math = false;          ///< Approximate division, square root and exponentials; flush denormals.
  int register_usage_level = 5;    ///< 0 to 10, ptxas's --register-usage-level; 5 is its default.
  bool warn_local_memory = false;  ///< Log spills and local memory. Never changes the code, nor the key.
  bool line_info = false;          ///< Source lines in the PTX and cubin, for profilers and the emulator.

  friend bool operator==(const CompileOptions&, const CompileOptions&) = default;
};

/// kBlocking: compile on a miss and wait. kOffline: never run a compiler; a miss is an error that says what is missing.
/// CPU kernels are emitted in either mode: that takes microseconds.
enum class CompileMode { kBlocking, kOffline };

/// kFirstUse: the first call of each plan waits for its result, which is compared with a float64 reference on some rows
/// and columns. A config whose result is wrong is recorded as wrong, with a warning, and never chosen again; the call
/// is done anew with the next one. While a CUDA graph is captured nothing is verified. Where B is packed, random
/// operands are used instead of the call's.
enum class VerifyMode { kOff, kFirstUse };

/// Cancels long compiles from another thread. Copies share one flag.
class CancellationToken {
 public:
  void Cancel() { flag_->store(true, std::memory_order_relaxed); }
  bool cancelled() const { return flag_->load(std::memory_order_relaxed); }

 private:
  std::shared_ptr<std::atomic<bool>> flag_ = std::make_shared<std::atomic<bool>>(false);
};

/// Everything the environment decides, read once per process. Names and meanings: docs/environment.md. In a process
/// that runs with other rights than its caller's (setuid), every field has its default, and cache_dir is empty.
struct Environment {
  std::string
      cache_dir;  ///< GEMMSMITH_CACHE_DIR, else $XDG_CACHE_HOME/gemmsmith, else $HOME/.cache/gemmsmith; empty: none.
  std::vector<std::string> bundles;  ///< GEMMSMITH_BUNDLES: files, separated by colons.
  bool allow_shared_cache = false;   ///< GEMMSMITH_ALLOW_SHARED_CACHE=1: see CachePolicy::allow_shared_directory.
  std::vector<std::string> trusted_signers;  ///< GEMMSMITH_TRUSTED_SIGNERS: separated by colons; see CachePolicy.
  std::string compiler;                      ///< GEMMSMITH_COMPILER: "nvrtc" or "nvcc"; empty: the first that is there.
  std::string nvrtc;                         ///< GEMMSMITH_NVRTC: library file, or folder that holds it.
  std::string nvcc;                          ///< GEMMSMITH_NVCC: executable.
  std::string cuda_home;                     ///< CUDA_HOME or CUDA_PATH.
  std::string log_level;                     ///< GEMMSMITH_LOG: trace, debug, info, warn, error, off. Default warn.
  std::string trace_file;     ///< GEMMSMITH_TRACE: where to write a trace of all stages, for trace viewers.
  bool check_groups = false;  ///< GEMMSMITH_CHECK_GROUPS=1: see EngineOptions.
  int num_threads = 0;        ///< GEMMSMITH_NUM_THREADS for the CPU device; 0: one per core this process may use.
  std::string cpu_isa;  ///< GEMMSMITH_CPU_ISA: "portable", "avx2", "avx512", ... caps what is used; empty: the best.
  bool emulator_checks = true;  ///< GEMMSMITH_EMULATOR_CHECKS=off: emulated devices do not look for races and the like.
  std::uint64_t emulator_seed =
      1;  ///< GEMMSMITH_EMULATOR_SEED: of the order of what emulated devices run side by side.

  GEMMSMITH_API static const Environment& Get();
};

/// The settings of one Engine.
struct EngineOptions {
  CompileOptions compile;
  CompileMode mode = CompileMode::kBlocking;
  bool enable_jit = true;      ///< False: no code is generated here; portable and cached kernels only.
  bool enable_caching = true;  ///< False: nothing is kept between plans, in memory or on disk.
  bool enable_disk = true;     ///< False: nothing is kept on disk.
  std::string cache_dir;       ///< Empty: Environment::cache_dir.
  CachePolicy cache_policy;    ///< Of the disk tier.
  /// Files of precompiled kernels (gemmsmith/bundle.h), asked before those of Environment::bundles. They are read where
  /// they lie, after the disk cache.
  std::vector<std::string> bundles;
  bool copy_bundle_hits = false;              ///< To the disk cache, for when the bundle is gone.
  std::string compiler;                       ///< "nvrtc" or "nvcc"; empty: Environment::compiler.
  std::chrono::seconds compile_timeout{600};  ///< Of one compile by nvcc.
  bool keep_sources = false;                  ///< Engine::Kernels also holds each kernel's source and log.
  /// Measured results (docs/results.md) go before the cost model, and are added to. False, or where nothing is kept on
  /// disk: those of this engine alone, and nothing is saved.
  bool use_results = true;
  std::string results_directory;  ///< Empty: "results" in the folder of cache_dir.
  VerifyMode verify = VerifyMode::kOff;
  BaseConfig tile;  ///< Only kernels of this tile are chosen; where there is none, planning throws kUnsupported.
  bool enable_tma_multicast = true;  ///< False: no kernels whose blocks load tiles for each other.
  /// Groups (GroupArgs) are fetched from the device, after all before them on the stream, and checked before each call:
  /// kInvalidArgument says which is wrong. Else what is out of range is left out. Not while a CUDA graph is captured.
  bool check_groups = false;  ///< Environment::check_groups does the same.

  friend bool operator==(const EngineOptions&, const EngineOptions&) = default;
};

}  // namespace gemmsmith
