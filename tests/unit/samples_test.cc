#include "jit/cache/samples.h"

#include <gtest/gtest.h>

#include <ctime>

#include "../support/cache_testing.h"
#include "jit/cache/disk_tier.h"
#include "jit/cache/usage.h"

namespace gemmsmith {
namespace {

using namespace std::chrono_literals;
namespace fs = std::filesystem;
using testing::Await;
using testing::KeyOf;
using testing::MakeArtifact;
using testing::ShiftTime;
using testing::Spawn;

class Samples : public ::testing::Test {
 protected:
  Samples() { Put("f"); }
  void Put(const std::string& name) {
    DiskTier(directory_, 60s).Put(KeyOf(name), std::make_shared<const Artifact>(MakeArtifact(name, random_)));
  }
  void Use() const { UsageBuffer(directory_).Hit(KeyOf("f").digest.Hex(), Origin::kDisk, 100); }
  std::string Row(std::int64_t time) const { return std::to_string(time) + " 1 2 3 4 5 6 7.5\n"; }
  void Write(const std::string& text) const {
    fs::create_directories(path_.parent_path());
    testing::WriteFile(path_, text);
  }
  std::vector<CacheSample> Read() const { return PersistentCache(directory_).Samples(); }

  testing::TempDir dir_;
  testing::Warnings warnings_;
  testing::Random random_;
  ::testing::ScopedTrace trace_{__FILE__, __LINE__, random_.trace()};
  const fs::path root_ = dir_ / "cache";
  const std::string directory_ = root_.string();
  const fs::path path_ = root_ / "metadata" / "samples";
};

TEST_F(Samples, AProcessThatUsedTheCacheLeavesWhatIsInItAndBecameOfLookups) {
  Put("g");
  Use();
  const std::vector<CacheSample> samples = Read();
  ASSERT_EQ(samples.size(), 1u);
  EXPECT_NEAR(static_cast<double>(samples[0].unix_time), static_cast<double>(std::time(nullptr)), 60);
  EXPECT_EQ(samples[0].kernels, 2u);
  EXPECT_EQ(samples[0].bytes, fs::file_size(testing::EntryPath(root_, KeyOf("f"))) +
                                  fs::file_size(testing::EntryPath(root_, KeyOf("g"))));
  EXPECT_EQ(samples[0].history.disk_hits, 1u);
  EXPECT_DOUBLE_EQ(samples[0].history.saved_compile_ms, 100);
  struct stat info {};
  ASSERT_EQ(stat(path_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
}

TEST_F(Samples, AProcessThatDidNothingLeavesNone) {
  UsageBuffer(directory_).Flush();
  EXPECT_TRUE(Read().empty());
}

TEST_F(Samples, AreTakenHourlyByAllProcessesTogether) {
  for (int i = 0; i < 3; ++i) Use();
  EXPECT_EQ(Read().size(), 1u);
  Write(Row(std::time(nullptr) - 7200));
  ShiftTime(path_, -59min);
  Use();
  EXPECT_EQ(Read().size(), 1u);
  for (const auto age : {61min, -61min}) {  // The latter: the clock was set back.
    Write(Row(std::time(nullptr) - 7200));
    ShiftTime(path_, -age);
    std::vector<pid_t> children;
    for (int process = 0; process < 8; ++process) children.push_back(Spawn([&] { return Use(), true; }));
    for (const pid_t child : children) EXPECT_EQ(Await(child), 0);
    EXPECT_EQ(Read().size(), 2u);
  }
}

TEST_F(Samples, PruningAddsOneThatTakesThePlaceOfOneAFewMinutesOld) {
  const PersistentCache cache(directory_);
  Put("g");
  const std::int64_t now = std::time(nullptr);
  Write(Row(now - 4000) + Row(now - 200));
  cache.Prune({.max_kernels = 1}, /*dry_run=*/true);
  EXPECT_EQ(Read().back().unix_time, now - 200);
  cache.Prune({.max_kernels = 1});
  ASSERT_EQ(Read().size(), 2u);
  EXPECT_GE(Read().back().unix_time, now);
  EXPECT_EQ(Read().back().kernels, 1u);
  Write(Row(now - 4000) + Row(now - 400));
  cache.Prune({.max_kernels = 1});
  EXPECT_EQ(Read().size(), 3u);
}

TEST_F(Samples, ClearingRemovesThem) {
  Use();
  PersistentCache(directory_).Clear();
  EXPECT_FALSE(fs::exists(path_));
}

TEST_F(Samples, WithoutACacheNothingIsMade) {
  const fs::path none = dir_ / "none";
  AddSample(none.string(), 1, 1);
  EXPECT_TRUE(ReadSamples(none.string()).empty());
  EXPECT_FALSE(fs::exists(none));
}

TEST_F(Samples, DamagedLinesAreSkippedAndGoWithTheNextRow) {
  const std::string good = Row(1000);
  const std::string damaged[] = {"",
                                 "\n\n",
                                 "x\n",
                                 "1000 1 2 3 4 5 6\n",
                                 "1000 1 2 3 4 5 6 7 8\n",
                                 "1000 -1 2 3 4 5 6 7\n",
                                 "1000 1 2 3 4 5 6 nan\n",
                                 "1000 1 2 3 4 5 6 -7\n",
                                 "0 1 2 3 4 5 6 7\n",
                                 "99999999999999999999 1 2 3 4 5 6 7\n",
                                 "1000  1 2 3 4 5 6 7\n",
                                 random_.Bytes(500) + "\n",
                                 std::string(100, '\0') + "\n"};
  for (const std::string& line : damaged) {
    Write(line + good + line);
    const std::vector<CacheSample> samples = Read();
    ASSERT_EQ(samples.size(), 1u) << line;
    EXPECT_EQ(samples[0].unix_time, 1000);
    EXPECT_EQ(samples[0].history.misses, 6u);
    EXPECT_DOUBLE_EQ(samples[0].history.saved_compile_ms, 7.5);
  }
  AddSample(directory_, 5, 50);
  EXPECT_EQ(testing::ReadFile(path_).substr(0, good.size()), good);
  EXPECT_EQ(Read().back().kernels, 5u);
}

TEST_F(Samples, AFlippedBitCostsAtMostOneRow) {
  const std::string text = Row(1000) + Row(5000) + Row(9000);
  for (std::size_t i = 0; i < text.size() * 8; ++i) {
    std::string flipped = text;
    flipped[i / 8] ^= static_cast<char>(1 << i % 8);
    Write(flipped);
    // A flipped end of line makes one bad line of two.
    EXPECT_GE(Read().size(), text[i / 8] == '\n' ? 1u : 2u) << i;
  }
}

TEST_F(Samples, AHugeFileOrSomethingElseInTheWayDoesNoHarm) {
  Write(std::string(std::size_t{4} << 20, '7'));
  EXPECT_TRUE(Read().empty());
  AddSample(directory_, 1, 1);
  EXPECT_EQ(Read().size(), 1u);
  fs::remove(path_);
  fs::create_directory(path_);
  AddSample(directory_, 1, 1);
  EXPECT_TRUE(Read().empty());
  EXPECT_TRUE(warnings_.messages().empty());
}

TEST_F(Samples, OldOnesAreThinnedOutAndTheFirstAndTheNewStay) {
  std::string text;
  constexpr int kRows = 1000;
  for (int i = 1; i <= kRows; ++i) text += Row(i * 3600);
  Write(text);
  AddSample(directory_, 1, 1);
  const std::vector<CacheSample> samples = Read();
  EXPECT_EQ(samples.size(), 751u);
  EXPECT_EQ(samples.front().unix_time, 3600);
  EXPECT_EQ(samples[1].unix_time, 3 * 3600);
  EXPECT_EQ(samples[samples.size() - 2].unix_time, kRows * 3600);
  EXPECT_LT(fs::file_size(path_), 1u << 20);
}

TEST_F(Samples, ALargeCacheIsEstimatedFromSomeOfItsShards) {
  for (int i = 0; i < 2000; ++i) {
    const fs::path path = testing::EntryPath(root_, KeyOf(std::to_string(i)));
    fs::create_directories(path.parent_path());
    testing::WriteFile(path, std::string(100, 'x'));
  }
  EXPECT_EQ(EstimateEntries(directory_, 2001).kernels, 2001u) << "exact";
  const EntryCount estimate = EstimateEntries(directory_, 500);
  EXPECT_NEAR(static_cast<double>(estimate.kernels), 2001, 500) << "of 500 of them one standard deviation is 4 %";
  EXPECT_NEAR(static_cast<double>(estimate.bytes), 200'100, 50'000);
  // No more is counted than it takes.
  const fs::path shard = dir_ / "uneven" / "kernels" / "00";
  fs::create_directories(shard);
  for (int i = 0; i < 30; ++i)
    testing::WriteFile(shard / (std::string(30, '0') + std::to_string(10 + i) + ".gsk"), "x");
  EXPECT_EQ(EstimateEntries((dir_ / "uneven").string(), 29).kernels, 30u * 256);
  EXPECT_EQ(EstimateEntries((dir_ / "uneven").string(), 30).kernels, 30u);
}

}  // namespace
}  // namespace gemmsmith
