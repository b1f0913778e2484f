// The sm_80 template against float64 references, on the emulated devices: shapes, types, layouts, configurations.
#include <gtest/gtest.h>

#include "../support/emulated_family.h"

namespace gemmsmith {

const KernelFamily& Sm80Family();

namespace {

constexpr Types kTypes[] = {
    {DType::kF16, DType::kF16, DType::kF16},
    {DType::kBf16, DType::kBf16, DType::kBf16},
    {DType::kBf16, DType::kBf16, DType::kF32},
    {DType::kF16, DType::kF16, DType::kF32},
    {DType::kF32, DType::kF32, DType::kF32, ComputeMode::kTf32},
    {DType::kS8, DType::kS8, DType::kS32},
    {DType::kU8, DType::kS8, DType::kF32},
    {DType::kS8, DType::kU8, DType::kBf16},
};

constexpr Types kFloat8Types[] = {
    {DType::kE4m3, DType::kE4m3, DType::kBf16},
    {DType::kE5m2, DType::kE4m3, DType::kF32},
    {DType::kE4m3, DType::kE5m2, DType::kF16},
};

class Sm80Gemm : public EmulatedFamily {
 protected:
  Sm80Gemm() : EmulatedFamily(Sm80Family()) {}
};

class Sm80GemmShapes : public Sm80Gemm, public testing::WithParamInterface<std::tuple<Types, const char*>> {};

TEST_P(Sm80GemmShapes, AreAllRight) {
  for (const auto& [m, n, k] : kShapes)
    ExpectConfigsRight({m, n, k, std::get<0>(GetParam()), std::get<1>(GetParam())}, FirstAndLast);
}

INSTANTIATE_TEST_SUITE_P(All, Sm80GemmShapes,
                         testing::Combine(testing::ValuesIn(kTypes), testing::Values("nn", "nt", "tn", "tt")),
                         TypesAndLayout);

/// 8-bit floats are multiplied from sm_89 on; Hopper converts them to f16 first.
class Sm80GemmFloat8Shapes : public Sm80GemmShapes {
  void SetUp() override { UseDevice("emulator:sm_89"); }
};

TEST_P(Sm80GemmFloat8Shapes, AreAllRight) {
  for (const auto& [m, n, k] : kShapes)
    ExpectConfigsRight({m, n, k, std::get<0>(GetParam()), std::get<1>(GetParam())}, FirstAndLast);
}

/// The tensor cores' own sums of ones would end at 16384.
TEST_F(Sm80Gemm, AddsSumsOf8BitFloatsInF32) {
  UseDevice("emulator:sm_89");
  constexpr std::int64_t kK = 20000;
  Matrix a(*device_, DType::kE4m3, {1, 16, kK}), b(*device_, DType::kE4m3, {1, kK, 8, true}),
      d(*device_, DType::kF32, {1, 16, 8});
  for (Matrix* ones : {&a, &b}) ones->FillWith(1);
  GemmArgs args;
  args.a = a.there, args.b = b.there, args.d = d.there;
  engine().Gemm(Describe(args, DType::kF32), args);
  d.Download();
  for (std::int64_t i = 0; i < 16 * 8; ++i) EXPECT_EQ(Decode(DType::kF32, d.bytes().data(), i), kK);
}

INSTANTIATE_TEST_SUITE_P(All, Sm80GemmFloat8Shapes,
                         testing::Combine(testing::ValuesIn(kFloat8Types), testing::Values("nn", "nt", "tn", "tt")),
                         TypesAndLayout);

TEST_F(Sm80Gemm, IsRightInEveryConfiguration) {
  for (const Types& types : {kTypes[0], kTypes[4], kTypes[5]})
    for (const char* layout : {"nt", "tn"})
      ExpectConfigsRight({136, 152, 176, types, layout, types.integer() ? 2.0 : 0.5, -3.0}, All);
}

TEST_F(Sm80Gemm, AddsThePartsOfKInOrder) {
  for (const Types& types : {kTypes[0], kTypes[2], kTypes[4], kTypes[5]}) {
    Case c{40, 72, 2048, types, "nt", 2, types.integer() ? -1.0 : 0.5};
    ExpectConfigsRight(c, Splitting);
    c.m = 33, c.n = 31, c.k = 2051, c.batch = 2, c.layout = "tn";
    ExpectConfigsRight(c, FirstSplitting);
  }
}

TEST_F(Sm80Gemm, MakesTheSameBitsEachTimeHoweverKIsSplit) {
  const Case c{40, 72, 4096, kTypes[2]};
  Operands first(*device_, c, ++seed_), second(*device_, c, seed_);
  const GemmProblem problem = Problem(c, first);
  for (Operands* operands : {&first, &second}) {
    engine().Gemm(problem, operands->Args(&Matrix::there));
    ExpectRight(c, problem, *operands, ToString(engine().Prepare(problem, device_->id()).config));
  }
  EXPECT_EQ(first.result(), second.result());
}

TEST_F(Sm80Gemm, HonoursBatchesPaddedLinesColumnMajorResultsAlphaAndBeta) {
  for (const Types& types : {kTypes[1], kTypes[4], kTypes[7]})
    for (const std::int64_t padding : {1, 2, 8})
      for (const bool column_major_d : {false, true}) {
        Case c{65, 48, 96, types, "nt", types.integer() ? 3 : -0.5, types.integer() ? 2 : 0.25};
        c.batch = 3, c.padding = padding, c.column_major_d = column_major_d;
        ExpectConfigsRight(c, FirstAndLast);
      }
}

TEST_F(Sm80Gemm, TakesNoAccountOfAlphaWhereThereIsNoK) {
  ExpectConfigsRight({20, 24, 0, kTypes[0], "nn", 7, 0.5}, FirstAndLast);
  ExpectConfigsRight({20, 24, 0, kTypes[5], "nn", 7}, FirstAndLast);
}

TEST_F(Sm80Gemm, FusesEpilogues) {
  for (const char* epilogue : {"bias+relu", "scale_row+scale_column+residual", "bias+gelu+amax_row+amax_column",
                               "bias+swiglu", "scale_column+bias+silu+residual"})
    for (const Types& types : {kTypes[1], kTypes[4], kTypes[6]}) {
      Case c{72, 104, 200, types};
      c.epilogue = epilogue;
      ExpectConfigsRight(c, FirstAndLast);
      c.m = 21, c.n = 34, c.k = 2304, c.batch = 2;
      ExpectConfigsRight(c, FirstSplitting);
    }
}

TEST_F(Sm80Gemm, StoresResultsOf8Bits) {
  for (const char* device : {"emulator:sm_80", "emulator:sm_89"}) {
    UseDevice(device);
    const bool floats = std::string_view(device) == "emulator:sm_89";
    for (const DType type : floats ? std::array{DType::kE4m3, DType::kE5m2} : std::array{DType::kS8, DType::kU8}) {
      Case c{65, 47, 96, {DType::kBf16, DType::kBf16, type}, "nt"};
      c.alpha = 0.25, c.beta = 1;
      ExpectConfigsRight(c, FirstAndLast);
      c.beta = 0, c.epilogue = "scale_row+amax_row+quantise_s8";
      ExpectConfigsRight(c, FirstAndLast);
    }
  }
}

TEST_F(Sm80Gemm, IsWhatAnEngineChooses) {
  for (const Types& types : kTypes) ExpectEngineRight({256, 192, 128, types}, "sm80");
  ExpectEngineRight({16, 256, 1024, kTypes[1]}, "sm80");
}

TEST_F(Sm80Gemm, ServesWhatCameAfter) {
  for (const char* device :
       {"emulator:sm_86", "emulator:sm_89", "emulator:sm_90a", "emulator:sm_100a", "emulator:sm_120a"}) {
    SCOPED_TRACE(device);
    UseDevice(device);
    for (const Types& types : kTypes) ExpectConfigsRight({97, 72, 136, types, "nt", 2, 1}, FirstAndLast);
    if (std::string_view(device) == "emulator:sm_86") continue;
    for (const Types& types : kFloat8Types) ExpectConfigsRight({97, 72, 136, types, "tn"}, FirstAndLast);
  }
}

}  // namespace
}  // namespace gemmsmith
