#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "select/cpu_time.h"
#include "select/gpu_time.h"

namespace gemmsmith {

/// What a device's times are of those that its datasheet lets expect. 1.1: 10 % longer.
struct TermFactors {
  double tensor = 1;  ///< Products on tensor cores,
  double fma = 1;     ///< and on plain FMA units.
  double memory = 1;  ///< DRAM; on a CPU packing, too.
  double launch = 1;
};

/// The predicted time of a kernel, on whatever it runs.
struct PredictedTime {
  std::variant<GpuTime, CpuTime> time;

  double total() const;
  std::vector<CostTerm> Terms() const;
  std::string Limiting() const;
  PredictedTime Scaled(const TermFactors& factors) const;
};

/// `problem` is canonical. `group_rows`: see GpuTime; on a CPU one group follows the other.
PredictedTime Predict(const GemmProblem& problem, const TileConfig& config, const KernelFamily& family,
                      const DeviceSpec& spec, std::span<const std::int64_t> group_rows = {});

}  // namespace gemmsmith
