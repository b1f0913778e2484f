#pragma once

#include <nlohmann/json.hpp>

#include "gemmsmith/gemmsmith.h"

namespace gemmsmith::bench {

/// From launch to launch of a tiny kernel, in microseconds: through Engine::Gemm, from a PreparedGemm, and by the
/// driver's call alone with the same kernel and parameters; in turns.
nlohmann::json CompareLaunches(Engine& engine, Device& gpu, int rounds);

}  // namespace gemmsmith::bench
