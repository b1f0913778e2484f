#include <charconv>
#include <cstdlib>
#include <sstream>
#include <string>
#include <vector>

#include "gemmsmith/options.h"
#include "util/log.h"
#include "util/trust.h"

namespace gemmsmith {
namespace {

/// Nothing in a setuid process: what it loads and runs is not for its caller to say.
std::string Read(const char* name) { return TrustedVariable(name); }

/// Empty where there is neither a setting nor a home: the disk tier is then off.
std::string DefaultCacheDir() {
  if (std::string dir = Read("GEMMSMITH_CACHE_DIR"); !dir.empty()) return dir;
  if (std::string dir = Read("XDG_CACHE_HOME"); dir.starts_with('/')) return dir + "/gemmsmith";
  if (std::string home = Read("HOME"); home.starts_with('/')) return home + "/.cache/gemmsmith";
  return "";
}

/// The parts between colons, but for empty ones.
std::vector<std::string> ReadList(const char* name) {
  std::vector<std::string> parts;
  std::istringstream text(Read(name));
  for (std::string part; std::getline(text, part, ':');)
    if (!part.empty()) parts.push_back(part);
  return parts;
}

bool ReadSwitch(const char* name) {
  const std::string text = Read(name);
  if (!text.empty() && text != "0" && text != "1") Warn("{}=\"{}\" is neither 0 nor 1; ignored", name, text);
  return text == "1";
}

int ReadCount(const char* name) {
  const std::string text = Read(name);
  if (text.empty()) return 0;
  char* end = nullptr;
  const long value = std::strtol(text.c_str(), &end, 10);
  if (*end != 0 || value < 0 || value > 4096) {
    Warn("{}=\"{}\" is not a number of threads (0 to 4096); ignored", name, text);
    return 0;
  }
  return static_cast<int>(value);
}

/// On unless it is "off".
bool ReadOff(const char* name) {
  const std::string text = Read(name);
  if (!text.empty() && text != "on" && text != "off") Warn("{}=\"{}\" is neither on nor off; ignored", name, text);
  return text != "off";
}

std::uint64_t ReadSeed(const char* name, std::uint64_t otherwise) {
  const std::string text = Read(name);
  if (text.empty()) return otherwise;
  std::uint64_t seed = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seed);
  if (error == std::errc{} && end == text.data() + text.size()) return seed;
  Warn("{}=\"{}\" is not a number (0 to 2^64 - 1); ignored", name, text);
  return otherwise;
}

Environment ReadAll() {
  Environment e;
  e.cache_dir = DefaultCacheDir();
  e.bundles = ReadList("GEMMSMITH_BUNDLES");
  e.allow_shared_cache = ReadSwitch("GEMMSMITH_ALLOW_SHARED_CACHE");
  e.trusted_signers = ReadList("GEMMSMITH_TRUSTED_SIGNERS");
  e.compiler = Read("GEMMSMITH_COMPILER");
  e.nvrtc = Read("GEMMSMITH_NVRTC");
  e.nvcc = Read("GEMMSMITH_NVCC");
  e.cuda_home = Read("CUDA_HOME");
  if (e.cuda_home.empty()) e.cuda_home = Read("CUDA_PATH");
  e.log_level = Read("GEMMSMITH_LOG");
  e.trace_file = Read("GEMMSMITH_TRACE");
  e.check_groups = ReadSwitch("GEMMSMITH_CHECK_GROUPS");
  e.num_threads = ReadCount("GEMMSMITH_NUM_THREADS");
  e.cpu_isa = Read("GEMMSMITH_CPU_ISA");
  e.emulator_checks = ReadOff("GEMMSMITH_EMULATOR_CHECKS");
  e.emulator_seed = ReadSeed("GEMMSMITH_EMULATOR_SEED", e.emulator_seed);
  return e;
}

}  // namespace

const Environment& Environment::Get() {
  static const Environment* const environment = new Environment(ReadAll());
  return *environment;
}

}  // namespace gemmsmith
