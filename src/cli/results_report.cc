#include "cli/results_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

namespace gemmsmith::cli {
namespace {

std::string Clipped(const std::string& text, std::size_t most) {
  return text.size() <= most ? text : text.substr(0, most) + "...";
}

/// The best config of each problem by the code that each config had last, and when it was last timed.
std::vector<std::pair<std::int64_t, Json>> FastestOf(ResultsDatabase& database, const std::string& device,
                                                     std::size_t most_text) {
  struct Problem {
    std::map<std::string, std::string> digests;  // of configs
    std::int64_t last = 0;
  };
  std::map<std::string, Problem> problems;
  for (const TuningRecord& record : database.Tunings()) {
    Problem& problem = problems[record.problem];
    problem.digests[record.config] = record.code_digest;
    problem.last = std::max(problem.last, record.created_unix);
  }
  std::vector<std::pair<std::int64_t, Json>> rows;
  for (const auto& [name, problem] : problems) {
    const auto fastest =
        database.Fastest(name, [&digests = problem.digests](const std::string& config) { return digests.at(config); });
    if (fastest.empty()) continue;
    rows.push_back({problem.last,
                    {{"device", device},
                     {"problem", Clipped(name, most_text)},
                     {"config", Clipped(fastest.front().config, most_text)},
                     {"configs", fastest.size()},
                     {"median_us", fastest.front().median_us},
                     {"timings", fastest.front().timings},
                     {"last", problem.last}}});
  }
  return rows;
}

}  // namespace

std::vector<std::unique_ptr<ResultsDatabase>> OpenResults(const std::string& directory) {
  std::vector<std::unique_ptr<ResultsDatabase>> databases;
  const ResultsOptions options{.directory = directory};
  for (const std::string& architecture : ListResults(directory))
    databases.push_back(std::make_unique<ResultsDatabase>(architecture, options));
  return databases;
}

std::string DescribeArchitecture(const Json& architecture) {
  std::string text;
  for (const char* name : {"chip_type", "device"})
    if (architecture.contains(name) && architecture[name].is_string()) text = architecture[name].get<std::string>();
  for (const char* name : {"num_cores", "multiprocessors"})
    if (architecture.contains(name)) text += fmt::format(", {} cores", architecture[name].dump());
  return text;
}

void AddResults(const std::string& directory, std::size_t most_rows, std::size_t most_text, Json& report) {
  Json results = Json::array();
  std::vector<std::pair<std::int64_t, Json>> fastest;
  for (const auto& database : OpenResults(directory)) {
    const ResultsStatistics s = database->Statistics();
    const std::string name = Clipped(DescribeArchitecture(Json::parse(s.architecture)), most_text);
    const double lookups = static_cast<double>(s.cache_hits) + static_cast<double>(s.cache_misses);
    results.push_back({{"key", s.fingerprint},
                       {"name", name},
                       {"storage", s.storage},
                       {"entries", s.total_entries},
                       {"tuning_records", s.tuning_records},
                       {"hits", s.cache_hits},
                       {"misses", s.cache_misses},
                       {"hit_rate", lookups > 0 ? static_cast<double>(s.cache_hits) / lookups : 0},
                       {"search_hours", s.total_search_time_hours},
                       {"last_updated", s.last_updated_unix}});
    std::ranges::move(FastestOf(*database, name, most_text), std::back_inserter(fastest));
  }
  const auto last = [](const Json& row) { return row["last_updated"].get<std::int64_t>(); };
  std::stable_sort(results.begin(), results.end(), [&](const Json& x, const Json& y) { return last(x) > last(y); });
  report["results_databases"] = results.size();
  report["timed_problems"] = fastest.size();
  if (results.size() > most_rows)
    results.erase(results.begin() + static_cast<std::ptrdiff_t>(most_rows), results.end());
  std::ranges::stable_sort(fastest, std::ranges::greater{}, [](const auto& row) { return row.first; });
  fastest.resize(std::min(fastest.size(), most_rows));
  report["results"] = std::move(results);
  report["fastest"] = Json::array();
  for (auto& [time, row] : fastest) report["fastest"].push_back(std::move(row));
}

}  // namespace gemmsmith::cli
