#pragma once

#include <condition_variable>
#include <mutex>
#include <thread>

#include "results/files.h"
#include "results/store.h"

namespace gemmsmith {

/// The store of a database, and what is not in it yet. All is done under the lock. Hidden, unlike its class.
struct [[gnu::visibility("hidden")]] ResultsDatabase::State {
  State(const std::string& architecture, const ResultsOptions& options);

  /// Of all that is below, with what was left for the saving thread.
  std::unique_lock<std::mutex> Lock();
  /// Takes a put, without the lock: saves it, or leaves it to the thread.
  void Keep(results::Change change);
  /// Ends the thread, once it has saved what it found.
  void StopSaver();

  /// Does `use` with the store, wherever that has gone to meanwhile. Not at all where there is none.
  void Do(const std::function<void(results::Store&)>& use);
  /// The same; where that fails, warns once and goes on without.
  void With(const std::function<void(results::Store&)>& use);
  /// Saves what is pending; false if that failed, now or, without `again`, not long ago.
  bool Save(bool lookups_too, bool again);
  results::Contents ReadAll();
  void Close();

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
  void Complain(std::string_view error);
  void Add(results::Change change);
  void SaveInBackground(const std::stop_token& stop);

  std::mutex mutex_;
  std::chrono::steady_clock::time_point next_try_{};
  bool complained_ = false;

  // Of the thread; under a mutex of their own, so that puts wait for no save.
  std::mutex left_mutex_;
  std::condition_variable_any left_some_;
  std::vector<results::Change> left_;
  bool wake_ = false;
  std::jthread saver_;
};

namespace results {

/// Of a file that somebody gives us. Throws kNotFound, kIo, kInvalidArgument.
Document ReadForeign(const std::string& path, std::string_view architecture);
void WriteWhole(const std::string& path, std::string_view bytes);

}  // namespace results
}  // namespace gemmsmith
