#pragma once

#include <memory>

#include "engine/kernel_maker.h"
#include "engine/plan_table.h"
#include "gemmsmith/engine.h"
#include "select/cost_model.h"

namespace gemmsmith {

/// Problem -> plan: choose, render, obtain, load. A short-lived view of an engine's parts.
class Planner {
 public:
  Planner(const EngineOptions& options, Devices& devices, KernelMaker& maker, Profiler& profiler)
      : options_(options), devices_(devices), maker_(maker), profiler_(profiler) {}

  std::unique_ptr<const Plan> Make(const GemmProblem& problem, DeviceId device, const PrepareOptions& options);

  struct Choice {
    CodeTarget target;
    Ranking ranking;  ///< Not empty.
  };
  /// The device's best target that has a kernel. Throws kUnsupported with every family's reason.
  Choice Choose(const GemmProblem& problem, Device& device);

  /// A kernel, and how it is launched.
  using Rendered = FollowUp;
  /// The first choice for a target, in the order of its launches. Throws kUnsupported.
  std::vector<Rendered> Render(const GemmProblem& problem, const CodeTarget& target, const DeviceSpec& spec);

  /// How `device` packs a B of `dtype`; no panels: it reads B as it comes.
  PackedForm Packed(DType dtype, Device& device);

 private:
  std::vector<CodeTarget> Targets(Device& device) const;
  std::vector<Rendered> RenderConfig(const GemmProblem& problem, const TileConfig& config, const CodeTarget& target);
  /// The best of `ranked` whose kernel can be had: where nothing can be compiled, the cache and bundles have the say.
  /// Throws what the first one threw.
  std::vector<std::unique_ptr<Plan>> BuildBest(const GemmProblem& problem, Device& device, const Choice& choice,
                                               const PrepareOptions& options);
  std::unique_ptr<Plan> Build(const GemmProblem& problem, Device& device, const CodeTarget& target,
                              const TileConfig& config, const CancellationToken& cancel);

  const EngineOptions& options_;
  Devices& devices_;
  KernelMaker& maker_;
  Profiler& profiler_;
};

/// Times the best candidates of a problem on scratch operands and returns the index of the fastest.
std::size_t FastestOf(std::span<const std::unique_ptr<Plan>> plans, const GemmProblem& problem, Device& device);

}  // namespace gemmsmith
