#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <random>

#include "gpu_test.h"

namespace gemmsmith {
namespace {

constexpr std::int64_t kM = 200, kN = 136, kK = 96, kBatch = 2;

/// The tensors of a fused call, on one side.
struct FusedInputs {
  Matrix bias, residual, rows, columns, d_columns, blocks;
  Matrix amax_row, amax_column, amax_block;

  FusedInputs(Device& device, DType dtype, std::int64_t columns_of_d)
      : bias(device, dtype, {1, 1, kN}),
        residual(device, dtype, {kBatch, kM, columns_of_d, false, 3}),
        rows(device, DType::kF32, {1, 1, kM}),
        columns(device, DType::kF32, {1, 1, kN}),
        d_columns(device, DType::kF32, {1, 1, columns_of_d}),
        blocks(device, DType::kF32, {1, kM, (columns_of_d + 127) / 128}),
        amax_row(device, DType::kF32, {1, kBatch, kM}),
        amax_column(device, DType::kF32, {1, kBatch, columns_of_d}),
        amax_block(device, DType::kF32, {kBatch, kM, (columns_of_d + 127) / 128}) {
    std::uint64_t seed = std::random_device{}();
    for (Matrix* matrix : {&bias, &residual, &rows, &columns, &d_columns, &blocks}) matrix->Randomize(seed++);
    for (Matrix* matrix : {&amax_row, &amax_column, &amax_block}) matrix->PoisonAll();
  }
  void DownloadMaxima() {
    for (Matrix* matrix : {&amax_row, &amax_column, &amax_block}) matrix->Download();
  }
  EpilogueArgs Args(const Epilogue& epilogue, Tensor Matrix::*side) const {
    const auto vector = [&](const Matrix& matrix) {
      Tensor tensor = matrix.*side;
      tensor.rank = 1;
      tensor.shape = {tensor.shape[1]}, tensor.strides = {1};
      return tensor;
    };
    EpilogueArgs args;
    args.epilogue = epilogue;
    args.bias = vector(bias);
    args.residual = residual.*side;
    args.scale_row = args.d_scale_row = vector(rows);
    args.scale_column = vector(columns), args.d_scale_column = vector(d_columns);
    args.scale_block = args.d_scale_block = blocks.*side;
    args.scalar = 1.5, args.d_scale = -0.5;
    args.amax_row = amax_row.*side, args.amax_column = amax_column.*side, args.amax_block = amax_block.*side;
    return args;
  }
};

class GpuEpilogueTest : public GpuTest {};

TEST_F(GpuEpilogueTest, FusedResultsAreWhatTheInterpreterSays) {
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBf16})
    for (const char* chain :
         {"bias+gelu", "bias+silu+residual", "scale_row+scale_column+gelu_tanh", "tanh+d_scale_row+residual",
          "scale+sigmoid+d_scale", "scale_block+bias+relu+d_scale_block", "residual+d_scale_column+quantise_e4m3",
          "bias+scale_column+swiglu+residual", "gelu+amax_row+amax_column+amax_block",
          "swiglu+amax_row+amax_column+amax_block+d_scale_column"}) {
      const Epilogue epilogue = Epilogue::Parse(chain);
      const std::int64_t columns = epilogue.pairs_columns() ? kN / 2 : kN;
      Matrix a(device(), dtype, {kBatch, kM, kK}), b(device(), dtype, {kBatch, kK, kN, true}),
          d(device(), dtype, {kBatch, kM, columns, false, 5});
      a.Randomize(1), b.Randomize(2), d.PoisonAll();
      FusedInputs inputs(device(), dtype, columns);
      const auto args = [&](Tensor Matrix::*side, const EpilogueArgs& epilogue_args) {
        GemmArgs made;
        made.a = a.*side, made.b = b.*side, made.d = d.*side, made.epilogue = &epilogue_args;
        return made;
      };
      const EpilogueArgs on_gpu = inputs.Args(epilogue, &Matrix::there), on_host = inputs.Args(epilogue, &Matrix::host);
      const GemmProblem problem = Describe(args(&Matrix::there, on_gpu), DType::kF32);
      engine().Gemm(problem, args(&Matrix::there, on_gpu));
      device().Synchronize();
      d.Download(), inputs.DownloadMaxima();
      const VerifyReport report = Verify(problem, args(&Matrix::host, on_host), d.host);
      EXPECT_TRUE(report.ok) << chain << ' ' << ToString(dtype) << ": " << report.max_error << " at "
                             << report.worst_row << ", " << report.worst_column;
    }
}

/// Steps between two floats; 0 for two NaNs.
std::int64_t Ulps(float x, float y) {
  if (std::isnan(x) || std::isnan(y)) return std::isnan(x) && std::isnan(y) ? 0 : std::int64_t{1} << 40;
  const auto place = [](float value) {
    const auto bits = std::bit_cast<std::int32_t>(value);
    return bits < 0 ? -static_cast<std::int64_t>(bits & 0x7fffffff) : std::int64_t{bits};
  };
  return std::abs(place(x) - place(y));
}

/// A product with k = 1 and B = 1 hands any float to the epilogue, but for -0.
TEST_F(GpuEpilogueTest, FunctionsAreWithinTwoUlpAndEverythingElseIsExact) {
  constexpr std::int64_t kCount = 1 << 20;
  struct Row {
    const char* name;
    Value (*function)(const Value&);
    int ulps;
  };
  const Row rows[] = {{"exp", Exp, 2},
                      {"log", Log, 2},
                      {"tanh", Tanh, 2},
                      {"erf", Erf, 2},
                      {"rsqrt", Rsqrt, 2},
                      {"sqrt", Sqrt, 0},
                      {"recip", Recip, 0},
                      {"round", Round, 0},
                      {"abs", Abs, 0},
                      {"relu", Relu, 0},
                      {"s8", [](const Value& x) { return RoundTo(DType::kS8, x); }, 0},
                      {"e4m3", [](const Value& x) { return RoundTo(DType::kE4m3, x); }, 0},
                      {"e5m2", [](const Value& x) { return RoundTo(DType::kE5m2, x); }, 0},
                      {"f16", [](const Value& x) { return RoundTo(DType::kF16, x); }, 0},
                      {"bf16", [](const Value& x) { return RoundTo(DType::kBf16, x); }, 0},
                      {"s32", [](const Value& x) { return ToF32(ToS32(x)); }, 0}};
  Matrix a(device(), DType::kF32, {1, kCount, 1}), b(device(), DType::kF32, {1, 1, 1}),
      d(device(), DType::kF32, {1, kCount, 1});
  auto* x = static_cast<float*>(a.host.data);
  *static_cast<float*>(b.host.data) = 1;
  std::mt19937 random(std::random_device{}());
  for (std::int64_t i = 0; i < kCount; ++i) {
    const auto bits = static_cast<std::uint32_t>(random());
    x[i] = i % 2 == 0 ? std::bit_cast<float>(bits == 0x80000000 ? 0 : bits)
                      : std::uniform_real_distribution<float>(-100, 100)(random);
  }
  a.Upload(), b.Upload();
  for (const Row& row : rows) {
    EpilogueArgs epilogue;
    epilogue.epilogue = Epilogue(Outputs(row.function(TracedAccumulator())));
    GemmArgs args;
    args.a = a.there, args.b = b.there, args.d = d.there, args.epilogue = &epilogue;
    d.PoisonAll();
    engine().Gemm(args);
    device().Synchronize();
    d.Download();
    for (std::int64_t i = 0; i < kCount; ++i) {
      EpilogueElement element;
      element.accumulator = x[i];
      const float result = static_cast<const float*>(d.host.data)[i], expected = epilogue.epilogue.Evaluate(element).d;
      ASSERT_LE(Ulps(result, expected), row.ulps) << row.name << ' ' << x[i] << ": " << result << " for " << expected;
    }
  }
}

}  // namespace
}  // namespace gemmsmith
