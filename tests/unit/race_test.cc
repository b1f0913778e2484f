#include "engine/race.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
#include <random>

namespace gemmsmith {
namespace {

const auto kForEver = [] { return true; };

/// Timings of runners with known times: each is off by up to `noise`, one in 20 by a half; the machine is now faster,
/// now slower.
class Timings {
 public:
  Timings(std::vector<double> times, double noise, std::uint64_t seed)
      : times_(std::move(times)), noise_(noise), random_(seed) {}

  double operator()(std::size_t i) {
    ++taken;
    std::uniform_real_distribution<double> off(-noise_, noise_), share(0, 1);
    const double drift = 1 + 0.2 * std::sin(taken / 100.0), outlier = share(random_) < 0.05 ? 1.5 : 1;
    return times_[i] * (1 + off(random_)) * drift * outlier;
  }
  int taken = 0;

 private:
  const std::vector<double> times_;
  const double noise_;
  std::mt19937_64 random_;
};

TEST(Race, ManyProcessesFindTheSameWinner) {
  struct Row {
    const char* what;
    std::vector<double> times;
    std::size_t incumbent, winner;
  };
  const Row rows[] = {
      {"the fastest", {10, 12, 8, 11, 9, 14}, 0, 2},
      {"the fastest, last", {10, 10, 10, 10, 10, 10, 10, 10, 8}, 0, 8},
      {"the incumbent, of equals", {10, 10, 10, 10}, 2, 2},
      {"the incumbent, within the band", {10, 9.95, 9.95, 12}, 0, 0},
      {"the preferred of equals that beat the incumbent", {10, 8, 8, 8, 8.02, 8.01, 8, 8, 8}, 0, 1},
      {"the preferred of those in the band", {20, 30, 10.05, 10, 10.03}, 0, 2},
      {"the incumbent, that is the slowest but one", {12, 13}, 0, 0},
      {"the only one", {5}, 0, 0},
  };
  for (const Row& row : rows)
    for (std::uint64_t seed = 0; seed < 300; ++seed) {
      Timings timings(row.times, 0.01, seed);
      const Race race = RunRace(row.times.size(), row.incumbent, std::ref(timings), kForEver);
      ASSERT_EQ(race.winner, row.winner) << row.what << ", seed " << seed;
      ASSERT_TRUE(race.complete && race.decided);
    }
}

TEST(Race, TheIncumbentIsTimedToTheEndAndNeverLosesToASlowerOne) {
  std::mt19937_64 random(7);
  for (int i = 0; i < 500; ++i) {
    std::vector<double> times(2 + random() % 9);
    for (double& time : times) time = 5 + static_cast<double>(random() % 1000) / 100;
    const std::size_t incumbent = random() % times.size();
    Timings timings(times, 0.03, random());
    const Race race = RunRace(times.size(), incumbent, std::ref(timings), kForEver);
    const auto most = std::ranges::max(race.times, {}, [](const std::vector<double>& t) { return t.size(); }).size();
    EXPECT_EQ(race.times[incumbent].size(), most);
    EXPECT_LE(times[race.winner], times[incumbent]) << "case " << i;
  }
}

TEST(Race, TheSlowDropOutEarly) {
  std::vector<double> times(9);
  std::iota(times.begin(), times.end(), 10);
  Timings timings(times, 0.001, 1);
  const Race race = RunRace(times.size(), 0, std::ref(timings), kForEver);
  EXPECT_LT(race.times[8].size(), race.times[1].size());
  EXPECT_LT(race.times[1].size(), race.times[0].size() + 1);
  EXPECT_LT(timings.taken, 9 * static_cast<int>(race.times[0].size()) / 2);
}

TEST(Race, StopsWhenToldTo) {
  constexpr std::size_t kFirstStage = 8;
  const auto run = [](int most) {
    int rounds = 0;
    Timings timings({10, 5, 20}, 0.001, 1);
    return RunRace(3, 0, std::ref(timings), [&] { return rounds++ < most; });
  };
  const std::size_t all = run(1000).times[0].size();
  for (std::size_t most = 0; most < all + 3; ++most) {
    const Race race = run(static_cast<int>(most));
    EXPECT_EQ(race.times[0].size(), std::min(most, all));
    EXPECT_EQ(race.complete, most >= all);
    // What has not been timed enough is not chosen.
    EXPECT_EQ(race.decided, most >= kFirstStage);
    EXPECT_EQ(race.winner, race.decided ? 1u : 0u) << most;
  }
}

TEST(Race, OfTimesThatAreAlmostEqualTheFirstIsTaken) {
  EXPECT_EQ(FirstOfFastest(std::vector<double>{1.019, 1.0, 1.01}), 0u);
  EXPECT_EQ(FirstOfFastest(std::vector<double>{1.021, 1.0, 0.999}), 1u);
  EXPECT_EQ(FirstOfFastest(std::vector<double>{3}), 0u);
  EXPECT_EQ(Median({3, 1, 2}), 2);
  EXPECT_EQ(Median({4, 1, 2, 3}), 2.5);
}

}  // namespace
}  // namespace gemmsmith
