// What must tell kernels apart, and what must not.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>

#include "../support/bundle_testing.h"
#include "gemmsmith/engine.h"
#include "gemmsmith/options.h"
#include "gemmsmith/verify.h"
#include "jit/cache/disk_tier.h"

namespace gemmsmith {
namespace {

using namespace std::chrono_literals;
namespace fs = std::filesystem;
using testing::KeyOf;
using testing::MakeArtifact;

class CacheIdentity : public ::testing::Test {
 protected:
  static KernelSource Source(const std::string& entry, const std::string& header) {
    KernelSource source;
    source.target = {Isa::kCuda, 90, 'a'};
    source.text = "#include \"tile.cuh\"\n";
    source.entry = entry;
    source.headers = {{"tile.cuh", header}};
    return source;
  }
  bool IsHit(const CacheKey& key) { return ArtifactStore(options_).Get(key).has_value(); }
  void Put(const CacheKey& key, const Artifact& artifact) {
    ArtifactStore(options_).GetOrCompile(key, false, [&] { return artifact; });
  }

  const testing::TempDir dir_;
  testing::Random random_;
  ::testing::ScopedTrace trace_{__FILE__, __LINE__, random_.trace()};
  const ArtifactStore::Options options_{.directory = (dir_ / "cache").string()};
};

TEST_F(CacheIdentity, AToolchainWhoseVersionBeginsLikeAnothersIsAnother) {
  const CacheKey old = KeyOf("f", "nvrtc 0.3.1"), young = KeyOf("f", "nvrtc 0.3.10");
  const Artifact of_old = MakeArtifact("old", random_), of_young = MakeArtifact("young", random_);
  Put(young, of_young);
  EXPECT_FALSE(IsHit(old));
  EXPECT_FALSE(IsHit(KeyOf("f", "nvrtc 0.3.10+cu129")));
  Put(old, of_old);
  ArtifactStore store(options_);
  EXPECT_EQ(*store.Get(old)->artifact, of_old);
  EXPECT_EQ(*store.Get(young)->artifact, of_young);
  EXPECT_EQ(store.GetNewest(old.recipe)->key, young) << "and ten is more than one";
}

TEST_F(CacheIdentity, AChangedHeaderIsAMissHoweverYoungTheEntryIs) {
  const CacheKey before = MakeKey(Source("k", "constexpr int kTile = 64;"), "nvrtc 13.0.88");
  const CacheKey after = MakeKey(Source("k", "constexpr int kTile = 32;"), "nvrtc 13.0.88");
  Put(before, MakeArtifact("k", random_));
  testing::ShiftTime(testing::EntryPath(options_.directory, before), 1000h);
  EXPECT_TRUE(IsHit(before));
  EXPECT_FALSE(IsHit(after));
}

TEST_F(CacheIdentity, KernelsOfOneNameAndOtherSourcesDoNotMeet) {
  KernelSource one = Source("scale", ""), two = one;
  two.text += "// another\n";
  const CacheKey keys[] = {MakeKey(one, "nvrtc 13.0.88"), MakeKey(two, "nvrtc 13.0.88")};
  const Artifact artifacts[] = {MakeArtifact("scale", random_), MakeArtifact("scale", random_)};
  for (int i = 0; i < 2; ++i) Put(keys[i], artifacts[i]);
  for (int i = 0; i < 2; ++i) EXPECT_EQ(*ArtifactStore(options_).Get(keys[i])->artifact, artifacts[i]);
}

TEST_F(CacheIdentity, ATemplateHitsByTheNameItIsCalledAndKeepsTheLoweredOne) {
  Artifact artifact = MakeArtifact("k<size_t>", random_);
  artifact.lowered_name = "_Z1kImEvv";
  Put(MakeKey(Source("k<size_t>", ""), "nvrtc 13.0.88"), artifact);
  ArtifactStore store(options_);
  const auto hit = store.Get(MakeKey(Source("k<size_t>", ""), "nvrtc 13.0.88"));
  ASSERT_TRUE(hit);
  EXPECT_EQ(hit->artifact->lowered_name, "_Z1kImEvv");
}

/// Ends with 0 if a product is right without any cache directory.
[[noreturn]] void ComputeAsNobody() {
  for (const char* name : {"HOME", "XDG_CACHE_HOME", "GEMMSMITH_CACHE_DIR", "USER", "LOGNAME"}) unsetenv(name);
  if (geteuid() == 0 && (setgid(3'141'592) != 0 || setuid(3'141'592) != 0)) std::_Exit(2);
  HostTensor<float> a(16, 24), b(24, 8), d(16, 8);
  FillRandom(a, 1);
  FillRandom(b, 2);
  GemmArgs args;
  args.a = a;
  args.b = b;
  args.d = d;
  Engine engine;
  for (int i = 0; i < 2; ++i) engine.Gemm(args);
  std::_Exit(Verify(Describe(args, DType::kF32), args, {}).ok && engine.Cache().directory.empty() ? 0 : 3);
}

TEST(CacheUserDeathTest, AUserWithoutAHomeOrANameIsServedFromMemory) {
  ::testing::FLAGS_gtest_death_test_style = "threadsafe";  // The environment is read once per process.
  EXPECT_EXIT(ComputeAsNobody(), ::testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace gemmsmith
