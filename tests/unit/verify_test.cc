#include "gemmsmith/verify.h"

#include <gmock/gmock.h>

#include <cmath>
#include <cstring>
#include <iostream>
#include <limits>
#include <random>
#include <set>
#include <vector>

#include "gemmsmith/error.h"

namespace gemmsmith {
namespace {

std::uint64_t FreshSeed() {
  static const std::uint64_t seed = [] {
    const std::uint64_t fresh = std::random_device{}();
    std::cout << "seed " << fresh << "\n";
    return fresh;
  }();
  return seed;
}

/// One product with operands of its own; computed in the order and precision of a plain kernel.
struct Case {
  GemmProblem problem;
  std::vector<std::byte> a_bytes, b_bytes, c_bytes, d_bytes;
  GemmArgs args;

  Case(GemmProblem p, double alpha = 1, double beta = 0) : problem(p) {
    args.alpha = alpha, args.beta = beta;
    args.a = Make(a_bytes, p.a_type, p.m, p.k, p.a_layout);
    args.b = Make(b_bytes, p.b_type, p.k, p.n, p.b_layout);
    args.d = Make(d_bytes, p.d_type, p.m, p.n, Layout::kRowMajor);
    FillRandom(args.a, FreshSeed());
    FillRandom(args.b, FreshSeed() + 1);
    Poison(args.d);
    if (beta == 0) return;
    args.c = Make(c_bytes, p.c_type, p.m, p.n, Layout::kRowMajor);
    FillRandom(args.c, FreshSeed() + 2);
  }

  Tensor Make(std::vector<std::byte>& bytes, DType dtype, std::int64_t rows, std::int64_t columns,
              Layout layout) const {
    bytes.resize(problem.batch * rows * columns * SizeOf(dtype));
    if (layout == Layout::kColMajor) return Tensor(bytes.data(), dtype, {problem.batch, columns, rows}).Transposed();
    return Tensor(bytes.data(), dtype, {problem.batch, rows, columns});
  }
  static double Get(const Tensor& t, std::int64_t batch, std::int64_t row, std::int64_t column) {
    return Decode(t.dtype, t.data, batch * t.strides[0] + row * t.strides[1] + column * t.strides[2]);
  }
  void Set(std::int64_t row, std::int64_t column, double value, std::int64_t batch = 0) const {
    Encode(args.d.dtype, args.d.data, batch * args.d.strides[0] + row * args.d.strides[1] + column, value);
  }
  double Element(std::int64_t batch, std::int64_t i, std::int64_t j, std::int64_t k) const {
    const auto add = [&]<class Acc>(Acc sum) {
      for (std::int64_t l = 0; l < k; ++l)
        sum += static_cast<Acc>(Get(args.a, batch, i, l)) * static_cast<Acc>(Get(args.b, batch, l, j));
      sum *= static_cast<Acc>(args.alpha.value);
      if (args.beta.value != 0) sum += static_cast<Acc>(args.beta.value) * static_cast<Acc>(Get(args.c, batch, i, j));
      return static_cast<double>(sum);
    };
    return problem.acc_type == DType::kF32 ? add(0.f) : add(0.0);
  }
  void Compute() const {
    for (std::int64_t batch = 0; batch < problem.batch; ++batch)
      for (std::int64_t i = 0; i < problem.m; ++i)
        for (std::int64_t j = 0; j < problem.n; ++j) Set(i, j, Element(batch, i, j, problem.k), batch);
  }
  VerifyReport Check() const { return Verify(problem, args, args.c, FreshSeed()); }
};

GemmProblem Problem(std::int64_t m, std::int64_t n, std::int64_t k, const char* dtypes = "f32",
                    const char* layout = "nn", bool beta = false, std::int64_t batch = 1) {
  GemmProblem p = MakeProblem(m, n, k, DType::kF32, layout, beta ? BetaClass::kGeneral : BetaClass::kZero);
  SetDTypes(p, dtypes);
  SetBatch(p, batch);
  return p;
}

class EveryDType : public testing::TestWithParam<std::tuple<const char*, const char*>> {};

TEST_P(EveryDType, RightResultsPassAndAWrongOneDoesNot) {
  const auto [dtypes, layout] = GetParam();
  std::mt19937_64 random(FreshSeed());
  for (const bool beta : {false, true}) {
    const std::int64_t m = 1 + random() % 40, n = 1 + random() % 90, k = 2 + random() % 300, batch = 1 + random() % 3;
    const Case c(Problem(m, n, k, dtypes, layout, beta, batch), 1.5, beta ? -0.75 : 0);
    c.Compute();
    VerifyReport report = c.Check();
    EXPECT_TRUE(report.ok) << ToString(c.problem) << " error " << report.max_error << " > " << report.tolerance;
    EXPECT_EQ(report.checked, m * n * batch);
    const std::int64_t i = random() % m, j = random() % n, at = random() % batch;
    // A value that no rounding explains, nor the few bits that sums of FP8 keep; integers are off by two: one may be a
    // tie.
    const double value = Case::Get(c.args.d, at, i, j);
    const bool integer = Info(c.problem.d_type).is_integer();
    c.Set(i, j, integer ? (value > 100 ? value - 2 : value + 2) : value * 0.5 - std::copysign(16, value), at);
    report = c.Check();
    EXPECT_FALSE(report.ok) << ToString(c.problem);
    EXPECT_EQ(report.worst_row, i);
    EXPECT_EQ(report.worst_column, j);
  }
}

INSTANTIATE_TEST_SUITE_P(Types, EveryDType,
                         testing::Combine(testing::Values("f32", "f64", "f16", "bf16", "bf16,bf16,f32",
                                                          "e4m3,e4m3,bf16", "e5m2,e4m3,f32", "s8", "u8,s8,s32",
                                                          "f16,f16,e4m3"),
                                          testing::Values("nn", "nt", "tn", "tt")));

struct Fault {
  const char* name;
  void (*plant)(const Case&);
};
class PlantedFault : public testing::TestWithParam<Fault> {};

TEST_P(PlantedFault, IsCaughtInShortAndLongSums) {
  for (const char* dtypes : {"f32", "bf16"})
    for (const std::int64_t k : {16, 3000}) {
      const Case c(Problem(60, 70, k, dtypes, "nt"));
      c.Compute();
      ASSERT_TRUE(c.Check().ok);
      GetParam().plant(c);
      EXPECT_FALSE(c.Check().ok) << ToString(c.problem);
    }
}

void SwapRows(const Case& c) {
  const std::int64_t bytes = c.problem.n * SizeOf(c.problem.d_type);
  auto* d = static_cast<std::byte*>(c.args.d.data);
  std::swap_ranges(d + 7 * bytes, d + 8 * bytes, d + 8 * bytes);
}
void DropLastK(const Case& c) {
  for (std::int64_t i = 0; i < c.problem.m; ++i)
    for (std::int64_t j = 0; j < c.problem.n; ++j) c.Set(i, j, c.Element(0, i, j, c.problem.k - 1));
}

INSTANTIATE_TEST_SUITE_P(
    Faults, PlantedFault,
    testing::Values(
        Fault{"OneElement", [](const Case& c) { c.Set(12, 45, 1e3); }},
        Fault{"OneNaN", [](const Case& c) { c.Set(59, 69, std::nan("")); }},
        Fault{"OneInfinity", [](const Case& c) { c.Set(0, 0, std::numeric_limits<double>::infinity()); }},
        Fault{"PoisonLeft",
              [](const Case& c) {
                Poison(Tensor(c.args.d.data, c.problem.d_type, {1, 1}));
              }},
        Fault{"NothingWritten", [](const Case& c) { Poison(c.args.d); }}, Fault{"RowsSwapped", SwapRows},
        Fault{"LastKMissing", DropLastK},
        Fault{"Zeros", [](const Case& c) { std::memset(c.args.d.data, 0, c.args.d.size() * SizeOf(c.args.d.dtype)); }}),
    [](const auto& info) { return info.param.name; });

TEST(Verify, FaultsInSampledRegionsOfALargeProblemAreCaught) {
  const std::int64_t m = 700, n = 800, k = 400;
  const Case c(Problem(m, n, k));
  std::vector<float> b(n);
  // Rank one: a(i, l) = i-th value / k, b(l, j) = j-th value, so that the test knows D without much work.
  for (std::int64_t j = 0; j < n; ++j) b[j] = static_cast<float>(Case::Get(c.args.b, 0, 0, j));
  for (std::int64_t l = 0; l < k; ++l)
    std::memcpy(static_cast<float*>(c.args.b.data) + l * n, b.data(), n * sizeof(float));
  for (std::int64_t i = 0; i < m; ++i) {
    double sum = 0;
    for (std::int64_t l = 0; l < k; ++l) sum += Case::Get(c.args.a, 0, i, l);
    for (std::int64_t j = 0; j < n; ++j) c.Set(i, j, sum * b[j]);
  }
  const VerifyReport right = c.Check();
  EXPECT_TRUE(right.ok) << right.max_error;
  EXPECT_LT(right.checked, m * n);
  EXPECT_GE(right.checked, m + n - 1);
  for (std::int64_t i = 0; i < m; ++i) c.Set(i, n - 1, 0);
  EXPECT_FALSE(c.Check().ok) << "a column, met by the rows that are sampled";
  for (std::int64_t i = 0; i < m; ++i) c.Set(i, n - 1, Case::Get(c.args.d, 0, i, 0) / b[0] * b[n - 1]);
  for (std::int64_t j = 0; j < n; ++j) c.Set(m - 1, j, 0);
  EXPECT_FALSE(c.Check().ok) << "a row, met by the columns that are sampled";
}

TEST(Verify, SumsInAnyOrderPass) {
  const Case c(Problem(20, 30, 5000));
  for (std::int64_t i = 0; i < 20; ++i)
    for (std::int64_t j = 0; j < 30; ++j) {
      float parts[8] = {};
      for (std::int64_t l = 4999; l >= 0; --l)
        parts[l % 8] +=
            static_cast<float>(Case::Get(c.args.a, 0, i, l)) * static_cast<float>(Case::Get(c.args.b, 0, l, j));
      float sum = 0;
      for (const float part : parts) sum += part;
      c.Set(i, j, sum);
    }
  EXPECT_TRUE(c.Check().ok);
}

TEST(Verify, ADTypeThatOverflowsMustHoldItsInfinity) {
  Case c(Problem(4, 4, 64, "f16"), 1e6);
  c.Compute();
  EXPECT_TRUE(std::isinf(Case::Get(c.args.d, 0, 0, 0)));
  EXPECT_TRUE(c.Check().ok);
  c.Set(0, 0, 1);
  EXPECT_FALSE(c.Check().ok);
}

TEST(Verify, NaNInAnOperandMustReachTheResult) {
  Case c(Problem(3, 5, 7));
  Encode(DType::kF32, c.args.a.data, 0, std::nan(""));
  c.Compute();
  EXPECT_TRUE(c.Check().ok);
  c.Set(0, 2, 0);
  EXPECT_FALSE(c.Check().ok);
}

TEST(Verify, WithoutKTheResultIsBetaC) {
  Case c(Problem(5, 6, 0, "f32", "nn", true), 1, 2);
  c.Compute();
  EXPECT_TRUE(c.Check().ok);
  c.Set(4, 5, Case::Get(c.args.c, 0, 4, 5));
  EXPECT_FALSE(c.Check().ok);
}

TEST(Verify, NothingToCheckIsRight) {
  const Case c(Problem(0, 6, 3));
  const VerifyReport report = c.Check();
  EXPECT_TRUE(report.ok);
  EXPECT_EQ(report.checked, 0);
}

TEST(Verify, WeightsSharedByABatchAndStridedOperandsAreUnderstood) {
  Case c(Problem(6, 7, 8, "f32", "nn", false, 3));
  c.args.b = Tensor(c.args.b.data, DType::kF32, {8, 7});
  for (std::int64_t batch = 0; batch < 3; ++batch)
    for (std::int64_t i = 0; i < 6; ++i)
      for (std::int64_t j = 0; j < 7; ++j) {
        double sum = 0;
        for (std::int64_t l = 0; l < 8; ++l)
          sum += Case::Get(c.args.a, batch, i, l) * Decode(DType::kF32, c.args.b.data, l * 7 + j);
        c.Set(i, j, sum, batch);
      }
  EXPECT_TRUE(c.Check().ok);
}

TEST(Verify, RefusesWhatItCannotRead) {
  const Case good(Problem(4, 4, 4));
  const auto code_of = [&](auto change) {
    GemmArgs args = good.args;
    change(args);
    try {
      Verify(good.problem, args, args.c);
    } catch (const Error& error) {
      return error.code();
    }
    return Code::kInternal;
  };
  EXPECT_EQ(code_of([](GemmArgs& args) { args.b.packed = true; }), Code::kInvalidArgument);
  EXPECT_EQ(code_of([](GemmArgs& args) { args.a.device = {DeviceKind::kCuda, 0}; }), Code::kInvalidArgument);
  EXPECT_EQ(code_of([](GemmArgs& args) { args.a = args.a.Transposed(), args.a.shape[1] = 5; }), Code::kInvalidArgument);
  EXPECT_EQ(code_of([](GemmArgs& args) { args.d.data = nullptr; }), Code::kInvalidArgument);
  EXPECT_EQ(code_of([](GemmArgs& args) { args.alpha = Scalar::OnDevice(&args); }), Code::kInvalidArgument);
}

TEST(FillRandom, TheSameSeedGivesTheSameValuesInAnyLayoutAndOtherSeedsOthers) {
  std::vector<float> dense(30), columns(30), other(30);
  FillRandom(Tensor(dense.data(), {5, 6}), 7);
  FillRandom(Tensor(columns.data(), {6, 5}).Transposed(), 7);
  FillRandom(Tensor(other.data(), {5, 6}), 8);
  for (int i = 0; i < 5; ++i)
    for (int j = 0; j < 6; ++j) EXPECT_EQ(dense[i * 6 + j], columns[j * 5 + i]);
  EXPECT_NE(dense, other);
  // Frozen: the documentation promises the same values on every machine.
  EXPECT_EQ(dense[0], 0x1.c5a614p-2f);
}

TEST(FillRandom, ValuesFillTheRangeOfTheirType) {
  const std::pair<const char*, std::pair<double, double>> ranges[] = {
      {"f32", {-1, 1}},  {"f64", {-1, 1}},    {"f16", {-1, 1}}, {"bf16", {-1, 1}},   {"e4m3", {-1, 1}},
      {"e5m2", {-1, 1}}, {"s8", {-128, 127}}, {"u8", {0, 255}}, {"s32", {-127, 127}}};
  for (const auto& [name, range] : ranges) {
    const DType dtype = ParseDType(name);
    constexpr int kCount = 20000;
    std::vector<double> storage(kCount);
    FillRandom(Tensor(storage.data(), dtype, {kCount}), FreshSeed());
    double least = 1e9, most = -1e9, sum = 0;
    for (int i = 0; i < kCount; ++i) {
      const double value = Decode(dtype, storage.data(), i);
      least = std::min(least, value), most = std::max(most, value), sum += value;
    }
    const double width = range.second - range.first;
    EXPECT_GE(least, range.first) << name;
    EXPECT_LE(most, range.second) << name;
    EXPECT_LT(least, range.first + 0.02 * width) << name;
    EXPECT_GT(most, range.second - 0.02 * width) << name;
    EXPECT_NEAR(sum / kCount, (range.first + range.second) / 2, 0.02 * width) << name;
  }
}

TEST(Poison, TouchesTheElementsOfTheViewAlone) {
  std::vector<float> values(24, 1);
  Tensor view(values.data(), {4, 3});
  view.strides[0] = 6;
  Poison(view);
  for (int i = 0; i < 24; ++i) EXPECT_EQ(std::isnan(values[i]), i % 6 < 3) << i;
}

TEST(Poison, RefusesMemoryThatIsNotTheHosts) {
  float value = 0;
  EXPECT_THROW(Poison(Tensor(&value, {1}, {DeviceKind::kCuda, 0})), Error);
  EXPECT_THROW(FillRandom(Tensor(static_cast<const void*>(&value), DType::kF32, {1}), 1), Error);
}

}  // namespace
}  // namespace gemmsmith
