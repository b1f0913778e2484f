#include "jit/cache/eviction.h"

#include <gtest/gtest.h>

#include <limits>

#include "../support/cache_testing.h"
#include "jit/cache/disk_tier.h"

namespace gemmsmith {
namespace {

using namespace std::chrono_literals;
namespace fs = std::filesystem;
using testing::Await;
using testing::EntryPath;
using testing::KeyOf;
using testing::MakeArtifact;
using testing::ShiftTime;
using testing::Spawn;

constexpr std::int64_t kNow = 1'000'000;

EntryFile EntryOf(const std::string& name, std::int64_t age, std::int64_t bytes = 10) {
  struct stat info {};
  info.st_size = bytes;
  info.st_mtim.tv_sec = kNow - age;
  return EntryFile(name, info, /*is_alone=*/false);
}

TEST(Victims, AreTheOldTheManyAndTheLargeUnusedLongestFirst) {
  using Names = std::vector<std::string>;
  const std::vector<EntryFile> entries = {EntryOf("b", 20), EntryOf("future", -500), EntryOf("a", 30), EntryOf("d", 5),
                                          EntryOf("c", 10, 60)};
  constexpr auto kAll = std::numeric_limits<std::uint64_t>::max();
  const struct {
    PruneLimits limits;
    double fill;
    Names gone;
  } cases[] = {
      {{}, 1, {}},
      {{.max_bytes = kAll, .max_kernels = kAll, .max_age = std::chrono::seconds::max()}, 1, {}},
      {{.max_kernels = 5}, 0.5, {}},
      {{.max_kernels = 4}, 1, {"a"}},
      {{.max_kernels = 4}, 0.5, {"a", "b", "c"}},
      {{.max_kernels = 1}, 0.9, {"a", "b", "c", "d"}},
      {{.max_kernels = 0}, 1, {"a", "b", "c", "d", "future"}},
      {{.max_bytes = 100}, 1, {}},
      {{.max_bytes = 99}, 1, {"a"}},
      {{.max_bytes = 60}, 1, {"a", "b", "c"}},
      {{.max_bytes = 0}, 1, {"a", "b", "c", "d", "future"}},
      {{.max_age = 10s}, 1, {"a", "b"}},
      {{.max_age = 0s}, 1, {"a", "b", "c", "d"}},
      {{.max_kernels = 3, .max_age = 10s}, 1, {"a", "b"}},
      {{.max_kernels = 2, .max_age = 10s}, 1, {"a", "b", "c"}},
  };
  for (const auto& c : cases) {
    Names gone;
    for (const EntryFile& entry : Victims(entries, c.limits, kNow, c.fill)) gone.push_back(entry.digest);
    EXPECT_EQ(gone, c.gone) << &c - cases;
  }
}

TEST(Victims, AreNotTheNewestAtTheTurnOfASecondOrAfterTheClockWasSetBack) {
  const auto at = [](const char* name, std::int64_t age, std::int64_t nanoseconds) {
    EntryFile entry = EntryOf(name, age);
    entry.modified.tv_nsec = nanoseconds;
    return entry;
  };
  for (const std::vector<EntryFile>& entries : {std::vector{at("newest", -1, 1), at("old", 0, 999'999'999)},
                                                std::vector{at("newest", 0, 5), at("old", -500, 9)}}) {
    const std::vector<EntryFile> gone = Victims(entries, {.max_kernels = 1}, kNow, 1);
    ASSERT_EQ(gone.size(), 1);
    EXPECT_EQ(gone[0].digest, "old");
  }
}

TEST(ShardsPerGroup, IsLargeWhereALimitIsSmall) {
  const auto shards = [](std::uint64_t kernels, std::uint64_t bytes) {
    return ShardsPerGroup({.max_disk_cache_size = bytes, .max_cached_kernels = kernels});
  };
  EXPECT_EQ(shards(0, 0), 1);
  EXPECT_EQ(ShardsPerGroup({}), 1) << "the defaults must be cheap";
  EXPECT_EQ(shards(std::numeric_limits<std::uint64_t>::max(), std::numeric_limits<std::uint64_t>::max()), 1);
  for (const std::uint64_t small : {1, 2, 63}) {
    EXPECT_EQ(shards(small, 0), 256) << small;
    EXPECT_EQ(shards(0, small), 256) << small;
  }
  for (const std::uint64_t limit : {1000, 4096, 10'000, 100'000})
    EXPECT_TRUE(shards(limit, 0) == 256 || shards(limit, 0) * (limit / 256) >= 64) << limit;
}

class Eviction : public ::testing::Test {
 protected:
  std::uint64_t Count() const {
    std::uint64_t count = 0;
    VisitEntries(root_.string(), [&](const EntryFile&) { return ++count != 0; });
    return count;
  }
  static CacheKey Key(int i) { return KeyOf("f" + std::to_string(i)); }

  testing::TempDir dir_;
  testing::Warnings warnings_;
  testing::Random random_;
  ::testing::ScopedTrace trace_{__FILE__, __LINE__, random_.trace()};
  const fs::path root_ = dir_ / "cache";
  const ArtifactPtr artifact_ = std::make_shared<const Artifact>(MakeArtifact("f", random_));
};

TEST_F(Eviction, KeepsTheCountAtEveryPut) {
  for (const std::uint64_t limit : {1, 10, 100}) {
    fs::remove_all(root_);
    DiskTier tier(root_.string(), 60s, {.max_cached_kernels = limit});
    for (int i = 0; i < 250; ++i) {
      tier.Put(Key(i), artifact_);
      if (i % 50 != 0) continue;
      ASSERT_LE(Count(), limit) << i;
      ASSERT_NE(tier.Get(Key(i)), nullptr) << "the newest stays";
    }
    EXPECT_LE(Count(), limit);
    EXPECT_GE(Count(), limit / 2) << "more was removed than there was need";
  }
}

TEST_F(Eviction, KeepsTheBytesAtEveryPut) {
  DiskTier(root_.string(), 60s).Put(Key(0), artifact_);
  const std::uint64_t size = fs::file_size(EntryPath(root_, Key(0)));
  DiskTier tier(root_.string(), 60s, {.max_disk_cache_size = 20 * size + size / 2});
  for (int i = 0; i < 100; ++i) {
    tier.Put(Key(i), artifact_);
    ASSERT_LE(Count(), 21u) << i;
  }
  EXPECT_GE(Count(), 15u);
  DiskTier none(root_.string(), 60s, {.max_disk_cache_size = 1});
  none.Put(Key(100), artifact_);
  EXPECT_EQ(Count(), 0u);
}

TEST_F(Eviction, ZeroIsNoLimit) {
  DiskTier tier(root_.string(), 60s, {.max_disk_cache_size = 0, .max_cached_kernels = 0, .cache_expiration_time = 0h});
  for (int i = 0; i < 300; ++i) {
    tier.Put(Key(i), artifact_);
    ShiftTime(EntryPath(root_, Key(i)), -24h * 10'000);
  }
  EXPECT_EQ(Count(), 300u);
}

TEST_F(Eviction, GoesByLastUseAndNotByCreation) {
  DiskTier tier(root_.string(), 60s, {.max_cached_kernels = 3});
  for (int i = 0; i < 3; ++i) {
    tier.Put(Key(i), artifact_);
    ShiftTime(EntryPath(root_, Key(i)), -10h + i * 1h);
  }
  ASSERT_NE(tier.Get(Key(0)), nullptr);
  tier.Put(Key(3), artifact_);
  EXPECT_NE(tier.Get(Key(0)), nullptr);
  EXPECT_EQ(tier.Get(Key(1)), nullptr);
  EXPECT_NE(tier.Get(Key(2)), nullptr);
}

TEST_F(Eviction, RemovesWhatExpiredWithItsDebugFiles) {
  // A small limit, so that one put looks everywhere.
  DiskTier tier(root_.string(), 60s, {.max_cached_kernels = 50, .cache_expiration_time = 24h});
  tier.Put(Key(0), artifact_);
  tier.Put(Key(1), artifact_);
  WriteDebugFile(root_.string(), Key(0).digest.Hex(), ".cu", "source");
  ShiftTime(EntryPath(root_, Key(0)), -25h);
  ShiftTime(EntryPath(root_, Key(1)), -23h);
  tier.Put(Key(2), artifact_);
  EXPECT_FALSE(fs::exists(EntryPath(root_, Key(0))));
  EXPECT_FALSE(fs::exists(EntryPath(root_, Key(0)).replace_extension(".cu")));
  EXPECT_EQ(Count(), 2u);
}

TEST_F(Eviction, SparesWhatWasReplacedOrUsedMeanwhile) {
  DiskTier tier(root_.string(), 60s);
  const std::string directory = root_.string();
  const auto seen = [&] {
    std::vector<EntryFile> entries;
    VisitEntries(directory, [&](const EntryFile& entry) { return entries.push_back(entry), true; });
    return entries.at(0);
  };
  tier.Put(Key(0), artifact_);
  const EntryFile first = seen();
  tier.Put(Key(0), artifact_);
  EXPECT_FALSE(RemoveEntry(directory, first)) << "replaced";
  ShiftTime(EntryPath(root_, Key(0)), -2h);
  const EntryFile unused = seen();
  tier.Get(Key(0));
  EXPECT_FALSE(RemoveEntry(directory, unused)) << "used";
  const EntryFile last = seen();
  EXPECT_TRUE(RemoveEntry(directory, last));
  EXPECT_FALSE(RemoveEntry(directory, last)) << "gone";
}

TEST_F(Eviction, TwoEvictorsAndAReaderDoNotDisturbEachOther) {
  std::vector<pid_t> evictors;
  for (int process = 0; process < 2; ++process)
    evictors.push_back(Spawn([&] {
      DiskTier tier(root_.string(), 60s, {.max_cached_kernels = 30});
      for (int i = 0; i < 400; ++i) tier.Put(Key(i % 80), artifact_);
      return tier.Trouble().empty();
    }));
  DiskTier reader(root_.string(), 60s);
  for (int i = 0; i < 4000; ++i) {
    const ArtifactPtr got = reader.Get(Key(i % 80));
    ASSERT_TRUE(got == nullptr || *got == *artifact_);
  }
  for (const pid_t evictor : evictors) EXPECT_EQ(Await(evictor), 0);
  EXPECT_LE(Count(), 31u) << "but for the last put of each";
  EXPECT_EQ(reader.Quarantined(), 0u);
  EXPECT_TRUE(warnings_.messages().empty());
}

TEST(CachePolicyTest, ItsPresetsDifferFromTheDefaultWhereTheySaySo) {
  EXPECT_EQ(CachePolicy::Development().cache_expiration_time, 24h);
  EXPECT_TRUE(CachePolicy::Development().enable_debug);
  EXPECT_EQ(CachePolicy::Production().cache_expiration_time, 24h * 30);
  EXPECT_TRUE(CachePolicy::Production().enable_compression);
  EXPECT_TRUE(CachePolicy::Production().enable_checksum);
  EXPECT_FALSE(CachePolicy::Production().enable_debug);
}

TEST(GetAvailableDiskSpaceTest, AsksTheFileSystemThatTheDirectoryWillBeOn) {
  const testing::TempDir dir;
  const auto free = static_cast<double>(fs::space(dir.string()).available);
  EXPECT_NEAR(static_cast<double>(GetAvailableDiskSpace((dir / "not/yet").string())), free, 0.5 * free);
  EXPECT_GT(GetAvailableDiskSpace(dir.string()), 0u);
}

}  // namespace
}  // namespace gemmsmith
