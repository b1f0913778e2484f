#include "select/calibrate.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <set>
#include <tuple>

#include "core/groups.h"
#include "gemmsmith/error.h"

namespace gemmsmith {
namespace {

// Of the fit, in logarithms. Timings scatter by kNoise, and a device is not off its datasheet by much more than
// kExpected; beyond kOutlier a record counts by its distance, not by its square.
constexpr double kNoise = 0.1, kExpected = 0.3, kOutlier = 0.2;
constexpr std::size_t kLeastRecords = 8, kLeastProblems = 3;
constexpr double kMostRate = 0.693, kMostLaunch = 1.386;  // log 2, log 4

// Of neighbours: kReach is a factor of 1.4 in one size; nothing counts beyond kFarthest. The model itself has the
// weight of kPrior records.
constexpr double kReach = 0.35, kFarthest = 1.0, kPrior = 0.5;
constexpr double kMostRatio = 1.386;

constexpr std::size_t kFactors = 4;
using Vector = std::array<double, kFactors>;
constexpr double TermFactors::*kFactor[kFactors] = {&TermFactors::tensor, &TermFactors::fma, &TermFactors::memory,
                                                    &TermFactors::launch};
constexpr double kMost[kFactors] = {kMostRate, kMostRate, kMostRate, kMostLaunch};

TermFactors FactorsOf(const Vector& logs) {
  TermFactors factors;
  for (std::size_t i = 0; i < kFactors; ++i) factors.*kFactor[i] = std::exp(logs[i]);
  return factors;
}

/// Solves a symmetric, positive definite system.
Vector Solve(std::array<Vector, kFactors> matrix, Vector right) {
  for (std::size_t i = 0; i < kFactors; ++i)
    for (std::size_t row = i + 1; row < kFactors; ++row) {
      const double share = matrix[row][i] / matrix[i][i];
      for (std::size_t column = i; column < kFactors; ++column) matrix[row][column] -= share * matrix[i][column];
      right[row] -= share * right[i];
    }
  for (std::size_t i = kFactors; i-- > 0;) {
    for (std::size_t column = i + 1; column < kFactors; ++column) right[i] -= matrix[i][column] * right[column];
    right[i] /= matrix[i][i];
  }
  return right;
}

double LogTotal(const PredictedTime& time, const Vector& logs) {
  return std::log(time.Scaled(FactorsOf(logs)).total());
}

/// What a family's own choices differ by: doublings of its numbers. What follows from the sizes is no choice.
double Distance2(const TileConfig& x, const TileConfig& y) {
  double sum = 0;
  for (std::size_t field = 0; field < x.fields.size(); ++field) {
    const double a = x.values[field], b = y.values[field];
    if (x.fields[field].follows || a == b) continue;
    const double doublings = a > 0 && b > 0 ? std::log2(a / b) : 1;
    sum += doublings * doublings;
  }
  return sum;
}

double Distance2(const GemmProblem& x, const GemmProblem& y) {
  const auto square = [](double v) { return v * v; };
  const auto apart = [&](std::int64_t a, std::int64_t b) {
    return square(std::log(static_cast<double>(a) / static_cast<double>(b)));
  };
  return apart(x.m, y.m) + apart(x.n, y.n) + apart(x.k, y.k) + apart(x.batch, y.batch);
}

bool HasSizes(const GemmProblem& p) { return std::min({p.m, p.n, p.k, p.batch}) > 0; }

/// Whether kernels for the one are kernels for the other, but for sizes.
bool IsAlike(const GemmProblem& x, const GemmProblem& y) {
  const auto kind = [](const GemmProblem& p) {
    return std::tuple(p.a_type, p.b_type, p.d_type, p.acc_type, p.a_layout, p.b_layout, p.beta, p.compute,
                      p.epilogue_id, p.grouping);
  };
  return kind(x) == kind(y);
}

bool IsPossible(const GemmProblem& canonical, const TileConfig& config, const CodeTarget& target,
                const DeviceSpec& spec) try {
  const KernelFamily& family = FindFamily(config.family);
  if (!family.Targets(target) || !family.WhyNot(canonical, target).empty()) return false;
  const std::vector<TileConfig> candidates = family.Candidates(canonical, target, spec);
  return std::ranges::find(candidates, config) != candidates.end();
} catch (const Error&) {
  return false;
}

}  // namespace

std::optional<GemmProblem> ParseProblem(std::string_view text) try {
  std::int64_t m = 0, n = 0, k = 0, batch = 1;
  std::string dtypes, layout;
  BetaClass beta = BetaClass::kZero;
  bool tf32 = false;
  const auto number = [](std::string_view word, std::string_view name, std::int64_t& value) {
    if (!word.starts_with(name)) return false;
    const char* const end = word.data() + word.size();
    const auto [next, error] = std::from_chars(word.data() + name.size(), end, value);
    return error == std::errc() && next == end && value > 0;
  };
  for (std::size_t place = 0; !text.empty(); ++place) {
    const std::string_view word = text.substr(0, text.find(' '));
    text.remove_prefix(std::min(text.size(), word.size() + 1));
    if (place == 3) dtypes = word;
    if (place == 4) layout = word;
    beta = place > 4 && word == "beta" ? BetaClass::kGeneral : beta;
    tf32 |= place > 4 && word == "tf32";
    const bool known = place == 0   ? number(word, "m=", m)
                       : place == 1 ? number(word, "n=", n)
                       : place == 2 ? number(word, "k=", k)
                       : place > 4  ? word == "beta" || word == "tf32" || number(word, "batch=", batch)
                                    : true;
    if (!known) return std::nullopt;
  }
  GemmProblem problem = MakeProblem(m, n, k, DType::kF32, layout, beta);
  SetDTypes(problem, dtypes);
  SetCompute(problem, tf32 ? "tf32" : "ieee");
  SetBatch(problem, batch);
  Validate(problem);
  return Normalized(problem);
} catch (const Error&) {
  return std::nullopt;
}

Calibration::Calibration(std::span<const MeasuredTime> measured, const CodeTarget& target, const DeviceSpec& spec) {
  for (const auto& [problem, config, microseconds] : measured) {
    const GemmProblem canonical = Canonical(problem);
    if (!(std::isfinite(microseconds) && microseconds > 0) || !HasSizes(canonical) ||
        !IsPossible(canonical, config, target, spec))
      continue;
    const PredictedTime predicted = Predict(AsBatch(canonical), config, FindFamily(config.family), spec);
    points_.push_back({canonical, config, std::log(microseconds), predicted, 0});
  }
  Refit();
  for (Point& point : points_)
    point.log_ratio =
        std::clamp(point.log_measured - std::log(point.predicted.Scaled(factors_).total()), -kMostRatio, kMostRatio);
}

/// Least squares of the logarithms' differences, by Newton's method of Gauss, each record weighed as Huber does.
void Calibration::Refit() {
  std::set<std::tuple<std::int64_t, std::int64_t, std::int64_t>> problems;
  for (const Point& point : points_) problems.insert({point.problem.m, point.problem.n, point.problem.k});
  if (points_.size() < kLeastRecords || problems.size() < kLeastProblems) return;
  constexpr double kPull = kNoise * kNoise / (kExpected * kExpected), kStep = 1e-4;
  constexpr int kMostTurns = 50;
  Vector logs{};
  for (int turn = 0; turn < kMostTurns; ++turn) {
    std::array<Vector, kFactors> matrix{};
    Vector right{};
    for (std::size_t i = 0; i < kFactors; ++i) matrix[i][i] = kPull, right[i] = -kPull * logs[i];
    for (const Point& point : points_) {
      const double now = LogTotal(point.predicted, logs), off = point.log_measured - now;
      const double weight = std::min(1.0, kOutlier / std::max(std::fabs(off), 1e-300));
      Vector slope{};
      for (std::size_t i = 0; i < kFactors; ++i) {
        Vector moved = logs;
        moved[i] += kStep;
        slope[i] = (LogTotal(point.predicted, moved) - now) / kStep;
      }
      for (std::size_t i = 0; i < kFactors; ++i) {
        right[i] += weight * slope[i] * off;
        for (std::size_t j = 0; j < kFactors; ++j) matrix[i][j] += weight * slope[i] * slope[j];
      }
    }
    const Vector step = Solve(matrix, right);
    double largest = 0;
    for (std::size_t i = 0; i < kFactors; ++i) {
      const double before = logs[i];
      logs[i] = std::clamp(before + step[i], -kMost[i], kMost[i]);
      largest = std::max(largest, std::fabs(logs[i] - before));
    }
    if (largest < 1e-7) break;
  }
  factors_ = FactorsOf(logs);
  refitted_ = true;
}

Calibration::Neighbours Calibration::Near(const GemmProblem& problem) const {
  Neighbours neighbours;
  if (!HasSizes(problem)) return neighbours;
  double weights = 0, sum = 0;
  for (const Point& point : points_) {
    if (!IsAlike(point.problem, problem)) continue;
    const double distance2 = Distance2(point.problem, problem);
    if (distance2 > kFarthest * kFarthest) continue;
    const double weight = std::exp(-distance2 / (2 * kReach * kReach));
    neighbours.near_.push_back({&point.config, weight, point.log_ratio});
    weights += weight;
    sum += weight * point.log_ratio;
  }
  if (weights > 0) neighbours.mean_ = sum / weights;
  neighbours.common_ = sum / (weights + kPrior);
  return neighbours;
}

/// What all records near say of all configs, and what those of like configs say beyond that: were it not for the first,
/// a config that was timed would fall behind wherever the model promises too much of all.
double Calibration::Neighbours::Factor(const TileConfig& config) const {
  constexpr double kEqual = 1e-9;  // What rounding leaves must not break ties.
  double weights = kPrior, sum = 0;
  for (const Near& near : near_) {
    if (near.config->family != config.family) continue;
    const double weight = near.weight * std::exp(-Distance2(*near.config, config) / 2);
    const double beyond = near.log_ratio - mean_;
    weights += weight;
    sum += std::fabs(beyond) < kEqual ? 0 : weight * beyond;
  }
  return std::exp(common_ + sum / weights);
}

std::string Calibration::Describe(const Neighbours& neighbours) const {
  std::string text = fmt::format("{} records", records());
  if (!refitted_) text += fmt::format(", too few to refit the device's rates (from {} on)", kLeastRecords);
  if (refitted_) {
    constexpr std::pair<std::string_view, double TermFactors::*> kNames[] = {{"tensor cores", &TermFactors::tensor},
                                                                             {"FMA units", &TermFactors::fma},
                                                                             {"memory", &TermFactors::memory},
                                                                             {"launches", &TermFactors::launch}};
    std::string factors;
    for (const auto& [name, factor] : kNames)
      if (std::fabs(factors_.*factor - 1) >= 0.005)
        factors += fmt::format("{}{} {:.2f}", factors.empty() ? "" : ", ", name, factors_.*factor);
    text += factors.empty() ? ", which agree with the model" : " (times of the model: " + factors + ")";
  }
  return text + fmt::format("; {} of nearby sizes", neighbours.count());
}

}  // namespace gemmsmith
