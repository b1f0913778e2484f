#include "results/sqlite_store.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <string_view>

#include "util/atomic_file.h"
#include "util/log.h"

namespace gemmsmith::results {
namespace {

/// In order of their names. The text of each is compared with that in the file.
constexpr struct {
  const char *name, *sql;
} kSchema[] = {
    {"about", "CREATE TABLE about(name TEXT PRIMARY KEY NOT NULL, value NOT NULL) WITHOUT ROWID"},
    {"results",
     "CREATE TABLE results(key TEXT PRIMARY KEY NOT NULL, used INTEGER NOT NULL, verify INTEGER NOT NULL, "
     "line TEXT NOT NULL)"},
    {"results_by_use", "CREATE INDEX results_by_use ON results(used)"},
    {"tunings",
     "CREATE TABLE tunings(id INTEGER PRIMARY KEY, problem TEXT NOT NULL, made INTEGER NOT NULL, "
     "wrong INTEGER NOT NULL, line TEXT NOT NULL)"},
    {"tunings_by_problem", "CREATE INDEX tunings_by_problem ON tunings(problem)"},
};
constexpr std::int64_t kDay = 86'400;
constexpr std::string_view kDamagedRow = "the checksum of a row is wrong";

/// Writes changes within a transaction of its caller.
class Writer {
 public:
  explicit Writer(const SqliteFile& file)
      : result_(file, "INSERT OR REPLACE INTO results VALUES (?, ?, ?, ?)"),
        tuning_(file, "INSERT INTO tunings(problem, made, wrong, line) VALUES (?, ?, ?, ?)"),
        use_(file, "UPDATE results SET used = max(used, ?) WHERE key = ?"),
        add_(file, "UPDATE about SET value = value + ? WHERE name = ?"),
        set_(file, "INSERT OR REPLACE INTO about VALUES (?, ?)") {}

  void Write(const Change& change) {
    if (const auto* entry = std::get_if<StoredResult>(&change)) {
      Put(*entry);
      Add("search_ms", entry->result.search.search_time_ms);
    } else if (const auto* record = std::get_if<TuningRecord>(&change)) {
      const std::string line = Line(change);
      tuning_.Begin().Bind(record->problem).Bind(record->created_unix).Bind(std::int64_t{!MayGo(*record)}).Bind(line);
      tuning_.Step();
    } else if (const auto* use = std::get_if<Use>(&change)) {
      const std::string key = KeyText(use->key);
      use_.Begin().Bind(use->unix_time).Bind(key).Step();
    } else {
      const auto& lookups = std::get<Lookups>(change);
      Add("hits", static_cast<double>(lookups.hits));
      Add("misses", static_cast<double>(lookups.misses));
    }
  }
  void Put(const StoredResult& entry) {
    const std::string key = KeyText(entry.key), line = Line(entry);
    result_.Begin().Bind(key).Bind(entry.last_used_unix).Bind(std::int64_t{entry.to_be_verified}).Bind(line).Step();
  }
  template <class T>
  void Set(std::string_view name, T value) {
    set_.Begin().Bind(name).Bind(value).Step();
  }

 private:
  void Add(std::string_view name, double value) { add_.Begin().Bind(value).Bind(name).Step(); }
  static std::string Line(const Change& change) {
    std::string line = JournalLine(change);
    line.pop_back();
    return line;
  }
  Statement result_, tuning_, use_, add_, set_;
};

/// Undone if it is not committed.
class Transaction {
 public:
  explicit Transaction(const SqliteFile& file) : file_(file) { file.Run("BEGIN IMMEDIATE"); }
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;
  ~Transaction() {
    if (sqlite3_get_autocommit(file_.get()) == 0) sqlite3_exec(file_.get(), "ROLLBACK", nullptr, nullptr, nullptr);
  }
  void Commit() { file_.Run("COMMIT"); }

 private:
  const SqliteFile& file_;
};

std::string About(const SqliteFile& file, std::string_view name) {
  Statement about(file, "SELECT value FROM about WHERE name = ?");
  about.Begin().Bind(name);
  return about.Step() ? about.Text(0) : "";
}

double Counter(const SqliteFile& file, std::string_view name) {
  Statement about(file, "SELECT value FROM about WHERE name = ?");
  about.Begin().Bind(name);
  return about.Step() ? std::max(0.0, about.Real(0)) : 0;
}

std::int64_t Count(const SqliteFile& file, const char* sql) {
  Statement count(file, sql);
  return count.Step() ? count.Integer(0) : 0;
}

/// Throws Damaged for a file that is of something else.
VersionVerdict JudgeAbout(const SqliteFile& file, const Place& place) {
  const std::string format = About(file, "cache_format_version"), version = About(file, "version");
  if (format != kResultsFormatVersion)
    throw Damaged(fmt::format("its format is {}, and not {}", Quoted(format.substr(0, 40)), kResultsFormatVersion));
  const VersionVerdict judged = JudgeVersion(version);
  if (judged == VersionVerdict::kOther)
    throw Damaged(fmt::format("it is of version {}, whose results are not those of {}", Quoted(version.substr(0, 40)),
                              kResultsVersion));
  if (!IsSameArchitecture(About(file, "architecture"), place.architecture.text))
    throw Damaged("it is of another architecture");
  return judged;
}

void ReadRows(const SqliteFile& file, const char* sql, const std::function<void(const Statement&)>& row) {
  Statement rows(file, sql);
  while (rows.Step()) row(rows);
}

}  // namespace

SqliteStore::SqliteStore(Place place, std::chrono::seconds max_unused)
    : place_(std::move(place)),
      file_(place_.sqlite(), SQLITE_OPEN_READWRITE, place_.lock_timeout),
      state_(StateOf(place_.sqlite())) {
  CheckSchema();
  CheckAbout();
  file_.Run("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL");
  RemoveUnused(max_unused);
  find_.emplace(file_, "SELECT line, used, verify FROM results WHERE key = ?");
}

void SqliteStore::CheckSchema() {
  Statement rows(file_, "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name");
  for (const auto& [name, sql] : kSchema)
    if (!rows.Step() || rows.Text(0) != name || rows.Text(1) != sql) throw Damaged("it is no results database");
  if (rows.Step()) throw Damaged("it is no results database");
}

void SqliteStore::CheckAbout() {
  const VersionVerdict judged = JudgeAbout(file_, place_);
  if (About(file_, "version") == kResultsVersion) return;
  Transaction transaction(file_);
  if (judged == VersionVerdict::kVerify) file_.Run("UPDATE results SET verify = 1");
  Writer(file_).Set("version", kResultsVersion);
  transaction.Commit();
}

/// At most daily.
void SqliteStore::RemoveUnused(std::chrono::seconds max_unused) {
  const std::int64_t now = Now(), oldest = now - max_unused.count();
  if (now - static_cast<std::int64_t>(Counter(file_, "pruned")) < kDay) return;
  Transaction transaction(file_);
  Statement(file_, "DELETE FROM results WHERE used < ?").Bind(oldest).Step();
  Statement(file_, "DELETE FROM tunings WHERE wrong = 0 AND made < ?").Bind(oldest).Step();
  Writer(file_).Set("pruned", now);
  transaction.Commit();
}

std::optional<Change> SqliteStore::ReadRow(const std::string& line) {
  std::string why;
  return reader_.Read(line, line.capacity() - line.size() >= kPadding, why);
}

std::optional<StoredResult> SqliteStore::Find(const ResultKey& key) {
  const std::string text = KeyText(key);
  find_->Begin().Bind(text);
  if (!find_->Step()) {
    CheckInPlace();
    return std::nullopt;
  }
  std::optional<Change> change = ReadRow(find_->Text(0));
  auto* entry = change ? std::get_if<StoredResult>(&*change) : nullptr;
  // The key is in the line, too.
  const bool good = entry != nullptr && entry->key == key;
  if (good) {
    entry->last_used_unix = std::max(entry->last_used_unix, find_->Integer(1));
    entry->to_be_verified |= find_->Integer(2) != 0;
  }
  find_->Begin();
  if (!good) throw Damaged(std::string(kDamagedRow));
  return std::move(*entry);
}

std::vector<TuningRecord> SqliteStore::Tunings(const std::string& problem) {
  std::vector<TuningRecord> records;
  Statement rows(file_, problem.empty() ? "SELECT line FROM tunings ORDER BY id"
                                        : "SELECT line FROM tunings WHERE problem = ? ORDER BY id");
  if (!problem.empty()) rows.Bind(problem);
  while (rows.Step()) {
    std::optional<Change> change = ReadRow(rows.Text(0));
    auto* record = change ? std::get_if<TuningRecord>(&*change) : nullptr;
    if (record == nullptr || (!problem.empty() && record->problem != problem)) throw Damaged(std::string(kDamagedRow));
    records.push_back(std::move(*record));
  }
  return records;
}

Contents SqliteStore::Read() {
  Contents contents;
  ReadRows(file_, "SELECT line, used, verify FROM results", [&](const Statement& row) {
    std::optional<Change> change = ReadRow(row.Text(0));
    auto* entry = change ? std::get_if<StoredResult>(&*change) : nullptr;
    if (entry == nullptr) throw Damaged(std::string(kDamagedRow));
    entry->last_used_unix = std::max(entry->last_used_unix, row.Integer(1));
    entry->to_be_verified |= row.Integer(2) != 0;
    const ResultKey key = entry->key;
    contents.entries.insert_or_assign(key, std::move(*entry));
  });
  for (TuningRecord& record : Tunings("")) contents.tunings.Add(std::move(record));
  contents.counters = Summarize().counters;
  return contents;
}

Summary SqliteStore::Summarize() {
  const auto count = [&](const char* sql) { return static_cast<std::uint64_t>(Count(file_, sql)); };
  const auto counter = [&](std::string_view name) { return static_cast<std::uint64_t>(Counter(file_, name)); };
  return {count("SELECT count(*) FROM results"),
          count("SELECT count(*) FROM tunings"),
          {static_cast<std::int64_t>(counter("created")), static_cast<std::int64_t>(counter("updated")),
           Counter(file_, "search_ms"), counter("hits"), counter("misses")}};
}

/// Throws Moved where another process has set this file aside.
void SqliteStore::CheckInPlace() const {
  const FileState now = StateOf(place_.sqlite());
  if (!now.exists || now.inode != state_.inode || now.device != state_.device) throw Moved();
}

void SqliteStore::Apply(std::span<const Change> changes) {
  Transaction transaction(file_);
  Writer writer(file_);
  for (const Change& change : changes) writer.Write(change);
  writer.Set("updated", Now());
  transaction.Commit();
  CheckInPlace();
}

ResultsChange SqliteStore::Prune(std::int64_t oldest, std::uint64_t most, bool dry_run) {
  Transaction transaction(file_);
  const Contents before = Read();
  Contents after = before;
  const ResultsChange gone = results::Prune(after, oldest, most);
  if (dry_run) return gone;
  Statement remove(file_, "DELETE FROM results WHERE key = ?");
  for (const auto& [key, entry] : before.entries) {
    if (after.entries.contains(key)) continue;
    const std::string text = KeyText(key);
    remove.Begin().Bind(text).Step();
  }
  file_.Run("DELETE FROM tunings");
  Writer writer(file_);
  after.tunings.ForEach([&](const TuningRecord& record) { writer.Write(record); });
  transaction.Commit();
  return gone;
}

void CreateSqlite(const Place& place, const Contents& contents) {
  AtomicFile temporary(place.directory);
  {
    const SqliteFile file(temporary.temp_path(), SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, place.lock_timeout);
    file.Run("PRAGMA journal_mode = MEMORY; PRAGMA synchronous = OFF");
    Transaction transaction(file);
    for (const auto& [name, sql] : kSchema) file.Run(sql);
    Writer writer(file);
    for (const auto& [key, entry] : contents.entries) writer.Put(entry);
    contents.tunings.ForEach([&](const TuningRecord& record) { writer.Write(record); });
    const Counters& c = contents.counters;
    writer.Set("version", kResultsVersion);
    writer.Set("cache_format_version", kResultsFormatVersion);
    writer.Set("architecture", std::string_view(place.architecture.text));
    writer.Set("created", c.created_unix == 0 ? Now() : c.created_unix);
    writer.Set("updated", c.last_updated_unix == 0 ? Now() : c.last_updated_unix);
    writer.Set("search_ms", c.search_ms);
    writer.Set("hits", static_cast<double>(c.hits));
    writer.Set("misses", static_cast<double>(c.misses));
    writer.Set("pruned", Now());
    transaction.Commit();
    // While nobody else has it: SQLite does not wait for others in a switch, but throws.
    file.Run("PRAGMA journal_mode = WAL");
  }
  temporary.Sync();
  // Their owner is gone, or nobody reads them: a new file must not meet them.
  for (const char* suffix : {"-wal", "-shm"}) unlink((place.sqlite() + suffix).c_str());
  temporary.Commit(place.sqlite());
}

Contents Salvage(const Place& place) {
  Contents contents;
  LineReader reader;
  std::string why;
  try {
    const SqliteFile file(place.sqlite(), SQLITE_OPEN_READWRITE, place.lock_timeout);
    const bool verify = JudgeAbout(file, place) == VersionVerdict::kVerify;
    const auto take = [&](const Statement& row) {
      std::optional<Change> change = reader.Read(row.Text(0), false, why);
      if (!change) return;
      if (auto* entry = std::get_if<StoredResult>(&*change)) entry->to_be_verified |= verify;
      contents.Apply(std::move(*change), Now());
    };
    // Tuning records first: they are dearer.
    ReadRows(file, "SELECT line FROM tunings ORDER BY id", take);
    ReadRows(file, "SELECT line FROM results", take);
  } catch (const std::exception& error) {
    LogDebug("results: {}: {}", place.sqlite(), error.what());
  }
  return contents;
}

std::string ArchitectureOfSqlite(const std::string& path) try {
  return About(SqliteFile(path, SQLITE_OPEN_READONLY, std::chrono::milliseconds(1000)), "architecture");
} catch (const std::exception& error) {
  LogDebug("results: {}: {}", path, error.what());
  return "";
}

}  // namespace gemmsmith::results
