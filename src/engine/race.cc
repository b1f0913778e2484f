#include "engine/race.h"

#include <algorithm>
#include <numeric>

namespace gemmsmith {
namespace {

/// Rounds, and how much slower than the best a runner may be after them that is not of the faster half: medians of few
/// rounds are not sure of less. Even numbers: each runner is as often before the incumbent as behind it.
struct Stage {
  int rounds;
  double slack;
};
constexpr Stage kStages[] = {{8, 0.05}, {6, 0.04}, {8, 0.03}, {12, kTie}};

class Runners {
 public:
  Runners(std::size_t count, std::size_t incumbent) : incumbent_(incumbent), times_(count), ratios_(count) {
    left_.resize(count);
    std::iota(left_.begin(), left_.end(), std::size_t{0});
  }

  void Round(const std::function<double(std::size_t)>& time) {
    // The other way round each time: nobody always runs behind the same one.
    std::ranges::reverse(left_);
    for (const std::size_t i : left_) times_[i].push_back(time(i));
    for (const std::size_t i : left_) ratios_[i].push_back(times_[i].back() / times_[incumbent_].back());
  }

  /// The faster half, the incumbent, and who is within `slack` of the best.
  void Halve(double slack) {
    std::ranges::sort(left_, {}, [&](std::size_t i) { return std::pair(Score(i), i); });
    const double most = Score(left_.front()) * (1 + slack);
    const std::size_t half = (left_.size() + 1) / 2;
    std::vector<std::size_t> stay;
    for (std::size_t place = 0; place < left_.size(); ++place)
      if (const std::size_t i = left_[place]; place < half || i == incumbent_ || Score(i) <= most) stay.push_back(i);
    left_ = std::move(stay);
  }

  std::size_t Winner() {
    std::ranges::sort(left_, {}, [&](std::size_t i) { return std::pair(i != incumbent_, i); });
    std::vector<double> scores;
    for (const std::size_t i : left_) scores.push_back(Score(i));
    return left_[FirstOfFastest(scores)];
  }

  std::vector<std::vector<double>>& times() { return times_; }
  std::size_t left() const { return left_.size(); }

 private:
  double Score(std::size_t i) const { return Median(ratios_[i]); }

  const std::size_t incumbent_;
  std::vector<std::size_t> left_;
  std::vector<std::vector<double>> times_, ratios_;
};

}  // namespace

std::size_t FirstOfFastest(std::span<const double> times) {
  const double most = std::ranges::min(times) * (1 + kTie);
  return static_cast<std::size_t>(std::ranges::find_if(times, [&](double time) { return time <= most; }) -
                                  times.begin());
}

double Median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::ranges::nth_element(values, middle);
  if (values.size() % 2 != 0) return *middle;
  return (*std::max_element(values.begin(), middle) + *middle) / 2;
}

Race RunRace(std::size_t count, std::size_t incumbent, const std::function<double(std::size_t)>& time,
             const std::function<bool()>& may_go_on) {
  Runners runners(count, incumbent);
  Race race;
  race.winner = incumbent;
  for (const Stage& stage : kStages) {
    for (int round = 0; round < stage.rounds && race.complete; ++round) {
      race.complete = may_go_on();
      if (race.complete) runners.Round(time);
    }
    race.decided |= race.complete;
    if (race.decided) race.winner = runners.Winner();
    if (!race.complete) break;
    runners.Halve(stage.slack);
  }
  race.times = std::move(runners.times());
  return race;
}

}  // namespace gemmsmith
