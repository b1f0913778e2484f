#include "util/subprocess.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <string_view>

#include "util/log.h"
#include "util/trust.h"

extern char** environ;

namespace gemmsmith {
namespace {

using Clock = std::chrono::steady_clock;

void Check(int error, const char* what) {
  if (error != 0) throw Fail(Code::kIo, "", "run subprocess: {}: {}", what, std::strerror(error));
}

class Pipe {
 public:
  Pipe() {
    Check(pipe2(ends_, O_CLOEXEC) == 0 ? 0 : errno, "pipe");
    fcntl(ends_[0], F_SETFL, O_NONBLOCK);  // the reading end alone: the child's writes must block
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  ~Pipe() {
    close(ends_[0]);
    CloseWriter();
  }
  int reader() const { return ends_[0]; }
  int writer() const { return ends_[1]; }
  void CloseWriter() {
    if (ends_[1] >= 0) close(ends_[1]);
    ends_[1] = -1;
  }
  /// Takes what is there. False once all writers are gone.
  bool Drain(std::string& to) const {
    char chunk[4096];
    for (;;) {
      const ssize_t bytes = read(ends_[0], chunk, sizeof chunk);
      if (bytes > 0) {
        to.append(chunk, static_cast<std::size_t>(bytes));
      } else if (bytes == 0 || errno != EINTR) {
        return bytes != 0;
      }
    }
  }

 private:
  int ends_[2];
};

class SpawnSettings {
 public:
  explicit SpawnSettings(const Pipe& pipe) {
    Check(posix_spawn_file_actions_init(&actions), "file actions");
    Check(posix_spawnattr_init(&attributes), "attributes");
    Check(posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0), "stdin");
    Check(posix_spawn_file_actions_adddup2(&actions, pipe.writer(), STDOUT_FILENO), "stdout");
    Check(posix_spawn_file_actions_adddup2(&actions, pipe.writer(), STDERR_FILENO), "stderr");
    // The host program may have left descriptors of its own inheritable.
    Check(posix_spawn_file_actions_addclosefrom_np(&actions, STDERR_FILENO + 1), "descriptors");
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    Check(posix_spawnattr_setsigmask(&attributes, &none), "signal mask");
    Check(posix_spawnattr_setsigdefault(&attributes, &all), "signal actions");
    Check(posix_spawnattr_setpgroup(&attributes, 0), "process group");
    Check(posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF),
          "flags");
  }
  SpawnSettings(const SpawnSettings&) = delete;
  SpawnSettings& operator=(const SpawnSettings&) = delete;
  ~SpawnSettings() {
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
  }

  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
};

/// This process's environment with `variables` ("NAME=value") in place of those of the same names. Of a setuid process
/// the child inherits nothing: its caller must not choose, through PATH, what runs next.
std::vector<char*> Environ(const std::vector<std::string>& variables) {
  std::vector<char*> envp;
  for (const std::string& variable : variables) envp.push_back(const_cast<char*>(variable.c_str()));
  static char path[] = "PATH=/usr/local/bin:/usr/bin:/bin";
  static char* plain[] = {path, nullptr};
  for (char** inherited = HasForeignEnvironment() ? plain : environ; *inherited != nullptr; ++inherited) {
    const std::string_view entry(*inherited), name = entry.substr(0, entry.find('=') + 1);
    if (std::none_of(variables.begin(), variables.end(), [&](const std::string& v) { return v.starts_with(name); }))
      envp.push_back(*inherited);
  }
  envp.push_back(nullptr);
  return envp;
}

/// A child that leads a process group; both are gone at the end of its life.
class Child {
 public:
  Child(const std::vector<std::string>& arguments, const std::vector<std::string>& variables, const Pipe& pipe) {
    std::vector<char*> argv, envp = Environ(variables);
    for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
    argv.push_back(nullptr);
    const SpawnSettings settings(pipe);
    const int error = posix_spawnp(&pid_, argv[0], &settings.actions, &settings.attributes, argv.data(), envp.data());
    if (error != 0) throw Fail(Code::kNotFound, "", "cannot run {}: {}", arguments[0], std::strerror(error));
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() {
    if (!reaped_) Reap();
  }

  bool Exited() const {
    siginfo_t info{};
    // Leaves the zombie: as long as it is there, nobody else can be given its group's number.
    return waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == pid_;
  }
  /// Kills whoever is left of the group, and returns the child's exit code.
  int Reap() {
    kill(-pid_, SIGKILL);
    int status = 0;
    while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    reaped_ = true;
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  }

 private:
  pid_t pid_ = -1;
  bool reaped_ = false;
};

}  // namespace

SubprocessResult RunSubprocess(const std::vector<std::string>& arguments, std::chrono::milliseconds timeout,
                               const std::function<bool()>& cancelled, const std::vector<std::string>& variables) {
  constexpr int kTickMs = 5;
  const Clock::time_point deadline = Clock::now() + timeout;
  SubprocessResult result;
  Pipe pipe;
  Child child(arguments, variables, pipe);
  pipe.CloseWriter();
  // The end of the output is not waited for: a grandchild may hold the pipe open for ever.
  for (bool open = true; !child.Exited();) {
    result.cancelled = cancelled && cancelled();
    result.timed_out = !result.cancelled && Clock::now() >= deadline;
    if (result.cancelled || result.timed_out) break;
    pollfd ready{open ? pipe.reader() : -1, POLLIN, 0};
    poll(&ready, 1, kTickMs);
    if (open) open = pipe.Drain(result.output);
  }
  result.exit_code = child.Reap();
  pipe.Drain(result.output);
  return result;
}

}  // namespace gemmsmith
