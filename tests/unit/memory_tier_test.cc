#include "jit/cache/memory_tier.h"

#include <gtest/gtest.h>

#include <limits>
#include <thread>

#include "../support/cache_testing.h"

namespace gemmsmith {
namespace {

using testing::KeyOf;

ArtifactPtr OfSize(std::size_t bytes) {
  Artifact artifact;
  artifact.parts["cubin"] = std::string(bytes, 'x');
  return std::make_shared<const Artifact>(std::move(artifact));
}
CacheKey Key(int i) { return KeyOf("f" + std::to_string(i)); }

std::uint64_t BytesIn(MemoryTier& tier) {
  std::uint64_t total = 0;
  tier.ForEach([&](const std::string&, std::uint64_t bytes) {
    total += bytes;
    return true;
  });
  return total;
}

TEST(MemoryTier, SharesWhatWasPutWithoutACopy) {
  MemoryTier tier(1000);
  const ArtifactPtr artifact = OfSize(10);
  tier.Put(Key(0), artifact);
  EXPECT_EQ(tier.Get(Key(0)), artifact);
  EXPECT_EQ(tier.origin(), Origin::kMemory);
}

TEST(MemoryTier, NeverHoldsMoreThanItsCap) {
  for (const std::uint64_t cap : {0, 1, 99, 100, 101, 250, 5000, 100'000}) {
    MemoryTier tier(cap);
    for (int i = 0; i < 200; ++i) {
      tier.Put(Key(i), OfSize(100));
      EXPECT_LE(BytesIn(tier), cap);
      EXPECT_EQ(tier.Get(Key(i)) != nullptr, cap >= 100) << "the last one put, cap " << cap;
    }
    EXPECT_EQ(BytesIn(tier), std::min<std::uint64_t>(cap / 100 * 100, 200 * 100));
  }
}

TEST(MemoryTier, ACapBeyondAllMemoryIsNoCap) {
  MemoryTier tier(std::numeric_limits<std::uint64_t>::max());
  for (int i = 0; i < 100; ++i) tier.Put(Key(i), OfSize(1000));
  EXPECT_EQ(BytesIn(tier), 100'000u);
}

TEST(MemoryTier, AnArtifactAboveTheCapEvictsNothing) {
  MemoryTier tier(100);
  tier.Put(Key(0), OfSize(100));
  tier.Put(Key(1), OfSize(101));
  EXPECT_NE(tier.Get(Key(0)), nullptr);
  EXPECT_EQ(tier.Get(Key(1)), nullptr);
}

TEST(MemoryTier, KeepsWhatIsInUse) {
  MemoryTier tier(64 * 100);
  for (int i = 0; i < 1000; ++i) {
    tier.Put(Key(i), OfSize(100));
    EXPECT_NE(tier.Get(Key(0)), nullptr) << "after " << i;
  }
}

TEST(MemoryTier, WhatIsEvictedLivesOnWithItsUsers) {
  MemoryTier tier(100);
  tier.Put(Key(0), OfSize(100));
  const ArtifactPtr held = tier.Get(Key(0));
  tier.Put(Key(1), OfSize(100));
  EXPECT_EQ(tier.Get(Key(0)), nullptr);
  EXPECT_EQ(held->size(), 100u);
}

TEST(MemoryTier, CountsReplacedAndRemovedBytesOnce) {
  MemoryTier tier(1000);
  for (int i = 0; i < 100; ++i) {
    tier.Put(Key(0), OfSize(900));
    tier.Put(Key(0), OfSize(500));
    tier.Put(Key(1), OfSize(500));
    EXPECT_EQ(BytesIn(tier), 1000u);
    tier.Remove(Key(1));
    tier.Remove(Key(0));
    EXPECT_EQ(BytesIn(tier), 0u);
  }
}

TEST(MemoryTier, HoldsItsCapUnderManyThreads) {
  MemoryTier tier(3000);
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 4; ++thread)
    threads.emplace_back([&, thread] {
      for (int i = 0; i < 2000; ++i) {
        tier.Put(Key((thread * 7 + i) % 60), OfSize(100 + i % 3));
        tier.Get(Key(i % 60));
        if (i % 9 == 0) tier.Remove(Key(i % 60));
      }
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_LE(BytesIn(tier), 3000u);
  // Its count is still right: all of the cap can be used.
  for (int i = 100; i < 130; ++i) tier.Put(Key(i), OfSize(100));
  EXPECT_LE(BytesIn(tier), 3000u);
  EXPECT_GT(BytesIn(tier), 3000u - 103);
}

}  // namespace
}  // namespace gemmsmith
