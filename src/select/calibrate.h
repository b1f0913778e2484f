#pragma once

#include <array>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "select/predicted_time.h"

namespace gemmsmith {

/// A config's time on a device, such as tuning records have them.
struct MeasuredTime {
  GemmProblem problem;
  TileConfig config;
  double microseconds = 0;  ///< Median.
};
/// The inverse of ToString(problem), for a dense problem without an epilogue; empty for others, and for what is none.
std::optional<GemmProblem> ParseProblem(std::string_view text);

/// What the times measured on a device change in its model. Pure: made of records, and the same for the same ones.
class Calibration {
 public:
  /// Leaves out what cannot be: times that are not positive and finite, configs that the problem does not have.
  Calibration(std::span<const MeasuredTime> measured, const CodeTarget& target, const DeviceSpec& spec);

  std::size_t records() const { return points_.size(); }  ///< That were used.
  bool refitted() const { return refitted_; }             ///< There were enough of them for the factors.
  const TermFactors& factors() const { return factors_; }

  /// How records of nearby sizes move the times of one problem. Refers to its calibration.
  class Neighbours {
   public:
    std::size_t count() const { return near_.size(); }
    /// Of the time by the model and its factors.
    double Factor(const TileConfig& config) const;

   private:
    friend class Calibration;
    struct Near {
      const TileConfig* config;
      double weight, log_ratio;
    };
    std::vector<Near> near_;
    double mean_ = 0;    // of their logarithms
    double common_ = 0;  // what of it moves all configs alike
  };
  /// `problem` is canonical.
  Neighbours Near(const GemmProblem& problem) const;
  /// "12 records: FMA units take 1.06 of the model's time, ...".
  std::string Describe(const Neighbours& neighbours) const;

 private:
  struct Point {
    GemmProblem problem;  // canonical
    TileConfig config;
    double log_measured = 0;
    PredictedTime predicted;
    double log_ratio = 0;  // of the measured time, to the model's with its factors
  };
  void Refit();

  std::vector<Point> points_;
  TermFactors factors_;
  bool refitted_ = false;
};

}  // namespace gemmsmith
