#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "select/simt_terms.h"

namespace gemmsmith {

/// Kernel Tuner's timings of CLBlast's Xgemm (f32, m = n = k = 4096) on one GPU, and how well PredictSimt ranks them.
struct TunedConfig {
  SimtKernel kernel;
  double milliseconds = 0;  ///< Measured.
};

/// A CSV with the columns MWG, NWG, KWG, MDIMC, NDIMC, MDIMA, NDIMB, KWI, VWM, VWN, SA, SB and ms, in any order. Throws
/// kInvalidArgument, with the line.
std::vector<TunedConfig> ReadKernelTunerTable(std::string_view csv);
/// The row of devices.json that a file's name speaks of: "kt_sgemm4096_RTX_2080_Ti.csv.gz" -> rtx2080ti. Throws
/// kNotFound.
const DeviceSpec& DeviceOfTable(std::string_view file_name);

struct RankingScore {
  double regret_top1 = 0, regret_top8 = 0;  ///< Time of the best of the model's first ones / best time - 1.
  double spearman = 0;                      ///< Rank correlation over all configs.
};
/// Throws kInvalidArgument for an empty table.
RankingScore ScoreRanking(std::span<const TunedConfig> table, const DeviceSpec& spec,
                          const SimtConstants& constants = {}, SimtPart without = SimtPart::kNone);

/// The same with each part of the model left out in turn.
struct AblatedScore {
  std::string without;
  RankingScore score;
};
std::vector<AblatedScore> ScoreAblations(std::span<const TunedConfig> table, const DeviceSpec& spec);

}  // namespace gemmsmith
