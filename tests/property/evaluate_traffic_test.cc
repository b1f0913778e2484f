// The closed forms of the evaluator beside simulators that count one step after the other.
#include <gtest/gtest.h>
#include <zstd.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <iterator>
#include <random>
#include <set>
#include <sstream>

#include "select/gemm_cost.h"

namespace gemmsmith {
namespace {

struct Traffic {
  std::int64_t a = 0, b = 0, c_in = 0, c_out = 0;  // Elements.
  bool operator==(const Traffic&) const = default;
};

/// Runs the loops with one tile of each matrix at hand: fetches what is not there, stores sums that make room.
Traffic Simulate(std::string_view order, const Extent& size, const Extent& tile) {
  const auto trips = [](std::int64_t x, std::int64_t t) { return (x + t - 1) / t; };
  const auto length = [](std::int64_t x, std::int64_t t, std::int64_t i) { return std::min(t, x - i * t); };
  const Extent count{trips(size.m, tile.m), trips(size.n, tile.n), trips(size.k, tile.k)};
  const auto trips_of = [&](char loop) { return loop == 'm' ? count.m : loop == 'n' ? count.n : count.k; };
  using Index = std::pair<std::int64_t, std::int64_t>;
  const Index none{-1, -1};
  Index a = none, b = none, c = none;
  std::set<Index> begun;
  Traffic traffic;
  const auto c_elements = [&](const Index& i) {
    return length(size.m, tile.m, i.first) * length(size.n, tile.n, i.second);
  };
  std::array<std::int64_t, 3> at{};  // By loop, outermost first.
  for (at[0] = 0; at[0] < trips_of(order[0]); ++at[0])
    for (at[1] = 0; at[1] < trips_of(order[1]); ++at[1])
      for (at[2] = 0; at[2] < trips_of(order[2]); ++at[2]) {
        const auto index = [&](char loop) { return at[order.find(loop)]; };
        const std::int64_t m = index('m'), n = index('n'), k = index('k');
        if (a != Index{m, k}) traffic.a += length(size.m, tile.m, m) * length(size.k, tile.k, k);
        if (b != Index{k, n}) traffic.b += length(size.k, tile.k, k) * length(size.n, tile.n, n);
        if (c != Index{m, n}) {
          if (c != none) traffic.c_out += c_elements(c);
          if (!begun.insert({m, n}).second) traffic.c_in += c_elements({m, n});
        }
        a = {m, k}, b = {k, n}, c = {m, n};
      }
  traffic.c_out += c_elements(c);
  return traffic;
}

std::string ToText(const Extent& e) {
  std::ostringstream text;
  text << "m=" << e.m << " n=" << e.n << " k=" << e.k;
  return text.str();
}

class Random {
 public:
  explicit Random(unsigned seed) : engine_(seed) {}
  std::int64_t Within(std::int64_t least, std::int64_t most) {
    return std::uniform_int_distribution<std::int64_t>(least, most)(engine_);
  }

 private:
  std::mt19937_64 engine_;
};

TEST(LoopOrders, AreTheSixThatThereAre) {
  std::set<std::string_view> names;
  for (const LoopOrder& order : AllLoopOrders()) names.insert(order.name());
  EXPECT_EQ(names, (std::set<std::string_view>{"knm", "kmn", "mkn", "mnk", "nkm", "nmk"}));
}

TEST(LoopOrders, TrafficIsThatOfASimulationInTwelveThousandCasesOfEachOrder) {
  Random random(1);
  std::int64_t partial = 0, unit = 0;
  for (int i = 0; i < 12'000; ++i) {
    const Extent size{random.Within(1, 14), random.Within(1, 14), random.Within(1, 14)};
    const Extent tile{random.Within(1, size.m), random.Within(1, size.n), random.Within(1, size.k)};
    const Extent trips{TripsOf(size.m, tile.m), TripsOf(size.n, tile.n), TripsOf(size.k, tile.k)};
    partial += size.m % tile.m != 0 || size.n % tile.n != 0 || size.k % tile.k != 0;
    unit += trips.m == 1 || trips.n == 1 || trips.k == 1;
    for (const LoopOrder& order : AllLoopOrders()) {
      const Reloads r = order.ReloadsFor(trips);
      const std::int64_t c = size.m * size.n;
      const Traffic expected{size.m * size.k * r.a, size.k * size.n * r.b, c * (r.c - 1), c * r.c};
      ASSERT_EQ(expected, Simulate(order.name(), size, tile))
          << order.name() << " seed 1 case " << i << " " << ToText(size) << " in tiles " << ToText(tile);
    }
  }
  EXPECT_GT(partial, 1000);
  EXPECT_GT(unit, 1000);
}

AcceleratorMicroArch Chip(Random& random) {
  AcceleratorMicroArch arch{"any", random.Within(1, 12), 1 << 20, random.Within(1, 3), random.Within(1, 3), 2, 1};
  arch.tflops_bf16 = 1;
  return arch;
}

/// What all cores of a partition read and write, each by loops over its own part; a tile beyond its part is none.
std::int64_t SimulateCores(const GEMMShape& s, const Partition& p, const Extent& cube, const Extent& tile_cubes,
                           std::string_view order, bool* even) {
  const auto part = [](std::int64_t size, std::int64_t parts, std::int64_t i) {
    const std::int64_t width = (size + parts - 1) / parts;
    return std::clamp<std::int64_t>(size - i * width, 0, width);
  };
  const Extent tile{tile_cubes.m * cube.m, tile_cubes.n * cube.n, tile_cubes.k * cube.k};
  const std::int64_t input = 2, output = 2, k_cores = (s.K + part(s.K, p.k, 0) - 1) / part(s.K, p.k, 0);
  *even = s.M % p.m == 0 && s.N % p.n == 0 && s.K % p.k == 0;
  std::int64_t bytes = 0;
  for (std::int64_t g = 0; g < s.G; ++g)
    for (std::int64_t m = 0; m < p.m; ++m)
      for (std::int64_t n = 0; n < p.n; ++n)
        for (std::int64_t k = 0; k < p.k; ++k) {
          const Extent size{part(s.M, p.m, m), part(s.N, p.n, n), part(s.K, p.k, k)};
          if (size.m == 0 || size.n == 0 || size.k == 0) continue;
          const Traffic t = Simulate(order, size, tile);
          const std::int64_t last = k_cores > 1 ? kPartialBytes : output;
          bytes += (t.a + t.b) * input + t.c_in * 2 * kPartialBytes + size.m * size.n * last;
        }
  if (k_cores > 1) bytes += s.G * s.M * s.N * (k_cores * kPartialBytes + output);
  return bytes;
}

TEST(Partitions, TrafficIsThatOfAllCoresAndNoLessWherePartsAreUneven) {
  Random random(2);
  int even_cases = 0;
  for (int i = 0; i < 4000; ++i) {
    const AcceleratorMicroArch arch = WithDefaults(Chip(random));
    const GEMMShape shape{random.Within(1, 3), random.Within(1, 24), random.Within(1, 24), random.Within(1, 24)};
    const ChipProblem problem = Describe(shape, arch);
    const std::span<const Partition> partitions = AllPartitions(arch.num_cores);
    const Partition& p = partitions[static_cast<std::size_t>(random.Within(0, std::ssize(partitions) - 1))];
    const PartitionCost cost(problem, p);
    const Extent& cubes = cost.cubes();
    const Extent tile{random.Within(1, cubes.m), random.Within(1, cubes.n), random.Within(1, cubes.k)};
    const Extent trips{TripsOf(cubes.m, tile.m), TripsOf(cubes.n, tile.n), TripsOf(cubes.k, tile.k)};
    for (const LoopOrder& order : AllLoopOrders()) {
      bool even = false;
      const std::int64_t simulated = SimulateCores(shape, p, problem.cube, tile, order.name(), &even);
      const std::int64_t traffic = cost.Traffic(order.ReloadsFor(trips));
      ASSERT_GE(traffic, simulated) << "seed 2 case " << i << " " << order.name();
      if (!even) continue;
      ASSERT_EQ(traffic, simulated) << "seed 2 case " << i << " " << order.name();
      ++even_cases;
    }
  }
  EXPECT_GT(even_cases, 1000);
}

std::string Decompress(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string packed{std::istreambuf_iterator<char>(file), {}};
  const unsigned long long size = ZSTD_getFrameContentSize(packed.data(), packed.size());
  std::string text(size < (1 << 24) ? size : 0, '\0');
  EXPECT_EQ(ZSTD_decompress(text.data(), text.size(), packed.data(), packed.size()), text.size()) << path;
  return text;
}

TEST(SystolicArray, CyclesAreThoseOfEveryScaleSimRow) {
  std::istringstream rows(Decompress(GEMMSMITH_SOURCE_DIR "/tests/data/scalesim_os.csv.zst"));
  int count = 0;
  for (std::string row; std::getline(rows, row); ++count) {
    std::istringstream fields(row);
    std::int64_t m = 0, n = 0, k = 0, height = 0, width = 0, cycles = 0;
    std::string dataflow;
    char comma = 0;
    fields >> m >> comma >> n >> comma >> k >> comma >> height >> comma >> width >> comma;
    std::getline(fields, dataflow, ',');
    fields >> cycles;
    ASSERT_TRUE(fields && dataflow == "os") << row;
    const Extent cube{height, width, 1};
    ASSERT_EQ(Cycles(cube, {TripsOf(m, height), TripsOf(n, width), k}), cycles) << row;
  }
  EXPECT_EQ(count, 35'977);
}

}  // namespace
}  // namespace gemmsmith
