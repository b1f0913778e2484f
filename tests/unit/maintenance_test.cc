#include <gmock/gmock.h>

#include <algorithm>
#include <cstring>

#include "../support/cache_testing.h"
#include "gemmsmith/manager.h"
#include "gemmsmith/persistent_cache.h"
#include "jit/cache/disk_tier.h"
#include "jit/cache/entry_files.h"
#include "jit/cache/entry_format.h"
#include "jit/cache/usage.h"

namespace gemmsmith {
namespace {

using namespace std::chrono_literals;
namespace fs = std::filesystem;
using ::testing::ElementsAre;
using testing::EntryPath;
using ::testing::HasSubstr;
using testing::KeyOf;
using testing::MakeArtifact;
using testing::ReadFile;
using testing::ShiftTime;
using testing::WriteFile;

class Maintenance : public ::testing::Test {
 protected:
  Maintenance() {
    for (const char* name : kNames) Put(name);
  }
  void Put(const std::string& name) {
    DiskTier(root_.string(), 60s).Put(KeyOf(name), std::make_shared<const Artifact>(MakeArtifact(name, random_)));
  }
  fs::path PathOf(const std::string& name) const { return EntryPath(root_, KeyOf(name)); }
  static std::vector<std::string> Names(const std::vector<CachedKernel>& kernels) {
    std::vector<std::string> names;
    for (const CachedKernel& kernel : kernels) names.push_back(kernel.kernel_name);
    std::sort(names.begin(), names.end());
    return names;
  }
  std::vector<std::string> Left() const { return Names(cache_.List()); }

  static constexpr const char* kNames[] = {"gemm_a", "gemm_b", "reduce"};
  testing::TempDir dir_;
  testing::Warnings warnings_;
  testing::Random random_;
  ::testing::ScopedTrace trace_{__FILE__, __LINE__, random_.trace()};
  const fs::path root_ = dir_ / "cache";
  const PersistentCache cache_{root_.string()};
};

TEST_F(Maintenance, PruningRemovesWhatHasAnOlderFormatButNotWhatHasANewer) {
  for (const auto& [name, version] :
       {std::pair("gemm_a", kEntryFormatVersion - 1), {"reduce", kEntryFormatVersion + 1}}) {
    std::string entry = ReadFile(PathOf(name));
    std::memcpy(entry.data() + 8, &version, sizeof version);
    WriteFile(PathOf(name), entry);
  }
  for (const bool dry_run : {true, false}) {
    const PruneReport report = cache_.Prune({}, dry_run);
    EXPECT_EQ(report.removed_kernels, 1u);
    EXPECT_EQ(report.kept_kernels, 2u);
  }
  EXPECT_FALSE(fs::exists(PathOf("gemm_a")));
  EXPECT_TRUE(fs::exists(PathOf("reduce")));
  EXPECT_THAT(Left(), ElementsAre("gemm_b"));
}

TEST_F(Maintenance, ListsWhatEachEntrySaysOfItselfAndHowOftenItWasUsed) {
  const std::string key = KeyOf("gemm_b").digest.Hex();
  {
    UsageBuffer buffer(root_.string());
    for (int i = 0; i < 7; ++i) buffer.Hit(key, Origin::kDisk, 1);
  }
  ShiftTime(PathOf("gemm_b"), -3h);
  const std::vector<CachedKernel> kernels = cache_.List();
  ASSERT_EQ(kernels.size(), 3u);
  const auto found = std::find_if(kernels.begin(), kernels.end(), [&](const auto& k) { return k.key == key; });
  ASSERT_NE(found, kernels.end());
  EXPECT_EQ(found->kernel_name, "gemm_b");
  EXPECT_EQ(found->arch, "sm_90a");
  EXPECT_EQ(found->compiler, "nvrtc 13.0.88");
  EXPECT_EQ(found->problem, "m=1 n=2 k=3 f32 nt");
  EXPECT_EQ(found->stored_bytes, fs::file_size(PathOf("gemm_b")));
  EXPECT_EQ(found->cubin_size, 300u);
  EXPECT_EQ(found->ptx_size, std::strlen(".version 9.0\n.entry gemm_b() { ret; }"));
  EXPECT_EQ(found->usage_count, 7u);
  EXPECT_EQ(found->resources.registers, 128);
  EXPECT_NEAR(static_cast<double>(std::time(nullptr) - found->last_used_unix), 3 * 3600, 60);
  EXPECT_GT(found->compile_ms, 0);
  EXPECT_GT(found->created_unix, 0);
}

TEST_F(Maintenance, LookingIsNoUse) {
  ShiftTime(PathOf("reduce"), -3h);
  const fs::file_time_type before = fs::last_write_time(PathOf("reduce"));
  cache_.List();
  cache_.Show(KeyOf("reduce").digest.Hex());
  cache_.Verify(/*repair=*/true);
  EXPECT_EQ(fs::last_write_time(PathOf("reduce")), before);
}

TEST_F(Maintenance, ListsNeitherBrokenEntriesNorThoseOfAnotherFormat) {
  WriteFile(PathOf("gemm_a"), "broken");
  std::string entry = ReadFile(PathOf("reduce"));
  entry[8] ^= 1;
  WriteFile(PathOf("reduce"), entry);
  EXPECT_THAT(Left(), ElementsAre("gemm_b"));
}

TEST_F(Maintenance, AListOfDamagedEntriesListsOrSkipsThem) {
  const std::string entry = ReadFile(PathOf("gemm_a"));
  for (std::size_t size = 0; size < entry.size(); ++size) {
    WriteFile(PathOf("gemm_a"), entry.substr(0, size));
    ASSERT_LE(cache_.List().size(), 3u);
    std::string flipped = entry;
    flipped[size] ^= static_cast<char>(1 << random_.Below(8));
    WriteFile(PathOf("gemm_a"), flipped);
    ASSERT_GE(cache_.List().size(), 2u);
  }
}

TEST_F(Maintenance, SearchesNamesAndAllElseInUpperAndLowerCase) {
  EXPECT_THAT(Names(cache_.Search("gemm")), ElementsAre("gemm_a", "gemm_b"));
  EXPECT_THAT(Names(cache_.Search("GEMM_B")), ElementsAre("gemm_b"));
  EXPECT_THAT(Names(cache_.Search(KeyOf("reduce").digest.Hex().substr(3, 12))), ElementsAre("reduce"));
  for (const char* everywhere : {"", "sm_90A", "NVRTC 13", "n=2 k=3", "block_m=64"})
    EXPECT_EQ(cache_.Search(everywhere).size(), 3u) << everywhere;
  EXPECT_TRUE(cache_.Search("attention").empty());
}

TEST_F(Maintenance, ShowsOneByTheStartOfItsKey) {
  const CacheKey key = KeyOf("reduce");
  WriteDebugFile(root_.string(), key.digest.Hex(), ".cu", "the source");
  const CachedKernelDetails details = cache_.Show(key.digest.Hex().substr(0, 20));
  EXPECT_EQ(details.kernel.kernel_name, "reduce");
  EXPECT_EQ(details.path, PathOf("reduce"));
  EXPECT_EQ(details.key_text, key.text);
  EXPECT_EQ(details.log, "warning: a line\n");
  EXPECT_EQ(details.source, "the source");
}

TEST_F(Maintenance, ShowSaysWhyItShowsNothing) {
  const auto code = [&](const std::string& key) {
    try {
      cache_.Show(key);
    } catch (const Error& error) {
      return error.code();
    }
    return Code::kInternal;
  };
  EXPECT_EQ(code(""), Code::kInvalidArgument);
  EXPECT_EQ(code("xyz"), Code::kNotFound);
  EXPECT_EQ(code(std::string(32, '0')), Code::kNotFound);
  WriteFile(PathOf("reduce"), "broken");
  EXPECT_EQ(code(KeyOf("reduce").digest.Hex()), Code::kNotFound);
}

TEST_F(Maintenance, VerifyFindsWhatIsBrokenAndRepairSetsItAside) {
  std::string entry = ReadFile(PathOf("gemm_a"));
  entry[entry.size() / 2] ^= 1;
  WriteFile(PathOf("gemm_a"), entry);
  fs::copy_file(PathOf("reduce"), PathOf("gemm_b"), fs::copy_options::overwrite_existing);
  Put("other format");
  entry = ReadFile(PathOf("other format"));
  entry[8] ^= 1;
  WriteFile(PathOf("other format"), entry);
  for (const bool repair : {false, true}) {
    const IntegrityReport report = cache_.Verify(repair);
    EXPECT_EQ(report.checked, 4u);
    EXPECT_EQ(report.other_format, 1u);
    ASSERT_EQ(report.broken.size(), 2u);
    for (const BrokenKernel& broken : report.broken)
      EXPECT_THAT(broken.reason, HasSubstr(broken.key == KeyOf("gemm_a").digest.Hex() ? "checksum" : "another key"));
    EXPECT_EQ(report.repaired, repair ? 3u : 0u);
    EXPECT_EQ(CountQuarantined(root_.string()), repair ? 2u : 0u);
  }
  EXPECT_TRUE(cache_.Verify(true).broken.empty());
  EXPECT_THAT(Left(), ElementsAre("reduce"));
}

TEST_F(Maintenance, PrunesToEachLimitAndCountsTheSameWhenDry) {
  ShiftTime(PathOf("gemm_a"), -72h);
  ShiftTime(PathOf("gemm_b"), -48h);
  const std::uint64_t size = fs::file_size(PathOf("reduce"));
  const struct {
    PruneLimits limits;
    std::vector<std::string> left;
  } cases[] = {
      {{}, {"gemm_a", "gemm_b", "reduce"}},
      {{.max_age = 60h}, {"gemm_b", "reduce"}},
      {{.max_kernels = 2}, {"gemm_b", "reduce"}},
      {{.max_bytes = size}, {"reduce"}},
      {{.max_kernels = 2, .max_age = 1h}, {"reduce"}},
      {{.max_bytes = 0}, {}},
  };
  const fs::path copy = dir_ / "copy";
  for (const auto& c : cases) {
    fs::remove_all(copy);
    fs::copy(root_, copy, fs::copy_options::recursive);
    for (const char* name : kNames)
      fs::last_write_time(EntryPath(copy, KeyOf(name)), fs::last_write_time(PathOf(name)));
    const PersistentCache cache(copy.string());
    const PruneReport dry = cache.Prune(c.limits, /*dry_run=*/true);
    EXPECT_EQ(cache.List().size(), 3u);
    const PruneReport done = cache.Prune(c.limits);
    EXPECT_EQ(Names(cache.List()), c.left) << &c - cases;
    EXPECT_EQ(done.kept_kernels, c.left.size());
    EXPECT_EQ(done.removed_kernels, 3 - c.left.size());
    EXPECT_EQ(dry.removed_kernels, done.removed_kernels);
    EXPECT_EQ(dry.removed_bytes, done.removed_bytes);
    EXPECT_EQ(dry.kept_bytes, done.kept_bytes);
  }
}

TEST_F(Maintenance, ClearRemovesEntriesDebugFilesAndCountersAndNothingElse) {
  ArtifactStore store({.directory = root_.string()});
  store.Get(KeyOf("reduce"));
  EXPECT_EQ(cache_.History().disk_hits, 1u);
  store.Get(KeyOf("gemm_a"));
  WriteDebugFile(root_.string(), KeyOf("gone").digest.Hex(), ".log", "of an entry that is gone");
  const fs::path foreign = PathOf("reduce").parent_path() / "notes.txt";
  WriteFile(foreign, "not ours");
  const PruneReport report = cache_.Clear();
  EXPECT_EQ(report.removed_kernels, 3u);
  EXPECT_TRUE(Left().empty());
  EXPECT_EQ(cache_.History().disk_hits, 0u);
  EXPECT_EQ(testing::FilesBelow(root_ / "kernels"), std::vector<fs::path>{foreign});
}

TEST_F(Maintenance, ACacheThatIsNotThereIsEmpty) {
  const PersistentCache cache((dir_ / "none").string());
  EXPECT_TRUE(cache.List().empty());
  EXPECT_EQ(cache.Verify(true).checked, 0u);
  EXPECT_EQ(cache.Prune({.max_kernels = 0}).removed_kernels, 0u);
  EXPECT_EQ(cache.Clear().removed_kernels, 0u);
  EXPECT_EQ(cache.History().misses, 0u);
  EXPECT_FALSE(fs::exists(dir_ / "none"));
}

TEST_F(Maintenance, TheGlobalManagerLooksAfterTheDirectoryOfTheGlobalEngines) {
  auto& manager = GlobalPersistentCacheManager::Instance();
  manager.Initialize(root_.string(), CachePolicy::Development());
  EXPECT_EQ(GlobalJITManager::Instance().GetGlobalConfig().cache_dir, root_.string());
  EXPECT_EQ(GlobalJITManager::Instance().GetGlobalConfig().ToOptions().cache_policy, CachePolicy::Development());
  {
    ArtifactStore store({.directory = root_.string()});
    store.Get(KeyOf("reduce"));
    store.Get(KeyOf("unknown"));
  }
  const auto stats = manager.GetStats();
  EXPECT_EQ(stats.total_cached_kernels.load(), 3u);
  EXPECT_EQ(stats.disk_cache_hits.load(), 1u);
  EXPECT_EQ(stats.disk_cache_misses.load(), 1u);
  EXPECT_GT(stats.total_saved_compilation_time.load(), 0);
  EXPECT_THAT(Names(manager.SearchKernels("reduce")), ElementsAre("reduce"));
  EXPECT_TRUE(manager.ValidateCacheIntegrity());
  WriteFile(PathOf("gemm_a"), "broken");
  EXPECT_FALSE(manager.ValidateCacheIntegrity());
  ShiftTime(PathOf("gemm_b"), -25h);
  EXPECT_EQ(manager.CleanupExpiredCache(), 1u);
  EXPECT_THAT(Names(manager.GetAllCachedKernels()), ElementsAre("reduce"));
  EXPECT_EQ(manager.CleanupBySize(0), 1u);
  manager.Initialize(root_.string(), {.cache_expiration_time = 0h});
  Put("reduce");
  ShiftTime(PathOf("reduce"), -24h * 1000);
  EXPECT_EQ(manager.CleanupExpiredCache(), 0u) << "without a limit nothing expires";
}

}  // namespace
}  // namespace gemmsmith
