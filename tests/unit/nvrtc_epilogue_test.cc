#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "../support/golden_epilogues.h"
#include "cubin.h"
#include "cuda_sources.h"
#include "epilogue/cuda_text.h"
#include "jit/toolchain.h"
#include "kernels/include_closure.h"

namespace gemmsmith {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

/// A kernel that applies the epilogues one after the other to elements that it reads from memory.
KernelSource Source(const std::vector<std::pair<std::string, OpTrace>>& epilogues, const CodeTarget& target) {
  std::string text = "#include \"epilogue.cuh\"\n\nstruct Element {\n  const float* from;\n";
#define GEMMSMITH_EPILOGUE_INPUT(name, spelling, type, member, method, ...)                                    \
  text += std::string("  __device__ ") + (std::is_same_v<type, float> ? "float" : "int") +                     \
          " " #method "(int = 0, int = 0) const { return from[" + std::to_string(static_cast<int>(Op::name)) + \
          "]; }\n";
#include "gemmsmith/epilogue.def"
#undef GEMMSMITH_EPILOGUE_INPUT
  text += "};\nstruct Results {\n  float* to;\n";
#define GEMMSMITH_EPILOGUE_OUTPUT(name, spelling, member, method, ...)           \
  text += "  __device__ void " #method "(float value, int = 0, int = 0) { to[" + \
          std::to_string(static_cast<int>(OutputKind::name)) + "] = value; }\n";
#include "gemmsmith/epilogue.def"
#undef GEMMSMITH_EPILOGUE_OUTPUT
  text += "};\n\n";
  std::string calls;
  for (const auto& [name, trace] : epilogues) {
    text += CudaText(trace, name);
    calls += "  out.to += 4;\n  " + name + "::Apply(in, out);\n";
  }
  text +=
      "\nextern \"C\" __global__ void Epilogues(const float* from, float* to) {\n"
      "  const Element in{from + 32 * threadIdx.x};\n  Results out{to + 1024 * threadIdx.x};\n" +
      calls + "}\n";
  KernelSource source = UserSource(text, "Epilogues", target);
  source.headers = IncludeClosure(source.text);
  return source;
}

class NvrtcEpilogue : public testing::Test {
 protected:
  void SetUp() override {
    std::string why;
    nvrtc_ = OpenOrNull(OpenNvrtc, why);
    if (nvrtc_ == nullptr) GTEST_SKIP() << why;
  }
  std::shared_ptr<const Compiler> nvrtc_;
};

TEST_F(NvrtcEpilogue, CompilesForEveryArchitecture) {
  for (const CodeTarget& target : {CodeTarget{Isa::kCuda, 75, 0},
                                   {Isa::kCuda, 80, 0},
                                   {Isa::kCuda, 90, 'a'},
                                   {Isa::kCuda, 100, 'a'},
                                   {Isa::kCuda, 120, 'a'}}) {
    if (!nvrtc_->Supports(target)) continue;
    const Artifact artifact = nvrtc_->Compile(Source(GoldenEpilogues(), target), {});
    const std::vector<CubinKernel> kernels = ReadCubin(artifact.parts.at("cubin"));
    ASSERT_EQ(kernels.size(), 1u);
    EXPECT_EQ(kernels[0].resources.spill_bytes, 0) << ToString(target);
  }
}

TEST_F(NvrtcEpilogue, RoundsOnceForEachOperation) {
  const auto ptx = [&](const Value& d) {
    const KernelSource source = Source({{"chain", Epilogue(Outputs(d)).trace()}}, {Isa::kCuda, 80, 0});
    return nvrtc_->Compile(source, {}).parts.at("ptx");
  };
  const Value acc = TracedAccumulator(), bias = Inputs().Bias(), scale = Inputs().Scalar();
  const std::string apart = ptx(acc * scale + bias);
  EXPECT_THAT(apart, HasSubstr("mul.rn.f32"));
  EXPECT_THAT(apart, HasSubstr("add.rn.f32"));
  EXPECT_THAT(apart, Not(HasSubstr("fma")));
  EXPECT_THAT(ptx(Fma(acc, scale, bias)), HasSubstr("fma.rn.f32"));
  EXPECT_THAT(ptx(acc / bias), HasSubstr("div.rn.f32"));
}

}  // namespace
}  // namespace gemmsmith
