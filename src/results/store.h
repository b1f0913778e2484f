#pragma once

#include <chrono>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>

#include "results/contents.h"
#include "results/document.h"

namespace gemmsmith::results {

struct Summary {
  std::uint64_t results = 0, tunings = 0;
  Counters counters;
};
inline Summary SummaryOf(const Contents& contents) {
  return {contents.entries.size(), contents.tunings.size(), contents.counters};
}

/// What a database is kept in. Not thread-safe.
class Store {
 public:
  virtual ~Store() = default;
  virtual const char* name() const = 0;

  virtual std::optional<StoredResult> Find(const ResultKey& key) = 0;
  /// The oldest first. `problem` empty: of all problems.
  virtual std::vector<TuningRecord> Tunings(const std::string& problem) = 0;
  virtual Contents Read() = 0;
  /// Without reading it all.
  virtual Summary Summarize() = 0;
  /// Keeps all of them, or none and throws kIo.
  virtual void Apply(std::span<const Change> changes) = 0;
  /// See Prune of Contents; `dry_run` only counts.
  virtual ResultsChange Prune(std::int64_t oldest, std::uint64_t most, bool dry_run) = 0;
};

/// A process' own.
class MemoryStore final : public Store {
 public:
  const char* name() const override { return "memory"; }
  std::optional<StoredResult> Find(const ResultKey& key) override;
  std::vector<TuningRecord> Tunings(const std::string& problem) override;
  Contents Read() override { return contents_; }
  Summary Summarize() override { return SummaryOf(contents_); }
  void Apply(std::span<const Change> changes) override;
  ResultsChange Prune(std::int64_t oldest, std::uint64_t most, bool dry_run) override;

 private:
  Contents contents_;
};

/// The store is in SQLite by now: open that.
struct Moved : std::runtime_error {
  Moved() : std::runtime_error("moved") {}
};
/// More entries than there may be.
struct Full : std::runtime_error {
  Full() : std::runtime_error("full") {}
};
/// It cannot be right, and is to be set aside.
struct Damaged : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Where a database is.
struct Place {
  std::string directory;
  Architecture architecture;
  std::chrono::milliseconds lock_timeout{};

  std::string Path(std::string_view suffix) const {
    return directory + "/gemm_cache_" + architecture.fingerprint + std::string(suffix);
  }
  std::string document() const { return Path(".json"); }
  std::string journal() const { return Path(".journal"); }
  std::string sqlite() const { return Path(".sqlite"); }
};

std::optional<StoredResult> FindIn(const Contents& contents, const ResultKey& key);
std::vector<TuningRecord> TuningsIn(const Contents& contents, const std::string& problem);

}  // namespace gemmsmith::results
