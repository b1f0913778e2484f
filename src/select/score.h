#pragma once

#include "gemmsmith/select.h"
#include "gemmsmith/target.h"
#include "select/csv.h"

namespace gemmsmith {

/// The row of devices.json whose name is part of this one; of several the longest. Null: none.
const DeviceSpec* DeviceNamedIn(std::string_view name);

/// Tables of times of a vendor's library, one score for each dtype.
std::vector<TableScore> ScoreLibraryTimes(const Csv& table, const DeviceSpec& spec);
/// LLMCompass's table of bf16 times, which contain 21 us of its own.
std::vector<TableScore> ScoreLlmCompass(const Csv& table, const DeviceSpec& spec);
/// NeuSight's table of f32 times on several GPUs, one score for each: by the model of this library's SIMT kernels.
std::vector<TableScore> ScoreNeuSight(const Csv& table);
/// SCALE-Sim's cycles: rows of M, N, K, H, W, "os", cycles and a utilisation.
std::vector<TableScore> ScoreScaleSim(const Csv& table);

}  // namespace gemmsmith
