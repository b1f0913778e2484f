#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "gemmsmith/config.h"
#include "gemmsmith/options.h"
#include "gemmsmith/problem.h"

namespace gemmsmith {

/// How far a tuning is.
struct TuneProgress {
  std::string what;                 ///< "m=128: timing 5 configs"
  std::size_t done = 0, total = 0;  ///< Ranges of m.
};

struct TuneOptions {
  std::chrono::duration<double> budget{30};  ///< Wall time, compiles too. What has begun is ended.
  std::size_t candidates = 8;                ///< Of the model, beside the config that would be chosen now.
  /// Not 0: for all m from the one to the other. The problem's own m does not matter then.
  std::int64_t m_from = 0, m_to = 0;
  bool dry_run = false;  ///< Say what would be timed; compile, time and record nothing.
  CancellationToken cancel;
  std::function<void(const TuneProgress&)> progress;  ///< Called on the thread that tunes; it must not tune.
};

/// What became of one candidate.
struct TunedCandidate {
  TileConfig config;
  double predicted_us = 0;
  double median_us = 0;          ///< Of times_us; 0: not timed.
  std::vector<double> times_us;  ///< Of this tuning.
  double recorded_us = 0;        ///< Not 0: what records say, clearly too slow to be timed again.
  std::string failed;            ///< Not empty: it could not be compiled, or its output was wrong, and how.
};

/// What a tuning chose.
struct TuneResult {
  GemmProblem problem;                ///< As measured; of a range, with its largest m.
  std::int64_t m_from = 0, m_to = 0;  ///< The m for which the choice holds.
  TileConfig incumbent;               ///< What would have been chosen without this tuning.
  TileConfig chosen;
  double incumbent_us = 0, chosen_us = 0;  ///< Medians; 0: not timed.
  std::vector<TunedCandidate> candidates;  ///< In the model's order.
  std::uint64_t timings = 0;               ///< Of all candidates.
  bool complete = true;                    ///< False: the budget ended it.
};

}  // namespace gemmsmith
