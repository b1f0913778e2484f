#include "engine/first_use.h"

#include <algorithm>
#include <cstring>

#include "engine/engine_state.h"
#include "engine/trial_operands.h"
#include "gemmsmith/verify.h"
#include "util/log.h"

namespace gemmsmith {
namespace {

/// Calls `visit(offset, count)`, in elements, for each contiguous run of a tensor.
template <class Visit>
void ForEachRun(const Tensor& t, const Visit& visit) {
  if (t.size() == 0) return;
  // The dimension of unit stride, if there is one, is the run.
  int run = -1;
  for (int i = 0; i < t.rank; ++i)
    if (t.strides[i] == 1 && (run < 0 || t.shape[i] > t.shape[run])) run = i;
  std::array<std::int64_t, Tensor::kMaxRank> shape{1, 1, 1}, strides{};
  for (int i = 0; i < t.rank; ++i)
    if (i != run) shape[i] = t.shape[i], strides[i] = t.strides[i];
  const std::int64_t count = run < 0 ? 1 : t.shape[run];
  for (std::int64_t i = 0; i < shape[0]; ++i)
    for (std::int64_t j = 0; j < shape[1]; ++j)
      for (std::int64_t l = 0; l < shape[2]; ++l) visit(i * strides[0] + j * strides[1] + l * strides[2], count);
}

std::int64_t Span(const Tensor& t) {
  std::int64_t last = 0;
  for (int i = 0; i < t.rank; ++i) last += (t.shape[i] - 1) * t.strides[i];
  return t.size() == 0 ? 0 : last + 1;
}

}  // namespace

CallOnHost::CallOnHost(const GemmArgs& args, DType acc_type, Device& device, Stream stream)
    : device_(device), stream_(stream) {
  host_.alpha = Fetch(args.alpha, acc_type);
  host_.beta = Fetch(args.beta, acc_type);
  host_.a = Fetch(args.a);
  host_.b = Fetch(args.b);
  d_before_ = Fetch(args.d, /*may_change=*/true);
  c_before_ = args.c.given() ? Fetch(args.c, /*may_change=*/true) : d_before_;
  host_.c = c_before_;
  host_.d = args.d;
  if (args.epilogue != nullptr) FetchEpilogue(*args.epilogue);
  if (args.scales != nullptr) {
    scales_ = {Fetch(args.scales->a), Fetch(args.scales->b)};
    host_.scales = &scales_;
  }
  if (args.groups != nullptr) {
    groups_ = {Fetch(args.groups->index), Fetch(args.groups->ends), Fetch(args.groups->counts), 0};
    host_.groups = &groups_;
  }
  device_.Synchronize(stream_);
}

void CallOnHost::FetchEpilogue(const EpilogueArgs& from) {
  epilogue_ = from;
  for (Tensor EpilogueArgs::*const input :
       {&EpilogueArgs::bias, &EpilogueArgs::bias_m, &EpilogueArgs::scale_row, &EpilogueArgs::d_scale_row,
        &EpilogueArgs::scale_column, &EpilogueArgs::d_scale_column, &EpilogueArgs::scale_block,
        &EpilogueArgs::d_scale_block})
    epilogue_.*input = Fetch(from.*input);
  epilogue_.residual = Fetch(from.residual, /*may_change=*/true);
  epilogue_.scalar = Fetch(from.scalar, DType::kF32);
  epilogue_.d_scale = Fetch(from.d_scale, DType::kF32);
  host_.epilogue = &epilogue_;
}

/// Of what lies in host memory, and stays as it is, no copy is made.
Tensor CallOnHost::Fetch(const Tensor& tensor, bool may_change) {
  Tensor host = tensor;
  if (!tensor.given() || tensor.data == nullptr || (device_.id().kind == DeviceKind::kCpu && !may_change)) return host;
  memory_.emplace_back(static_cast<std::size_t>(Span(tensor)) * SizeOf(tensor.dtype));
  host.data = memory_.back().data();
  host.device = {};
  FetchInto(tensor, host);
  return host;
}

void CallOnHost::FetchInto(const Tensor& from, Tensor& to) {
  const std::size_t size = SizeOf(from.dtype);
  ForEachRun(from, [&](std::int64_t offset, std::int64_t count) {
    device_.Copy(static_cast<char*>(to.data) + offset * size, static_cast<const char*>(from.data) + offset * size,
                 static_cast<std::size_t>(count) * size, stream_);
  });
}

Scalar CallOnHost::Fetch(const Scalar& scalar, DType type) {
  if (scalar.device_pointer == nullptr) return scalar;
  double bits = 0;  // Of any type.
  device_.Copy(&bits, scalar.device_pointer, SizeOf(type), stream_);
  device_.Synchronize(stream_);
  return Decode(type, &bits, 0);
}

void CallOnHost::FetchOutputs(const GemmArgs& args) {
  host_.d = Fetch(args.d);
  if (args.epilogue != nullptr)
    for (Tensor EpilogueArgs::*const output :
         {&EpilogueArgs::amax_row, &EpilogueArgs::amax_column, &EpilogueArgs::amax_block})
      epilogue_.*output = Fetch(args.epilogue->*output);
  device_.Synchronize(stream_);
}

void CallOnHost::RestoreD(const GemmArgs& args) {
  Tensor d = args.d;
  FetchInto(d_before_, d);
  device_.Synchronize(stream_);
}

/// Runs a plan that nobody has used yet. Empty: D is right; else it is as before.
std::string Engine::RunVerified(const Plan& plan, const GemmArgs& args, Stream stream) {
  State& s = *state_;
  Device& device = s.devices.Get(plan.device);
  if (args.b.packed) {
    TrialOperands operands(plan.problem, device, s.planner().Packed(plan.problem.b_type, device), Hash(plan.problem));
    std::string wrong = operands.WhyWrong(plan);
    if (wrong.empty()) Launch(plan, args, stream);
    return wrong;
  }
  CallOnHost call(args, plan.problem.acc_type, device, stream);
  Launch(plan, args, stream);
  call.FetchOutputs(args);
  const VerifyReport report = Verify(plan.problem, call.args(), call.c_before(), Hash(plan.problem));
  if (report.ok) return "";
  call.RestoreD(args);
  return ErrorText(report);
}

void Engine::RunFirst(const Plan& plan, const GemmArgs& args, Stream stream) {
  State& s = *state_;
  FirstUse& first = *plan.first_use;
  if (s.devices.Get(plan.device).IsCapturing(stream)) return Launch(plan, args, stream);
  std::unique_lock lock(first.mutex);
  if (!first.right && first.instead == nullptr) {
    const std::string wrong = RunVerified(plan, args, stream);
    if (wrong.empty()) {
      first.right = true;
      return;
    }
    RecordWrong(plan, wrong);
    auto next = s.planner().Make(plan.problem, plan.device, {});
    if (next->info.config == plan.info.config)
      throw Fail(Code::kUnsupported, "report it", "gemm: {} of {} is wrong ({}), and cannot be recorded",
                 ToString(plan.info.config), ToString(plan.problem), wrong);
    first.kept = std::move(next);
    first.instead = first.kept.get();
  }
  lock.unlock();
  Run(plan, args, stream);
}

void Engine::RecordWrong(const Plan& plan, const std::string& wrong) {
  State& s = *state_;
  if (std::exchange(plan.first_use->recorded, true)) return;
  Warn("{} of {} on {} is wrong, and not used any more: {}", ToString(plan.info.config), ToString(plan.problem),
       ToString(plan.device), wrong);
  TuningRecord record = NewRecord(plan, s.devices.Get(plan.device));
  record.wrong = wrong;
  s.measured.Open(s.devices.Get(plan.device)).AddTuning(std::move(record));
}

}  // namespace gemmsmith
