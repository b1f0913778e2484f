#pragma once

#include <sqlite3.h>

#include "results/files.h"
#include "results/store.h"

namespace gemmsmith::results {

/// An open SQLite file. What SQLite says is thrown: Damaged for a file that is broken or none of its own, else kIo.
class SqliteFile {
 public:
  SqliteFile(const std::string& path, int flags, std::chrono::milliseconds timeout);
  SqliteFile(const SqliteFile&) = delete;
  SqliteFile& operator=(const SqliteFile&) = delete;
  ~SqliteFile();

  sqlite3* get() const { return db_; }
  void Run(const char* sql) const;
  [[noreturn]] void Throw(const char* operation, int code) const;

 private:
  std::string path_;
  sqlite3* db_ = nullptr;
};

/// A prepared statement, bound to its values in order and run row by row.
class Statement {
 public:
  Statement(const SqliteFile& file, const char* sql);
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;
  ~Statement();

  Statement& Begin();
  Statement& Bind(std::int64_t value);
  Statement& Bind(double value);
  Statement& Bind(std::string_view text);  ///< Which must stay until the last Step.
  /// False at the end, after which it can begin again.
  bool Step();
  std::int64_t Integer(int column) const { return sqlite3_column_int64(statement_, column); }
  double Real(int column) const { return sqlite3_column_double(statement_, column); }
  std::string Text(int column) const;

 private:
  const SqliteFile& file_;
  sqlite3_stmt* statement_ = nullptr;
  int bound_ = 0;
};

/// Rows that are lines of a journal, by key and by problem.
class SqliteStore final : public Store {
 public:
  /// Throws kIo; Damaged for what is not ours.
  SqliteStore(Place place, std::chrono::seconds max_unused);

  const char* name() const override { return "sqlite"; }
  std::optional<StoredResult> Find(const ResultKey& key) override;
  std::vector<TuningRecord> Tunings(const std::string& problem) override;
  Contents Read() override;
  Summary Summarize() override;
  void Apply(std::span<const Change> changes) override;
  ResultsChange Prune(std::int64_t oldest, std::uint64_t most, bool dry_run) override;

 private:
  void CheckSchema();
  void CheckAbout();
  void RemoveUnused(std::chrono::seconds max_unused);
  std::optional<Change> ReadRow(const std::string& line);
  void CheckInPlace() const;

  Place place_;
  SqliteFile file_;
  FileState state_;
  LineReader reader_;
  std::optional<Statement> find_;
};

/// Makes the file, whole or not at all. Throws kIo.
void CreateSqlite(const Place& place, const Contents& contents);
/// All that can be read of a broken file; nothing of one that is not of this architecture and version.
Contents Salvage(const Place& place);
/// The architecture that a file says it is of; empty where it cannot be read.
std::string ArchitectureOfSqlite(const std::string& path);

}  // namespace gemmsmith::results
