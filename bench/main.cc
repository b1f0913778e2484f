#include <benchmark/benchmark.h>

#include <string>
#include <vector>

namespace {

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
  std::vector<std::string> options = ReadOptions(argc, argv);
  std::vector<char*> pointers;
  for (std::string& option : options) pointers.push_back(option.data());
  pointers.push_back(nullptr);
  int count = static_cast<int>(options.size());
  benchmark::Initialize(&count, pointers.data());
  if (benchmark::ReportUnrecognizedArguments(count, pointers.data())) return 2;
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
