#include <fcntl.h>

#include "results/sqlite_store.h"
#include "util/log.h"

namespace gemmsmith::results {
namespace {

/// What a file does, and not the disk or another process.
bool IsDamage(int code) {
  switch (code & 0xff) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_FORMAT:
    case SQLITE_ERROR:  // no such table, no such column
    case SQLITE_SCHEMA:
    case SQLITE_MISMATCH:
    case SQLITE_CONSTRAINT:
    case SQLITE_TOOBIG:
      return true;
    default:
      return false;
  }
}

}  // namespace

SqliteFile::SqliteFile(const std::string& path, int flags, std::chrono::milliseconds timeout) : path_(path) {
  // SQLite opens whatever is there.
  if ((flags & SQLITE_OPEN_CREATE) == 0 && !OpenDatabaseFile(path, O_RDONLY)) throw Moved();
  const int code = sqlite3_open_v2(path.c_str(), &db_, flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, nullptr);
  try {
    if (code != SQLITE_OK) Throw("open", code);
    sqlite3_busy_timeout(db_, static_cast<int>(timeout.count()));
    // A file may hold code, in views and triggers, and damage that its own checks do not look for.
    sqlite3_db_config(db_, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
    sqlite3_db_config(db_, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
    Run("PRAGMA cell_size_check = ON");
  } catch (...) {
    sqlite3_close(db_);
    throw;
  }
}

SqliteFile::~SqliteFile() { sqlite3_close(db_); }

void SqliteFile::Run(const char* sql) const {
  if (const int code = sqlite3_exec(db_, sql, nullptr, nullptr, nullptr); code != SQLITE_OK) Throw("use", code);
}

void SqliteFile::Throw(const char* operation, int code) const {
  const std::string words = db_ != nullptr ? sqlite3_errmsg(db_) : sqlite3_errstr(code);
  if (IsDamage(code)) throw Damaged("SQLite: " + words);
  throw Fail(Code::kIo, "", "{} {}: {}", operation, path_, words);
}

Statement::Statement(const SqliteFile& file, const char* sql) : file_(file) {
  const int code = sqlite3_prepare_v2(file.get(), sql, -1, &statement_, nullptr);
  if (code != SQLITE_OK) file.Throw("use", code);
}

Statement::~Statement() { sqlite3_finalize(statement_); }

Statement& Statement::Begin() {
  sqlite3_reset(statement_);
  bound_ = 0;
  return *this;
}

Statement& Statement::Bind(std::int64_t value) {
  sqlite3_bind_int64(statement_, ++bound_, value);
  return *this;
}

Statement& Statement::Bind(double value) {
  sqlite3_bind_double(statement_, ++bound_, value);
  return *this;
}

Statement& Statement::Bind(std::string_view text) {
  sqlite3_bind_text64(statement_, ++bound_, text.data(), text.size(), SQLITE_STATIC, SQLITE_UTF8);
  return *this;
}

bool Statement::Step() {
  const int code = sqlite3_step(statement_);
  if (code == SQLITE_ROW) return true;
  Begin();
  if (code != SQLITE_DONE) file_.Throw("use", code);
  return false;
}

std::string Statement::Text(int column) const {
  const void* text = sqlite3_column_blob(statement_, column);
  const int size = sqlite3_column_bytes(statement_, column);
  return text == nullptr ? "" : std::string(static_cast<const char*>(text), static_cast<std::size_t>(size));
}

}  // namespace gemmsmith::results
