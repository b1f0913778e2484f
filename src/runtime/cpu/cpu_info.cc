#include "runtime/cpu/cpu_info.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <fstream>
#include <thread>

#include "gemmsmith/options.h"
#include "util/log.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace gemmsmith {
namespace {

#if defined(__x86_64__)
/// __builtin_cpu_supports has no name for it in every compiler.
bool HasF16c() {
  unsigned eax, ebx, ecx = 0, edx;
  return __get_cpuid(1, &eax, &ebx, &ecx, &edx) != 0 && (ecx & bit_F16C) != 0;
}
bool HasAvx2() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && HasF16c(); }
bool HasAvx512() {
  return HasAvx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}
bool HasVnni() { return HasAvx512() && __builtin_cpu_supports("avx512vnni"); }
bool HasBf16() { return HasVnni() && __builtin_cpu_supports("avx512bf16"); }

/// "AMD EPYC 9575F 64-Core Processor".
std::string BrandName() {
  std::array<unsigned, 12> words{};
  for (unsigned leaf = 0; leaf < 3; ++leaf) {
    unsigned* const w = words.data() + 4 * leaf;
    if (__get_cpuid(0x80000002 + leaf, w, w + 1, w + 2, w + 3) == 0) return "x86-64";
  }
  const auto* const text = reinterpret_cast<const char*>(words.data());
  std::string name(text, strnlen(text, sizeof(words)));
  name.erase(0, name.find_first_not_of(' '));
  name.erase(name.find_last_not_of(' ') + 1);
  return name;
}

/// AMD before Zen 5 (family 0x1a) does 512 bits in two passes.
bool HasHalfRateAvx512() {
  unsigned eax, ebx, ecx, edx;
  if (__get_cpuid(0, &eax, &ebx, &ecx, &edx) == 0 || ebx != signature_AMD_ebx) return false;
  __get_cpuid(1, &eax, &ebx, &ecx, &edx);
  const unsigned family = ((eax >> 8) & 15) + ((eax >> 20) & 255);
  return family < 0x1a;
}

/// GHz while running scalar code, by a chain of multiplications that takes 3 cycles each on every x86-64 with AVX2. The
/// fastest of a few tries: the others were interrupted.
double MeasureClock() {
  using Clock = std::chrono::steady_clock;
  constexpr int kRounds = 2000, kPerRound = 10;
  double best = 0;
  for (int attempt = 0; attempt < 8; ++attempt) {
    long x = 3;
    const auto start = Clock::now();
    for (int i = 0; i < kRounds; ++i)
      asm volatile(
          "imul %0, %0\n imul %0, %0\n imul %0, %0\n imul %0, %0\n imul %0, %0\n"
          "imul %0, %0\n imul %0, %0\n imul %0, %0\n imul %0, %0\n imul %0, %0\n"
          : "+r"(x));
    const double ns = std::chrono::duration<double, std::nano>(Clock::now() - start).count();
    best = std::max(best, 3.0 * kRounds * kPerRound / ns);
  }
  return best;
}
#else
bool HasAvx2() { return false; }
bool HasAvx512() { return false; }
bool HasVnni() { return false; }
bool HasBf16() { return false; }
bool HasHalfRateAvx512() { return false; }
std::string BrandName() { return "cpu"; }
double MeasureClock() { return 2.5; }
#endif

std::string ReadWord(const std::string& path) {
  std::ifstream file(path);
  std::string word;
  file >> word;
  return word;
}

/// Bytes of the data cache of `level` that core 0 uses; 0: unknown.
std::int64_t CacheBytes(int level) {
  for (int index = 0; index < 8; ++index) {
    const std::string folder = fmt::format("/sys/devices/system/cpu/cpu0/cache/index{}/", index);
    if (ReadWord(folder + "level") != std::to_string(level) || ReadWord(folder + "type") == "Instruction") continue;
    const std::string size = ReadWord(folder + "size");  // "48K"
    const std::int64_t unit = size.ends_with('M') ? 1 << 20 : size.ends_with('K') ? 1 << 10 : 1;
    return size.empty() ? 0 : std::strtoll(size.c_str(), nullptr, 10) * unit;
  }
  const int names[] = {_SC_LEVEL1_DCACHE_SIZE, _SC_LEVEL2_CACHE_SIZE, _SC_LEVEL3_CACHE_SIZE};
  return std::max(0l, sysconf(names[level - 1]));
}

/// CPUs that the cgroup's quota amounts to, rounded up; 0: no quota.
int CgroupCpus() {
  std::ifstream file("/sys/fs/cgroup/cpu.max");  // "200000 100000", or "max 100000"
  double quota = 0, period = 0;
  if (!(file >> quota >> period) || quota <= 0 || period <= 0) return 0;
  return static_cast<int>(quota / period + 0.999);
}

int CountCores() {
  cpu_set_t set;
  const int allowed = sched_getaffinity(0, sizeof(set), &set) == 0
                          ? CPU_COUNT(&set)
                          : static_cast<int>(std::thread::hardware_concurrency());
  const int quota = CgroupCpus();
  return std::max(1, quota > 0 ? std::min(allowed, quota) : allowed);
}

/// Instruction sets, best first: each has those after it.
struct InstructionSet {
  std::string_view name;  ///< In Environment::cpu_isa.
  CodeTarget target;
  bool (*is_there)();
  double f32_flops_per_clock;  ///< Two units for multiply-and-add; portable: separate products and sums, 16 bytes wide.
};
constexpr InstructionSet kInstructionSets[] = {{"avx512-bf16", {Isa::kX86, 514, 0}, HasBf16, 64},
                                               {"avx512-vnni", {Isa::kX86, 513, 0}, HasVnni, 64},
                                               {"avx512", {Isa::kX86, 512, 0}, HasAvx512, 64},
                                               {"avx2", {Isa::kX86, 2, 0}, HasAvx2, 32},
                                               {"portable", {}, [] { return true; }, 8}};

std::vector<CodeTarget> FindTargets() {
  const std::string& cap = Environment::Get().cpu_isa;
  const auto* best = std::find_if(std::begin(kInstructionSets), std::end(kInstructionSets),
                                  [&](const InstructionSet& set) { return set.name == cap; });
  if (best == std::end(kInstructionSets)) {
    best = std::begin(kInstructionSets);
    if (!cap.empty())
      Warn("GEMMSMITH_CPU_ISA=\"{}\" is none of portable, avx2, avx512, avx512-vnni, avx512-bf16; ignored", cap);
  }
  std::vector<CodeTarget> targets;
  for (; best != std::end(kInstructionSets); ++best)
    if (best->is_there()) targets.push_back(best->target);
  return targets;
}

/// Flops per clock of one core, f32.
double FlopsPerClock(const CodeTarget& target) {
  const auto* const set = std::find_if(std::begin(kInstructionSets), std::end(kInstructionSets),
                                       [&](const InstructionSet& set) { return set.target == target; });
  return HasHalfRateAvx512() ? std::min(set->f32_flops_per_clock, 32.0) : set->f32_flops_per_clock;
}

DeviceSpec ReadSpec() {
  DeviceSpec spec;
  spec.name = BrandName();
  spec.target = CpuTargets().front();
  spec.multiprocessors = CpuThreads();
  spec.clock_ghz = MeasureClock();
  spec.f32_flops_per_clock = FlopsPerClock(spec.target);
  spec.f64_flops_per_clock = spec.f32_flops_per_clock / 2;
  // One core draws 15 GB/s or more from any DRAM of today; sockets saturate at a few hundred.
  spec.memory_gbps = std::min(15.0 * spec.multiprocessors, 300.0);
  spec.memory_gib =
      static_cast<double>(sysconf(_SC_PHYS_PAGES)) * static_cast<double>(sysconf(_SC_PAGESIZE)) / (1 << 30);
  if (const auto bytes = CacheBytes(1)) spec.l1_bytes = bytes;
  if (const auto bytes = CacheBytes(2)) spec.l2_bytes = bytes;
  spec.l3_bytes = CacheBytes(3);
  return spec;
}

}  // namespace

std::vector<std::string> CpuFeatures() {
  std::vector<std::string> features;
#if defined(__x86_64__)
#define GEMMSMITH_FEATURE(name) \
  if (__builtin_cpu_supports(name)) features.emplace_back(name);
  GEMMSMITH_FEATURE("sse4.2")
  GEMMSMITH_FEATURE("avx")
  GEMMSMITH_FEATURE("avx2")
  GEMMSMITH_FEATURE("fma")
  if (HasF16c()) features.emplace_back("f16c");
  GEMMSMITH_FEATURE("avx512f")
  GEMMSMITH_FEATURE("avx512bw")
  GEMMSMITH_FEATURE("avx512dq")
  GEMMSMITH_FEATURE("avx512vl")
  GEMMSMITH_FEATURE("avx512vnni")
  GEMMSMITH_FEATURE("avx512bf16")
#undef GEMMSMITH_FEATURE
#endif
  return features;
}

const std::vector<CodeTarget>& CpuTargets() {
  static const auto* const targets = new std::vector<CodeTarget>(FindTargets());
  return *targets;
}

bool CpuRuns(const CodeTarget& target) {
  return std::find(CpuTargets().begin(), CpuTargets().end(), target) != CpuTargets().end();
}

int CpuThreads() {
  static const int threads = Environment::Get().num_threads > 0 ? Environment::Get().num_threads : CountCores();
  return threads;
}

double CpuClockMhz() {
  if (const std::string khz = ReadWord("/sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq"); !khz.empty())
    return std::strtod(khz.c_str(), nullptr) / 1e3;
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with("cpu MHz")) return std::strtod(line.c_str() + line.find(':') + 1, nullptr);
  return 0;
}

const DeviceSpec& CpuSpec() {
  static const auto* const spec = new DeviceSpec(ReadSpec());
  return *spec;
}

}  // namespace gemmsmith
