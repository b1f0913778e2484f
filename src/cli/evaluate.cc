#include "gemmsmith/evaluate.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <mutex>
#include <optional>
#include <tuple>

#include "cli/command.h"
#include "cli/json.h"
#include "cli/progress.h"
#include "cli/table.h"
#include "gemmsmith/error.h"
#include "gemmsmith/results.h"

namespace gemmsmith::cli {
namespace {

using Clock = std::chrono::steady_clock;

constexpr const char* kDType = "bf16";  // Most chips have no unit for f32.

double SecondsSince(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

void AddOptions(CLI::App& app, Options& options) {
  AddSizes(app, options, kDType);
  AddModel(app, options);
  AddChip(app, options);
  AddJobs(app, options, "Problems to evaluate");
  AddResultsDir(app, options);
  app.add_flag("--no-cache", options.no_cache, "Neither look up earlier results nor keep new ones");
  AddOutput(app, options);
  app.parse_complete_callback([&app, &options] {
    if (app.count("--m") == 0 && options.shapes.empty() && options.model.empty())
      throw CLI::RequiredError("a problem (--m, --n and --k, --shapes, or --model)");
    if (app.count("--effort") > 0 && !options.tile_search && !options.partition_search)
      throw CLI::RequiresError("--effort", "--tile-search or --partition-search");
  });
}

GEMMSearchMode ModeOf(const Options& options) {
  GEMMSearchMode mode{options.tile_search, options.partition_search};
  for (const SearchEffort effort : {SearchEffort::kExact, SearchEffort::kBalanced, SearchEffort::kFast})
    if (ToString(effort) == options.effort) mode.effort = effort;
  mode.use_precise_evaluator = !options.roofline;
  return mode;
}

/// What is listed together: the GEMMs of one pass, or those that were asked for.
struct Section {
  ModelPass pass;
  std::vector<ModelGemm> gemms;
};

Options WithDType(Options options) {
  if (options.dtype.empty() && options.shapes.empty()) options.dtype = kDType;
  return options;
}

std::vector<Section> SectionsOf(const Options& given) {
  const Options options = WithDType(given);
  std::vector<Section> sections;
  if (options.model.empty()) {
    Section& section = sections.emplace_back();
    for (const NamedProblem& shape : Problems(options))
      section.gemms.push_back({shape.name, ShapeOf(shape.problem), 1});
    return sections;
  }
  const ModelConfig model = ReadModelConfig(options.model);
  GemmProblem types = MakeProblem(1, 1, 1);
  SetDTypes(types, options.dtype);
  const GEMMShape shape = ShapeOf(types);
  for (const std::int64_t seq : options.seq) {
    const ModelPass pass{options.batch, seq, options.context, shape.input_dtype, shape.output_dtype};
    sections.push_back({pass, ModelGemms(model, pass)});
  }
  return sections;
}

/// Tells how far an evaluation is, once it has taken a second. Called by all threads.
class LateProgress {
 public:
  explicit LateProgress(std::size_t total) : total_(total) {}
  void Advance() {
    std::scoped_lock lock(mutex_);
    ++done_;
    if (SecondsSince(begin_) < 1) return;
    if (!progress_) progress_.emplace("evaluating", total_);
    for (; shown_ < done_; ++shown_) progress_->Advance();
  }

 private:
  const std::size_t total_;
  const Clock::time_point begin_ = Clock::now();
  std::mutex mutex_;
  std::size_t done_ = 0, shown_ = 0;
  std::optional<Progress> progress_;
};

struct Evaluated {
  std::vector<std::vector<GEMMResult>> results;  // By section and GEMM, as are the following.
  std::vector<std::vector<GEMMResult>> exact;    // Empty where there is nothing to compare with.
  std::size_t distinct = 0, found = 0;
  double seconds = 0;  // Of the asked mode alone.
};

auto Key(const GEMMShape& s) { return std::tuple(s.G, s.M, s.K, s.N, s.input_dtype, s.output_dtype); }
bool Before(const GEMMShape& x, const GEMMShape& y) { return Key(x) < Key(y); }

/// Evaluates shapes, each once, or takes what an earlier process found.
class Answers {
 public:
  /// `kept`: null where nothing is looked up or kept.
  Answers(GEMMEvaluator& evaluator, GEMMPersistentCache* kept, int jobs)
      : evaluator_(evaluator), kept_(kept), jobs_(jobs) {}

  /// Of `shapes`, in order. `found`: how many were there.
  std::vector<GEMMResult> Find(const std::vector<GEMMShape>& shapes, const GEMMSearchMode& mode, std::size_t& found) {
    std::vector<GEMMResult> results(shapes.size());
    std::vector<std::size_t> missing;
    std::vector<GEMMShape> asked;
    for (std::size_t i = 0; i < shapes.size(); ++i) {
      if (std::optional<GEMMResult> known = kept_ == nullptr ? std::nullopt : kept_->get({shapes[i], mode})) {
        results[i] = std::move(*known);
      } else {
        missing.push_back(i);
        asked.push_back(shapes[i]);
      }
    }
    found = shapes.size() - asked.size();
    LateProgress progress(asked.size());
    const std::vector<GEMMResult> made = evaluator_.evaluate_all(asked, mode, jobs_, [&] { progress.Advance(); });
    for (std::size_t i = 0; i < made.size(); ++i) {
      results[missing[i]] = made[i];
      if (kept_ != nullptr) kept_->put({asked[i], mode}, made[i], made[i].search.search_time_ms);
    }
    return results;
  }

 private:
  GEMMEvaluator& evaluator_;
  GEMMPersistentCache* const kept_;
  const int jobs_;
};

/// Of each GEMM of each section; `shapes` are sorted.
std::vector<std::vector<GEMMResult>> ResultsOf(const std::vector<Section>& sections,
                                               const std::vector<GEMMShape>& shapes,
                                               const std::vector<GEMMResult>& results) {
  std::vector<std::vector<GEMMResult>> of;
  for (const Section& section : sections) {
    of.emplace_back();
    for (const ModelGemm& gemm : section.gemms)
      of.back().push_back(results[static_cast<std::size_t>(
          std::lower_bound(shapes.begin(), shapes.end(), gemm.shape, Before) - shapes.begin())]);
  }
  return of;
}

Evaluated Evaluate(Answers& answers, const std::vector<Section>& sections, const GEMMSearchMode& mode) {
  std::vector<GEMMShape> shapes;
  for (const Section& section : sections)
    for (const ModelGemm& gemm : section.gemms) shapes.push_back(gemm.shape);
  std::sort(shapes.begin(), shapes.end(), Before);
  shapes.erase(std::unique(shapes.begin(), shapes.end()), shapes.end());
  Evaluated evaluated;
  evaluated.distinct = shapes.size();
  const Clock::time_point begin = Clock::now();
  evaluated.results = ResultsOf(sections, shapes, answers.Find(shapes, mode, evaluated.found));
  evaluated.seconds = SecondsSince(begin);
  GEMMSearchMode exact = mode;
  exact.effort = SearchEffort::kExact;
  if (mode != exact) {
    std::size_t found = 0;
    evaluated.exact = ResultsOf(sections, shapes, answers.Find(shapes, exact, found));
  }
  return evaluated;
}

Json ToJson(const GEMMResult& r) {
  return {{"latency_us", r.latency_us},
          {"compute_time_us", r.compute_time_us},
          {"memory_time_us", r.memory_time_us},
          {"flops", r.flops},
          {"dram_traffic_bytes", r.dram_traffic_bytes},
          {"arch_utilization", r.arch_utilization},
          {"effective_utilization", r.effective_utilization},
          {"best_tile", r.best_tile},
          {"best_loop_order", r.best_loop_order},
          {"best_partition", r.best_partition}};
}

Json ToJson(const ModelGemm& gemm, const GEMMResult& r) {
  const GEMMShape& s = gemm.shape;
  Json json;
  if (!gemm.name.empty()) json["name"] = gemm.name;
  json["count"] = gemm.count;
  json["shape"] = {{"G", s.G}, {"M", s.M}, {"K", s.K}, {"N", s.N}};
  json["dtypes"] = {{"input", ToString(s.input_dtype)}, {"output", ToString(s.output_dtype)}};
  json["result"] = ToJson(r);
  json["metadata"] = {{"search_time_ms", r.search.search_time_ms},
                      {"num_searched_partitions", r.search.num_searched_partitions},
                      {"num_searched_tiles", r.search.num_searched_tiles}};
  return json;
}

Json ToJson(const GEMMSearchMode& mode) {
  return {{"tile_search", mode.tile_search},
          {"partition_search", mode.partition_search},
          {"effort", ToString(mode.effort)},
          {"use_precise_evaluator", mode.use_precise_evaluator}};
}

Json ToJson(const EvaluatorStats& s) {
  return {{"result_hits", s.result_hits}, {"result_misses", s.result_misses}, {"tile_hits", s.tile_hits},
          {"tile_misses", s.tile_misses}, {"score_hits", s.score_hits},       {"score_misses", s.score_misses}};
}

/// Time of all of a section, each as often as it comes.
double TotalLatency(const Section& section, const std::vector<GEMMResult>& results) {
  double total = 0;
  for (std::size_t i = 0; i < results.size(); ++i)
    total += static_cast<double>(section.gemms[i].count) * results[i].latency_us;
  return total;
}

double LossOf(const GEMMResult& result, const GEMMResult& exact) { return result.latency_us / exact.latency_us - 1; }

Json ToDocument(const Section& section, bool model, const std::vector<GEMMResult>& results,
                const std::vector<GEMMResult>* exact) {
  Json list = Json::array();
  for (std::size_t i = 0; i < results.size(); ++i) {
    list.push_back(ToJson(section.gemms[i], results[i]));
    if (exact != nullptr) list.back()["loss"] = LossOf(results[i], (*exact)[i]);
  }
  Json document;
  if (model) {
    const double total = TotalLatency(section, results);
    document = {{"batch", section.pass.batch},
                {"seq", section.pass.seq},
                {"context", std::max(section.pass.context, section.pass.seq)},
                {"total_latency_us", total}};
    if (exact != nullptr) document["total_loss"] = total / TotalLatency(section, *exact) - 1;
  }
  document["results"] = std::move(list);
  return document;
}

std::string Joined(std::span<const std::int64_t> numbers, char separator) {
  std::string text;
  for (const std::int64_t number : numbers)
    text += (text.empty() ? "" : std::string(1, separator)) + std::to_string(number);
  return text;
}

void Print(const Section& section, const std::vector<GEMMResult>& results, const std::vector<GEMMResult>* exact) {
  std::vector<Column> columns = {{"GEMM", -24}, {"count", 5},  {"G", 6},     {"M", 8},       {"N", 8},
                                 {"K", 8},      {"us", 9},     {"limit", 7}, {"compute", 9}, {"memory", 9},
                                 {"DRAM", 10},  {"peak %", 6}, {"tile", 15}, {"order", 5},   {"partition", 14}};
  if (exact != nullptr) columns.push_back({"loss %", 7});
  Table table(columns);
  for (std::size_t i = 0; i < results.size(); ++i) {
    const auto& [name, shape, count] = section.gemms[i];
    const GEMMResult& r = results[i];
    std::vector<std::string> cells = {name.empty() ? "-" : name,
                                      std::to_string(count),
                                      std::to_string(shape.G),
                                      std::to_string(shape.M),
                                      std::to_string(shape.N),
                                      std::to_string(shape.K),
                                      Number(r.latency_us),
                                      r.compute_time_us >= r.memory_time_us ? "compute" : "memory",
                                      Number(r.compute_time_us),
                                      Number(r.memory_time_us),
                                      Bytes(static_cast<double>(r.dram_traffic_bytes)),
                                      fmt::format("{:.1f}", 100 * r.effective_utilization),
                                      r.best_loop_order.empty() ? "-" : Joined(r.best_tile, 'x'),
                                      r.best_loop_order.empty() ? "-" : r.best_loop_order,
                                      r.best_loop_order.empty() ? "-" : Joined(r.best_partition, ',')};
    if (exact != nullptr) cells.push_back(fmt::format("{:.2f}", 100 * LossOf(r, (*exact)[i])));
    table.Row(cells);
  }
}

void PrintTotals(const Section& section, const std::vector<GEMMResult>& results, const std::vector<GEMMResult>* exact) {
  const double total = TotalLatency(section, results);
  fmt::print("all: {} ms", Number(total / 1e3));
  if (exact != nullptr)
    fmt::print(", {:.2f} % more than by exact search", 100 * (total / TotalLatency(section, *exact) - 1));
  fmt::print("\n");
}

Outcome Run(Session& session) {
  const Options& options = session.options();
  GEMMEvaluator evaluator(ReadMicroArch(options.chip));
  const std::vector<Section> sections = SectionsOf(options);
  const GEMMSearchMode mode = ModeOf(options);
  std::optional<GEMMPersistentCache> kept;
  constexpr std::uint64_t kAtOnce = 256;  // puts; the rest is saved at the end
  if (!options.no_cache)
    kept.emplace(evaluator.arch(), ResultsOptions{.directory = ResultsDir(options), .save_every = kAtOnce});
  Answers answers(evaluator, kept ? &*kept : nullptr, Jobs(options));
  const Evaluated evaluated = Evaluate(answers, sections, mode);
  const bool model = !options.model.empty();

  Json passes = Json::array();
  if (session.text())
    fmt::print("{}, {} cores; {}\n", evaluator.arch().chip_type, evaluator.arch().num_cores, ToString(mode));
  for (std::size_t i = 0; i < sections.size(); ++i) {
    const std::vector<GEMMResult>* exact = evaluated.exact.empty() ? nullptr : &evaluated.exact[i];
    passes.push_back(ToDocument(sections[i], model, evaluated.results[i], exact));
    if (!session.text()) continue;
    if (model) fmt::print("\n{} sequences of {} tokens\n", sections[i].pass.batch, sections[i].pass.seq);
    Print(sections[i], evaluated.results[i], exact);
    if (model) PrintTotals(sections[i], evaluated.results[i], exact);
  }
  if (session.text())
    fmt::print("\n{} distinct shapes, {} of them known from before, in {} ms\n", evaluated.distinct, evaluated.found,
               Number(1e3 * evaluated.seconds));
  Json document = {{"chip", Json::parse(Fingerprint(evaluator.arch()))},
                   {"fingerprint", ShortFingerprint(evaluator.arch())},
                   {"search_mode", ToJson(mode)},
                   {"distinct_shapes", evaluated.distinct},
                   {"known_before", evaluated.found},
                   {"seconds", evaluated.seconds},
                   {"caches", ToJson(evaluator.stats())}};
  if (model)
    document["passes"] = std::move(passes);
  else
    document.update(passes.front());
  return {true, std::move(document)};
}

}  // namespace

const Command kEvaluate = {
    "evaluate", "Predict the time of GEMMs on an accelerator that a file describes",
    "gemmsmith evaluate --chip examples/chips/sg2262.json --m 4096 --n 7168 --k 2048 --tile-search --partition-search\n"
    "  gemmsmith evaluate --chip examples/chips/sg2262.json --model examples/models/deepseek-v3.json --seq 1,4096 "
    "--tile-search --partition-search",
    AddOptions, Run};

}  // namespace gemmsmith::cli
