#include "gemmsmith/serving.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "core/groups.h"
#include "core/parallel.h"
#include "gemmsmith/evaluate.h"
#include "select/cost_model.h"
#include "util/log.h"

namespace gemmsmith {
namespace {

constexpr std::int64_t kMostRows = std::int64_t{1} << 24;
/// Of m; most tiles' rows are multiples of it.
constexpr std::int64_t kStride = 64;

std::int64_t RoundedUp(std::int64_t x, std::int64_t unit) { return (x + unit - 1) / unit * unit; }

/// The same problem for another m; what lies dense still does.
GemmProblem WithRows(GemmProblem problem, std::int64_t m) {
  problem.m = m;
  if (problem.grouping == Grouping::kMasked) {
    problem.batch_stride_a = problem.lda * m;
    problem.batch_stride_c = problem.ldc * m, problem.batch_stride_d = problem.ldd * m;
  }
  return Normalized(problem);
}

/// The texts of all kernels of a config: what is compiled.
std::string TextsOf(const GemmProblem& problem, const TileConfig& config, const CodeTarget& target) {
  const KernelFamily& family = FindFamily(config.family);
  std::string texts = family.Render(problem, config, target, {}).text;
  if (const auto after = family.After(problem, config, target, {})) texts += after->source.text;
  return texts;
}

/// Finds all that is chosen for one problem over a range of m, without asking for every m.
class Sweep {
 public:
  Sweep(const GemmProblem& problem, const CodeTarget& target, const DeviceSpec& spec)
      : problem_(problem), target_(target), spec_(spec) {}

  /// By m, the least found with each kernel, and the kernel's texts; none where there is no kernel.
  std::map<std::int64_t, std::string> Run(const RowRange& rows) && {
    for (std::int64_t first = rows.first, last; first <= rows.last; first = last + 1) {
      last = std::min(rows.last, RoundedUp(first, kStride));
      Refine(At(first), At(last));
    }
    std::map<std::int64_t, std::string> found;
    std::set<std::string> texts;
    for (const auto& [m, config] : chosen_) {
      std::string text = config ? TextsOf(Canonical(With(m)), *config, target_) : "";
      if (texts.insert(text).second) found.emplace(m, std::move(text));
    }
    return found;
  }

 private:
  struct Point {
    std::int64_t m;
    Ranking ranking;

    std::optional<TileConfig> best() const {
      return ranking.configs.empty() ? std::nullopt : std::optional(ranking.configs.front().config);
    }
  };

  GemmProblem With(std::int64_t m) const { return WithRows(problem_, m); }

  Point At(std::int64_t m) {
    Point point{m, RankConfigs(With(m), target_, spec_)};
    const std::optional<TileConfig> best = point.best();
    const auto same = [&](const auto& chosen) { return chosen.second == best; };
    if (std::none_of(chosen_.begin(), chosen_.end(), same)) chosen_.emplace_back(m, best);
    return point;
  }

  /// Between two points whose best is the same, nothing else can be where all times move alike (Settled).
  void Refine(const Point& low, const Point& high) {
    if (high.m - low.m < 2 || (low.best() == high.best() && Settled(low, high))) return;
    const Point middle = At(low.m + (high.m - low.m) / 2);
    Refine(low, middle);
    Refine(middle, high);
  }

  /// While no tile is added, only the bytes of A and D grow with m, the same for all configs that overlap their stores,
  /// or do not: how far one is ahead of another grows or shrinks, and passes 0 once at most. A config of other tiles
  /// takes longer the larger m is; it has no chance where it begins above what the best ends with.
  bool Settled(const Point& low, const Point& high) const {
    if (low.ranking.configs.empty()) return true;
    const TileConfig& best = low.ranking.configs.front().config;
    const double longest = high.ranking.configs.front().microseconds;
    if (!Steady(best, low.m, high.m)) return false;
    return std::all_of(low.ranking.configs.begin(), low.ranking.configs.end(), [&](const Ranking::Config& other) {
      return other.microseconds >= longest ||
             (Steady(other.config, low.m, high.m) && Overlaps(other.config) == Overlaps(best));
    });
  }

  bool Steady(const TileConfig& config, std::int64_t low, std::int64_t high) const {
    const std::int64_t rows = ShapeOf(config).block_m;
    const auto tiles = [&](std::int64_t m) {
      const GemmProblem p = AsBatch(With(m));
      return p.batch * RoundedUp(p.m, rows);
    };
    return tiles(low) == tiles(high);
  }
  bool Overlaps(const TileConfig& config) const { return ShapeOf(config).copies == TileShape::Copies::kBulk; }
  TileShape ShapeOf(const TileConfig& config) const {
    return FindFamily(config.family).Shape(Canonical(problem_), config, spec_);
  }

  const GemmProblem problem_;
  const CodeTarget target_;
  const DeviceSpec& spec_;
  std::vector<std::pair<std::int64_t, std::optional<TileConfig>>> chosen_;
};

void CheckServed(const GemmProblem& problem, const RowRange& rows, const CodeTarget& target) {
  if (target.isa != Isa::kCuda)
    throw Fail(Code::kUnsupported, "name a GPU's architecture", "serving: kernels for {} are made when they are needed",
               ToString(target));
  Validate(WithRows(problem, rows.first));
  if (problem.grouping == Grouping::kAlongK || problem.a_layout != Layout::kRowMajor ||
      problem.d_layout != Layout::kRowMajor || problem.batch != 1)
    throw Fail(Code::kInvalidArgument, "give one product of row-major A and D",
               "serving: with {}, what is chosen depends on more than ranges of m", ToString(problem));
}

}  // namespace

RowRange ParseRowRange(std::string_view text) {
  RowRange rows;
  const char* const end = text.data() + text.size();
  const auto first = std::from_chars(text.data(), end, rows.first);
  const bool colon = first.ec == std::errc() && first.ptr != end && *first.ptr == ':';
  const auto last = colon ? std::from_chars(first.ptr + 1, end, rows.last) : first;
  if (!colon || last.ec != std::errc() || last.ptr != end || rows.first < 1 || rows.last < rows.first ||
      rows.last > kMostRows)
    throw Fail(Code::kInvalidArgument, "write FIRST:LAST, as in 1:8192", "m from 1 to {} wanted, not \"{}\"", kMostRows,
               text);
  return rows;
}

namespace {

/// Of the weights of a model. Calls visit(name, how many there are, n, k).
template <class Visit>
void ForEachWeight(const std::string& model, const Visit& visit) {
  const std::vector<std::string> builtin = BuiltinShapes();
  if (std::find(builtin.begin(), builtin.end(), model) != builtin.end()) {
    for (const NamedProblem& shape : ReadShapes(model)) visit(shape.name, shape.problem.n, shape.problem.k);
    return;
  }
  const ModelConfig config = ReadModelConfig(model);
  ModelPass near, far;
  far.context = 2;
  const std::vector<ModelGemm> gemms = ModelGemms(config, near), later = ModelGemms(config, far);
  for (std::size_t i = 0; i < gemms.size(); ++i)
    if (gemms[i].shape == later[i].shape) visit(gemms[i].name, gemms[i].shape.N, gemms[i].shape.K);
}

/// Adds what is there with no other (n, k).
void AddWeight(std::vector<NamedProblem>& weights, const std::string& name, std::int64_t n, std::int64_t k) {
  const auto same = [&](const NamedProblem& w) { return w.problem.n == n && w.problem.k == k; };
  if (std::none_of(weights.begin(), weights.end(), same))
    weights.push_back({name, MakeProblem(1, n, k, DType::kBf16, "nt")});
}

}  // namespace

std::vector<NamedProblem> ModelWeights(const std::string& model) {
  std::vector<NamedProblem> weights;
  ForEachWeight(model,
                [&](const std::string& name, std::int64_t n, std::int64_t k) { AddWeight(weights, name, n, k); });
  return weights;
}

std::vector<NamedProblem> ModelExperts(const std::string& model) {
  std::vector<NamedProblem> weights;
  ForEachWeight(model, [&](const std::string& name, std::int64_t n, std::int64_t k) {
    const std::size_t at = name.find("experts.");
    if (at == 0 || (at != name.npos && name[at - 1] == '.')) AddWeight(weights, name, n, k);
  });
  std::vector<NamedProblem> grouped;
  for (const NamedProblem& weight : weights)
    for (const char* const grouping : {"contiguous:8", "masked:32"}) {
      grouped.push_back({weight.name + "." + grouping, weight.problem});
      SetGrouping(grouped.back().problem, grouping);
    }
  return grouped;
}

std::vector<NamedProblem> DistinctKernels(std::span<const NamedProblem> problems, const RowRange& rows,
                                          const CodeTarget& target, const DeviceSpec& spec) {
  for (const NamedProblem& named : problems) CheckServed(named.problem, rows, target);
  std::vector<std::map<std::int64_t, std::string>> found(problems.size());
  ParallelFor(static_cast<std::int64_t>(problems.size()), [&](std::int64_t i) {
    const auto at = static_cast<std::size_t>(i);
    found[at] = Sweep(problems[at].problem, target, spec).Run(rows);
  });
  std::vector<NamedProblem> distinct, again;
  std::set<std::string> known;
  for (std::size_t i = 0; i < problems.size(); ++i)
    for (const auto& [m, text] : found[i]) {
      NamedProblem served = problems[i];
      served.problem = WithRows(served.problem, m);
      (text.empty() || known.insert(text).second ? distinct : again).push_back(std::move(served));
    }
  distinct.insert(distinct.end(), again.begin(), again.end());
  return distinct;
}

}  // namespace gemmsmith
