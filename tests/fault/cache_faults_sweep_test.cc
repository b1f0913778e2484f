// Each system call of each use of the cache fails once, in turn, with each of the errors that disks and networks give:
// no call throws or answers wrongly, and once the fault is over everything is as if it had not been.
#include <gtest/gtest.h>

#include <cerrno>
#include <cstring>
#include <optional>

#include "../support/bundle_testing.h"
#include "../support/cache_testing.h"
#include "../support/system_calls.h"
#include "gemmsmith/bundle.h"
#include "gemmsmith/persistent_cache.h"
#include "jit/cache/disk_tier.h"
#include "jit/cache/usage.h"

namespace gemmsmith {
namespace {

using namespace std::chrono_literals;
namespace fs = std::filesystem;
using testing::EntryPath;
using testing::FilesBelow;
using testing::KeyOf;
using testing::ShiftTime;
using testing::SystemCalls;
using testing::SystemFault;

constexpr std::size_t kKernels = 3;

/// A cache directory, and what is done in it while a call fails.
class World {
 public:
  World(const fs::path& dir, const std::vector<Artifact>& artifacts) : dir_(dir), artifacts_(artifacts) {}

  std::string cache() const { return (dir_ / "cache").string(); }
  std::string bundle() const { return (dir_ / "all.gsb").string(); }
  static CacheKey Key(std::size_t i) { return KeyOf("f" + std::to_string(i)); }
  fs::path PathOf(std::size_t i) const { return EntryPath(cache(), Key(i)); }
  const Artifact& artifact(std::size_t i) const { return artifacts_.at(i); }
  ArtifactStore::Options Options() const {
    return {.directory = cache(), .enable_memory = false, .lock_timeout = 1s, .retry_after = 0ms};
  }

  /// Entries 0, 1 and 2, used one after the other.
  void Fill() const {
    DiskTier tier(cache(), 0ms);
    for (std::size_t i = 0; i < kKernels; ++i) {
      tier.Put(Key(i), std::make_shared<const Artifact>(artifact(i)));
      ShiftTime(PathOf(i), std::chrono::seconds(i) - 30min);
    }
  }
  void FillBundle() const {
    std::vector<testing::BundleEntry> entries;
    for (std::size_t i = 0; i < kKernels; ++i) entries.push_back({Key(i), artifact(i)});
    testing::MakeBundle(bundle(), entries);
  }
  /// Must not throw, and be right.
  Origin Use(ArtifactStore& store, std::size_t i) const {
    const auto hit = store.GetOrCompile(Key(i), false, [&] { return artifact(i); });
    EXPECT_EQ(hit.artifact->parts, artifact(i).parts);
    EXPECT_EQ(hit.artifact->lowered_name, artifact(i).lowered_name);
    return hit.origin;
  }
  std::size_t Entries() const { return FilesBelow(cache() + "/kernels").size(); }
  std::size_t Temporaries() const { return FilesBelow(cache() + "/temp").size(); }

 private:
  const fs::path dir_;
  const std::vector<Artifact>& artifacts_;
};

/// `act` runs under the fault, and what it returns without it. Functions of maintenance throw Error or do all they say.
using Check = std::function<void()>;
struct Scenario {
  const char* name;
  void (*prepare)(const World&);
  Check (*act)(const World&);
};

Check UseOne(const World& world, const ArtifactStore::Options& options) {
  ArtifactStore store(options);
  for (int i = 0; i < 2; ++i) world.Use(store, 0);
  return {};
}
Check UseOne(const World& world) { return UseOne(world, world.Options()); }

Check FlushTwice(const World& world) {
  UsageBuffer buffer(world.cache());
  for (std::size_t i = 0; i < kKernels; ++i) buffer.Hit(World::Key(i).digest.Hex(), Origin::kDisk, 1);
  buffer.MemoryHit();
  for (int i = 0; i < 2; ++i) buffer.Flush();
  return {};
}

Check ListAll(const World& world) {
  const std::vector<CachedKernel> kernels = PersistentCache(world.cache()).List();
  // What cannot be read may be gone, and is left out.
  EXPECT_LE(kernels.size(), kKernels);
  for (const CachedKernel& kernel : kernels) EXPECT_EQ(kernel.arch, "sm_90a");
  return {};
}

Check ShowOne(const World& world) {
  const CachedKernelDetails details = PersistentCache(world.cache()).Show(World::Key(1).digest.Hex());
  EXPECT_EQ(details.kernel.kernel_name, "f1");
  return {};
}

Check VerifyAll(const World& world) {
  const IntegrityReport report = PersistentCache(world.cache()).Verify(/*repair=*/true);
  EXPECT_EQ(report.checked, kKernels);
  const auto is_zero = [&](const BrokenKernel& kernel) { return kernel.key == World::Key(0).digest.Hex(); };
  EXPECT_EQ(std::ranges::count_if(report.broken, is_zero), 1);
  for (const BrokenKernel& kernel : report.broken)
    EXPECT_TRUE(is_zero(kernel) || kernel.reason.find("kernels/") != std::string::npos) << kernel.reason;
  return [=] { EXPECT_EQ(world.Entries(), kKernels - report.repaired); };
}

Check PruneToOne(const World& world) {
  const PruneReport report = PersistentCache(world.cache()).Prune({.max_kernels = 1});
  EXPECT_EQ(report.removed_kernels + report.kept_kernels, kKernels);
  return [=] { EXPECT_EQ(world.Entries(), report.kept_kernels); };
}

Check ClearAll(const World& world) {
  const PruneReport report = PersistentCache(world.cache()).Clear();
  EXPECT_EQ(report.removed_kernels + report.kept_kernels, kKernels);
  return [=] { EXPECT_EQ(world.Entries(), report.kept_kernels); };
}

Check CountHistory(const World& world) {
  EXPECT_EQ(PersistentCache(world.cache()).History().disk_hits, kKernels);
  return {};
}

Check CountStats(const World& world) {
  const ArtifactStore store(world.Options());
  const CacheStats stats = store.Stats();
  EXPECT_TRUE(stats.disk_kernels == kKernels || !stats.disk_status.empty());
  return {};
}

Check ExportAll(const World& world) {
  EXPECT_EQ(ExportBundle(world.cache(), world.bundle(), {.level = 1}).kernels, kKernels);
  return [=] { EXPECT_EQ(ReadBundle(world.bundle()).size(), kKernels); };
}

Check ImportAll(const World& world) {
  EXPECT_EQ(ImportBundle(world.bundle(), world.cache()).kernels, kKernels);
  return [=] { EXPECT_EQ(world.Entries(), kKernels); };
}

const Scenario kScenarios[] = {
    {"ColdPut", [](const World&) {}, UseOne},
    {"DiskHit",
     [](const World& world) {
       world.Fill();
       ShiftTime(world.PathOf(0), -2h);  // So that the hit renews it.
     },
     UseOne},
    {"EvictionWhilePutting", [](const World& world) { world.Fill(); },
     [](const World& world) {
       ArtifactStore::Options options = world.Options();
       options.policy.max_cached_kernels = 2;
       ArtifactStore store(options);
       world.Use(store, 3);
       return Check();
     }},
    {"QuarantineOfABrokenEntry",
     [](const World& world) {
       world.Fill();
       testing::WriteFile(world.PathOf(0), "broken");
     },
     UseOne},
    {"FlushOfCounters", [](const World& world) { world.Fill(); }, FlushTwice},
    {"SweepOfTemporaries",
     [](const World& world) {
       fs::create_directories(world.cache() + "/temp");
       testing::WriteFile(world.cache() + "/temp/host-1-0.tmp", "x");
       ShiftTime(world.cache() + "/temp/host-1-0.tmp", -2h);
     },
     UseOne},
    {"DebugFiles", [](const World&) {},
     [](const World& world) {
       ArtifactStore::Options options = world.Options();
       options.policy.enable_debug = true;
       ArtifactStore(options).KeepForDebugging(World::Key(0), "source", world.artifact(0));
       return Check();
     }},
    {"BundleHit", [](const World& world) { world.FillBundle(); },
     [](const World& world) {
       ArtifactStore::Options options = world.Options();
       options.bundles = {world.bundle()};
       options.copy_bundle_hits = true;
       return UseOne(world, options);
     }},
    {"NewestOfARecipe", [](const World& world) { world.Fill(); },
     [](const World& world) {
       ArtifactStore store(world.Options());
       for (int i = 0; i < 2; ++i) {
         const auto newest = store.GetNewest(World::Key(0).recipe);
         EXPECT_TRUE(!newest || *newest->hit.artifact == world.artifact(0));
       }
       return Check();
     }},
    {"List", [](const World& world) { world.Fill(); }, ListAll},
    {"Show", [](const World& world) { world.Fill(); }, ShowOne},
    {"Verify",
     [](const World& world) {
       world.Fill();
       testing::WriteFile(world.PathOf(0), "broken");
     },
     VerifyAll},
    {"Prune",
     [](const World& world) {
       world.Fill();
       FlushTwice(world);
     },
     PruneToOne},
    {"Clear",
     [](const World& world) {
       world.Fill();
       FlushTwice(world);
     },
     ClearAll},
    {"History",
     [](const World& world) {
       world.Fill();
       FlushTwice(world);
     },
     CountHistory},
    {"Stats", [](const World& world) { world.Fill(); }, CountStats},
    {"Export", [](const World& world) { world.Fill(); }, ExportAll},
    {"Import", [](const World& world) { world.FillBundle(); }, ImportAll},
};

/// Nothing may come of it at all.
bool IsHarmless(const SystemFault& fault) { return fault.error == 0 || fault.error == EINTR; }

class CacheFaultsSweep : public ::testing::TestWithParam<Scenario> {
 protected:
  /// Runs the scenario with call `nth` failing. False: it made fewer calls.
  bool Run(const SystemFault& fault, int nth) {
    const testing::TempDir dir(testing::MemoryFolder());
    const World world(dir.string(), artifacts_);
    GetParam().prepare(world);
    const char* struck = nullptr;
    std::string refusal;
    Check check;
    {
      const testing::Warnings warnings;
      const SystemCalls calls(dir.string(), fault, nth);
      try {
        check = GetParam().act(world);
      } catch (const Error& error) {
        refusal = error.what();
      } catch (const std::exception& error) {
        ADD_FAILURE() << "not an Error: " << error.what();
      }
      struck = calls.struck();
      if (IsHarmless(fault)) {
        EXPECT_EQ(refusal, "");
        const std::size_t expected = std::string_view(GetParam().name) == "QuarantineOfABrokenEntry" ? 1 : 0;
        EXPECT_EQ(warnings.messages().size(), expected) << warnings.messages()[0];
      }
    }
    if (check) check();
    if (struck == nullptr) return false;
    Afterwards(world, fault);
    if (HasFailure())
      ADD_FAILURE() << "call " << nth << " (" << struck << (fault.lasting ? ") and all after: " : "): ")
                    << (fault.error == 0 ? "short" : strerror(fault.error)) << "; " << refusal;
    return !HasFailure();
  }

  /// The fault is gone.
  void Afterwards(const World& world, const SystemFault& fault) const {
    const testing::Warnings warnings;  // Of an entry that the scenario broke.
    EXPECT_TRUE(world.Temporaries() == 0 || !IsHarmless(fault));
    for (const fs::path& temporary : FilesBelow(world.cache() + "/temp")) ShiftTime(temporary, -2h);
    ArtifactStore store(world.Options());
    for (std::size_t i = 0; i < artifacts_.size(); ++i) {
      world.Use(store, i);
      EXPECT_EQ(world.Use(store, i), Origin::kDisk);
    }
    EXPECT_EQ(store.GetOrCompile(KeyOf("another"), false, [&] { return artifacts_[0]; }).origin, Origin::kCompiled);
    EXPECT_EQ(world.Temporaries(), 0u);
  }

  testing::Random random_;
  ::testing::ScopedTrace trace_{__FILE__, __LINE__, random_.trace()};
  const std::vector<Artifact> artifacts_ = [this] {
    std::vector<Artifact> artifacts;
    for (std::size_t i = 0; i <= kKernels; ++i)
      artifacts.push_back(testing::MakeArtifact("f" + std::to_string(i), random_));
    return artifacts;
  }();
};

TEST_P(CacheFaultsSweep, NoCallThatFailsDoesHarm) {
  constexpr int kMoreThanAny = 2000;
  int total = 0;  // Of the calls that failed.
  for (const int error : {ENOSPC, EDQUOT, ESTALE, EIO, EACCES, EBUSY, EINTR, 0})
    for (const bool lasting : {false, true}) {
      if (lasting && error != ENOSPC && error != EIO && error != 0) continue;
      int nth = 1;
      while (nth < kMoreThanAny && Run({.error = error, .lasting = lasting}, nth)) ++nth;
      ASSERT_FALSE(HasFailure());
      ASSERT_LT(nth, kMoreThanAny);
      total += nth - 1;
    }
  EXPECT_GT(total, 10) << "the seam sees no calls";
  RecordProperty("failed_calls", total);
}

INSTANTIATE_TEST_SUITE_P(, CacheFaultsSweep, ::testing::ValuesIn(kScenarios),
                         [](const auto& row) { return row.param.name; });

}  // namespace
}  // namespace gemmsmith
