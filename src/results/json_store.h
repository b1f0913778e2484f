#pragma once

#include "results/files.h"
#include "results/store.h"

namespace gemmsmith::results {

/// A document, and the journal of what came after it. Held in memory as well; what other processes add is read when
/// something is missing.
class JsonStore final : public Store {
 public:
  struct Limits {
    std::uint64_t most = 0;
    bool may_move = false;  ///< Throws Full for what is more; else prunes.
    std::chrono::seconds max_unused{};
    bool compress = false;  ///< Of documents that are written.
  };
  /// Throws kIo, Moved.
  JsonStore(Place place, Limits limits);

  const char* name() const override { return "json"; }
  std::optional<StoredResult> Find(const ResultKey& key) override;
  std::vector<TuningRecord> Tunings(const std::string& problem) override;
  Contents Read() override;
  Summary Summarize() override;
  void Apply(std::span<const Change> changes) override;
  ResultsChange Prune(std::int64_t oldest, std::uint64_t most, bool dry_run) override;

  /// Puts the journal into the document where it has grown long. Throws kIo, Moved.
  void Tidy();
  /// Makes an SQLite store of it, in its place. Throws kIo, Moved.
  void MoveToSqlite();

 private:
  enum class Locked { kNo, kYes };

  void Load(Locked locked);
  bool ReadFiles(Locked locked);
  void Sync(Locked locked);
  FileLock LockAndSync();
  void Append(std::span<const Change> changes);
  void Compact();
  bool IsGrowth(std::span<const Change> changes) const;

  Place place_;
  Limits limits_;
  Contents contents_;
  FileState document_;
  UniqueFd journal_;  // Open, so that no other file can be taken for it.
  std::string journal_id_;
  off_t journal_read_ = 0;       // Bytes that contents_ has.
  bool journal_merged_ = false;  // The document has it already; its remover was killed.
  bool rewrite_ = false;         // The files say another version, or have had damage.
  bool pruned_ = false;          // The files have more than contents_.
};

}  // namespace gemmsmith::results
