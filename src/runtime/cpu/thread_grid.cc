#include "runtime/cpu/thread_grid.h"

#include <algorithm>

namespace gemmsmith {

Grid ChooseGrid(const CpuGemmParams& p, int threads) {
  if (p.batch >= threads) return {threads, 1, 1};
  // Per unit of k: products of the largest part, and what packing costs, in products.
  constexpr double kPackCost = 16;
  Grid best;
  double best_cost = 0;
  for (int n_parts = 1; n_parts <= threads; ++n_parts) {
    if (threads % n_parts != 0) continue;
    const int m_parts = threads / n_parts;
    // Every thread begins with a full tile.
    if (p.keeps_b() && m_parts > 1 && DivideUp(p.m, p.mr) <= m_parts && p.m % p.mr != 0) continue;
    const auto rows = static_cast<double>(std::min(p.m, DivideUp(DivideUp(p.m, p.mr), m_parts) * p.mr));
    const auto columns = static_cast<double>(std::min(p.n, DivideUp(DivideUp(p.n, p.nr), n_parts) * p.nr));
    const bool packs_b = p.path == CpuPath::kPacked && !p.packed_b;
    const bool copies_a = p.path != CpuPath::kDirect && p.path != CpuPath::kPanels;
    // Who packs panels for others multiplies nothing meanwhile, and waits for them.
    const double copies = (copies_a ? rows : 0) + (packs_b ? columns : 0);
    // A B in place comes from memory, and each part of it should to one thread alone.
    const bool streams = p.path != CpuPath::kPacked;
    const double cost = rows * columns + kPackCost * (copies + (streams ? columns : 0));
    if (best_cost == 0 || cost < best_cost) {
      best = {1, n_parts, m_parts};
      best_cost = cost;
    }
  }
  return best;
}

}  // namespace gemmsmith
