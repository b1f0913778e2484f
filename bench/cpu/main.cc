// gemmsmith-bench-cpu: CPU GEMM beside its peers and the limits of the machine, as JSON, from which tools/cpu_report.py
// makes tables and plots. Each set and number of threads is measured by a process of its own, whose environment says
// the number of threads to every library, each in its own way.
#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>
#include <CLI/CLI.hpp>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <thread>

#include "configs.h"
#include "machine_limits.h"
#include "ours.h"
#include "peers.h"
#include "sets.h"

namespace gemmsmith::bench {
namespace {

using nlohmann::json;

struct Options {
  std::vector<std::string> sets = SetNames();
  std::vector<int> threads;
  std::string filter, json_file, libraries;
  bool quick = false;
  int passes = 2;
  Effort effort;
};

/// What a row has besides the product itself, by its set.
std::vector<Contestant> ContestantsOf(const Case& c, const Operands& x, Ours& ours,
                                      const std::vector<std::unique_ptr<Peer>>& peers) {
  if (c.set == "config") return ConfigsOf(ours.engine(), c, x);
  std::vector<Contestant> contestants = {ours.Prepare(c, x)};
  if (!c.epilogue.empty()) {
    contestants.push_back(ours.PrepareUnfused(c, x));
    contestants.push_back(ours.PrepareBare(c, x));
  }
  for (const auto& peer : peers) {
    const auto add = [&](const std::string& name,
                         std::function<void()> (Peer::*prepare)(const Case&, const Operands&)) {
      Contestant made{name, Role::kPeer};
      try {
        made.run = (peer.get()->*prepare)(c, x);
      } catch (const std::exception& e) {
        made.why = std::string("failed: ") + e.what();
      }
      if (made.run || !made.why.empty()) contestants.push_back(std::move(made));
    };
    add(peer->name(), &Peer::Prepare);
    if (!c.epilogue.empty()) add(peer->name() + ", in two passes", &Peer::PrepareUnfused);
  }
  return contestants;
}

/// Who was there for one set.
json Describe(const std::string& set, const std::vector<std::unique_ptr<Peer>>& peers,
              const std::vector<std::string>& missing) {
  json about = {{"set", set}, {"peers", json::object()}, {"missing", missing}};
  for (const auto& peer : peers) about["peers"][peer->name()] = peer->about();
  return about;
}

/// The rows of one set, a line each on the standard output.
void RunSet(const std::string& set, int threads, const Options& options) {
  std::vector<Case> cases = CasesOf(set, options.quick);
  std::erase_if(cases, [&](const Case& c) { return ToString(c).find(options.filter) == std::string::npos; });
  if (cases.empty()) return;
  std::vector<std::string> missing;
  std::vector<std::unique_ptr<Peer>> peers;
  if (set != "config") peers = OpenPeers(missing);
  std::cout << json{{"about", Describe(set, peers, missing)}} << std::endl;
  Ours ours;
  const auto cache_bytes = static_cast<double>(ours.engine().devices().Get(DeviceId{}).spec().l3_bytes);
  const OperandPool pool(cases);
  const bool screen = isatty(STDERR_FILENO) != 0;
  for (std::size_t i = 0; i < cases.size(); ++i) {
    const Case& c = cases[i];
    fmt::print(stderr, "{}{}, threads: {}, row {} of {}: {}{}", screen ? "\r\033[K" : "", set, threads, i + 1,
               cases.size(), ToString(c), screen ? "" : "\n");
    const Operands operands = pool.For(c);
    std::vector<Contestant> contestants = ContestantsOf(c, operands, ours, peers);
    for (Contestant& limit : LimitsOf(c, operands, threads, cache_bytes)) contestants.push_back(std::move(limit));
    json row = Compete(c, operands, std::move(contestants), threads, options.effort);
    row["config"] = ours.ConfigOf(c);
    std::cout << json{{"row", row}} << std::endl;
  }
  if (screen) fmt::print(stderr, "\r\033[K");
}

/// Libraries read this when they are loaded. Threads that wait must not spin while others are timed, but sleep only
/// after some microseconds, so that nobody pays for waking them between calls that follow each other. OpenBLAS uses the
/// kernels of this CPU, whatever the environment says.
void SetEnvironment(int threads, const std::string& libraries) {
  const std::string count = std::to_string(threads);
  for (const char* name :
       {"GEMMSMITH_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "BLIS_NUM_THREADS", "MKL_NUM_THREADS"})
    setenv(name, count.c_str(), 1);
  setenv("OMP_DYNAMIC", "FALSE", 1);
  setenv("MKL_DYNAMIC", "FALSE", 1);
  setenv("MKL_THREADING_LAYER", "GNU", 1);  // One set of OpenMP threads for all.
  setenv("MKL_INTERFACE_LAYER", "LP64", 1);
  setenv("GOMP_SPINCOUNT", "10000", 1);
  setenv("OPENBLAS_THREAD_TIMEOUT", "14", 1);  // 2^14 cycles.
  unsetenv("OPENBLAS_CORETYPE");
  unsetenv("OPENBLAS_L2_SIZE");
  if (libraries.empty()) return;
  const char* const others = std::getenv("LD_LIBRARY_PATH");
  setenv("LD_LIBRARY_PATH", (others == nullptr ? libraries : libraries + ":" + others).c_str(), 1);
}

/// Of each contestant the better pass: what disturbs a shared machine for seconds had better not decide a row. Who was
/// left out of one is left out. Configs that the model holds for equal may come in another order.
void MergePass(json& row, const json& again) {
  row["rounds"] = row["rounds"].get<int>() + again["rounds"].get<int>();
  for (json& best : row["results"])
    for (json other : again["results"]) {
      if (other["name"] != best["name"] || !best.contains("seconds")) continue;
      other["role"] = best["role"];
      if (!other.contains("seconds") || other["seconds"] < best["seconds"]) best = std::move(other);
      break;
    }
}

void AddRow(json& rows, const json& row) {
  for (json& known : rows)
    if (known["set"] == row["set"] && known["threads"] == row["threads"] && known["case"] == row["case"])
      return MergePass(known, row);
  rows.push_back(row);
}

void AddAbout(json& about, const json& set) {
  if (std::find(about.begin(), about.end(), set) == about.end()) about.push_back(set);
}

/// Runs this program again for one set; its lines go into `document`. False: it did not end well.
bool RunChild(const std::string& set, int threads, const Options& options, char** argv, json& document) {
  int ends[2];
  if (pipe(ends) != 0) throw std::system_error(errno, std::generic_category(), "pipe");
  const pid_t child = fork();
  if (child < 0) throw std::system_error(errno, std::generic_category(), "fork");
  if (child == 0) {
    dup2(ends[1], STDOUT_FILENO);
    close(ends[0]);
    close(ends[1]);
    SetEnvironment(threads, options.libraries);
    setenv("GEMMSMITH_BENCH_SET", set.c_str(), 1);
    execv("/proc/self/exe", argv);
    std::perror("gemmsmith-bench-cpu");
    _exit(127);
  }
  close(ends[1]);
  FILE* const lines = fdopen(ends[0], "r");
  char* line = nullptr;
  std::size_t capacity = 0;
  while (getline(&line, &capacity, lines) > 0) {
    const json value = json::parse(line, nullptr, false);  // Libraries may print something of their own.
    if (value.contains("about")) AddAbout(document["about"], value["about"]);
    if (value.contains("row")) AddRow(document["rows"], value["row"]);
  }
  std::free(line);
  std::fclose(lines);
  int status = 0;
  waitpid(child, &status, 0);
  if (status != 0) fmt::print(stderr, "\nthe rest of {} with {} threads is missing: status {}\n", set, threads, status);
  return status == 0;
}

std::string CpuName() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  return "unknown CPU";
}

bool RunAll(const Options& options, char** argv) {
  json document = {{"cpu", CpuName()},
                   {"cores", std::thread::hardware_concurrency()},
                   {"partial", options.quick || !options.filter.empty()},
                   {"about", json::array()},
                   {"rows", json::array()}};
  bool good = true;
  for (int pass = 0; pass < options.passes; ++pass)
    for (const std::string& set : options.sets)
      for (const int threads : options.threads) good = RunChild(set, threads, options, argv, document) && good;
  if (options.json_file.empty())
    std::cout << document.dump(1) << "\n";
  else if (!(std::ofstream(options.json_file) << document.dump(1) << "\n"))
    throw std::runtime_error("cannot write " + options.json_file);
  return good;
}

int Main(int argc, char** argv) {
  Options options;
  for (int i = 1; i <= std::min(2, static_cast<int>(std::thread::hardware_concurrency())); ++i)
    options.threads.push_back(i);
  CLI::App app("CPU GEMM beside OpenBLAS, BLIS, MKL, oneDNN, Eigen and libxsmm, where they are installed");
  app.add_option("--set", options.sets, "Which sets")
      ->delimiter(',')
      ->check(CLI::IsMember(SetNames()))
      ->capture_default_str();
  app.add_option("--threads", options.threads, "Numbers of threads")
      ->delimiter(',')
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--filter", options.filter, "Only rows whose name has this in it: \"nt 16x\", \"packed\"");
  app.add_flag("--quick", options.quick, "A few small shapes, few samples: does it run?");
  app.add_option("--passes", options.passes, "Over all rows; of each contestant the better one counts")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--seconds", options.effort.row_seconds, "For one row of a pass; large products take longer")
      ->capture_default_str();
  app.add_option("--json", options.json_file, "Where the results go; default: standard output");
  app.add_option("--libraries", options.libraries, "A folder with more libraries to compare with");
  CLI11_PARSE(app, argc, argv);
  if (options.quick) options.effort = {0.05, 3, 3}, options.passes = 1;
  if (const char* const set = std::getenv("GEMMSMITH_BENCH_SET")) {
    RunSet(set, std::atoi(std::getenv("GEMMSMITH_NUM_THREADS")), options);
    return 0;
  }
  return RunAll(options, argv) ? 0 : 1;
}

}  // namespace
}  // namespace gemmsmith::bench

int main(int argc, char** argv) {
  try {
    return gemmsmith::bench::Main(argc, argv);
  } catch (const std::exception& e) {
    fmt::print(stderr, "gemmsmith-bench-cpu: {}\n", e.what());
    return 1;
  }
}
