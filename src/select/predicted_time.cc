#include "select/predicted_time.h"

namespace gemmsmith {
namespace {

GpuTime Scale(GpuTime time, const TermFactors& factors) {
  const bool on_fma_units = time.simt.microseconds > 0;
  const double compute = on_fma_units ? factors.fma : factors.tensor;
  time.compute *= compute;
  time.memory *= factors.memory;
  time.store *= factors.memory;
  time.launch *= factors.launch;
  for (double SimtTime::*part : {&SimtTime::microseconds, &SimtTime::fma, &SimtTime::issue, &SimtTime::load,
                                 &SimtTime::l2, &SimtTime::overlap, &SimtTime::latency, &SimtTime::tail})
    time.simt.*part *= compute;
  return time;
}

CpuTime Scale(CpuTime time, const TermFactors& factors) {
  time.compute *= factors.fma;
  time.memory *= factors.memory;
  time.packing *= factors.memory;
  time.launch *= factors.launch;
  return time;
}

}  // namespace

double PredictedTime::total() const {
  return std::visit([](const auto& t) { return t.total(); }, time);
}
std::vector<CostTerm> PredictedTime::Terms() const {
  return std::visit([](const auto& t) { return t.Terms(); }, time);
}
std::string PredictedTime::Limiting() const {
  return std::visit([](const auto& t) { return t.Limiting(); }, time);
}
PredictedTime PredictedTime::Scaled(const TermFactors& factors) const {
  return std::visit([&](const auto& t) { return PredictedTime{Scale(t, factors)}; }, time);
}

PredictedTime Predict(const GemmProblem& problem, const TileConfig& config, const KernelFamily& family,
                      const DeviceSpec& spec, std::span<const std::int64_t> group_rows) {
  if (spec.target.isa == Isa::kCuda)
    return {PredictGpu(problem, family.Shape(problem, config, spec), spec, group_rows)};
  if (group_rows.empty()) return {PredictCpu(problem, family.Shape(problem, config, spec), spec)};
  CpuTime sum;
  GemmProblem group = problem;
  for (const std::int64_t rows : group_rows) {
    if (rows == 0) continue;
    group.m = rows;
    const CpuTime time = PredictCpu(group, family.Shape(group, config, spec), spec);
    sum.compute += time.compute, sum.memory += time.memory, sum.packing += time.packing, sum.launch += time.launch;
  }
  return {sum};
}

}  // namespace gemmsmith
