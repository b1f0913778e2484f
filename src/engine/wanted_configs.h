#pragma once

#include "gemmsmith/options.h"
#include "gemmsmith/problem.h"
#include "gemmsmith/target.h"
#include "select/cost_model.h"

namespace gemmsmith {

/// RankConfigs, without what an engine's options do not want.
Ranking RankWanted(const GemmProblem& problem, const CodeTarget& target, const DeviceSpec& spec,
                   const EngineOptions& options);
/// Takes the same out of an explanation.
void KeepWanted(Explanation& explanation, const DeviceSpec& spec, const EngineOptions& options);

}  // namespace gemmsmith
