#pragma once

#include <string>
#include <vector>

#include "contest.h"

namespace gemmsmith::bench {

/// The sets by name, in the order in which they run: f32, f64, bf16, int8, epilogue, config.
const std::vector<std::string>& SetNames();
/// The rows of one set; `quick`: a few small ones.
std::vector<Case> CasesOf(const std::string& set, bool quick);

}  // namespace gemmsmith::bench
