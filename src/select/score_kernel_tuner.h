#pragma once

#include <span>
#include <vector>

#include "gemmsmith/select.h"
#include "select/csv.h"
#include "select/simt_terms.h"

namespace gemmsmith {

/// Kernel Tuner's timings of CLBlast's Xgemm (f32, m = n = k = 4096) on one GPU, and how well PredictSimt ranks them.
struct TunedConfig {
  SimtKernel kernel;
  double milliseconds = 0;  ///< Measured.
};

/// The columns are MWG, NWG, KWG, MDIMC, NDIMC, MDIMA, NDIMB, KWI, VWM, VWN, SA, SB and ms, in any order. Throws
/// kInvalidArgument, with the row.
std::vector<TunedConfig> ReadKernelTunerTable(const Csv& csv);

struct RankingScore {
  double regret_top1 = 0, regret_top8 = 0;  ///< Time of the best of the model's first ones / best time - 1.
  double spearman = 0;                      ///< Rank correlation over all configs.
};
/// Throws kInvalidArgument for an empty table.
RankingScore ScoreRanking(std::span<const TunedConfig> table, const DeviceSpec& spec,
                          const SimtConstants& constants = {}, SimtPart without = SimtPart::kNone);

/// Both regrets in percent and the correlation, and the same with each part of the model left out in turn.
std::vector<TableScore> ScoreKernelTuner(const Csv& csv, const DeviceSpec& spec);

}  // namespace gemmsmith
