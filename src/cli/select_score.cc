#include "gemmsmith/select.h"

#include <optional>

#include "cli/command.h"
#include "cli/progress.h"
#include "cli/table.h"

namespace gemmsmith::cli {
namespace {

void AddOptions(CLI::App& app, Options& options) {
  app.add_option("--data", options.data, "Folder of tables: .csv or .csv.gz (docs/select.md)")
      ->type_name("DIR")
      ->required()
      ->check(CLI::ExistingDirectory);
  AddOutput(app, options);
}

Json ToJson(const std::vector<TableScore::Measure>& measures) {
  Json json = Json::object();
  for (const TableScore::Measure& measure : measures) json[measure.name] = measure.value;
  return json;
}

Json ToJson(const TableScore& score) {
  if (!score.skipped.empty()) return {{"file", score.file}, {"skipped", score.skipped}};
  Json without = Json::object();
  for (const TableScore::Ablation& ablation : score.ablations) without[ablation.term] = ToJson(ablation.measures);
  return {{"file", score.file},
          {"what", score.what},
          {"device", score.device},
          {"rows", score.rows},
          {"measures", ToJson(score.measures)},
          {"without", without}};
}

void Print(const TableScore& score) {
  if (!score.skipped.empty()) {
    fmt::print("{}: skipped: {}\n\n", score.file, score.skipped);
    return;
  }
  fmt::print("{}: {}, {} rows{}{}\n", score.file, score.what, score.rows,
             score.device.empty() ? "" : ", predicted for ", score.device);
  Table measures({{"measure", -28}, {"value", 9}});
  for (const TableScore::Measure& measure : score.measures) measures.Row({measure.name, Number(measure.value)});
  if (!score.ablations.empty()) {
    std::vector<Column> columns = {{"without", -28}};
    for (const TableScore::Measure& measure : score.ablations.front().measures) columns.push_back({measure.name, 20});
    Table ablations(columns);
    for (const TableScore::Ablation& ablation : score.ablations) {
      std::vector<std::string> cells = {ablation.term};
      for (const TableScore::Measure& measure : ablation.measures) cells.push_back(Number(measure.value));
      ablations.Row(cells);
    }
  }
  fmt::print("\n");
}

Outcome Run(Session& session) {
  std::optional<Progress> progress;
  const auto scores = ScoreTables(session.options().data, [&](const std::string& file, std::size_t files) {
    if (progress) progress->Advance();
    if (!progress) progress.emplace("scoring", files);
    progress->Show(file);
  });
  progress.reset();
  Json tables = Json::array();
  for (const TableScore& score : scores) {
    tables.push_back(ToJson(score));
    if (session.text()) Print(score);
  }
  if (session.text() && scores.empty()) fmt::print("no .csv or .csv.gz in {}\n", session.options().data);
  return {!scores.empty(), {{"tables", tables}}};
}

}  // namespace

const Command kSelectScore = {"score", "Compare the cost model with tables of measured times, term by term",
                              "gemmsmith select score --data tables/", AddOptions, Run};

}  // namespace gemmsmith::cli
