#pragma once

#include "gemmsmith/select.h"
#include "gemmsmith/target.h"
#include "select/csv.h"

namespace gemmsmith {

/// Tables of times of a vendor's library, one score for each dtype.
std::vector<TableScore> ScoreLibraryTimes(const Csv& table, const DeviceSpec& spec);
/// LLMCompass's table of bf16 times, which contain 21 us of its own.
std::vector<TableScore> ScoreLlmCompass(const Csv& table, const DeviceSpec& spec);
/// SCALE-Sim's cycles: rows of M, N, K, H, W, "os", cycles and a utilisation.
std::vector<TableScore> ScoreScaleSim(const Csv& table);

}  // namespace gemmsmith
