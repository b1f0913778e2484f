#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "select/matrix_unit.h"

namespace gemmsmith {

/// How often an element of each matrix is brought in: A and B as inputs, C as sums, which are stored as often.
struct Reloads {
  std::int64_t a = 1, b = 1, c = 1;
};

/// The nesting of the three loops over tiles, as "mnk": m outermost.
class LoopOrder {
 public:
  /// `name` has each of m, n and k once.
  explicit constexpr LoopOrder(const char (&name)[4]) : name_{name[0], name[1], name[2]} {}

  std::string_view name() const { return {name_.data(), name_.size()}; }
  /// With one tile of each matrix in SRAM and so many trips of each loop. An operand is fetched anew in each trip of a
  /// loop that does not move it, if that loop lies outside the innermost one that does. Exact, partial tiles and loops
  /// of one trip included.
  constexpr Reloads ReloadsFor(const Extent& trips) const { return {Of('n', trips), Of('m', trips), Of('k', trips)}; }

 private:
  static constexpr std::int64_t Trips(char loop, const Extent& trips) {
    return loop == 'm' ? trips.m : loop == 'n' ? trips.n : trips.k;
  }
  /// Of the matrix that every loop but `still` moves.
  constexpr std::int64_t Of(char still, const Extent& trips) const {
    std::size_t i = name_.size();
    while (i > 0 && (name_[i - 1] == still || Trips(name_[i - 1], trips) == 1)) --i;
    for (; i > 0; --i)
      if (name_[i - 1] == still) return Trips(still, trips);
    return 1;
  }

  std::array<char, 3> name_;
};

/// All six; of equals, the first is taken.
std::span<const LoopOrder> AllLoopOrders();

}  // namespace gemmsmith
