#pragma once

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "gemmsmith/error.h"
#include "jit/cache/store.h"

namespace gemmsmith::testing {

namespace fs = std::filesystem;

/// A folder of its own, gone at the end.
class TempDir {
 public:
  explicit TempDir(const fs::path& parent = fs::temp_directory_path()) {
    std::string name = (parent / "gemmsmith-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) std::abort();
    path_ = fs::canonical(name);
  }
  ~TempDir() {
    std::error_code ignored;
    if (owner_ == getpid()) fs::remove_all(path_, ignored);
  }
  fs::path operator/(const std::string& name) const { return path_ / name; }
  std::string string() const { return path_.string(); }

 private:
  fs::path path_;
  pid_t owner_ = getpid();  // A forked child leaves it alone.
};

/// For tests that make thousands of folders: ten times faster than a disk.
inline fs::path MemoryFolder() { return access("/dev/shm", W_OK) == 0 ? "/dev/shm" : fs::temp_directory_path(); }

/// Keeps the warnings of its life instead of logging them.
class Warnings {
 public:
  Warnings() {
    SetErrorHandler([this](Severity, std::string_view message) {
      std::scoped_lock lock(mutex_);
      messages_.emplace_back(message);
    });
  }
  ~Warnings() { SetErrorHandler({}); }
  std::vector<std::string> messages() const {
    std::scoped_lock lock(mutex_);
    return messages_;
  }

 private:
  mutable std::mutex mutex_;
  std::vector<std::string> messages_;
};

/// Random numbers from a fresh seed, which a failing test names.
class Random {
 public:
  Random() : seed_(std::random_device{}()), engine_(seed_) {}
  std::uint32_t operator()() { return static_cast<std::uint32_t>(engine_()); }
  std::uint32_t Below(std::uint32_t limit) { return (*this)() % limit; }
  std::string Bytes(std::size_t count) {
    std::string bytes(count, 0);
    for (char& byte : bytes) byte = static_cast<char>((*this)());
    return bytes;
  }
  std::string trace() const { return "seed " + std::to_string(seed_); }

 private:
  std::uint32_t seed_;
  std::mt19937 engine_;
};

inline CacheKey KeyOf(const std::string& kernel) {
  KernelSource source;
  source.target = {Isa::kCuda, 90, 'a'};
  source.text = "extern \"C\" __global__ void " + kernel + "() {}";
  source.entry = kernel;
  source.headers = {{"scheduler.cuh", "struct Scheduler {};"}};
  return MakeKey(source, "nvrtc 13.0.88");
}

/// All fields are set, to values that are no defaults.
inline Artifact MakeArtifact(const std::string& kernel, Random& random, std::size_t bytes = 300) {
  Artifact artifact;
  artifact.parts["cubin"] = random.Bytes(bytes / 2) + std::string(bytes - bytes / 2, 'c');
  artifact.parts["ptx"] = ".version 9.0\n.entry " + kernel + "() { ret; }";
  artifact.kernel_name = kernel;
  artifact.lowered_name = "_Z" + kernel;
  artifact.target = {Isa::kCuda, 90, 'a'};
  artifact.problem = "m=1 n=2 k=3 f32 nt";
  artifact.config = "simt block_m=64";
  artifact.compiler = "nvrtc 13.0.88";
  artifact.log = "warning: a line\n";
  artifact.compile_ms = 1 + random.Below(1000) / 8.0;
  artifact.created_unix = 1'700'000'000 + random.Below(1000);
  artifact.resources = {128, 16, 4096, 256, 2048};
  return artifact;
}

inline std::string ReadFile(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}
inline void WriteFile(const fs::path& path, std::string_view bytes) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}
inline std::vector<fs::path> FilesBelow(const fs::path& folder) {
  std::vector<fs::path> files;
  std::error_code error;
  for (const auto& entry : fs::recursive_directory_iterator(folder, error))
    if (entry.is_regular_file()) files.push_back(entry.path());
  return files;
}
inline fs::path EntryPath(const fs::path& directory, const CacheKey& key) {
  const std::string hex = key.digest.Hex();
  return directory / "kernels" / hex.substr(0, 2) / (hex + ".gsk");
}
/// Sets the time of last use; negative: in the past.
inline void ShiftTime(const fs::path& path, std::chrono::seconds by) {
  fs::last_write_time(path, fs::file_time_type::clock::now() + by);
}

/// Starts `body` in a child process, which ends with 0 if it returns true. Await gives the exit status.
inline pid_t Spawn(const std::function<bool()>& body) {
  const pid_t child = fork();
  if (child != 0) return child;
  bool ok = false;
  try {
    ok = body();
  } catch (const std::exception& error) {
    fprintf(stderr, "child: %s\n", error.what());
  }
  _exit(ok ? 0 : 1);
}
inline int Await(pid_t child) {
  int status = -1;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/// Waits for `condition`, half a minute at most.
inline bool Eventually(const std::function<bool()>& condition) {
  using namespace std::chrono_literals;
  for (int i = 0; i < 6000 && !condition(); ++i) std::this_thread::sleep_for(5ms);
  return condition();
}

}  // namespace gemmsmith::testing
