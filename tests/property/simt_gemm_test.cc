// The SIMT template against float64 references, on the emulated devices: shapes, types, layouts, configurations.
#include <gtest/gtest.h>

#include "../support/emulated_family.h"

namespace gemmsmith {

const KernelFamily& SimtFamily();

namespace {

constexpr Types kTypes[] = {
    {DType::kF32, DType::kF32, DType::kF32},   {DType::kF64, DType::kF64, DType::kF64},
    {DType::kF16, DType::kF16, DType::kF16},   {DType::kBf16, DType::kBf16, DType::kBf16},
    {DType::kBf16, DType::kBf16, DType::kF32},
};

class SimtGemm : public EmulatedFamily {
 protected:
  SimtGemm() : EmulatedFamily(SimtFamily()) {}
};

class SimtGemmShapes : public SimtGemm, public testing::WithParamInterface<std::tuple<Types, const char*>> {};

TEST_P(SimtGemmShapes, AreAllRight) {
  for (const auto& [m, n, k] : kShapes)
    ExpectConfigsRight({m, n, k, std::get<0>(GetParam()), std::get<1>(GetParam())}, FirstAndLast);
}

INSTANTIATE_TEST_SUITE_P(All, SimtGemmShapes,
                         testing::Combine(testing::ValuesIn(kTypes), testing::Values("nn", "nt", "tn", "tt")),
                         TypesAndLayout);

TEST_F(SimtGemm, IsRightInEveryConfiguration) {
  for (const Types& types : {kTypes[0], kTypes[1], kTypes[3]})
    ExpectConfigsRight({136, 152, 40, types, "tn", 0.5, -3.0}, All);
}

TEST_F(SimtGemm, HonoursBatchesPaddedLinesColumnMajorResultsAlphaAndBeta) {
  for (const Types& types : {kTypes[0], kTypes[2]})
    for (const std::int64_t padding : {1, 2, 8})
      for (const bool column_major_d : {false, true}) {
        Case c{65, 48, 96, types, "nt", -0.5, 0.25};
        c.batch = 3, c.padding = padding, c.column_major_d = column_major_d;
        ExpectConfigsRight(c, FirstAndLast);
      }
}

TEST_F(SimtGemm, FusesEpilogues) {
  for (const char* epilogue : {"bias+relu", "scale_row+scale_column+residual", "bias+gelu+amax_row+amax_column",
                               "bias+swiglu", "scale_column+bias+silu+residual"})
    for (const Types& types : {kTypes[0], kTypes[4]}) {
      Case c{72, 104, 50, types};
      c.epilogue = epilogue;
      ExpectConfigsRight(c, FirstAndLast);
    }
}

TEST_F(SimtGemm, RunsOnEveryArchitecture) {
  for (const char* device :
       {"emulator:sm_75", "emulator:sm_86", "emulator:sm_90a", "emulator:sm_100a", "emulator:sm_120a"}) {
    SCOPED_TRACE(device);
    UseDevice(device);
    for (const Types& types : kTypes) ExpectConfigsRight({97, 72, 36, types, "nt", 2, 1}, FirstAndLast);
  }
}

TEST_F(SimtGemm, IsWhatAnEngineChoosesWhereTensorCoresDoNotServe) {
  for (const Types& types : {kTypes[0], kTypes[1]}) ExpectEngineRight({100, 128, 33, types}, "simt");
  UseDevice("emulator:sm_75");
  for (const Types& types : kTypes) ExpectEngineRight({65, 64, 100, types}, "simt");
}

}  // namespace
}  // namespace gemmsmith
