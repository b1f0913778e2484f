#include <benchmark/benchmark.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "peers.h"

namespace {

/// Peers are compared at their best: idle threads must not spin while others are timed, and OpenBLAS uses the kernels
/// of this CPU, whatever the environment or its own table of CPUs says. Libraries read this when they are loaded, so
/// that the program starts itself again. With GEMMSMITH_BENCH_QUIET set the environment is left as it is.
void PreparePeers(char** argv) {
  if (std::getenv("GEMMSMITH_BENCH_QUIET") != nullptr) return;
  setenv("GEMMSMITH_BENCH_QUIET", "1", 1);
  setenv("GOMP_SPINCOUNT", "10000", 0);
  setenv("OPENBLAS_THREAD_TIMEOUT", "14", 0);  // 2^14 cycles.
  unsetenv("OPENBLAS_CORETYPE");
  unsetenv("OPENBLAS_L2_SIZE");
  execv("/proc/self/exe", argv);
  std::perror("gemmsmith-bench: going on in the environment as it is");
}

/// --json prints one JSON document; --json FILE writes it there, beside the table on the screen.
std::vector<std::string> ReadOptions(int argc, char** argv) {
  std::vector<std::string> options(argv, argv + argc);
  for (std::size_t i = 1; i < options.size(); ++i) {
    if (options[i] != "--json") continue;
    const bool has_file = i + 1 < options.size() && !options[i + 1].starts_with("-");
    if (has_file) {
      options[i] = "--benchmark_out=" + options[i + 1];
      options[i + 1] = "--benchmark_out_format=json";
    } else {
      options[i] = "--benchmark_format=json";
    }
  }
  return options;
}

}  // namespace

int main(int argc, char** argv) {
  PreparePeers(argv);
  std::vector<std::string> options = ReadOptions(argc, argv);
  std::vector<char*> pointers;
  for (std::string& option : options) pointers.push_back(option.data());
  pointers.push_back(nullptr);
  int count = static_cast<int>(options.size());
  benchmark::AddCustomContext("peers", gemmsmith::bench::PeerVersions());
  benchmark::Initialize(&count, pointers.data());
  if (benchmark::ReportUnrecognizedArguments(count, pointers.data())) return 2;
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
