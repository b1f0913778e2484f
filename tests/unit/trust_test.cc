#include "util/trust.h"

#include <gmock/gmock.h>

#include "../support/trust_testing.h"
#include "util/paths.h"

namespace gemmsmith {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::SetMode;

class Trust : public ::testing::Test {
 protected:
  Trust() {
    fs::create_directories(cache_);
    for (const fs::path& folder : {way_, cache_}) SetMode(folder, 0700);
  }
  std::string Reason(const fs::path& path) { return InspectPath(path.string()).reason; }

  testing::TempDir dir_;
  const fs::path way_ = dir_ / "way", cache_ = dir_ / "way/cache";
};

TEST_F(Trust, AFolderOfThisUsersThatOthersCannotWriteToIsTrusted) {
  for (const mode_t mode : {0700, 0755, 0500, 0000}) {
    SetMode(cache_, mode);
    const PathVerdict verdict = InspectPath(cache_.string());
    EXPECT_THAT(verdict.reason, IsEmpty()) << mode;
    EXPECT_TRUE(verdict.exists);
    EXPECT_EQ(verdict.path, cache_.string());
  }
}

TEST_F(Trust, WhatOthersCanWriteToIsNot) {
  const fs::path file = cache_ / "file";
  testing::WriteFile(file, "");
  for (const fs::path& path : {cache_, file})
    for (const mode_t mode : {0720, 0702, 0777, 01777}) {
      SetMode(path, mode);
      const PathVerdict verdict = InspectPath(path.string());
      EXPECT_EQ(verdict.reason, "other users may write to " + path.string()) << mode;
      EXPECT_EQ(verdict.remedy, "chmod go-w " + path.string());
      SetMode(path, 0700);
    }
}

TEST_F(Trust, AFolderOnTheWayMayBeOthersToWriteToOnlyIfItIsSticky) {
  struct Case {
    mode_t mode;
    bool trusted;
  };
  for (const Case& c : {Case{0755, true}, {01777, true}, {01775, true}, {0777, false}, {0707, false}}) {
    SetMode(way_, c.mode);
    EXPECT_EQ(Reason(cache_).empty(), c.trusted) << c.mode;
    EXPECT_EQ(Reason(cache_ / "not/yet").empty(), c.trusted) << c.mode;
  }
}

TEST_F(Trust, AGroupOfThisUsersOwnMayWriteToAFolderOnTheWay) {
  SetMode(way_, 0770);
  EXPECT_EQ(Reason(cache_).empty(), getegid() == geteuid());
  if (!testing::CanGiveAway()) GTEST_SKIP() << testing::kCannotGiveAway;
  ASSERT_EQ(chown(way_.c_str(), 0, testing::kStranger), 0);
  SetMode(way_, 0770);
  EXPECT_THAT(Reason(cache_), HasSubstr("other users may write to " + way_.string()));
}

TEST_F(Trust, WhatBelongsToSomebodyElseIsNot) {
  if (!testing::CanGiveAway()) GTEST_SKIP() << testing::kCannotGiveAway;
  for (const fs::path& path : {way_, cache_}) {
    testing::GiveAway(path);
    EXPECT_EQ(Reason(cache_), path.string() + " belongs to user 65534");
    EXPECT_THAT(Reason(cache_ / "not/yet"), HasSubstr("belongs to user"));
    ASSERT_EQ(chown(path.c_str(), 0, 0), 0);
  }
}

TEST_F(Trust, TheLinksOnTheWayMustBeOurs) {
  fs::create_directory_symlink("way", dir_ / "relative");
  fs::create_directory_symlink(cache_, dir_ / "absolute");
  fs::create_directory_symlink("../relative/../relative/cache/.", way_ / "winding");
  fs::create_directory_symlink(".", cache_ / "here");
  for (const char* link : {"absolute", "relative/cache", "way/winding/", "way/cache/here", "way/cache/here/here"}) {
    const PathVerdict verdict = InspectPath(dir_ / link);
    EXPECT_THAT(verdict.reason, IsEmpty()) << link;
    EXPECT_EQ(verdict.path, cache_.string()) << link;
  }
  if (!testing::CanGiveAway()) GTEST_SKIP() << testing::kCannotGiveAway;
  testing::GiveAway(dir_ / "relative");
  EXPECT_THAT(Reason(dir_ / "absolute"), IsEmpty());
  for (const char* link : {"relative", "relative/cache", "way/winding", "relative/not/yet"}) {
    const PathVerdict verdict = InspectPath(dir_ / link);
    EXPECT_EQ(verdict.reason, "the link " + (dir_ / "relative").string() + " belongs to user 65534") << link;
    EXPECT_EQ(verdict.path, (dir_ / link).string()) << "as it was named";
  }
}

TEST_F(Trust, WhereALinkLeadsIsLookedAtToo) {
  fs::create_directory_symlink(cache_, dir_ / "link");
  SetMode(way_, 0777);
  EXPECT_THAT(Reason(dir_ / "link"), HasSubstr("other users may write to " + way_.string()));
}

TEST_F(Trust, OfAPathThatIsNotThereTheRestIsLookedAt) {
  const PathVerdict verdict = InspectPath(cache_ / "not/../yet/./there/");
  EXPECT_THAT(verdict.reason, IsEmpty());
  EXPECT_FALSE(verdict.exists);
  EXPECT_EQ(verdict.path, (cache_ / "yet/there").string());
  SetMode(way_, 0777);
  EXPECT_THAT(Reason(dir_ / "none/../way/cache"), HasSubstr(way_.string())) << "what is missing leads back";
}

TEST_F(Trust, AgreesWithTheCanonicalPath) {
  fs::create_directory_symlink(way_, dir_ / "link");
  fs::create_symlink("dangling/target", dir_ / "dangles");
  testing::WriteFile(dir_ / "file", "");
  for (const char* name : {"", "way", "way/", "link/cache", "link/../link//cache/.", "link/none/x", "file/x"})
    EXPECT_EQ(InspectPath(dir_ / name).path, CanonicalPath(dir_ / name)) << name;
  EXPECT_EQ(InspectPath(dir_ / "dangles").path, dir_ / "dangling/target") << "where a folder would be made";
  EXPECT_EQ(InspectPath("/").path, "/");
  EXPECT_EQ(InspectPath("here").path, CanonicalPath("here"));
  EXPECT_EQ(InspectPath("").path, "");
}

TEST_F(Trust, LinksThatGoInACircleAreAnError) {
  fs::create_symlink("b", dir_ / "a");
  fs::create_symlink("a", dir_ / "b");
  EXPECT_THROW(InspectPath(dir_ / "a"), Error);
}

TEST_F(Trust, AnOpenFileIsJudgedByItsOwnerAndMode) {
  struct stat info {};
  info.st_mode = S_IFREG | 0644;
  for (const uid_t owner : {geteuid(), uid_t{0}}) {
    info.st_uid = owner;
    EXPECT_EQ(WhyUntrusted(info), "");
  }
  for (const mode_t mode : {0620, 0602, 0666}) {
    info.st_mode = S_IFREG | mode;
    EXPECT_EQ(WhyUntrusted(info), "other users may write to it");
  }
  info.st_mode = S_IFREG | 0600;
  info.st_uid = testing::kStranger;
  EXPECT_EQ(WhyUntrusted(info), "it belongs to user 65534");
}

TEST_F(Trust, ThisProcessBelievesItsEnvironment) {
  ASSERT_FALSE(HasForeignEnvironment());
  ::setenv("GEMMSMITH_TRUST_TEST", "x", 1);
  EXPECT_EQ(TrustedVariable("GEMMSMITH_TRUST_TEST"), "x");
  ::unsetenv("GEMMSMITH_TRUST_TEST");
  EXPECT_EQ(TrustedVariable("GEMMSMITH_TRUST_TEST"), "");
}

}  // namespace
}  // namespace gemmsmith
