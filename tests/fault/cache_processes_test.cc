// Several processes on one cache: started together, killed, forked.
#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <thread>

#include "../support/cache_testing.h"
#include "jit/cache/disk_tier.h"
#include "jit/cache/entry_files.h"
#include "util/file_lock.h"
#include "util/paths.h"

namespace gemmsmith {
namespace {

using namespace std::chrono_literals;
namespace fs = std::filesystem;
using testing::Await;
using testing::Eventually;
using testing::FilesBelow;
using testing::KeyOf;
using testing::MakeArtifact;
using testing::Spawn;

class CacheProcesses : public ::testing::Test {
 protected:
  /// A compile that leaves a file behind, by which compiles are counted.
  Artifact Compile(const std::string& kernel, std::chrono::milliseconds duration = 0ms) const {
    testing::WriteFile(dir_ / ("compiled-" + kernel + "-" + std::to_string(getpid())), "");
    std::this_thread::sleep_for(duration);
    return artifact_;
  }
  std::size_t Compiles() const {
    const auto files = FilesBelow(dir_.string());
    return std::ranges::count_if(files,
                                 [](const fs::path& p) { return p.filename().string().starts_with("compiled-"); });
  }
  /// One process' use of the cache.
  bool Use(const std::string& kernel, std::chrono::milliseconds duration) const {
    ArtifactStore store(options_);
    return *store.GetOrCompile(KeyOf(kernel), false, [&] { return Compile(kernel, duration); }).artifact == artifact_;
  }
  bool IsLocked(const std::string& kernel) const {
    const std::string path = LockPath(options_.directory);
    return fs::exists(path) && !FileLock::Acquire(path, KeyOf(kernel).digest.Hex(), 0ms);
  }
  /// A process that compiles for ever, once it has got as far as that.
  pid_t SpawnEndlessCompile() const {
    const pid_t child = Spawn([&] { return Use("f", 1h); });
    EXPECT_TRUE(Eventually([&] { return Compiles() == 1; }));
    return child;
  }

  testing::TempDir dir_;
  testing::Random random_;
  ::testing::ScopedTrace trace_{__FILE__, __LINE__, random_.trace()};
  const ArtifactStore::Options options_{.directory = (dir_ / "cache").string()};
  const Artifact artifact_ = MakeArtifact("f", random_, 30'000);
};

TEST_F(CacheProcesses, SixtyFourCompileOneKeyOnce) {
  std::vector<pid_t> children;
  for (int i = 0; i < 64; ++i) children.push_back(Spawn([&] { return Use("f", 200ms); }));
  for (const pid_t child : children) EXPECT_EQ(Await(child), 0);
  EXPECT_EQ(Compiles(), 1u);
}

TEST_F(CacheProcesses, SixtyFourOnSixtyFourKeysCompileEachOnceAndReadEachRight) {
  std::vector<pid_t> children;
  for (int i = 0; i < 64; ++i)
    children.push_back(Spawn([&, i] {
      ArtifactStore store(options_);
      for (int k = 0; k < 64; ++k) {
        const std::string kernel = "f" + std::to_string((i + k) % 64);
        Artifact wanted = artifact_;
        wanted.kernel_name = kernel;
        const auto compile = [&] {
          Compile(kernel, 5ms);
          return wanted;
        };
        if (*store.GetOrCompile(KeyOf(kernel), false, compile).artifact != wanted) return false;
      }
      return true;
    }));
  for (const pid_t child : children) EXPECT_EQ(Await(child), 0);
  EXPECT_EQ(Compiles(), 64u);
}

TEST_F(CacheProcesses, WritersOfDifferentOutputsOfOneKeyAreNeverMixed) {
  const auto artifact_of = [&](int writer) {
    Artifact artifact = artifact_;
    artifact.parts["cubin"] = std::string(20'000, static_cast<char>('a' + writer));
    artifact.resources.static_shared_bytes = 1000 * (writer + 1);
    return artifact;
  };
  std::vector<pid_t> children;
  for (int writer = 0; writer < 2; ++writer)
    children.push_back(Spawn([&, writer] {
      DiskTier tier(options_.directory, 0ms);
      const auto mine = std::make_shared<const Artifact>(artifact_of(writer));
      for (int i = 0; i < 300; ++i) tier.Put(KeyOf("f"), mine);
      return tier.Trouble().empty();
    }));
  const testing::Warnings warnings;
  DiskTier reader(options_.directory, 0ms);
  const Artifact either[] = {artifact_of(0), artifact_of(1)};
  for (int i = 0; i < 1000; ++i) {
    const ArtifactPtr got = reader.Get(KeyOf("f"));
    ASSERT_TRUE(got == nullptr || *got == either[0] || *got == either[1]);
  }
  for (const pid_t child : children) EXPECT_EQ(Await(child), 0);
  EXPECT_NE(reader.Get(KeyOf("f")), nullptr);
  EXPECT_TRUE(warnings.messages().empty());
}

TEST_F(CacheProcesses, WhenTheOneThatCompilesIsKilledAnotherTakesOver) {
  const pid_t holder = SpawnEndlessCompile();
  const pid_t waiter = Spawn([&] { return Use("f", 0ms); });
  std::this_thread::sleep_for(50ms);
  kill(holder, SIGKILL);
  EXPECT_EQ(Await(holder), 128 + SIGKILL);
  EXPECT_EQ(Await(waiter), 0);
  EXPECT_EQ(Compiles(), 2u);
  EXPECT_TRUE(fs::exists(LockPath(options_.directory))) << "never unlinked";
}

TEST_F(CacheProcesses, WaitingForAnotherProcessIsBounded) {
  const pid_t holder = SpawnEndlessCompile();
  ArtifactStore::Options options = options_;
  options.lock_timeout = 50ms;
  ArtifactStore store(options);
  const auto hit = store.GetOrCompile(KeyOf("f"), false, [&] { return Compile("f"); });
  EXPECT_EQ(hit.origin, Origin::kCompiled);
  kill(holder, SIGKILL);
  Await(holder);
}

TEST_F(CacheProcesses, WaitingForAnotherProcessCanBeCancelled) {
  const pid_t holder = SpawnEndlessCompile();
  CancellationToken cancel;
  std::thread canceller([&] {
    std::this_thread::sleep_for(30ms);
    cancel.Cancel();
  });
  ArtifactStore store(options_);
  try {
    store.GetOrCompile(
        KeyOf("f"), false, [&] { return Compile("f"); }, &cancel);
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Code::kCancelled);
  }
  canceller.join();
  kill(holder, SIGKILL);
  Await(holder);
}

TEST_F(CacheProcesses, AFailedCompileElsewhereIsNotOurs) {
  const auto fails = [&]() -> Artifact {
    Compile("f", 100ms);
    throw CompileError("compile f", "log", "");
  };
  const pid_t failing = Spawn([&] {
    ArtifactStore store(options_);
    store.GetOrCompile(KeyOf("f"), false, fails);
    return true;
  });
  ASSERT_TRUE(Eventually([&] { return Compiles() == 1; }));
  EXPECT_TRUE(Use("f", 0ms));
  EXPECT_EQ(Await(failing), 1);
  EXPECT_EQ(Compiles(), 2u);
}

TEST_F(CacheProcesses, ACompileThatWasMendedSucceedsInTheSameProcessAndInANewOne) {
  const auto fails = []() -> Artifact { throw CompileError("compile f", "log", ""); };
  for (const bool same : {true, false}) {
    ArtifactStore::Options options = options_;
    options.directory += same ? "-same" : "-new";
    ArtifactStore store(options);
    for (int i = 0; i < 2; ++i) EXPECT_THROW(store.GetOrCompile(KeyOf("f"), false, fails), CompileError);
    EXPECT_TRUE(FilesBelow(options.directory + "/kernels").empty());
    EXPECT_EQ(store.Stats().compiles, 0u);
    const auto mended = [&](ArtifactStore& used) {
      const auto hit = used.GetOrCompile(KeyOf("f"), false, [&] { return artifact_; });
      return hit.origin == Origin::kCompiled && *hit.artifact == artifact_;
    };
    if (same) {
      EXPECT_TRUE(mended(store));
    } else {
      EXPECT_EQ(Await(Spawn([&] {
                  ArtifactStore fresh(options);
                  return mended(fresh);
                })),
                0);
    }
    EXPECT_EQ(*store.Get(KeyOf("f"))->artifact, artifact_);
  }
}

TEST_F(CacheProcesses, AChildForkedDuringACompileNeitherFreesTheLockNorWaitsForAThreadThatItLacks) {
  ArtifactStore::Options options = options_;
  options.lock_timeout = 50ms;
  ArtifactStore store(options);
  const auto compile = [&] { return Compile("f"); };
  store.GetOrCompile(KeyOf("f"), false, [&] {
    const pid_t child =
        Spawn([&] { return store.GetOrCompile(KeyOf("f"), false, compile).origin == Origin::kCompiled; });
    EXPECT_EQ(Await(child), 0);
    EXPECT_TRUE(IsLocked("f"));
    return artifact_;
  });
  EXPECT_FALSE(IsLocked("f"));
  EXPECT_EQ(Compiles(), 1u);
}

TEST_F(CacheProcesses, TwoHundredKilledWritersLeaveNoBrokenEntryAndNoFileForGood) {
  constexpr int kWriters = 200;
  for (int i = 0; i < kWriters; ++i) {
    const pid_t writer = Spawn([&] {
      ArtifactStore store({.directory = options_.directory, .enable_memory = false});
      for (int k = 0;; ++k)
        store.GetOrCompile(KeyOf(std::to_string(i * 100'000 + k)), false, [&] { return artifact_; });
      return true;
    });
    std::this_thread::sleep_for(std::chrono::microseconds(1000 + random_.Below(5000)));
    kill(writer, SIGKILL);
    Await(writer);
  }
  const testing::Warnings warnings;
  ArtifactStore store(options_);
  std::size_t entries = 0;
  for (int i = 0; i < kWriters; ++i)
    for (int k = 0;; ++k, ++entries) {
      const auto hit = store.Get(KeyOf(std::to_string(i * 100'000 + k)));
      if (!hit) break;
      ASSERT_EQ(*hit->artifact, artifact_);
    }
  EXPECT_EQ(entries, store.Stats().disk_kernels);
  EXPECT_GT(entries, 0u);
  for (const fs::path& temporary : FilesBelow(options_.directory + "/temp")) testing::ShiftTime(temporary, -2h);
  EXPECT_TRUE(Use("works on", 0ms));
  EXPECT_TRUE(FilesBelow(options_.directory + "/temp").empty());
  EXPECT_TRUE(warnings.messages().empty());
}

}  // namespace
}  // namespace gemmsmith
