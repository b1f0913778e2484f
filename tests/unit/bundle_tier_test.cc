#include "jit/cache/bundle_tier.h"

#include <gmock/gmock.h>

#include "../support/bundle_testing.h"
#include "jit/cache/disk_tier.h"

namespace gemmsmith {
namespace {

namespace fs = std::filesystem;
using testing::Bundled;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::KeyOf;
using testing::MakeArtifact;
using testing::MakeBundle;

class BundleTierTest : public ::testing::Test {
 protected:
  std::string Bundle(const std::string& name, const std::vector<testing::BundleEntry>& entries) {
    MakeBundle(dir_ / name, entries);
    return dir_ / name;
  }
  Artifact Make(const std::string& kernel) { return MakeArtifact(kernel, random_); }
  std::size_t DiskEntries() const { return testing::FilesBelow(dir_ / "cache/kernels").size(); }

  testing::TempDir dir_;
  testing::Warnings warnings_;
  testing::Random random_;
  ::testing::ScopedTrace trace_{__FILE__, __LINE__, random_.trace()};
};

TEST_F(BundleTierTest, ServesEachBundleAndTheFirstThatHasAKernel) {
  const Artifact f = Make("f"), other_f = Make("f"), g = Make("g");
  BundleTier tier({Bundle("a", {{KeyOf("f"), f}}), Bundle("b", {{KeyOf("f"), other_f}, {KeyOf("g"), g}})});
  EXPECT_EQ(*tier.Get(KeyOf("f")), Bundled(f));
  EXPECT_EQ(*tier.Get(KeyOf("g")), Bundled(g));
  EXPECT_EQ(tier.Get(KeyOf("h")), nullptr);
  std::vector<std::string> digests;
  tier.ForEach([&](const std::string& digest, std::uint64_t) { return digests.push_back(digest), true; });
  EXPECT_THAT(digests, ElementsAre(KeyOf("f").digest.Hex(), KeyOf("g").digest.Hex()));
  CacheKey impostor = KeyOf("f");
  impostor.text += "x";
  EXPECT_EQ(tier.Get(impostor), nullptr);
  EXPECT_THAT(warnings_.messages(), IsEmpty());
}

TEST_F(BundleTierTest, ABrokenBundleIsOneWarningAndTheOthersServe) {
  testing::WriteFile(dir_ / "broken", "not a bundle");
  BundleTier tier({dir_ / "none", dir_ / "broken", Bundle("good", {{KeyOf("f"), Make("f")}})});
  EXPECT_NE(tier.Get(KeyOf("f")), nullptr);
  EXPECT_EQ(tier.Get(KeyOf("g")), nullptr);
  EXPECT_THAT(warnings_.messages(), ElementsAre(HasSubstr(dir_ / "none"), HasSubstr("it is no bundle")));
}

TEST_F(BundleTierTest, ABrokenEntryIsAMissAndTheNextBundleHeals) {
  const Artifact f = Make("f");
  const std::string broken = Bundle("broken", {{KeyOf("f"), f}, {KeyOf("g"), Make("g")}});
  std::string bytes = testing::ReadFile(broken);
  const BundleReader reader(broken);
  for (const BundleRow& row : reader.rows()) bytes[row.offset + row.size / 2] ^= 1;
  testing::WriteFile(broken, bytes);
  BundleTier tier({broken, Bundle("good", {{KeyOf("f"), f}})});
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(*tier.Get(KeyOf("f")), Bundled(f));
    EXPECT_EQ(tier.Get(KeyOf("g")), nullptr);
  }
  EXPECT_THAT(warnings_.messages(), ElementsAre(HasSubstr("checksum")));
}

TEST_F(BundleTierTest, ABundleThatShrinksWhileItIsOpenIsAMiss) {
  const std::string path = Bundle("a", {{KeyOf("f"), Make("f")}});
  BundleTier tier({path});
  fs::resize_file(path, 100);
  EXPECT_EQ(tier.Get(KeyOf("f")), nullptr);
  EXPECT_THAT(warnings_.messages(), ElementsAre(HasSubstr("is not used")));
}

TEST_F(BundleTierTest, ABundleThatIsReplacedOrRemovedServesOn) {
  const std::string path = Bundle("a", {{KeyOf("f"), Make("f")}});
  BundleTier tier({path});
  Bundle("a", {});
  EXPECT_NE(tier.Get(KeyOf("f")), nullptr);
  fs::remove(path);
  EXPECT_NE(tier.Get(KeyOf("f")), nullptr);
}

TEST_F(BundleTierTest, ABundleThatOthersMayWriteToIsRefused) {
  for (const fs::perms perms : {fs::perms::group_write, fs::perms::others_write}) {
    const std::string path = Bundle("a", {{KeyOf("f"), Make("f")}});
    fs::permissions(path, perms, fs::perm_options::add);
    EXPECT_EQ(BundleTier({path}).Get(KeyOf("f")), nullptr);
    EXPECT_THAT(warnings_.messages().back(), HasSubstr("chmod go-w"));
  }
}

TEST_F(BundleTierTest, AHitFillsMemoryAndTheDiskOnlyIfToldTo) {
  const std::string path = Bundle("a", {{KeyOf("f"), Make("f")}});
  for (const bool copies : {false, true}) {
    ArtifactStore store({.directory = dir_ / "cache", .bundles = {path}, .copy_bundle_hits = copies});
    EXPECT_EQ(store.Get(KeyOf("f")).value().origin, Origin::kBundle);
    EXPECT_EQ(store.Get(KeyOf("f")).value().origin, Origin::kMemory);
    EXPECT_EQ(DiskEntries(), copies ? 1u : 0u);
    const CacheStats stats = store.Stats();
    EXPECT_EQ(stats.bundle_hits, 1u);
    EXPECT_EQ(stats.bundle_kernels, 1u);
    EXPECT_EQ(stats.disk_kernels, copies ? 1u : 0u);
    EXPECT_EQ(stats.disk_hits, 0u);
  }
  ArtifactStore next({.directory = dir_ / "cache", .bundles = {path}});
  EXPECT_EQ(next.Get(KeyOf("f")).value().origin, Origin::kDisk);
}

TEST_F(BundleTierTest, WhatIsCompiledBesideABundleGoesToDisk) {
  ArtifactStore store({.directory = dir_ / "cache", .bundles = {Bundle("a", {{KeyOf("f"), Make("f")}})}});
  EXPECT_EQ(store.GetOrCompile(KeyOf("g"), false, [&] { return Make("g"); }).origin, Origin::kCompiled);
  EXPECT_EQ(DiskEntries(), 1u);
}

TEST_F(BundleTierTest, TheNewestGoodToolchainOfARecipeServesFromDiskAndBundles) {
  const CacheKey v9 = KeyOf("f", "nvrtc 13.0.9"), v88 = KeyOf("f", "nvrtc 13.0.88"), v100 = KeyOf("f", "nvcc 13.0.100");
  const std::string path = Bundle("a", {{v9, Make("f9")}, {v100, Make("f100")}, {KeyOf("g"), Make("g")}});
  const ArtifactStore::Options options{.directory = dir_ / "cache", .bundles = {path}};
  DiskTier(dir_ / "cache", {}).Put(v88, std::make_shared<const Artifact>(Make("f88")));

  const auto newest = ArtifactStore(options).GetNewest(v9.recipe).value();
  EXPECT_EQ(newest.key, v100);
  EXPECT_EQ(newest.hit.origin, Origin::kBundle);
  EXPECT_EQ(newest.hit.artifact->kernel_name, "f100");

  std::string bytes = testing::ReadFile(path);
  bytes[BundleReader(path).Find(v100.digest)->offset + 100] ^= 1;
  testing::WriteFile(path, bytes);
  ArtifactStore store(options);
  EXPECT_EQ(store.GetNewest(v9.recipe).value().key, v88);
  EXPECT_EQ(store.GetNewest(v9.recipe).value().hit.origin, Origin::kMemory);
  fs::remove_all(dir_ / "cache/kernels");
  EXPECT_EQ(ArtifactStore(options).GetNewest(v9.recipe).value().key, v9);
  EXPECT_FALSE(store.GetNewest(KeyOf("h").recipe));
}

TEST_F(BundleTierTest, WithoutBundlesThereIsNoTier) { EXPECT_EQ(BundleTier::Open({}), nullptr); }

}  // namespace
}  // namespace gemmsmith
