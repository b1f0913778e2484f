#include "select/score.h"
#include "select/score_kernel_tuner.h"

#include <algorithm>
#include <cctype>
#include <utility>

namespace gemmsmith {
namespace {

/// Letters and digits alone, in small letters, of the words of a file's name as they come and the other way round:
/// "RTX_Titan" is a "titanrtx".
std::string Plain(std::string_view file_name) {
  std::string forwards, backwards, word;
  for (const unsigned char c : file_name) {
    if (std::isalnum(c) != 0) {
      word += static_cast<char>(std::tolower(c));
    } else {
      forwards += word;
      backwards = std::exchange(word, {}) + backwards;
    }
  }
  return forwards + word + " " + word + backwards;
}

bool HasTitles(const Csv& table, std::initializer_list<std::string_view> titles) {
  return std::all_of(titles.begin(), titles.end(),
                     [&](std::string_view title) { return table.Find(title) < table.columns(); });
}

TableScore Skipped(std::string reason) {
  TableScore score;
  score.skipped = std::move(reason);
  return score;
}

using Scorer = std::vector<TableScore> (*)(const Csv& table, const DeviceSpec& spec);

/// Null: not a table of a GPU's times.
Scorer ScorerOf(const Csv& table) {
  if (HasTitles(table, {"dtype", "m", "n", "k", "us"})) return ScoreLibraryTimes;
  if (HasTitles(table, {"MWG", "NWG", "ms"})) return ScoreKernelTuner;
  if (table.columns() == 5 && table.rows() > 0 && table.Text(0, 3).ends_with("ms")) return ScoreLlmCompass;
  return nullptr;
}

std::vector<TableScore> Scored(std::string_view file_name, const Csv& table) {
  if (table.columns() == 8 && table.rows() > 0 && table.Text(0, 5) == "os") return ScoreScaleSim(table);
  if (HasTitles(table, {"device", "latency_ms", "M", "N", "K"})) return ScoreNeuSight(table);
  const Scorer scorer = ScorerOf(table);
  if (scorer == nullptr) return {Skipped("has no times that the model predicts")};
  const DeviceSpec* spec = DeviceNamedIn(file_name);
  if (spec == nullptr) return {Skipped("no GPU of devices.json is part of its name")};
  return scorer(table, *spec);
}

}  // namespace

const DeviceSpec* DeviceNamedIn(std::string_view name) {
  const std::string plain = Plain(name);
  const DeviceSpec* found = nullptr;
  for (const DeviceSpec& spec : AllDeviceSpecs())
    if (plain.find(spec.name) != std::string::npos && (found == nullptr || spec.name.size() > found->name.size()))
      found = &spec;
  return found;
}

std::vector<TableScore> ScoreTable(std::string_view file_name, std::string_view text) {
  const Csv table(file_name, text);
  std::vector<TableScore> scores = Scored(file_name, table);
  for (TableScore& score : scores) {
    score.file = file_name;
    if (score.rows == 0) score.rows = static_cast<std::int64_t>(table.rows());
  }
  return scores;
}

}  // namespace gemmsmith
