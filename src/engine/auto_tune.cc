#include <algorithm>
#include <vector>

#include "engine/planner.h"
#include "util/log.h"

namespace gemmsmith {
namespace {

/// Operands of the right extent, zero-filled: GEMM kernels take the same time whatever the values.
class Scratch {
 public:
  Scratch(const GemmProblem& p, Device& device, const GemmProblem& canonical, std::size_t workspace_bytes) {
    a_ = Make(device, canonical.a_layout, canonical.m, canonical.k, canonical.lda, canonical.batch_stride_a, p.batch,
              canonical.a_type);
    b_ = Make(device, canonical.b_layout, canonical.k, canonical.n, canonical.ldb, canonical.batch_stride_b, p.batch,
              canonical.b_type);
    d_ = Make(device, canonical.d_layout, canonical.m, canonical.n, std::max(canonical.ldc, canonical.ldd),
              std::max(canonical.batch_stride_c, canonical.batch_stride_d), p.batch, canonical.d_type);
    args.a = Tensor(a_.data(), canonical.a_type, {1}, device.id());
    args.b = Tensor(b_.data(), canonical.b_type, {1}, device.id());
    args.c = args.d = Tensor(d_.data(), canonical.d_type, {1}, device.id());
    if (p.beta != BetaClass::kZero) args.beta = 1.0;
    if (p.epilogue_id != 0) SetEpilogue(p, device);
    if (workspace_bytes > 0) workspace_ = device.Allocate(workspace_bytes);
  }
  GemmArgs args;
  void* workspace() const { return workspace_.data(); }

 private:
  /// One buffer of zeros, as large as the largest, is all inputs and maxima.
  void SetEpilogue(const GemmProblem& p, Device& device) {
    const std::int64_t columns = p.n + p.m, ld = std::max(columns, p.ld_residual);
    inputs_ = Make(device, Layout::kRowMajor, p.m + 1, columns, ld, std::max(p.batch_stride_residual, ld * (p.m + 1)),
                   p.batch, DType::kF32);
    const Tensor zeros(inputs_.data(), DType::kF32, {1}, device.id());
    epilogue_.bias = epilogue_.bias_m = epilogue_.residual = epilogue_.scale_row = epilogue_.d_scale_row = zeros;
    epilogue_.scale_column = epilogue_.d_scale_column = epilogue_.scale_block = epilogue_.d_scale_block = zeros;
    epilogue_.amax_row = epilogue_.amax_column = epilogue_.amax_block = zeros;
    args.epilogue = &epilogue_;
  }
  static Buffer Make(Device& device, Layout layout, std::int64_t rows, std::int64_t columns, std::int64_t ld,
                     std::int64_t batch_stride, std::int64_t batch, DType dtype) {
    // A packed B is rounded up to whole panels, of at most 256 columns.
    const std::int64_t one = layout == Layout::kPacked     ? rows * (columns + 255)
                             : layout == Layout::kRowMajor ? (rows - 1) * ld + columns
                                                           : (columns - 1) * ld + rows;
    const std::size_t bytes = std::max<std::int64_t>(1, (batch - 1) * batch_stride + one) * SizeOf(dtype);
    Buffer buffer = device.Allocate(bytes);
    device.Fill(buffer.data(), 0, bytes);
    return buffer;
  }
  Buffer a_, b_, d_, inputs_, workspace_;
  EpilogueArgs epilogue_;
};

double TimeOnce(const Plan& plan, const Scratch& scratch, Device& device, int repeats) {
  const auto begin = device.CreateEvent(), end = device.CreateEvent();
  begin->Record({});
  for (int i = 0; i < repeats; ++i) LaunchSteps(plan, scratch.args, {}, scratch.workspace());
  end->Record({});
  return end->MillisecondsSince(*begin) / repeats;
}

}  // namespace

std::size_t FastestOf(std::span<const std::unique_ptr<Plan>> plans, const GemmProblem& problem, Device& device) {
  constexpr int kRounds = 5;
  std::size_t workspace_bytes = 0;
  for (const auto& plan : plans) workspace_bytes = std::max(workspace_bytes, plan->workspace_bytes);
  const Scratch scratch(problem, device, Canonical(problem), workspace_bytes);
  // Short kernels are repeated until one timing is long against the clock's grain.
  const double once = TimeOnce(*plans[0], scratch, device, 1);
  const int repeats = static_cast<int>(std::clamp(0.2 / std::max(once, 1e-4), 1.0, 1000.0));
  std::vector<std::vector<double>> times(plans.size());
  for (int round = 0; round < kRounds; ++round)  // interleaved, so that a disturbance meets all alike
    for (std::size_t i = 0; i < plans.size(); ++i) times[i].push_back(TimeOnce(*plans[i], scratch, device, repeats));
  std::size_t best = 0;
  std::vector<double> medians;
  for (auto& t : times) {
    std::nth_element(t.begin(), t.begin() + kRounds / 2, t.end());
    medians.push_back(t[kRounds / 2]);
  }
  // Within 2 % of the model's own choice is a tie, which that choice wins: processes then agree.
  for (std::size_t i = 1; i < medians.size(); ++i)
    if (medians[i] < medians[best] * 0.98) best = i;
  LogDebug("auto-tune: {}: {} takes {:.4f} ms, the model's choice {:.4f} ms", ToString(problem),
           ToString(plans[best]->info.config), medians[best], medians[0]);
  return best;
}

}  // namespace gemmsmith
