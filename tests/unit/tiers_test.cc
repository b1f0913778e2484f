// What every tier of tiers.def promises that can be written. The others are filled elsewhere and have tests of their
// own.
#include <gtest/gtest.h>

#include <map>
#include <mutex>
#include <thread>

#include "../support/cache_testing.h"
#include "jit/cache/bundle_tier.h"
#include "jit/cache/disk_tier.h"
#include "jit/cache/memory_tier.h"

namespace gemmsmith {
namespace {

using testing::KeyOf;
using testing::MakeArtifact;

struct TierKind {
  const char* name;
  std::unique_ptr<Tier> (*open)(const ArtifactStore::Options&);
};
constexpr TierKind kTiers[] = {
#define GEMMSMITH_TIER(Type) {#Type, &Type::Open},
#include "jit/cache/tiers.def"
#undef GEMMSMITH_TIER
};

std::vector<TierKind> WritableTiers() {
  std::vector<TierKind> tiers;
  for (const TierKind& tier : kTiers)
    if (tier.open != &BundleTier::Open) tiers.push_back(tier);
  return tiers;
}

class Tiers : public ::testing::TestWithParam<TierKind> {
 protected:
  ArtifactPtr Make(const std::string& kernel) {
    return std::make_shared<const Artifact>(MakeArtifact(kernel, random_));
  }
  /// Digest and bytes of all entries.
  std::map<std::string, std::uint64_t> List() {
    std::map<std::string, std::uint64_t> entries;
    tier_->ForEach(
        [&](const std::string& digest, std::uint64_t bytes) { return entries.emplace(digest, bytes).second; });
    return entries;
  }

  testing::TempDir dir_;
  testing::Warnings warnings_;
  testing::Random random_;
  ::testing::ScopedTrace trace_{__FILE__, __LINE__, random_.trace()};
  const std::unique_ptr<Tier> tier_ = GetParam().open({.directory = dir_.string()});
};

TEST_P(Tiers, StartsEmpty) {
  EXPECT_EQ(tier_->Get(KeyOf("f")), nullptr);
  EXPECT_TRUE(List().empty());
  tier_->Remove(KeyOf("f"));
  EXPECT_EQ(tier_->Trouble(), "");
}

TEST_P(Tiers, GivesBackWhatWasPutUnderEachKey) {
  std::map<std::string, ArtifactPtr> artifacts;
  for (int i = 0; i < 50; ++i) {
    const std::string kernel = "f" + std::to_string(i);
    tier_->Put(KeyOf(kernel), artifacts[kernel] = Make(kernel));
  }
  for (const auto& [kernel, artifact] : artifacts) {
    const ArtifactPtr got = tier_->Get(KeyOf(kernel));
    ASSERT_NE(got, nullptr) << kernel;
    EXPECT_EQ(*got, *artifact) << kernel;
  }
  EXPECT_EQ(tier_->Get(KeyOf("f50")), nullptr);
}

TEST_P(Tiers, TheLastPutWins) {
  tier_->Put(KeyOf("f"), Make("first"));
  const ArtifactPtr second = Make("second");
  tier_->Put(KeyOf("f"), second);
  EXPECT_EQ(*tier_->Get(KeyOf("f")), *second);
  EXPECT_EQ(List().size(), 1u);
}

TEST_P(Tiers, AnotherKeyOfTheSameDigestIsAMiss) {
  tier_->Put(KeyOf("f"), Make("f"));
  CacheKey impostor = KeyOf("f");
  impostor.text += "x";
  EXPECT_EQ(tier_->Get(impostor), nullptr);
}

TEST_P(Tiers, RemovesOneEntry) {
  tier_->Put(KeyOf("f"), Make("f"));
  tier_->Put(KeyOf("g"), Make("g"));
  tier_->Remove(KeyOf("f"));
  EXPECT_EQ(tier_->Get(KeyOf("f")), nullptr);
  EXPECT_NE(tier_->Get(KeyOf("g")), nullptr);
  EXPECT_EQ(List().size(), 1u);
}

TEST_P(Tiers, VisitsAllEntriesUntilToldToStop) {
  for (const char* kernel : {"f", "g", "h"}) tier_->Put(KeyOf(kernel), Make(kernel));
  const auto entries = List();
  EXPECT_EQ(entries.size(), 3u);
  for (const char* kernel : {"f", "g", "h"}) EXPECT_GT(entries.at(KeyOf(kernel).digest.Hex()), 100u);
  int visited = 0;
  tier_->ForEach([&](const std::string&, std::uint64_t) { return ++visited < 2; });
  EXPECT_EQ(visited, 2);
}

TEST_P(Tiers, TakesAnEntryWithAnEmptyPart) {
  Artifact artifact = MakeArtifact("f", random_);
  artifact.parts["ptx"].clear();
  tier_->Put(KeyOf("f"), std::make_shared<const Artifact>(artifact));
  EXPECT_EQ(*tier_->Get(KeyOf("f")), artifact);
}

TEST_P(Tiers, ServesManyThreads) {
  std::vector<ArtifactPtr> artifacts;
  for (int i = 0; i < 8; ++i) artifacts.push_back(Make("f" + std::to_string(i)));
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 4; ++thread)
    threads.emplace_back([&, thread] {
      for (int i = 0; i < 200; ++i) {
        const std::size_t index = (thread + i) % artifacts.size();
        const CacheKey key = KeyOf("f" + std::to_string(index));
        if (i % 5 == 0) tier_->Put(key, artifacts[index]);
        if (i % 17 == 0) tier_->Remove(key);
        if (i % 50 == 0) List();
        const ArtifactPtr got = tier_->Get(key);
        EXPECT_TRUE(got == nullptr || *got == *artifacts[index]);
      }
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_TRUE(warnings_.messages().empty()) << warnings_.messages().front();
}

INSTANTIATE_TEST_SUITE_P(All, Tiers, ::testing::ValuesIn(WritableTiers()),
                         [](const auto& test) { return std::string(test.param.name); });

TEST(TierOptions, CanLeaveATierOut) {
  EXPECT_EQ(MemoryTier::Open({.directory = "", .enable_memory = false}), nullptr);
  EXPECT_EQ(DiskTier::Open({.directory = ""}), nullptr);
}

}  // namespace
}  // namespace gemmsmith
