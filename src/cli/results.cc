#include "gemmsmith/results.h"

#include <ctime>

#include "cli/command.h"
#include "cli/results_report.h"
#include "cli/table.h"
#include "gemmsmith/error.h"

namespace gemmsmith::cli {
namespace {

void AddPlace(CLI::App& app, Options& options) {
  AddResultsDir(app, options);
  AddOutput(app, options);
}

CLI::Option* AddFingerprint(CLI::App& app, Options& options) {
  return app.add_option("FINGERPRINT", options.key, "Of the architecture, or its first digits: see results list")
      ->type_name("");
}

CLI::Option* AddDocument(CLI::App& app, Options& options) {
  return app.add_option("FILE", options.out, "The document")->required()->type_name("");
}

ResultsOptions Place(const Session& session) { return {.directory = ResultsDir(session.options())}; }

/// Those whose fingerprints begin so.
std::vector<std::unique_ptr<ResultsDatabase>> Databases(const Session& session, const std::string& beginning) {
  auto found = OpenResults(ResultsDir(session.options()));
  std::erase_if(found,
                [&](const auto& database) { return !database->Statistics().fingerprint.starts_with(beginning); });
  return found;
}

std::unique_ptr<ResultsDatabase> TheDatabase(const Session& session) {
  const std::string& beginning = session.options().key;
  auto found = Databases(session, beginning);
  if (found.empty())
    throw Error(Code::kNotFound, "there are no results of an architecture \"" + beginning + "\"",
                "gemmsmith results list has them all");
  if (found.size() > 1)
    throw Error(Code::kInvalidArgument, fmt::format("{} architectures begin with \"{}\"", found.size(), beginning),
                "give more digits");
  return std::move(found.front());
}

std::string Time(std::int64_t unix_seconds) {
  const std::time_t time = unix_seconds;
  std::tm parts{};
  gmtime_r(&time, &parts);
  char text[32];
  return std::string(text, std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts));
}

Json ToJson(const ResultsStatistics& s) {
  return {{"arch_fingerprint", s.fingerprint},
          {"architecture", Json::parse(s.architecture)},
          {"directory", s.directory},
          {"storage", s.storage},
          {"total_entries", s.total_entries},
          {"tuning_records", s.tuning_records},
          {"created_at", Time(s.created_unix)},
          {"last_updated", Time(s.last_updated_unix)},
          {"total_search_time_hours", s.total_search_time_hours},
          {"cache_hits", s.cache_hits},
          {"cache_misses", s.cache_misses}};
}

std::string Shape(const GEMMShape& s) { return fmt::format("{} x {} x {} x {}", s.G, s.M, s.K, s.N); }
std::string DTypes(const GEMMShape& s) {
  return fmt::format("{} {}", ToString(s.input_dtype), ToString(s.output_dtype));
}
std::string Mode(const GEMMSearchMode& m) {
  if (!m.use_precise_evaluator) return "roofline";
  return fmt::format("{}{}{}", ToString(m.effort), m.tile_search ? " tile" : "",
                     m.partition_search ? " partition" : "");
}

Json ToJson(const StoredResult& entry) {
  const GEMMShape& s = entry.key.shape;
  const GEMMResult& r = entry.result;
  return {{"shape", {{"G", s.G}, {"M", s.M}, {"K", s.K}, {"N", s.N}}},
          {"dtypes", {{"input", ToString(s.input_dtype)}, {"output", ToString(s.output_dtype)}}},
          {"search_mode", Mode(entry.key.mode)},
          {"latency_us", r.latency_us},
          {"best_tile", r.best_tile},
          {"best_loop_order", r.best_loop_order},
          {"best_partition", r.best_partition},
          {"timestamp", Time(entry.created_unix)},
          {"to_be_verified", entry.to_be_verified}};
}

Json ToJson(const TuningRecord& r) {
  Json json = {{"problem", r.problem},
               {"config", r.config},
               {"code_digest", r.code_digest},
               {"device", r.device},
               {"target", r.target},
               {"core_clock_mhz", r.core_clock_mhz},
               {"memory_clock_mhz", r.memory_clock_mhz},
               {"times_us", r.times_us},
               {"wrong", r.wrong},
               {"timestamp", Time(r.created_unix)}};
  if (r.m_to != 0) json["chosen_for_m"] = {r.m_from, r.m_to};
  return json;
}

Outcome List(Session& session) {
  Json list = Json::array();
  Table table({{"fingerprint", -16},
               {"architecture", -32},
               {"storage", -7},
               {"results", 8},
               {"timed", 8},
               {"hits", 9},
               {"misses", 9},
               {"updated", -20}});
  for (const auto& database : Databases(session, "")) {
    const ResultsStatistics s = database->Statistics();
    list.push_back(ToJson(s));
    if (session.text())
      table.Row({s.fingerprint, DescribeArchitecture(Json::parse(s.architecture)), s.storage,
                 std::to_string(s.total_entries), std::to_string(s.tuning_records), std::to_string(s.cache_hits),
                 std::to_string(s.cache_misses), Time(s.last_updated_unix)});
  }
  if (session.text() && list.empty()) fmt::print("no results\n");
  return {true, {{"databases", list}}};
}

void PrintResults(const std::vector<StoredResult>& entries) {
  Table table({{"G x M x K x N", -28},
               {"dtypes", -10},
               {"search", -20},
               {"latency us", 12},
               {"tile", -16},
               {"order", -5},
               {"partition", -14},
               {"made", -20}});
  for (const StoredResult& entry : entries) {
    const GEMMResult& r = entry.result;
    table.Row({Shape(entry.key.shape), DTypes(entry.key.shape), Mode(entry.key.mode), Number(r.latency_us),
               fmt::format("{}", fmt::join(r.best_tile, " ")), r.best_loop_order,
               fmt::format("{}", fmt::join(r.best_partition, " ")),
               entry.to_be_verified ? "to be verified" : Time(entry.created_unix)});
  }
}

/// "m=8", "m=1..64": what a tuning chose.
std::string Chosen(const TuningRecord& r) {
  if (r.m_to == 0) return "";
  return r.m_from == r.m_to ? fmt::format("m={}", r.m_to) : fmt::format("m={}..{}", r.m_from, r.m_to);
}

void PrintTunings(const std::vector<TuningRecord>& records) {
  Table table({{"problem", -32},
               {"config", -44},
               {"timings", 7},
               {"least us", 10},
               {"most us", 10},
               {"chosen", -12},
               {"made", -20}});
  for (const TuningRecord& r : records) {
    const auto [least, most] = std::ranges::minmax_element(r.times_us);
    const bool timed = !r.times_us.empty();
    table.Row({r.problem, r.config, std::to_string(r.times_us.size()), timed ? Number(*least) : "",
               timed ? Number(*most) : "", Chosen(r), r.wrong.empty() ? Time(r.created_unix) : "wrong: " + r.wrong});
  }
}

Outcome Show(Session& session) {
  const auto database = TheDatabase(session);
  std::vector<StoredResult> entries = database->Entries();
  std::vector<TuningRecord> records = database->Tunings();
  if (const std::uint64_t limit = session.options().limit; limit > 0) {
    entries.resize(std::min<std::size_t>(entries.size(), limit));
    records.resize(std::min<std::size_t>(records.size(), limit));
  }
  if (session.text() && !entries.empty()) PrintResults(entries);
  if (session.text() && !records.empty()) PrintTunings(records);
  Json document = ToJson(database->Statistics());
  document["results"] = document["tunings"] = Json::array();
  for (const StoredResult& entry : entries) document["results"].push_back(ToJson(entry));
  for (const TuningRecord& record : records) document["tunings"].push_back(ToJson(record));
  return {true, document};
}

Outcome Export(Session& session) {
  const auto database = TheDatabase(session);
  database->Export(session.options().out, session.options().compress);
  const ResultsStatistics s = database->Statistics();
  if (session.text())
    fmt::print("wrote {}: {} results, {} tuning records\n", session.options().out, s.total_entries, s.tuning_records);
  return {true, {{"file", session.options().out}, {"results", s.total_entries}, {"tunings", s.tuning_records}}};
}

Outcome Import(Session& session) {
  const std::string& file = session.options().out;
  ResultsDatabase database(ResultsArchitecture(file), Place(session));
  const ResultsChange added = database.Import(file);
  const std::string fingerprint = database.Statistics().fingerprint;
  if (session.text())
    fmt::print("added {} results and {} tuning records to {}\n", added.results, added.tunings, fingerprint);
  return {true,
          {{"file", file}, {"arch_fingerprint", fingerprint}, {"results", added.results}, {"tunings", added.tunings}}};
}

Outcome Prune(Session& session) {
  const Options& options = session.options();
  ResultsChange gone;
  for (const auto& database : Databases(session, options.key)) {
    const ResultsChange change = database->Prune(
        {.max_unused = options.prune.max_age, .max_entries = options.prune.max_kernels}, options.dry_run);
    gone.results += change.results;
    gone.tunings += change.tunings;
  }
  if (session.text())
    fmt::print("{} {} results and {} tuning records\n", options.dry_run ? "would remove" : "removed", gone.results,
               gone.tunings);
  return {true, {{"results", gone.results}, {"tunings", gone.tunings}, {"dry_run", options.dry_run}}};
}

void AddShow(CLI::App& app, Options& options) {
  AddFingerprint(app, options)->required();
  AddLimit(app, options);
  AddPlace(app, options);
}
void AddExport(CLI::App& app, Options& options) {
  AddFingerprint(app, options)->required();
  AddDocument(app, options);
  app.add_flag("--compress", options.compress, "As a frame of zstd, which import reads as well");
  AddPlace(app, options);
}
void AddImport(CLI::App& app, Options& options) {
  AddDocument(app, options);
  AddPlace(app, options);
}
void AddPruning(CLI::App& app, Options& options) {
  AddFingerprint(app, options);
  AddKeep(app, options, "Results and tuning records that may stay, of each architecture");
  AddPlace(app, options);
  app.parse_complete_callback([&options] {
    if (!options.prune.max_age && !options.prune.max_kernels)
      throw CLI::RequiredError("a limit (--max-age or --max-count)");
  });
}

}  // namespace

const Command kResultsList = {"list", "List the architectures that there are results of", "gemmsmith results list",
                              AddPlace, List};
const Command kResultsShow = {"show", "Show the results and tuning records of one architecture",
                              "gemmsmith results show 3f2a --limit 20", AddShow, Show};
const Command kResultsExport = {"export", "Write all results of one architecture into a document",
                                "gemmsmith results export 3f2a results.json\n"
                                "  gemmsmith results export 3f2a results.json.zst --compress",
                                AddExport, Export};
const Command kResultsImport = {"import", "Add the results of a document to those that are there",
                                "gemmsmith results import results.json", AddImport, Import};
const Command kResultsPrune = {"prune", "Remove results that were not used for long",
                               "gemmsmith results prune --max-age 30d --dry-run", AddPruning, Prune};

}  // namespace gemmsmith::cli
