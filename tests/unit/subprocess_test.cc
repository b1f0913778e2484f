#include "util/subprocess.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <thread>

#include "gemmsmith/error.h"

namespace gemmsmith {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

SubprocessResult Shell(const std::string& script, std::chrono::milliseconds timeout = 30s,
                       const std::function<bool()>& cancelled = {}) {
  return RunSubprocess({"/bin/sh", "-c", script}, timeout, cancelled);
}

std::size_t OpenDescriptors() {
  return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {}));
}

/// Whether the process is there and no zombie; waits a little for one that was just killed.
bool Alive(pid_t pid) {
  for (int i = 0; i < 200; ++i) {
    std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
    std::string line;
    if (!std::getline(file, line) || line[line.rfind(')') + 2] == 'Z') return false;
    std::this_thread::sleep_for(10ms);
  }
  return true;
}

TEST(Subprocess, GivesBothOutputsAndTheExitCode) {
  const SubprocessResult result = Shell("echo out; echo err >&2; exit 7");
  EXPECT_EQ(result.output, "out\nerr\n");
  EXPECT_EQ(result.exit_code, 7);
  EXPECT_FALSE(result.timed_out);
  EXPECT_FALSE(result.cancelled);
}

TEST(Subprocess, CountsSignalsAsShellsDo) { EXPECT_EQ(Shell("kill -TERM $$").exit_code, 128 + SIGTERM); }

TEST(Subprocess, PassesArgumentsAsTheyAre) {
  const SubprocessResult result = RunSubprocess({"/bin/echo", "a b", "$HOME", "'\"*", ""}, 30s);
  EXPECT_EQ(result.output, "a b $HOME '\"* \n");
}

TEST(Subprocess, PutsVariablesInPlaceOfTheInherited) {
  setenv("GEMMSMITH_TEST_X", "old", 1);
  const SubprocessResult result =
      RunSubprocess({"/bin/sh", "-c", "echo $GEMMSMITH_TEST_X $GEMMSMITH_TEST_XY ${HOME:+home}"}, 30s, {},
                    {"GEMMSMITH_TEST_X=new", "HOME=there"});
  unsetenv("GEMMSMITH_TEST_X");
  EXPECT_EQ(result.output, "new home\n");
}

TEST(Subprocess, SearchesThePath) { EXPECT_EQ(RunSubprocess({"true"}, 30s).exit_code, 0); }

TEST(Subprocess, ReportsAnExecutableThatIsNotThere) {
  try {
    RunSubprocess({"/nonexistent/tool"}, 30s);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Code::kNotFound);
    EXPECT_THAT(error.what(), HasSubstr("/nonexistent/tool"));
  }
}

TEST(Subprocess, TakesMoreOutputThanAPipeHolds) {
  const SubprocessResult result = Shell("head -c 3000000 /dev/zero | tr '\\0' x");
  EXPECT_TRUE(result.output == std::string(3'000'000, 'x')) << result.output.size() << " bytes";
}

TEST(Subprocess, ReadsNothingFromStdin) { EXPECT_EQ(Shell("cat; echo end").output, "end\n"); }

TEST(Subprocess, KillsTheWholeGroupWhenTimeIsUp) {
  const SubprocessResult result = Shell("sleep 1000 & echo $!; sleep 1000", 300ms);
  EXPECT_TRUE(result.timed_out);
  EXPECT_EQ(result.exit_code, 128 + SIGKILL);
  EXPECT_FALSE(Alive(std::stoi(result.output)));
}

TEST(Subprocess, StopsWhenCancelled) {
  std::atomic<bool> cancel{false};
  std::thread other([&] {
    std::this_thread::sleep_for(100ms);
    cancel = true;
  });
  const SubprocessResult result = Shell("sleep 1000", 60s, [&] { return cancel.load(); });
  other.join();
  EXPECT_TRUE(result.cancelled);
  EXPECT_FALSE(result.timed_out);
}

TEST(Subprocess, DoesNotWaitForAGrandchildThatHoldsThePipe) {
  const SubprocessResult result = Shell("sleep 1000 & echo $!");
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_FALSE(Alive(std::stoi(result.output)));
}

TEST(Subprocess, LeavesNoZombieAndNoDescriptor) {
  const std::size_t before = OpenDescriptors();
  for (int i = 0; i < 20; ++i) Shell("exit 0");
  Shell("sleep 1000", 20ms);
  EXPECT_THROW(RunSubprocess({"/nonexistent/tool"}, 1s), Error);
  EXPECT_EQ(OpenDescriptors(), before);
  EXPECT_EQ(waitpid(-1, nullptr, WNOHANG), -1);
  EXPECT_EQ(errno, ECHILD);
}

TEST(Subprocess, InheritsNoDescriptor) {
  const int leaked = open("/dev/null", O_RDONLY);  // without O_CLOEXEC
  ASSERT_GT(leaked, 2);
  const SubprocessResult result = Shell("test -e /proc/self/fd/" + std::to_string(leaked) + " || echo none");
  close(leaked);
  EXPECT_EQ(result.output, "none\n");
}

TEST(Subprocess, RunsFromSeveralThreadsAtOnce) {
  std::vector<std::thread> threads;
  std::atomic<int> right{0};
  for (int i = 0; i < 8; ++i)
    threads.emplace_back(
        [&right, i] { right += Shell("echo " + std::to_string(i)).output == std::to_string(i) + "\n"; });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(right, 8);
}

}  // namespace
}  // namespace gemmsmith
