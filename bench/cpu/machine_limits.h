#pragma once

#include <vector>

#include "contest.h"

namespace gemmsmith::bench {

/// What this machine can do at most, measured as contestants of a row: "peak", multiply-adds of the row's types in
/// registers alone, and where B is larger than `cache_bytes` "read", B once from memory.
std::vector<Contestant> LimitsOf(const Case& c, const Operands& operands, int threads, double cache_bytes);

}  // namespace gemmsmith::bench
