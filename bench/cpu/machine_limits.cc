#include "machine_limits.h"

#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace gemmsmith::bench {
namespace {

/// Runs part(index) on each of the threads. The last of them is the caller: OpenMP's threads are those of the peers.
template <class Part>
void OnThreads([[maybe_unused]] int threads, const Part& part) {
#pragma omp parallel for num_threads(threads) schedule(static, 1) if (threads > 1)
  for (int i = 0; i < threads; ++i) part(i);
}

#if defined(__x86_64__)

// More independent chains than any CPU's multiply-add takes cycles. In assembly: compilers know ways to compute this
// faster, or not at all. What is called through a pointer may use all vector registers, without saying so.
#define GEMMSMITH_PEAK(name, features, instruction, registers, chains)                                           \
  __attribute__((target(features), noinline)) void name(int loops) {                                             \
    asm volatile("vpbroadcastd %1, %%" registers "0\n\tvpbroadcastd %1, %%" registers "1\n1:\n\t.irp i, " chains \
                 "\n\t" instruction " %%" registers "0, %%" registers "1, %%" registers                          \
                 "\\i\n\t.endr\n\tsub $1, %0\n\tjnz 1b"                                                          \
                 : "+r"(loops)                                                                                   \
                 : "m"(kOnes)                                                                                    \
                 : "cc");                                                                                        \
  }
#define GEMMSMITH_CHAINS_12 "2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13"
#define GEMMSMITH_CHAINS_24 GEMMSMITH_CHAINS_12 ", 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25"
const std::uint32_t kOnes = 0x3f803f80;  // Harmless in every type: 1.0 twice as bf16, about 1 as f32.

GEMMSMITH_PEAK(PeakF32Avx512, "avx512f", "vfmadd231ps", "zmm", GEMMSMITH_CHAINS_24)
GEMMSMITH_PEAK(PeakF64Avx512, "avx512f", "vfmadd231pd", "zmm", GEMMSMITH_CHAINS_24)
GEMMSMITH_PEAK(PeakBf16Avx512, "avx512bf16", "vdpbf16ps", "zmm", GEMMSMITH_CHAINS_24)
GEMMSMITH_PEAK(PeakInt8Avx512, "avx512vnni", "vpdpbusd", "zmm", GEMMSMITH_CHAINS_24)
GEMMSMITH_PEAK(PeakF32Avx2, "avx2,fma", "vfmadd231ps", "ymm", GEMMSMITH_CHAINS_12)
GEMMSMITH_PEAK(PeakF64Avx2, "avx2,fma", "vfmadd231pd", "ymm", GEMMSMITH_CHAINS_12)
#undef GEMMSMITH_PEAK

struct Peak {
  DType type;
  bool here;
  void (*run)(int loops);
  int operations;  ///< Of one turn of the loop.
};

const Peak* FindPeak(DType type) {
  __builtin_cpu_init();
  static const Peak peaks[] = {
      {DType::kF32, __builtin_cpu_supports("avx512f") != 0, PeakF32Avx512, 24 * 32},
      {DType::kF64, __builtin_cpu_supports("avx512f") != 0, PeakF64Avx512, 24 * 16},
      {DType::kBf16, __builtin_cpu_supports("avx512bf16") != 0, PeakBf16Avx512, 24 * 64},
      {DType::kU8, __builtin_cpu_supports("avx512vnni") != 0, PeakInt8Avx512, 24 * 128},
      {DType::kF32, __builtin_cpu_supports("fma") != 0, PeakF32Avx2, 12 * 16},
      {DType::kF64, __builtin_cpu_supports("fma") != 0, PeakF64Avx2, 12 * 8},
  };
  for (const Peak& peak : peaks)
    if (peak.type == type && peak.here) return &peak;
  return nullptr;
}

/// Reads four streams at once with the hardware's prefetchers and our own: no single loop has been faster here.
__attribute__((target("avx512f"))) void ReadWide(const char* from, std::size_t bytes) {
  constexpr std::size_t kStreams = 4, kStep = 128, kAhead = 2048;
  const std::size_t stream = bytes / kStreams / kStep * kStep;
  __m512i sums[kStreams] = {};
  for (std::size_t i = 0; i < stream; i += kStep)
    for (std::size_t s = 0; s < kStreams; ++s) {
      const char* const at = from + s * stream + i;
      _mm_prefetch(at + kAhead, _MM_HINT_T0);
      _mm_prefetch(at + kAhead + 64, _MM_HINT_T0);
      sums[s] = _mm512_xor_si512(sums[s], _mm512_xor_si512(_mm512_loadu_si512(at), _mm512_loadu_si512(at + 64)));
    }
  for (const __m512i& sum : sums) asm volatile("" : : "v"(sum));  // Or the compiler would leave out the loop.
}

#endif

void Read(const char* from, std::size_t bytes) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f")) return ReadWide(from, bytes);
#endif
  std::uint64_t sums[8] = {};
  for (std::size_t i = 0; i + sizeof(sums) <= bytes; i += sizeof(sums)) {
    std::uint64_t words[8];
    std::memcpy(words, from + i, sizeof(words));
    for (int j = 0; j < 8; ++j) sums[j] ^= words[j];
  }
  for (const std::uint64_t sum : sums) asm volatile("" : : "r"(sum));
}

}  // namespace

std::vector<Contestant> LimitsOf(const Case& c, const Operands& operands, int threads, double cache_bytes) {
  std::vector<Contestant> limits;
#ifndef _OPENMP
  if (threads > 1) return limits;
#endif
#if defined(__x86_64__)
  if (const Peak* const peak = FindPeak(c.a_type)) {
    constexpr int kLoops = 10'000;
    Contestant limit{"peak", Role::kLimit};
    limit.run = [peak, threads] { OnThreads(threads, [peak](int) { peak->run(kLoops); }); };
    limit.work = static_cast<double>(threads) * kLoops * peak->operations;
    limits.push_back(std::move(limit));
  }
#endif
  if (c.b_bytes() > cache_bytes) {
    const auto part = static_cast<std::size_t>(c.b_bytes()) / static_cast<std::size_t>(threads);
    Contestant limit{"read", Role::kLimit};
    limit.run = [from = static_cast<const char*>(operands.b), part, threads] {
      OnThreads(threads, [from, part](int i) { Read(from + part * static_cast<std::size_t>(i), part); });
    };
    limit.work = static_cast<double>(part) * threads;
    limits.push_back(std::move(limit));
  }
  return limits;
}

}  // namespace gemmsmith::bench
