// What it costs to evaluate the GEMMs of a model on a described chip.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <tuple>

#include "gemmsmith/evaluate.h"

namespace gemmsmith {
namespace {

/// The first 1,200 distinct GEMMs of DeepSeek-V3 over passes of more and more tokens.
std::vector<GEMMShape> DeepSeekShapes() {
  const ModelConfig model = ReadModelConfig(GEMMSMITH_SOURCE_DIR "/examples/models/deepseek-v3.json");
  const auto key = [](const GEMMShape& s) { return std::tuple(s.G, s.M, s.K, s.N); };
  std::vector<GEMMShape> shapes;
  for (ModelPass pass; shapes.size() < 1200; pass.seq += 1 + pass.seq / 12) {
    for (const ModelGemm& gemm : ModelGemms(model, pass)) shapes.push_back(gemm.shape);
    std::sort(shapes.begin(), shapes.end(), [&](const GEMMShape& x, const GEMMShape& y) { return key(x) < key(y); });
    shapes.erase(std::unique(shapes.begin(), shapes.end()), shapes.end());
  }
  shapes.resize(1200);
  return shapes;
}

/// Each time by an evaluator that knows nothing yet.
void EvaluateModel(benchmark::State& state) {
  AcceleratorMicroArch arch = ReadMicroArch(GEMMSMITH_SOURCE_DIR "/examples/chips/sg2262.json");
  arch.sram_kb = state.range(1);
  const std::vector<GEMMShape> shapes = DeepSeekShapes();
  for (auto _ : state) {
    GEMMEvaluator evaluator(arch);
    benchmark::DoNotOptimize(evaluator.evaluate_all(shapes, {}, static_cast<int>(state.range(0))));
  }
  state.counters["shapes"] = static_cast<double>(shapes.size());
}
BENCHMARK(EvaluateModel)
    ->Name("evaluate/deepseek_v3")
    ->ArgNames({"threads", "sram_kb"})
    ->ArgsProduct({{1, 2}, {8192, 1024}})
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();

/// A result that the evaluator remembers.
void EvaluateAgain(benchmark::State& state) {
  GEMMEvaluator evaluator(ReadMicroArch(GEMMSMITH_SOURCE_DIR "/examples/chips/sg2262.json"));
  const std::vector<GEMMShape> shapes = DeepSeekShapes();
  evaluator.evaluate_all(shapes);
  for (std::size_t i = 0; auto _ : state) benchmark::DoNotOptimize(evaluator.evaluate(shapes[i++ % shapes.size()]));
}
BENCHMARK(EvaluateAgain)->Name("evaluate/again");

}  // namespace
}  // namespace gemmsmith
