#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "gemmsmith/args.h"
#include "gemmsmith/bundle.h"
#include "gemmsmith/cache.h"
#include "gemmsmith/config.h"
#include "gemmsmith/device.h"
#include "gemmsmith/export.h"
#include "gemmsmith/kernel.h"
#include "gemmsmith/observer.h"
#include "gemmsmith/options.h"
#include "gemmsmith/prepared_gemm.h"
#include "gemmsmith/problem.h"
#include "gemmsmith/profile.h"
#include "gemmsmith/target.h"
#include "gemmsmith/tune.h"

namespace gemmsmith {

/// All that is known of one kernel; dumped as JSON by `--debug-dump`. Never part of a key.
struct KernelReport {
  std::string name, problem, config, target, compiler, options;
  std::string key;       ///< Digest, 32 hexadecimal digits.
  std::string key_text;  ///< What was digested, readable.
  std::string source, log;
  Origin origin = Origin::kCompiled;
  double compile_ms = 0;         ///< Of the compile that made it, whenever that was.
  double obtain_ms = 0;          ///< Of this lookup or compile.
  std::uint64_t code_bytes = 0;  ///< cubin, or machine code.
  std::uint32_t dynamic_shared_bytes = 0;
  KernelResources resources;
};

/// One term of a predicted time.
struct CostTerm {
  std::string name;
  double microseconds = 0;
};
struct RankedConfig {
  TileConfig config;
  double microseconds = 0;  ///< Predicted.
  std::vector<CostTerm> terms;
  std::string limiting;       ///< The term that decides.
  double measured_us = 0;     ///< Median of what was measured of this problem with this code; 0: nothing was.
  std::uint64_t timings = 0;  ///< Of which it is the median.
};
/// What would be chosen, and why.
struct Explanation {
  GemmProblem problem;
  std::string device, target;
  std::vector<RankedConfig> ranked;  ///< Best first: by the model, but for the first where `measured` says so.
  std::vector<std::string> refused;  ///< "family: reason", for families of the target that cannot do it.
  std::string measured{};            ///< Why the first is chosen, by measurements; empty: by the model.
  std::vector<std::string> wrong{};  ///< "config: how", for those whose output was wrong; they are not in `ranked`.
  std::string calibration{};         ///< What measurements changed in the model, by how many records; empty: nothing.
  std::vector<std::int64_t> group_rows{};  ///< As given.
};

/// What Prepare made ready.
struct PlanInfo {
  GemmProblem problem;
  TileConfig config;
  std::vector<KernelReport> kernels;
  std::uint64_t workspace_bytes = 0;
};

struct PrepareOptions {
  bool auto_tune = false;  ///< A short tuning (see Engine::Tune), unless the problem is tuned already.
  CancellationToken cancel{};
  Stream stream{};  ///< Whose workspace is reserved, where the plan needs one.
};

/// One façade over choosing, compiling, caching, loading and launching. Thread-safe. Several engines may share devices
/// and cache directories.
class GEMMSMITH_API Engine {
 public:
  explicit Engine(EngineOptions options = {});
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  /// D = alpha * A * B + beta * C on the device that holds the tensors. The first call of a problem plans it; later
  /// calls are a lookup and a launch. Throws before anything is launched, with D untouched. While `stream` is captured
  /// into a CUDA graph, also kInvalidArgument for what Prepare has not made ready for it; a graph uses the workspace of
  /// the stream that it was captured on, and must not run beside other calls on that stream.
  void Gemm(const GemmProblem& problem, const GemmArgs& args, Stream stream = {});
  /// The same for the problem that `args` pose, with the accumulator that fits their types.
  void Gemm(const GemmArgs& args, Stream stream = {});
  /// Plans, compiles and reserves; launches nothing. Not while a stream of the device is captured.
  PlanInfo Prepare(const GemmProblem& problem, DeviceId device, const PrepareOptions& options = {});
  /// Does the same for the call that `args` pose, and keeps what was found. Throws as Gemm does.
  PreparedGemm Prepare(const GemmArgs& args, const PrepareOptions& options = {});
  /// Ranks the configs for a device, or for a target and a device that need not be here. Not empty, `group_rows` are
  /// the sizes in m of groups that share one launch, each with a B of its own, instead of problem.m: to see what
  /// sizes cost; a grouped problem is ranked as it is planned, by what it expects (docs/select.md).
  Explanation Explain(const GemmProblem& problem, DeviceId device, std::span<const std::int64_t> group_rows = {}) const;
  Explanation Explain(const GemmProblem& problem, const CodeTarget& target, const DeviceSpec& spec,
                      std::span<const std::int64_t> group_rows = {}) const;

  /// Measures the model's best configs and the one that would be chosen now, on operands of its own, records every
  /// timing (docs/results.md), and chooses (docs/select.md): plans made from then on use it, here and in other
  /// processes. One result for each range of m; one, where no range is asked for. One tuning at a time in a process.
  /// Throws kInvalidArgument, kUnsupported, kCancelled, and what compiling the config chosen now throws.
  std::vector<TuneResult> Tune(const GemmProblem& problem, DeviceId device, const TuneOptions& options = {});
  /// Records a time of a call, in microseconds, for a config such as PlanInfo has. Saved after a while, and at the end.
  /// Throws kInvalidArgument for what is no time, kNotFound for a config that this problem has not on this device.
  void RecordPerformance(const GemmProblem& problem, DeviceId device, const TileConfig& config, double microseconds);
  /// The config that a plan made now would have: as tuned; else, of those timed, the fastest; else the model's.
  TileConfig PredictOptimalConfig(const GemmProblem& problem, DeviceId device);

  /// Compiles (or finds) the kernels of a problem for `target`; needs no device. `spec` guides the choice.
  std::vector<KernelReport> CompileAhead(const GemmProblem& problem, const CodeTarget& target, const DeviceSpec& spec,
                                         const CancellationToken& cancel = {});
  /// The source that CompileAhead would compile for its first choice.
  KernelSource Render(const GemmProblem& problem, const CodeTarget& target, const DeviceSpec& spec) const;
  /// One part of a compiled kernel: the text of its "source" or "ptx", the bytes of its "cubin", or, for x86, a
  /// "listing" of its machine code. Compiles if needed. Throws kNotFound for what it does not have.
  std::string Emit(const KernelSource& source, std::string_view part, const CancellationToken& cancel = {});
  /// Writes the CUDA kernels that this engine made or found, and that its cache still has, into a bundle.
  BundleSummary WriteBundle(const std::string& path, const BundleOptions& options = {}) const;
  /// A user's own kernel, through the same compilers and cache, loaded on `device`.
  std::shared_ptr<const Kernel> Compile(const KernelSource& source, DeviceId device,
                                        const CancellationToken& cancel = {});

  /// B in the form that the device's kernels read fastest: `packed` goes into GemmArgs::b, with the problem's b_layout
  /// kPacked. Empty where the device reads B as it comes.
  struct PackedWeight {
    Buffer storage;
    Tensor packed;
  };
  std::optional<PackedWeight> Pack(const Tensor& b, DeviceId device, Stream stream = {});

  /// How many SMs of a GPU the kernels of this engine are made for and may fill, to leave others to kernels beside
  /// them: those of persistent kernels ("sm90") launch no more blocks, for the others it is only reckoned with. Calls
  /// that begin afterwards follow; what was prepared before stays as it is. Nothing is compiled anew where the same
  /// kernel is chosen, and a number that was set before finds its plans. Throws kInvalidArgument unless it is from 1 to
  /// what the device has, kUnsupported for the CPU, kNotFound where there is no such device.
  void SetNumSms(DeviceId device, int num_sms);
  /// As set; all of the device's, where none was.
  int GetNumSms(DeviceId device) const;

  void AddObserver(std::shared_ptr<Observer> observer);
  Profiler& profiler();
  /// Every kernel that this engine made or found, oldest first.
  std::vector<KernelReport> Kernels() const;
  CacheStats Cache() const;
  Devices& devices();
  const EngineOptions& options() const;

 private:
  friend class JITWrapperBase;
  friend class PreparedGemm;
  const Plan& Run(const GemmProblem& problem, const GemmArgs& args, Stream stream, bool auto_tune);
  void Run(const Plan& plan, const GemmArgs& args, Stream stream);
  void Launch(const Plan& plan, const GemmArgs& args, Stream stream);
  void LaunchByGroups(const Plan& plan, const GemmArgs& args, Stream stream);
  void RunFirst(const Plan& plan, const GemmArgs& args, Stream stream);
  std::string RunVerified(const Plan& plan, const GemmArgs& args, Stream stream);
  void RecordWrong(const Plan& plan, const std::string& wrong);
  void AutoTune(const GemmProblem& problem, DeviceId device, const CancellationToken& cancel);
  const Plan& PlanFor(const GemmProblem& problem, DeviceId device, const PrepareOptions& options);
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace gemmsmith
