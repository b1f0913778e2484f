#include "runtime/emulator/check/foreign.h"

#include <algorithm>

namespace gemmsmith::emulator {
namespace {

using SharedTimes = std::shared_ptr<const Foreign::Times>;

bool Covers(const Foreign::Times& more, const Foreign::Times& less) {
  if (more.size() < less.size()) return false;
  for (std::size_t i = 0; i < less.size(); ++i)
    if (more[i] < less[i]) return false;
  return true;
}

/// One of the two where that says all: equal knowledge then stays one object, which is quick to compare.
SharedTimes Joined(const SharedTimes& a, const SharedTimes& b) {
  if (a == b || Covers(*a, *b)) return a;
  if (Covers(*b, *a)) return b;
  auto joined = std::make_shared<Foreign::Times>(std::max(a->size(), b->size()));
  for (std::size_t i = 0; i < joined->size(); ++i)
    (*joined)[i] = std::max(i < a->size() ? (*a)[i] : 0, i < b->size() ? (*b)[i] : 0);
  return joined;
}

}  // namespace

const Foreign::Times* Foreign::Of(std::uint32_t cluster) const {
  const auto found = std::lower_bound(clusters_.begin(), clusters_.end(), cluster,
                                      [](const Cluster& c, std::uint32_t index) { return c.index < index; });
  return found == clusters_.end() || found->index != cluster ? nullptr : found->times.get();
}

void Foreign::Join(ForeignKnowledge& into, const ForeignKnowledge& from) {
  if (from == nullptr || into == from) return;
  if (into == nullptr) {
    into = from;
    return;
  }
  auto joined = std::make_shared<Foreign>();
  joined->clusters_.reserve(std::max(into->clusters_.size(), from->clusters_.size()));
  bool is_into = true, is_from = true;
  auto a = into->clusters_.begin(), b = from->clusters_.begin();
  const auto a_end = into->clusters_.end(), b_end = from->clusters_.end();
  while (a != a_end || b != b_end) {
    const bool has_a = a != a_end && (b == b_end || a->index <= b->index);
    const bool has_b = b != b_end && (a == a_end || b->index <= a->index);
    joined->clusters_.push_back(!has_b ? *a : !has_a ? *b : Cluster{a->index, Joined(a->times, b->times)});
    is_into = is_into && has_a && joined->clusters_.back().times == a->times;
    is_from = is_from && has_b && joined->clusters_.back().times == b->times;
    if (has_a) ++a;
    if (has_b) ++b;
  }
  if (is_into) return;
  into = is_from ? from : joined;
}

ForeignKnowledge Foreign::With(const ForeignKnowledge& known, std::uint32_t cluster, const Times& times) {
  auto one = std::make_shared<Foreign>();
  one->clusters_.push_back({cluster, std::make_shared<const Times>(times)});
  ForeignKnowledge all = std::move(one);
  Join(all, known);
  return all;
}

}  // namespace gemmsmith::emulator
