#include <gtest/gtest.h>

#include <random>

#include "gpu_test.h"

namespace gemmsmith {
namespace {

struct Types {
  DType ab, d, acc;
};
constexpr Types kTypes[] = {{DType::kF32, DType::kF32, DType::kF32},  {DType::kF64, DType::kF64, DType::kF64},
                            {DType::kF16, DType::kF16, DType::kF32},  {DType::kBf16, DType::kBf16, DType::kF32},
                            {DType::kBf16, DType::kF32, DType::kF32}, {DType::kF16, DType::kF32, DType::kF32}};

/// One call: what it multiplies, and how the operands lie.
struct Case {
  std::int64_t m, n, k;
  Types types = kTypes[0];
  std::string layout = "nn";
  double alpha = 1, beta = 0;
  std::int64_t batch = 1, padding = 0;
  bool column_major_d = false;

  std::string Text() const {
    return std::to_string(m) + "x" + std::to_string(n) + "x" + std::to_string(k) + " batch " + std::to_string(batch) +
           " " + std::string(ToString(types.ab)) + "->" + std::string(ToString(types.d)) + " " + layout + " beta " +
           std::to_string(beta) + " padding " + std::to_string(padding) + (column_major_d ? " column-major D" : "");
  }
};

/// Operands of a case, random, with D poisoned unless it is read as C.
struct Operands {
  Operands(Device& device, const Case& c, std::uint64_t seed)
      : a(device, c.types.ab, {c.batch, c.m, c.k, c.layout[0] == 't', c.padding}),
        b(device, c.types.ab, {c.batch, c.k, c.n, c.layout[1] == 't', c.padding}),
        d(device, c.types.d, {c.batch, c.m, c.n, c.column_major_d, c.padding}),
        before(device, c.types.d, {c.batch, c.m, c.n, c.column_major_d, c.padding}) {
    a.Randomize(seed);
    b.Randomize(seed + 1);
    before.Randomize(seed + 2);
    if (c.beta != 0) {
      d.Randomize(seed + 2);
    } else {
      d.PoisonAll();
    }
  }

  GemmArgs Args(const Case& c, Tensor Matrix::*side) const {
    GemmArgs args;
    args.a = a.*side;
    args.b = b.*side;
    args.d = d.*side;
    if (c.beta != 0) args.c = d.*side;
    args.alpha = c.alpha;
    args.beta = c.beta;
    return args;
  }

  Matrix a, b, d, before;
};

class GpuGemmTest : public GpuTest {
 protected:
  static void ExpectCorrect(const Case& c, Stream stream = {}) {
    Operands operands(device(), c, ++seed_);
    const GemmArgs args = operands.Args(c, &Matrix::there);
    const GemmProblem problem = Describe(args, c.types.acc);
    engine().Gemm(problem, args, stream);
    device().Synchronize(stream);
    ExpectMatches(c, problem, operands);
  }
  static void ExpectMatches(const Case& c, const GemmProblem& problem, Operands& operands) {
    operands.d.Download();
    const GemmArgs args = operands.Args(c, &Matrix::host);
    const VerifyReport report = Verify(problem, args, operands.before.host, seed_);
    EXPECT_TRUE(report.ok) << c.Text() << ": error " << report.max_error << " of " << report.tolerance
                           << " allowed, at (" << report.worst_row << ", " << report.worst_column << ")";
    EXPECT_TRUE(report.checked > 0 || c.m * c.n == 0) << c.Text();
  }
  static inline std::uint64_t seed_ = std::random_device()();
};

TEST_F(GpuGemmTest, MatchesTheReferenceForEveryTypeLayoutAndRaggedShape) {
  constexpr std::int64_t kShapes[][3] = {{1, 1, 1},      {16, 16, 16},   {17, 33, 65},
                                         {64, 64, 64},   {129, 127, 31}, {200, 264, 320},
                                         {1, 1000, 512}, {1000, 1, 77},  {128, 256, 1024}};
  for (const Types& types : kTypes)
    for (const char* layout : {"nn", "nt", "tn", "tt"})
      for (const auto& [m, n, k] : kShapes) ExpectCorrect({m, n, k, types, layout});
}

TEST_F(GpuGemmTest, AlphaAndBetaScaleProductAndOldResult) {
  for (const Types& types : kTypes)
    for (const char* layout : {"nn", "tt"}) {
      Case c{100, 72, 130, types, layout};
      c.alpha = 0.75;
      c.beta = -0.5;
      ExpectCorrect(c);
    }
}

TEST_F(GpuGemmTest, BatchesPaddedRowsAndColumnMajorResultsAreHonoured) {
  for (const Types& types : kTypes)
    for (const std::int64_t batch : {1, 3})
      for (const std::int64_t padding : {0, 1, 8})
        for (const bool column_major_d : {false, true}) {
          Case c{65, 48, 96, types, "nt"};
          c.batch = batch, c.padding = padding, c.column_major_d = column_major_d;
          ExpectCorrect(c);
        }
}

TEST_F(GpuGemmTest, PaddingOfTheResultIsNotTouched) {
  Case c{33, 20, 40};
  c.padding = 4;
  Operands operands(device(), c, ++seed_);
  const std::vector<std::byte> before = operands.d.bytes();
  const GemmArgs args = operands.Args(c, &Matrix::there);
  engine().Gemm(Describe(args, DType::kF32), args);
  operands.d.Download();
  for (std::size_t i = 0; i < before.size(); ++i) {
    if (i / sizeof(float) % 24 >= 20) {
      ASSERT_EQ(operands.d.bytes()[i], before[i]) << "byte " << i;
    }
  }
}

TEST_F(GpuGemmTest, EmptySumsGiveBetaTimesC) {
  for (const double beta : {0.0, 2.0}) {
    Case c{40, 30, 0};
    c.beta = beta;
    ExpectCorrect(c);
  }
}

TEST_F(GpuGemmTest, EmptyResultsLaunchNothing) {
  ExpectCorrect({0, 30, 10});
  ExpectCorrect({30, 0, 10});
}

TEST_F(GpuGemmTest, AlphaAndBetaMayLieOnTheDevice) {
  Case c{50, 60, 70};
  c.alpha = 0.5, c.beta = 3;
  Operands operands(device(), c, ++seed_);
  const float values[] = {0.5f, 3};
  const Buffer scalars = device().Allocate(sizeof values);
  device().Copy(scalars.data(), values, sizeof values);
  GemmArgs args = operands.Args(c, &Matrix::there);
  args.alpha = Scalar::OnDevice(scalars.data());
  args.beta = Scalar::OnDevice(static_cast<const float*>(scalars.data()) + 1);
  const GemmProblem problem = Describe(args, DType::kF32);
  engine().Gemm(problem, args);
  device().Synchronize();
  ExpectMatches(c, problem, operands);
}

TEST_F(GpuGemmTest, SameInputsGiveTheSameBits) {
  const Case c{300, 200, 500, kTypes[3], "nt"};
  Operands operands(device(), c, ++seed_);
  const GemmArgs args = operands.Args(c, &Matrix::there);
  const GemmProblem problem = Describe(args, DType::kF32);
  std::vector<std::byte> first;
  for (int i = 0; i < 5; ++i) {
    operands.d.PoisonAll();
    engine().Gemm(problem, args);
    operands.d.Download();
    if (i == 0) first = operands.d.bytes();
    ASSERT_EQ(operands.d.bytes(), first) << "run " << i;
  }
}

TEST_F(GpuGemmTest, StreamsRunCallsBesideEachOther) {
  const Stream streams[] = {device().CreateStream(), device().CreateStream()};
  for (int i = 0; i < 4; ++i) ExpectCorrect({150, 90, 200}, streams[i % 2]);
  for (const Stream stream : streams) device().DestroyStream(stream);
}

TEST_F(GpuGemmTest, TheConfigThatTuningKeepsIsCorrect) {
  const Case c{190, 140, 260, kTypes[2], "nt"};
  Operands operands(device(), c, ++seed_);
  const GemmArgs args = operands.Args(c, &Matrix::there);
  const GemmProblem problem = Describe(args, DType::kF32);
  PrepareOptions tuned;
  tuned.auto_tune = true;
  engine().Prepare(problem, kGpu, tuned);
  engine().Gemm(problem, args);
  device().Synchronize();
  ExpectMatches(c, problem, operands);
}

TEST_F(GpuGemmTest, TensorsOfTwoDevicesAreRefusedWithTheResultUntouched) {
  const Case c{8, 8, 8};
  Operands operands(device(), c, ++seed_);
  GemmArgs args = operands.Args(c, &Matrix::there);
  const GemmProblem problem = Describe(args, DType::kF32);
  args.b = operands.b.host;
  const std::vector<std::byte> before = operands.d.bytes();
  EXPECT_THROW(engine().Gemm(problem, args), Error);
  operands.d.Download();
  EXPECT_EQ(operands.d.bytes(), before);
}

}  // namespace
}  // namespace gemmsmith
