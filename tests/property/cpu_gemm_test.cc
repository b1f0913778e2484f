// The CPU kernels against a reference in a wider type, over shapes, layouts, scalars, threads, configs and targets.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cstring>
#include <limits>
#include <optional>
#include <vector>

#include "../support/cpu_gemm.h"

namespace gemmsmith {
namespace {

using namespace testing_support;

struct Case {
  std::int64_t m, n, k, batch = 1;
  bool a_columns = false, b_columns = false;  ///< Column-major.
  std::int64_t gap = 0;
  double alpha = 1, beta = 0;
  bool c_is_d = true, packed_b = false, scalars_by_pointer = false;
};

std::ostream& operator<<(std::ostream& out, const Case& c) {
  return out << "m=" << c.m << " n=" << c.n << " k=" << c.k << " batch=" << c.batch << " layout="
             << "nt"[c.a_columns] << (c.packed_b ? 'p' : "nt"[c.b_columns]) << " gap=" << c.gap << " alpha=" << c.alpha
             << " beta=" << c.beta << (c.c_is_d ? " c=d" : "") << (c.scalars_by_pointer ? " pointers" : "");
}

/// The operands of a case, filled, with D poisoned where nothing reads it.
template <class T>
class Fixture {
 public:
  using Wide = std::conditional_t<std::is_same_v<T, float>, double, long double>;

  Fixture(const Case& c, const PackedForm& form)
      : case_(c),
        form_(form),
        a_(c.batch, c.m, c.k, c.a_columns, c.gap),
        b_(c.batch, c.k, c.n, c.b_columns, c.gap),
        c_(c.batch, c.m, c.n, false, c.gap + 3),
        d_(c.batch, c.m, c.n, false, c.gap),
        packed_(c.packed_b ? c.batch * Elements() : 0) {
    std::mt19937_64 random(std::random_device{}());
    a_.FillRandom(random);
    b_.FillRandom(random);
    c_.FillRandom(random);
    if (c.packed_b) {
      Tensor b(b_.memory.begin(), {c.batch, c.k, c.n});
      b.strides = {b_.stride, b_.row, b_.column};
      PackB(b, form, packed_.begin());
    }
    Reset();
  }

  /// D as before the call: NaN, except where C is D and is read.
  void Reset() {
    std::fill(d_.memory.begin(), d_.memory.end(), std::numeric_limits<T>::quiet_NaN());
    if (case_.c_is_d && case_.beta != 0) ForEach([&](auto b, auto i, auto j) { d_.At(b, i, j) = c_.At(b, i, j); });
    before_.assign(d_.memory.begin(), d_.memory.end());
  }

  GemmProblem Problem() const {
    GemmProblem p;
    p.a_type = p.b_type = p.c_type = p.d_type = p.acc_type = DTypeOf<T>::value;
    p.m = case_.m;
    p.n = case_.n;
    p.k = case_.k;
    p.batch = case_.batch;
    p.lda = a_.ld;
    p.ldb = b_.ld;
    p.ldc = case_.c_is_d ? d_.ld : c_.ld;
    p.ldd = d_.ld;
    p.batch_stride_a = a_.stride;
    p.batch_stride_b = case_.packed_b ? Elements() : b_.stride;
    p.batch_stride_c = case_.c_is_d ? d_.stride : c_.stride;
    p.batch_stride_d = d_.stride;
    p.a_layout = case_.a_columns ? Layout::kColMajor : Layout::kRowMajor;
    p.b_layout = case_.packed_b ? Layout::kPacked : case_.b_columns ? Layout::kColMajor : Layout::kRowMajor;
    p.beta = case_.beta == 0 ? BetaClass::kZero : BetaClass::kGeneral;
    return p;
  }

  GemmArgs Args() {
    GemmArgs args;
    args.a = a_.AsTensor(case_.m, case_.k);
    args.b = case_.packed_b ? Tensor(packed_.begin(), {case_.k, case_.n}) : b_.AsTensor(case_.k, case_.n);
    args.d = d_.AsTensor(case_.m, case_.n);
    if (case_.beta != 0) args.c = case_.c_is_d ? args.d : c_.AsTensor(case_.m, case_.n);
    alpha_ = static_cast<T>(case_.alpha);
    beta_ = static_cast<T>(case_.beta);
    args.alpha = case_.scalars_by_pointer ? Scalar::OnDevice(&alpha_) : Scalar(case_.alpha);
    args.beta = case_.scalars_by_pointer ? Scalar::OnDevice(&beta_) : Scalar(case_.beta);
    return args;
  }

  /// Every element within the bound that summing in any order keeps; nothing else of D's memory changed.
  void Check() {
    Wide worst = 0;
    std::vector<T> after(d_.memory.begin(), d_.memory.end());
    ForEach([&](auto b, auto i, auto j) {
      Wide sum = 0, magnitude = 0;
      for (std::int64_t p = 0; p < case_.k; ++p) {
        const Wide product = Wide(a_.At(b, i, p)) * Wide(b_.At(b, p, j));
        sum += product;
        magnitude += std::fabs(product);
      }
      const Wide c = case_.beta == 0 ? Wide(0) : Wide(case_.beta) * Wide(c_.At(b, i, j));
      const Wide expected = Wide(case_.alpha) * sum + c;
      const Wide bound = Wide(std::numeric_limits<T>::epsilon()) * Wide(case_.k + 4) *
                         (std::fabs(Wide(case_.alpha)) * magnitude + std::fabs(c));
      const Wide error = std::fabs(Wide(d_.At(b, i, j)) - expected);
      worst = std::max(worst, error <= bound ? Wide(0) : std::isnan(error) ? Wide(1e30L) : error);
      const std::size_t index = static_cast<std::size_t>(&d_.At(b, i, j) - d_.memory.begin());
      after[index] = before_[index];
    });
    EXPECT_EQ(worst, 0) << case_;
    EXPECT_TRUE(after.empty() || std::memcmp(after.data(), before_.data(), after.size() * sizeof(T)) == 0)
        << case_ << ": wrote outside D";
  }

  std::vector<T> Result() const { return {d_.memory.begin(), d_.memory.end()}; }
  Operand<T>& a() { return a_; }
  Operand<T>& b() { return b_; }
  Operand<T>& d() { return d_; }

 private:
  /// Of one packed matrix.
  std::int64_t Elements() const { return form_.bytes(case_.k, case_.n) / static_cast<std::int64_t>(sizeof(T)); }
  template <class Function>
  void ForEach(Function function) const {
    for (std::int64_t b = 0; b < case_.batch; ++b)
      for (std::int64_t i = 0; i < case_.m; ++i)
        for (std::int64_t j = 0; j < case_.n; ++j) function(b, i, j);
  }

  const Case case_;
  const PackedForm form_;
  Operand<T> a_, b_, c_, d_;
  GuardedMemory<T> packed_;
  std::vector<T> before_;
  T alpha_ = 0, beta_ = 0;
};

template <class T>
void CheckAllConfigs(const Case& c, const CodeTarget& target, const DeviceSpec& spec) {
  const KernelFamily& family = FamilyFor(target);
  Fixture<T> fixture(c, family.Packed(DTypeOf<T>::value, target));
  const GemmProblem problem = fixture.Problem();
  ASSERT_EQ(family.WhyNot(problem, target), "");
  std::vector<TileConfig> configs = family.Candidates(problem, target, spec);
  for (std::size_t i = configs.size(); i-- > 0;) {
    configs.push_back(configs[i]);
    Shrink(configs.back());
  }
  for (const TileConfig& config : configs) {
    SCOPED_TRACE(ToString(target) + ": " + ToString(config));
    fixture.Reset();
    LaunchOnCpu(*MakeCpuKernel(problem, config, target), family.MakeLaunch(problem, config), fixture.Args());
    fixture.Check();
  }
}

class CpuGemm : public ::testing::TestWithParam<CodeTarget> {
 protected:
  void Check(const Case& c) const { Check(c, SpecFor(GetParam())); }
  void Check(const Case& c, const DeviceSpec& spec) const {
    CheckAllConfigs<float>(c, GetParam(), spec);
    CheckAllConfigs<double>(c, GetParam(), spec);
  }
};

constexpr std::int64_t kSizes[] = {0, 1, 2, 3, 7, 8, 13, 14, 15, 16, 17, 28, 31, 33, 47, 64, 97, 129};

TEST_P(CpuGemm, EveryEdgeOfTheTileGridIsRight) {
  for (const std::int64_t m : {1, 2, 5, 6, 7, 13, 14, 15, 17, 28, 29})
    for (const std::int64_t n : {1, 3, 4, 7, 8, 9, 15, 16, 17, 31, 32, 33, 48, 65}) Check({.m = m, .n = n, .k = 19});
}

TEST_P(CpuGemm, FewColumnsAtTheEndAreRight) {
  for (const std::int64_t n : {1, 4, 5, 8, 9, 20, 24, 39, 68, 72})
    for (const std::int64_t k : {7, 8, 9, 10, 11, 67, 90, 128, 512})
      for (const std::int64_t m : {9, 15, 33})
        Check({.m = m, .n = n, .k = k, .batch = 2, .gap = k % 2, .alpha = 2, .beta = m == 9 ? 0.0 : -1.0});
}

TEST_P(CpuGemm, ProductsOfFewColumnsAreRight) {
  for (const std::int64_t m : {16, 17, 100})
    for (const std::int64_t n : {2, 3, 4, 5, 7, 8, 11, 12, 13})
      for (const std::int64_t k : {64, 65, 300}) Check({.m = m, .n = n, .k = k, .batch = 2, .gap = 1, .beta = 0.5});
}

TEST_P(CpuGemm, EveryLayoutScalarAndOutputIsRight) {
  for (const bool a_columns : {false, true})
    for (const bool b_columns : {false, true})
      for (const double alpha : {1.0, 0.0, -1.0, 0.5})
        for (const double beta : {0.0, 1.0, -1.0, 0.5})
          for (const bool c_is_d : {false, true})
            Check({.m = 31,
                   .n = 50,
                   .k = 41,
                   .a_columns = a_columns,
                   .b_columns = b_columns,
                   .gap = c_is_d ? 0 : 5,
                   .alpha = alpha,
                   .beta = beta,
                   .c_is_d = c_is_d,
                   .scalars_by_pointer = b_columns});
}

TEST_P(CpuGemm, RandomProblemsAreRight) {
  const auto seed = std::random_device{}();
  std::mt19937 random(seed);
  SCOPED_TRACE(::testing::Message() << "seed " << seed);
  const auto pick = [&](const auto& values) { return values[random() % std::size(values)]; };
  constexpr double kScalars[] = {0, 1, -1, 0.5, 3};
  for (int round = 0; round < 150; ++round) {
    Case c{.m = pick(kSizes), .n = pick(kSizes), .k = pick(kSizes)};
    c.batch = 1 + static_cast<std::int64_t>(random() % 3);
    c.a_columns = random() % 2 == 0;
    c.b_columns = random() % 2 == 0;
    c.gap = random() % 2 == 0 ? 0 : 1 + static_cast<std::int64_t>(random() % 70);
    c.alpha = pick(kScalars);
    c.beta = pick(kScalars);
    c.c_is_d = random() % 2 == 0;
    c.packed_b = random() % 4 == 0;
    c.scalars_by_pointer = random() % 4 == 0;
    Check(c);
  }
}

TEST_P(CpuGemm, LargeEnoughToBeBlockedAndSharedIsRight) {
  Check({.m = 301, .n = 263, .k = 277, .b_columns = true, .beta = 0.5});
  Check({.m = 3, .n = 701, .k = 600});
  Check({.m = 70, .n = 135, .k = 1201, .batch = 2, .b_columns = true, .gap = 1});  // Packed beside the products.
  Check({.m = 13, .n = 135, .k = 1201, .a_columns = true, .b_columns = true, .beta = 1});
  Check({.m = 150, .n = 64, .k = 333, .batch = 3, .packed_b = true});
  Check({.m = 1600, .n = 80, .k = 136, .beta = 0.5});  // Many tiles of rows read each panel of B.
  Check({.m = 800, .n = 128, .k = 136, .gap = 896});   // Rows of B lie a page apart.
}

TEST_P(CpuGemm, FlatProductsAreRightWhetherTilesShareLinesOfDOrNot) {
  for (const std::int64_t k : {1, 5, 23, 24, 25, 65, 128}) {
    Check({.m = 70, .n = 1024, .k = k, .beta = k == 24 ? 0.5 : 0.0});
    Check({.m = 65, .n = 4096, .k = k, .gap = 3});
    Check({.m = 65, .n = 1030, .k = k, .packed_b = true});
  }
}

TEST_P(CpuGemm, ASingleRowOrColumnIsRightInEveryLayout) {
  for (const bool a_columns : {false, true})
    for (const bool b_columns : {false, true})
      for (const std::int64_t k : {1, 63, 64, 67, 300})
        for (const std::int64_t length : {1, 2, 4, 7, 130})
          for (const std::int64_t gap : {0, 3}) {
            const Case row{.m = 1,
                           .n = length,
                           .k = k,
                           .batch = 2,
                           .a_columns = a_columns,
                           .b_columns = b_columns,
                           .gap = gap,
                           .alpha = 0.5,
                           .beta = gap == 0 ? 0.0 : 2.0};
            Case column = row;
            std::swap(column.m, column.n);
            Check(row);
            Check(column);
          }
}

TEST_P(CpuGemm, AFewRowsByAnUnpackedBAreRight) {
  const DeviceSpec spec = SpecFor(GetParam());
  const std::int64_t k = 4 * spec.l2_bytes / static_cast<std::int64_t>(sizeof(float)) / 650;  // Larger than L2.
  for (const bool b_columns : {false, true})
    for (const std::int64_t m : {1, 3, 7, 11, 16}) {
      Check({.m = m, .n = 651, .k = k, .a_columns = m == 11, .b_columns = b_columns, .gap = 1});
    }
}

TEST_P(CpuGemm, AFewRowsByABThatFitsNoCacheAreRight) {
  DeviceSpec spec = SpecFor(GetParam());
  spec.l2_bytes = 512;  // So that small ones do not.
  for (const std::int64_t l3_bytes : {std::int64_t{1} << 30, std::int64_t{512}}) {
    spec.l3_bytes = l3_bytes;
    for (const std::int64_t m : {1, 2, 3, 4, 5, 6, 7}) {
      for (const std::int64_t n : {1, 15, 64, 101}) {
        Check({.m = m, .n = n, .k = 21, .gap = n % 2}, spec);
        Check({.m = m, .n = n, .k = 85, .b_columns = true, .gap = n % 2}, spec);
      }
      for (const std::int64_t n : {257, 300, 302})
        Check({.m = m, .n = n, .k = 64, .b_columns = true, .alpha = -1, .beta = 2}, spec);
      Check({.m = m, .n = 1101, .k = 17, .batch = 2, .alpha = 2, .beta = -1}, spec);
      Check({.m = m, .n = 2048, .k = 14, .beta = 1}, spec);              // Rows of B lie pages apart.
      Check({.m = m, .n = 1100, .k = 9, .gap = 948, .alpha = 3}, spec);  // They and more.
    }
  }
}

TEST_P(CpuGemm, MoreThreadsThanTilesAreRight) {
  for (const bool packed_b : {false, true})
    for (const std::int64_t m : {1, 3})
      for (const std::int64_t n : {1, 40}) Check({.m = m, .n = n, .k = 30, .packed_b = packed_b});
}

TEST_P(CpuGemm, AnEmptySumIsBetaTimesC) {
  for (const bool c_is_d : {false, true})
    for (const double beta : {0.0, 1.0, -0.5})
      Check({.m = 20, .n = 37, .k = 0, .gap = 2, .beta = beta, .c_is_d = c_is_d});
}

TEST_P(CpuGemm, NothingIsWrittenWhereMOrNIsZero) {
  Check({.m = 0, .n = 5, .k = 4});
  Check({.m = 5, .n = 0, .k = 4});
}

TEST_P(CpuGemm, NanAndInfinityOfAnOperandReachTheirRowOrColumnOnly) {
  Fixture<float> fixture({.m = 30, .n = 40, .k = 50}, {});
  fixture.a().At(0, 3, 7) = std::numeric_limits<float>::quiet_NaN();
  fixture.b().At(0, 9, 35) = std::numeric_limits<float>::infinity();
  const GemmProblem problem = fixture.Problem();
  const KernelFamily& family = FamilyFor(GetParam());
  for (const TileConfig& config : family.Candidates(problem, GetParam(), SpecFor(GetParam()))) {
    fixture.Reset();
    LaunchOnCpu(*MakeCpuKernel(problem, config, GetParam()), family.MakeLaunch(problem, config), fixture.Args());
    for (int i = 0; i < 30; ++i)
      for (int j = 0; j < 40; ++j) {
        const float d = fixture.d().At(0, i, j);
        EXPECT_EQ(std::isnan(d), i == 3) << i << ", " << j;
        EXPECT_EQ(std::isinf(d), i != 3 && j == 35) << i << ", " << j;
      }
  }
}

TEST_P(CpuGemm, AnInfinityInAnyStepOfKMakesItsRowInfinite) {
  const KernelFamily& family = FamilyFor(GetParam());
  for (const std::int64_t n : {35, 40})
    for (const std::int64_t k : {49, 50, 51})
      for (const std::int64_t step : {std::int64_t{0}, k - 3, k - 2, k - 1}) {
        Fixture<float> fixture({.m = 30, .n = n, .k = k}, {});
        fixture.a().At(0, 3, step) = std::numeric_limits<float>::infinity();
        const GemmProblem problem = fixture.Problem();
        const TileConfig config = family.Candidates(problem, GetParam(), SpecFor(GetParam()))[0];
        LaunchOnCpu(*MakeCpuKernel(problem, config, GetParam()), family.MakeLaunch(problem, config), fixture.Args());
        for (int i = 0; i < 30; ++i)
          for (int j = 0; j < n; ++j)
            EXPECT_TRUE(i == 3 ? std::isinf(fixture.d().At(0, i, j)) : std::isfinite(fixture.d().At(0, i, j)))
                << "n=" << n << " k=" << k << " step=" << step << ": " << i << ", " << j;
      }
}

TEST_P(CpuGemm, BitsDoNotDependOnThreads) {
  const Case c{.m = 203, .n = 211, .k = 190, .b_columns = true, .alpha = 0.7};
  Fixture<float> fixture(c, {});
  const GemmProblem problem = fixture.Problem();
  const KernelFamily& family = FamilyFor(GetParam());
  TileConfig config = family.Candidates(problem, GetParam(), SpecFor(GetParam()))[0];
  std::optional<std::vector<float>> first;
  for (const int threads : {1, 2, 3, 4, 6, 1, 2}) {
    fixture.Reset();
    Shrink(config);
    for (std::size_t i = 0; i < config.fields.size(); ++i)
      if (config.fields[i].name == "threads") config[i] = threads;
    LaunchOnCpu(*MakeCpuKernel(problem, config, GetParam()), family.MakeLaunch(problem, config), fixture.Args());
    fixture.Check();
    if (!first) first = fixture.Result();
    EXPECT_EQ(std::memcmp(first->data(), fixture.Result().data(), first->size() * sizeof(float)), 0) << threads;
  }
}

INSTANTIATE_TEST_SUITE_P(Targets, CpuGemm, ::testing::ValuesIn(DistinctTargets(MakeProblem(64, 64, 64))),
                         [](const auto& info) {
                           std::string name = ToString(info.param);
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace gemmsmith
