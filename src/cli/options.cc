#include "cli/options.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <iostream>
#include <iterator>
#include <map>
#include <mutex>
#include <thread>
#include <tuple>

#include "gemmsmith/epilogue.h"
#include "gemmsmith/error.h"
#include "gemmsmith/target.h"
#include "gemmsmith/tensor.h"

namespace gemmsmith::cli {
namespace {

/// Accepts what `parse` accepts, and says otherwise what it says.
template <class Parse>
CLI::Validator Accepted(Parse parse) {
  return CLI::Validator(
      [parse](std::string& text) {
        try {
          parse(text);
          return std::string();
        } catch (const Error& error) {
          return std::string(error.what());
        }
      },
      "");
}

CLI::Validator Within(std::int64_t least, std::int64_t most) {
  CLI::Validator validator = CLI::Range(least, most);
  return validator.description("");  // which the help would repeat after the type
}

CLI::Validator OneOf(std::vector<std::string> words) {
  CLI::Validator validator = CLI::IsMember(std::move(words));
  return validator.description("");
}

/// Numbers with a unit of time, which must not be left out.
CLI::Validator AgeInSeconds() {
  const std::map<std::string, std::uint64_t> units = {
      {"s", 1}, {"m", 60}, {"h", 3600}, {"d", 24 * 3600}, {"w", 7 * 24 * 3600}};
  CLI::AsNumberWithUnit validator(units, CLI::AsNumberWithUnit::Options(CLI::AsNumberWithUnit::CASE_INSENSITIVE |
                                                                        CLI::AsNumberWithUnit::UNIT_REQUIRED));
  return validator.description("");
}

/// For numbers without a sign, which the parser takes the wrong way round. Comes after other transformations, to go
/// before them.
CLI::Validator NotNegative() {
  return CLI::Validator(
      [](std::string& text) {
        return text.find('-') == text.npos ? std::string() : "it must not be negative: " + text;
      },
      "");
}

void AddSize(CLI::App& app, const char* name, const char* description, std::optional<std::uint64_t>& bytes) {
  app.add_option(name, bytes, description)
      ->type_name("SIZE")
      ->transform(CLI::AsSizeValue(false).description(""))
      ->transform(NotNegative());
}

void AddAge(CLI::App& app, const char* name, const char* description, std::optional<std::uint64_t>& seconds) {
  app.add_option(name, seconds, description)->type_name("TIME")->transform(AgeInSeconds())->transform(NotNegative());
}

constexpr std::int64_t kMostSize = std::int64_t{1} << 40;

/// "1:4096"; empty: it is none.
std::optional<std::pair<std::int64_t, std::int64_t>> ParseMRange(std::string_view text) {
  const std::size_t colon = std::min(text.find(':'), text.size());
  std::pair<std::int64_t, std::int64_t> range{};
  const auto parse = [](std::string_view part, std::int64_t& value) {
    const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), value);
    return error == std::errc() && end == part.data() + part.size();
  };
  const bool ok = colon < text.size() && parse(text.substr(0, colon), range.first) &&
                  parse(text.substr(colon + 1), range.second) && range.first >= 1 && range.second >= range.first &&
                  range.second <= kMostSize;
  return ok ? std::optional(range) : std::nullopt;
}

}  // namespace

void AddDType(CLI::App& app, Options& options, const char* otherwise) {
  app.add_option("--dtype", options.dtype,
                 fmt::format("f32, f64, f16, bf16, ...; or a,b,d; or a,b,d,acc [{}]", otherwise))
      ->type_name("DTYPE")
      ->check(Accepted([](const std::string& text) {
        GemmProblem problem;
        SetDTypes(problem, text);
        Validate(problem);
      }));
}

void AddForm(CLI::App& app, Options& options) {
  app.add_option("--compute", options.compute,
                 "ieee; or tf32, by which f32 operands may be rounded to tf32 [ieee, or as --shapes says]")
      ->type_name("ieee|tf32")
      ->check(OneOf({"ieee", "tf32"}));
  app.add_option("--scaling", options.scaling,
                 "Factors of 8-bit floats, for 128 of k: of A's rows, and of B's columns or of 128 of them [none]")
      ->type_name("none|1x128|128x128")
      ->check(OneOf({"none", "1x128", "128x128"}));
  app.add_option("--layout", options.layout, "How A and B are stored; t: transposed [nn]")
      ->type_name("nn|nt|tn|tt")
      ->check(OneOf({"nn", "nt", "tn", "tt"}));
}

void AddSizes(CLI::App& app, Options& options, const char* dtype) {
  CLI::Option* m = app.add_option("--m", options.m, "Rows of A and D")->check(Within(0, kMostSize));
  CLI::Option* n = app.add_option("--n", options.n, "Columns of B and D")->check(Within(0, kMostSize));
  CLI::Option* k = app.add_option("--k", options.k, "Columns of A, rows of B")->check(Within(0, kMostSize));
  m->needs(n)->needs(k);
  n->needs(m);
  k->needs(m);
  CLI::Option* batch =
      app.add_option("--batch", options.batch, "How many products of this size, one after the other in memory [1]")
          ->check(Within(1, kMostSize));
  AddDType(app, options, fmt::format("{}, or as --shapes says", dtype).c_str());
  app.add_option("--shapes", options.shapes,
                 "Problems of a shapes file; - is the standard input; deepseek-v3 and llama-3-8b are built in")
      ->type_name("FILE")
      ->excludes(m, n, k, batch);
}

void AddProblem(CLI::App& app, Options& options) {
  AddSizes(app, options);
  AddForm(app, options);
  CLI::Option* beta = app.add_option("--beta", options.beta, "D = alpha*A*B + beta*C; 0: there is no C [0]");
  CLI::Option* grouping =
      app.add_option("--grouping", options.grouping,
                     "A product for each of N groups of rows, or parts of k, of random sizes: contiguous:N, ends:N, "
                     "masked:N, along_k:N; :M: of M rows each, as far as is known ahead [none]")
          ->type_name("KIND:N[:M]")
          ->excludes("--batch")
          ->check(Accepted([](const std::string& text) {
            GemmProblem problem = MakeProblem(kMostSize, 1, 1);
            SetGrouping(problem, text);
          }));
  app.get_option("--shapes")->excludes(app.get_option("--layout"), beta, grouping);
}

void AddChip(CLI::App& app, Options& options) {
  app.add_option("--chip", options.chip, "The accelerator, a JSON file (docs/evaluate.md)")
      ->type_name("FILE")
      ->required();
  CLI::Option* tile =
      app.add_flag("--tile-search", options.tile_search, "Look for the best tile; else a tile is one cube");
  CLI::Option* partition =
      app.add_flag("--partition-search", options.partition_search,
                   "Look for the best way to share the work among the cores; else M and N are cut evenly");
  CLI::Option* effort =
      app.add_option("--effort", options.effort,
                     "Of both searches: exact, or shortcuts, whose loss against exact is shown [exact]")
          ->type_name("exact|balanced|fast")
          ->check(OneOf({"exact", "balanced", "fast"}));
  app.add_flag("--roofline", options.roofline, "Only the longer of compute at the peak and memory, both at their best")
      ->excludes(tile, partition, effort);
}

void AddModel(CLI::App& app, Options& options) {
  CLI::Option* model = app.add_option("--model", options.model,
                                      "All GEMMs of one pass of a transformer, whose config.json this is, over --batch "
                                      "sequences")
                           ->type_name("FILE")
                           ->excludes("--m", "--shapes");
  app.add_option("--seq", options.seq, "New tokens of each sequence; several by commas [4096]")
      ->delimiter(',')
      ->type_name("N")
      ->needs(model)
      ->check(Within(1, kMostSize));
  app.add_option("--context", options.context, "Tokens that attention looks at [as --seq]")
      ->needs(model)
      ->check(Within(1, kMostSize));
}

void AddServed(CLI::App& app, Options& options) {
  CLI::Option* model =
      app.add_option("--model", options.model,
                     "All kernels that a model's weights need over --m-range: its config.json, or deepseek-v3 or "
                     "llama-3-8b; bf16 unless --dtype says otherwise")
          ->type_name("FILE")
          ->excludes("--m", "--shapes", "--batch", "--layout", "--beta");
  app.add_option_function<std::string>(
         "--m-range", [&options](const std::string& text) { options.rows = ParseRowRange(text); },
         "The least and the most rows that are served [1:8192]")
      ->type_name("FIRST:LAST")
      ->needs(model)
      ->check(Accepted(ParseRowRange));
}

void AddEpilogue(CLI::App& app, Options& options) {
  app.add_option("--epilogue", options.epilogue,
                 "What the kernel does to each element before it is stored, \"bias+gelu\"; biases are f32 [nothing]")
      ->type_name("CHAIN")
      ->check(Accepted([](const std::string& text) { Epilogue::Parse(text); }));
}

void AddSeed(CLI::App& app, Options& options) { app.add_option("--seed", options.seed, "Of the random operands [0]"); }

void AddOperands(CLI::App& app, Options& options) {
  app.add_option("--alpha", options.alpha, "D = alpha*A*B + beta*C [1]");
  AddSeed(app, options);
}

void AddDevice(CLI::App& app, Options& options) {
  app.add_option("--device", options.device, "cpu, cuda:0, emulator:sm_80, ... [the best there is]")
      ->type_name("DEVICE")
      ->check(Accepted(ParseDeviceId));
  app.add_option("--threads", options.threads, "Threads of the CPU device [one per core]")->check(Within(1, 4096));
}

void AddNumSms(CLI::App& app, Options& options) {
  app.add_option("--num-sms", options.num_sms, "SMs that kernels may fill, to leave others to what runs beside [all]")
      ->type_name("N")
      ->check(Within(1, 1 << 20));
}

DeviceSpec WithNumSms(DeviceSpec spec, const Options& options) {
  if (options.num_sms == 0) return spec;
  if (spec.target.isa != Isa::kCuda) throw Error(Code::kUnsupported, "--num-sms: a CPU has no SMs", "give --threads");
  if (options.num_sms > spec.multiprocessors)
    throw Error(Code::kInvalidArgument,
                fmt::format("--num-sms {}: {} has {}", options.num_sms, spec.name, spec.multiprocessors));
  spec.multiprocessors = options.num_sms;
  return spec;
}

void AddEmulation(CLI::App& app, Options& options) {
  CLI::Option* stats = app.add_flag("--stats", options.stats,
                                    "Count what the kernels do, on an emulated device: instructions, products, memory");
  app.add_option("--seeds", options.seeds,
                 "Run with so many orders of warps and copies, on an emulated device, until one shows a fault")
      ->type_name("N")
      ->check(Within(1, 1'000'000'000))
      ->excludes(stats);
}

void AddTuning(CLI::App& app, Options& options) {
  app.add_option("--budget", options.budget, "Time for all problems together: 60s, 10m, ... (s, m, h, d, w) [60s]")
      ->type_name("TIME")
      ->transform(AgeInSeconds())
      ->transform(NotNegative())
      ->check(Within(1, 1'000'000'000));
  app.add_option("--candidates", options.candidates,
                 "Of the model's best configs, timed beside the one that would be chosen now [8]")
      ->check(Within(1, 1000));
  app.add_option_function<std::string>(
         "--m-range",
         [&options](const std::string& text) { std::tie(options.m_from, options.m_to) = *ParseMRange(text); },
         "Choose for all m from FROM to TO, in ranges, and not for --m")
      ->type_name("FROM:TO")
      ->check(CLI::Validator(
          [](std::string& text) {
            return ParseMRange(text) ? std::string() : "\"" + text + "\" is not FROM:TO with 1 <= FROM <= TO";
          },
          ""));
  app.add_flag("--dry-run", options.dry_run, "Only list the candidates; compile and time nothing");
}

void AddTarget(CLI::App& app, Options& options) {
  app.add_option("--arch", options.arch, "What to make code for: sm_80, sm_90a, ...; several by commas")
      ->delimiter(',')
      ->type_name("ARCH")
      ->check(Accepted(ParseTarget));
  app.add_option(
         "--gpu", options.gpu,
         "The device to reckon with, where none is present: h200, a100, ... (see devices); with --arch any name")
      ->type_name("NAME")
      ->check(Accepted([&options](const std::string& name) {
        if (options.arch.empty()) FindDeviceSpec(name);
      }));
}

const DeviceSpec& GpuSpec(const Options& options, const CodeTarget& target) {
  if (options.gpu.empty()) return DefaultDeviceSpec(target);
  for (const DeviceSpec& spec : AllDeviceSpecs())
    if (spec.name == options.gpu) return spec;
  const DeviceSpec& nearest = DefaultDeviceSpec(target);
  static std::once_flag said;
  std::call_once(said, [&] {
    fmt::print(stderr, "warning: there is no device \"{}\"; reckoning with {} ({})\n", options.gpu, nearest.name,
               ToString(nearest.target));
  });
  return nearest;
}

void AddCompiler(CLI::App& app, Options& options) {
  app.add_option("--compiler", options.engine.compiler, "Of CUDA kernels: nvrtc or nvcc [nvrtc, else nvcc]")
      ->type_name("nvrtc|nvcc")
      ->check(OneOf({"nvrtc", "nvcc"}));
}

void AddCode(CLI::App& app, Options& options) {
  AddCompiler(app, options);
  app.add_option("--opt-level", options.engine.compile.opt_level, "Of CUDA kernels, 0 to 3 [3]")->check(Within(0, 3));
  app.add_flag("--fast-math", options.engine.compile.fast_math,
               "Approximate division, roots and exponentials in CUDA kernels");
}

void AddCompiling(CLI::App& app, Options& options) {
  AddCode(app, options);
  app.add_flag("--no-cache", options.no_cache, "Neither look up compiled kernels nor keep them");
}

void AddCacheDir(CLI::App& app, Options& options) {
  app.add_option("--cache-dir", options.engine.cache_dir,
                 "Folder of compiled kernels [GEMMSMITH_CACHE_DIR, else ~/.cache/gemmsmith]")
      ->type_name("DIR");
}

void AddResultsDir(CLI::App& app, Options& options) {
  app.add_option("--cache-dir", options.engine.cache_dir,
                 "Its folder \"results\" holds what was found before [GEMMSMITH_CACHE_DIR, else ~/.cache/gemmsmith]")
      ->type_name("DIR");
}

void AddNoJit(CLI::App& app, Options& options) {
  app.add_flag("--no-jit", options.no_jit, "Generate no code: portable and cached kernels only");
}

void AddJobs(CLI::App& app, Options& options, const char* what) {
  app.add_option("--jobs", options.jobs, fmt::format("{} at once [one per core]", what))->check(Within(1, 1024));
}

void AddEmit(CLI::App& app, Options& options) {
  CLI::Option* emit =
      app.add_option("--emit", options.emit, "Also write the kernels' source, ptx or cubin; several by commas")
          ->delimiter(',')
          ->type_name("source|ptx|cubin")
          ->check(OneOf({"source", "ptx", "cubin"}));
  app.add_option("--out", options.out, "Folder for --emit, made if need be [.]")->type_name("DIR")->needs(emit);
}

void AddInsight(CLI::App& app, Options& options) {
  app.add_flag("--profile", options.profile, "Show the time that each stage took, from plan to launch");
  app.add_option("--debug-dump", options.debug_dump, "Write all that is known of every kernel to a file, as JSON")
      ->type_name("FILE");
}

void AddFilter(CLI::App& app, Options& options) {
  app.add_option("--arch", options.arch, "Only kernels for these: sm_80, sm_90a, ...; several by commas")
      ->delimiter(',')
      ->type_name("ARCH")
      ->check(Accepted(ParseTarget));
  app.add_option("--name", options.name, "Only kernels with this in their name")->type_name("TEXT");
  AddAge(app, "--older-than", "Only kernels not used for: 12h, 30d, ... (s, m, h, d, w)", options.older_than);
  AddAge(app, "--newer-than", "Only kernels used within: 12h, 30d, ...", options.newer_than);
  AddSize(app, "--larger-than", "Only kernels of more bytes: 100K, 1M, ...", options.larger_than);
  AddSize(app, "--smaller-than", "Only kernels of fewer bytes: 100K, 1M, ...", options.smaller_than);
  app.add_option("--sort", options.sort,
                 "name; or largest, latest used, unused longest, most used, slowest to compile first [name]")
      ->type_name("name|size|use|age|count|compile")
      ->check(OneOf({"name", "size", "use", "age", "count", "compile"}));
  AddLimit(app, options);
}

void AddLimit(CLI::App& app, Options& options) {
  app.add_option("--limit", options.limit, "No more than the first so many")
      ->type_name("N")
      ->check(Within(1, kMostSize));
}

void AddPrune(CLI::App& app, Options& options) {
  AddSize(app, "--max-size", "Bytes that may stay: 500M, 2G, ...", options.prune.max_bytes);
  AddKeep(app, options, "Kernels that may stay");
}

void AddKeep(CLI::App& app, Options& options, const char* count) {
  // Through an integer: the parser fills no optional durations.
  app.add_option_function<std::uint64_t>(
         "--max-age", [&options](const std::uint64_t& age) { options.prune.max_age = std::chrono::seconds(age); },
         "Time since last use: 12h, 30d, ... (s, m, h, d, w)")
      ->type_name("TIME")
      ->transform(AgeInSeconds())
      ->transform(NotNegative());
  app.add_option_function<std::uint64_t>(
         "--max-count", [&options](const std::uint64_t& most) { options.prune.max_kernels = most; }, count)
      ->type_name("N")
      ->transform(NotNegative());
  app.add_flag("--dry-run", options.dry_run, "Only say what would go");
}

void AddOutput(CLI::App& app, Options& options) {
  app.add_flag("--json", options.json, "One JSON document on stdout, and nothing else there");
  app.add_flag("--verbose", options.verbose, "Log what is done, to stderr");
}

void RequireProblem(CLI::App& app, const Options& options) {
  app.parse_complete_callback([&app, &options] {
    const bool has_groups = !options.groups.empty() && app.count("--n") > 0 && app.count("--k") > 0;
    if (app.count("--m") == 0 && options.shapes.empty() && !has_groups)
      throw CLI::RequiredError("a problem (--m, --n and --k, or --shapes)");
  });
}

namespace {

std::vector<NamedProblem> WithDType(std::vector<NamedProblem> problems, const std::string& dtype) {
  if (!dtype.empty())
    for (NamedProblem& shape : problems) SetDTypes(shape.problem, dtype);
  return problems;
}

std::vector<NamedProblem> PlainProblems(const Options& options) {
  if (!options.model.empty()) {
    std::vector<NamedProblem> served = ModelWeights(options.model);
    // Not every epilogue is one for groups.
    if (options.epilogue.empty()) std::ranges::move(ModelExperts(options.model), std::back_inserter(served));
    return WithDType(std::move(served), options.dtype);
  }
  if (options.shapes.empty()) {
    const BetaClass beta = options.beta == 0 ? BetaClass::kZero : BetaClass::kGeneral;
    GemmProblem problem = MakeProblem(options.m, options.n, options.k, DType::kF32, options.layout, beta);
    if (!options.dtype.empty()) SetDTypes(problem, options.dtype);
    SetBatch(problem, options.batch);
    if (!options.grouping.empty()) SetGrouping(problem, options.grouping);
    return {{"", problem, options.beta}};
  }
  std::vector<NamedProblem> problems =
      options.shapes == "-" ? ParseShapes(std::string(std::istreambuf_iterator<char>(std::cin), {}), "standard input")
                            : ReadShapes(options.shapes);
  if (problems.empty()) throw Error(Code::kInvalidArgument, "the shapes file " + options.shapes + " holds no problem");
  return WithDType(std::move(problems), options.dtype);
}

}  // namespace

std::vector<NamedProblem> Problems(const Options& options) {
  std::vector<NamedProblem> problems = PlainProblems(options);
  if (!options.compute.empty())
    for (NamedProblem& shape : problems) SetCompute(shape.problem, options.compute);
  if (!options.scaling.empty())
    for (NamedProblem& shape : problems) SetScaling(shape.problem, options.scaling);
  if (!options.epilogue.empty())
    for (NamedProblem& shape : problems) SetEpilogue(shape.problem, Epilogue::Parse(options.epilogue));
  return problems;
}

void ApplyToEnvironment(const Options& options) {
  if (options.threads > 0) ::setenv("GEMMSMITH_NUM_THREADS", std::to_string(options.threads).c_str(), 1);
  // Without the checks a hunt would find nothing.
  if (options.seeds > 0) ::setenv("GEMMSMITH_EMULATOR_CHECKS", "on", 1);
  if (options.verbose) ::setenv("GEMMSMITH_LOG", "debug", 1);
}

int Jobs(const Options& options) {
  return options.jobs > 0 ? options.jobs : static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
}

std::string ResultsDir(const Options& options) {
  return options.engine.cache_dir.empty() ? "" : options.engine.cache_dir + "/results";
}

}  // namespace gemmsmith::cli
