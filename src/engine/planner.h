#pragma once

#include <memory>

#include "engine/kernel_maker.h"
#include "engine/measured.h"
#include "engine/num_sms.h"
#include "engine/plan_table.h"
#include "engine/wanted_configs.h"
#include "gemmsmith/engine.h"
#include "select/cost_model.h"

namespace gemmsmith {

/// Problem -> plan: choose, render, obtain, load. A short-lived view of an engine's parts.
class Planner {
 public:
  Planner(const EngineOptions& options, Devices& devices, KernelMaker& maker, MeasuredResults& measured,
          Profiler& profiler, const SmSetting& sms)
      : options_(options), devices_(devices), maker_(maker), measured_(measured), profiler_(profiler), sms_(sms) {}

  std::unique_ptr<const Plan> Make(const GemmProblem& problem, DeviceId device, const CancellationToken& cancel);

  /// What was timed of a config, with the code it has now.
  struct Measured {
    TileConfig config;
    double microseconds = 0;  ///< Median.
    std::uint64_t timings = 0;
  };
  struct Choice {
    CodeTarget target;
    Ranking ranking;    ///< Not empty. By the model, but for the first where `basis` says so.
    std::string basis;  ///< Of measurements; empty: the model's.
    std::vector<Measured> measured;
    std::vector<std::string> wrong;  ///< "config: how".
    bool tuned = false;              ///< `basis` is what a tuning chose.

    const Measured* Find(const TileConfig& config) const;
  };
  /// The device's best target that has a kernel, by what was measured, then by the model. Throws kUnsupported with
  /// every family's reason.
  Choice Choose(const GemmProblem& problem, Device& device);
  /// Whether a grouped call is one dense call for each group: where the host has the groups at hand. The choice is then
  /// that of a group of mean size.
  static bool IsByGroups(const GemmProblem& problem, const Device& device);

  /// A kernel, and how it is launched.
  using Rendered = FollowUp;
  /// The first choice for a target, in the order of its launches. Throws kUnsupported.
  std::vector<Rendered> Render(const GemmProblem& problem, const CodeTarget& target, const DeviceSpec& spec);

  /// How `device` packs a B of `dtype`; no panels: it reads B as it comes.
  PackedForm Packed(DType dtype, Device& device);
  /// As far as kernels may fill it.
  DeviceSpec SpecOf(const Device& device) const { return sms_.SpecOf(device); }
  /// By the model alone, as far as the options want its configs.
  Ranking Rank(const GemmProblem& problem, const CodeTarget& target, const DeviceSpec& spec) const {
    return RankWanted(problem, target, spec, options_);
  }
  /// Those whose kernels may be used, best first.
  std::vector<CodeTarget> Targets(Device& device) const;

  std::unique_ptr<Plan> Build(const GemmProblem& problem, Device& device, const CodeTarget& target,
                              const TileConfig& config, const CancellationToken& cancel);
  /// The keys of the kernels of a config, which records are kept by; empty: it has none here.
  std::string CodeDigest(const GemmProblem& problem, const TileConfig& config, const CodeTarget& target);
  /// What the device's records of the code as it is now change in its model; null: there are none.
  std::shared_ptr<const Calibration> Calibrate(Device& device, const CodeTarget& target);

 private:
  std::vector<Rendered> RenderConfig(const GemmProblem& problem, const TileConfig& config, const CodeTarget& target);
  /// The best of `ranked` whose kernel can be had: where nothing can be compiled, the cache and bundles have the say.
  /// Throws what the first one threw.
  std::unique_ptr<Plan> BuildBest(const GemmProblem& problem, Device& device, const Choice& choice,
                                  const CancellationToken& cancel);
  /// Puts what the results database says into `choice`, which is the model's. Of wrong configs all may go.
  void AskResults(const GemmProblem& problem, Device& device, Choice& choice);
  /// Orders by the calibrated model what is not chosen by measurements of the problem itself, whose ties are the plain
  /// model's.
  void Recalibrate(const GemmProblem& problem, Device& device, Choice& choice);

  const EngineOptions& options_;
  Devices& devices_;
  KernelMaker& maker_;
  MeasuredResults& measured_;
  Profiler& profiler_;
  const SmSetting& sms_;
};

}  // namespace gemmsmith
