#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <iterator>

#include "kernels/family.h"

namespace gemmsmith {

const KernelFamily& SimtFamily();

namespace {

struct Row {
  const char* name;
  DType a, b, d, accumulator;
  Layout a_layout, b_layout;
  BetaClass beta;
  const char* epilogue = nullptr;
};
constexpr Row kRows[] = {
    {"f32_nn", DType::kF32, DType::kF32, DType::kF32, DType::kF32, Layout::kRowMajor, Layout::kRowMajor,
     BetaClass::kZero},
    {"f64_tt_c", DType::kF64, DType::kF64, DType::kF64, DType::kF64, Layout::kColMajor, Layout::kColMajor,
     BetaClass::kGeneral},
    {"bf16_f32_nt", DType::kBf16, DType::kBf16, DType::kF32, DType::kF32, Layout::kRowMajor, Layout::kColMajor,
     BetaClass::kZero},
    {"bf16_nt_bias_gelu", DType::kBf16, DType::kBf16, DType::kBf16, DType::kF32, Layout::kRowMajor, Layout::kColMajor,
     BetaClass::kZero, "bias+gelu"},
};

KernelSource Rendered(const Row& row) {
  const CodeTarget target{Isa::kCuda, 80, 0};
  GemmProblem p;
  p.m = p.n = p.k = 512;
  p.lda = p.ldb = p.ldc = p.ldd = 512;
  p.a_type = row.a, p.b_type = row.b, p.c_type = p.d_type = row.d, p.acc_type = row.accumulator;
  p.a_layout = row.a_layout, p.b_layout = row.b_layout, p.beta = row.beta;
  p.alignment = 4;
  if (row.epilogue != nullptr) SetEpilogue(p, Epilogue::Parse(row.epilogue), row.d);
  DeviceSpec spec;
  spec.target = target;
  spec.multiprocessors = 108;
  return SimtFamily().Render(p, SimtFamily().Candidates(p, target, spec).at(0), target, {});
}

/// GEMMSMITH_UPDATE_GOLDEN=1 writes the files anew; look at the difference before you commit it.
TEST(SimtSource, IsWhatTheGoldenFilesSay) {
  for (const Row& row : kRows) {
    const std::string path = std::string(GEMMSMITH_SOURCE_DIR "/tests/golden/simt_") + row.name + ".cu";
    const KernelSource source = Rendered(row);
    if (std::getenv("GEMMSMITH_UPDATE_GOLDEN") != nullptr) std::ofstream(path) << source.text;
    std::ifstream file(path);
    EXPECT_EQ(source.text, std::string(std::istreambuf_iterator<char>(file), {})) << path;
  }
}

}  // namespace
}  // namespace gemmsmith
