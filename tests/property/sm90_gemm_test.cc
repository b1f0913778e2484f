// The sm_90a template against float64 references, on the emulated device: shapes, types, layouts, configurations.
#include <gtest/gtest.h>

#include "../support/emulated_family.h"

namespace gemmsmith {

const KernelFamily& Sm90Family();

namespace {

/// All three leave the same rest when divided by 16, so that one padding aligns all lines; of a vector, which has no
/// lines to be padded, the others leave none.
constexpr std::int64_t kHopperShapes[][3] = {
    {16, 16, 16},   {32, 48, 64},    {64, 64, 64},   {128, 128, 128}, {128, 256, 64}, {256, 128, 192}, {64, 32, 256},
    {16, 512, 128}, {512, 16, 128},  {192, 96, 320}, {80, 112, 48},   {48, 272, 80},  {144, 160, 96},  {272, 48, 208},
    {64, 128, 512}, {128, 64, 1024}, {1, 256, 512},  {113, 129, 65},  {17, 33, 49},   {65, 17, 129},   {129, 257, 33},
    {257, 17, 81},  {33, 65, 193},   {17, 513, 129}, {113, 97, 17},   {1, 48, 656},   {3, 3, 3},       {19, 35, 51},
    {67, 131, 83},  {3, 259, 99},    {131, 19, 163}, {195, 67, 35},   {4, 4, 4},      {20, 36, 100},   {100, 68, 132},
    {132, 196, 68}, {68, 20, 260},   {4, 532, 20},   {7, 7, 7},       {23, 71, 39},   {103, 55, 151},  {135, 263, 71},
    {71, 151, 23},  {7, 39, 391},    {8, 8, 8},      {24, 40, 56},    {72, 136, 200}, {8, 264, 72},    {264, 8, 136},
    {120, 88, 248}, {136, 56, 328},  {56, 152, 24},  {200, 200, 40},  {40, 24, 520},  {11, 11, 11},    {27, 59, 123},
    {139, 75, 43},  {59, 203, 91},   {11, 139, 171}, {15, 15, 15},    {31, 63, 127},  {127, 255, 63},  {255, 31, 47},
    {63, 127, 191}, {79, 143, 95},
};
static_assert(std::size(kHopperShapes) >= 60);

constexpr Types k16BitTypes[] = {
    {DType::kF16, DType::kF16, DType::kF16},
    {DType::kBf16, DType::kBf16, DType::kBf16},
    {DType::kBf16, DType::kBf16, DType::kF32},
};
constexpr Types kOtherTypes[] = {
    {DType::kF32, DType::kF32, DType::kF32, ComputeMode::kTf32},
    {DType::kE4m3, DType::kE4m3, DType::kBf16},
    {DType::kE4m3, DType::kE5m2, DType::kF32},
    {DType::kE5m2, DType::kE4m3, DType::kF16},
    {DType::kE5m2, DType::kE5m2, DType::kF32},
    {DType::kS8, DType::kS8, DType::kS32},
    {DType::kU8, DType::kS8, DType::kF32},
    {DType::kS8, DType::kU8, DType::kBf16},
    {DType::kU8, DType::kU8, DType::kS32},
};

constexpr Types kTo8Bits[] = {
    {DType::kBf16, DType::kBf16, DType::kE4m3}, {DType::kE4m3, DType::kE4m3, DType::kE5m2},
    {DType::kS8, DType::kS8, DType::kS8},       {DType::kF16, DType::kF16, DType::kU8},
    {DType::kE5m2, DType::kE4m3, DType::kE4m3},
};

Case Aligned(std::int64_t m, std::int64_t n, std::int64_t k, const Types& types, const char* layout = "nt") {
  Case c{m, n, k, types, layout};
  c.padding = (16 - k % 16) % 16;
  return c;
}

class Sm90Gemm : public EmulatedFamily {
 protected:
  Sm90Gemm() : EmulatedFamily(Sm90Family()) {}
  void SetUp() override { UseDevice("emulator:sm_90a"); }

  /// Every shape by a few configurations of all that there are, each time others.
  void ExpectShapesRight(const Types& types, const char* layout) {
    std::size_t turn = seed_;
    for (const auto& [m, n, k] : kHopperShapes) {
      ++turn;
      ExpectConfigsRight(Aligned(m, n, k, types, layout),
                         [&](const TileConfig& config, const std::vector<TileConfig>& all) {
                           if (std::getenv("GEMMSMITH_FULL_MATRIX") != nullptr) return true;
                           constexpr std::size_t kOfAll = 4;  // to compile them takes longer than to run them
                           return config == all[seed_ / 64 % 7 + turn % kOfAll * ((all.size() - 7) / (kOfAll - 1))];
                         });
    }
  }
};

class Sm90GemmShapes : public Sm90Gemm, public testing::WithParamInterface<std::tuple<Types, const char*>> {};

TEST_P(Sm90GemmShapes, AreAllRight) { ExpectShapesRight(std::get<0>(GetParam()), std::get<1>(GetParam())); }

INSTANTIATE_TEST_SUITE_P(Of16Bits, Sm90GemmShapes,
                         testing::Combine(testing::ValuesIn(k16BitTypes), testing::Values("nn", "nt", "tn", "tt")),
                         TypesAndLayout);
INSTANTIATE_TEST_SUITE_P(Others, Sm90GemmShapes,
                         testing::Combine(testing::ValuesIn(kOtherTypes), testing::Values("nt")), TypesAndLayout);

TEST_F(Sm90Gemm, IsRightInEveryConfiguration) {
  ExpectConfigsRight(Aligned(264, 280, 264, k16BitTypes[1], "nt"), All);
  ExpectConfigsRight(Aligned(264, 280, 264, k16BitTypes[2], "tn"), All);
  ExpectConfigsRight(Aligned(272, 288, 272, kOtherTypes[1]), All);
}

/// The tensor cores' own sums of ones would end at 16384.
TEST_F(Sm90Gemm, AddsSumsOf8BitFloatsInF32) {
  constexpr std::int64_t kK = 20000;
  Matrix a(*device_, DType::kE4m3, {1, 16, kK}), b(*device_, DType::kE4m3, {1, kK, 16, true}),
      d(*device_, DType::kF32, {1, 16, 16});
  for (Matrix* ones : {&a, &b}) ones->FillWith(1);
  GemmArgs args;
  args.a = a.there, args.b = b.there, args.d = d.there;
  const GemmProblem problem = Describe(args, DType::kF32);
  engine().Gemm(problem, args);
  EXPECT_EQ(engine().Prepare(problem, device_->id()).config.family, "sm90");
  d.Download();
  for (std::int64_t i = 0; i < 16 * 16; ++i) EXPECT_EQ(Decode(DType::kF32, d.bytes().data(), i), kK);
}

TEST_F(Sm90Gemm, AddsThePartsOfKInOrder) {
  for (const Types& types : {k16BitTypes[0], k16BitTypes[2], kOtherTypes[0], kOtherTypes[5]}) {
    Case c = Aligned(40, 72, 4096, types);
    c.alpha = 2, c.beta = types.integer() ? -1.0 : 0.5;
    ExpectConfigsRight(c, Splitting);
    c = Aligned(35, 51, 3075, types);
    c.batch = 2;
    ExpectConfigsRight(c, FirstSplitting);
  }
}

TEST_F(Sm90Gemm, HonoursBatchesPaddedLinesColumnMajorResultsAlphaAndBeta) {
  for (const Types& types : {k16BitTypes[1], kOtherTypes[0], kOtherTypes[6]})
    for (const double beta : {0.0, 2.0})
      for (const bool column_major_d : {false, true}) {
        // A column-major D exchanges A and B; along k they lie still.
        Case c = Aligned(72, 56, 88, types, "nt");
        c.alpha = types.integer() ? 3 : -0.5, c.beta = beta;
        c.batch = 3, c.column_major_d = column_major_d;
        ExpectConfigsRight(c, FirstAndLast);
        c.padding = 24;
        ExpectConfigsRight(c, FirstAndLast);
      }
}

TEST_F(Sm90Gemm, FusesEpilogues) {
  for (const char* epilogue : {"bias+relu", "scale_row+scale_column+residual", "bias+gelu+amax_row+amax_column",
                               "bias+swiglu", "scale_column+bias+silu+residual"})
    for (const Types& types : {k16BitTypes[1], kOtherTypes[0], kOtherTypes[6]}) {
      Case c = Aligned(80, 272, 208, types);
      c.epilogue = epilogue;
      ExpectConfigsRight(c, FirstAndLast);
      c.m = 21, c.n = 32, c.k = 4096, c.batch = 2;
      ExpectConfigsRight(c, FirstSplitting);
    }
}

TEST_F(Sm90Gemm, StoresResultsOf8Bits) {
  for (const Types& types : kTo8Bits) {
    Case c = Aligned(208, 272, 144, types);
    ExpectConfigsRight(c, FirstAndLast);
    c.m = 67, c.n = 83, c.k = 51, c.padding = 13;
    c.alpha = types.integer() ? 2 : 0.5, c.beta = 1;
    ExpectConfigsRight(c, FirstAndLast);
    c.beta = 0;
    const char* const last = Info(types.d).is_integer() ? "s8" : types.d == DType::kE4m3 ? "e4m3" : "e5m2";
    const std::string epilogue = fmt::format("scale_row+amax_row+amax_column+quantise_{}", last);
    c.epilogue = epilogue.c_str();
    ExpectConfigsRight(c, FirstAndLast);
    c.m = 16, c.n = 32, c.k = 4096, c.padding = 0;
    ExpectConfigsRight(c, FirstSplitting);
  }
}

/// Factors lie by rows or by columns, as m and n are odd or even.
TEST_F(Sm90Gemm, ScalesBlocksOfOperands) {
  for (const Scaling scaling : {Scaling::kBlock1x128, Scaling::kBlock128x128})
    for (const auto& [m, n, k] :
         {std::array<std::int64_t, 3>{200, 264, 392}, {31, 63, 127}, {1, 256, 512}, {139, 75, 555}})
      for (const Types& types : {kOtherTypes[1], kOtherTypes[2]}) {
        Case c = Aligned(m, n, k, types);
        c.scaling = scaling;
        c.alpha = 0.5, c.beta = m == 31 ? 1.5 : 0;
        ExpectConfigsRight(c, FirstAndLast);
      }
}
TEST_F(Sm90Gemm, ScalesBlocksInEveryConfiguration) {
  for (const Scaling scaling : {Scaling::kBlock1x128, Scaling::kBlock128x128}) {
    Case c = Aligned(264, 280, 392, kOtherTypes[1]);
    c.scaling = scaling;
    ExpectConfigsRight(c, All);
    c = Aligned(40, 72, 4096, kOtherTypes[2]);
    c.scaling = scaling, c.epilogue = "bias+gelu";
    ExpectConfigsRight(c, FirstSplitting);
  }
}

TEST_F(Sm90Gemm, LetsColumnsTakeThePlaceOfFewRows) {
  std::size_t turn = seed_;
  // A third of those configurations, each time others.
  const auto expect_right = [&](const Case& c) {
    ++turn;
    ExpectConfigsRight(c, [&](const TileConfig& config, const std::vector<TileConfig>& all) {
      const auto at = std::find(all.begin(), all.end(), config) - all.begin();
      return config.Get("swap") != 0 && static_cast<std::size_t>(at) % 3 == turn % 3;
    });
  };
  for (const Types& types : {k16BitTypes[1], kOtherTypes[0], kOtherTypes[6]}) {
    Case c = Aligned(27, 203, 139, types);
    expect_right(c);
    c.m = 16, c.n = 144, c.k = 2080, c.padding = 0, c.batch = 2;
    c.alpha = 2, c.beta = 1;
    expect_right(c);
    c.beta = 0, c.epilogue = "bias+swiglu+amax_row+amax_column";
    expect_right(c);
  }
  expect_right(Aligned(24, 72, 200, k16BitTypes[0], "nn"));
  for (const Scaling scaling : {Scaling::kBlock1x128, Scaling::kBlock128x128}) {
    Case c = Aligned(9, 281, 1097, kOtherTypes[1]);
    c.scaling = scaling;
    expect_right(c);
  }
}

TEST_F(Sm90Gemm, IsWhatAnEngineChooses) {
  for (const Types& types : k16BitTypes) ExpectEngineRight({256, 192, 128, types, "nn"}, "sm90");
  for (const Types& types : kOtherTypes) ExpectEngineRight({256, 192, 128, types}, "sm90");
  ExpectEngineRight({16, 256, 2048, k16BitTypes[1]}, "sm90");
}

TEST_F(Sm90Gemm, LeavesWhatBulkCopiesCannotReadToOthers) {
  ExpectEngineRight({100, 36, 33, k16BitTypes[1]}, "sm80");
  ExpectEngineRight({64, 64, 64, kOtherTypes[1], "nn"}, "sm80");
}

}  // namespace
}  // namespace gemmsmith
