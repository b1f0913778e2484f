#pragma once

#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "cli/device_memory.h"
#include "cli/json.h"
#include "gemmsmith/engine.h"
#include "gemmsmith/shapes.h"
#include "gemmsmith/verify.h"

namespace gemmsmith::cli {

/// One problem, run and timed.
struct Measurement {
  NamedProblem shape;
  std::string device;
  PlanInfo plan;
  double first_ms = 0;   ///< From asking for the product to having it: plan, compile or find, load, run.
  double median_ms = 0;  ///< Of the calls after that.
  int calls = 0;         ///< That the median is of.
  std::optional<VerifyReport> check;
  std::vector<KernelStatistics> statistics;  ///< Of the first call, where they were asked for.

  /// Where the kernel came from: "compiled", "memory", "disk" or "bundle"; "none" where none is needed.
  std::string source() const;
  /// What compiling cost here; 0 for a kernel that was found.
  double compile_ms() const;
  double gflops() const;
  bool ok() const { return !check || check->ok; }
};

Json ToJson(const Measurement& measurement);
/// "512x4096x7168": m, n, k.
std::string SizeText(const GemmProblem& problem);

/// Operands for a list of problems on one device: random numbers, made once and shared by all problems, and an output.
class Workbench {
 public:
  Workbench(Engine& engine, DeviceId device, std::span<const NamedProblem> problems, std::uint64_t seed);

  struct Work {
    double alpha = 1;
    bool check = false;
    double seconds = 0.5;     ///< To spend on the calls after the first; 0: there are none.
    bool statistics = false;  ///< On emulated devices.
  };
  Measurement Measure(const NamedProblem& shape, const Work& work);

 private:
  /// The tensors of one problem, as the device and as the host see them.
  struct Operands {
    GemmArgs device, host;
  };

  Operands Bind(const NamedProblem& shape, double alpha) const;
  void PoisonOutput(const Tensor& d);
  void FirstCall(const GemmProblem& problem, const GemmArgs& args, bool counted, Measurement& measurement);
  VerifyReport Check(const GemmProblem& problem, const GemmArgs& args);
  void TimeCalls(const GemmProblem& problem, const GemmArgs& args, double seconds, Measurement& measurement);

  Engine& engine_;
  Device& device_;
  std::uint64_t seed_;
  std::map<DType, DeviceMemory> pools_;
  DeviceMemory output_;
};

}  // namespace gemmsmith::cli
