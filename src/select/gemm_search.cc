#include "select/gemm_search.h"

#include <algorithm>
#include <array>
#include <limits>
#include <tuple>
#include <utility>

namespace gemmsmith {
namespace {

/// One way to run a problem; the first members decide, in their order.
struct Choice {
  double latency = std::numeric_limits<double>::infinity();
  std::int64_t traffic = 0;
  Partition partition;
  Extent trips;
  std::size_t order = 0;
  Extent tile;  // In cubes.

  bool operator<(const Choice& other) const { return Rank() < other.Rank(); }

 private:
  std::tuple<double, std::int64_t, Partition, std::int64_t, std::int64_t, std::int64_t, std::size_t> Rank() const {
    return {latency, traffic, partition, trips.m, trips.n, trips.k, order};
  }
};

constexpr Extent kOneCube{1, 1, 1};

using Sizes = std::vector<std::int64_t>;

/// The search of one partition's tiles.
class TileSearch {
 public:
  TileSearch(const ChipProblem& problem, const Partition& partition, const PartitionCost& cost, Choice& best)
      : problem_(problem), partition_(partition), cost_(cost), best_(best) {}

  void TryOne(const Extent& tile) {
    ++tried_;
    const Extent& cubes = cost_.cubes();
    const Extent trips{TripsOf(cubes.m, tile.m), TripsOf(cubes.n, tile.n), TripsOf(cubes.k, tile.k)};
    for (std::size_t order = 0; order < AllLoopOrders().size(); ++order) {
      const Reloads reloads = AllLoopOrders()[order].ReloadsFor(trips);
      const double latency = cost_.Latency(tile, trips, reloads);
      if (latency > best_.latency) continue;
      Choice choice{latency, cost_.Traffic(reloads), partition_, trips, order, tile};
      if (choice < best_) best_ = choice;
    }
  }

  /// All sizes, from the largest down: transfers grow along each list, and what comes before them and after them
  /// shrinks. Where transfers are too much, so they are with all that follows.
  void TryAll(const Sizes& ms, const Sizes& ns, const Sizes& ks) {
    const Extent& cubes = cost_.cubes();
    for (const std::int64_t m : ms) {
      const std::int64_t m_trips = TripsOf(cubes.m, m);
      if (cost_.LeastMemorySide(kOneCube, {m_trips, 1, 1}) > best_.latency) break;
      if (cost_.ComputeSide({m, 1, 1}, 1) > best_.latency) continue;
      for (const std::int64_t n : ns) {
        const std::int64_t n_trips = TripsOf(cubes.n, n);
        if (cost_.LeastMemorySide({m, 1, 1}, {m_trips, n_trips, 1}) > best_.latency) break;
        if (cost_.ComputeSide({m, n, 1}, 1) > best_.latency) continue;
        for (auto k = FirstFit(m, n, ks); k != ks.end(); ++k) {
          const std::int64_t k_trips = TripsOf(cubes.k, *k);
          if (cost_.LeastMemorySide({m, n, 1}, {m_trips, n_trips, k_trips}) > best_.latency) break;
          if (cost_.ComputeSide({m, n, *k}, k_trips) <= best_.latency) TryOne({m, n, *k});
        }
      }
    }
  }

  /// The `count` largest by volume; of equals, those of fewest trips.
  void TryLargest(std::size_t count, const Sizes& ms, const Sizes& ns, const Sizes& ks) {
    std::vector<std::pair<std::int64_t, Extent>> largest;  // Negative volume and tile, sorted.
    for (const std::int64_t m : ms) {
      for (const std::int64_t n : ns) {
        std::size_t taken = 0;
        for (auto k = FirstFit(m, n, ks); k != ks.end() && taken < count; ++k, ++taken) {
          const std::pair<std::int64_t, Extent> entry{-(m * n * *k), {m, n, *k}};
          const auto before = [](const auto& x, const auto& y) { return x.first < y.first; };
          largest.insert(std::upper_bound(largest.begin(), largest.end(), entry, before), entry);
          if (largest.size() > count) largest.pop_back();
        }
      }
    }
    for (const auto& [volume, tile] : largest) TryOne(tile);
  }

  std::int64_t tried() const { return tried_; }

 private:
  /// The largest k whose tile fits; from there on all do.
  Sizes::const_iterator FirstFit(std::int64_t m, std::int64_t n, const Sizes& ks) const {
    const Extent& cube = problem_.cube;
    return std::partition_point(ks.begin(), ks.end(), [&](std::int64_t k) {
      return TileBytes({m * cube.m, n * cube.n, k * cube.k}, problem_.input_bytes) > problem_.sram_bytes;
    });
  }

  const ChipProblem& problem_;
  const Partition& partition_;
  const PartitionCost& cost_;
  Choice& best_;
  std::int64_t tried_ = 0;
};

GEMMResult ToResult(const ChipProblem& problem, const Choice& best) {
  const PartitionCost cost(problem, best.partition);
  const LoopOrder& order = AllLoopOrders()[best.order];
  const Reloads reloads = order.ReloadsFor(best.trips);
  GEMMResult result;
  result.latency_us = best.latency;
  result.compute_time_us = cost.ComputeTime(best.trips.k);
  result.memory_time_us = cost.MemoryTime(reloads);
  result.flops = problem.flops();
  result.dram_traffic_bytes = best.traffic;
  result.arch_utilization = result.flops / (problem.flops_per_us * result.compute_time_us);
  result.effective_utilization = result.flops / (problem.flops_per_us * result.latency_us);
  result.best_tile = {best.tile.m * problem.cube.m, best.tile.n * problem.cube.n, best.tile.k * problem.cube.k};
  result.best_loop_order = order.name();
  result.best_partition = {best.partition.g, best.partition.m, best.partition.n, best.partition.k};
  return result;
}

}  // namespace

std::vector<std::int64_t> TileSizes(std::int64_t cubes) {
  std::vector<std::int64_t> sizes;
  // From a size, the next smaller one that needs more trips, made as small as those trips allow.
  for (std::int64_t size = cubes;; size = TripsOf(cubes, TripsOf(cubes, size - 1))) {
    sizes.push_back(size);
    if (size == 1) return sizes;
  }
}

GEMMResult Search(const ChipProblem& problem, const GemmSearch& search) {
  struct Entry {
    double bound;
    Partition partition;
    PartitionCost cost;
  };
  std::vector<Entry> entries;
  entries.reserve(search.partitions.size());
  for (const Partition& partition : search.partitions) {
    const PartitionCost cost(problem, partition);
    entries.push_back(
        {std::max(cost.LeastMemorySide(kOneCube, kOneCube), cost.ComputeSide(kOneCube, 1)), partition, cost});
  }
  // The most promising first: what it finds rules out most of the others.
  std::vector<const Entry*> sorted;
  for (const Entry& entry : entries) sorted.push_back(&entry);
  std::sort(sorted.begin(), sorted.end(), [](const Entry* x, const Entry* y) {
    return std::tie(x->bound, x->partition) < std::tie(y->bound, y->partition);
  });
  Choice best;
  GEMMSearchCost spent;
  for (const Entry* entry : sorted) {
    if (entry->bound > best.latency) break;
    ++spent.num_searched_partitions;
    TileSearch tiles(problem, entry->partition, entry->cost, best);
    const Extent& cubes = entry->cost.cubes();
    if (!search.tile_search) {
      tiles.TryOne(kOneCube);
    } else {
      const auto ms = search.tile_sizes(cubes.m), ns = search.tile_sizes(cubes.n), ks = search.tile_sizes(cubes.k);
      if (search.largest_tiles > 0)
        tiles.TryLargest(search.largest_tiles, *ms, *ns, *ks);
      else
        tiles.TryAll(*ms, *ns, *ks);
    }
    spent.num_searched_tiles += tiles.tried();
  }
  GEMMResult result = ToResult(problem, best);
  result.search = spent;
  return result;
}

}  // namespace gemmsmith
