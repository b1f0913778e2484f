#include "util/atomic_file.h"

#include <gtest/gtest.h>

#include <csignal>
#include <set>
#include <thread>

#include "../support/cache_testing.h"
#include "util/paths.h"

namespace gemmsmith {
namespace {

using namespace std::chrono_literals;
using testing::FilesBelow;
using testing::ReadFile;
using testing::WriteFile;

class AtomicFileTest : public ::testing::Test {
 protected:
  AtomicFileTest() { MakePrivateDirectories(temp_); }

  testing::TempDir dir_;
  const std::string temp_ = (dir_ / "temp").string(), path_ = (dir_ / "file").string();
};

TEST_F(AtomicFileTest, AppearsWholeAtCommit) {
  AtomicFile file(temp_);
  file.Write("ab");
  file.Write("cd");
  EXPECT_FALSE(std::filesystem::exists(path_));
  file.Commit(path_);
  EXPECT_EQ(ReadFile(path_), "abcd");
  EXPECT_TRUE(FilesBelow(temp_).empty());
}

TEST_F(AtomicFileTest, IsForItsOwnerAlone) {
  AtomicFile file(temp_);
  file.Commit(path_);
  struct stat info {};
  ASSERT_EQ(stat(path_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  ASSERT_EQ(stat(temp_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0700u);
}

TEST_F(AtomicFileTest, LeavesNothingWhenItIsNotCommitted) {
  WriteFile(path_, "old");
  { AtomicFile(temp_).Write("new"); }
  EXPECT_EQ(ReadFile(path_), "old");
  EXPECT_TRUE(FilesBelow(temp_).empty());
}

TEST_F(AtomicFileTest, LeavesNothingWhenCommitFails) {
  AtomicFile file(temp_);
  EXPECT_THROW(file.Commit((dir_ / "missing/file").string()), Error);
  EXPECT_FALSE(std::filesystem::exists(path_));
}

TEST_F(AtomicFileTest, HasANameOfItsOwnInEveryProcess) {
  std::set<std::string> names;
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(names.insert(AtomicFile(temp_).temp_path()).second);
  // Where two machines share a folder, so may they share process numbers.
  const AtomicFile file(temp_);
  const std::string name = std::filesystem::path(file.temp_path()).filename().string();
  char host[65] = {};
  gethostname(host, sizeof host - 1);
  EXPECT_TRUE(name.starts_with(std::string(host) + "-" + std::to_string(getpid()) + "-")) << name;
}

TEST_F(AtomicFileTest, ReadersSeeTheOldOrTheNewButNeverAMixture) {
  const std::string contents[] = {std::string(50'000, 'a'), std::string(50'000, 'b')};
  WriteFile(path_, contents[0]);
  std::atomic<bool> stop = false;
  std::vector<std::thread> writers;
  for (const std::string& content : contents)
    writers.emplace_back([&] {
      while (!stop) {
        AtomicFile file(temp_);
        file.Write(std::string_view(content).substr(0, 20'000));
        file.Write(std::string_view(content).substr(20'000));
        file.Commit(path_);
      }
    });
  for (int i = 0; i < 300; ++i) {
    const std::string seen = ReadFile(path_);
    EXPECT_TRUE(seen == contents[0] || seen == contents[1]) << seen.size();
  }
  stop = true;
  for (std::thread& writer : writers) writer.join();
}

TEST_F(AtomicFileTest, SweepingTakesOldPrivateFilesAndNothingElse) {
  for (const char* name : {"old.tmp", "new.tmp", "foreign", "folder.tmp/inner.tmp"}) {
    std::filesystem::create_directories((dir_ / "temp" / name).parent_path());
    WriteFile(dir_ / "temp" / name, "x");
    if (name != std::string("new.tmp")) testing::ShiftTime(dir_ / "temp" / name, -2h);
  }
  SweepTemporaries(temp_, 1h);
  EXPECT_FALSE(std::filesystem::exists(temp_ + "/old.tmp"));
  EXPECT_TRUE(std::filesystem::exists(temp_ + "/new.tmp"));
  EXPECT_TRUE(std::filesystem::exists(temp_ + "/foreign"));
  EXPECT_TRUE(std::filesystem::exists(temp_ + "/folder.tmp/inner.tmp"));
  SweepTemporaries(temp_ + "/missing", 1h);
}

TEST(Paths, CanonicalPathsOfOneFolderAreEqual) {
  const testing::TempDir dir;
  const std::string real = (dir / "real").string();
  std::filesystem::create_directory(real);
  std::filesystem::create_directory_symlink(real, dir / "link");
  for (const char* name : {"real", "real/", "link", "link/", "./real/.", "real/../link//"})
    EXPECT_EQ(CanonicalPath((dir / name).string()), real) << name;
  EXPECT_EQ(CanonicalPath((dir / "link/new/sub").string()), real + "/new/sub");
  EXPECT_EQ(CanonicalPath((dir / "link/new/sub/").string()), real + "/new/sub");
  EXPECT_EQ(CanonicalPath("here"), std::filesystem::current_path().string() + "/here");
  EXPECT_EQ(CanonicalPath(""), "");
  EXPECT_EQ(CanonicalPath("/"), "/");
}

TEST(Paths, FoldersAreMadeWithTheirParentsForOneUser) {
  const testing::TempDir dir;
  const std::string path = (dir / "a/b/c").string();
  MakePrivateDirectories(path);
  MakePrivateDirectories(path);
  struct stat info {};
  ASSERT_EQ(stat((dir / "a").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0700u);
  WriteFile(dir / "file", "");
  EXPECT_THROW(MakePrivateDirectories((dir / "file/a/b").string()), Error);
}

}  // namespace
}  // namespace gemmsmith
