#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "engine/m_ranges.h"
#include "engine/planner.h"
#include "gemmsmith/tune.h"

namespace gemmsmith {

/// Measures candidates and records what it finds. A short-lived view of an engine's parts.
class Tuner {
 public:
  Tuner(Planner planner, Device& device, MeasuredResults& results, const TuneOptions& options);

  std::vector<TuneResult> Run(const GemmProblem& problem);

 private:
  using Clock = std::chrono::steady_clock;
  struct Candidate;
  /// The candidates for one m, and how they did.
  struct Contest;

  TuneResult TunePoint(const GemmProblem& problem, const TileConfig* also);
  TuneResult TuneRange(const GemmProblem& problem, MRange range, const TileConfig* larger);
  std::vector<MRange> Ranges(const GemmProblem& problem);
  /// False if another config is clearly faster than this choice where the range begins.
  bool HoldsAt(const GemmProblem& lowest, const TileConfig& chosen);

  Contest Enter(const GemmProblem& problem, std::size_t most, const TileConfig* also);
  void Build(Contest& contest);
  void Check(Contest& contest);
  void TimeAll(Contest& contest);
  void Record(Contest& contest, bool decides);
  TuneResult Result(const Contest& contest) const;

  void Say(std::string what) const;
  void StopIfCancelled() const;

  Planner planner_;
  Device& device_;
  MeasuredResults& results_;
  const TuneOptions& options_;
  const Clock::time_point end_;
  Clock::time_point deadline_;  // of the range at hand
  std::size_t ranges_ = 1, range_ = 0;
};

}  // namespace gemmsmith
