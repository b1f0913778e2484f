#pragma once

#include <vector>

#include "gemmsmith/engine.h"
#include "kernels/family.h"
#include "select/calibrate.h"

namespace gemmsmith {

/// Legal configs of all families, best first, with their predicted times. None only if every family refuses.
struct Ranking {
  struct Config {
    TileConfig config;
    double microseconds;
  };
  std::vector<Config> configs;
  std::vector<std::string> refused;  ///< Why families cannot do it.
};
struct RankOptions {
  const Calibration* calibration = nullptr;    ///< Of the device; null: by its datasheet alone.
  std::span<const std::int64_t> group_rows{};  ///< See PredictGpu; they take the place of problem.m.
};
Ranking RankConfigs(const GemmProblem& problem, const CodeTarget& target, const DeviceSpec& spec,
                    const RankOptions& options = {});
/// The same, with the terms of every time.
Explanation Rank(const GemmProblem& problem, const CodeTarget& target, const DeviceSpec& spec,
                 const RankOptions& options = {});
/// Rounds of tiles that the busiest SM of a GPU makes.
std::int64_t Waves(const GemmProblem& problem, const TileConfig& config, const DeviceSpec& spec);

}  // namespace gemmsmith
