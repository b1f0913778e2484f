#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gemmsmith/evaluate.h"
#include "gemmsmith/export.h"
#include "gemmsmith/target.h"

namespace gemmsmith {

/// Of what computes the results. Another major version: none of the old results are right any more. Another minor
/// version: they are kept, and marked to be verified. Another patch: they are as good as new ones.
inline constexpr std::string_view kResultsVersion = "1.0.0";
/// Of the files (docs/results.md).
inline constexpr std::string_view kResultsFormatVersion = "2025.01";

/// What a database is kept in.
enum class ResultsStorage : std::uint8_t {
  kAuto,    ///< JSON up to max_json_entries, SQLite from there on.
  kJson,    ///< JSON; above max_json_entries the tenth that was not used for longest goes.
  kSqlite,  ///< SQLite; what is there as JSON is moved.
  kMemory,  ///< No file: it ends with the object.
};

struct ResultsOptions {
  std::string directory{};  ///< Empty: "results" in the environment's cache directory.
  /// Of a database that is there as SQLite already it changes nothing.
  ResultsStorage storage = ResultsStorage::kAuto;
  std::uint64_t max_json_entries = 10'000;
  std::chrono::hours max_unused{24 * 90};  ///< What was not used for longer goes, when files are written anew.
  std::uint64_t save_every = 1;            ///< Puts; the rest is saved by Flush and at the end.
  /// Puts wait for no file: a thread saves them, and Flush and the end of the database what is left.
  bool save_in_background = false;
  bool compress = false;                           ///< Documents are written as zstd. Either is read.
  std::chrono::milliseconds lock_timeout{10'000};  ///< After that it goes on in memory, and saves later.
};

/// Results of different shapes, types or search modes are different results.
struct ResultKey {
  GEMMShape shape;
  GEMMSearchMode mode;

  friend bool operator==(const ResultKey&, const ResultKey&) = default;
};

/// A predicted result and what is known of it.
struct StoredResult {
  ResultKey key;
  GEMMResult result;
  std::int64_t created_unix = 0;    ///< Seconds since 1970.
  std::int64_t last_used_unix = 0;  ///< The same, to the day.
  bool to_be_verified = false;      ///< Made by another minor version.
};

/// One config, timed or found wrong. All records are kept, not only the fastest.
struct TuningRecord {
  std::string problem;      ///< ToString(GemmProblem).
  std::string config;       ///< ToString(TileConfig): all fields.
  std::string code_digest;  ///< Of the code that ran. Records of other code stay, and are not looked at.
  std::string device;       ///< Its name.
  std::string target;       ///< "sm_90a".
  double core_clock_mhz = 0, memory_clock_mhz = 0;  ///< While it was timed; 0: not known.
  std::vector<double> times_us;                     ///< Every timing, in the order they were taken.
  std::string wrong;                                ///< Not empty: its output was wrong, and how.
  std::int64_t created_unix = 0;                    ///< Seconds since 1970; 0: now.
  /// Not 0: a tuning chose this config for all m from the one to the other, both included. Of a range, `problem` has
  /// "m=*" in place of m, and the config and its times are those of m_to.
  std::int64_t m_from = 0, m_to = 0;

  friend bool operator==(const TuningRecord&, const TuningRecord&) = default;
};

/// What all records of one config and its present code say.
struct TunedConfig {
  std::string config;
  double median_us = 0;
  std::uint64_t timings = 0;
};

struct ResultsStatistics {
  std::string fingerprint;  ///< 16 hexadecimal digits, as in the names of the files.
  std::string architecture;
  std::string directory;  ///< Empty: it is kept in memory alone.
  std::string storage;    ///< "json" or "sqlite".
  std::uint64_t total_entries = 0, tuning_records = 0;
  std::int64_t created_unix = 0, last_updated_unix = 0;
  double total_search_time_hours = 0;
  std::uint64_t cache_hits = 0, cache_misses = 0;  ///< Of all processes; each adds its own when it ends.
};

struct ResultsPruneLimits {
  std::optional<std::chrono::seconds> max_unused{};
  std::optional<std::uint64_t> max_entries{};  ///< Results and tuning records together; those unused longest go.
};
struct ResultsChange {
  std::uint64_t results = 0, tunings = 0;
};

/// What was computed and measured for one architecture, in a folder that any number of processes use at once. What
/// they put is there for all at once, survives them, and is never mixed. A file that cannot be right is set aside,
/// named in a warning, and not used. Where nothing can be saved, it warns once and works in memory. Thread-safe.
class GEMMSMITH_API ResultsDatabase {
 public:
  /// `architecture` is one JSON object of numbers and texts, all that decides the results: Fingerprint(arch), or
  /// DeviceArchitecture of a device that is measured. Throws kInvalidArgument if it is something else.
  explicit ResultsDatabase(const std::string& architecture, const ResultsOptions& options = {});
  /// Saves what is not saved yet.
  ~ResultsDatabase();
  ResultsDatabase(const ResultsDatabase&) = delete;
  ResultsDatabase& operator=(const ResultsDatabase&) = delete;

  std::optional<StoredResult> Find(const ResultKey& key);
  /// Replaces what is there under the key. Throws kInvalidArgument for what cannot be a result: see docs/results.md.
  void Put(const ResultKey& key, const GEMMResult& result);

  /// Throws kInvalidArgument for a record without problem or config, and times that are not positive.
  void AddTuning(TuningRecord record);
  /// In the order they were added. Empty: of all problems.
  std::vector<TuningRecord> Tunings(const std::string& problem = {});
  /// The configs timed for a problem with the code they have now, which `code_digest` says (empty: leave it out),
  /// fastest first. None that was found wrong.
  std::vector<TunedConfig> Fastest(const std::string& problem,
                                   const std::function<std::string(const std::string& config)>& code_digest);
  /// Whether this code was found wrong for this problem.
  bool IsWrong(const std::string& problem, const std::string& config, const std::string& code_digest);

  /// In order of their keys.
  std::vector<StoredResult> Entries();
  ResultsStatistics Statistics();
  /// False if something could not be saved.
  bool Flush();
  /// Results, tuning records but those of wrong configs. `dry_run` only counts. Throws kIo.
  ResultsChange Prune(const ResultsPruneLimits& limits, bool dry_run = false);
  /// All of it as one document, with `compress` as zstd. Throws kIo.
  void Export(const std::string& path, bool compress = false);
  /// Adds what an exported document has and this has not, or has older; what it added. Throws kNotFound, kIo, and
  /// kInvalidArgument for what is no document of this architecture, version and format.
  ResultsChange Import(const std::string& path);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// What tells a device whose kernels are timed from others.
GEMMSMITH_API std::string DeviceArchitecture(const DeviceSpec& spec);
/// The architecture that a document is of, for opening its database. Throws like ResultsDatabase::Import.
GEMMSMITH_API std::string ResultsArchitecture(const std::string& path);
/// Those in a folder (empty: as ResultsOptions), by the architectures they are of. Files that cannot be read are left
/// out.
GEMMSMITH_API std::vector<std::string> ListResults(const std::string& directory = {});

/// The results of a GEMMEvaluator's searches, kept between processes.
class GEMMPersistentCache {
 public:
  explicit GEMMPersistentCache(const AcceleratorMicroArch& arch, const ResultsOptions& options = {})
      : database_(Fingerprint(arch), options) {}

  std::optional<GEMMResult> get(const ResultKey& key) {
    std::optional<StoredResult> found = database_.Find(key);
    return found ? std::optional(std::move(found->result)) : std::nullopt;
  }
  void put(const ResultKey& key, GEMMResult result, double search_time_ms) {
    result.search.search_time_ms = search_time_ms;
    database_.Put(key, result);
  }
  ResultsDatabase& database() { return database_; }

 private:
  ResultsDatabase database_;
};

}  // namespace gemmsmith
