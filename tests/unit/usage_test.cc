#include "jit/cache/usage.h"

#include <gtest/gtest.h>

#include "../support/cache_testing.h"
#include "jit/cache/disk_tier.h"

namespace gemmsmith {
namespace {

using namespace std::chrono_literals;
namespace fs = std::filesystem;
using testing::Await;
using testing::KeyOf;
using testing::MakeArtifact;
using testing::Spawn;

class UsageTest : public ::testing::Test {
 protected:
  UsageTest() { DiskTier(root_.string(), 60s).Put(key_, artifact_); }

  testing::TempDir dir_;
  testing::Warnings warnings_;
  testing::Random random_;
  const fs::path root_ = dir_ / "cache";
  const std::string directory_ = root_.string();
  const CacheKey key_ = KeyOf("f");
  const std::string digest_ = key_.digest.Hex();
  const ArtifactPtr artifact_ = std::make_shared<const Artifact>(MakeArtifact("f", random_));
};

TEST_F(UsageTest, AHitWritesNothingUntilTheProcessAddsItsShare) {
  const std::size_t before = testing::FilesBelow(root_).size();
  UsageBuffer buffer(directory_);
  for (int i = 0; i < 5; ++i) buffer.Hit(digest_, Origin::kDisk, 100);
  buffer.Miss(digest_);
  buffer.FlushSometimes();
  EXPECT_EQ(testing::FilesBelow(root_).size(), before);
  EXPECT_TRUE(ReadUsage(directory_).empty());
  buffer.Flush();
  EXPECT_EQ(ReadUsage(directory_).uses[digest_], 5u);
}

TEST_F(UsageTest, SumsUpWhatAllBuffersCounted) {
  for (int i = 0; i < 3; ++i) {
    UsageBuffer buffer(directory_);
    buffer.MemoryHit();
    buffer.Hit(digest_, Origin::kDisk, 1.5);
    buffer.Hit(KeyOf("g").digest.Hex(), Origin::kBundle, 10);
    buffer.Miss(KeyOf("h").digest.Hex());
    buffer.Flush();
    buffer.Flush();
  }
  const Usage usage = ReadUsage(directory_);
  EXPECT_EQ(usage.history.memory_hits, 3u);
  EXPECT_EQ(usage.history.disk_hits, 3u);
  EXPECT_EQ(usage.history.bundle_hits, 3u);
  EXPECT_EQ(usage.history.misses, 3u);
  EXPECT_DOUBLE_EQ(usage.history.saved_compile_ms, 34.5);
  EXPECT_EQ(usage.uses.size(), 2u);
  EXPECT_EQ(usage.uses.at(digest_), 3u);
}

TEST_F(UsageTest, ProcessesLoseNoCountToEachOther) {
  std::vector<pid_t> children;
  for (int process = 0; process < 8; ++process)
    children.push_back(Spawn([&] {
      for (int i = 0; i < 20; ++i) {
        UsageBuffer buffer(directory_);
        buffer.Hit(digest_, Origin::kDisk, 1);
      }
      return true;
    }));
  for (const pid_t child : children) EXPECT_EQ(Await(child), 0);
  EXPECT_EQ(ReadUsage(directory_).uses[digest_], 160u);
}

TEST_F(UsageTest, AForkedChildDoesNotAddWhatItsParentCounted) {
  UsageBuffer buffer(directory_);
  buffer.MemoryHit();
  buffer.Hit(digest_, Origin::kDisk, 1);
  EXPECT_EQ(Await(Spawn([&] {
              buffer.Hit(digest_, Origin::kDisk, 1);
              buffer.Flush();
              return true;
            })),
            0);
  EXPECT_EQ(ReadUsage(directory_).uses[digest_], 1u);
  buffer.Flush();
  EXPECT_EQ(ReadUsage(directory_).uses[digest_], 2u);
  EXPECT_EQ(ReadUsage(directory_).history.memory_hits, 1u);
}

TEST_F(UsageTest, ADamagedFileCostsCountsAndNothingElse) {
  fs::create_directories(root_ / "metadata/counters");
  for (const std::string& text :
       {std::string("disk_hits x\n\n \nmisses -1\nsaved_ms nan\n") + digest_ + " 99999999999999999999999\n",
        random_.Bytes(1000), std::string(40, ' ')}) {
    fs::remove_all(root_ / "metadata/counters");
    fs::create_directories(root_ / "metadata/counters");
    testing::WriteFile(root_ / "metadata/counters" / digest_.substr(0, 1), text);
    UsageBuffer buffer(directory_);
    buffer.Hit(digest_, Origin::kDisk, 2);
    buffer.Flush();
    EXPECT_EQ(ReadUsage(directory_).uses[digest_], 1u);
    EXPECT_DOUBLE_EQ(ReadUsage(directory_).history.saved_compile_ms, 2);
  }
}

TEST_F(UsageTest, WithoutACacheNothingIsMade) {
  const std::string elsewhere = (dir_ / "elsewhere").string();
  for (const std::string& directory : {elsewhere, std::string()}) {
    UsageBuffer buffer(directory);
    buffer.Miss(digest_);
    buffer.Flush();
  }
  EXPECT_FALSE(fs::exists(elsewhere));
}

TEST_F(UsageTest, WhatCannotBeWrittenIsAddedLater) {
  UsageBuffer buffer(directory_);
  buffer.Hit(digest_, Origin::kDisk, 1);
  testing::WriteFile(root_ / "metadata", "a file in the way");
  buffer.Flush();
  fs::remove(root_ / "metadata");
  buffer.Flush();
  EXPECT_EQ(ReadUsage(directory_).uses[digest_], 1u);
  EXPECT_TRUE(warnings_.messages().empty());
}

TEST_F(UsageTest, AStoreCountsWhatItServesFromDiskAndAddsItAtTheEnd) {
  for (int i = 0; i < 3; ++i) {
    ArtifactStore store({.directory = directory_});
    EXPECT_EQ(store.Get(key_)->origin, Origin::kDisk);
    EXPECT_EQ(store.Get(key_)->origin, Origin::kMemory);
    EXPECT_FALSE(store.Get(KeyOf("g")));
    EXPECT_FALSE(store.Get(KeyOf("h"), /*memory_only=*/true));
  }
  const Usage usage = ReadUsage(directory_);
  EXPECT_EQ(usage.uses.at(digest_), 3u);
  EXPECT_EQ(usage.history.disk_hits, 3u);
  EXPECT_EQ(usage.history.memory_hits, 3u);
  EXPECT_EQ(usage.history.misses, 3u);
  EXPECT_DOUBLE_EQ(usage.history.saved_compile_ms, 3 * artifact_->compile_ms);
}

TEST_F(UsageTest, IsAddedAtExitOfAProcessThatNeverDestroysItsStore) {
  const pid_t child = fork();
  if (child == 0) {
    auto* const store = new ArtifactStore({.directory = directory_});
    store->Get(key_);
    std::exit(0);
  }
  EXPECT_EQ(Await(child), 0);
  EXPECT_EQ(ReadUsage(directory_).uses[digest_], 1u);
}

TEST_F(UsageTest, EvictedEntriesAreForgottenAndTheHistoryStays) {
  {
    UsageBuffer buffer(directory_);
    buffer.Hit(digest_, Origin::kDisk, 1);
  }
  testing::ShiftTime(testing::EntryPath(root_, key_), -2h);
  DiskTier(root_.string(), 60s, {.max_cached_kernels = 1}).Put(KeyOf("g"), artifact_);
  const Usage usage = ReadUsage(directory_);
  EXPECT_TRUE(usage.uses.empty());
  EXPECT_EQ(usage.history.disk_hits, 1u);
}

}  // namespace
}  // namespace gemmsmith
