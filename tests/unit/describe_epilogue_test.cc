#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <vector>

#include "gemmsmith/args.h"
#include "gemmsmith/error.h"

namespace gemmsmith {
namespace {

using ::testing::HasSubstr;

constexpr std::int64_t kM = 4, kN = 6, kK = 5;

struct Call {
  explicit Call(const Epilogue& epilogue) {
    args.a = Tensor(memory.data(), {kM, kK});
    args.b = Tensor(memory.data() + 100, {kK, kN});
    args.d = Tensor(memory.data() + 200, {kM, kN});
    args.epilogue = &inputs;
    inputs.epilogue = epilogue;
    inputs.bias = Tensor(memory.data() + 300, {kN});
    inputs.bias_m = Tensor(memory.data() + 310, {kM});
    inputs.residual = Tensor(memory.data() + 400, {kM, kN});
    inputs.scale_row = Tensor(memory.data() + 500, {kM});
    inputs.d_scale_block = Tensor(memory.data() + 510, {kM, 1});
  }
  Call(const Call&) = delete;
  GemmProblem Problem() const { return Describe(args, DType::kF32); }

  std::vector<float> memory = std::vector<float>(600);
  GemmArgs args;
  EpilogueArgs inputs;
};

TEST(DescribeEpilogue, NamesTheEpilogueAndHowItsInputsLie) {
  Call call{Epilogue::Parse("bias+gelu+residual")};
  call.inputs.residual.strides[0] = 8;
  call.inputs.bias.dtype = DType::kBf16;
  const GemmProblem p = call.Problem();
  EXPECT_EQ(p.epilogue_id, call.inputs.epilogue.id());
  EXPECT_EQ(p.bias_type, DType::kBf16);
  EXPECT_EQ(p.residual_type, DType::kF32);
  EXPECT_EQ(p.ld_residual, 8);
  EXPECT_THAT(ToString(p), HasSubstr("epilogue="));
  EXPECT_NO_THROW(Validate(p));
}

TEST(DescribeEpilogue, IgnoresWhatTheEpilogueDoesNotRead) {
  Call call{Epilogue::Parse("gelu")};
  call.inputs.bias = call.inputs.bias_m = call.inputs.residual = Tensor();
  const GemmProblem p = call.Problem();
  EXPECT_EQ(p.ld_residual, 0);
  GemmProblem made = MakeProblem(kM, kN, kK);
  SetEpilogue(made, call.inputs.epilogue);
  made.alignment = p.alignment;
  EXPECT_EQ(p, made);
}

TEST(DescribeEpilogue, IsWhatSetEpilogueMakes) {
  Call call{Epilogue::Parse("bias+residual")};
  GemmProblem made = MakeProblem(kM, kN, kK);
  SetEpilogue(made, call.inputs.epilogue);
  const GemmProblem p = call.Problem();
  made.alignment = p.alignment;
  EXPECT_EQ(p, made);
}

TEST(DescribeEpilogue, TheResidualMayBeDItself) {
  Call call{Epilogue::Parse("residual")};
  call.inputs.residual = call.args.d;
  EXPECT_EQ(call.Problem().ld_residual, kN);
}

TEST(DescribeEpilogue, RefusesInputsThatDoNotFitAndNamesThem) {
  struct Row {
    const char* chain;
    std::function<void(Call&)> spoil;
    Code code;
    const char* message;
  };
  const Row rows[] = {
      {"bias", [](Call& c) { c.inputs.bias = {}; }, Code::kInvalidArgument, "bias has rank 0"},
      {"bias", [](Call& c) { c.inputs.bias.shape[0] = kM; }, Code::kInvalidArgument,
       "4 elements; the epilogue wants 6"},
      {"bias", [](Call& c) { c.inputs.bias.strides[0] = 2; }, Code::kInvalidArgument, "bias"},
      {"bias", [](Call& c) { c.inputs.bias.data = nullptr; }, Code::kInvalidArgument, "bias is a null pointer"},
      {"bias", [](Call& c) { c.inputs.bias.dtype = DType::kS8; }, Code::kUnsupported, "bias is s8"},
      {"bias",
       [](Call& c) {
         c.inputs.bias.device = {DeviceKind::kCuda, 0};
       },
       Code::kInvalidArgument, "cuda:0"},
      {"bias", [](Call& c) { c.inputs.bias.data = c.args.d.data; }, Code::kInvalidArgument, "d overlaps bias"},
      {"bias+bias_m", [](Call& c) { c.inputs.bias_m.dtype = DType::kF16; }, Code::kInvalidArgument, "bias_m f16"},
      {"scale_row", [](Call& c) { c.inputs.scale_row.dtype = DType::kF16; }, Code::kUnsupported, "scales are f32"},
      {"residual", [](Call& c) { c.inputs.residual.shape[0] = 3; }, Code::kInvalidArgument, "residual is (1, 3, 6)"},
      {"residual", [](Call& c) { c.inputs.residual.data = &c.memory[201]; }, Code::kInvalidArgument,
       "overlaps residual"},
      {"residual",
       [](Call& c) {
         c.inputs.residual.strides = {1, kM};
       },
       Code::kUnsupported, "row-major"},
      {"d_scale_block", [](Call& c) { c.inputs.d_scale_block.shape[1] = 2; }, Code::kInvalidArgument, "(4, 1)"},
      {"swiglu", [](Call&) {}, Code::kUnsupported, "two of the product"},
  };
  for (const Row& row : rows) {
    Call call{Epilogue::Parse(row.chain)};
    row.spoil(call);
    try {
      call.Problem();
      ADD_FAILURE() << row.chain << ": " << row.message;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), row.code) << error.what();
      EXPECT_THAT(error.what(), HasSubstr(row.message));
    }
  }
}

TEST(DescribeEpilogue, ValidateRefusesWhatNoEpilogueCanDo) {
  GemmProblem p = MakeProblem(kM, kN, kK, DType::kF64);
  EXPECT_THROW(SetEpilogue(p, Epilogue::Parse("gelu")), Error);
  p = MakeProblem(kM, kN, kK);
  p.epilogue_id = 1;
  p.d_layout = Layout::kColMajor;
  EXPECT_THROW(Validate(p), Error);
  p = MakeProblem(kM, kN, kK);
  SetEpilogue(p, Epilogue::Parse("residual"));
  EXPECT_NO_THROW(Validate(p));
  p.ld_residual = kN - 1;
  EXPECT_THROW(Validate(p), Error);
}

}  // namespace
}  // namespace gemmsmith
