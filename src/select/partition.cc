#include "select/partition.h"

#include <algorithm>
#include <cstdlib>
#include <map>
#include <mutex>

namespace gemmsmith {
namespace {

template <class Visit>
void ForEachDivisor(std::int64_t number, Visit visit) {
  for (std::int64_t divisor = 1; divisor <= number; ++divisor)
    if (number % divisor == 0) visit(divisor);
}

std::vector<Partition> MakePartitions(std::int64_t cores) {
  std::vector<Partition> partitions;
  ForEachDivisor(cores, [&](std::int64_t g) {
    ForEachDivisor(cores / g, [&](std::int64_t m) {
      ForEachDivisor(cores / g / m, [&](std::int64_t n) { partitions.push_back({g, m, n, cores / g / m / n}); });
    });
  });
  return partitions;
}

double Score(const Partition& p, ShapeForm form) {
  const std::int64_t apart = std::abs(p.m - p.n);
  const bool fits = form == ShapeForm::kTall     ? p.m > p.n
                    : form == ShapeForm::kWide   ? p.n > p.m
                    : form == ShapeForm::kSquare ? apart <= 1
                                                 : false;
  return 10.0 / static_cast<double>(1 + apart) + (p.k == 1 ? 5 : 0) + (fits ? 3 : 0);
}

}  // namespace

std::span<const Partition> AllPartitions(std::int64_t cores) {
  static std::mutex mutex;
  static auto* const known = new std::map<std::int64_t, std::vector<Partition>>;
  std::scoped_lock lock(mutex);
  std::vector<Partition>& partitions = (*known)[cores];
  if (partitions.empty()) partitions = MakePartitions(cores);
  return partitions;
}

Partition BalancedPartition(std::int64_t cores) {
  std::int64_t m = 1;
  for (std::int64_t divisor = 1; divisor * divisor <= cores; ++divisor)
    if (cores % divisor == 0) m = divisor;
  return {1, m, cores / m, 1};
}

ShapeForm FormOf(const GEMMShape& shape) {
  const auto m = static_cast<double>(shape.M), n = static_cast<double>(shape.N);
  if (m > 2 * n) return ShapeForm::kTall;
  if (n > 2 * m) return ShapeForm::kWide;
  return std::abs(m - n) < std::min(m, n) / 2 ? ShapeForm::kSquare : ShapeForm::kOther;
}

std::vector<Partition> PartitionsByScore(std::int64_t cores, ShapeForm form) {
  const std::span<const Partition> all = AllPartitions(cores);
  std::vector<Partition> partitions(all.begin(), all.end());
  // Of equals the larger, as the specification sorts.
  std::sort(partitions.begin(), partitions.end(), [form](const Partition& x, const Partition& y) {
    const double score_x = Score(x, form), score_y = Score(y, form);
    return score_x != score_y ? score_x > score_y : x > y;
  });
  return partitions;
}

}  // namespace gemmsmith
