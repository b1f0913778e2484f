#include "cli/subprocess.h"

#include <fmt/format.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string_view>

#include "gemmsmith/error.h"

namespace gemmsmith::cli {
namespace {

using File = std::unique_ptr<std::FILE, int (*)(std::FILE*)>;

/// A nameless file. Unlike a pipe it never makes one side wait for the other.
File TemporaryFile() {
  File file(std::tmpfile(), std::fclose);
  if (!file) throw Error(Code::kIo, fmt::format("cannot make a temporary file: {}", std::strerror(errno)));
  return file;
}

std::string ReadAll(std::FILE* file) {
  std::string text;
  std::rewind(file);
  char buffer[4096];
  for (std::size_t got; (got = std::fread(buffer, 1, sizeof(buffer), file)) > 0;) text.append(buffer, got);
  return text;
}

/// Our environment without the trace: the second process would write its own over ours.
std::vector<char*> ChildEnvironment() {
  std::vector<char*> variables;
  for (char** variable = environ; *variable != nullptr; ++variable)
    if (!std::string_view(*variable).starts_with("GEMMSMITH_TRACE=")) variables.push_back(*variable);
  variables.push_back(nullptr);
  return variables;
}

pid_t Spawn(const std::vector<std::string>& arguments, std::FILE* input, std::FILE* output) {
  std::string name = "gemmsmith";
  std::vector<std::string> words = arguments;
  std::vector<char*> argv{name.data()};
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, fileno(input), STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, fileno(output), STDOUT_FILENO);
  pid_t pid = 0;
  const int error = posix_spawn(&pid, "/proc/self/exe", &actions, nullptr, argv.data(), ChildEnvironment().data());
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) throw Error(Code::kInternal, fmt::format("cannot start gemmsmith again: {}", std::strerror(error)));
  return pid;
}

}  // namespace

std::string RunAgain(const std::vector<std::string>& arguments, const std::string& input) {
  const File in = TemporaryFile(), out = TemporaryFile();
  if (std::fwrite(input.data(), 1, input.size(), in.get()) != input.size() || std::fflush(in.get()) != 0)
    throw Error(Code::kIo, "cannot write a temporary file");
  std::rewind(in.get());
  const pid_t pid = Spawn(arguments, in.get(), out.get());
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0)
    if (errno != EINTR)
      throw Error(Code::kInternal, fmt::format("cannot wait for gemmsmith: {}", std::strerror(errno)));
  std::string text = ReadAll(out.get());
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
    throw Error(Code::kInternal, fmt::format("the second process failed (status {}): {}", status, text));
  return text;
}

}  // namespace gemmsmith::cli
