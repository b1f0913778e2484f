#include "select/matrix_unit.h"
#include "select/score.h"

namespace gemmsmith {

std::vector<TableScore> ScoreScaleSim(const Csv& table) {
  TableScore score;
  score.what = "cycles of an output-stationary systolic array";
  score.rows = static_cast<std::int64_t>(table.rows());
  double exact = 0;
  for (std::size_t row = 0; row < table.rows(); ++row) {
    const auto at = [&](std::size_t column) { return static_cast<std::int64_t>(table.Number(row, column)); };
    const Extent array{at(3), at(4), 1};
    if (array.m < 1 || array.n < 1) continue;
    const Extent cubes{TripsOf(at(0), array.m), TripsOf(at(1), array.n), at(2)};
    exact += Cycles(array, cubes) == at(6) ? 1 : 0;
  }
  score.measures = {{"rows met exactly %", 100 * exact / static_cast<double>(table.rows())}};
  return {score};
}

}  // namespace gemmsmith
