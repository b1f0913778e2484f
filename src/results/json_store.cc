#include "results/json_store.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/random.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <limits>

#include "results/compression.h"
#include "results/sqlite_store.h"
#include "util/atomic_file.h"
#include "util/log.h"

namespace gemmsmith::results {
namespace {

// A document is written anew at the end of a process once the journal is this long, and a quarter of the document; in
// between only when it is very long, for it takes longer than a put may.
constexpr off_t kLongJournal = 64 << 10;
constexpr off_t kVeryLongJournal = 32 << 20;
// A table of entries that grows while it is used would keep one put waiting for milliseconds.
constexpr std::uint64_t kMostReserved = 1 << 16;

bool IsSameFile(const FileState& x, const FileState& y) {
  return x.exists == y.exists && x.device == y.device && x.inode == y.inode;
}

std::string RandomId() {
  std::uint64_t random = 0;
  if (getrandom(&random, sizeof random, 0) != sizeof random) throw IoError("read", "random numbers", errno);
  return fmt::format("{:016x}", random);
}

}  // namespace

JsonStore::JsonStore(Place place, Limits limits) : place_(std::move(place)), limits_(limits) { Load(Locked::kNo); }

void JsonStore::Load(Locked locked) {
  if (ReadFiles(locked)) return;
  // Something is wrong with a file; whoever holds the lock says what becomes of it.
  const FileLock lock = LockDatabase(place_);
  ReadFiles(Locked::kYes);
  if (rewrite_) Compact();
}

/// False where a file is to be set aside, and there is no lock.
bool JsonStore::ReadFiles(Locked locked) {
  bool good = true;
  const auto judge = [&](const std::string& path, const std::string& refused, const std::string& damage) {
    const bool refuse = !refused.empty();
    if (!refuse && damage.empty()) return;
    good = false;
    if (locked == Locked::kNo) return;
    SetAside(path, refuse ? refused : damage, /*copy=*/!refuse);
    rewrite_ |= !refuse;
  };
  const auto open = [&](const std::string& path) {
    try {
      return OpenDatabaseFile(path, O_RDONLY);
    } catch (const Damaged& damaged) {
      judge(path, damaged.what(), "");
      return UniqueFd();
    }
  };
  // The journal before the document: what is in neither was put into the document in between, which is seen later.
  UniqueFd journal = open(place_.journal());
  const std::string changes = journal ? ReadFrom(journal, place_.journal(), 0) : "";
  UniqueFd file = open(place_.document());
  document_ = StateOf(file);
  if (!file && !journal && StateOf(place_.sqlite()).exists) throw Moved();
  Document document;
  if (file) document = ReadDocument(ReadFrom(file, place_.document(), 0), place_.architecture.text);
  judge(place_.document(), document.verdict.refused, document.verdict.damage);
  if (!document.verdict.refused.empty()) document_ = {};
  rewrite_ |= document.verdict.outdated;
  contents_ = std::move(document.contents);
  contents_.entries.reserve(std::min(limits_.most, kMostReserved));

  Journal head = ReadJournal(changes, place_.architecture.text, nullptr);
  journal_merged_ = !head.id.empty() && head.id == document.merged_journal;
  if (head.verdict.refused.empty() && !journal_merged_) {
    head = ReadJournal(changes, place_.architecture.text, &contents_);
    rewrite_ |= head.verdict.outdated;
  }
  judge(place_.journal(), head.verdict.refused, head.verdict.damage);
  if (!head.verdict.refused.empty()) journal = UniqueFd();
  journal_id_ = head.id;
  journal_read_ = static_cast<off_t>(head.verdict.refused.empty() ? head.good_bytes : 0);
  journal_ = std::move(journal);
  return good || locked == Locked::kYes;
}

void JsonStore::Sync(Locked locked) {
  const FileState journal = StateOf(place_.journal());
  if (StateOf(place_.document()) != document_ || !IsSameFile(journal, StateOf(journal_))) {
    if (locked == Locked::kNo) return Load(Locked::kNo);
    ReadFiles(Locked::kYes);
    if (rewrite_) Compact();
    return;
  }
  if (journal.size <= journal_read_ || journal_merged_) return;
  const std::string more = ReadFrom(journal_, place_.journal(), journal_read_);
  const Journal read = ReadJournal(more, place_.architecture.text, &contents_, /*continued=*/journal_read_ > 0);
  if (!read.verdict.refused.empty() || !read.verdict.damage.empty()) {
    document_ = {};  // Read it all again, which says what is wrong.
    document_.exists = true;
    return Sync(locked);
  }
  if (journal_id_.empty()) journal_id_ = read.id;
  journal_read_ += static_cast<off_t>(read.good_bytes);
}

FileLock JsonStore::LockAndSync() {
  FileLock lock = LockDatabase(place_);
  if (StateOf(place_.sqlite()).exists) throw Moved();
  Sync(Locked::kYes);
  return lock;
}

std::optional<StoredResult> JsonStore::Find(const ResultKey& key) {
  if (auto found = FindIn(contents_, key)) return found;
  Sync(Locked::kNo);
  return FindIn(contents_, key);
}

std::vector<TuningRecord> JsonStore::Tunings(const std::string& problem) {
  Sync(Locked::kNo);
  return TuningsIn(contents_, problem);
}

Contents JsonStore::Read() {
  Sync(Locked::kNo);
  return contents_;
}

Summary JsonStore::Summarize() {
  Sync(Locked::kNo);
  return SummaryOf(contents_);
}

bool JsonStore::IsGrowth(std::span<const Change> changes) const {
  return std::ranges::any_of(changes, [&](const Change& change) {
    const auto* entry = std::get_if<StoredResult>(&change);
    return entry != nullptr ? !contents_.entries.contains(entry->key) : std::holds_alternative<TuningRecord>(change);
  });
}

void JsonStore::Apply(std::span<const Change> changes) {
  const FileLock lock = LockAndSync();
  if (contents_.size() + changes.size() > limits_.most && IsGrowth(changes)) {
    if (limits_.may_move) throw Full();
    results::Prune(contents_, 0, limits_.most - limits_.most / 10);
    pruned_ = true;
  }
  if (rewrite_) Compact();
  Append(changes);
  for (const Change& change : changes) contents_.Apply(change, Now());
  if (!limits_.may_move && contents_.size() > limits_.most) {
    results::Prune(contents_, 0, limits_.most);
    pruned_ = true;
  }
  if (journal_read_ > kVeryLongJournal) Compact();
}

void JsonStore::Append(std::span<const Change> changes) {
  if (journal_merged_ && unlink(place_.journal().c_str()) == 0) {
    journal_ = UniqueFd();
    journal_read_ = 0;
    journal_merged_ = false;
  }
  const UniqueFd fd = OpenDatabaseFile(place_.journal(), O_WRONLY | O_APPEND | O_CREAT);
  if (!fd) throw IoError("open", place_.journal(), errno);
  // All whole lines are read: what is behind them is the record that a killed process was writing.
  if (StateOf(fd).size > journal_read_ && ftruncate(fd.get(), journal_read_) != 0)
    throw IoError("truncate", place_.journal(), errno);
  std::string bytes;
  if (journal_read_ == 0) bytes = JournalHeader(place_.architecture, journal_id_ = RandomId());
  for (const Change& change : changes) bytes += JournalLine(change);
  if (!WriteFully(fd.get(), bytes)) {
    const int error = errno;
    if (ftruncate(fd.get(), journal_read_) != 0) LogDebug("results: {} keeps part of a record", place_.journal());
    throw IoError("write", place_.journal(), error);
  }
  if (!journal_) journal_ = OpenDatabaseFile(place_.journal(), O_RDONLY);
  journal_read_ += static_cast<off_t>(bytes.size());
}

void JsonStore::Compact() {
  results::Prune(contents_, Now() - limits_.max_unused.count(), std::numeric_limits<std::uint64_t>::max());
  AtomicFile file(place_.directory);
  const std::string text = WriteDocument(contents_, place_.architecture, journal_id_);
  file.Write(limits_.compress ? Compress(text) : text);
  file.Sync();
  file.Commit(place_.document());
  if (unlink(place_.journal().c_str()) != 0 && errno != ENOENT) throw IoError("remove", place_.journal(), errno);
  journal_ = UniqueFd();
  journal_id_.clear();
  journal_read_ = 0;
  journal_merged_ = rewrite_ = pruned_ = false;
  document_ = StateOf(place_.document());
}

ResultsChange JsonStore::Prune(std::int64_t oldest, std::uint64_t most, bool dry_run) {
  const FileLock lock = LockAndSync();
  Contents copy;
  if (dry_run) copy = contents_;
  const ResultsChange gone = results::Prune(dry_run ? copy : contents_, oldest, most);
  if (!dry_run) Compact();
  return gone;
}

void JsonStore::Tidy() {
  if (journal_read_ < std::max(kLongJournal, document_.size / 4) && !rewrite_ && !pruned_) return;
  const FileLock lock = LockAndSync();
  if (journal_read_ > 0 || rewrite_ || pruned_) Compact();
}

void JsonStore::MoveToSqlite() {
  const FileLock lock = LockAndSync();
  CreateSqlite(place_, contents_);
  unlink(place_.document().c_str());
  unlink(place_.journal().c_str());
}

}  // namespace gemmsmith::results
