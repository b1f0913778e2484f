#include "engine/m_ranges.h"

#include <algorithm>

namespace gemmsmith {
namespace {

bool IsSame(const MSignature& x, const MSignature& y) { return x.waves == y.waves && IsSameChoice(x.first, y.first); }

std::int64_t FieldsInCommon(const TileConfig& x, const TileConfig& y) {
  std::int64_t count = 0;
  for (std::size_t i = 0; i < x.fields.size(); ++i) count += x.values[i] == y.values[i];
  return count;
}

}  // namespace

GemmProblem WithM(const GemmProblem& problem, std::int64_t m) {
  GemmProblem p = problem;
  p.m = m;
  const auto at_least_one = [](std::int64_t size) { return std::max<std::int64_t>(1, size); };
  // A dense matrix stays one.
  const auto side = [&](Layout layout, std::int64_t columns, std::int64_t& ld, std::int64_t& stride) {
    const bool by_rows = layout == Layout::kRowMajor;
    const std::int64_t old_lines = by_rows ? problem.m : columns, lines = by_rows ? m : columns;
    const bool dense = stride == ld * old_lines;
    if (!by_rows && ld == at_least_one(problem.m)) ld = at_least_one(m);
    if (dense) stride = ld * lines;
  };
  side(p.a_layout, p.k, p.lda, p.batch_stride_a);
  side(p.d_layout, p.n, p.ldc, p.batch_stride_c);
  side(p.d_layout, p.d_columns(), p.ldd, p.batch_stride_d);
  side(Layout::kRowMajor, p.d_columns(), p.ld_residual, p.batch_stride_residual);
  Validate(p);
  return Normalized(p);
}

std::string TextOfAnyM(const GemmProblem& problem) {
  const std::string text = ToString(problem);
  return "m=*" + text.substr(text.find(' '));
}

bool IsSameChoice(const TileConfig& x, const TileConfig& y) {
  if (x.family != y.family) return false;
  for (std::size_t i = 0; i < x.fields.size(); ++i)
    if (!x.fields[i].follows && x.values[i] != y.values[i]) return false;
  return true;
}

std::optional<TileConfig> Counterpart(const TileConfig& config, const std::vector<Ranking::Config>& configs) {
  std::optional<TileConfig> best;
  for (const Ranking::Config& ranked : configs)
    if (IsSameChoice(config, ranked.config) &&
        (!best || FieldsInCommon(config, ranked.config) > FieldsInCommon(config, *best)))
      best = ranked.config;
  return best;
}

std::vector<MRange> SplitAtEdges(MRange range, const std::function<MSignature(std::int64_t m)>& signature) {
  std::vector<MRange> ranges;
  std::int64_t from = range.from;
  MSignature last = signature(from);
  for (std::int64_t m = from; m < range.to;) {
    // Steps of 3 %, and bisection for the first m that is another one.
    const std::int64_t next = std::min(range.to, m + 1 + m / 32);
    const MSignature there = signature(next);
    if (IsSame(last, there)) {
      m = next;
      continue;
    }
    std::int64_t same = m, other = next;
    while (other - same > 1) {
      const std::int64_t middle = same + (other - same) / 2;
      (IsSame(last, signature(middle)) ? same : other) = middle;
    }
    if (other - from >= std::max<std::int64_t>(1, from / 8)) {
      ranges.push_back({from, same});
      from = other;
    }
    m = other;
    last = signature(other);
  }
  ranges.push_back({from, range.to});
  return ranges;
}

}  // namespace gemmsmith
