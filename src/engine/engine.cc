#include "gemmsmith/engine.h"

#include <algorithm>
#include <deque>

#include "core/groups.h"
#include "engine/engine_state.h"
#include "engine/first_call.h"
#include "engine/wanted_configs.h"
#include "kernels/cpu_gemm.h"
#include "runtime/cpu/cpu_device.h"
#include "select/cost_model.h"
#include "util/fork_gate.h"
#include "util/log.h"

namespace gemmsmith {
namespace {

/// Everything but what the arguments cannot say.
void CheckSame(const GemmProblem& promised, const GemmProblem& given) {
  if (given.alignment < promised.alignment)
    throw Fail(Code::kInvalidArgument, "align the tensors, or lower the problem's alignment",
               "gemm: pointers and leading dimensions are multiples of {} bytes; the problem promises {}",
               1 << given.alignment, 1 << promised.alignment);
  GemmProblem comparable = given;
  comparable.alignment = promised.alignment;
  comparable.expected_m = promised.expected_m;
  comparable.deterministic = promised.deterministic;
  comparable.compute = promised.compute;
  if (!(comparable == promised))
    throw Fail(Code::kInvalidArgument, "describe the tensors with Describe",
               "gemm: the tensors pose \"{}\", the problem is \"{}\"", ToString(given), ToString(promised));
}

/// Compiling and loading are nothing that a graph could record, and may break its capture.
void CheckNotCapturing(const GemmProblem& problem, const Device& device, Stream stream) {
  if (device.IsCapturing(stream))
    throw Fail(Code::kInvalidArgument, "call Engine::Prepare for the problem, with this stream, before the capture",
               "gemm: {} is not prepared, and its stream is captured into a graph", ToString(problem));
}

void LaunchAsNamed(const Plan& plan, const GemmArgs& args, Devices& devices, Workspaces& workspaces, Stream stream) {
  if (plan.prepare != nullptr) [[unlikely]]
    plan.prepare(args, devices.Get(plan.device), stream);
  Workspaces::Lease workspace;
  if (plan.workspace_bytes != 0) [[unlikely]]
    workspace = workspaces.Take(devices.Get(plan.device), stream, plan.workspace_bytes);
  LaunchSteps(plan, args, stream, workspace.data);
}

/// The arguments as the kernels name them: c where beta needs it, a and b exchanged where D is column-major.
void LaunchAdjusted(const Plan& plan, const GemmArgs& args, Devices& devices, Workspaces& workspaces, Stream stream) {
  GemmArgs adjusted = args;
  if (!adjusted.c.given()) adjusted.c = adjusted.d;
  LaunchAsNamed(plan, plan.swapped ? Canonical(adjusted) : adjusted, devices, workspaces, stream);
}

/// Groups that lie on `device`, after what was launched before, by the rules for its kernels.
void CheckGroups(const GemmProblem& problem, const GemmArgs& args, Device& device, Stream stream) {
  if (device.IsCapturing(stream)) return;
  const Tensor& there = GroupTensor(problem.grouping, *args.groups);
  std::vector<std::int32_t> values(static_cast<std::size_t>(there.size()));
  device.Copy(values.data(), there.data, values.size() * sizeof(std::int32_t), stream);
  device.Synchronize(stream);
  PartsOf(problem, Tensor(values.data(), DType::kS32, {there.size()}), GroupAlignment(problem.grouping));
}

}  // namespace

Engine::Engine(EngineOptions options) : state_(std::make_unique<State>(std::move(options))) {}
Engine::~Engine() = default;

const Plan& Engine::PlanFor(const GemmProblem& problem, DeviceId device, const PrepareOptions& options) {
  State& s = *state_;
  SmSetting& setting = s.sms.current();
  const Plan* plan = setting.plans.Find(problem, device);
  if (plan == nullptr) {
    const ForkGate planning;
    if (options.auto_tune) AutoTune(problem, device, options.cancel);
    plan = setting.plans.Insert(s.planner(setting).Make(problem, device, options.cancel));
  }
  if (plan->workspace_bytes != 0) s.workspaces.Take(s.devices.Get(device), options.stream, plan->workspace_bytes);
  return *plan;
}

const Plan& Engine::Run(const GemmProblem& problem, const GemmArgs& args, Stream stream, bool auto_tune) {
  const Plan* plan = state_->sms.current().plans.Find(problem, args.d.device);
  if (plan == nullptr) [[unlikely]] {
    CheckNotCapturing(problem, state_->devices.Get(args.d.device), stream);
    OnFirstCall(args.d.device, [&](const CancellationToken& cancel) {
      plan = &PlanFor(problem, args.d.device, {auto_tune, cancel, stream});
    });
  }
  Run(*plan, args, stream);
  return *plan;
}

void Engine::Run(const Plan& plan, const GemmArgs& args, Stream stream) {
  if (!plan.is_right()) [[unlikely]] {
    const Plan* const instead = plan.first_use->instead.load(std::memory_order_acquire);
    return instead != nullptr ? Run(*instead, args, stream) : RunFirst(plan, args, stream);
  }
  if (const SmallCall* const small = state_->SmallOf(plan)) return small->Run(SmallCall::OperandsOf(args));
  Launch(plan, args, stream);
}

void Engine::Launch(const Plan& plan, const GemmArgs& args, Stream stream) {
  State& s = *state_;
  if (plan.problem.grouping != Grouping::kNone) [[unlikely]] {
    if (plan.by_groups) return LaunchByGroups(plan, args, stream);
    if (s.options.check_groups || Environment::Get().check_groups)
      CheckGroups(plan.problem, args, s.devices.Get(plan.device), stream);
  }
  const Profiler::Span span(s.profiler, "launch");
  const bool reads_d_as_c = plan.problem.beta != BetaClass::kZero && !args.c.given();
  if (!reads_d_as_c && !plan.swapped) [[likely]] {
    LaunchAsNamed(plan, args, s.devices, s.workspaces, stream);
  } else {
    LaunchAdjusted(plan, args, s.devices, s.workspaces, stream);
  }
}

/// All are planned before the first is launched, so that what cannot be done leaves D as it is.
void Engine::LaunchByGroups(const Plan& plan, const GemmArgs& args, Stream stream) {
  const std::vector<GroupPart> parts = PartsOf(plan.problem, GroupTensor(plan.problem.grouping, *args.groups));
  std::deque<PartOfCall> calls;
  std::vector<const Plan*> plans;
  for (const GroupPart& part : parts) {
    const PartOfCall& call = calls.emplace_back(plan.problem, args, part);
    plans.push_back(&PlanFor(call.problem(), plan.device, {}));
  }
  for (std::size_t i = 0; i < plans.size(); ++i) Run(*plans[i], calls[i].args(), stream);
}

void Engine::Gemm(const GemmProblem& problem, const GemmArgs& args, Stream stream) {
  const GemmProblem normalized = Normalized(problem);
  CheckSame(normalized, Describe(args, problem.acc_type, problem.compute));
  Run(normalized, args, stream, false);
}

void Engine::Gemm(const GemmArgs& args, Stream stream) {
  Run(Describe(args, DefaultAccumulator(args.a.dtype)), args, stream, false);
}

PlanInfo Engine::Prepare(const GemmProblem& problem, DeviceId device, const PrepareOptions& options) {
  return PlanFor(Normalized(problem), device, options).info;
}

PreparedGemm Engine::Prepare(const GemmArgs& args, const PrepareOptions& options) {
  const GemmProblem problem = Describe(args, DefaultAccumulator(args.a.dtype));
  return {*this, problem, args, PlanFor(problem, args.d.device, options)};
}

Explanation Engine::Explain(const GemmProblem& problem, DeviceId device,
                            std::span<const std::int64_t> group_rows) const {
  const GemmProblem normalized = Normalized(problem);
  Device& there = state_->devices.Get(device);
  state_->measured.SaveTimings();
  Planner planner = state_->planner();
  Planner::Choice choice = planner.Choose(normalized, there);
  const auto calibration = planner.Calibrate(there, choice.target);
  Explanation explanation = Rank(normalized, choice.target, planner.SpecOf(there), {calibration.get(), group_rows});
  KeepWanted(explanation, planner.SpecOf(there), options());
  if (!group_rows.empty()) return explanation;  // There is nothing measured of these.
  // In the order of the choice, which lacks what was found wrong.
  std::vector<RankedConfig> ranked;
  for (const Ranking::Config& config : choice.ranking.configs) {
    ranked.push_back(std::move(*std::ranges::find(explanation.ranked, config.config, &RankedConfig::config)));
    const Planner::Measured* const measured = choice.Find(config.config);
    if (measured != nullptr) ranked.back().measured_us = measured->microseconds;
    if (measured != nullptr) ranked.back().timings = measured->timings;
  }
  explanation.ranked = std::move(ranked);
  explanation.refused = std::move(choice.ranking.refused);
  explanation.measured = std::move(choice.basis);
  explanation.wrong = std::move(choice.wrong);
  return explanation;
}

Explanation Engine::Explain(const GemmProblem& problem, const CodeTarget& target, const DeviceSpec& spec,
                            std::span<const std::int64_t> group_rows) const {
  Validate(problem);
  const GemmProblem normalized = Normalized(problem);
  Explanation explanation = Rank(normalized, target, spec, {nullptr, group_rows});
  KeepWanted(explanation, spec, options());
  return explanation;
}

std::vector<KernelReport> Engine::CompileAhead(const GemmProblem& problem, const CodeTarget& target,
                                               const DeviceSpec& spec, const CancellationToken& cancel) {
  const GemmProblem normalized = Normalized(problem);
  if (normalized.m == 0 || normalized.n == 0 || normalized.batch == 0) return {};
  std::vector<KernelReport> reports;
  for (const Planner::Rendered& step : state_->planner().Render(normalized, target, spec))
    reports.push_back(state_->maker.Obtain(step.source, cancel, ToString(normalized), step.launch.shared_bytes).report);
  return reports;
}

KernelSource Engine::Render(const GemmProblem& problem, const CodeTarget& target, const DeviceSpec& spec) const {
  return state_->planner().Render(Normalized(problem), target, spec).front().source;
}

std::string Engine::Emit(const KernelSource& source, std::string_view part, const CancellationToken& cancel) {
  if (part == "source") return source.text;
  if (part == "listing" && source.target.isa == Isa::kX86) return ListCode(source);
  const ArtifactPtr artifact = state_->maker.Obtain(source, cancel).artifact;
  const auto it = artifact->parts.find(part);
  if (it != artifact->parts.end()) return it->second;
  std::string kinds = "source";
  for (const auto& [kind, bytes] : artifact->parts) kinds += ", " + kind;
  throw Fail(Code::kNotFound, "", "emit: kernel {} has no \"{}\"; it has {}", source.name, part, kinds);
}

BundleSummary Engine::WriteBundle(const std::string& path, const BundleOptions& options) const {
  return state_->maker.WriteBundle(path, options);
}

std::shared_ptr<const Kernel> Engine::Compile(const KernelSource& source, DeviceId id,
                                              const CancellationToken& cancel) {
  Device& device = state_->devices.Get(id);
  const std::vector<CodeTarget> targets = device.targets();
  if (std::find(targets.begin(), targets.end(), source.target) == targets.end())
    throw Fail(Code::kUnsupported, "compile for one of the device's targets, see `gemmsmith devices`",
               "compile: kernel {} is for {}, which {} cannot run", source.name, ToString(source.target), ToString(id));
  return state_->maker.Load(state_->maker.Obtain(source, cancel, {}, 0, &device), device);
}

std::optional<Engine::PackedWeight> Engine::Pack(const Tensor& b, DeviceId id, Stream) {
  if (id.kind != DeviceKind::kCpu) return std::nullopt;
  if (b.rank != 2 || b.packed)
    throw Fail(Code::kInvalidArgument, "", "pack: b must be a plain matrix (k, n); it has rank {}", b.rank);
  if (b.data == nullptr && b.size() > 0) throw Fail(Code::kInvalidArgument, "", "pack: b is a null pointer");
  Device& device = state_->devices.Get(id);
  const PackedForm form = state_->planner().Packed(b.dtype, device);
  constexpr std::int64_t kNarrow = 12;  // So few columns are read faster as they come than in panels, mostly padding.
  if (form.panel == 0 || b.shape[1] <= kNarrow) return std::nullopt;
  PackedWeight weight{device.Allocate(static_cast<std::size_t>(form.bytes(b.shape[0], b.shape[1]))), b};
  PackB(b, form, weight.storage.data());
  weight.packed.data = weight.storage.data();
  weight.packed.packed = true;
  return weight;
}

void Engine::AddObserver(std::shared_ptr<Observer> observer) { state_->maker.AddObserver(std::move(observer)); }
Profiler& Engine::profiler() { return state_->profiler; }
std::vector<KernelReport> Engine::Kernels() const { return state_->maker.Reports(); }
CacheStats Engine::Cache() const { return state_->maker.Stats(); }
Devices& Engine::devices() { return state_->devices; }
const EngineOptions& Engine::options() const { return state_->options; }

}  // namespace gemmsmith
