#include "select/score_kernel_tuner.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cmath>
#include <numeric>

#include "util/log.h"

namespace gemmsmith {
namespace {

/// CLBlast's names: a block makes MWG x NWG sums of D by MDIMC x NDIMC threads, KWG steps of k at a time, KWI of them
/// unrolled; MDIMA and NDIMB threads lie along a line of the copied tiles; VWM and VWN are vector widths; SA and SB say
/// whether A and B pass through shared memory.
enum Column { kMwg, kNwg, kKwg, kMdimc, kNdimc, kMdima, kNdimb, kKwi, kVwm, kVwn, kSa, kSb, kMs, kColumns };
constexpr std::array<std::string_view, kColumns> kNames = {"MWG", "NWG", "KWG", "MDIMC", "NDIMC", "MDIMA", "NDIMB",
                                                           "KWI", "VWM", "VWN", "SA",    "SB",    "ms"};
using Row = std::array<double, kColumns>;

/// Throws where a number is not whole, or out of bounds.
Row ReadRow(const Csv& table, std::size_t number, const std::array<std::size_t, kColumns>& places) {
  Row row{};
  for (int column = 0; column < kColumns; ++column) {
    const double value = row[column] = table.Number(number, places[column]);
    const double most = column == kMs ? 1e9 : 1 << 12;
    const double least = column == kSa || column == kSb ? 0 : column == kMs ? 1e-9 : 1;
    if (!(value >= least && value <= most) || (column != kMs && value != std::floor(value)))
      throw Fail(Code::kInvalidArgument, "", "tuning table, row {}: {}={} does not fit", number + 1, kNames[column],
                 value);
  }
  return row;
}

SimtKernel KernelOf(const Row& row, std::size_t number) {
  const auto at = [&](Column column) { return static_cast<int>(row[column]); };
  SimtKernel kernel;
  kernel.threads = at(kMdimc) * at(kNdimc);
  constexpr int kMostThreads = 1024;
  if (kernel.threads % 32 != 0 || kernel.threads > kMostThreads)
    throw Fail(Code::kInvalidArgument, "", "tuning table, row {}: MDIMC*NDIMC={} is not 32, 64, ... or {}", number,
               kernel.threads, kMostThreads);
  kernel.tile_steps = at(kKwg);
  kernel.unrolled = at(kKwi);
  const auto operand = [&](Column lines, Column along, Column copiers, Column vector, Column staged) {
    SimtOperand result;
    result.block_lines = at(lines);
    result.thread_lines = at(lines) / at(along);
    result.lane_parts = at(along);
    result.read_vector = result.copy_vector = at(vector);
    result.staged = at(staged) != 0;
    result.copy_lines = at(lines) / at(copiers);
    result.copy_steps = at(kKwg) * at(copiers) / kernel.threads;
    if (at(lines) % (at(along) * at(vector)) != 0 || at(lines) % (at(copiers) * at(vector)) != 0 ||
        at(kKwg) * at(copiers) % kernel.threads != 0)
      throw Fail(Code::kInvalidArgument, "", "tuning table, row {}: {}={} is not a multiple of its parts", number,
                 kNames[lines], at(lines));
    return result;
  };
  kernel.a = operand(kMwg, kMdimc, kMdima, kVwm, kSa);
  kernel.b = operand(kNwg, kNdimc, kNdimb, kVwn, kSb);
  kernel.b.lane_divisor = at(kMdimc);
  return kernel;
}

/// 0 for the least; equal values share the mean of their ranks.
std::vector<double> Ranks(const std::vector<double>& values) {
  std::vector<std::size_t> order(values.size());
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(), [&](std::size_t x, std::size_t y) { return values[x] < values[y]; });
  std::vector<double> ranks(values.size());
  for (std::size_t begin = 0, end = 0; begin < order.size(); begin = end) {
    while (end < order.size() && values[order[end]] == values[order[begin]]) ++end;
    for (std::size_t i = begin; i < end; ++i) ranks[order[i]] = static_cast<double>(begin + end - 1) / 2;
  }
  return ranks;
}

double Spearman(const std::vector<double>& x, const std::vector<double>& y) {
  const std::vector<double> rank_x = Ranks(x), rank_y = Ranks(y);
  const double mean = (static_cast<double>(x.size()) - 1) / 2;
  double xx = 0, yy = 0, xy = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double dx = rank_x[i] - mean, dy = rank_y[i] - mean;
    xx += dx * dx, yy += dy * dy, xy += dx * dy;
  }
  return xx > 0 && yy > 0 ? xy / std::sqrt(xx * yy) : 0;
}

}  // namespace

std::vector<TunedConfig> ReadKernelTunerTable(const Csv& csv) {
  std::array<std::size_t, kColumns> places{};
  for (int column = 0; column < kColumns; ++column) {
    places[column] = csv.Find(kNames[column]);
    if (places[column] == csv.columns())
      throw Fail(Code::kInvalidArgument, "the first line names the columns", "tuning table: no column {}",
                 kNames[column]);
  }
  std::vector<TunedConfig> table;
  for (std::size_t number = 1; number < csv.rows(); ++number) {
    const Row row = ReadRow(csv, number, places);
    table.push_back({KernelOf(row, number + 1), row[kMs]});
  }
  return table;
}

RankingScore ScoreRanking(std::span<const TunedConfig> table, const DeviceSpec& spec, const SimtConstants& constants,
                          SimtPart without) {
  if (table.empty()) throw Fail(Code::kInvalidArgument, "", "tuning table: no rows");
  const GemmProblem problem = MakeProblem(4096, 4096, 4096);
  std::vector<double> predicted, measured;
  for (const TunedConfig& config : table) {
    predicted.push_back(PredictSimt(config.kernel, problem, spec, constants, without).microseconds);
    measured.push_back(config.milliseconds);
  }
  std::vector<std::size_t> order(table.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t x, std::size_t y) { return predicted[x] < predicted[y]; });
  const double best = *std::min_element(measured.begin(), measured.end());
  const auto regret = [&](std::size_t count) {
    double least = measured[order[0]];
    for (std::size_t i = 1; i < std::min(count, order.size()); ++i) least = std::min(least, measured[order[i]]);
    return least / best - 1;
  };
  return {regret(1), regret(8), Spearman(predicted, measured)};
}

std::vector<TableScore> ScoreKernelTuner(const Csv& csv, const DeviceSpec& spec) {
  constexpr std::pair<SimtPart, std::string_view> kParts[] = {{SimtPart::kFma, "fma"},
                                                              {SimtPart::kIssue, "issue"},
                                                              {SimtPart::kShared, "shared memory"},
                                                              {SimtPart::kConflicts, "bank conflicts"},
                                                              {SimtPart::kL1, "l1"},
                                                              {SimtPart::kL2, "l2"},
                                                              {SimtPart::kSpills, "spills"},
                                                              {SimtPart::kOverlap, "overlap"},
                                                              {SimtPart::kLatency, "latency"},
                                                              {SimtPart::kTail, "tail"}};
  const std::vector<TunedConfig> table = ReadKernelTunerTable(csv);
  const auto measures = [&](SimtPart without) -> std::vector<TableScore::Measure> {
    const RankingScore score = ScoreRanking(table, spec, {}, without);
    return {{"regret of top 1 %", 100 * score.regret_top1},
            {"regret of top 8 %", 100 * score.regret_top8},
            {"Spearman", score.spearman}};
  };
  TableScore score;
  score.what = "ranking of CLBlast's configs, f32, m = n = k = 4096";
  score.device = spec.name;
  score.rows = static_cast<std::int64_t>(table.size());
  score.measures = measures(SimtPart::kNone);
  for (const auto& [part, name] : kParts) score.ablations.push_back({std::string(name), measures(part)});
  return {score};
}

}  // namespace gemmsmith
