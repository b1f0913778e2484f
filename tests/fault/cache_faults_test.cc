// What a fault must not leave behind: wrong counts, wrong sizes, and costs that grow with the cache.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <cstring>
#include <limits>

#include "../support/cache_testing.h"
#include "../support/system_calls.h"
#include "jit/cache/disk_tier.h"
#include "jit/cache/usage.h"

namespace gemmsmith {
namespace {

using namespace std::chrono_literals;
namespace fs = std::filesystem;
using testing::FilesBelow;
using testing::KeyOf;
using testing::MakeArtifact;
using testing::SystemCalls;

class CacheFaults : public ::testing::Test {
 protected:
  ArtifactStore::Hit Use(ArtifactStore& store, const std::string& kernel) const {
    ArtifactStore::Hit hit = store.GetOrCompile(KeyOf(kernel), false, [&] { return artifact_; });
    EXPECT_EQ(*hit.artifact, artifact_);
    return hit;
  }
  /// The system calls of one put of `kernel`.
  int CallsOfPut(const std::string& kernel, const CachePolicy& policy) const {
    DiskTier tier(directory_, 0ms, policy);
    tier.Put(KeyOf("warm"), std::make_shared<const Artifact>(artifact_));  // Sweeps; makes folders.
    const SystemCalls calls(dir_.string());
    tier.Put(KeyOf(kernel), std::make_shared<const Artifact>(artifact_));
    return calls.count();
  }

  const testing::TempDir dir_{testing::MemoryFolder()};
  const testing::Warnings warnings_;
  testing::Random random_;
  ::testing::ScopedTrace trace_{__FILE__, __LINE__, random_.trace()};
  const std::string directory_ = (dir_ / "cache").string();
  const ArtifactStore::Options options_{.directory = directory_, .enable_memory = false, .retry_after = 0ms};
  const Artifact artifact_ = MakeArtifact("f", random_);
};

TEST_F(CacheFaults, CountersAreExactWhicheverCallFailedMeanwhile) {
  DiskTier(directory_, 0ms).Put(KeyOf("f"), std::make_shared<const Artifact>(artifact_));
  const std::string digests[] = {KeyOf("f").digest.Hex(), KeyOf("g").digest.Hex(), KeyOf("h").digest.Hex()};
  std::uint64_t rounds = 0;
  for (const int error : {ENOSPC, EDQUOT, ESTALE, EIO, EACCES, EINTR, 0}) {
    bool struck = true;
    for (int nth = 1; struck; ++nth) {
      UsageBuffer buffer(directory_);
      for (const std::string& digest : digests) buffer.Hit(digest, Origin::kDisk, 0.5);
      buffer.Miss(digests[0]);
      buffer.MemoryHit();
      {
        const SystemCalls calls(dir_.string(), {.error = error}, nth);
        buffer.Flush();
        struck = calls.struck() != nullptr;
      }
      buffer.Flush();
      ++rounds;
      const Usage usage = ReadUsage(directory_);
      for (const std::string& digest : digests) ASSERT_EQ(usage.uses.at(digest), rounds) << strerror(error) << nth;
      ASSERT_EQ(usage.history.disk_hits, 3 * rounds);
      ASSERT_EQ(usage.history.misses, rounds);
      ASSERT_EQ(usage.history.memory_hits, rounds);
      ASSERT_DOUBLE_EQ(usage.history.saved_compile_ms, 1.5 * static_cast<double>(rounds));
    }
  }
  EXPECT_GT(rounds, 100u) << "the seam sees no calls";
}

TEST_F(CacheFaults, AThousandPutsOnAFullDiskLeaveCountersAndSizesExact) {
  constexpr std::uint64_t kPuts = 1000;
  {
    ArtifactStore store(options_);
    for (const char* kernel : {"a", "b", "c"}) Use(store, kernel);
    const CacheStats before = store.Stats();
    EXPECT_EQ(before.disk_kernels, 3u);
    {
      const SystemCalls calls(dir_.string(), {.error = ENOSPC, .lasting = true, .only = "write"}, 1);
      for (std::uint64_t i = 0; i < kPuts; ++i)
        ASSERT_EQ(Use(store, "full" + std::to_string(i)).origin, Origin::kCompiled);
      EXPECT_GE(calls.count(), static_cast<int>(kPuts));
    }
    const CacheStats full = store.Stats();
    EXPECT_EQ(full.disk_kernels, before.disk_kernels);
    EXPECT_EQ(full.disk_bytes, before.disk_bytes);
    EXPECT_EQ(full.misses, before.misses + kPuts);
    EXPECT_EQ(full.compiles, before.compiles + kPuts);
    EXPECT_NE(full.disk_status, "");
    EXPECT_EQ(warnings_.messages().size(), 1u);
    EXPECT_TRUE(FilesBelow(directory_ + "/temp").empty());

    EXPECT_EQ(Use(store, "full0").origin, Origin::kCompiled);
    EXPECT_EQ(Use(store, "full0").origin, Origin::kDisk);
    EXPECT_EQ(store.Stats().disk_status, "");
    EXPECT_EQ(store.Stats().disk_kernels, 4u);
  }
  EXPECT_EQ(ReadUsage(directory_).history.misses, kPuts + 4);
  EXPECT_EQ(ReadUsage(directory_).history.disk_hits, 1u);
}

TEST_F(CacheFaults, APutCostsNoMoreCallsTheMoreOtherShardsHold) {
  // The least limit by which each shard is looked after alone.
  const CachePolicy policy{.max_disk_cache_size = 0, .max_cached_kernels = 64 * 256};
  const std::string shard = KeyOf("f").digest.Hex().substr(0, 2), warm = KeyOf("warm").digest.Hex().substr(0, 2);
  const int before = CallsOfPut("f", policy);
  DiskTier tier(directory_, 0ms, policy);
  int others = 0;
  for (int i = 0; i < 500; ++i) {
    const CacheKey key = KeyOf("other" + std::to_string(i));
    const std::string its = key.digest.Hex().substr(0, 2);
    if (its == shard || its == warm) continue;
    tier.Put(key, std::make_shared<const Artifact>(artifact_));
    ++others;
  }
  EXPECT_GT(others, 400);
  EXPECT_GT(before, 10) << "the seam sees no calls";
  EXPECT_EQ(CallsOfPut("f", policy), before);
}

TEST_F(CacheFaults, LimitsOfZeroOneAndAllBitsServeRightly) {
  constexpr std::uint64_t kLimits[] = {0, 1, std::numeric_limits<std::uint64_t>::max()};
  const std::chrono::hours lives[] = {0h, 1h, std::chrono::hours::max()};
  for (const std::uint64_t memory : kLimits)
    for (const std::uint64_t bytes : kLimits)
      for (const std::uint64_t kernels : kLimits)
        for (const std::chrono::hours life : lives) {
          ArtifactStore::Options options = options_;
          options.directory += fmt::format("-{}-{}-{}-{}", memory, bytes, kernels, life.count());
          options.enable_memory = true;
          options.memory_bytes = memory;
          options.policy = {.max_disk_cache_size = bytes, .max_cached_kernels = kernels, .cache_expiration_time = life};
          ArtifactStore store(options);
          for (int i = 0; i < 6; ++i) Use(store, std::to_string(i % 3));
          // One byte is less than any entry, so that none stays.
          EXPECT_EQ(store.Stats().disk_kernels, bytes == 1 ? 0u : kernels == 1 ? 1u : 3u) << options.directory;
          EXPECT_EQ(store.Stats().memory_kernels, memory > 1 ? 3u : 0u) << options.directory;
        }
  EXPECT_TRUE(warnings_.messages().empty());
}

}  // namespace
}  // namespace gemmsmith
