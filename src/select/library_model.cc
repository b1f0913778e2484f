#include "select/library_model.h"

#include <span>

#include "util/log.h"

namespace gemmsmith {
namespace {

struct Tile {
  int m, n;
};
/// Of kernels that copy asynchronously, and of those that copy in bulk, which come in finer steps.
constexpr Tile kAsyncTiles[] = {{64, 32},  {64, 64},  {64, 128},  {128, 64}, {128, 128},
                                {64, 256}, {256, 64}, {128, 256}, {256, 128}};
constexpr Tile kBulkTiles[] = {{64, 32},  {64, 64},   {64, 96},   {64, 128},  {128, 64},
                               {128, 96}, {128, 128}, {128, 160}, {128, 192}, {64, 256},
                               {256, 64}, {128, 256}, {256, 128}, {192, 128}, {256, 96}};
constexpr int kSplits[] = {1, 2, 3, 4, 5, 6, 8, 12, 16, 32};
constexpr std::int64_t kStepBytes = 128, kFewestSteps = 2;  // of k, of each part

}  // namespace

LibraryEstimate PredictLibrary(const GemmProblem& problem, const DeviceSpec& spec, double GpuTime::*without) {
  const std::size_t size = SizeOf(problem.a_type);
  if (spec.tensor_flops_per_clock <= 0 || size > 2)
    throw Fail(Code::kUnsupported, "name a GPU with tensor cores, and 8- or 16-bit operands",
               "predict: {} on {} is not a matter of tensor cores", ToString(problem.a_type), spec.name);
  TileShape shape;
  shape.threads = 256;
  shape.flops_per_clock = spec.tensor_flops_per_clock * 2 / static_cast<double>(size);
  shape.busy_warps = 4;
  shape.copies = spec.bulk_copies ? TileShape::Copies::kBulk : TileShape::Copies::kAsync;
  shape.step_k = kStepBytes / static_cast<std::int64_t>(size);
  LibraryEstimate best;
  const auto tiles = spec.bulk_copies ? std::span<const Tile>(kBulkTiles) : std::span<const Tile>(kAsyncTiles);
  for (const Tile& tile : tiles)
    for (const int splits : kSplits) {
      if (splits > 1 && problem.k < splits * shape.step_k * kFewestSteps) break;
      shape.block_m = tile.m, shape.block_n = tile.n, shape.splits = splits;
      shape.partial_bytes =
          4.0 * splits * static_cast<double>(problem.batch * problem.m) * static_cast<double>(problem.n);
      GpuTime time = PredictGpu(problem, shape, spec);
      if (without != nullptr) time.*without = 0;
      const double total = time.total();
      if (best.microseconds == 0 || total < best.microseconds) best = {total, time, shape};
    }
  return best;
}

}  // namespace gemmsmith
