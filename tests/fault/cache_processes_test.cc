// Several processes on one cache: started together, killed, forked.
#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <thread>

#include "../support/cache_testing.h"
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

TEST_F(CacheProcesses, SixteenCompileOneKeyOnce) {
  std::vector<pid_t> children;
  for (int i = 0; i < 16; ++i) children.push_back(Spawn([&] { return Use("f", 200ms); }));
  for (const pid_t child : children) EXPECT_EQ(Await(child), 0);
  EXPECT_EQ(Compiles(), 1u);
}

TEST_F(CacheProcesses, SixteenOnSixteenKeysCompileEachOnce) {
  std::vector<pid_t> children;
  for (int i = 0; i < 16; ++i)
    children.push_back(Spawn([&, i] {
      for (int k = 0; k < 16; ++k)
        if (!Use("f" + std::to_string((i + k) % 16), 5ms)) return false;
      return true;
    }));
  for (const pid_t child : children) EXPECT_EQ(Await(child), 0);
  EXPECT_EQ(Compiles(), 16u);
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

TEST_F(CacheProcesses, KilledWritersLeaveNoBrokenEntry) {
  constexpr int kWriters = 40;
  for (int i = 0; i < kWriters; ++i) {
    const pid_t writer = Spawn([&] {
      ArtifactStore store({.directory = options_.directory, .enable_memory = false});
      for (int k = 0;; ++k)
        store.GetOrCompile(KeyOf(std::to_string(i * 100'000 + k)), false, [&] { return artifact_; });
      return true;
    });
    std::this_thread::sleep_for(std::chrono::microseconds(2000 + random_.Below(8000)));
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
  EXPECT_TRUE(warnings.messages().empty());
}

}  // namespace
}  // namespace gemmsmith
