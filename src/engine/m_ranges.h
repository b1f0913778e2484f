#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "gemmsmith/config.h"
#include "gemmsmith/problem.h"
#include "select/cost_model.h"

namespace gemmsmith {

/// The same problem with another m: leading dimensions and strides that were tight are tight again.
GemmProblem WithM(const GemmProblem& problem, std::int64_t m);
/// ToString(problem) with "m=*": what the records of a range are kept under.
std::string TextOfAnyM(const GemmProblem& problem);

/// Whether two configs differ in nothing but what follows from a problem's sizes.
bool IsSameChoice(const TileConfig& x, const TileConfig& y);
/// Of the configs of another m, the one that is the same choice as `config`: of several the most alike, then the first.
std::optional<TileConfig> Counterpart(const TileConfig& config, const std::vector<Ranking::Config>& configs);

/// m from the one to the other, both included.
struct MRange {
  std::int64_t from, to;
  friend bool operator==(const MRange&, const MRange&) = default;
};
/// What the model says of an m: all m of a range have the same.
struct MSignature {
  TileConfig first;
  std::int64_t waves = 1;
};
/// Cuts a range where the signature changes, but into no pieces shorter than an eighth of where they begin. What
/// changes and is as before within 3 % is not seen.
std::vector<MRange> SplitAtEdges(MRange range, const std::function<MSignature(std::int64_t m)>& signature);

}  // namespace gemmsmith
