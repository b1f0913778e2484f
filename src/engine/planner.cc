#include "engine/planner.h"

#include <algorithm>
#include <exception>
#include <optional>
#include <utility>

#include "core/groups.h"
#include "select/cost_model.h"
#include "util/log.h"

namespace gemmsmith {
namespace {

[[noreturn]] void NoKernel(const GemmProblem& problem, const std::vector<std::string>& refused,
                           std::string_view where) {
  std::string reasons;
  for (const std::string& reason : refused) reasons += (reasons.empty() ? "" : "; ") + reason;
  throw Fail(Code::kUnsupported, reasons.empty() ? "no kernel family targets it" : reasons,
             "gemm: no kernel for {} on {}", ToString(problem), where);
}

PackedForm PackedFor(DType dtype, const CodeTarget& target) {
  for (const KernelFamily* family : AllFamilies())
    if (family->Targets(target))
      if (const PackedForm form = family->Packed(dtype, target); form.panel != 0) return form;
  return {};
}

}  // namespace

bool Planner::IsByGroups(const GemmProblem& problem, const Device& device) {
  return problem.grouping != Grouping::kNone && device.id().kind == DeviceKind::kCpu;
}

std::vector<CodeTarget> Planner::Targets(Device& device) const {
  std::vector<CodeTarget> targets = device.targets();
  // Without a JIT, CPU code is what was compiled with the library; CUDA kernels come from the cache alone.
  if (!options_.enable_jit) std::erase_if(targets, [](const CodeTarget& t) { return t.isa == Isa::kX86; });
  return targets;
}

Planner::Choice Planner::Choose(const GemmProblem& posed, Device& device) {
  Validate(posed);
  const GemmProblem problem = IsByGroups(posed, device) ? OneGroup(posed) : posed;
  std::vector<std::string> refused;
  const std::vector<CodeTarget> targets = Targets(device);
  for (const CodeTarget& target : targets) {
    Ranking ranking = Rank(problem, target, SpecOf(device));
    for (std::string& reason : ranking.refused)  // one family may refuse for several targets in the same words
      if (std::find(refused.begin(), refused.end(), reason) == refused.end()) refused.push_back(std::move(reason));
    // A packed B has the form of the first target that packs: kernels of others would misread it.
    if (ranking.configs.empty() && problem.b_layout == Layout::kPacked && PackedFor(problem.b_type, target).panel != 0)
      break;
    if (ranking.configs.empty()) continue;
    if (target != device.targets().front())
      maker_.Fallback(ToString(device.targets().front()),
                      options_.enable_jit ? refused.empty() ? "no kernel" : refused.front() : "the JIT is off");
    Choice choice{target, std::move(ranking), {}, {}, {}, false};
    AskResults(problem, device, choice);
    if (choice.ranking.configs.empty()) {
      for (const std::string& wrong : choice.wrong) refused.push_back("found wrong before: " + wrong);
      continue;
    }
    Recalibrate(problem, device, choice);
    choice.ranking.refused = std::move(refused);
    return choice;
  }
  NoKernel(problem, refused, ToString(device.id()));
}

std::vector<Planner::Rendered> Planner::RenderConfig(const GemmProblem& problem, const TileConfig& config,
                                                     const CodeTarget& target) {
  const Profiler::Span span(profiler_, "render", config.family);
  const KernelFamily& family = FindFamily(config.family);
  const GemmProblem canonical = Canonical(problem);
  std::vector<Rendered> steps;
  steps.push_back({family.Render(canonical, config, target, options_.compile), family.MakeLaunch(canonical, config)});
  if (std::optional<FollowUp> after = family.After(canonical, config, target, options_.compile))
    steps.push_back(std::move(*after));
  return steps;
}

std::vector<Planner::Rendered> Planner::Render(const GemmProblem& problem, const CodeTarget& target,
                                               const DeviceSpec& spec) {
  Validate(problem);
  const Ranking ranking = [&] {
    const Profiler::Span span(profiler_, "select");
    return Rank(problem, target, spec);
  }();
  if (ranking.configs.empty()) NoKernel(problem, ranking.refused, ToString(target));
  return RenderConfig(problem, ranking.configs.front().config, target);
}

PackedForm Planner::Packed(DType dtype, Device& device) {
  for (const CodeTarget& target : Targets(device))
    if (const PackedForm form = PackedFor(dtype, target); form.panel != 0) return form;
  return {};
}

std::unique_ptr<Plan> Planner::Build(const GemmProblem& problem, Device& device, const CodeTarget& target,
                                     const TileConfig& config, const CancellationToken& cancel) {
  auto plan = std::make_unique<Plan>();
  plan->problem = problem;
  plan->device = device.id();
  plan->there = &device;
  plan->swapped = problem.d_layout == Layout::kColMajor;
  plan->info = {problem, config, {}, 0};
  for (const Rendered& step : RenderConfig(problem, config, target)) {
    const KernelMaker::Made made =
        maker_.Obtain(step.source, cancel, ToString(problem), step.launch.shared_bytes, &device);
    plan->steps.push_back({step.launch, maker_.Load(made, device)});
    EncodeMaps(plan->steps.back().launch, device);
    plan->info.kernels.push_back(made.report);
    plan->workspace_bytes = std::max(plan->workspace_bytes, step.launch.workspace_bytes);
    if (step.launch.prepare != nullptr) plan->prepare = step.launch.prepare;
  }
  if (plan->steps.size() == 1) plan->small = SmallCall::Record(plan->steps[0].launch, *plan->steps[0].kernel, device);
  return plan;
}

std::unique_ptr<Plan> Planner::BuildBest(const GemmProblem& problem, Device& device, const Choice& choice,
                                         const CancellationToken& cancel) {
  std::exception_ptr failure;
  for (const Ranking::Config& ranked : choice.ranking.configs) {
    try {
      auto plan = Build(problem, device, choice.target, ranked.config, cancel);
      if (options_.verify == VerifyMode::kFirstUse) plan->first_use = std::make_unique<FirstUse>();
      return plan;
    } catch (const Error& error) {
      if (error.code() != Code::kNotFound) throw;
      if (!failure) failure = std::current_exception();
      maker_.Fallback(ToString(ranked.config), "its kernel is not in the cache and cannot be compiled");
    }
  }
  std::rethrow_exception(failure);
}

std::unique_ptr<const Plan> Planner::Make(const GemmProblem& problem, DeviceId id, const CancellationToken& cancel) {
  Device& device = devices_.Get(id);
  const Profiler::Span span(profiler_, "plan");
  const auto begin = Profiler::Clock::now();
  const Choice choice = Choose(problem, device);
  if (profiler_.enabled()) profiler_.Record("select", {}, begin, Profiler::Clock::now());
  const bool empty = problem.m == 0 || problem.n == 0 || problem.batch == 0;
  if (empty || IsByGroups(problem, device)) {
    auto plan = std::make_unique<Plan>();
    plan->problem = plan->info.problem = problem;
    plan->device = id;
    plan->by_groups = !empty;
    if (plan->by_groups) plan->info.config = choice.ranking.configs.front().config;
    return plan;
  }
  return BuildBest(problem, device, choice, cancel);
}

}  // namespace gemmsmith
