#include "jit/cache/store.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <future>
#include <map>
#include <mutex>
#include <tuple>
#include <utility>
#include <vector>

#include "jit/cache/bundle_tier.h"
#include "jit/cache/disk_tier.h"
#include "jit/cache/entry_files.h"
#include "jit/cache/memory_tier.h"
#include "jit/cache/usage.h"
#include "util/file_lock.h"
#include "util/log.h"
#include "util/paths.h"
#include "util/trust.h"

namespace gemmsmith {
namespace {

using namespace std::chrono_literals;

/// A tier that has thrown is off, and answers every question with a miss.
class Level {
 public:
  explicit Level(std::unique_ptr<Tier> tier) : tier_(std::move(tier)) {}

  Origin origin() const { return tier_->origin(); }
  std::string Trouble() {
    std::string trouble;
    Guard([&] { trouble = tier_->Trouble(); });
    std::scoped_lock lock(mutex_);
    return off_ ? reason_ : trouble;
  }
  /// Calls `use` unless the tier is off.
  template <class Use>
  void Guard(const Use& use) {
    if (off_.load(std::memory_order_acquire)) return;
    try {
      use();
    } catch (const std::exception& error) {
      TurnOff(error.what());
    }
  }
  Tier* operator->() const { return tier_.get(); }

 private:
  void TurnOff(const char* reason) {
    {
      std::scoped_lock lock(mutex_);
      if (off_) return;
      reason_ = reason;
      off_ = true;
    }
    Warn("cache: the {} tier is off: {}", ToString(origin()), reason);
  }

  std::unique_ptr<Tier> tier_;
  std::atomic<bool> off_ = false;
  std::mutex mutex_;
  std::string reason_;
};

/// One compile that others wait for.
struct Flight {
  std::promise<ArtifactPtr> promise;
  std::shared_future<ArtifactPtr> future = promise.get_future().share();
  pid_t process = getpid();
};

/// One folder has one store, whichever way it was named. Unless somebody else could lead that way elsewhere: then it
/// stays as it was named, for the disk tier to refuse.
ArtifactStore::Options Canonical(ArtifactStore::Options options) try {
  options.directory =
      options.policy.allow_shared_directory ? CanonicalPath(options.directory) : InspectPath(options.directory).path;
  return options;
} catch (const Error&) {
  options.directory = CanonicalPath(options.directory);  // What is wrong shows when it is used.
  return options;
}

std::vector<std::unique_ptr<Tier>> OpenTiers(const ArtifactStore::Options& options) {
  std::vector<std::unique_ptr<Tier>> tiers;
#define GEMMSMITH_TIER(Type) \
  if (std::unique_ptr<Tier> tier = Type::Open(options)) tiers.push_back(std::move(tier));
#include "jit/cache/tiers.def"
#undef GEMMSMITH_TIER
  return tiers;
}

/// Where the entries of a tier are counted, and their bytes.
std::pair<std::uint64_t*, std::uint64_t*> Contents(CacheStats& stats, Origin origin) {
  if (origin == Origin::kMemory) return {&stats.memory_kernels, &stats.memory_bytes};
  if (origin == Origin::kBundle) return {&stats.bundle_kernels, &stats.bundle_bytes};
  return {&stats.disk_kernels, &stats.disk_bytes};
}

bool IsCancelled(const CancellationToken* cancel) { return cancel != nullptr && cancel->cancelled(); }

/// Throws what the leader threw, and kCancelled when we are.
ArtifactPtr Await(const Flight& flight, const CancellationToken* cancel) {
  while (cancel != nullptr && flight.future.wait_for(20ms) != std::future_status::ready)
    if (cancel->cancelled()) throw Fail(Code::kCancelled, "", "cancelled while another thread compiles");
  return flight.future.get();
}

}  // namespace

struct ArtifactStore::State {
  State(Options given, std::vector<std::unique_ptr<Tier>> tiers);

  std::optional<Hit> Find(const CacheKey& key, bool memory_only);
  void Fill(const CacheKey& key, const Hit& hit, bool memory_only, std::size_t level_count);
  void Put(const CacheKey& key, const ArtifactPtr& artifact, bool memory_only, std::size_t level_count);
  Hit Count(const CacheKey& key, Hit hit);
  void CountMiss(const CacheKey& key, bool memory_only);
  std::pair<std::shared_ptr<Flight>, bool> Join(const CacheKey& key);
  void Land(const CacheKey& key, const std::shared_ptr<Flight>& flight);
  Hit Lead(const CacheKey& key, bool memory_only, const std::function<Artifact()>& compile,
           const CancellationToken* cancel);
  bool MayWriteFolder();
  std::optional<FileLock> LockKey(const CacheKey& key, bool memory_only, const CancellationToken* cancel);
  Hit FindOrCompile(const CacheKey& key, bool memory_only, const std::function<Artifact()>& compile);

  Options options;
  std::vector<std::unique_ptr<Level>> levels;
  std::mutex mutex;
  std::map<std::string, std::shared_ptr<Flight>> flights;  // By the text of the key; guarded by mutex.
  UsageBuffer usage;
  std::atomic<std::uint64_t> disk_hits = 0, bundle_hits = 0, misses = 0, compiles = 0;
  std::atomic<double> saved_compile_ms = 0;
};

ArtifactStore::State::State(Options given, std::vector<std::unique_ptr<Tier>> tiers)
    : options(std::move(given)), usage(options.directory, [this] { return MayWriteFolder(); }) {
  for (std::unique_ptr<Tier>& tier : tiers) levels.push_back(std::make_unique<Level>(std::move(tier)));
}

/// The first tier that has it; those above are filled.
std::optional<ArtifactStore::Hit> ArtifactStore::State::Find(const CacheKey& key, bool memory_only) {
  for (std::size_t i = 0; i < levels.size(); ++i) {
    Level& level = *levels[i];
    if (memory_only && level.origin() != Origin::kMemory) continue;
    ArtifactPtr artifact;
    level.Guard([&] { artifact = level->Get(key); });
    if (artifact == nullptr) continue;
    Hit hit{std::move(artifact), level.origin()};  // Moved from here on: each copy of a pointer counts in the 50 ns.
    if (i > 0) Fill(key, hit, memory_only, i);
    return hit;
  }
  return std::nullopt;
}

/// The first `level_count` tiers, which did not have it. What a bundle holds is on disk already.
void ArtifactStore::State::Fill(const CacheKey& key, const Hit& hit, bool memory_only, std::size_t level_count) {
  const bool spare_disk = hit.origin == Origin::kBundle && !options.copy_bundle_hits;
  Put(key, hit.artifact, memory_only || spare_disk, level_count);
}

/// Into the first `level_count` tiers.
void ArtifactStore::State::Put(const CacheKey& key, const ArtifactPtr& artifact, bool memory_only,
                               std::size_t level_count) {
  for (std::size_t i = 0; i < level_count; ++i) {
    Level& level = *levels[i];
    if (!memory_only || level.origin() == Origin::kMemory) level.Guard([&] { level->Put(key, artifact); });
  }
}

ArtifactStore::Hit ArtifactStore::State::Count(const CacheKey& key, Hit hit) {
  if (hit.origin == Origin::kMemory) {
    usage.MemoryHit();
  } else if (hit.origin != Origin::kCompiled) {
    ++(hit.origin == Origin::kBundle ? bundle_hits : disk_hits);
    saved_compile_ms += hit.artifact->compile_ms;
    usage.Hit(key.digest.Hex(), hit.origin, hit.artifact->compile_ms);
  }
  return hit;
}

void ArtifactStore::State::CountMiss(const CacheKey& key, bool memory_only) {
  ++misses;
  if (!memory_only) usage.Miss(key.digest.Hex());
}

/// The compile of `key` that is under way, or a new one that the caller (true) must lead.
std::pair<std::shared_ptr<Flight>, bool> ArtifactStore::State::Join(const CacheKey& key) {
  std::scoped_lock lock(mutex);
  std::shared_ptr<Flight>& flight = flights[key.text];
  // The thread that led a flight of our parent process does not exist here: it would never land.
  if (flight != nullptr && flight->process == getpid()) return {flight, false};
  flight = std::make_shared<Flight>();
  return {flight, true};
}

void ArtifactStore::State::Land(const CacheKey& key, const std::shared_ptr<Flight>& flight) {
  std::scoped_lock lock(mutex);
  if (const auto found = flights.find(key.text); found != flights.end() && found->second == flight)
    flights.erase(found);
}

/// Whether locks, counters and debug files may lie beside the entries on disk.
bool ArtifactStore::State::MayWriteFolder() {
  bool may = !options.directory.empty();
  for (const std::unique_ptr<Level>& level : levels) level->Guard([&] { may = may && (*level)->Ready(); });
  return may;
}

/// Null where there is nothing to lock, or no lock to be had: one compile too many does no harm.
std::optional<FileLock> ArtifactStore::State::LockKey(const CacheKey& key, bool memory_only,
                                                      const CancellationToken* cancel) try {
  if (memory_only || !MayWriteFolder()) return std::nullopt;
  MakePrivateDirectories(options.directory + "/metadata");
  const std::string digest = key.digest.Hex();
  auto lock = FileLock::Acquire(LockPath(options.directory), digest, options.lock_timeout, cancel);
  if (!lock && !IsCancelled(cancel))
    LogInfo("cache: another process is still compiling {}; compiling it here too", digest);
  return lock;
} catch (const Error& error) {
  LogDebug("cache: no lock between processes: {}", error.what());
  return std::nullopt;
}

ArtifactStore::Hit ArtifactStore::State::FindOrCompile(const CacheKey& key, bool memory_only,
                                                       const std::function<Artifact()>& compile) {
  // Another thread or process may have made it since we looked.
  if (std::optional<Hit> hit = Find(key, memory_only)) return Count(key, std::move(*hit));
  CountMiss(key, memory_only);
  auto artifact = std::make_shared<const Artifact>(compile());
  ++compiles;
  if (artifact->size() == 0)
    throw Fail(Code::kInternal, "please report this", "compile of {}: the compiler gave no code",
               artifact->kernel_name);
  Put(key, artifact, memory_only, levels.size());
  if (!memory_only) usage.FlushSometimes();
  return {artifact, Origin::kCompiled};
}

ArtifactStore::Hit ArtifactStore::State::Lead(const CacheKey& key, bool memory_only,
                                              const std::function<Artifact()>& compile,
                                              const CancellationToken* cancel) {
  const std::optional<FileLock> lock = LockKey(key, memory_only, cancel);
  if (IsCancelled(cancel)) throw Fail(Code::kCancelled, "", "cancelled before the compile began");
  return FindOrCompile(key, memory_only, compile);
}

ArtifactStore::ArtifactStore(const Options& options) : ArtifactStore(options, OpenTiers(Canonical(options))) {}
ArtifactStore::ArtifactStore(const Options& options, std::vector<std::unique_ptr<Tier>> tiers)
    : state_(std::make_unique<State>(Canonical(options), std::move(tiers))) {}
ArtifactStore::~ArtifactStore() = default;

std::shared_ptr<ArtifactStore> ArtifactStore::Open(const Options& options) {
  struct Registry {
    std::mutex mutex;
    std::vector<std::pair<Options, std::weak_ptr<ArtifactStore>>> stores;
  };
  // Leaked on purpose: engines may outlive the statics of a program.
  static Registry* const registry = new Registry;
  std::scoped_lock lock(registry->mutex);
  std::erase_if(registry->stores, [](const auto& row) { return row.second.expired(); });
  const Options wanted = Canonical(options);
  for (const auto& [known, weak] : registry->stores)
    if (known == wanted)
      if (std::shared_ptr<ArtifactStore> store = weak.lock()) return store;
  auto store = std::make_shared<ArtifactStore>(wanted);
  registry->stores.emplace_back(wanted, store);
  return store;
}

std::optional<ArtifactStore::Hit> ArtifactStore::Get(const CacheKey& key, bool memory_only) {
  std::optional<Hit> hit = state_->Find(key, memory_only);
  if (!hit) {
    state_->CountMiss(key, memory_only);
    return std::nullopt;
  }
  return state_->Count(key, std::move(*hit));
}

ArtifactStore::Hit ArtifactStore::GetOrCompile(const CacheKey& key, bool memory_only,
                                               const std::function<Artifact()>& compile,
                                               const CancellationToken* cancel) {
  for (;;) {
    if (std::optional<Hit> hit = state_->Find(key, memory_only)) return state_->Count(key, std::move(*hit));
    const auto [flight, leads] = state_->Join(key);
    if (!leads) {
      try {
        return state_->Count(key, {Await(*flight, cancel), Origin::kMemory});
      } catch (const Error& error) {
        // The leader's wish to stop is not ours.
        if (error.code() != Code::kCancelled || IsCancelled(cancel)) throw;
        continue;
      }
    }
    try {
      Hit hit = state_->Lead(key, memory_only, compile, cancel);
      state_->Land(key, flight);
      flight->promise.set_value(hit.artifact);
      return hit;
    } catch (...) {
      // Landed first: whoever comes after a failure tries anew.
      state_->Land(key, flight);
      flight->promise.set_exception(std::current_exception());
      throw;
    }
  }
}

void ArtifactStore::KeepForDebugging(const CacheKey& key, std::string_view source, const Artifact& artifact) try {
  const Options& options = state_->options;
  if (!options.policy.enable_debug || !state_->MayWriteFolder()) return;
  const auto ptx = artifact.parts.find("ptx");
  const std::string_view texts[] = {source, ptx == artifact.parts.end() ? std::string_view() : ptx->second,
                                    artifact.log};
  for (std::size_t i = 0; i < std::size(texts); ++i)
    if (!texts[i].empty()) WriteDebugFile(options.directory, key.digest.Hex(), kDebugSuffixes[i], texts[i]);
} catch (const Error& error) {
  LogInfo("cache: source, PTX and log of {} are not kept: {}", artifact.kernel_name, error.what());
}

std::optional<ArtifactStore::KeyedHit> ArtifactStore::GetNewest(const std::string& recipe, const Accept& accept) {
  std::vector<CacheKey> keys;
  for (const std::unique_ptr<Level>& level : state_->levels)
    level->Guard([&] { std::ranges::move((*level)->KeysOf(recipe), std::back_inserter(keys)); });
  std::ranges::sort(keys, [](const CacheKey& x, const CacheKey& y) { return ToolchainLess(y, x); });
  keys.erase(std::unique(keys.begin(), keys.end()), keys.end());
  for (const CacheKey& key : keys)
    if (std::optional<Hit> hit = state_->Find(key, false); hit && accept(key, *hit->artifact))
      return KeyedHit{key, state_->Count(key, std::move(*hit))};
  ++state_->misses;
  return std::nullopt;
}

CacheStats ArtifactStore::Stats() const {
  CacheStats stats;
  stats.directory = state_->options.directory;
  for (const std::unique_ptr<Level>& entry : state_->levels) {
    Level& level = *entry;
    const auto contents = Contents(stats, level.origin());
    // Before and after: counting may find a trouble, or end after one is over.
    const std::string trouble = level.Trouble();
    level.Guard([&] {
      level->ForEach(
          [&](const std::string&, std::uint64_t size) { return ++*contents.first, *contents.second += size, true; });
      stats.quarantined += level->Quarantined();
    });
    if (level.origin() == Origin::kDisk) stats.disk_status = trouble.empty() ? level.Trouble() : trouble;
  }
  stats.memory_hits = state_->usage.memory_hits();
  stats.disk_hits = state_->disk_hits;
  stats.bundle_hits = state_->bundle_hits;
  stats.misses = state_->misses;
  stats.compiles = state_->compiles;
  stats.saved_compile_ms = state_->saved_compile_ms;
  return stats;
}

}  // namespace gemmsmith
