#include "select/cost_model.h"

#include <algorithm>
#include <cmath>

#include "core/groups.h"
#include "select/predicted_time.h"
#include "util/log.h"

namespace gemmsmith {
namespace {

double CeilDiv(std::int64_t x, std::int64_t y) { return static_cast<double>((x + y - 1) / y); }

/// The sum of `group_rows`. Throws for what no group can be.
std::int64_t RowsOf(const GemmProblem& problem, std::span<const std::int64_t> group_rows) {
  std::int64_t rows = 0;
  for (const std::int64_t size : group_rows)
    if (size < 0 || __builtin_add_overflow(rows, size, &rows))
      throw Fail(Code::kInvalidArgument, "", "groups: {} is no number of rows, or one too many", size);
  if (rows == 0) throw Fail(Code::kInvalidArgument, "", "groups: all of them are empty");
  if (problem.batch != 1 || problem.d_layout == Layout::kColMajor || problem.grouping != Grouping::kNone)
    throw Fail(Code::kUnsupported, "groups lie along the rows of a row-major D, once", "groups: of {}",
               ToString(problem));
  return rows;
}

/// A problem, and what its times are predicted by. CPUs do one group after the other.
class Model {
 public:
  Model(const GemmProblem& problem, const CodeTarget& target, const DeviceSpec& spec, const RankOptions& options)
      : problem_(Canonical(target.isa == Isa::kCuda ? problem : OneGroup(problem))), spec_(spec), options_(options) {
    if (!options.group_rows.empty()) {
      problem_.m = RowsOf(problem, options.group_rows);
      Validate(problem_);
    }
    if (options.calibration != nullptr) neighbours_ = options.calibration->Near(problem_);
  }

  const GemmProblem& problem() const { return problem_; }
  const Calibration::Neighbours& neighbours() const { return neighbours_; }

  PredictedTime Time(const TileConfig& config, const KernelFamily& family) const {
    const PredictedTime time = Predict(AsBatch(problem_), config, family, spec_, options_.group_rows);
    return options_.calibration == nullptr ? time : time.Scaled(options_.calibration->factors());
  }
  /// Of such a time, by what was measured nearby.
  double Factor(const TileConfig& config) const { return neighbours_.count() == 0 ? 1 : neighbours_.Factor(config); }

 private:
  GemmProblem problem_;
  const DeviceSpec& spec_;
  const RankOptions& options_;
  Calibration::Neighbours neighbours_;
};

}  // namespace

Ranking RankConfigs(const GemmProblem& problem, const CodeTarget& target, const DeviceSpec& spec,
                    const RankOptions& options) {
  Ranking ranking;
  const Model model(problem, target, spec, options);
  for (const KernelFamily* family : AllFamilies()) {
    if (!family->Targets(target) || (family->IsLastResort() && !ranking.configs.empty())) continue;
    if (std::string reason = family->WhyNot(model.problem(), target); !reason.empty()) {
      ranking.refused.push_back(std::move(reason));
      continue;
    }
    for (const TileConfig& config : family->Candidates(model.problem(), target, spec))
      ranking.configs.push_back({config, model.Time(config, *family).total() * model.Factor(config)});
  }
  // Stable: of equals, the better family and the family's own default stay first.
  std::stable_sort(ranking.configs.begin(), ranking.configs.end(),
                   [](const auto& x, const auto& y) { return x.microseconds < y.microseconds; });
  return ranking;
}

std::int64_t Waves(const GemmProblem& problem, const TileConfig& config, const DeviceSpec& spec) {
  const GemmProblem p = AsBatch(Canonical(problem));
  const TileShape shape = FindFamily(config.family).Shape(p, config, spec);
  const double tiles =
      CeilDiv(p.m, shape.block_m) * CeilDiv(p.n, shape.block_n) * static_cast<double>(p.batch) * shape.splits;
  return static_cast<std::int64_t>(
      std::ceil(tiles / (static_cast<double>(spec.multiprocessors) * std::max(1, shape.workers))));
}

Explanation Rank(const GemmProblem& problem, const CodeTarget& target, const DeviceSpec& spec,
                 const RankOptions& options) {
  Ranking ranking = RankConfigs(problem, target, spec, options);
  Explanation result{problem, spec.name, ToString(target), {}, std::move(ranking.refused)};
  const Model model(problem, target, spec, options);
  for (const auto& [config, microseconds] : ranking.configs) {
    const PredictedTime time = model.Time(config, FindFamily(config.family));
    RankedConfig ranked{config, microseconds, time.Terms(), time.Limiting()};
    if (const double more = microseconds - time.total(); model.neighbours().count() > 0)
      ranked.terms.push_back({"nearby", more});
    result.ranked.push_back(std::move(ranked));
  }
  result.group_rows.assign(options.group_rows.begin(), options.group_rows.end());
  if (!result.group_rows.empty()) result.problem.m = model.problem().m;
  const Calibration* const calibration = options.calibration;
  if (calibration != nullptr && (calibration->refitted() || model.neighbours().count() > 0))
    result.calibration = calibration->Describe(model.neighbours());
  return result;
}

}  // namespace gemmsmith
