// What the cache benchmarks work on.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <random>
#include <string>

#include "jit/cache/store.h"
#include "util/log.h"

namespace gemmsmith::bench {

namespace fs = std::filesystem;

/// A folder of its own, gone at the end.
struct TempDir {
  TempDir() {
    std::string name = (fs::temp_directory_path() / "gemmsmith-bench-XXXXXX").string();
    if (mkdtemp(name.data()) != nullptr) path = name;
  }
  ~TempDir() {
    std::error_code ignored;
    fs::remove_all(path, ignored);
  }
  fs::path path;
};

/// Of `bytes`: 16-byte words from a small vocabulary with some fields that vary, which zstd makes about five times
/// smaller, as it does machine code.
inline std::string LikeMachineCode(std::size_t bytes) {
  std::mt19937 random(1);
  std::string code;
  while (code.size() < bytes) {
    std::string word = fmt::format("opcode{:02}-rrrrrr", random() % 24);
    word[10] = static_cast<char>(random() % 16);
    if (random() % 4 == 0) word[13] = static_cast<char>(random() % 64);
    code += word;
  }
  code.resize(bytes);
  return code;
}

inline CacheKey Key(std::size_t i) {
  KernelSource source;
  source.target = {Isa::kCuda, 90, 'a'};
  source.text = std::string(3000, 'x') + std::to_string(i);
  source.entry = "Gemm<64, 64>";
  return MakeKey(source, "nvrtc 13.0.88");
}

inline Artifact OfSize(std::size_t bytes) {
  Artifact artifact;
  artifact.parts["cubin"] = LikeMachineCode(bytes);
  artifact.kernel_name = "simt";
  artifact.compiler = "nvrtc 13.0.88";
  return artifact;
}

}  // namespace gemmsmith::bench
