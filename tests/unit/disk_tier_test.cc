#include "jit/cache/disk_tier.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <cstring>
#include <ctime>

#include "../support/cache_testing.h"
#include "jit/cache/entry_format.h"

namespace {

int syncs = 0;
int sync_error = 0;

}  // namespace

/// In place of the C library's.
extern "C" int fdatasync(int) {
  ++syncs;
  errno = sync_error;
  return sync_error == 0 ? 0 : -1;
}

namespace gemmsmith {
namespace {

namespace fs = std::filesystem;

using namespace std::chrono_literals;
using testing::EntryPath;
using testing::FilesBelow;
using testing::KeyOf;
using testing::MakeArtifact;
using testing::ReadFile;
using testing::ShiftTime;
using testing::WriteFile;

class DiskTierTest : public ::testing::Test {
 protected:
  std::time_t LastUse() const {
    struct stat info {};
    EXPECT_EQ(stat(path_.c_str(), &info), 0);
    return info.st_mtime;
  }
  int ModeOf(const fs::path& path) const {
    struct stat info {};
    EXPECT_EQ(stat(path.c_str(), &info), 0) << path;
    return info.st_mode & 0777;
  }

  testing::TempDir dir_;
  testing::Warnings warnings_;
  testing::Random random_;
  ::testing::ScopedTrace trace_{__FILE__, __LINE__, random_.trace()};
  const fs::path root_ = dir_ / "cache";
  const CacheKey key_ = KeyOf("f");
  const ArtifactPtr artifact_ = std::make_shared<const Artifact>(MakeArtifact("f", random_));
  const fs::path path_ = EntryPath(root_, key_);
};

TEST_F(DiskTierTest, MakesItsFoldersWithTheFirstEntryForThisUserAlone) {
  DiskTier tier(root_.string(), 60s);
  EXPECT_EQ(tier.Get(key_), nullptr);
  EXPECT_EQ(tier.Quarantined(), 0u);
  EXPECT_FALSE(fs::exists(root_));
  tier.Put(key_, artifact_);
  for (const char* folder : {"", "kernels", "temp"}) EXPECT_EQ(ModeOf(root_ / folder), 0700) << folder;
  EXPECT_EQ(ModeOf(path_.parent_path()), 0700);
  EXPECT_EQ(ModeOf(path_), 0600);
  EXPECT_EQ(FilesBelow(root_), std::vector<fs::path>{path_});
}

TEST_F(DiskTierTest, TakesUpWhatAnotherProcessLeft) {
  DiskTier(root_.string(), 60s).Put(key_, artifact_);
  EXPECT_EQ(*DiskTier(root_.string(), 60s).Get(key_), *artifact_);
}

TEST_F(DiskTierTest, HitsAfterItsFolderHasMoved) {
  DiskTier(root_.string(), 60s).Put(key_, artifact_);
  fs::rename(root_, dir_ / "elsewhere");
  EXPECT_EQ(*DiskTier((dir_ / "elsewhere").string(), 60s).Get(key_), *artifact_);
}

TEST_F(DiskTierTest, ATimeOfTheFileIsNoPartOfTheEntry) {
  DiskTier tier(root_.string(), 60s);
  tier.Put(key_, artifact_);
  for (const auto shift : {-9999h, -1h, 1h, 9999h}) {
    ShiftTime(path_, shift);
    EXPECT_NE(tier.Get(key_), nullptr);
  }
}

TEST_F(DiskTierTest, AHitRenewsTheTimeOfLastUseAtMostHourly) {
  DiskTier tier(root_.string(), 60s);
  tier.Put(key_, artifact_);
  ShiftTime(path_, -30min);
  const std::time_t before = LastUse();
  tier.Get(key_);
  EXPECT_EQ(LastUse(), before);
  for (const auto shift : {-2h, 2h}) {  // The latter: the clock was set back.
    ShiftTime(path_, shift);
    tier.Get(key_);
    EXPECT_NEAR(static_cast<double>(LastUse()), static_cast<double>(std::time(nullptr)), 60);
  }
}

TEST_F(DiskTierTest, ATruncatedEntryIsAMissAndHeals) {
  DiskTier tier(root_.string(), 60s);
  tier.Put(key_, artifact_);
  const std::string entry = ReadFile(path_);
  for (std::size_t size = 0; size < entry.size(); ++size) {
    WriteFile(path_, entry.substr(0, size));
    ASSERT_EQ(tier.Get(key_), nullptr) << size;
    ASSERT_FALSE(fs::exists(path_)) << size;
    tier.Put(key_, artifact_);
    ASSERT_EQ(*tier.Get(key_), *artifact_) << size;
  }
}

TEST_F(DiskTierTest, ABitFlipAnywhereIsAMissAndHeals) {
  DiskTier tier(root_.string(), 60s);
  tier.Put(key_, artifact_);
  const std::string entry = ReadFile(path_);
  for (std::size_t byte = 0; byte < entry.size(); ++byte) {
    std::string flipped = entry;
    flipped[byte] ^= static_cast<char>(1 << random_.Below(8));
    WriteFile(path_, flipped);
    ASSERT_EQ(tier.Get(key_), nullptr) << byte;
    tier.Put(key_, artifact_);
    ASSERT_EQ(*tier.Get(key_), *artifact_) << byte;
  }
}

TEST_F(DiskTierTest, SetsABrokenEntryAsideAndWarnsOfItOnce) {
  DiskTier tier(root_.string(), 60s);
  for (int i = 0; i < 3; ++i) {
    tier.Put(key_, artifact_);
    WriteFile(path_, "broken " + std::to_string(i));
    EXPECT_EQ(tier.Get(key_), nullptr);
    EXPECT_EQ(ReadFile(root_ / "quarantine" / path_.filename()), "broken " + std::to_string(i));
    EXPECT_EQ(tier.Quarantined(), 1u);
  }
  ASSERT_EQ(warnings_.messages().size(), 1u);
  EXPECT_NE(warnings_.messages()[0].find(path_.string()), std::string::npos) << warnings_.messages()[0];
}

TEST_F(DiskTierTest, AnEntryUnderAWrongNameIsBroken) {
  DiskTier tier(root_.string(), 60s);
  tier.Put(key_, artifact_);
  const CacheKey other = KeyOf("g");
  fs::create_directories(EntryPath(root_, other).parent_path());
  fs::copy(path_, EntryPath(root_, other));
  EXPECT_EQ(tier.Get(other), nullptr);
  EXPECT_EQ(tier.Quarantined(), 1u);
  EXPECT_NE(tier.Get(key_), nullptr);
}

TEST_F(DiskTierTest, AnEntryOfAnotherFormatIsAMissThatStays) {
  DiskTier tier(root_.string(), 60s);
  tier.Put(key_, artifact_);
  std::string entry = ReadFile(path_);
  const std::uint32_t version = kEntryFormatVersion + 1;
  std::memcpy(entry.data() + 8, &version, sizeof version);
  WriteFile(path_, entry);
  EXPECT_EQ(tier.Get(key_), nullptr);
  EXPECT_EQ(ReadFile(path_), entry);
  EXPECT_TRUE(warnings_.messages().empty());
  tier.Put(key_, artifact_);
  EXPECT_NE(tier.Get(key_), nullptr);
}

TEST_F(DiskTierTest, ForeignFilesAreLeftAlone) {
  DiskTier tier(root_.string(), 60s);
  tier.Put(key_, artifact_);
  const std::string shard = path_.parent_path().filename().string(), digits(30, '0');
  const fs::path foreign[] = {root_ / "README",
                              root_ / "kernels/README",
                              path_.parent_path() / "notes.txt",
                              path_.parent_path() / "x.gsk",
                              path_.parent_path() / ((shard == "00" ? "11" : "00") + digits + ".gsk"),
                              root_ / "kernels/zz/file.gsk",
                              root_ / "quarantine/notes",
                              root_ / "temp/notes"};
  for (const fs::path& path : foreign) {
    fs::create_directories(path.parent_path());
    WriteFile(path, "not ours");
  }
  fs::create_directories(path_.parent_path() / (shard + digits + ".gsk"));
  int count = 0;
  tier.ForEach([&](const std::string& digest, std::uint64_t) { return ++count, digest == key_.digest.Hex(); });
  EXPECT_EQ(count, 1);
  EXPECT_EQ(tier.Quarantined(), 0u);
  DiskTier(root_.string(), 60s).Put(KeyOf("g"), artifact_);
  for (const fs::path& path : foreign) EXPECT_EQ(ReadFile(path), "not ours") << path;
}

TEST_F(DiskTierTest, WhatIsNoFileIsAMiss) {
  DiskTier tier(root_.string(), 60s);
  fs::create_directories(path_);
  EXPECT_EQ(tier.Get(key_), nullptr);
  fs::remove(path_);
  ASSERT_EQ(mkfifo(path_.c_str(), 0600), 0);
  EXPECT_EQ(tier.Get(key_), nullptr);
}

TEST_F(DiskTierTest, TheFirstPutSweepsWhatDeadWritersLeft) {
  fs::create_directories(root_ / "temp");
  WriteFile(root_ / "temp/host-1-0.tmp", "x");
  WriteFile(root_ / "temp/host-2-0.tmp", "x");
  ShiftTime(root_ / "temp/host-1-0.tmp", -2h);
  DiskTier(root_.string(), 60s).Put(key_, artifact_);
  EXPECT_FALSE(fs::exists(root_ / "temp/host-1-0.tmp"));
  EXPECT_TRUE(fs::exists(root_ / "temp/host-2-0.tmp"));
}

TEST_F(DiskTierTest, GoesOnAfterItsFoldersWereRemoved) {
  DiskTier tier(root_.string(), 60s);
  tier.Put(key_, artifact_);
  fs::remove_all(root_);
  EXPECT_EQ(tier.Get(key_), nullptr);
  tier.Put(key_, artifact_);
  EXPECT_NE(tier.Get(key_), nullptr);
  EXPECT_TRUE(warnings_.messages().empty());
}

TEST_F(DiskTierTest, AFailureIsWarnedOfOnceAndNotForEver) {
  WriteFile(root_, "a file in the way");
  DiskTier tier(root_.string(), 0s);
  for (int i = 0; i < 3; ++i) {
    tier.Put(key_, artifact_);
    EXPECT_EQ(tier.Get(key_), nullptr);
  }
  EXPECT_NE(tier.Trouble(), "");
  EXPECT_EQ(warnings_.messages().size(), 1u);
  fs::remove(root_);
  tier.Put(key_, artifact_);
  EXPECT_NE(tier.Get(key_), nullptr);
  EXPECT_EQ(tier.Trouble(), "");
}

TEST_F(DiskTierTest, DoesNotTryAgainAtOnce) {
  WriteFile(root_, "a file in the way");
  DiskTier tier(root_.string(), 3600s);
  tier.Put(key_, artifact_);
  fs::remove(root_);
  tier.Put(key_, artifact_);
  EXPECT_FALSE(fs::exists(root_));
  EXPECT_NE(tier.Trouble().find("in the way"), std::string::npos) << tier.Trouble();
}

TEST_F(DiskTierTest, WithoutCompressionPartsLieInTheFileAsTheyAre) {
  const std::string code(4000, 'c');
  Artifact artifact = *artifact_;
  artifact.parts["cubin"] = code;
  const auto kept = std::make_shared<const Artifact>(artifact);
  for (const bool compress : {true, false}) {
    DiskTier tier(root_.string(), 60s, {.enable_compression = compress});
    tier.Put(key_, kept);
    EXPECT_EQ(ReadFile(path_).find(code) == std::string::npos, compress);
    EXPECT_EQ(*tier.Get(key_), *kept);
  }
}

TEST_F(DiskTierTest, WaitsForTheMediumWhereThePolicySaysSo) {
  for (const bool sync : {false, true}) {
    syncs = 0;
    DiskTier(root_.string(), 60s, {.enable_sync = sync}).Put(key_, artifact_);
    EXPECT_EQ(syncs, sync ? 1 : 0);
  }
  EXPECT_EQ(*DiskTier(root_.string(), 60s).Get(key_), *artifact_);
}

TEST_F(DiskTierTest, WhatDoesNotReachTheMediumIsNotPublished) {
  DiskTier tier(root_.string(), 60s, {.enable_sync = true});
  sync_error = EIO;
  tier.Put(key_, artifact_);
  sync_error = 0;
  EXPECT_EQ(tier.Get(key_), nullptr);
  EXPECT_TRUE(FilesBelow(root_).empty());
  EXPECT_NE(tier.Trouble().find("sync"), std::string::npos) << tier.Trouble();
}

TEST_F(DiskTierTest, AWrongChecksumIsOverlookedOnlyWhereThePolicySaysSo) {
  DiskTier(root_.string(), 60s).Put(key_, artifact_);
  std::string entry = ReadFile(path_);
  entry.back() ^= 1;
  WriteFile(path_, entry);
  EXPECT_EQ(*DiskTier(root_.string(), 60s, {.enable_checksum = false}).Get(key_), *artifact_);
  EXPECT_EQ(DiskTier(root_.string(), 60s).Get(key_), nullptr);
}

TEST_F(DiskTierTest, WithoutChecksumsABrokenEntryIsARightOneOrAMissAndNothingWorse) {
  DiskTier tier(root_.string(), 60s, {.enable_checksum = false});
  tier.Put(key_, artifact_);
  const std::string entry = ReadFile(path_);
  for (std::size_t byte = 0; byte < entry.size(); ++byte) {
    WriteFile(path_, entry.substr(0, byte));
    ASSERT_EQ(tier.Get(key_), nullptr) << byte;
    std::string flipped = entry;
    flipped[byte] ^= static_cast<char>(1 << random_.Below(8));
    WriteFile(path_, flipped);
    const ArtifactPtr got = tier.Get(key_);
    ASSERT_TRUE(got == nullptr || got->size() <= kMaxEntryBytes) << byte;
  }
}

}  // namespace
}  // namespace gemmsmith
