#include "gemmsmith/prepared_gemm.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <optional>
#include <vector>

#include "gemmsmith/gemmsmith.h"

namespace gemmsmith {
namespace {

EngineOptions InMemory() {
  EngineOptions options;
  options.enable_disk = false;
  return options;
}

/// Operands of one call, fresh for each seed; D is NaN.
struct Operands {
  std::int64_t m, n, k;
  HostTensor<float> a, b, c, d;
  Operands(std::int64_t rows, std::int64_t columns, std::int64_t depth, std::uint64_t seed)
      : m(rows), n(columns), k(depth), a(m, k), b(k, n), c(m, n), d(m, n) {
    FillRandom(a, seed);
    FillRandom(b, seed + 1);
    FillRandom(c, seed + 2);
    Poison(d);
  }
  GemmArgs Args() {
    GemmArgs args;
    args.a = a, args.b = b, args.d = d;
    return args;
  }
  void ExpectD(
      double alpha, double beta, double (*then)(double) = [](double x) { return x; }) const {
    for (std::int64_t i = 0; i < m; ++i)
      for (std::int64_t j = 0; j < n; ++j) {
        double sum = 0;
        for (std::int64_t p = 0; p < k; ++p) sum += double{a.data()[i * k + p]} * b.data()[p * n + j];
        const double want = then(alpha * sum + (beta == 0 ? 0 : beta * c.data()[i * n + j]));
        ASSERT_NEAR(d.data()[i * n + j], want, 1e-5 * static_cast<double>(k + 1)) << i << ", " << j;
      }
  }
};

Code ErrorOf(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& e) {
    return e.code();
  }
  ADD_FAILURE() << "nothing was thrown";
  return Code::kInternal;
}

TEST(PreparedGemm, ComputesWhatEngineGemmDoes) {
  Engine engine(InMemory());
  for (const auto& [m, n, k] : std::vector<std::array<std::int64_t, 3>>{{16, 16, 16}, {33, 65, 129}, {1, 70, 200}}) {
    Operands first(m, n, k, 1);
    const PreparedGemm gemm = engine.Prepare(first.Args());
    gemm.Run();
    first.ExpectD(1, 0);
    Operands second(m, n, k, 5);
    gemm.Run(second.a.data(), second.b.data(), nullptr, second.d.data());
    second.ExpectD(1, 0);
  }
}

TEST(PreparedGemm, MakesTheBitsOfEngineGemmHoweverSmall) {
  Engine engine(InMemory());
  struct Row {
    std::int64_t m, n, k, batch = 1;
    double alpha = 1, beta = 0;
    bool transposed_d = false;
  };
  const std::vector<Row> rows = {{1, 1, 1},
                                 {16, 16, 16},
                                 {17, 23, 31},
                                 {5, 70, 0},
                                 {5, 70, 0, 1, 2, 0.5},
                                 {7, 9, 11, 3},
                                 {7, 9, 11, 3, -0.5, 2},
                                 {20, 30, 40, 1, 0.25, -2},
                                 {20, 30, 40, 1, 3, 1, true},
                                 {12, 33, 1500, 1, 1, 1},  // Several blocks of k.
                                 {90, 300, 20},            // Many tiles.
                                 {70, 1024, 0},            // Long rows of nothing.
                                 {70, 1024, 0, 1, 2, 0.5},
                                 {70, 1024, 3, 1, -1, 2},
                                 {70, 4096, 128, 2}};
  for (const bool profiles : {false, true}) {
    engine.profiler().Enable(profiles);
    for (const Row& r : rows) {
      SCOPED_TRACE(::testing::Message() << r.m << "x" << r.n << "x" << r.k << " batch " << r.batch);
      HostTensor<float> a(r.batch * r.m, r.k), b(r.batch * r.k, r.n), c(r.batch * r.m, r.n), d(r.batch * r.m, r.n);
      std::uint64_t seed = ::testing::UnitTest::GetInstance()->random_seed() + 1;
      for (HostTensor<float>* x : {&a, &b, &c}) FillRandom(*x, seed++);
      GemmArgs args;
      args.a = Tensor(a.data(), DType::kF32, {r.batch, r.m, r.k});
      args.b = Tensor(b.data(), DType::kF32, {r.batch, r.k, r.n});
      args.c = Tensor(c.data(), DType::kF32, {r.batch, r.m, r.n});
      args.d = Tensor(d.data(), DType::kF32, {r.batch, r.m, r.n});
      args.alpha = r.alpha, args.beta = r.beta;
      if (r.transposed_d)
        for (Tensor* x : {&args.c, &args.d}) x->strides = {r.m * r.n, 1, r.m};
      Poison(d);
      engine.Gemm(args);
      const std::vector<float> want(d.data(), d.data() + r.batch * r.m * r.n);
      Poison(d);
      engine.Prepare(args).Run();
      EXPECT_TRUE(std::equal(want.begin(), want.end(), d.data()));
    }
  }
  engine.profiler().Enable(false);
}

TEST(PreparedGemm, KeepsScalarsAndTakesAnotherC) {
  Engine engine(InMemory());
  Operands first(20, 30, 40, 1);
  GemmArgs args = first.Args();
  args.c = first.c;
  args.alpha = 0.5;
  args.beta = -2;
  const PreparedGemm gemm = engine.Prepare(args);
  Operands second(20, 30, 40, 9);
  gemm.Run(second.a.data(), second.b.data(), second.c.data(), second.d.data());
  second.ExpectD(0.5, -2);
  for (std::int64_t i = 0; i < 20 * 30; ++i) second.d.data()[i] = second.c.data()[i];
  gemm.Run(second.a.data(), second.b.data(), nullptr, second.d.data());  // C is D.
  second.ExpectD(0.5, -2);
}

TEST(PreparedGemm, KeepsItsEpilogueWhenTheCallersIsGone) {
  Engine engine(InMemory());
  Operands operands(20, 30, 40, 1);
  std::optional<PreparedGemm> gemm;
  {
    EpilogueArgs epilogue;
    epilogue.epilogue = Epilogue::Parse("relu");
    GemmArgs args = operands.Args();
    args.epilogue = &epilogue;
    gemm = engine.Prepare(args);
  }
  const PreparedGemm copy = *gemm;
  gemm.reset();
  copy.Run();
  operands.ExpectD(1, 0, [](double x) { return std::max(x, 0.0); });
}

TEST(PreparedGemm, RefusesPointersThatItWasNotPreparedForAndLeavesD) {
  Engine engine(InMemory());
  Operands x(16, 16, 16, 1);
  const PreparedGemm gemm = engine.Prepare(x.Args());
  float* const d = x.d.data();
  const auto run = [&](const void* a, const void* b, const void* c, void* to) {
    return [&gemm, a, b, c, to] { gemm.Run(a, b, c, to); };
  };
  EXPECT_EQ(ErrorOf(run(nullptr, x.b.data(), nullptr, d)), Code::kInvalidArgument);
  EXPECT_EQ(ErrorOf(run(x.a.data(), nullptr, nullptr, d)), Code::kInvalidArgument);
  EXPECT_EQ(ErrorOf(run(x.a.data(), x.b.data(), nullptr, nullptr)), Code::kInvalidArgument);
  EXPECT_EQ(ErrorOf(run(d, x.b.data(), nullptr, d)), Code::kInvalidArgument);
  EXPECT_EQ(ErrorOf(run(x.a.data(), d + 64, nullptr, d)), Code::kInvalidArgument);
  std::vector<float> memory(16 * 16 + 16);
  auto* unaligned = memory.data();
  while (reinterpret_cast<std::uintptr_t>(unaligned) % 8 != 4) ++unaligned;
  EXPECT_EQ(ErrorOf(run(unaligned, x.b.data(), nullptr, d)), Code::kInvalidArgument);
  for (std::int64_t i = 0; i < 16 * 16; ++i) EXPECT_TRUE(std::isnan(d[i]));
}

TEST(PreparedGemm, AcceptsMatricesThatLieSideBySideInAWiderOne) {
  Engine engine(InMemory());
  HostTensor<float> wide(8, 32), b(8, 16);
  FillRandom(wide, 1);
  FillRandom(b, 2);
  GemmArgs args;
  args.a = Tensor(wide.data(), DType::kF32, {8, 8});
  args.a.strides = {32, 1};
  args.b = b;
  args.d = Tensor(wide.data() + 16, DType::kF32, {8, 16});
  args.d.strides = {32, 1};
  const PreparedGemm gemm = engine.Prepare(args);
  EXPECT_NO_THROW(gemm.Run(wide.data(), b.data(), nullptr, wide.data() + 16));
}

}  // namespace
}  // namespace gemmsmith
