// What a file system can do to the cache: whatever happens, every call answers with the right kernel.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>
#include <thread>

#include "../support/cache_testing.h"
#include "jit/cache/disk_tier.h"
#include "util/file_lock.h"

namespace gemmsmith {
namespace {

using namespace std::chrono_literals;
namespace fs = std::filesystem;
using testing::Await;
using testing::EntryPath;
using testing::FilesBelow;
using testing::KeyOf;
using testing::MakeArtifact;
using testing::Spawn;
using testing::WriteFile;

/// In a mount namespace of this process alone; whoever is not root becomes it in a user namespace.
bool MountSmallDisk(const fs::path& disk) {
  const uid_t user = geteuid();
  const gid_t group = getegid();
  if (user != 0) {
    if (unshare(CLONE_NEWUSER) != 0) return false;
    WriteFile("/proc/self/uid_map", fmt::format("0 {} 1", user));
    WriteFile("/proc/self/setgroups", "deny");  // Without it no group may be mapped.
    WriteFile("/proc/self/gid_map", fmt::format("0 {} 1", group));
  }
  return unshare(CLONE_NEWNS) == 0 && mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
         mount("tmpfs", disk.c_str(), "tmpfs", 0, "size=5m") == 0;
}

class CacheDisk : public ::testing::Test {
 protected:
  /// Two new stores on `directory` must serve `key_`; the last call's origin. Expects one warning for each that has a
  /// trouble.
  Origin Serve(const std::string& directory, bool expect_trouble) {
    Origin origin{};
    for (int i = 0; i < 2; ++i) {
      const testing::Warnings warnings;
      ArtifactStore store({.directory = directory, .enable_memory = false});
      for (int call = 0; call < 3; ++call) {
        const auto hit = store.GetOrCompile(key_, false, [&] { return artifact_; });
        EXPECT_EQ(*hit.artifact, artifact_);
        origin = hit.origin;
      }
      EXPECT_EQ(!store.Stats().disk_status.empty(), expect_trouble) << store.Stats().disk_status;
      EXPECT_EQ(warnings.messages().size(), expect_trouble ? 1u : 0u);
    }
    return origin;
  }
  /// In a process that permissions apply to. `body` sees a folder of its own.
  void AsNobody(const std::function<void(const fs::path& dir)>& body) {
    const pid_t child = Spawn([&] {
      if (geteuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0)) return false;
      const testing::TempDir dir;
      body(dir.string());
      return !HasFailure();
    });
    EXPECT_EQ(Await(child), 0);
  }

  /// In a process with a file system of 5 MB of its own, which goes with it. False where this user may not have one.
  bool OnSmallDisk(const std::function<void(const fs::path& disk)>& body) {
    const fs::path disk = dir_ / "disk";
    fs::create_directory(disk);
    constexpr int kForbidden = 77;
    const int result = Await(Spawn([&] {
      if (!MountSmallDisk(disk)) _exit(kForbidden);
      body(disk);
      return !HasFailure();
    }));
    EXPECT_TRUE(result == 0 || result == kForbidden) << result;
    return result != kForbidden;
  }

  testing::TempDir dir_;
  testing::Random random_;
  ::testing::ScopedTrace trace_{__FILE__, __LINE__, random_.trace()};
  const CacheKey key_ = KeyOf("f");
  const Artifact artifact_ = MakeArtifact("f", random_, 100'000);
};

TEST_F(CacheDisk, NoDirectoryIsNoDiskTier) {
  const testing::Warnings warnings;
  ArtifactStore store({.directory = ""});
  EXPECT_EQ(store.GetOrCompile(key_, false, [&] { return artifact_; }).origin, Origin::kCompiled);
  EXPECT_EQ(store.GetOrCompile(key_, false, [&] { return artifact_; }).origin, Origin::kMemory);
  EXPECT_TRUE(warnings.messages().empty());
}

TEST_F(CacheDisk, AWorkingFolderGivesNoTrouble) { EXPECT_EQ(Serve((dir_ / "c").string(), false), Origin::kDisk); }

TEST_F(CacheDisk, AFileInTheWay) {
  WriteFile(dir_ / "file", "x");
  EXPECT_EQ(Serve((dir_ / "file").string(), true), Origin::kCompiled);
  EXPECT_EQ(Serve((dir_ / "file/below").string(), true), Origin::kCompiled);
}

TEST_F(CacheDisk, AFileInTheWayOfEachFolderInside) {
  for (const char* name : {"kernels", "temp"}) {
    const fs::path root = dir_ / ("in-the-way-of-" + std::string(name));
    fs::create_directory(root);
    WriteFile(root / name, "x");
    EXPECT_EQ(Serve(root.string(), true), Origin::kCompiled) << name;
  }
  fs::create_directory(dir_ / "locks");
  WriteFile(dir_ / "locks/metadata", "x");
  EXPECT_EQ(Serve((dir_ / "locks").string(), false), Origin::kDisk) << "locks are no must";
}

TEST_F(CacheDisk, AFolderThatCannotBeMade) {
  AsNobody([&](const fs::path& dir) {
    fs::permissions(dir, fs::perms::owner_read | fs::perms::owner_exec);
    EXPECT_EQ(Serve((dir / "cache").string(), true), Origin::kCompiled);
    fs::permissions(dir, fs::perms::owner_all);
  });
}

TEST_F(CacheDisk, AFolderThatCannotBeSearched) {
  AsNobody([&](const fs::path& dir) {
    Serve((dir / "cache").string(), false);
    fs::permissions(dir / "cache", fs::perms::none);
    EXPECT_EQ(Serve((dir / "cache").string(), true), Origin::kCompiled);
    fs::permissions(dir / "cache", fs::perms::owner_all);
  });
}

TEST_F(CacheDisk, AReadOnlyCacheIsRead) {
  AsNobody([&](const fs::path& dir) {
    const fs::path root = dir / "cache", shard = EntryPath(root, key_).parent_path();
    Serve(root.string(), false);
    for (const fs::path& path : {root, root / "temp", shard})
      fs::permissions(path, fs::perms::owner_read | fs::perms::owner_exec);
    EXPECT_EQ(Serve(root.string(), false), Origin::kDisk);
    const testing::Warnings warnings;
    ArtifactStore store({.directory = root.string()});
    EXPECT_EQ(store.GetOrCompile(KeyOf("g"), false, [&] { return artifact_; }).origin, Origin::kCompiled);
    EXPECT_EQ(store.Get(key_)->origin, Origin::kDisk);
    EXPECT_EQ(warnings.messages().size(), 1u);
    for (const fs::path& path : {root, root / "temp", shard}) fs::permissions(path, fs::perms::owner_all);
  });
}

TEST_F(CacheDisk, ABrokenEntryThatCannotBeMovedIsStillAMiss) {
  AsNobody([&](const fs::path& dir) {
    const fs::path root = dir / "cache", path = EntryPath(root, key_);
    Serve(root.string(), false);
    WriteFile(path, "broken");
    for (const fs::path& folder : {path.parent_path(), root})
      fs::permissions(folder, fs::perms::owner_read | fs::perms::owner_exec);
    const testing::Warnings warnings;
    DiskTier tier(root.string(), 60s);
    for (int i = 0; i < 3; ++i) EXPECT_EQ(tier.Get(key_), nullptr);
    EXPECT_EQ(warnings.messages().size(), 1u);
    for (const fs::path& folder : {root, path.parent_path()}) fs::permissions(folder, fs::perms::owner_all);
  });
}

TEST_F(CacheDisk, AFileThatStopsGrowingIsNotPublished) {
  EXPECT_EQ(Await(Spawn([&] {
              // A write beyond the limit is cut short, and the next one fails with EFBIG.
              signal(SIGXFSZ, SIG_IGN);
              const rlimit limit{20'000, 20'000};
              if (setrlimit(RLIMIT_FSIZE, &limit) != 0) return false;
              Serve((dir_ / "cache").string(), true);
              return !HasFailure();
            })),
            0);
  EXPECT_TRUE(FilesBelow(dir_ / "cache/kernels").empty());
  EXPECT_TRUE(FilesBelow(dir_ / "cache/temp").empty());
  EXPECT_EQ(Serve((dir_ / "cache").string(), false), Origin::kDisk) << "works again without the limit";
}

TEST_F(CacheDisk, AFullDiskCostsNothingButTheCacheAndIsForgottenOnceThereIsSpace) {
  const bool is_allowed = OnSmallDisk([&](const fs::path& disk) {
    const testing::Warnings warnings;
    ArtifactStore store({.directory = (disk / "cache").string(), .enable_memory = false, .retry_after = 0ms});
    // Each fills 50 KB.
    const auto use = [&](int i) {
      const auto hit = store.GetOrCompile(KeyOf(std::to_string(i)), false, [&] { return artifact_; });
      EXPECT_EQ(*hit.artifact, artifact_);
      return hit.origin;
    };
    for (int i = 0; i < 150; ++i) use(i);
    EXPECT_NE(store.Stats().disk_status.find("No space left"), std::string::npos) << store.Stats().disk_status;
    EXPECT_EQ(warnings.messages().size(), 1u);
    EXPECT_TRUE(FilesBelow(disk / "cache/temp").empty());
    const std::uint64_t kept = store.Stats().disk_kernels;
    EXPECT_GT(kept, 5u);
    EXPECT_EQ(use(0), Origin::kDisk) << "what is there is read";
    fs::remove_all(disk / "cache/kernels");
    EXPECT_EQ(use(99), Origin::kCompiled);
    EXPECT_EQ(use(99), Origin::kDisk);
    EXPECT_EQ(store.Stats().disk_status, "");
  });
  if (!is_allowed) GTEST_SKIP() << "this user may not mount a small file system";
}

TEST_F(CacheDisk, AReadOnlyFileSystemIsRead) {
  const bool is_allowed = OnSmallDisk([&](const fs::path& disk) {
    Serve((disk / "cache").string(), false);
    EXPECT_EQ(mount("", disk.c_str(), "", MS_REMOUNT | MS_RDONLY, ""), 0);
    EXPECT_EQ(Serve((disk / "cache").string(), false), Origin::kDisk);
    EXPECT_EQ(Serve((disk / "new").string(), true), Origin::kCompiled);
  });
  if (!is_allowed) GTEST_SKIP() << "this user may not mount a small file system";
}

TEST_F(CacheDisk, EntriesMayGoWhileTheyAreRead) {
  DiskTier tier((dir_ / "cache").string(), 60s);
  const auto artifact = std::make_shared<const Artifact>(artifact_);
  std::atomic<bool> stop = false;
  const testing::Warnings warnings;
  std::thread evictor([&] {
    while (!stop) tier.Remove(key_);
  });
  for (int i = 0; i < 300; ++i) {
    tier.Put(key_, artifact);
    const ArtifactPtr got = tier.Get(key_);
    EXPECT_TRUE(got == nullptr || *got == artifact_);
  }
  stop = true;
  evictor.join();
  EXPECT_TRUE(warnings.messages().empty()) << warnings.messages().front();
}

}  // namespace
}  // namespace gemmsmith
