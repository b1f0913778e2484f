// Who may put code into a cache: a table of attacks on the folder and on its files. Those on bundles and signatures are
// in signed_bundle_test.cc.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>

#include "../support/bundle_testing.h"
#include "../support/trust_testing.h"
#include "gemmsmith/bundle.h"
#include "gemmsmith/doctor.h"
#include "gemmsmith/persistent_cache.h"
#include "jit/cache/disk_tier.h"

namespace gemmsmith {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::KeyOf;
using testing::MakeArtifact;
using testing::SetMode;

class CacheTrust : public ::testing::Test {
 protected:
  CacheTrust() {
    DiskTier(root_, 60s).Put(key_, artifact_);
    SetMode(way_, 0700);
  }
  ArtifactStore::Options Options(bool allow = false, std::chrono::milliseconds retry_after = 60s) const {
    ArtifactStore::Options options{.directory = root_, .retry_after = retry_after};
    options.policy.allow_shared_directory = allow;
    options.policy.enable_debug = true;
    return options;
  }
  ArtifactStore::Hit Obtain(ArtifactStore& store, const CacheKey& key) const {
    return store.GetOrCompile(key, false, [&] { return *artifact_; });
  }
  std::vector<std::string> Everything() const {
    std::vector<std::string> paths;
    for (const auto& entry : fs::recursive_directory_iterator(way_)) paths.push_back(entry.path().string());
    std::ranges::sort(paths);
    return paths;
  }

  testing::TempDir dir_;
  testing::Warnings warnings_;
  testing::Random random_;
  ::testing::ScopedTrace trace_{__FILE__, __LINE__, random_.trace()};
  const fs::path way_ = dir_ / "way";
  const std::string root_ = dir_ / "way/cache";
  const CacheKey key_ = KeyOf("f");
  const ArtifactPtr artifact_ = std::make_shared<const Artifact>(MakeArtifact("f", random_));
  const fs::path path_ = testing::EntryPath(root_, key_);
};

struct Attack {
  const char* name;
  bool needs_root;
  std::function<void(const fs::path& way, const fs::path& cache)> make;
  const char* reason;
};

const Attack kFolderAttacks[] = {
    {"a folder of somebody else's", true, [](const auto&, const auto& cache) { testing::GiveAway(cache); },
     "belongs to user 65534"},
    {"a folder that the group may write to", false, [](const auto&, const auto& cache) { SetMode(cache, 0770); },
     "other users may write"},
    {"a folder that all may write to", false, [](const auto&, const auto& cache) { SetMode(cache, 01777); },
     "other users may write"},
    {"a way through somebody else's folder", true, [](const auto& way, const auto&) { testing::GiveAway(way); },
     "belongs to user 65534"},
    {"a way through a folder that all may write to", false, [](const auto& way, const auto&) { SetMode(way, 0777); },
     "other users may write"},
    {"a way over somebody else's link", true,
     [](const fs::path& way, const fs::path& cache) {
       fs::rename(cache, way / "real");
       fs::create_directory_symlink("real", cache);
       testing::GiveAway(cache);
     },
     "the link"},
};

TEST_F(CacheTrust, AFolderThatOthersCouldPutCodeIntoIsNotUsedAtAll) {
  for (const Attack& attack : kFolderAttacks) {
    SCOPED_TRACE(attack.name);
    if (attack.needs_root && !testing::CanGiveAway()) continue;
    const testing::TempDir dir;
    fs::copy(way_, dir / "way", fs::copy_options::recursive);
    SetMode(dir / "way", 0700);
    SetMode(dir / "way/cache", 0700);
    attack.make(dir / "way", dir / "way/cache");
    const auto contents = [&] { return testing::FilesBelow(dir / "way").size(); };
    const std::size_t before = contents();
    const testing::Warnings warnings;
    {
      ArtifactStore::Options options = Options();
      options.directory = dir / "way/cache";
      ArtifactStore store(options);
      EXPECT_EQ(store.Get(key_), std::nullopt) << "not read";
      EXPECT_EQ(Obtain(store, key_).origin, Origin::kCompiled);
      EXPECT_EQ(Obtain(store, KeyOf("g")).origin, Origin::kCompiled) << "and compiled all the same";
      store.KeepForDebugging(key_, "source", *artifact_);
      EXPECT_EQ(store.GetNewest(KeyOf("h").recipe), std::nullopt);
      const CacheStats stats = store.Stats();
      EXPECT_THAT(stats.disk_status, HasSubstr(attack.reason));
      EXPECT_THAT(stats.disk_status, HasSubstr("GEMMSMITH_ALLOW_SHARED_CACHE=1"));
      EXPECT_EQ(stats.disk_kernels, 0u);
    }
    EXPECT_THAT(warnings.messages(), ElementsAre(HasSubstr(attack.reason)));
    EXPECT_EQ(contents(), before) << "no entry, lock, counter or debug file";
    EXPECT_THROW(ExportBundle(dir / "way/cache", dir / "out.gsb"), Error) << "nobody signs what others put there";
    EXPECT_FALSE(fs::exists(dir / "out.gsb"));
  }
}

TEST_F(CacheTrust, AnImportIntoAFolderThatOthersCouldPutCodeIntoIsRefused) {
  ExportBundle(root_, dir_ / "kernels.gsb");
  SetMode(root_, 0777);
  const auto before = Everything();
  EXPECT_THROW(ImportBundle(dir_ / "kernels.gsb", root_), Error);
  SetMode(way_, 0777);
  EXPECT_THROW(ImportBundle(dir_ / "kernels.gsb", way_ / "new"), Error);
  EXPECT_EQ(Everything(), before);
}

TEST_F(CacheTrust, TheDoctorSaysWhyAndHowToAllowIt) {
  SetMode(root_, 0777);
  EngineOptions options;
  options.cache_dir = root_;
  Engine engine(options);
  const std::vector<Finding> findings = Diagnose(engine);
  EXPECT_EQ(findings.back().item, "cache directory");
  EXPECT_EQ(findings.back().status, Finding::Status::kWarning);
  EXPECT_THAT(findings.back().remedy, HasSubstr("chmod go-w " + root_));
  EXPECT_THAT(findings.back().remedy, HasSubstr("GEMMSMITH_ALLOW_SHARED_CACHE=1"));
}

TEST_F(CacheTrust, APolicyCanAllowIt) {
  SetMode(root_, 0777);
  ArtifactStore store(Options(/*allow=*/true));
  EXPECT_EQ(store.Get(key_).value().origin, Origin::kDisk);
  EXPECT_EQ(Obtain(store, KeyOf("g")).origin, Origin::kCompiled);
  EXPECT_EQ(store.Stats().disk_kernels, 2u);
  EXPECT_EQ(store.Stats().disk_status, "");
  EXPECT_THAT(warnings_.messages(), IsEmpty());
}

TEST_F(CacheTrust, AFolderThatIsMendedIsUsedAgain) {
  SetMode(root_, 0777);
  for (const auto retry_after : {0ms, 3'600'000ms}) {
    DiskTier tier(root_, retry_after);
    SetMode(root_, 0777);
    EXPECT_EQ(tier.Get(key_), nullptr);
    SetMode(root_, 0700);
    EXPECT_EQ(tier.Get(key_) != nullptr, retry_after == 0ms);
    EXPECT_EQ(tier.Trouble().empty(), retry_after == 0ms);
  }
  EXPECT_EQ(warnings_.messages().size(), 2u) << "one of each";
}

TEST_F(CacheTrust, AFolderThatIsMadeAnewIsLookedAtAnew) {
  DiskTier tier(root_, 0ms);
  EXPECT_NE(tier.Get(key_), nullptr);
  fs::rename(root_, way_ / "old");
  fs::create_directory(root_);
  SetMode(root_, 0777);
  tier.Put(key_, artifact_);
  EXPECT_TRUE(fs::is_empty(root_));
  EXPECT_THAT(warnings_.messages(), ElementsAre(HasSubstr("other users may write")));
}

TEST_F(CacheTrust, AFolderThatIsNotYetThereIsNotMadeInADangerousPlace) {
  SetMode(way_, 0777);
  ArtifactStore::Options options = Options();
  options.directory = way_ / "new/cache";
  ArtifactStore store(options);
  EXPECT_EQ(Obtain(store, key_).origin, Origin::kCompiled);
  EXPECT_FALSE(fs::exists(way_ / "new"));
}

TEST_F(CacheTrust, AForeignFileIsAMissWithOneWarningAndNotMoved) {
  struct Case {
    const char* name;
    bool needs_root;
    std::function<void(const fs::path&)> make;
    const char* reason;
  };
  const Case cases[] = {
      {"somebody else's", true, [](const fs::path& file) { testing::GiveAway(file); }, "it belongs to user 65534"},
      {"the group may write", false, [](const fs::path& file) { SetMode(file, 0660); }, "other users may write to it"},
      {"all may write", false, [](const fs::path& file) { SetMode(file, 0602); }, "other users may write to it"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    if (c.needs_root && !testing::CanGiveAway()) continue;
    DiskTier tier(root_, 60s);
    tier.Put(key_, artifact_);
    const testing::Warnings warnings;
    c.make(path_);
    for (int i = 0; i < 3; ++i) EXPECT_EQ(tier.Get(key_), nullptr);
    EXPECT_THAT(warnings.messages(), ElementsAre(HasSubstr(c.reason)));
    EXPECT_TRUE(fs::exists(path_));
    EXPECT_EQ(tier.Quarantined(), 0u);
    EXPECT_EQ(ExportBundle(root_, dir_ / "out.gsb").left_out, 1u) << "nor does it go into a bundle";
    tier.Put(key_, artifact_);
    EXPECT_NE(tier.Get(key_), nullptr) << "a put heals";
  }
}

TEST_F(CacheTrust, WhatIsNoFileInPlaceOfAnEntryIsAMiss) {
  const std::pair<const char*, std::function<int()>> cases[] = {
      {"a FIFO", [&] { return mkfifo(path_.c_str(), 0600); }},
      {"a device", [&] { return mknod(path_.c_str(), S_IFCHR | 0600, makedev(1, 5)); }},  // /dev/zero
      {"a link", [&] { return symlink((dir_ / "kept").c_str(), path_.c_str()); }},
      {"a folder", [&] { return mkdir(path_.c_str(), 0700); }}};
  fs::copy(path_, dir_ / "kept");
  for (const auto& [name, make] : cases) {
    fs::remove(path_);
    if (make() != 0) continue;  // Only root may make devices.
    EXPECT_EQ(DiskTier(root_, 60s).Get(key_), nullptr) << name;
  }
}

// Entries and bundles hold names, and none of them is ever a path.
TEST_F(CacheTrust, NoNameLeadsOutOfTheFolder) {
  const std::string evil = "../../../../../../../../" + dir_.string() + "/evil";
  KernelSource source;
  source.config.family = source.text = source.entry = source.name = evil;
  source.target = {Isa::kCuda, 90, 'a'};
  source.headers = {{evil, evil}, {"/" + evil, evil}};
  const CacheKey key = MakeKey(source, evil);
  Artifact artifact = *artifact_;
  artifact.kernel_name = artifact.lowered_name = artifact.problem = artifact.config = artifact.compiler = evil;
  artifact.parts[evil] = "code";
  const auto kept = std::make_shared<const Artifact>(artifact);
  {
    ArtifactStore store(Options());
    store.GetOrCompile(key, false, [&] { return artifact; });
    store.KeepForDebugging(key, evil, artifact);
  }
  ExportBundle(root_, dir_ / "kernels.gsb");
  ImportBundle(dir_ / "kernels.gsb", dir_ / "way/other");
  EXPECT_EQ(DiskTier(dir_ / "way/other", 60s).Get(key)->kernel_name, evil);
  DiskTier tier(root_, 60s);
  testing::WriteFile(testing::EntryPath(root_, key), "broken");
  EXPECT_EQ(tier.Get(key), nullptr);
  EXPECT_EQ(tier.Quarantined(), 1u);
  PersistentCache(root_).Clear();
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(dir_.string())) names.push_back(entry.path().filename().string());
  EXPECT_THAT(names, ::testing::UnorderedElementsAre("way", "kernels.gsb"));
  names.clear();
  for (const auto& entry : fs::directory_iterator(way_)) names.push_back(entry.path().filename().string());
  EXPECT_THAT(names, ::testing::UnorderedElementsAre("cache", "other"));
}

/// What `program doctor` says, run by a stranger whose environment is `settings`.
std::string DoctorOf(const fs::path& program, const fs::path& output, std::vector<std::string> settings) {
  const pid_t child = testing::Spawn([&] {
    const UniqueFd out(open(output.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0666));
    dup2(out.get(), STDOUT_FILENO);
    const std::string name = program.string();
    const char* arguments[] = {name.c_str(), "doctor", "--json", nullptr};
    std::vector<char*> variables;
    for (std::string& setting : settings) variables.push_back(setting.data());
    variables.push_back(nullptr);
    if (setgid(testing::kStranger) != 0 || setuid(testing::kStranger) != 0) return false;
    execve(name.c_str(), const_cast<char**>(arguments), variables.data());
    return false;
  });
  EXPECT_EQ(testing::Await(child), 0);
  return testing::ReadFile(output);
}

TEST_F(CacheTrust, ASetuidProcessIgnoresItsEnvironment) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "sanitizers trace a setuid process, or start it anew, and neither leaves it one";
#endif
  if (!testing::CanGiveAway()) GTEST_SKIP() << testing::kCannotGiveAway;
  struct statvfs info {};
  ASSERT_EQ(statvfs(dir_.string().c_str(), &info), 0);
  if ((info.f_flag & ST_NOSUID) != 0) GTEST_SKIP() << "setuid programs are off where temporary files are";
  SetMode(dir_.string(), 0755);
  const fs::path program = dir_ / "gemmsmith";
  fs::copy(GEMMSMITH_BINARY_DIR "/gemmsmith", program);
  const std::string evil = dir_ / "evil";
  const std::vector<std::string> settings = {"GEMMSMITH_CACHE_DIR=" + evil,   "GEMMSMITH_NVRTC=" + evil + "/nvrtc",
                                             "GEMMSMITH_NVCC=" + evil + "/n", "CUDA_HOME=" + evil + "/cuda",
                                             "XDG_CACHE_HOME=" + evil,        "HOME=" + evil,
                                             "VIRTUAL_ENV=" + evil,           "PATH=" + evil};
  const std::pair<mode_t, bool> cases[] = {{0755, true}, {04755, false}, {02755, false}};
  for (const auto& [mode, believed] : cases) {
    ASSERT_EQ(chown(program.c_str(), 2, 2), 0);  // To root the loader and the kernel are stricter still.
    SetMode(program, mode);
    const std::string words = DoctorOf(program, dir_ / "output", settings);
    EXPECT_THAT(words, HasSubstr("cache directory")) << "it ran";
    EXPECT_EQ(words.find(evil) != words.npos, believed) << std::oct << mode << "\n" << words;
  }
}

}  // namespace
}  // namespace gemmsmith
