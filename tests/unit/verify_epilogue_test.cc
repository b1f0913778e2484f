#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

#include "gemmsmith/error.h"
#include "gemmsmith/verify.h"

namespace gemmsmith {
namespace {

/// A fused GEMM on the host, with its sums in f32.
class Call {
 public:
  Call(const char* chain, std::int64_t m, std::int64_t n, std::int64_t k, DType d_type = DType::kF32)
      : a_(m * k), b_(k * n), bias_(n), residual_(m * n), scales_(std::max(m, n)), d_(m * n * SizeOf(d_type)) {
    args.a = Tensor(a_.data(), {m, k}), args.b = Tensor(b_.data(), {k, n});
    args.epilogue = &inputs;
    inputs.epilogue = Epilogue::Parse(chain);
    const std::int64_t columns = inputs.epilogue.pairs_columns() ? n / 2 : n, blocks = (columns + 127) / 128;
    args.d = Tensor(d_.data(), d_type, {m, columns});
    amax_row.resize(m), amax_column.resize(columns), amax_block.resize(m * blocks);
    inputs.amax_row = Tensor(amax_row.data(), {m}), inputs.amax_column = Tensor(amax_column.data(), {columns});
    inputs.amax_block = Tensor(amax_block.data(), {m, blocks});
    inputs.bias = Tensor(bias_.data(), {n}), inputs.bias_m = Tensor(scales_.data(), {m});
    inputs.residual = Tensor(residual_.data(), {m, columns});
    inputs.scale_row = Tensor(scales_.data(), {m}), inputs.d_scale = 20;
    std::uint64_t seed = std::random_device{}();
    for (Tensor* tensor : {&args.a, &args.b, &inputs.residual}) FillRandom(*tensor, seed++);
    FillRandom(Tensor(bias_.data(), {1, n}), seed++);
    FillRandom(Tensor(scales_.data(), {1, std::max(m, n)}), seed++);
    problem = Describe(args, DType::kF32);
  }
  Call(const Call&) = delete;

  /// `used` may differ from what the call asks for.
  void Compute(const Epilogue& used, int ulps = 0) {
    std::vector<float> row(problem.n);
    for (std::int64_t i = 0; i < problem.m; ++i) {
      std::fill(row.begin(), row.end(), 0.0f);
      for (std::int64_t l = 0; l < problem.k; ++l)
        for (std::int64_t j = 0; j < problem.n; ++j) row[j] += a_[i * problem.k + l] * b_[l * problem.n + j];
      for (std::int64_t j = 0; j < columns(); ++j) {
        EpilogueElement e;
        const std::int64_t of_product = j * problem.columns_per_d;
        e.accumulator = row[of_product], e.bias = bias_[of_product];
        if (problem.columns_per_d == 2) e.paired = row[of_product + 1], e.paired_bias = bias_[of_product + 1];
        e.bias_m = e.scale_row = scales_[i], e.residual = residual_[i * columns() + j];
        e.d_scale = 20, e.row = static_cast<std::int32_t>(i), e.column = static_cast<std::int32_t>(j);
        Store(i, j, used.Evaluate(e, ulps));
      }
    }
  }
  std::int64_t columns() const { return problem.d_columns(); }
  VerifyReport Check() const { return Verify(problem, args, args.d, std::random_device{}()); }
  void Set(std::int64_t i, std::int64_t j, double value) {
    Encode(problem.d_type, d_.data(), i * columns() + j, value);
  }

  GemmArgs args;
  EpilogueArgs inputs;
  GemmProblem problem;
  std::vector<float> amax_row, amax_column, amax_block;

 private:
  void Store(std::int64_t i, std::int64_t j, const EpilogueResult& result) {
    Set(i, j, result.d);
    const auto raise = [](float& to, float value) { to = std::isnan(value) || value > to ? value : to; };
    raise(amax_row[i], result.amax_row), raise(amax_column[j], result.amax_column);
    raise(amax_block[i * ((columns() + 127) / 128) + j / 128], result.amax_block);
  }

  std::vector<float> a_, b_, bias_, residual_, scales_;
  std::vector<std::byte> d_;
};

TEST(VerifyEpilogue, AcceptsRightResultsAndFindsAWrongOne) {
  struct Row {
    const char* chain;
    DType d_type;
  };
  for (const Row& row : {Row{"bias+gelu", DType::kF32},
                         {"bias+gelu_tanh+residual", DType::kBf16},
                         {"scale_row+bias_m+silu", DType::kF16},
                         {"relu+d_scale+quantise_s8", DType::kS8},
                         {"sigmoid", DType::kF32},
                         {"bias+swiglu+residual", DType::kF32},
                         {"bias+scale_row+swiglu", DType::kBf16},
                         {"tanh+d_scale+quantise_e4m3", DType::kE4m3}})
    for (const int ulps : {0, -2, 2}) {
      Call call(row.chain, 37, 70, 90, row.d_type);
      call.Compute(call.inputs.epilogue, ulps);
      const VerifyReport report = call.Check();
      EXPECT_TRUE(report.ok) << row.chain << ' ' << ulps << ": " << report.max_error << " at " << report.worst_row
                             << ", " << report.worst_column;
      call.Set(20, 30, -120.0);  // which none of the chains makes
      const VerifyReport wrong = call.Check();
      EXPECT_FALSE(wrong.ok) << row.chain;
      EXPECT_EQ(wrong.worst_row, 20);
      EXPECT_EQ(wrong.worst_column, 30);
    }
}

TEST(VerifyEpilogue, FindsAnEpilogueThatIsAlmostTheSame) {
  for (const auto& [asked, used] : {std::pair{"bias+gelu", "bias+gelu_tanh"},
                                    {"bias+relu", "relu"},
                                    {"bias+relu", "bias_m+relu"},
                                    {"bias+swiglu", "swiglu"},
                                    {"scale_row+residual", "residual+scale_row"}})
    for (const std::int64_t size : {40, 560}) {  // in full, and by sampled rows and columns
      Call call(asked, size, size, size);
      call.Compute(Epilogue::Parse(used));
      EXPECT_FALSE(call.Check().ok) << asked << ' ' << used;
      call.Compute(call.inputs.epilogue);
      EXPECT_TRUE(call.Check().ok) << asked << ' ' << size;
    }
}

TEST(VerifyEpilogue, FindsWrongMaxima) {
  for (const char* chain : {"gelu+amax_row+amax_column+amax_block", "swiglu+amax_row+amax_column+amax_block"})
    for (const std::int64_t size : {70, 560}) {  // in full, and by sampled rows and columns
      Call call(chain, size, size, size);
      call.Compute(call.inputs.epilogue, 2);
      const VerifyReport right = call.Check();
      EXPECT_TRUE(right.ok) << chain << ' ' << right.max_error << " at " << right.worst_row << ", "
                            << right.worst_column;
      for (std::vector<float>* maxima : {&call.amax_row, &call.amax_column, &call.amax_block})
        for (const float factor : {0.0f, 0.9f, 1.01f, std::numeric_limits<float>::quiet_NaN()}) {
          const std::vector<float> before = *maxima;
          for (float& maximum : *maxima) maximum *= factor;
          EXPECT_FALSE(call.Check().ok) << chain << ' ' << size << ' ' << factor;
          *maxima = before;
        }
    }
}

TEST(VerifyEpilogue, SaysWhichMaximumIsWrong) {
  Call call("amax_row+amax_column", 40, 50, 60);
  call.Compute(call.inputs.epilogue);
  call.amax_row[7] *= 2;
  VerifyReport report = call.Check();
  EXPECT_EQ(report.worst_row, 7);
  EXPECT_EQ(report.worst_column, -1);
  call.amax_row[7] /= 2, call.amax_column[9] = 0;
  report = call.Check();
  EXPECT_EQ(report.worst_row, -1);
  EXPECT_EQ(report.worst_column, 9);
}

TEST(VerifyEpilogue, TakesNaNForNaN) {
  Call call("gelu", 3, 4, 5);
  call.Compute(call.inputs.epilogue);
  call.Set(1, 2, std::numeric_limits<double>::quiet_NaN());
  EXPECT_FALSE(call.Check().ok);
  const Tensor& a = call.args.a;
  Encode(a.dtype, a.data, 5, -std::numeric_limits<double>::infinity());  // of row 1
  call.Compute(call.inputs.epilogue);
  EXPECT_TRUE(call.Check().ok);
  call.Set(1, 2, 0.0);
  EXPECT_FALSE(call.Check().ok);
}

TEST(VerifyEpilogue, WantsHostMemory) {
  Call call("bias", 3, 4, 5);
  call.inputs.bias.device = {DeviceKind::kCuda, 0};
  EXPECT_THROW(call.Check(), Error);
}

}  // namespace
}  // namespace gemmsmith
