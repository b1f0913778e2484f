#include "jit/cache/store.h"

#include <gtest/gtest.h>

#include <future>
#include <latch>
#include <stdexcept>
#include <thread>

#include "../support/cache_testing.h"

namespace gemmsmith {
namespace {

using namespace std::chrono_literals;
namespace fs = std::filesystem;
using testing::FilesBelow;
using testing::KeyOf;
using testing::MakeArtifact;

class StoreTest : public ::testing::Test {
 protected:
  ArtifactStore::Options OnDisk() const { return {.directory = root_.string()}; }
  ArtifactStore::Hit GetOrCompile(ArtifactStore& store, bool memory_only = false) {
    return store.GetOrCompile(key_, memory_only, [this] { return Compile(); });
  }
  Artifact Compile() {
    ++compiles_;
    return artifact_;
  }

  testing::TempDir dir_;
  testing::Warnings warnings_;
  testing::Random random_;
  ::testing::ScopedTrace trace_{__FILE__, __LINE__, random_.trace()};
  const fs::path root_ = dir_ / "cache";
  const CacheKey key_ = KeyOf("f");
  const Artifact artifact_ = MakeArtifact("f", random_);
  std::atomic<int> compiles_ = 0;
};

TEST_F(StoreTest, CompilesOnceThenHitsMemoryThenDisk) {
  ArtifactStore store(OnDisk());
  EXPECT_FALSE(store.Get(key_));
  EXPECT_FALSE(fs::exists(root_));
  EXPECT_EQ(GetOrCompile(store).origin, Origin::kCompiled);
  EXPECT_EQ(GetOrCompile(store).origin, Origin::kMemory);
  ArtifactStore next_process(OnDisk());
  const ArtifactStore::Hit hit = GetOrCompile(next_process);
  EXPECT_EQ(hit.origin, Origin::kDisk);
  EXPECT_EQ(*hit.artifact, artifact_);
  EXPECT_EQ(next_process.Get(key_)->origin, Origin::kMemory) << "a disk hit fills memory";
  EXPECT_EQ(compiles_, 1);
}

TEST_F(StoreTest, CountsWhatItDoes) {
  ArtifactStore store(OnDisk()), next_process(OnDisk());
  GetOrCompile(store);
  GetOrCompile(store);
  GetOrCompile(next_process);
  CacheStats stats = store.Stats();
  EXPECT_EQ(stats.directory, root_.string());
  EXPECT_EQ(stats.disk_status, "");
  EXPECT_EQ(stats.memory_kernels, 1u);
  EXPECT_EQ(stats.memory_bytes, artifact_.size());
  EXPECT_EQ(stats.disk_kernels, 1u);
  EXPECT_EQ(stats.disk_bytes, fs::file_size(testing::EntryPath(root_, key_)));
  EXPECT_EQ(stats.quarantined, 0u);
  EXPECT_EQ(stats.memory_hits, 1u);
  EXPECT_EQ(stats.disk_hits, 0u);
  EXPECT_EQ(stats.misses, 1u);
  EXPECT_EQ(stats.compiles, 1u);
  EXPECT_EQ(stats.saved_compile_ms, 0);
  stats = next_process.Stats();
  EXPECT_EQ(stats.disk_hits, 1u);
  EXPECT_EQ(stats.misses, 0u);
  EXPECT_EQ(stats.compiles, 0u);
  EXPECT_EQ(stats.saved_compile_ms, artifact_.compile_ms);
}

TEST_F(StoreTest, CountsBrokenEntries) {
  GetOrCompile(*ArtifactStore::Open(OnDisk()));
  testing::WriteFile(testing::EntryPath(root_, key_), "broken");
  ArtifactStore store(OnDisk());
  EXPECT_EQ(GetOrCompile(store).origin, Origin::kCompiled);
  EXPECT_EQ(store.Stats().quarantined, 1u);
  EXPECT_EQ(store.Stats().disk_kernels, 1u) << "healed";
}

TEST_F(StoreTest, KernelsOfTheMemoryOnlyNeverTouchTheDisk) {
  ArtifactStore store(OnDisk());
  EXPECT_EQ(GetOrCompile(store, true).origin, Origin::kCompiled);
  EXPECT_EQ(GetOrCompile(store, true).origin, Origin::kMemory);
  EXPECT_FALSE(fs::exists(root_));
}

TEST_F(StoreTest, WithoutTiersEveryCallCompiles) {
  ArtifactStore store({.directory = "", .enable_memory = false});
  EXPECT_EQ(GetOrCompile(store).origin, Origin::kCompiled);
  EXPECT_EQ(GetOrCompile(store).origin, Origin::kCompiled);
  EXPECT_FALSE(store.Get(key_));
  EXPECT_EQ(compiles_, 2);
  EXPECT_EQ(store.Stats().directory, "");
}

TEST_F(StoreTest, WithoutMemoryTheDiskAnswers) {
  ArtifactStore store({.directory = root_.string(), .enable_memory = false});
  GetOrCompile(store);
  EXPECT_EQ(GetOrCompile(store).origin, Origin::kDisk);
}

TEST_F(StoreTest, UsesTheBytesOfTheCompilerAndDoesNotReadThemBack) {
  ArtifactStore store(OnDisk());
  const ArtifactStore::Hit hit = GetOrCompile(store);
  fs::remove_all(root_);
  EXPECT_EQ(*hit.artifact, artifact_);
  EXPECT_EQ(store.Get(key_)->artifact, hit.artifact);
}

TEST_F(StoreTest, ManyThreadsCompileAKeyOnce) {
  constexpr int kThreads = 8;
  const ArtifactStore::Options kinds[] = {OnDisk(), {.directory = ""}, {.directory = "", .enable_memory = false}};
  for (const ArtifactStore::Options& options : kinds) {
    ArtifactStore store(options);
    compiles_ = 0;
    std::latch start(kThreads);
    std::atomic<int> arrived = 0;
    std::vector<std::thread> threads;
    for (int i = 0; i < kThreads; ++i)
      threads.emplace_back([&] {
        start.arrive_and_wait();
        ++arrived;
        const auto hit = store.GetOrCompile(key_, false, [&] {
          // Until all are on their way, and a little more, so that they wait.
          while (arrived < kThreads) std::this_thread::yield();
          std::this_thread::sleep_for(100ms);
          return Compile();
        });
        EXPECT_EQ(*hit.artifact, artifact_);
      });
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(compiles_, 1);
    EXPECT_EQ(store.Stats().compiles, 1u);
    EXPECT_EQ(store.Stats().memory_hits, kThreads - 1u);
  }
}

TEST_F(StoreTest, DifferentKeysCompileAtTheSameTime) {
  ArtifactStore store(OnDisk());
  std::latch both(2);
  const auto compile = [&] {
    both.arrive_and_wait();  // Hangs if one waits for the other.
    return artifact_;
  };
  std::thread other([&] { store.GetOrCompile(KeyOf("g"), false, compile); });
  store.GetOrCompile(key_, false, compile);
  other.join();
}

TEST_F(StoreTest, ACompileMayItselfUseTheStore) {
  ArtifactStore store(OnDisk());
  store.GetOrCompile(KeyOf("outer"), false, [&] { return *GetOrCompile(store).artifact; });
  EXPECT_EQ(store.Stats().compiles, 2u);
}

TEST_F(StoreTest, AFailureIsPassedOnUnchangedAndPublishesNothing) {
  ArtifactStore store(OnDisk());
  try {
    store.GetOrCompile(key_, false,
                       []() -> Artifact { throw CompileError("compile f", "f.cu(1): error", "/tmp/f.cu"); });
    FAIL();
  } catch (const CompileError& error) {
    EXPECT_EQ(error.log(), "f.cu(1): error");
  }
  EXPECT_THROW(store.GetOrCompile(key_, false, []() -> Artifact { throw std::runtime_error("any other"); }),
               std::runtime_error);
  EXPECT_EQ(store.Stats().disk_kernels + store.Stats().memory_kernels + store.Stats().compiles, 0u);
  EXPECT_TRUE(FilesBelow(root_ / "kernels").empty());
  EXPECT_EQ(GetOrCompile(store).origin, Origin::kCompiled) << "a failure is not remembered";
  EXPECT_TRUE(warnings_.messages().empty());
}

TEST_F(StoreTest, ACompileThatYieldsNothingIsAFailure) {
  ArtifactStore store(OnDisk());
  Artifact empty = artifact_;
  empty.parts = {{"cubin", ""}};
  EXPECT_THROW(store.GetOrCompile(key_, false, [&] { return empty; }), Error);
  EXPECT_FALSE(store.Get(key_));
  EXPECT_EQ(GetOrCompile(store).origin, Origin::kCompiled);
}

/// One thread compiles and others wait for it, or are about to.
class WaitersTest : public StoreTest {
 protected:
  static constexpr int kWaiters = 4;

  /// The leader compiles by `lead`, the waiters by Compile, under `cancel` if given. The outcome of each waiter.
  std::vector<std::future<ArtifactStore::Hit>> Run(const std::function<Artifact()>& lead,
                                                   const CancellationToken* cancel = nullptr) {
    std::promise<void> started;
    leader_ = std::async(std::launch::async, [this, lead, &started] {
      return store_.GetOrCompile(key_, false, [&] {
        started.set_value();
        end_.get_future().wait();
        return lead();
      });
    });
    started.get_future().wait();
    std::vector<std::future<ArtifactStore::Hit>> waiters;
    for (int i = 0; i < kWaiters; ++i)
      waiters.push_back(std::async(std::launch::async, [this, cancel] {
        return store_.GetOrCompile(
            key_, false, [this] { return Compile(); }, cancel);
      }));
    std::this_thread::sleep_for(50ms);
    return waiters;
  }

  ArtifactStore store_{{.directory = ""}};
  std::promise<void> end_;
  std::future<ArtifactStore::Hit> leader_;
};

TEST_F(WaitersTest, GetWhatTheLeaderMade) {
  auto waiters = Run([this] { return artifact_; });
  end_.set_value();
  const ArtifactPtr made = leader_.get().artifact;
  for (auto& waiter : waiters) EXPECT_EQ(waiter.get().artifact, made);
  EXPECT_EQ(compiles_, 0);
}

TEST_F(WaitersTest, GetTheLeadersFailure) {
  auto waiters = Run([]() -> Artifact { throw CompileError("compile f", "the log", ""); });
  end_.set_value();
  EXPECT_THROW(leader_.get(), CompileError);
  int failed = 0;
  for (auto& waiter : waiters) try {
      EXPECT_EQ(*waiter.get().artifact, artifact_);  // Came too late to wait.
    } catch (const CompileError& error) {
      EXPECT_EQ(error.log(), "the log");
      ++failed;
    }
  EXPECT_EQ(compiles_ > 0, failed < kWaiters);
}

TEST_F(WaitersTest, CompileThemselvesWhereTheLeaderWasCancelled) {
  auto waiters = Run([]() -> Artifact { throw Error(Code::kCancelled, "cancelled"); });
  end_.set_value();
  EXPECT_THROW(leader_.get(), Error);
  for (auto& waiter : waiters) EXPECT_EQ(*waiter.get().artifact, artifact_);
  EXPECT_EQ(compiles_, 1);
}

TEST_F(WaitersTest, CanBeCancelledThemselves) {
  CancellationToken cancel;
  auto waiters = Run([this] { return artifact_; }, &cancel);
  cancel.Cancel();
  for (auto& waiter : waiters) try {
      waiter.get();
      FAIL();
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), Code::kCancelled);
    }
  end_.set_value();
  EXPECT_EQ(leader_.get().origin, Origin::kCompiled);
}

/// Breaks its promise never to throw but when it fails as a whole, in whichever way it is used.
class ThrowingTier : public Tier {
 public:
  Origin origin() const override { return Origin::kDisk; }
  ArtifactPtr Get(const CacheKey&) override { throw std::runtime_error("the disk is on fire"); }
  void Put(const CacheKey&, const ArtifactPtr&) override { throw std::runtime_error("the disk is on fire"); }
  void Remove(const CacheKey&) override {}
  void ForEach(const std::function<bool(const std::string&, std::uint64_t)>&) override {}
};

TEST_F(StoreTest, ATierThatThrowsIsOffFromThenOn) {
  std::vector<std::unique_ptr<Tier>> tiers;
  tiers.push_back(std::make_unique<ThrowingTier>());
  ArtifactStore store({.directory = ""}, std::move(tiers));
  EXPECT_FALSE(store.Get(key_));
  EXPECT_EQ(GetOrCompile(store).origin, Origin::kCompiled);
  EXPECT_EQ(store.Stats().disk_status, "the disk is on fire");
  EXPECT_EQ(warnings_.messages(), std::vector<std::string>{"cache: the disk tier is off: the disk is on fire"});
}

TEST_F(StoreTest, OneDirectoryHasOneStoreWhileAnybodyHoldsIt) {
  fs::create_directory(root_);
  fs::create_directory_symlink(root_, dir_ / "link");
  const auto store = ArtifactStore::Open(OnDisk());
  EXPECT_EQ(ArtifactStore::Open({.directory = (dir_ / "link/").string()}), store);
  EXPECT_EQ(ArtifactStore::Open({.directory = (dir_ / "new/../cache/.").string()}), store);
  EXPECT_NE(ArtifactStore::Open({.directory = (dir_ / "other").string()}), store);
  EXPECT_NE(ArtifactStore::Open({.directory = root_.string(), .enable_memory = false}), store);
  EXPECT_NE(ArtifactStore::Open({.directory = ""}), store);
  GetOrCompile(*store);
  const std::weak_ptr<ArtifactStore> gone = ArtifactStore::Open({.directory = (dir_ / "other").string()});
  EXPECT_TRUE(gone.expired());
  EXPECT_EQ(ArtifactStore::Open(OnDisk())->Get(key_)->origin, Origin::kMemory);
}

TEST_F(StoreTest, EachPolicyHasAStoreOfItsOwn) {
  const auto store = ArtifactStore::Open(OnDisk());
  ArtifactStore::Options options = OnDisk();
  options.policy = CachePolicy::Development();
  const auto other = ArtifactStore::Open(options);
  EXPECT_NE(other, store);
  EXPECT_EQ(ArtifactStore::Open(options), other);
}

TEST_F(StoreTest, KeepsSourcePtxAndLogBesideTheEntryOnlyWhereThePolicySaysSo) {
  fs::path beside = testing::EntryPath(root_, key_);
  const Artifact artifact = artifact_;
  for (const bool debug : {false, true}) {
    ArtifactStore::Options options = OnDisk();
    options.policy.enable_debug = debug;
    ArtifactStore store(options);
    store.GetOrCompile(key_, false, [&] { return artifact; });
    store.KeepForDebugging(key_, "the source", artifact);
    for (const auto& [suffix, text] :
         {std::pair{".cu", std::string("the source")}, {".ptx", artifact.parts.at("ptx")}, {".log", artifact.log}}) {
      EXPECT_EQ(fs::exists(beside.replace_extension(suffix)), debug) << suffix;
      EXPECT_EQ(testing::ReadFile(beside), debug ? text : "") << suffix;
    }
  }
}

TEST_F(StoreTest, ARelativeDirectoryStaysWhereItWas) {
  const fs::path before = fs::current_path();
  fs::current_path(dir_.string());
  ArtifactStore store({.directory = "./cache"});
  fs::current_path(before);
  GetOrCompile(store);
  EXPECT_TRUE(fs::exists(testing::EntryPath(root_, key_)));
}

}  // namespace
}  // namespace gemmsmith
