#pragma once

#include <vector>

#include "contest.h"

namespace gemmsmith::bench {

/// Every legal config of a case as a contestant, the one that is chosen first.
std::vector<Contestant> ConfigsOf(Engine& engine, const Case& c, const Operands& operands);

}  // namespace gemmsmith::bench
