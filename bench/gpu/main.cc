// gemmsmith-bench-gpu: GEMM on a GPU beside cuBLASLt's best, in turns within one run, as JSON, from which
// tools/gpu_report.py makes tables. Operands rotate through more memory than the L2 holds; CUDA graphs leave the host
// out.
#include <fmt/format.h>
#include <unistd.h>
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <functional>
#include <iostream>
#include <optional>

#include "cublaslt.h"
#include "driver.h"
#include "launches.h"

namespace gemmsmith::bench {
namespace {

using nlohmann::json;

constexpr DeviceId kGpu{DeviceKind::kCuda, 0};

struct Options {
  std::vector<std::string> sets = SetNames();
  std::string filter, json_file;
  bool quick = false;
  int rounds = 11;
};

/// A graph of one pass over the sets of operands, or several.
struct Contestant {
  std::string name;
  std::unique_ptr<Graph> graph;
  std::vector<double> microseconds = {};  ///< Of one call, a round each.
};

/// Times graphs on one stream.
class Stopwatch {
 public:
  explicit Stopwatch(Device& device)
      : device_(device), stream_(device.CreateStream()), start_(device.CreateEvent()), stop_(device.CreateEvent()) {}
  ~Stopwatch() { device_.DestroyStream(stream_); }
  Stopwatch(const Stopwatch&) = delete;
  Stopwatch& operator=(const Stopwatch&) = delete;

  Stream stream() const { return stream_; }
  double Milliseconds(const Graph& graph, int times) {
    start_->Record(stream_);
    for (int i = 0; i < times; ++i) graph.Launch(stream_);
    stop_->Record(stream_);
    return stop_->MillisecondsSince(*start_);
  }

 private:
  Device& device_;
  Stream stream_;
  std::unique_ptr<Event> start_, stop_;
};

class Bench {
 public:
  explicit Bench(Options options) : options_(std::move(options)), gpu_(engine_.devices().Get(kGpu)), watch_(gpu_) {
    try {
      cublas_.emplace(gpu_);
    } catch (const std::exception& error) {
      missing_ = error.what();
    }
  }

  json Run() {
    json document = {{"gpu", gpu_.spec().name},
                     {"l2_bytes", gpu_.spec().l2_bytes},
                     {"partial", options_.quick || !options_.filter.empty()},
                     {"missing", missing_},
                     {"rows", json::array()}};
    for (const std::string& set : options_.sets) {
      std::vector<Case> cases = CasesOf(set, options_.quick);
      std::erase_if(cases, [&](const Case& c) { return ToString(c).find(options_.filter) == std::string::npos; });
      if (cases.empty()) continue;
      OperandPool pool(gpu_, cases);
      for (std::size_t i = 0; i < cases.size(); ++i) {
        ShowProgress(set, i, cases);
        document["rows"].push_back(Compete(cases[i], pool));
      }
    }
    document["launches"] = CompareLaunches(engine_, gpu_, options_.rounds);
    return document;
  }

 private:
  static void ShowProgress(const std::string& set, std::size_t row, const std::vector<Case>& cases) {
    const bool screen = isatty(STDERR_FILENO) != 0;
    fmt::print(stderr, "{}{}, row {} of {}: {}{}", screen ? "\r\033[K" : "", set, row + 1, cases.size(),
               ToString(cases[row]), screen && row + 1 < cases.size() ? "" : "\n");
  }

  /// Every round times each contestant in turn, so that all meet the same clocks.
  json Compete(const Case& c, OperandPool& pool) {
    std::vector<GemmArgs> args;
    for (std::size_t set = 0; set < pool.Sets(c); ++set) args.push_back(pool.Args(c, set));
    json row = {{"set", c.set}, {"case", ToString(c)}, {"m", c.m},           {"n", c.n},
                {"k", c.k},     {"flops", c.flops()},  {"sets", args.size()}};
    if (c.recorded_us > 0) row["recorded"] = {{"what", c.recorded_what}, {"us", c.recorded_us}};
    std::vector<Contestant> contestants;
    const auto add = [&](const std::string& name, auto make) {
      try {
        contestants.push_back({name, make()});
      } catch (const std::exception& error) {
        row["failed"][name] = error.what();
      }
    };
    add("gemmsmith", [&] { return Ours(c, args, row); });
    if (c.grouping != Grouping::kNone) {
      const Case dense = c.Dense();
      std::vector<GemmArgs> as_dense;
      for (std::size_t set = 0; set < args.size(); ++set) as_dense.push_back(pool.Args(dense, set));
      add("gemmsmith, dense", [&] { return Ours(dense, as_dense, row); });
    } else if (c.scaling != Scaling::kNone) {
      Case plain = c;
      plain.scaling = Scaling::kNone;
      std::vector<GemmArgs> unscaled = args;
      for (GemmArgs& a : unscaled) a.scales = nullptr;
      add("gemmsmith, one scale", [&] { return Ours(plain, unscaled, row); });
    }
    if (cublas_ && c.grouping == Grouping::kNone) add("cuBLASLt", [&] { return Best(c, args); });
    Time(contestants, CallsIn(args.size()));
    row["sm_mhz"] = SmClock();
    for (Contestant& contestant : contestants) row["results"].push_back(Result(contestant, c));
    return row;
  }

  std::unique_ptr<Graph> Ours(const Case& c, const std::vector<GemmArgs>& args, json& row) {
    const GemmProblem problem = Describe(args[0], DefaultAccumulator(c.ab), c.compute);
    PrepareOptions prepare;
    prepare.stream = watch_.stream();
    const PlanInfo plan = engine_.Prepare(problem, kGpu, prepare);
    row["config"].push_back(ToString(plan.config));
    return Passes(args.size(), [&](std::size_t set) { engine_.Gemm(problem, args[set], watch_.stream()); });
  }

  /// By the fastest of the algorithms that cuBLASLt proposes.
  std::unique_ptr<Graph> Best(const Case& c, const std::vector<GemmArgs>& args) {
    const CublasLt::Product product(*cublas_, c);
    std::unique_ptr<Graph> best;
    double least = INFINITY;
    for (std::size_t algorithm = 0; algorithm < product.algorithms(); ++algorithm) {
      auto graph = Passes(args.size(), [&](std::size_t set) { product.Run(algorithm, args[set], watch_.stream()); });
      watch_.Milliseconds(*graph, 1);
      const double milliseconds = std::min(watch_.Milliseconds(*graph, 2), watch_.Milliseconds(*graph, 2));
      if (milliseconds < least) least = milliseconds, best = std::move(graph);
    }
    return best;
  }

  std::unique_ptr<Graph> Passes(std::size_t sets, const std::function<void(std::size_t)>& call) {
    return std::make_unique<Graph>(watch_.stream(), [&] {
      for (std::size_t i = 0; i < CallsIn(sets); ++i) call(i % sets);
    });
  }
  /// Calls in a graph: whole passes, enough that launching it does not count.
  static std::size_t CallsIn(std::size_t sets) { return (32 + sets - 1) / sets * sets; }

  void Time(std::vector<Contestant>& contestants, std::size_t calls) {
    if (contestants.empty()) return;
    constexpr double kSampleMs = 2;
    std::vector<int> times;
    for (const Contestant& contestant : contestants) {
      watch_.Milliseconds(*contestant.graph, 1);  // the first warms up
      times.push_back(std::clamp(static_cast<int>(kSampleMs / watch_.Milliseconds(*contestant.graph, 1)), 1, 50));
    }
    for (int round = 0; round < options_.rounds; ++round)
      for (std::size_t i = 0; i < contestants.size(); ++i)
        contestants[i].microseconds.push_back(watch_.Milliseconds(*contestants[i].graph, times[i]) * 1e3 /
                                              (times[i] * static_cast<double>(calls)));
  }

  static json Result(Contestant& contestant, const Case& c) {
    const std::size_t rounds = contestant.microseconds.size();
    std::sort(contestant.microseconds.begin(), contestant.microseconds.end());
    return {{"name", contestant.name},
            {"us", contestant.microseconds[rounds / 2]},
            {"least_us", contestant.microseconds.front()},
            {"most_us", contestant.microseconds.back()},
            {"tflops", c.flops() / contestant.microseconds[rounds / 2] * 1e-6}};
  }

  const Options options_;
  Engine engine_;
  Device& gpu_;
  Stopwatch watch_;
  std::optional<CublasLt> cublas_;
  std::string missing_;
};

int Main(int argc, char** argv) {
  Options options;
  CLI::App app(
      "GEMM on the first CUDA GPU beside cuBLASLt\n\nExample: gemmsmith-bench-gpu --set bf16 --json bf16.json");
  app.add_option("--set", options.sets, "Which sets")
      ->delimiter(',')
      ->check(CLI::IsMember(SetNames()))
      ->capture_default_str();
  app.add_option("--filter", options.filter, "Only rows whose name has this in it: \"4096x7168\"");
  app.add_flag("--quick", options.quick, "A few small products, few rounds: does it run?");
  app.add_option("--rounds", options.rounds, "Of which the medians are")
      ->check(CLI::Range(1, 1001))
      ->capture_default_str();
  app.add_option("--json", options.json_file, "Where the results go; default: standard output");
  CLI11_PARSE(app, argc, argv);
  if (options.quick) options.rounds = 3;
  const std::string document = Bench(options).Run().dump(1) + "\n";
  if (options.json_file.empty())
    std::cout << document;
  else if (!(std::ofstream(options.json_file) << document))
    throw std::runtime_error("cannot write " + options.json_file);
  return 0;
}

}  // namespace
}  // namespace gemmsmith::bench

int main(int argc, char** argv) {
  try {
    return gemmsmith::bench::Main(argc, argv);
  } catch (const std::exception& e) {
    fmt::print(stderr, "gemmsmith-bench-gpu: {}\n", e.what());
    return 1;
  }
}
