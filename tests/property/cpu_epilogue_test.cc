// What micro-kernels do after their loop over k, against the interpreter of epilogues.
#include <gtest/gtest.h>

#include <random>
#include <regex>
#include <sstream>
#include <string>
#include <vector>

#include "../support/cpu_tile.h"
#include "gemmsmith/verify.h"

namespace gemmsmith {
namespace {

using namespace testing_support;

/// Rows and vectors of a tile; no vectors: dot products.
struct Shape {
  int rows, vectors;  ///< 0 vectors: dot products; -1: of more columns.
};

class CpuTileEpilogue : public ::testing::TestWithParam<CodeTarget> {
 protected:
  bool is_avx512() const { return GetParam().version == 512; }
  int lanes() const { return is_avx512() ? 16 : 8; }
  std::vector<Shape> Shapes() const {
    if (is_avx512())
      return {{6, 4}, {9, 3}, {14, 2}, {28, 1}, {4, 6}, {2, 8}, {1, 1}, {13, 2}, {6, 0}, {1, 0}, {2, -1}};
    return {{6, 2}, {12, 1}, {2, 4}, {1, 3}, {5, 1}, {2, 0}, {1, 0}};
  }
  MicroKernelRecipe Recipe(const Shape& shape, const Epilogue& epilogue, DType d_type = DType::kF32) const {
    MicroKernelRecipe recipe;
    recipe.mr = shape.rows;
    recipe.dots = shape.vectors <= 0;
    recipe.nr = shape.vectors == 0 ? kDotColumns : shape.vectors < 0 ? kMoreDotColumns : shape.vectors * lanes();
    recipe.n_tail = recipe.nr;
    recipe.epilogue_id = epilogue.id();
    recipe.columns_per_d = epilogue.trace().paired() ? 2 : 1;
    recipe.d_type = d_type;
    return recipe;
  }
  /// All its columns, and as many as fill vectors to any degree; all its rows, or fewer.
  void CheckTails(TileCase c, int ulps = 0) {
    SCOPED_TRACE(::testing::Message() << "seed " << seed_ << ' ' << ToString(c.recipe));
    const int step = c.recipe.dots != 0 ? 1 : lanes();
    for (std::int64_t vectors = c.recipe.nr / step; vectors > 0; --vectors) {
      c.recipe.n_tail = static_cast<int>(c.recipe.dots != 0 ? c.recipe.nr : vectors * step);
      c.recipe.m_tail = static_cast<int>(random_() % static_cast<unsigned>(c.recipe.mr));
      const auto kernel = CompileRecipe(c.recipe, GetParam());
      for (std::int64_t lane = 0; lane < step; ++lane) {
        c.columns = vectors * step - lane;
        if (c.columns % c.recipe.columns_per_d != 0) continue;
        if (step > 4 && lane > 2 && random_() % 4 != 0) continue;
        c.few_rows = c.recipe.m_tail > 0 && random_() % 2 == 0;
        SCOPED_TRACE(::testing::Message() << c.columns << " columns, rows: " << (c.few_rows ? "few" : "all"));
        TileRun run(c, random_);
        run.Run(*kernel);
        run.Check(ulps);
        if (HasFatalFailure() || HasNonfatalFailure()) return;
      }
      if (c.recipe.dots != 0) return;
    }
  }
  template <class T>
  T Pick(std::initializer_list<T> values) {
    return values.begin()[random_() % values.size()];
  }

  const unsigned seed_ = std::random_device{}();
  std::mt19937 random_{seed_};
};

TEST_P(CpuTileEpilogue, StoresTheSumsAsEveryType) {
  for (const DType d_type :
       {DType::kF32, DType::kBf16, DType::kF16, DType::kS8, DType::kU8, DType::kS32, DType::kE4m3, DType::kE5m2})
    for (const CpuMath math : {CpuMath::kF32, CpuMath::kS16})
      for (const Shape& shape : Shapes()) {
        if (shape.vectors <= 0 && math != CpuMath::kF32) continue;
        TileCase c{Recipe(shape, Epilogue(), d_type)};
        c.recipe.math = math;
        if (math == CpuMath::kS16) c.recipe.mr = std::min(c.recipe.mr, 4);
        for (const bool c_is_sum : {true, false}) {
          c.c_is_sum = c_is_sum;
          c.beta = Pick({1.0, 0.0, -1.0});
          CheckTails(c);
          if (HasFailure()) return;
        }
      }
}

TEST_P(CpuTileEpilogue, KeepsTheSumsWhileMoreBlocksOfKFollow) {
  for (const Shape& shape : Shapes()) {
    TileCase c{Recipe(shape, Epilogue::Parse("gelu"), DType::kBf16)};
    c.c_is_sum = c.d_is_sum = true;
    CheckTails(c);
  }
}

TEST_P(CpuTileEpilogue, EveryNameIsRightOnEveryTile) {
  for (const EpilogueName& name : EpilogueNames())
    for (const Shape& shape : Shapes()) {
      if (shape.vectors <= 0 && name.name == "amax_block") continue;
      const Epilogue epilogue = Epilogue::Parse(name.name);
      CheckTails({Recipe(shape, epilogue), 0, static_cast<std::int64_t>(random_() % 3),
                  static_cast<std::int64_t>(random_() % 3)},
                 2);
      if (HasFailure()) return;
    }
}

TEST_P(CpuTileEpilogue, ChainsAreRightInEveryType) {
  for (const char* chain :
       {"bias+gelu", "bias+silu+residual", "bias+swiglu", "scale_column+bias+swiglu+residual+d_scale_column",
        "bias_m+relu+residual", "scale_row+scale_column+bias+amax_row+d_scale_row+quantise_s8",
        "scale_block+amax_block+d_scale_block+quantise_e4m3", "bias+gelu_tanh+amax_column+quantise_e5m2",
        "swiglu+amax_row+amax_column+amax_block+d_scale+quantise_u8", "scale+tanh+quantise_s8"})
    for (const Shape& shape : Shapes())
      for (int round = 0; round < 2; ++round) {
        const DType d_type = Pick(
            {DType::kF32, DType::kBf16, DType::kF16, DType::kS8, DType::kU8, DType::kE4m3, DType::kE5m2, DType::kS32});
        TileCase c{Recipe(shape, Epilogue::Parse(chain), d_type), 0, static_cast<std::int64_t>(random_() % 3),
                   static_cast<std::int64_t>(random_() % 3)};
        c.recipe.bias_type = Pick({DType::kF32, DType::kBf16, DType::kF16});
        c.recipe.residual_type = Pick({DType::kF32, DType::kBf16, DType::kF16});
        c.recipe.math = shape.vectors <= 0 || shape.rows > 6 ? CpuMath::kF32 : Pick({CpuMath::kF32, CpuMath::kS16});
        if (c.recipe.math == CpuMath::kS16) c.recipe.mr = std::min(c.recipe.mr, 4);
        c.c_is_sum = random_() % 2 == 0;
        CheckTails(c, 2);
        if (HasFailure()) return;
      }
}

TEST_P(CpuTileEpilogue, BlocksOfAnySizeAreFound) {
  for (const EpilogueBlock block : {EpilogueBlock{1, 1}, {3, 5}, {1, 16}, {2, 32}, {128, 128}, {4, 24}, {1, 100}})
    for (const Shape& shape : Shapes())
      for (const bool paired : {false, true}) {
        const Epilogue epilogue(Trace([&](Value acc, Inputs in) {
          const Value x = (paired ? acc + in.Paired() : acc) * in.ScaleBlock(block);
          return Outputs(x * in.DScaleBlock({block.columns, block.rows})).AmaxBlock(x, block);
        }));
        CheckTails({Recipe(shape, epilogue), 0, static_cast<std::int64_t>(random_() % 5),
                    static_cast<std::int64_t>(random_() % 4)});
        if (HasFailure()) return;
      }
}

/// A random trace of exact operations.
OpTrace ExactTrace(std::mt19937& random, int size) {
  OpTrace trace = RandomTrace(random).Make(size);
  for (OpNode& node : trace.body)
    if (Info(node.op).trait == OpTrait::kApproximate) node.op = Op::kSqrt;
  return trace;
}

TEST_P(CpuTileEpilogue, RandomTracesAreRightBitByBit) {
  for (int round = 0; round < 400; ++round) {
    const OpTrace trace = ExactTrace(random_, 1 + static_cast<int>(random_() % (round % 10 == 0 ? 300 : 40)));
    const Epilogue epilogue = FromTrace(trace);
    const std::vector<Shape> shapes = Shapes();
    CheckTails({Recipe(shapes[random_() % shapes.size()], epilogue), 0, static_cast<std::int64_t>(random_() % 5),
                static_cast<std::int64_t>(random_() % 4), true});
    if (HasFailure()) return;
  }
}

TEST_P(CpuTileEpilogue, FusedCodeCallsNothing) {
  for (const EpilogueName& name : EpilogueNames())
    for (const Shape& shape : Shapes()) {
      KernelSource source;
      source.target = GetParam();
      source.text = ToString(Recipe(shape, Epilogue::Parse(name.name)));
      std::istringstream lines(ListCode(source));
      int instructions = 0;
      static const std::regex instruction("[ 0-9a-f]{6}  ([a-z]+)[^;]*;.*"),
          branch("[ 0-9a-f]{6}  (j[a-z]+) (short )?L[0-9]+ *;.*");
      std::smatch match;
      for (std::string line; std::getline(lines, line);) {
        if (!std::regex_match(line, match, instruction)) continue;
        ++instructions;
        EXPECT_NE(match[1], "call") << name.name << ": " << line;
        EXPECT_TRUE(match.str(1)[0] != 'j' || std::regex_match(line, branch)) << name.name << ": " << line;
      }
      EXPECT_GT(instructions, 50) << name.name;
    }
}

TEST(CpuEpilogues, FractionsOfCAreAddedToIntegerSumsOverAllOfK) {
  constexpr std::int64_t kM = 50, kN = 70, kK = 1100;
  std::mt19937 random(std::random_device{}());
  std::vector<std::int8_t> a(kM * kK), b(kK * kN);
  for (auto* operand : {&a, &b})
    for (std::int8_t& element : *operand) element = static_cast<std::int8_t>(random());
  std::vector<float> c(kM * kN), d(c.size());
  for (float& element : c) element = std::uniform_real_distribution<float>(-2, 2)(random);
  GemmProblem problem = MakeProblem(kM, kN, kK, DType::kS8, "nn", BetaClass::kGeneral);
  problem.c_type = problem.d_type = DType::kF32;
  GemmArgs args;
  args.a = Tensor(a.data(), {kM, kK});
  args.b = Tensor(b.data(), {kK, kN});
  args.c = Tensor(c.data(), {kM, kN});
  args.d = Tensor(d.data(), {kM, kN});
  args.beta = 1.0;
  for (const CodeTarget& target : CpuTargets()) {
    const KernelFamily& family = FamilyFor(target);
    if (!family.WhyNot(problem, target).empty()) continue;
    DeviceSpec spec = CpuSpec();
    spec.target = target;
    for (const TileConfig& config : family.Candidates(problem, target, spec)) {
      LaunchOnCpu(*MakeCpuKernel(problem, config, target), family.MakeLaunch(problem, config), args);
      const VerifyReport report = Verify(problem, args, args.c);
      EXPECT_TRUE(report.ok) << ToString(target) << ' ' << ToString(config) << ": " << report.max_error;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Targets, CpuTileEpilogue, ::testing::ValuesIn(X86Targets()),
                         [](const auto& info) { return NameOf(info.param); });

}  // namespace
}  // namespace gemmsmith
