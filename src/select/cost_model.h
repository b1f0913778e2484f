#pragma once

#include <vector>

#include "gemmsmith/engine.h"
#include "kernels/family.h"

namespace gemmsmith {

/// Predicts the time of `config`, term by term, in microseconds. Pure.
RankedConfig Predict(const GemmProblem& problem, const KernelFamily& family, const TileConfig& config,
                     const DeviceSpec& spec);
/// All legal configs of all families of `target`, best first. Empty only if every family refuses (see `refused`).
Explanation Rank(const GemmProblem& problem, const CodeTarget& target, const DeviceSpec& spec);

}  // namespace gemmsmith
