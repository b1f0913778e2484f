#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "gemmsmith/bundle.h"
#include "gemmsmith/options.h"
#include "gemmsmith/persistent_cache.h"
#include "gemmsmith/serving.h"
#include "gemmsmith/shapes.h"

namespace gemmsmith::cli {

/// What the command line says. The words mean the same on every subcommand, and a subcommand takes only those that
/// change what it does.
struct Options {
  std::int64_t m = 0, n = 0, k = 0, batch = 1;
  std::string dtype, compute, layout = "nn", scaling, grouping, epilogue, shapes;
  double alpha = 1, beta = 0;
  std::uint64_t seed = 0, seeds = 0;

  std::vector<std::int64_t> groups;
  std::int64_t expected_groups = 0;  ///< 0: none.

  std::string device, gpu;
  std::vector<std::string> arch;
  int threads = 0;
  int num_sms = 0;  ///< 0: all.

  EngineOptions engine;
  bool no_jit = false, no_cache = false;

  std::vector<std::string> emit;
  std::string out = ".";
  int jobs = 0;  ///< 0: one per core.
  std::string bundle;
  BundleOptions bundle_options;
  std::vector<std::string> signers;

  std::string data;  ///< A folder of tables.

  std::string key, text, name, sort = "name", report;
  std::optional<std::uint64_t> older_than, newer_than;     ///< Seconds since last use.
  std::optional<std::uint64_t> larger_than, smaller_than;  ///< Bytes, as stored.
  std::uint64_t limit = 0;                                 ///< 0: all.
  bool repair = false, dry_run = false, source = false, ptx = false, sass = false;
  PruneLimits prune;

  std::uint64_t budget = 60;  ///< Seconds.
  std::int64_t candidates = 8;
  std::int64_t m_from = 0, m_to = 0;  ///< 0: m alone.

  std::string chip, model, effort = "exact";
  std::vector<std::int64_t> seq = {4096};
  std::int64_t context = 0;  ///< 0: as seq.
  RowRange rows;
  bool tile_search = false, partition_search = false, roofline = false;

  bool compress = false;

  bool check = false, stats = false, full = false, json = false, verbose = false, profile = false;
  std::string debug_dump;
};

// One place registers each word.
void AddSizes(CLI::App& app, Options& options, const char* dtype = "f32");  ///< --m --n --k --batch --dtype --shapes
void AddDType(CLI::App& app, Options& options, const char* otherwise);      ///< --dtype
void AddForm(CLI::App& app, Options& options);                              ///< --compute --scaling --layout
/// --m --n --k --batch --grouping --dtype --compute --scaling --layout --beta --shapes
void AddProblem(CLI::App& app, Options& options);
void AddChip(CLI::App& app, Options& options);        ///< --chip --tile-search --partition-search --effort --roofline
void AddModel(CLI::App& app, Options& options);       ///< --model --seq --context
void AddServed(CLI::App& app, Options& options);      ///< --model --m-range
void AddSeed(CLI::App& app, Options& options);        ///< --seed
void AddOperands(CLI::App& app, Options& options);    ///< --alpha --seed
void AddEpilogue(CLI::App& app, Options& options);    ///< --epilogue
void AddDevice(CLI::App& app, Options& options);      ///< --device --threads
void AddNumSms(CLI::App& app, Options& options);      ///< --num-sms
void AddEmulation(CLI::App& app, Options& options);   ///< --stats --seeds
void AddTuning(CLI::App& app, Options& options);      ///< --budget --candidates --m-range --dry-run
void AddTarget(CLI::App& app, Options& options);      ///< --arch --gpu
void AddCompiler(CLI::App& app, Options& options);    ///< --compiler
void AddCode(CLI::App& app, Options& options);        ///< --compiler --opt-level --fast-math
void AddCompiling(CLI::App& app, Options& options);   ///< --compiler --opt-level --fast-math --no-cache
void AddCacheDir(CLI::App& app, Options& options);    ///< --cache-dir
void AddResultsDir(CLI::App& app, Options& options);  ///< --cache-dir
void AddNoJit(CLI::App& app, Options& options);       ///< --no-jit
void AddJobs(CLI::App& app, Options& options, const char* what = "Kernels to compile");  ///< --jobs
void AddEmit(CLI::App& app, Options& options);                                           ///< --emit --out
void AddInsight(CLI::App& app, Options& options);                                        ///< --profile --debug-dump
void AddFilter(CLI::App& app, Options& options);  ///< --arch --name --older-than --larger-than ... --sort --limit
void AddLimit(CLI::App& app, Options& options);   ///< --limit
void AddPrune(CLI::App& app, Options& options);   ///< --max-size --max-age --max-count --dry-run
void AddKeep(CLI::App& app, Options& options, const char* count);  ///< --max-age --max-count --dry-run
void AddOutput(CLI::App& app, Options& options);                   ///< --json --verbose

/// Refuses a command line without a problem.
void RequireProblem(CLI::App& app, const Options& options);
/// The problem of --m --n --k, those of --shapes, or the weights of --model, with --dtype, --compute and --scaling in
/// place of the file's.
std::vector<NamedProblem> Problems(const Options& options);
/// The settings that belong to the process. It reads them from its environment, once: call this before anything else
/// of the library.
void ApplyToEnvironment(const Options& options);
/// Of --gpu; where it is no row of devices.json, or there is none, what stands for `target`.
const DeviceSpec& GpuSpec(const Options& options, const CodeTarget& target);
/// With --num-sms. Throws kInvalidArgument, or kUnsupported for a CPU.
DeviceSpec WithNumSms(DeviceSpec spec, const Options& options);
int Jobs(const Options& options);
/// The folder of results databases; empty: the environment's.
std::string ResultsDir(const Options& options);

}  // namespace gemmsmith::cli
