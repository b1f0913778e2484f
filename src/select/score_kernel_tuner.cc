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

std::vector<std::string_view> Split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  for (std::size_t end = 0; end != std::string_view::npos; text.remove_prefix(std::min(end, text.size() - 1) + 1)) {
    end = text.find(separator);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) break;
  }
  return parts;
}

std::string_view WithoutCarriageReturn(std::string_view line) {
  if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
  return line;
}

/// Where each column stands.
std::array<std::size_t, kColumns> ReadHeader(std::string_view line) {
  const std::vector<std::string_view> names = Split(line, ',');
  std::array<std::size_t, kColumns> places{};
  for (int column = 0; column < kColumns; ++column) {
    const auto at = std::find(names.begin(), names.end(), kNames[column]);
    if (at == names.end())
      throw Fail(Code::kInvalidArgument, "the first line names the columns", "tuning table: no column {}",
                 kNames[column]);
    places[column] = static_cast<std::size_t>(at - names.begin());
  }
  return places;
}

Row ReadRow(std::string_view line, std::size_t number, const std::array<std::size_t, kColumns>& places) {
  const std::vector<std::string_view> cells = Split(line, ',');
  Row row{};
  for (int column = 0; column < kColumns; ++column) {
    const std::string_view cell = places[column] < cells.size() ? cells[places[column]] : "";
    const auto [end, error] = std::from_chars(cell.data(), cell.data() + cell.size(), row[column]);
    const double most = column == kMs ? 1e9 : 1 << 12;
    const double least = column == kSa || column == kSb ? 0 : column == kMs ? 1e-9 : 1;
    const bool whole = column == kMs || row[column] == std::floor(row[column]);
    if (error != std::errc() || end != cell.data() + cell.size() || !(row[column] >= least && row[column] <= most) ||
        !whole)
      throw Fail(Code::kInvalidArgument, "", "tuning table, line {}: {} is not a number that fits", number,
                 kNames[column]);
  }
  return row;
}

SimtKernel KernelOf(const Row& row, std::size_t number) {
  const auto at = [&](Column column) { return static_cast<int>(row[column]); };
  SimtKernel kernel;
  kernel.threads = at(kMdimc) * at(kNdimc);
  constexpr int kMostThreads = 1024;
  if (kernel.threads % 32 != 0 || kernel.threads > kMostThreads)
    throw Fail(Code::kInvalidArgument, "", "tuning table, line {}: MDIMC*NDIMC={} is not 32, 64, ... or {}", number,
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
      throw Fail(Code::kInvalidArgument, "", "tuning table, line {}: {}={} is not a multiple of its parts", number,
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

std::vector<TunedConfig> ReadKernelTunerTable(std::string_view csv) {
  std::vector<TunedConfig> table;
  std::array<std::size_t, kColumns> places{};
  std::size_t number = 0;
  for (std::string_view line : Split(csv, '\n')) {
    ++number;
    line = WithoutCarriageReturn(line);
    if (number == 1) {
      places = ReadHeader(line);
    } else if (!line.empty()) {
      const Row row = ReadRow(line, number, places);
      table.push_back({KernelOf(row, number), row[kMs]});
    }
  }
  return table;
}

const DeviceSpec& DeviceOfTable(std::string_view file_name) {
  std::string text(file_name.substr(file_name.find_last_of('/') + 1));
  text.resize(std::min(text.find('.'), text.size()));
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::tolower(c); });
  std::vector<std::string_view> words = Split(text, '_');
  if (words.size() > 2) words.erase(words.begin(), words.begin() + 2);  // what was measured
  for (const DeviceSpec& spec : AllDeviceSpecs()) {
    std::size_t length = 0;
    const bool all = std::all_of(words.begin(), words.end(), [&](std::string_view word) {
      length += word.size();
      return !word.empty() && spec.name.find(word) != std::string::npos;
    });
    if (all && length == spec.name.size()) return spec;
  }
  throw Fail(Code::kNotFound, "add its datasheet to devices.json", "no device of devices.json is that of {}",
             file_name);
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

std::vector<AblatedScore> ScoreAblations(std::span<const TunedConfig> table, const DeviceSpec& spec) {
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
  std::vector<AblatedScore> scores;
  for (const auto& [part, name] : kParts) scores.push_back({std::string(name), ScoreRanking(table, spec, {}, part)});
  return scores;
}

}  // namespace gemmsmith
