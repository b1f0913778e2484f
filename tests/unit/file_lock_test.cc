#include "util/file_lock.h"

#include <gtest/gtest.h>

#include <csignal>
#include <thread>

#include "../support/cache_testing.h"

namespace gemmsmith {
namespace {

using namespace std::chrono_literals;
using testing::Await;
using testing::Spawn;

class FileLockTest : public ::testing::Test {
 protected:
  bool IsFree() const { return FileLock::Acquire(path_, "a key", 0ms).has_value(); }

  testing::TempDir dir_;
  const std::string path_ = (dir_ / "locks").string();
};

TEST_F(FileLockTest, ExcludesOthersUntilItEnds) {
  {
    const auto lock = FileLock::Acquire(path_, "a key", 0ms);
    ASSERT_TRUE(lock);
    EXPECT_FALSE(IsFree());
    EXPECT_EQ(Await(Spawn([&] { return !IsFree(); })), 0);
  }
  EXPECT_TRUE(IsFree());
}

TEST_F(FileLockTest, ExcludesNobodyOfAnotherName) {
  const auto lock = FileLock::Acquire(path_, "a key", 0ms);
  for (const char* name : {"", "a", "a key ", "another key"}) EXPECT_TRUE(FileLock::Acquire(path_, name, 0ms)) << name;
  // Their going frees nothing of ours.
  EXPECT_FALSE(IsFree());
}

TEST_F(FileLockTest, GoesWithAMove) {
  auto lock = FileLock::Acquire(path_, "a key", 0ms);
  {
    const FileLock moved = std::move(*lock);
    lock.reset();
    EXPECT_FALSE(IsFree());
  }
  EXPECT_TRUE(IsFree());
}

TEST_F(FileLockTest, WaitsForItsTurn) {
  auto lock = FileLock::Acquire(path_, "a key", 0ms);
  std::atomic<bool> acquired = false;
  std::thread waiter([&] { acquired = FileLock::Acquire(path_, "a key", 60s).has_value(); });
  std::this_thread::sleep_for(20ms);
  EXPECT_FALSE(acquired);
  lock.reset();
  waiter.join();
  EXPECT_TRUE(acquired);
}

TEST_F(FileLockTest, WaitsNoLongerThanItWasToldTo) {
  const auto lock = FileLock::Acquire(path_, "a key", 0ms);
  EXPECT_FALSE(FileLock::Acquire(path_, "a key", 30ms));
  CancellationToken cancel;
  cancel.Cancel();
  EXPECT_FALSE(FileLock::Acquire(path_, "a key", 3600s, &cancel));
}

TEST_F(FileLockTest, IsFreedWhenItsHolderIsKilled) {
  const pid_t holder = Spawn([&] {
    const auto lock = FileLock::Acquire(path_, "a key", 0ms);
    for (;;) pause();
    return false;
  });
  ASSERT_TRUE(testing::Eventually([&] { return std::filesystem::exists(path_) && !IsFree(); }));
  kill(holder, SIGKILL);
  EXPECT_EQ(Await(holder), 128 + SIGKILL);
  EXPECT_TRUE(IsFree());
}

TEST_F(FileLockTest, AForkedChildNeitherFreesNorKeepsItsParents) {
  auto lock = FileLock::Acquire(path_, "a key", 0ms);
  EXPECT_EQ(Await(Spawn([&] {
              lock.reset();
              return true;
            })),
            0);
  EXPECT_FALSE(IsFree());
  const pid_t child = Spawn([] {
    for (;;) pause();
    return false;
  });
  lock.reset();
  EXPECT_TRUE(IsFree());
  kill(child, SIGKILL);
  Await(child);
}

TEST_F(FileLockTest, LeavesItsFileAlone) {
  FileLock::Acquire(path_, "a key", 0ms);
  EXPECT_TRUE(std::filesystem::exists(path_));
  EXPECT_EQ(testing::FilesBelow(dir_.string()).size(), 1u);
}

TEST_F(FileLockTest, SaysWhereItCannotBe) {
  try {
    FileLock::Acquire((dir_ / "missing/locks").string(), "a key", 0ms);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Code::kIo);
    EXPECT_NE(error.message().find("missing/locks: No such file"), std::string::npos) << error.message();
  }
}

}  // namespace
}  // namespace gemmsmith
