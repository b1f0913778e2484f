// Whole products with epilogues on the CPU, over chains, types, layouts, configs and targets, against Verify.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "../support/cpu_gemm.h"
#include "gemmsmith/verify.h"

namespace gemmsmith {
namespace {

using namespace testing_support;

struct Case {
  std::int64_t m, n, k;
  const char* chain;
  const char* types = "f32";
  const char* layout = "nn";
  std::int64_t batch = 1;
  double beta = 0;
  bool residual_is_d = false;
};

std::ostream& operator<<(std::ostream& out, const Case& c) {
  return out << c.m << "x" << c.n << "x" << c.k << " " << c.chain << " " << c.types << " " << c.layout
             << " batch=" << c.batch << " beta=" << c.beta << (c.residual_is_d ? " residual=d" : "");
}

/// Dense tensors of a case, each with a page behind its end that may not be touched.
class Fixture {
 public:
  explicit Fixture(const Case& c) : case_(c), epilogue_(Epilogue::Parse(c.chain)) {
    problem_ = MakeProblem(c.m, c.n, c.k, DType::kF32, c.layout, c.beta == 0 ? BetaClass::kZero : BetaClass::kGeneral);
    SetDTypes(problem_, c.types);
    SetBatch(problem_, c.batch);
    SetEpilogue(problem_, epilogue_, DType::kBf16);
    const std::int64_t columns = problem_.d_columns();
    args_.a = Matrix(problem_.a_type, c.m, c.k, problem_.a_layout);
    args_.b = Matrix(problem_.b_type, c.k, c.n, problem_.b_layout);
    args_.d = Matrix(problem_.d_type, c.m, columns, Layout::kRowMajor);
    args_.alpha = problem_.acc_type == DType::kS32 ? 2 : 0.25;
    args_.beta = c.beta;
    if (c.beta != 0) args_.c = Matrix(problem_.c_type, c.m, c.n, Layout::kRowMajor);
    AddInputs(columns);
  }

  const GemmProblem& problem() const { return problem_; }

  void Check(const TileConfig& config, const CodeTarget& target) {
    Poison(args_.d);
    if (case_.residual_is_d) Copy(args_.d, before_);
    for (const Tensor& maxima : {inputs_.amax_row, inputs_.amax_column, inputs_.amax_block})
      if (maxima.given()) Poison(maxima);
    LaunchOnCpu(*MakeCpuKernel(problem_, config, target), FamilyFor(target).MakeLaunch(problem_, config), args_);
    // What the residual was before D took its place.
    EpilogueArgs given = inputs_;
    if (case_.residual_is_d) given.residual = before_;
    GemmArgs args = args_;
    args.epilogue = &given;
    const VerifyReport report = Verify(problem_, args, args_.c, 1);
    EXPECT_TRUE(report.ok) << case_ << ": error " << report.max_error << " of " << report.tolerance << " at row "
                           << report.worst_row << ", column " << report.worst_column;
  }

 private:
  void AddInputs(std::int64_t columns) {
    const auto reads = [&](EpilogueInput input) { return epilogue_.Reads(input); };
    const auto blocks = [&](EpilogueBlock block) {
      return std::pair{(case_.m + block.rows - 1) / block.rows, (columns + block.columns - 1) / block.columns};
    };
    inputs_.epilogue = epilogue_;
    if (reads(EpilogueInput::kBias)) inputs_.bias = Filled(DType::kBf16, {case_.n});
    if (reads(EpilogueInput::kBiasM)) inputs_.bias_m = Filled(DType::kBf16, {case_.m});
    if (reads(EpilogueInput::kScaleRow)) inputs_.scale_row = Filled(DType::kF32, {case_.m});
    if (reads(EpilogueInput::kDScaleRow)) inputs_.d_scale_row = Filled(DType::kF32, {case_.m});
    if (reads(EpilogueInput::kScaleColumn)) inputs_.scale_column = Filled(DType::kF32, {case_.n});
    if (reads(EpilogueInput::kDScaleColumn)) inputs_.d_scale_column = Filled(DType::kF32, {columns});
    const auto [scale_rows, scale_columns] = blocks(epilogue_.block(EpilogueInput::kScaleBlock));
    if (reads(EpilogueInput::kScaleBlock)) inputs_.scale_block = Filled(DType::kF32, {scale_rows, scale_columns});
    if (reads(EpilogueInput::kDScaleBlock)) inputs_.d_scale_block = Filled(DType::kF32, {scale_rows, scale_columns});
    inputs_.scalar = 0.75;
    inputs_.d_scale = 20.0;
    if (reads(EpilogueInput::kResidual)) {
      inputs_.residual = Matrix(problem_.residual_type, case_.m, columns, Layout::kRowMajor);
      if (case_.residual_is_d) {
        before_ = inputs_.residual;
        inputs_.residual = args_.d;
      }
    }
    if (epilogue_.Makes(EpilogueOutput::kAmaxRow)) inputs_.amax_row = Filled(DType::kF32, {case_.batch, case_.m});
    if (epilogue_.Makes(EpilogueOutput::kAmaxColumn)) inputs_.amax_column = Filled(DType::kF32, {case_.batch, columns});
    const auto [max_rows, max_columns] = blocks(epilogue_.block(EpilogueOutput::kAmaxBlock));
    if (epilogue_.Makes(EpilogueOutput::kAmaxBlock))
      inputs_.amax_block = Filled(DType::kF32, {case_.batch, max_rows, max_columns});
    args_.epilogue = &inputs_;
  }
  Tensor Filled(DType dtype, std::initializer_list<std::int64_t> shape) {
    Tensor tensor(static_cast<void*>(nullptr), dtype, shape);
    const std::int64_t bytes = tensor.size() * static_cast<std::int64_t>(SizeOf(dtype));
    memory_.push_back(std::make_unique<GuardedMemory<std::byte>>(bytes));
    tensor.data = memory_.back()->begin();
    FillRandom(tensor, std::random_device{}());
    return tensor;
  }
  Tensor Matrix(DType dtype, std::int64_t rows, std::int64_t columns, Layout layout) {
    const bool transposed = layout == Layout::kColMajor;
    if (transposed) std::swap(rows, columns);
    const Tensor tensor =
        case_.batch == 1 ? Filled(dtype, {rows, columns}) : Filled(dtype, {case_.batch, rows, columns});
    return transposed ? tensor.Transposed() : tensor;
  }
  static void Copy(const Tensor& to, const Tensor& from) {
    std::memcpy(to.data, from.data, static_cast<std::size_t>(from.size()) * SizeOf(from.dtype));
  }

  const Case case_;
  const Epilogue epilogue_;
  GemmProblem problem_;
  std::vector<std::unique_ptr<GuardedMemory<std::byte>>> memory_;
  GemmArgs args_;
  EpilogueArgs inputs_;
  Tensor before_;
};

class CpuFusedGemm : public ::testing::TestWithParam<CodeTarget> {
 protected:
  /// Every candidate, as it is, and with blocks so small that sums go through several.
  static void Check(const Case& c, bool from_memory = false) {
    Fixture fixture(c);
    const KernelFamily& family = FamilyFor(GetParam());
    ASSERT_EQ(family.WhyNot(fixture.problem(), GetParam()), "") << c;
    DeviceSpec spec = CpuSpec();
    spec.multiprocessors = 2;
    if (from_memory) spec.l2_bytes = 512;
    for (TileConfig config : family.Candidates(fixture.problem(), GetParam(), spec)) {
      for (const bool small : {false, true}) {
        if (small) Shrink(config);
        SCOPED_TRACE(ToString(GetParam()) + ": " + ToString(config));
        fixture.Check(config, GetParam());
      }
    }
  }
  static void Shrink(TileConfig& config) {
    for (std::size_t i = 0; i < config.fields.size(); ++i) {
      if (config.fields[i].name == "kc") config[i] = 24;
      if (config.fields[i].name == "mc") config[i] = 2 * config.Get("mr");
      if (config.fields[i].name == "nc") config[i] = 2 * config.Get("nr");
      if (config.fields[i].name == "threads") config[i] = 2;
    }
  }
};

TEST_P(CpuFusedGemm, EveryNameIsRight) {
  for (const EpilogueName& name : EpilogueNames()) {
    if (std::string(name.name).starts_with("quantise")) continue;  // D of these types: below.
    Check({.m = 31, .n = 134, .k = 57, .chain = name.name.data(), .batch = 2});
  }
}

TEST_P(CpuFusedGemm, ChainsAreRightInEveryLayoutAndShape) {
  const char* const chains[] = {"bias+gelu",
                                "bias+silu+residual",
                                "scale_row+scale_column+bias+gelu_tanh",
                                "bias+swiglu+amax_row",
                                "relu+amax_column+amax_block",
                                "bias_m+tanh+residual+amax_row"};
  constexpr std::int64_t kSizes[] = {1, 2, 5, 16, 17, 64, 98};
  std::mt19937 random(std::random_device{}());
  const auto pick = [&](const auto& values) { return values[random() % std::size(values)]; };
  for (int round = 0; round < 40; ++round) {
    Case c{.m = pick(kSizes), .n = 2 * pick(kSizes), .k = pick(kSizes), .chain = pick(chains)};
    c.layout = pick(std::array{"nn", "nt", "tn", "tt"});
    c.batch = 1 + static_cast<std::int64_t>(random() % 3);
    c.residual_is_d = random() % 2 == 0 && std::string(c.chain).find("residual") != std::string::npos;
    if (std::string(c.chain).find("swiglu") == std::string::npos && random() % 2 == 0) c.beta = 0.5;
    Check(c);
  }
}

TEST_P(CpuFusedGemm, EveryTypeIsRight) {
  struct Row {
    const char *types, *chain;
  };
  constexpr Row kRows[] = {
      {"bf16", "bias+gelu"},
      {"bf16,bf16,f32", "bias+silu"},
      {"f16", "bias+relu"},
      {"f16,bf16,f32", "tanh"},
      {"f32,f32,bf16", "bias+residual"},
      {"bf16", "bias+swiglu+amax_row"},
      {"u8,s8,f32", "scale_row+scale_column+bias"},
      {"s8,s8,bf16", "scale_row+scale_column+silu"},
      {"u8,u8,s8", "scale+amax_row+d_scale+quantise_s8"},
      {"s8,u8,u8", "scale+relu+d_scale+quantise_u8"},
      {"f32,f32,e4m3", "amax_column+d_scale_row+quantise_e4m3"},
      {"bf16,bf16,e5m2", "bias+d_scale_column+quantise_e5m2"},
      {"f32,f32,s8", "bias+gelu+amax_block+d_scale_block+quantise_s8"},
      {"s8,s8,s32", "scale_row"},
  };
  for (const Row& row : kRows)
    for (const char* layout : {"nn", "nt", "tn"}) {
      Check({.m = 19, .n = 82, .k = 70, .chain = row.chain, .types = row.types, .layout = layout});
      Check({.m = 7, .n = 130, .k = 128, .chain = row.chain, .types = row.types, .layout = layout, .batch = 2});
    }
  for (const Row& row : kRows)
    for (const std::int64_t m : {1, 8})
      Check({.m = m, .n = 150, .k = 36, .chain = row.chain, .types = row.types, .layout = "nn", .batch = 2}, true);
}

TEST_P(CpuFusedGemm, LargeOnesAreRightOnSeveralThreads) {
  Check({.m = 130, .n = 450, .k = 700, .chain = "bias+gelu+amax_row", .layout = "nt"});
  Check({.m = 1, .n = 1200, .k = 640, .chain = "bias+silu"});
  Check({.m = 150, .n = 64, .k = 333, .chain = "bias+swiglu", .batch = 3});
}

std::vector<CodeTarget> Targets() { return CpuTargets(); }
std::string Name(const ::testing::TestParamInfo<CodeTarget>& info) {
  std::string name = ToString(info.param);
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}
INSTANTIATE_TEST_SUITE_P(Targets, CpuFusedGemm, ::testing::ValuesIn(Targets()), Name);

}  // namespace
}  // namespace gemmsmith
