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
    inputs.amax_row = Tensor(memory.data() + 520, {kM});
    inputs.amax_column = Tensor(memory.data() + 530, {kN});
    inputs.amax_block = Tensor(memory.data() + 540, {kM, 1});
  }
  /// D and what is of its columns, for an epilogue that pairs columns.
  void Pair() {
    args.d = Tensor(memory.data() + 200, {kM, kN / 2});
    inputs.residual = Tensor(memory.data() + 400, {kM, kN / 2});
    inputs.amax_column = Tensor(memory.data() + 530, {kN / 2});
    inputs.d_scale_column = Tensor(memory.data() + 560, {kN / 2});
    inputs.scale_column = Tensor(memory.data() + 550, {kN});
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

TEST(DescribeEpilogue, SetEpilogueMakesTheResidualOfATypeThatIsRead) {
  for (const auto& [d_type, residual_type] : {std::pair{"bf16", DType::kBf16}, {"e4m3", DType::kF32}}) {
    GemmProblem p = MakeProblem(kM, kN, kK);
    SetDTypes(p, std::string("f32,f32,") + d_type);
    SetEpilogue(p, Epilogue::Parse("residual"));
    EXPECT_EQ(p.residual_type, residual_type);
  }
}

TEST(DescribeEpilogue, TheResidualMayBeDItself) {
  Call call{Epilogue::Parse("residual")};
  call.inputs.residual = call.args.d;
  EXPECT_EQ(call.Problem().ld_residual, kN);
}

TEST(DescribeEpilogue, PairedColumnsHalveD) {
  Call call{Epilogue::Parse("bias+scale_column+swiglu+residual+amax_column+d_scale_column")};
  call.Pair();
  const GemmProblem p = call.Problem();
  EXPECT_EQ(p.n, kN);
  EXPECT_EQ(p.columns_per_d, 2);
  EXPECT_EQ(p.d_columns(), kN / 2);
  EXPECT_EQ(p.ldd, kN / 2);
  EXPECT_EQ(p.ld_residual, kN / 2);
  EXPECT_NO_THROW(Validate(p));
  EXPECT_THAT(ToString(p), HasSubstr("columns_per_d=2"));
}

TEST(DescribeEpilogue, MaximaAreOneSetForEachBatchEntry) {
  Call call{Epilogue::Parse("amax_row+amax_column+amax_block")};
  EXPECT_NO_THROW(call.Problem());
  call.inputs.amax_row = Tensor(&call.memory[520], {1, kM});
  EXPECT_NO_THROW(call.Problem());
  constexpr std::int64_t kBatch = 2;
  call.args.a = Tensor(&call.memory[0], {kBatch, kM, kK}), call.args.b = Tensor(&call.memory[100], {kBatch, kK, kN});
  call.args.d = Tensor(&call.memory[200], {kBatch, kM, kN});
  EXPECT_THROW(call.Problem(), Error);
  call.inputs.amax_row = Tensor(&call.memory[520], {kBatch, kM});
  call.inputs.amax_column = Tensor(&call.memory[530], {kBatch, kN});
  call.inputs.amax_block = Tensor(&call.memory[545], {kBatch, kM, 1});
  EXPECT_NO_THROW(call.Problem());
  call.inputs.amax_column = Tensor(&call.memory[530], {kBatch * kN});
  EXPECT_THROW(call.Problem(), Error);
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
      {"amax_row", [](Call& c) { c.inputs.amax_row = {}; }, Code::kInvalidArgument, "amax_row must be f32"},
      {"amax_row", [](Call& c) { c.inputs.amax_row.dtype = DType::kF16; }, Code::kInvalidArgument, "must be f32"},
      {"amax_row", [](Call& c) { c.inputs.amax_row.shape[0] = kN; }, Code::kInvalidArgument, "4 elements"},
      {"amax_column", [](Call& c) { c.inputs.amax_column.shape[0] = kM; }, Code::kInvalidArgument, "6 elements"},
      {"amax_column", [](Call& c) { c.inputs.amax_column.strides[0] = 2; }, Code::kInvalidArgument, "dense"},
      {"amax_column", [](Call& c) { c.inputs.amax_column.read_only = true; }, Code::kInvalidArgument, "read-only"},
      {"amax_block", [](Call& c) { c.inputs.amax_block.shape[1] = 2; }, Code::kInvalidArgument, "amax_block"},
      {"amax_block", [](Call& c) { c.inputs.amax_block.data = nullptr; }, Code::kInvalidArgument, "null pointer"},
      {"amax_row",
       [](Call& c) {
         c.inputs.amax_row.device = {DeviceKind::kCuda, 0};
       },
       Code::kInvalidArgument, "cuda:0"},
      {"amax_row", [](Call& c) { c.inputs.amax_row.data = &c.memory[201]; }, Code::kInvalidArgument,
       "d overlaps amax_row"},
      {"amax_row", [](Call& c) { c.inputs.amax_row.data = &c.memory[100]; }, Code::kInvalidArgument,
       "amax_row overlaps b"},
      {"amax_row+amax_column", [](Call& c) { c.inputs.amax_row.data = &c.memory[531]; }, Code::kInvalidArgument,
       "amax_row overlaps amax_column"},
      {"bias+amax_row", [](Call& c) { c.inputs.amax_row.data = &c.memory[301]; }, Code::kInvalidArgument,
       "amax_row overlaps bias"},
      {"amax_row",
       [](Call& c) {
         c.args.c = Tensor(&c.memory[520], {kM, kN}), c.args.beta = 1;
       },
       Code::kInvalidArgument, "amax_row overlaps c"},
      {"swiglu", [](Call&) {}, Code::kInvalidArgument, "pairs of columns of b differ: 6 and 3"},
      {"swiglu",
       [](Call& c) {
         c.Pair(), c.args.b = Tensor(&c.memory[100], {kK, kN - 1});
       },
       Code::kInvalidArgument, "b has 5 columns"},
      {"swiglu", [](Call& c) { c.Pair(), c.args.beta = 1; }, Code::kUnsupported, "takes no c"},
      {"swiglu+residual", [](Call& c) { c.Pair(), c.inputs.residual.shape[1] = kN; }, Code::kInvalidArgument,
       "residual is (1, 4, 6), d is (1, 4, 3)"},
      {"bias+swiglu", [](Call& c) { c.Pair(), c.inputs.bias.shape[0] = kN / 2; }, Code::kInvalidArgument, "bias"},
      {"swiglu+d_scale_column", [](Call& c) { c.Pair(), c.inputs.d_scale_column.shape[0] = kN; },
       Code::kInvalidArgument, "d_scale_column"},
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

TEST(DescribeEpilogue, ValidateRefusesColumnsThatCannotBePaired) {
  const Epilogue swiglu = Epilogue::Parse("swiglu");
  GemmProblem odd = MakeProblem(kM, kN + 1, kK);
  EXPECT_THROW(SetEpilogue(odd, swiglu), Error);
  GemmProblem with_c = MakeProblem(kM, kN, kK, DType::kF32, "nn", BetaClass::kGeneral);
  EXPECT_THROW(SetEpilogue(with_c, swiglu), Error);
  for (const std::int64_t columns : {0, 1, 3, -2}) {
    GemmProblem p = MakeProblem(kM, kN, kK);
    SetEpilogue(p, swiglu);
    EXPECT_NO_THROW(Validate(p));
    p.columns_per_d = columns;
    EXPECT_THROW(Validate(p), Error) << columns;
  }
  GemmProblem plain = MakeProblem(kM, kN, kK);
  plain.columns_per_d = 2;
  EXPECT_THROW(Validate(plain), Error);
}

TEST(DescribeEpilogue, SetEpilogueMakesADenseD) {
  for (const std::int64_t batch : {1, 3}) {
    const GemmProblem before = [&] {
      GemmProblem p = MakeProblem(16, 34, 8, DType::kBf16);
      SetBatch(p, batch);
      return p;
    }();
    GemmProblem p = before;
    SetEpilogue(p, Epilogue::Parse("swiglu+residual"));
    EXPECT_EQ(p.ldd, 17);
    EXPECT_EQ(p.ld_residual, 17);
    EXPECT_EQ(p.batch_stride_d, batch == 1 ? 0 : 16 * 17);
    EXPECT_EQ(p.alignment, 1) << "rows of 34 bytes";
    GemmProblem batched = MakeProblem(16, 34, 8, DType::kBf16);
    SetEpilogue(batched, Epilogue::Parse("swiglu+residual"));
    SetBatch(batched, batch);
    EXPECT_EQ(batched, p);
    p.batch_stride_d = 16 * 17 - 1;
    if (batch > 1) {
      EXPECT_THROW(Validate(p), Error);
    }
  }
}

}  // namespace
}  // namespace gemmsmith
