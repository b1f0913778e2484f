#include <algorithm>
#include <atomic>
#include <chrono>
#include <map>
#include <mutex>
#include <shared_mutex>
#include <thread>
#include <tuple>
#include <unordered_map>

#include "gemmsmith/evaluate.h"
#include "select/gemm_search.h"
#include "util/log.h"
#include "util/thread_pool.h"

namespace gemmsmith {
namespace {

/// Remembers what was made, and counts. Thread-safe; two threads may make the same thing, and the first one stays.
template <class Key, class Value>
class Memo {
 public:
  template <class Make>
  Value Get(const Key& key, Make make) {
    {
      std::shared_lock lock(mutex_);
      if (const auto found = values_.find(key); found != values_.end()) {
        hits_.fetch_add(1, std::memory_order_relaxed);
        return found->second;
      }
    }
    misses_.fetch_add(1, std::memory_order_relaxed);
    Value value = make();
    std::unique_lock lock(mutex_);
    return values_.emplace(key, std::move(value)).first->second;
  }
  std::uint64_t hits() const { return hits_; }
  std::uint64_t misses() const { return misses_; }

 private:
  std::shared_mutex mutex_;
  std::map<Key, Value> values_;
  std::atomic<std::uint64_t> hits_{0}, misses_{0};
};

using ResultKey =
    std::tuple<std::int64_t, std::int64_t, std::int64_t, std::int64_t, DType, DType, bool, bool, SearchEffort, bool>;

ResultKey KeyOf(const GEMMShape& s, const GEMMSearchMode& mode) {
  return {s.G,
          s.M,
          s.K,
          s.N,
          s.input_dtype,
          s.output_dtype,
          mode.tile_search,
          mode.partition_search,
          mode.effort,
          mode.use_precise_evaluator};
}

GEMMResult RooflineResult(const ChipProblem& problem) {
  GEMMResult result;
  result.flops = problem.flops();
  result.dram_traffic_bytes = problem.CompulsoryBytes();
  result.compute_time_us = result.flops / problem.flops_per_us;
  result.memory_time_us = static_cast<double>(result.dram_traffic_bytes) * problem.us_per_dram_byte;
  result.latency_us = problem.launch_us + problem.Roofline();
  result.arch_utilization = 1;
  result.effective_utilization = result.flops / (problem.flops_per_us * result.latency_us);
  return result;
}

/// A model that beats what is possible is wrong.
void CheckFloors(const ChipProblem& problem, const GEMMResult& result) {
  constexpr double kRounding = 1 - 1e-12;
  if (result.latency_us < problem.Roofline() * kRounding ||
      static_cast<double>(result.dram_traffic_bytes) < problem.LeastTraffic() * kRounding)
    throw Fail(Code::kInternal, "please report this", "evaluate: {} us and {} bytes are below the floors {} us and {}",
               result.latency_us, result.dram_traffic_bytes, problem.Roofline(), problem.LeastTraffic());
}

}  // namespace

struct GEMMEvaluator::State {
  AcceleratorMicroArch arch;
  Memo<ResultKey, GEMMResult> results;
  Memo<std::int64_t, std::shared_ptr<const std::vector<std::int64_t>>> tiles;
  Memo<ShapeForm, std::shared_ptr<const std::vector<Partition>>> scores;

  /// The first `count` by score of those that give every core a cube of work; if they are too few, the first others.
  /// The score itself does not know how much work there is: by it alone, one product would be shared out as many.
  std::vector<Partition> Promising(const ChipProblem& problem, std::size_t count) {
    const ShapeForm form = FormOf(problem.shape);
    const auto by_score = scores.Get(
        form, [&] { return std::make_shared<const std::vector<Partition>>(PartitionsByScore(arch.num_cores, form)); });
    const auto busy = [&problem](const Partition& p) {
      const GEMMShape& s = problem.shape;
      return p.g <= s.G && (p.m - 1) * problem.cube.m < s.M && (p.n - 1) * problem.cube.n < s.N &&
             (p.k - 1) * problem.cube.k < s.K;
    };
    std::vector<Partition> promising = *by_score;
    std::stable_partition(promising.begin(), promising.end(), busy);
    promising.resize(std::min(promising.size(), count));
    return promising;
  }

  GEMMResult Evaluate(const ChipProblem& problem, const GEMMSearchMode& mode) {
    if (!mode.use_precise_evaluator) return RooflineResult(problem);
    GemmSearch search;
    search.tile_search = mode.tile_search;
    search.tile_sizes = [this](std::int64_t cubes) {
      return tiles.Get(cubes, [cubes] { return std::make_shared<const std::vector<std::int64_t>>(TileSizes(cubes)); });
    };
    const bool exact = mode.effort == SearchEffort::kExact;
    const bool fast = mode.effort == SearchEffort::kFast;
    if (!exact) search.largest_tiles = fast ? 1 : 3;
    const Partition balanced = BalancedPartition(arch.num_cores);
    std::vector<Partition> promising;
    if (!mode.partition_search) {
      search.partitions = {&balanced, 1};
    } else if (exact) {
      search.partitions = AllPartitions(arch.num_cores);
    } else {
      promising = Promising(problem, fast ? 3 : 5);
      search.partitions = promising;
    }
    return Search(problem, search);
  }
};

GEMMEvaluator::GEMMEvaluator(const AcceleratorMicroArch& arch) : state_(std::make_unique<State>()) {
  Validate(arch);
  state_->arch = WithDefaults(arch);
}

GEMMEvaluator::~GEMMEvaluator() = default;

GEMMResult GEMMEvaluator::evaluate(const GEMMShape& shape, const GEMMSearchMode& mode) {
  return state_->results.Get(KeyOf(shape, mode), [&] {
    const auto begin = std::chrono::steady_clock::now();
    const ChipProblem problem = Describe(shape, state_->arch);
    GEMMResult result = state_->Evaluate(problem, mode);
    if (mode.use_precise_evaluator) CheckFloors(problem, result);
    result.search.search_time_ms =
        std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count();
    return result;
  });
}

GEMMResult GEMMEvaluator::evaluate(std::int64_t groups, std::int64_t m, std::int64_t k, std::int64_t n,
                                   DType input_dtype, DType output_dtype, const GEMMSearchMode& mode) {
  return evaluate(GEMMShape{groups, m, k, n, input_dtype, output_dtype}, mode);
}

std::vector<GEMMResult> GEMMEvaluator::evaluate_all(std::span<const GEMMShape> shapes, const GEMMSearchMode& mode,
                                                    int threads, const std::function<void()>& done) {
  for (const GEMMShape& shape : shapes) Describe(shape, state_->arch);  // throws on a thread of the caller's
  std::vector<GEMMResult> results(shapes.size());
  std::vector<std::exception_ptr> errors(shapes.size());
  std::atomic<std::size_t> next{0};
  auto task = [&](int) {
    for (std::size_t i = next++; i < shapes.size(); i = next++) {
      try {
        results[i] = evaluate(shapes[i], mode);
      } catch (...) {
        errors[i] = std::current_exception();
      }
      if (done) done();
    }
  };
  const int wanted = threads > 0 ? threads : static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  auto lease = ThreadPool::Instance().Acquire(static_cast<int>(std::min<std::size_t>(wanted, shapes.size())));
  lease.Run(lease.threads(), task);
  for (const std::exception_ptr& error : errors)
    if (error) std::rethrow_exception(error);
  return results;
}

const AcceleratorMicroArch& GEMMEvaluator::arch() const { return state_->arch; }

EvaluatorStats GEMMEvaluator::stats() const {
  const State& s = *state_;
  return {s.results.hits(), s.results.misses(), s.tiles.hits(), s.tiles.misses(), s.scores.hits(), s.scores.misses()};
}

std::string_view ToString(SearchEffort effort) {
  switch (effort) {
    case SearchEffort::kExact:
      return "exact";
    case SearchEffort::kBalanced:
      return "balanced";
    case SearchEffort::kFast:
      return "fast";
  }
  return "unknown";
}

std::string ToString(const GEMMSearchMode& mode) {
  return fmt::format("tile={:d} partition={:d} effort={} precise={:d}", mode.tile_search, mode.partition_search,
                     ToString(mode.effort), mode.use_precise_evaluator);
}

GEMMShape ShapeOf(const GemmProblem& p) {
  const auto refuse = [&](const char* what) {
    return Fail(Code::kUnsupported, "", "evaluate: {} is not costed ({})", what, ToString(p));
  };
  if (p.beta != BetaClass::kZero) throw refuse("reading C");
  if (p.epilogue_id != 0) throw refuse("an epilogue");
  if (p.scaling != Scaling::kNone) throw refuse("scaling");
  if (SizeOf(p.a_type) != SizeOf(p.b_type)) throw refuse("a product of types of different size");
  GEMMShape shape{p.batch, p.m, p.k, p.n, p.a_type, p.d_type};
  if (p.batch > 1 && p.batch_stride_b == 0) {
    shape.G = 1, shape.M *= p.batch;
  } else if (p.batch > 1 && p.batch_stride_a == 0) {
    shape.G = 1, shape.N *= p.batch;
  }
  if (p.grouping == Grouping::kNone) return shape;
  if (p.batch != 1 || p.groups < 1) throw refuse("a batch of groups");
  shape.G = p.groups;
  if (p.grouping == Grouping::kContiguous || p.grouping == Grouping::kEnds) shape.M = TripsOf(p.m, p.groups);
  if (p.grouping == Grouping::kAlongK) shape.K = TripsOf(p.k, p.groups);
  return shape;
}

}  // namespace gemmsmith
