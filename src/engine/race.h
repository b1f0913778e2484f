#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <vector>

namespace gemmsmith {

/// Times that are no further apart are equal: what chooses between them must not be noise.
inline constexpr double kTie = 0.02;

/// Of times in order of preference, the first that is within kTie of the least: every process chooses the same.
std::size_t FirstOfFastest(std::span<const double> times);

double Median(std::vector<double> values);

struct Race {
  std::size_t winner = 0;
  std::vector<std::vector<double>> times;  ///< Of each runner, in the order they were taken.
  bool decided = false;                    ///< The first stage was ended: the winner has won.
  bool complete = true;                    ///< False: it was stopped before its last round.
};
/// Finds the fastest of `runners`, which come in order of preference but for `incumbent`, who comes first. Rounds time
/// all that are left, one after the other, so that a disturbance meets all alike; what counts is the median of a
/// runner's time in a round over the incumbent's. After each stage the slower half drops out, but for those that are
/// within noise of the best. The incumbent stays to the end. `time` measures once; `may_go_on` is asked before each
/// round. Stopped before the first stage is over, the incumbent wins.
Race RunRace(std::size_t runners, std::size_t incumbent, const std::function<double(std::size_t)>& time,
             const std::function<bool()>& may_go_on);

}  // namespace gemmsmith
