#include <memory>

#include "array.h"
#include "bindings.h"
#include "engine_access.h"
#include "gemmsmith/evaluate.h"
#include "rows.h"

namespace gemmsmith::python {
namespace {

GEMMSearchMode ModeOf(bool tile_search, bool partition_search, const std::string& effort, bool precise) {
  GEMMSearchMode mode{tile_search, partition_search, SearchEffort::kExact, precise};
  for (const SearchEffort one : {SearchEffort::kExact, SearchEffort::kBalanced, SearchEffort::kFast})
    if (effort == ToString(one)) {
      mode.effort = one;
      return mode;
    }
  throw Error(Code::kInvalidArgument, "unknown effort \"" + effort + "\"", "there are exact, balanced and fast");
}

nb::dict RowOf(const GEMMShape& shape, const GEMMResult& result) {
  const auto& tile = result.best_tile;
  const auto& partition = result.best_partition;
  return Row()
      .Add("g", shape.G)
      .Add("m", shape.M)
      .Add("n", shape.N)
      .Add("k", shape.K)
      .Add("latency_us", result.latency_us)
      .Add("compute_us", result.compute_time_us)
      .Add("memory_us", result.memory_time_us)
      .Add("flops", result.flops)
      .Add("dram_bytes", result.dram_traffic_bytes)
      .Add("arch_utilization", result.arch_utilization)
      .Add("utilization", result.effective_utilization)
      .Add("tile", nb::make_tuple(tile[0], tile[1], tile[2]))
      .Add("loop_order", result.best_loop_order)
      .Add("partition", nb::make_tuple(partition[0], partition[1], partition[2], partition[3]))
      .Add("search_ms", result.search.search_time_ms);
}

nb::list Evaluate(GEMMEvaluator& evaluator, const std::vector<GEMMShape>& shapes, const GEMMSearchMode& mode,
                  int threads) {
  const std::vector<GEMMResult> results =
      Interruptibly([&](const CancellationToken&) { return evaluator.evaluate_all(shapes, mode, threads); });
  nb::list rows;
  for (std::size_t i = 0; i < shapes.size(); ++i) rows.append(RowOf(shapes[i], results[i]));
  return rows;
}

}  // namespace

void BindEvaluate(nb::module_& m) {
  nb::class_<GEMMEvaluator>(m, "Evaluator", "Predicts products on a described chip, and remembers its results.")
      .def(
          "__init__",
          [](GEMMEvaluator* self, const std::string& chip, bool is_text) {
            new (self) GEMMEvaluator(is_text ? ParseMicroArch(chip, "chip") : ReadMicroArch(chip));
          },
          nb::arg("chip"), nb::arg("is_text") = false)
      .def(
          "evaluate",
          [](GEMMEvaluator& self, nb::handle problems, bool tile_search, bool partition_search,
             const std::string& effort, bool precise, int threads) {
            std::vector<GEMMShape> shapes;
            for (const nb::handle one : nb::iter(problems))
              shapes.push_back(ShapeOf(nb::cast<const GemmProblem&>(one)));
            return Evaluate(self, shapes, ModeOf(tile_search, partition_search, effort, precise), threads);
          },
          nb::sig("def evaluate(self, problems: list[Problem], tile_search: bool, partition_search: bool, effort: str, "
                  "precise: bool, threads: int) -> list[dict[str, typing.Any]]"))
      .def_prop_ro("fingerprint", [](const GEMMEvaluator& self) { return Fingerprint(self.arch()); });
}

}  // namespace gemmsmith::python
