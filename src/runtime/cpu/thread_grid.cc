#include "runtime/cpu/thread_grid.h"

#include <algorithm>

namespace gemmsmith {
namespace {

// Of one column of B or one row of A, packed, in products.
constexpr double kPackCost = 16;
// Who packs for others multiplies nothing meanwhile, and waits for them.
constexpr double kTogether = 1.5, kWaiting = 100e3;

/// Of the largest part, in products for each unit of k. A B in place comes from memory, and each part of it should to
/// one thread alone.
double CostOf(const CpuGemmParams& p, int n_parts, int m_parts) {
  const auto rows = static_cast<double>(std::min(p.m, DivideUp(DivideUp(p.m, p.mr), m_parts) * p.mr));
  const auto columns = static_cast<double>(std::min(p.n, DivideUp(DivideUp(p.n, p.nr), n_parts) * p.nr));
  const bool copies_a = p.path != CpuPath::kDirect && p.path != CpuPath::kPanels;
  const double cost = rows * columns + (copies_a ? kPackCost * rows : 0);
  if (p.path != CpuPath::kPacked) return cost + kPackCost * columns;
  if (p.packed_b) return cost;
  if (!PacksTogether(p, {1, n_parts, m_parts})) return cost + kPackCost * columns;
  const double waiting = kWaiting * Info(p.math).group / static_cast<double>(std::clamp<std::int64_t>(p.k, 1, p.kc));
  return cost + kTogether * kPackCost * columns / m_parts + waiting;
}

}  // namespace

Grid ChooseGrid(const CpuGemmParams& p, int threads) {
  if (p.batch >= threads) return {threads, 1, 1};
  Grid best;
  double best_cost = 0;
  for (int n_parts = 1; n_parts <= threads; ++n_parts) {
    if (threads % n_parts != 0) continue;
    const int m_parts = threads / n_parts;
    // Every thread begins with a full tile.
    if (p.keeps_b() && m_parts > 1 && DivideUp(p.m, p.mr) <= m_parts && p.m % p.mr != 0) continue;
    const double cost = CostOf(p, n_parts, m_parts);
    if (best_cost == 0 || cost < best_cost) {
      best = {1, n_parts, m_parts};
      best_cost = cost;
    }
  }
  return best;
}

}  // namespace gemmsmith
