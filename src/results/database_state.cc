#include <algorithm>
#include <exception>
#include <iterator>

#include "results/database.h"
#include "results/json_store.h"
#include "results/sqlite_store.h"
#include "util/log.h"
#include "util/paths.h"
#include "util/trust.h"

namespace gemmsmith {

using namespace results;

namespace {

constexpr std::chrono::seconds kRest{60};  // After a failure, before it is tried again unasked.
constexpr int kMostMoves = 10;

/// Empty, and a warning, where nothing can be kept.
std::string Folder(const ResultsOptions& options) {
  const Environment& environment = Environment::Get();
  std::string folder = options.directory;
  if (folder.empty() && !environment.cache_dir.empty()) folder = environment.cache_dir + "/results";
  if (folder.empty() || environment.allow_shared_cache) return CanonicalPath(folder);
  const PathVerdict verdict = InspectPath(folder);
  if (!verdict.reason.empty()) Warn("results: {} is not used: {}; {}", folder, verdict.reason, verdict.remedy);
  return verdict.reason.empty() ? verdict.path : "";
}

}  // namespace

ResultsDatabase::State::State(const std::string& architecture, const ResultsOptions& given)
    : options(given), place{"", ParseArchitecture(architecture), given.lock_timeout} {
  try {
    if (options.storage != ResultsStorage::kMemory) place.directory = Folder(options);
    if (!place.directory.empty()) Open();
  } catch (const Error& error) {
    Complain(error.what());
  }
}

void ResultsDatabase::State::Complain(std::string_view error) {
  next_try_ = std::chrono::steady_clock::now() + kRest;
  if (!complained_) Warn("results: {}; going on in memory", error);
  complained_ = true;
}

/// One try, which may end with what there is being moved or mended.
void ResultsDatabase::State::OpenSomewhere() {
  const FileState sqlite = StateOf(place.sqlite());
  try {
    if (sqlite.exists) {
      store = std::make_unique<SqliteStore>(place, options.max_unused);
      return;
    }
    const bool may_move = options.storage == ResultsStorage::kAuto;
    auto json = std::make_unique<JsonStore>(
        place, JsonStore::Limits{options.max_json_entries, may_move, options.max_unused, options.compress});
    if (options.storage == ResultsStorage::kSqlite) {
      json->MoveToSqlite();
      throw Moved();
    }
    store = std::move(json);
  } catch (const Damaged& damaged) {
    Mend(sqlite, damaged.what());
  } catch (const Moved&) {
    LogDebug("results: {} has moved", place.directory);
  }
}

void ResultsDatabase::State::Open() {
  store.reset();
  for (int i = 0; i < kMostMoves && !store; ++i) OpenSomewhere();
  if (!store) throw Fail(Code::kIo, "", "open {}: it is moved again and again", place.sqlite());
}

/// Sets a broken SQLite file aside, and makes a new one of what can be read of it.
void ResultsDatabase::State::Mend(const FileState& broken, const std::string& reason) {
  store.reset();
  const FileLock lock = LockDatabase(place);
  if (StateOf(place.sqlite()).inode != broken.inode) return;  // Another process has done so.
  const Contents rest = Salvage(place);
  SetAside(place.sqlite(), reason);
  if (rest.size() > 0) CreateSqlite(place, rest);
}

void ResultsDatabase::State::Do(const std::function<void(Store&)>& use) {
  bool is_full = false;
  for (int i = 0; i < kMostMoves && store; ++i) {
    const FileState sqlite = StateOf(place.sqlite());
    try {
      if (!is_full) return use(*store);
      is_full = false;
      static_cast<JsonStore&>(*store).MoveToSqlite();
    } catch (const Damaged& damaged) {
      Mend(sqlite, damaged.what());
    } catch (const Full&) {
      is_full = true;
      continue;
    } catch (const Moved&) {
      LogDebug("results: {} has moved", place.directory);
    }
    Open();
  }
  if (store) throw Fail(Code::kIo, "", "use {}: it is moved again and again", place.sqlite());
}

void ResultsDatabase::State::With(const std::function<void(Store&)>& use) {
  try {
    Do(use);
  } catch (const Error& error) {
    Complain(error.what());
  }
}

std::unique_lock<std::mutex> ResultsDatabase::State::Lock() {
  std::unique_lock lock(mutex_);
  std::vector<Change> left;
  {
    const std::scoped_lock left_lock(left_mutex_);
    left.swap(left_);
  }
  unsaved.Apply(left);
  if (store) std::ranges::move(left, std::back_inserter(pending));
  return lock;
}

void ResultsDatabase::State::Keep(Change change) {
  if (!options.save_in_background) {
    const auto lock = Lock();
    return Add(std::move(change));
  }
  const std::scoped_lock lock(left_mutex_);
  left_.push_back(std::move(change));
  wake_ = true;
  if (!saver_.joinable()) saver_ = std::jthread([this](const std::stop_token& stop) { SaveInBackground(stop); });
  left_some_.notify_one();
}

void ResultsDatabase::State::SaveInBackground(const std::stop_token& stop) {
  std::unique_lock left_lock(left_mutex_);
  while (left_some_.wait(left_lock, stop, [&] { return wake_; })) {
    wake_ = false;
    left_lock.unlock();
    {
      const auto lock = Lock();
      try {
        if (pending.size() >= options.save_every) Save(/*lookups_too=*/false, /*again=*/false);
      } catch (const std::exception& error) {
        Complain(error.what());
      }
    }
    left_lock.lock();
  }
}

void ResultsDatabase::State::StopSaver() {
  if (!saver_.joinable()) return;
  saver_.request_stop();
  saver_.join();
}

void ResultsDatabase::State::Add(Change change) {
  pending.push_back(std::move(change));
  const bool wanted = pending.size() >= options.save_every;
  if (wanted && Save(/*lookups_too=*/false, /*again=*/false)) return;
  unsaved.Apply(std::span(&pending.back(), 1));
  if (!store) pending.clear();
}

bool ResultsDatabase::State::Save(bool lookups_too, bool again) {
  if (!again && std::chrono::steady_clock::now() < next_try_) return false;
  const bool with_lookups = lookups_too && lookups.hits + lookups.misses > 0;
  if (with_lookups) pending.emplace_back(lookups);
  if (pending.empty()) return store || unsaved.Read().size() == 0;
  bool saved = false;
  With([&](Store& kept) {
    kept.Apply(pending);
    saved = true;
  });
  if (with_lookups) {
    pending.pop_back();
    if (saved) lookups = {};
  }
  if (!saved) return false;
  pending.clear();
  unsaved = MemoryStore();
  return true;
}

Contents ResultsDatabase::State::ReadAll() {
  Contents contents;
  With([&](Store& kept) { contents = kept.Read(); });
  const Contents more = unsaved.Read();
  for (const auto& [key, entry] : more.entries) contents.Apply(entry, entry.created_unix);
  more.tunings.ForEach([&](const TuningRecord& record) { contents.Apply(record, record.created_unix); });
  contents.counters.hits += lookups.hits;
  contents.counters.misses += lookups.misses;
  return contents;
}

void ResultsDatabase::State::Close() {
  try {
    Save(/*lookups_too=*/true, /*again=*/!complained_);
    if (auto* json = dynamic_cast<JsonStore*>(store.get())) json->Tidy();
  } catch (const Moved&) {
    LogDebug("results: {} has moved", place.directory);
  } catch (const std::exception& error) {
    LogDebug("results: {}", error.what());
  }
}

}  // namespace gemmsmith
