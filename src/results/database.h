#pragma once

#include <mutex>

#include "results/files.h"
#include "results/store.h"

namespace gemmsmith {

/// The store of a database, and what is not in it yet. All is done under the mutex. Hidden, unlike its class.
struct [[gnu::visibility("hidden")]] ResultsDatabase::State {
  State(const std::string& architecture, const ResultsOptions& options);

  /// Does `use` with the store, wherever that has gone to meanwhile. Not at all where there is none.
  void Do(const std::function<void(results::Store&)>& use);
  /// The same; where that fails, warns once and goes on without.
  void With(const std::function<void(results::Store&)>& use);
  void Add(results::Change change);
  /// Saves what is pending; false if that failed, now or, without `again`, not long ago.
  bool Save(bool lookups_too, bool again);
  results::Contents ReadAll();
  void Close();

  std::mutex mutex;
  const ResultsOptions options;
  results::Place place;
  std::unique_ptr<results::Store> store;  // None: there is no folder for it.
  results::MemoryStore unsaved;           // What is pending, for those who ask.
  std::vector<results::Change> pending;
  results::Lookups lookups;

 private:
  void Open();
  void OpenSomewhere();
  void Mend(const results::FileState& broken, const std::string& reason);
  void Complain(const Error& error);

  std::chrono::steady_clock::time_point next_try_{};
  bool complained_ = false;
};

namespace results {

/// Of a file that somebody gives us. Throws kNotFound, kIo, kInvalidArgument.
Document ReadForeign(const std::string& path, std::string_view architecture);
void WriteWhole(const std::string& path, std::string_view bytes);

}  // namespace results
}  // namespace gemmsmith
