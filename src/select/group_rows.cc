#include "select/group_rows.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "gemmsmith/select.h"
#include "util/log.h"

namespace gemmsmith {
namespace {

constexpr std::int64_t kMostGroups = 65'536;

/// The normal distribution's quantile, for shares between 0 and 1.
double NormalQuantile(double share) {
  double low = -10, high = 10;
  for (int i = 0; i < 60; ++i) {
    const double middle = (low + high) / 2;
    (std::erfc(-middle / std::sqrt(2.0)) / 2 < share ? low : high) = middle;
  }
  return low;
}

/// Of the number of rows in one of `groups` groups: Poisson where they are few, normal where they are many.
class GroupSize {
 public:
  GroupSize(std::int64_t rows, std::int64_t groups)
      : mean_(static_cast<double>(rows) / static_cast<double>(groups)),
        deviation_(std::sqrt(mean_ * (1 - 1 / static_cast<double>(groups)))),
        probability_(std::exp(-mean_)),
        cumulated_(probability_) {}

  /// Asked for in rising order.
  std::int64_t Quantile(double share) {
    constexpr double kMany = 100;
    if (mean_ > kMany) return std::llround(std::max(0.0, mean_ + deviation_ * NormalQuantile(share)));
    while (cumulated_ < share && static_cast<double>(size_) < mean_ + 20 * (deviation_ + 1)) {
      probability_ *= mean_ / static_cast<double>(++size_);
      cumulated_ += probability_;
    }
    return size_;
  }

 private:
  const double mean_, deviation_;
  double probability_, cumulated_;
  std::int64_t size_ = 0;
};

}  // namespace

double TilesOfGroups(std::span<const std::int64_t> group_rows, std::int64_t block) {
  double tiles = 0;
  for (const std::int64_t rows : group_rows) tiles += static_cast<double>((rows + block - 1) / block);
  return tiles;
}

std::vector<std::int64_t> ExpectedGroupRows(std::int64_t rows, std::int64_t groups) {
  if (rows < 0 || groups < 1 || groups > kMostGroups)
    throw Fail(Code::kInvalidArgument, "", "groups: {} rows in {} groups; 1 to {} groups are possible", rows, groups,
               kMostGroups);
  GroupSize size(rows, groups);
  std::vector<std::int64_t> sizes;
  for (std::int64_t i = 0; i < groups; ++i)
    sizes.push_back(size.Quantile((static_cast<double>(i) + 0.5) / static_cast<double>(groups)));
  // What rounding has left is shared out, a row at a time, from the largest down.
  std::int64_t rest = rows - std::accumulate(sizes.begin(), sizes.end(), std::int64_t{0});
  for (auto i = sizes.rbegin(); rest != 0; i = i + 1 == sizes.rend() ? sizes.rbegin() : i + 1) {
    const std::int64_t step = rest > 0 ? 1 : *i > 0 ? -1 : 0;
    *i += step;
    rest -= step;
  }
  std::ranges::sort(sizes);
  return sizes;
}

}  // namespace gemmsmith
