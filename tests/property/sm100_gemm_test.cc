// The sm_100a template against float64 references, on the emulated device: shapes, types, layouts, configurations.
#include <gtest/gtest.h>

#include "../support/emulated_family.h"

namespace gemmsmith {

const KernelFamily& Sm100Family();

namespace {

/// All three leave the same rest when divided by 16, so that one padding aligns all lines; of a vector, which has no
/// lines to be padded, the others leave none.
constexpr std::int64_t kBlackwellShapes[][3] = {
    {128, 256, 192}, {64, 32, 256},   {16, 512, 128}, {512, 16, 128}, {192, 96, 320}, {48, 272, 80},
    {272, 48, 208},  {128, 64, 1024}, {1, 256, 512},  {113, 129, 65}, {17, 33, 49},   {257, 17, 81},
    {33, 65, 193},   {3, 3, 3},       {195, 67, 35},  {4, 532, 20},   {135, 263, 71}, {7, 39, 391},
    {264, 8, 136},   {139, 75, 43},   {31, 63, 127},  {255, 31, 47},
};
static_assert(std::size(kBlackwellShapes) >= 20);

constexpr Types kTypes[] = {
    {DType::kBf16, DType::kBf16, DType::kBf16}, {DType::kF16, DType::kF16, DType::kF32},
    {DType::kF16, DType::kF16, DType::kF16},    {DType::kE4m3, DType::kE4m3, DType::kBf16},
    {DType::kE4m3, DType::kE5m2, DType::kF32},  {DType::kE5m2, DType::kE4m3, DType::kF16},
    {DType::kE5m2, DType::kE5m2, DType::kF32},  {DType::kF32, DType::kF32, DType::kF32, ComputeMode::kTf32},
    {DType::kS8, DType::kS8, DType::kS32},      {DType::kU8, DType::kS8, DType::kF32},
    {DType::kS8, DType::kU8, DType::kBf16},
};
constexpr const Types &kBf16 = kTypes[0], &kE4m3 = kTypes[3], &kTf32 = kTypes[7], &kIntegers = kTypes[9];

Case Aligned(std::int64_t m, std::int64_t n, std::int64_t k, const Types& types, const char* layout = "nt") {
  Case c{m, n, k, types, layout};
  c.padding = (16 - k % 16) % 16;
  return c;
}

class Sm100Gemm : public EmulatedFamily {
 protected:
  Sm100Gemm() : EmulatedFamily(Sm100Family()) {}
  void SetUp() override { UseDevice("emulator:sm_100a"); }
};

class Sm100GemmShapes : public Sm100Gemm, public testing::WithParamInterface<Types> {};

/// Every shape by one configuration, each time another; in another layout each run, where there is a choice.
TEST_P(Sm100GemmShapes, AreAllRight) {
  const Types& types = GetParam();
  const char* const wanted = std::array{"nt", "nn", "tn", "tt"}[seed_ % 4];
  std::size_t turn = seed_;
  for (const auto& [m, n, k] : kBlackwellShapes) {
    ++turn;
    const bool any = SizeOf(types.a) <= 2 && k % 16 == 0 && m > 1;
    const char* const layout = any ? wanted : "nt";
    ExpectConfigsRight(
        Aligned(m, n, k, types, layout),
        [&](const TileConfig& config, const std::vector<TileConfig>& all) { return config == all[turn % all.size()]; });
  }
}

INSTANTIATE_TEST_SUITE_P(Of, Sm100GemmShapes, testing::Values(kBf16, kTypes[1], kE4m3), [](const auto& row) {
  return fmt::format("{}_{}_{}", ToString(row.param.a), ToString(row.param.b), ToString(row.param.d));
});

TEST_F(Sm100Gemm, IsRightInEveryConfiguration) {
  ExpectConfigsRight(Aligned(264, 280, 264, kBf16), All);
  ExpectConfigsRight(Aligned(272, 288, 272, kE4m3, "tn"), All);
}

/// Blocks that make several tiles use the sums of two in turn.
TEST_F(Sm100Gemm, MakesManyTilesWithEachBlock) {
  for (const Types& types : {kBf16, kTypes[1]}) {
    const Case c = Aligned(776, 264, 72, types);
    Operands operands(*device_, c, ++seed_);
    const GemmProblem problem = Problem(c, operands);
    DeviceSpec small = device_->spec();
    small.multiprocessors = 2;
    for (const TileConfig& config : Sm100Family().Candidates(problem, device_->targets().front(), small)) {
      if (config.Get("splits") > 1 || config.Get("block_n") < 128) continue;
      RunConfig(problem, config, operands.Args(&Matrix::there));
      ExpectRight(c, problem, operands, ToString(config));
    }
  }
}

TEST_F(Sm100Gemm, AddsThePartsOfKInOrder) {
  Case c = Aligned(40, 72, 4096, kBf16);
  c.alpha = 2, c.beta = 0.5;
  ExpectConfigsRight(c, Splitting);
  c = Aligned(35, 51, 3075, kIntegers);
  c.batch = 2, c.beta = -1;
  ExpectConfigsRight(c, FirstSplitting);
}

TEST_F(Sm100Gemm, HonoursBatchesPaddedLinesColumnMajorResultsAlphaAndBeta) {
  for (const Types& types : {kBf16, kIntegers})
    for (const double beta : {0.0, 2.0}) {
      Case c = Aligned(72, 56, 88, types);
      c.alpha = types.integer() ? 3 : -0.5, c.beta = beta;
      c.batch = 3, c.column_major_d = types.integer() == (beta == 0);
      c.padding = beta == 0 ? 8 : 24;
      ExpectConfigsRight(c, FirstAndLast);
    }
}

TEST_F(Sm100Gemm, FusesEpilogues) {
  const struct {
    const char* epilogue;
    const Types& types;
  } kRows[] = {{"scale_row+scale_column+residual", kIntegers},
               {"bias+gelu+amax_row+amax_column", kBf16},
               {"bias+swiglu", kE4m3}};
  for (const auto& [epilogue, types] : kRows) {
    Case c = Aligned(80, 272, 208, types);
    c.epilogue = epilogue;
    ExpectConfigsRight(c, FirstAndLast);
    c.m = 21, c.n = 32, c.k = 4096, c.batch = 2;
    ExpectConfigsRight(c, FirstSplitting);
  }
}

/// Factors lie by rows or by columns, as m and n are odd or even.
TEST_F(Sm100Gemm, ScalesBlocksOfOperands) {
  for (const Scaling scaling : {Scaling::kBlock1x128, Scaling::kBlock128x128}) {
    Case c = Aligned(200, 264, 392, kE4m3);
    c.scaling = scaling;
    ExpectConfigsRight(c, FirstAndLast);
    c = Aligned(139, 75, 555, kTypes[4]);
    c.scaling = scaling, c.alpha = 0.5, c.beta = 1.5;
    ExpectConfigsRight(c, FirstAndLast);
    c = Aligned(40, 72, 4096, kE4m3);
    c.scaling = scaling, c.epilogue = "bias+gelu";
    ExpectConfigsRight(c, FirstSplitting);
  }
}

TEST_F(Sm100Gemm, IsWhatAnEngineChooses) {
  for (const Types& types : kTypes) ExpectEngineRight({128, 192, 128, types}, "sm100");
  ExpectEngineRight({16, 256, 2048, kBf16}, "sm100");
  UseDevice("emulator:sm_103a");
  ExpectEngineRight({256, 192, 128, kE4m3, "nn"}, "sm100");
  ExpectEngineRight({64, 64, 64, kIntegers}, "sm80");
}

TEST_F(Sm100Gemm, LeavesWhatBulkCopiesCannotReadToOthers) { ExpectEngineRight({100, 36, 33, kBf16}, "sm80"); }

}  // namespace
}  // namespace gemmsmith
