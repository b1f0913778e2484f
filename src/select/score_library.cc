#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include "core/parallel.h"
#include "select/cost_model.h"
#include "select/library_model.h"
#include "select/score.h"

namespace gemmsmith {
namespace {

/// Rows of a table that are of one dtype.
struct Times {
  DType dtype = DType::kBf16;
  std::vector<double> m, n, k, us;
  std::size_t size() const { return us.size(); }
};

GemmProblem ProblemOf(const Times& times, std::size_t row) {
  GemmProblem p;
  p.m = std::llround(times.m[row]), p.n = std::llround(times.n[row]), p.k = std::llround(times.k[row]);
  p.a_type = p.b_type = times.dtype;
  p.c_type = p.d_type = DType::kBf16;
  return p;
}

/// log(predicted / measured) would hide how far off a small prediction is: (predicted - measured) / measured.
template <class Predict>
std::vector<double> RelativeErrors(const Times& times, const Predict& predict) {
  std::vector<double> errors(times.size());
  constexpr std::size_t kChunk = 512;
  ParallelFor(static_cast<std::int64_t>((times.size() + kChunk - 1) / kChunk), [&](std::int64_t chunk) {
    const std::size_t begin = static_cast<std::size_t>(chunk) * kChunk;
    for (std::size_t i = begin; i < std::min(begin + kChunk, times.size()); ++i)
      errors[i] = predict(ProblemOf(times, i)) / times.us[i] - 1;
  });
  return errors;
}

double MeanOf(const std::vector<double>& values) {
  return values.empty() ? 0 : std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}
double Quantile(std::vector<double> values, double share) {
  if (values.empty()) return 0;
  const auto at = values.begin() + static_cast<std::ptrdiff_t>(share * static_cast<double>(values.size() - 1));
  std::nth_element(values.begin(), at, values.end());
  return *at;
}

/// Every other (n, k), in order.
std::vector<bool> FirstHalf(const Times& times) {
  std::map<std::pair<double, double>, bool> half;
  for (std::size_t i = 0; i < times.size(); ++i) half[{times.n[i], times.k[i]}] = false;
  bool first = false;
  for (auto& [nk, is_first] : half) is_first = first = !first;
  std::vector<bool> of(times.size());
  for (std::size_t i = 0; i < times.size(); ++i) of[i] = half[{times.n[i], times.k[i]}];
  return of;
}

std::vector<TableScore::Measure> Measures(const std::vector<double>& errors, const std::vector<bool>& first_half) {
  std::vector<double> all, one, other;
  for (std::size_t i = 0; i < errors.size(); ++i) {
    all.push_back(100 * std::fabs(errors[i]));
    (first_half[i] ? one : other).push_back(all.back());
  }
  return {{"MAPE %", MeanOf(all)},          {"MAPE % one half", MeanOf(one)}, {"MAPE % other half", MeanOf(other)},
          {"median %", Quantile(all, 0.5)}, {"p90 %", Quantile(all, 0.9)},    {"bias %", 100 * MeanOf(errors)}};
}

TableScore Score(const Times& times, const DeviceSpec& spec) {
  TableScore score;
  score.what = "times of the vendor's library, " + std::string(ToString(times.dtype));
  score.device = spec.name;
  score.rows = static_cast<std::int64_t>(times.size());
  const std::vector<bool> first_half = FirstHalf(times);
  const auto measures = [&](double GpuTime::*without) {
    const auto predict = [&](const GemmProblem& p) { return PredictLibrary(p, spec, without).microseconds; };
    return Measures(RelativeErrors(times, predict), first_half);
  };
  score.measures = measures(nullptr);
  for (const GpuTerm& term : AllGpuTerms()) {
    const std::vector<TableScore::Measure> without = measures(term.value);
    score.ablations.push_back({std::string(term.name), {without.front(), without.back()}});
  }
  return score;
}

DType TableType(std::string_view name) {
  if (name == "bfloat16") return DType::kBf16;
  if (name == "float16") return DType::kF16;
  if (name.substr(0, 3) == "fp8") return DType::kE4m3;
  return ParseDType(name);
}

}  // namespace

std::vector<TableScore> ScoreLibraryTimes(const Csv& table, const DeviceSpec& spec) {
  std::map<DType, Times> by_type;
  const std::size_t dtype = table.Find("dtype"), m = table.Find("m"), n = table.Find("n"), k = table.Find("k"),
                    us = table.Find("us");
  for (std::size_t row = 1; row < table.rows(); ++row) {
    const DType type = TableType(table.Text(row, dtype));
    Times& times = by_type[type];
    times.dtype = type;
    times.m.push_back(table.Number(row, m)), times.n.push_back(table.Number(row, n));
    times.k.push_back(table.Number(row, k)), times.us.push_back(table.Number(row, us));
  }
  std::vector<TableScore> scores;
  for (const auto& [type, times] : by_type) scores.push_back(Score(times, spec));
  return scores;
}

std::vector<TableScore> ScoreNeuSight(const Csv& table) {
  const std::size_t device = table.Find("device"), ms = table.Find("latency_ms"), m = table.Find("M"),
                    n = table.Find("N"), k = table.Find("K");
  std::map<std::string, Times> by_device;
  for (std::size_t row = 1; row < table.rows(); ++row) {
    Times& times = by_device[std::string(table.Text(row, device))];
    times.dtype = DType::kF32;
    times.m.push_back(table.Number(row, m)), times.n.push_back(table.Number(row, n));
    times.k.push_back(table.Number(row, k)), times.us.push_back(table.Number(row, ms) * 1e3);
  }
  std::vector<TableScore> scores;
  for (const auto& [name, times] : by_device) {
    TableScore score;
    score.what = "times of the vendor's library, f32, on " + name;
    score.rows = static_cast<std::int64_t>(times.size());
    if (const DeviceSpec* const spec = DeviceNamedIn(name); spec == nullptr) {
      score.skipped = "no row of devices.json is " + name;
    } else {
      score.device = spec->name;
      const auto predict = [spec = spec](const GemmProblem& p) {
        GemmProblem problem = MakeProblem(p.m, p.n, p.k, DType::kF32, "nt");
        return RankConfigs(problem, spec->target, *spec).configs.at(0).microseconds;
      };
      score.measures = Measures(RelativeErrors(times, predict), FirstHalf(times));
    }
    scores.push_back(std::move(score));
  }
  return scores;
}

std::vector<TableScore> ScoreLlmCompass(const Csv& table, const DeviceSpec& spec) {
  constexpr double kTheirOwn = 21;  // us, of a synchronisation
  Times times;
  times.m = table.Numbers(0, 0), times.n = table.Numbers(0, 1), times.k = table.Numbers(0, 2);
  for (const double ms : table.Numbers(0, 3)) times.us.push_back(ms * 1e3 - kTheirOwn);
  return {Score(times, spec)};
}

}  // namespace gemmsmith
