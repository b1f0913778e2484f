#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

namespace gemmsmith::testing {

namespace fs = std::filesystem;

/// How a run of gemmsmith ended.
struct Result {
  int exit_code;
  std::string out, err;
  /// The whole of stdout as one document; nothing else may be there.
  nlohmann::json Json() const { return nlohmann::json::parse(out, nullptr, /*allow_exceptions=*/false); }
};

/// Each test has a folder of its own, where the program keeps its cache.
class CliTest : public ::testing::Test {
 protected:
  CliTest() {
    std::string name = (fs::temp_directory_path() / "gemmsmith_cli_XXXXXX").string();
    folder_ = mkdtemp(name.data());
  }
  ~CliTest() override { fs::remove_all(folder_); }

  std::string Path(const std::string& name) const { return (folder_ / name).string(); }
  std::string Write(const std::string& name, const std::string& text) const {
    std::ofstream(Path(name)) << text;
    return Path(name);
  }
  static std::string Read(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }

  /// Runs gemmsmith with the words of `line`, and `settings` ("NAME=value") in its environment.
  Result Run(const std::string& line, std::vector<std::string> settings = {}, const std::string& input = "/dev/null",
             const std::string& output = "") const {
    std::istringstream stream("gemmsmith " + line);
    std::vector<std::string> words{std::istream_iterator<std::string>(stream), {}};
    settings.push_back("GEMMSMITH_CACHE_DIR=" + Path("cache"));
    for (const char* name : {"PATH", "HOME", "LD_LIBRARY_PATH", "GEMMSMITH_NVRTC", "CUDA_HOME"})
      if (const char* value = std::getenv(name)) settings.push_back(std::string(name) + "=" + value);
    // Memory that there is not is for the program to report, under sanitizers too.
    for (const char* sanitizer : {"ASAN", "TSAN"})
      settings.push_back(std::string(sanitizer) + "_OPTIONS=allocator_may_return_null=1");
    const std::string out = output.empty() ? Path("stdout") : output;
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, input.c_str(), O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 1, out.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    posix_spawn_file_actions_addopen(&actions, 2, Path("stderr").c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    pid_t pid = 0;
    const int error = posix_spawn(&pid, GEMMSMITH_BINARY_DIR "/gemmsmith", &actions, nullptr, Pointers(words).data(),
                                  Pointers(settings).data());
    posix_spawn_file_actions_destroy(&actions);
    EXPECT_EQ(error, 0) << "cannot start " GEMMSMITH_BINARY_DIR "/gemmsmith";
    int status = 0;
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_TRUE(WIFEXITED(status)) << line;
    return {WEXITSTATUS(status), output.empty() ? Read(out) : "", Read(Path("stderr"))};
  }

  /// A list of the document that `line` prints.
  nlohmann::json List(const std::string& line, const char* name, const std::vector<std::string>& settings = {}) const {
    return Run(line, settings).Json().at(name);
  }
  bool HasNvrtc() const {
    for (const nlohmann::json& finding : List("doctor --json", "findings"))
      if (finding.at("item") == "NVRTC") return finding.at("status") == "ok";
    return false;
  }

 private:
  static std::vector<char*> Pointers(std::vector<std::string>& words) {
    std::vector<char*> pointers;
    for (std::string& word : words) pointers.push_back(word.data());
    pointers.push_back(nullptr);
    return pointers;
  }

  fs::path folder_;
};

}  // namespace gemmsmith::testing
