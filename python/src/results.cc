#include "gemmsmith/results.h"

#include <memory>

#include "bindings.h"
#include "engine_access.h"
#include "rows.h"

namespace gemmsmith::python {
namespace {

/// Empty: where this process' settings keep them.
ResultsOptions PlaceOf(const std::string& directory) {
  if (!directory.empty()) return {.directory = directory};
  const EngineOptions& options = CurrentEngine()->options();
  if (!options.results_directory.empty()) return {.directory = options.results_directory};
  return {.directory = options.cache_dir.empty() ? "" : options.cache_dir + "/results"};
}

/// Those whose fingerprints begin so.
std::vector<std::unique_ptr<ResultsDatabase>> Databases(const std::string& beginning, const std::string& directory) {
  const ResultsOptions place = PlaceOf(directory);
  std::vector<std::unique_ptr<ResultsDatabase>> databases;
  for (const std::string& architecture : ListResults(place.directory)) {
    auto database = std::make_unique<ResultsDatabase>(architecture, place);
    if (database->Statistics().fingerprint.starts_with(beginning)) databases.push_back(std::move(database));
  }
  return databases;
}

std::unique_ptr<ResultsDatabase> TheDatabase(const std::string& beginning, const std::string& directory) {
  auto found = Databases(beginning, directory);
  if (found.empty())
    throw Error(Code::kNotFound, "there are no results of an architecture \"" + beginning + "\"",
                "results.list has them all");
  if (found.size() > 1)
    throw Error(Code::kInvalidArgument,
                std::to_string(found.size()) + " architectures begin with \"" + beginning + "\"", "give more digits");
  return std::move(found.front());
}

nb::dict RowOf(const ResultsStatistics& s) {
  return Row()
      .Add("fingerprint", s.fingerprint)
      .Add("architecture", s.architecture)
      .Add("directory", s.directory)
      .Add("storage", s.storage)
      .Add("results", s.total_entries)
      .Add("tunings", s.tuning_records)
      .Add("created_unix", s.created_unix)
      .Add("last_updated_unix", s.last_updated_unix)
      .Add("search_hours", s.total_search_time_hours)
      .Add("hits", s.cache_hits)
      .Add("misses", s.cache_misses);
}

nb::dict RowOf(const StoredResult& entry) {
  const GEMMShape& shape = entry.key.shape;
  const GEMMResult& result = entry.result;
  const auto& tile = result.best_tile;
  const auto& partition = result.best_partition;
  return Row()
      .Add("g", shape.G)
      .Add("m", shape.M)
      .Add("n", shape.N)
      .Add("k", shape.K)
      .Add("input_dtype", Str(ToString(shape.input_dtype)))
      .Add("output_dtype", Str(ToString(shape.output_dtype)))
      .Add("mode", ToString(entry.key.mode))
      .Add("latency_us", result.latency_us)
      .Add("tile", nb::make_tuple(tile[0], tile[1], tile[2]))
      .Add("loop_order", result.best_loop_order)
      .Add("partition", nb::make_tuple(partition[0], partition[1], partition[2], partition[3]))
      .Add("created_unix", entry.created_unix)
      .Add("to_be_verified", entry.to_be_verified);
}

nb::dict RowOf(const TuningRecord& record) {
  return Row()
      .Add("problem", record.problem)
      .Add("config", record.config)
      .Add("times_us", record.times_us)
      .Add("wrong", record.wrong)
      .Add("m_from", record.m_from)
      .Add("m_to", record.m_to)
      .Add("device", record.device)
      .Add("arch", record.target)
      .Add("core_clock_mhz", record.core_clock_mhz)
      .Add("memory_clock_mhz", record.memory_clock_mhz)
      .Add("code_digest", record.code_digest)
      .Add("created_unix", record.created_unix);
}

nb::dict RowOf(const ResultsChange& change) {
  return Row().Add("results", change.results).Add("tunings", change.tunings);
}

nb::dict Prune(nb::handle max_unused_seconds, nb::handle max_entries, const std::string& fingerprint, bool dry_run,
               const std::string& directory) {
  ResultsPruneLimits limits;
  if (Given(max_unused_seconds)) limits.max_unused = std::chrono::seconds(nb::cast<std::int64_t>(max_unused_seconds));
  if (Given(max_entries)) limits.max_entries = nb::cast<std::uint64_t>(max_entries);
  ResultsChange gone;
  for (const auto& database : Databases(fingerprint, directory)) {
    const ResultsChange change = database->Prune(limits, dry_run);
    gone.results += change.results;
    gone.tunings += change.tunings;
  }
  return RowOf(gone);
}

}  // namespace

void BindResults(nb::module_& m) {
  m.def(
      "results_list",
      [](const std::string& directory) {
        return Rows(Databases("", directory), [](const auto& database) { return RowOf(database->Statistics()); });
      },
      nb::sig("def results_list(directory: str) -> list[dict[str, typing.Any]]"));
  m.def(
      "results_show",
      [](const std::string& fingerprint, bool tunings, const std::string& directory) {
        const auto database = TheDatabase(fingerprint, directory);
        const auto row = [](const auto& one) { return RowOf(one); };
        return tunings ? Rows(database->Tunings(), row) : Rows(database->Entries(), row);
      },
      nb::sig("def results_show(fingerprint: str, tunings: bool, directory: str) -> list[dict[str, typing.Any]]"));
  m.def("results_export",
        [](const std::string& fingerprint, const std::string& path, bool compress, const std::string& directory) {
          TheDatabase(fingerprint, directory)->Export(path, compress);
        });
  m.def(
      "results_import",
      [](const std::string& path, const std::string& directory) {
        return RowOf(ResultsDatabase(ResultsArchitecture(path), PlaceOf(directory)).Import(path));
      },
      nb::sig("def results_import(path: str, directory: str) -> dict[str, typing.Any]"));
  m.def("results_prune", &Prune, nb::arg("max_unused_seconds").none(), nb::arg("max_entries").none(),
        nb::arg("fingerprint"), nb::arg("dry_run"), nb::arg("directory"),
        nb::sig("def results_prune(max_unused_seconds: int | None, max_entries: int | None, fingerprint: str, "
                "dry_run: bool, directory: str) -> dict[str, typing.Any]"));
}

}  // namespace gemmsmith::python
