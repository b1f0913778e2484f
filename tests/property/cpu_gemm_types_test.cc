// The CPU kernels for 16-bit floats and 8-bit integers against double and int64 references: types, layouts, edges,
// blocks.
#include <gtest/gtest.h>

#include <cstring>
#include <limits>
#include <optional>
#include <tuple>

#include "../support/cpu_gemm.h"
#include "gemmsmith/engine.h"
#include "gemmsmith/jit_wrapper.h"
#include "util/log.h"

namespace gemmsmith {
namespace {

using namespace testing_support;

struct Types {
  DType a, b, d;
  bool integer() const { return Info(a).is_integer(); }
  DType sum() const { return integer() ? DType::kS32 : DType::kF32; }
};

// What operands are multiplied with each other, and what their sums are stored as.
constexpr DType kFloats[] = {DType::kF32, DType::kBf16, DType::kF16}, kBytes[] = {DType::kS8, DType::kU8};
constexpr DType kStoredF32[] = {DType::kF32}, kStoredS32[] = {DType::kS32};

std::vector<Types> AllTypes() {
  std::vector<Types> all;
  const auto add = [&](const auto& operands, const auto& stored) {
    for (const DType a : operands)
      for (const DType b : operands)
        for (const DType d : stored) all.push_back({a, b, d});
  };
  add(kFloats, kStoredF32);
  add(kBytes, kStoredS32);
  return all;
}

/// The matrices of a batch, of elements of any type; the very last line has no gap.
class Matrices {
 public:
  Matrices(DType dtype, std::int64_t batch, std::int64_t rows, std::int64_t columns, bool column_major,
           std::int64_t gap)
      : dtype(dtype),
        ld((column_major ? rows : columns) + gap),
        stride(column_major ? ld * columns : ld * rows),
        row(column_major ? 1 : ld),
        column(column_major ? ld : 1),
        elements(rows * columns == 0 ? 0 : stride * (batch - 1) + (rows - 1) * row + (columns - 1) * column + 1),
        memory(elements * static_cast<std::int64_t>(SizeOf(dtype))) {}

  std::int64_t Index(std::int64_t matrix, std::int64_t i, std::int64_t j) const {
    return matrix * stride + i * row + j * column;
  }
  double At(std::int64_t matrix, std::int64_t i, std::int64_t j) const {
    return Decode(dtype, memory.begin(), Index(matrix, i, j));
  }
  void Set(std::int64_t matrix, std::int64_t i, std::int64_t j, double value) const {
    Encode(dtype, memory.begin(), Index(matrix, i, j), value);
  }
  /// Integers: one in four is extreme.
  void FillRandom(std::mt19937_64& random) const {
    std::uniform_real_distribution<double> uniform(-1, 1);
    constexpr double kExtremes[] = {-128, 127, 255, 0, 128, -1};
    const double scale = Info(dtype).is_integer() ? 255 : 1;
    for (std::int64_t i = 0; i < elements; ++i)
      Encode(dtype, memory.begin(), i,
             scale > 1 && random() % 4 == 0 ? kExtremes[random() % std::size(kExtremes)] : scale * uniform(random));
  }
  void Poison() const { std::memset(memory.begin(), 0xff, static_cast<std::size_t>(memory.end() - memory.begin())); }
  std::vector<std::byte> Bytes() const { return {memory.begin(), memory.end()}; }
  Tensor AsTensor(std::int64_t rows, std::int64_t columns) const {
    Tensor tensor;
    tensor.data = memory.begin();
    tensor.dtype = dtype;
    tensor.rank = 2;
    tensor.shape = {rows, columns};
    tensor.strides = {row, column};
    return tensor;
  }

  const DType dtype;
  const std::int64_t ld, stride, row, column, elements;
  const GuardedMemory<std::byte> memory;
};

struct Case {
  std::int64_t m, n, k, batch = 1;
  bool a_columns = false, b_columns = false;  ///< Column-major.
  std::int64_t gap = 0;
  double alpha = 1, beta = 0;
  bool packed_b = false, scalars_by_pointer = false;
};
std::ostream& operator<<(std::ostream& out, const Case& c) {
  return out << "m=" << c.m << " n=" << c.n << " k=" << c.k << " batch=" << c.batch << " layout="
             << "nt"[c.a_columns] << (c.packed_b ? 'p' : "nt"[c.b_columns]) << " gap=" << c.gap << " alpha=" << c.alpha
             << " beta=" << c.beta << (c.scalars_by_pointer ? " pointers" : "");
}

class Fixture {
 public:
  Fixture(const Types& types, const Case& c, const PackedForm& form)
      : types_(types),
        case_(c),
        form_(form),
        a_(types.a, c.batch, c.m, c.k, c.a_columns, c.gap),
        b_(types.b, c.batch, c.k, c.n, c.b_columns, c.gap),
        c_(types.d, c.batch, c.m, c.n, false, c.gap),
        d_(types.d, c.batch, c.m, c.n, false, c.gap),
        packed_(c.packed_b ? c.batch * form.bytes(c.k, c.n) : 0) {
    std::mt19937_64 random(std::random_device{}());
    a_.FillRandom(random);
    b_.FillRandom(random);
    c_.FillRandom(random);
    Pack();
  }
  /// B, whose elements may have been changed since.
  void Pack() const {
    if (!case_.packed_b) return;
    Tensor b = b_.AsTensor(case_.k, case_.n);
    for (std::int64_t i = 0; i < case_.batch; ++i) {
      b.data = b_.memory.begin() + i * b_.stride * static_cast<std::int64_t>(SizeOf(types_.b));
      PackB(b, form_, packed_.begin() + i * form_.bytes(case_.k, case_.n));
    }
  }

  GemmProblem Problem() const {
    GemmProblem p;
    p.a_type = types_.a;
    p.b_type = types_.b;
    p.c_type = p.d_type = types_.d;
    p.acc_type = types_.sum();
    p.m = case_.m;
    p.n = case_.n;
    p.k = case_.k;
    p.batch = case_.batch;
    p.lda = a_.ld;
    p.ldb = b_.ld;
    p.ldc = c_.ld;
    p.ldd = d_.ld;
    p.batch_stride_a = a_.stride;
    p.batch_stride_b = b_.stride;
    if (case_.packed_b) p.batch_stride_b = form_.bytes(case_.k, case_.n) / static_cast<std::int64_t>(SizeOf(types_.b));
    p.batch_stride_c = c_.stride;
    p.batch_stride_d = d_.stride;
    p.a_layout = case_.a_columns ? Layout::kColMajor : Layout::kRowMajor;
    p.b_layout = case_.packed_b ? Layout::kPacked : case_.b_columns ? Layout::kColMajor : Layout::kRowMajor;
    p.beta = case_.beta == 0 ? BetaClass::kZero : BetaClass::kGeneral;
    return p;
  }

  void Run(const TileConfig& config, const CodeTarget& target) {
    const GemmProblem problem = Problem();
    GemmArgs args;
    args.a = a_.AsTensor(case_.m, case_.k);
    args.b = b_.AsTensor(case_.k, case_.n);
    if (case_.packed_b) args.b.data = packed_.begin();
    args.d = d_.AsTensor(case_.m, case_.n);
    if (case_.beta != 0) args.c = c_.AsTensor(case_.m, case_.n);
    Encode(types_.sum(), &alpha_, 0, case_.alpha);
    Encode(types_.sum(), &beta_, 0, case_.beta);
    args.alpha = case_.scalars_by_pointer ? Scalar::OnDevice(&alpha_) : Scalar(case_.alpha);
    args.beta = case_.scalars_by_pointer ? Scalar::OnDevice(&beta_) : Scalar(case_.beta);
    d_.Poison();
    LaunchOnCpu(*MakeCpuKernel(problem, config, target), FamilyFor(target).MakeLaunch(problem, config), args);
  }

  /// Every element within the bound that summing in any order keeps, integers exactly; nothing beside D changed.
  void Check() {
    if (expected_.empty()) Compute();
    std::vector<std::byte> after = d_.Bytes();
    const std::size_t size = SizeOf(types_.d);
    double worst = 0;
    std::size_t at = 0;
    ForEach([&](auto b, auto i, auto j) {
      const auto& [value, bound] = expected_[at++];
      const double error = std::fabs(d_.At(b, i, j) - value);
      worst = std::max(worst, error <= bound ? 0 : std::isnan(error) ? 1e30 : error);
      std::memset(after.data() + static_cast<std::size_t>(d_.Index(b, i, j)) * size, 0xff, size);
    });
    EXPECT_EQ(worst, 0) << case_;
    EXPECT_EQ(std::count(after.begin(), after.end(), std::byte{0xff}), std::ssize(after))
        << case_ << ": wrote outside D";
  }

  Matrices& a() { return a_; }
  Matrices& b() { return b_; }
  Matrices& d() { return d_; }

 private:
  template <class Function>
  void ForEach(Function function) const {
    for (std::int64_t b = 0; b < case_.batch; ++b)
      for (std::int64_t i = 0; i < case_.m; ++i)
        for (std::int64_t j = 0; j < case_.n; ++j) function(b, i, j);
  }
  std::vector<double> Decoded(const Matrices& x, std::int64_t rows, std::int64_t columns, bool by_columns) const {
    std::vector<double> values;
    for (std::int64_t b = 0; b < case_.batch; ++b)
      for (std::int64_t i = 0; i < (by_columns ? columns : rows); ++i)
        for (std::int64_t j = 0; j < (by_columns ? rows : columns); ++j)
          values.push_back(by_columns ? x.At(b, j, i) : x.At(b, i, j));
    return values;
  }
  /// Sums of 8-bit products are whole numbers that a double holds.
  void Compute() {
    const std::vector<double> a = Decoded(a_, case_.m, case_.k, false), b = Decoded(b_, case_.k, case_.n, true);
    ForEach([&](auto matrix, auto i, auto j) {
      const double* x = a.data() + (matrix * case_.m + i) * case_.k;
      const double* y = b.data() + (matrix * case_.n + j) * case_.k;
      double sum = 0, magnitude = 0;
      for (std::int64_t p = 0; p < case_.k; ++p) {
        sum += x[p] * y[p];
        magnitude += std::fabs(x[p] * y[p]);
      }
      const double c = case_.beta == 0 ? 0 : case_.beta * c_.At(matrix, i, j);
      const double value = case_.alpha * sum + c;
      const double rounded = types_.d == types_.sum() ? 0 : Info(types_.d).epsilon * std::fabs(value);
      const double summed = std::numeric_limits<float>::epsilon() * static_cast<double>(case_.k + 4) *
                            (std::fabs(case_.alpha) * magnitude + std::fabs(c));
      expected_.emplace_back(value, types_.integer() ? 0 : summed + rounded);
    });
  }

  const Types types_;
  const Case case_;
  const PackedForm form_;
  Matrices a_, b_, c_, d_;
  const GuardedMemory<std::byte> packed_;
  std::vector<std::pair<double, double>> expected_;  ///< And by how much it may be missed.
  alignas(8) std::byte alpha_[8] = {}, beta_[8] = {};
};

struct Param {
  Types types;
  CodeTarget target;
};
std::vector<Param> AllParams() {
  std::vector<Param> params;
  for (const Types& types : AllTypes()) {
    GemmProblem p = MakeProblem(64, 64, 64);
    p.a_type = types.a;
    p.b_type = types.b;
    p.c_type = p.d_type = types.d;
    p.acc_type = types.sum();
    for (const CodeTarget& target : DistinctTargets(p)) params.push_back({types, target});
  }
  return params;
}
std::string NameOf(const ::testing::TestParamInfo<Param>& info) {
  const auto& [types, target] = info.param;
  std::string name =
      fmt::format("{}_{}_{}_{}", ToString(types.a), ToString(types.b), ToString(types.d), ToString(target));
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

class CpuGemmTypes : public ::testing::TestWithParam<Param> {
 protected:
  const KernelFamily& family() const { return FamilyFor(GetParam().target); }
  PackedForm form() const { return family().Packed(GetParam().types.b, GetParam().target); }

  /// As every candidate computes it, with blocks as they are and small ones.
  void Check(const Case& c) const { Check(c, SpecFor(GetParam().target)); }
  void Check(const Case& c, const DeviceSpec& spec) const {
    const auto& [types, target] = GetParam();
    Fixture fixture(types, c, form());
    const GemmProblem problem = fixture.Problem();
    if (const std::string reason = family().WhyNot(problem, target); !reason.empty()) {
      EXPECT_TRUE(c.packed_b && types.a != types.b) << reason;
      return;
    }
    std::vector<TileConfig> configs = family().Candidates(problem, target, spec);
    for (std::size_t i = configs.size(); i-- > 0;) {
      configs.push_back(configs[i]);
      Shrink(configs.back());
    }
    for (const TileConfig& config : configs) {
      SCOPED_TRACE(ToString(config));
      fixture.Run(config, target);
      fixture.Check();
    }
  }
};

TEST_P(CpuGemmTypes, EveryEdgeOfTilesAndUnitsIsRight) {
  for (const std::int64_t m : {1, 2, 5, 6, 7, 13, 29})
    for (const std::int64_t n : {1, 3, 4, 16, 17, 33, 65})
      for (const std::int64_t k : {1, 2, 3, 4, 5, 18, 19})
        Check({.m = m, .n = n, .k = k, .b_columns = (m + n + k) % 2 == 0});
}

TEST_P(CpuGemmTypes, RandomProblemsAreRight) {
  const auto seed = std::random_device{}();
  std::mt19937 random(seed);
  SCOPED_TRACE(::testing::Message() << "seed " << seed);
  constexpr std::int64_t kSizes[] = {0, 1, 2, 3, 4, 5, 6, 7, 11, 12, 16, 17, 31, 32, 33, 47, 64, 65, 97, 128, 131};
  const auto pick = [&](const auto& values) { return values[random() % std::size(values)]; };
  const bool integer = GetParam().types.integer();
  for (int round = 0; round < 60; ++round) {
    Case c{.m = pick(kSizes), .n = pick(kSizes), .k = pick(kSizes)};
    c.batch = 1 + static_cast<std::int64_t>(random() % 3);
    c.a_columns = random() % 2 == 0;
    c.b_columns = random() % 2 == 0;
    c.gap = random() % 2 == 0 ? 0 : 1 + static_cast<std::int64_t>(random() % 70);
    c.alpha = pick(integer ? std::vector<double>{0, 1, -1, 3} : std::vector<double>{0, 1, -1, 0.5});
    c.beta = pick(integer ? std::vector<double>{0, 1, -2} : std::vector<double>{0, 1, -0.5});
    c.packed_b = random() % 3 == 0;
    c.scalars_by_pointer = random() % 4 == 0;
    Check(c);
  }
}

TEST_P(CpuGemmTypes, LargeEnoughToBeBlockedAndSharedIsRight) {
  Check({.m = 101, .n = 163, .k = 1277, .beta = 1});
  Check({.m = 3, .n = 301, .k = 600, .a_columns = true, .b_columns = true});
  Check({.m = 70, .n = 135, .k = 2310, .batch = 2, .b_columns = true});  // Panels are packed beside the products.
  Check({.m = 40, .n = 70, .k = 0, .beta = 1});
  Check({.m = 11, .n = 101, .k = 4301, .b_columns = true, .gap = 1});  // Two blocks of dot products.
  Check({.m = 50, .n = 64, .k = 333, .batch = 3, .packed_b = true});
}

TEST_P(CpuGemmTypes, AFewRowsByRowsOfBThatAreJoinedAreRight) {
  for (const std::int64_t m : {1, 4, 7, 13, 16})
    for (const std::int64_t n : {1, 15, 16, 48, 101})
      for (const std::int64_t gap : {0, 3}) {
        Check({.m = m, .n = n, .k = 96, .gap = gap});
        Check({.m = m, .n = n, .k = 200, .batch = 2, .a_columns = true, .gap = gap, .alpha = 2, .beta = -1});
      }
}

TEST_P(CpuGemmTypes, MoreRowsByABThatIsPackedAPanelAtATimeAreRight) {
  for (const std::int64_t m : {17, 33, 70})
    for (const std::int64_t n : {1, 15, 48, 65, 131})
      for (const std::int64_t gap : {0, 3}) {
        Check({.m = m, .n = n, .k = 96, .gap = gap});
        Check({.m = m, .n = n, .k = 200, .batch = 2, .gap = gap, .alpha = 2, .beta = -1});
      }
}

TEST_P(CpuGemmTypes, ABThatThreadsPackForThemselvesOrForEachOtherIsRight) {
  for (const bool b_columns : {false, true})
    for (const auto& [m, n] : {std::pair{150, 5}, {150, 16}, {150, 70}, {7, 150}})
      for (const std::int64_t k : {67, 1101})  // One block of k, and several.
        Check({.m = m, .n = n, .k = k, .b_columns = b_columns, .alpha = 2, .beta = k == 67 ? 1.0 : 0.0});
}

TEST_P(CpuGemmTypes, AFewRowsByABThatFitsNoCacheAreRight) {
  DeviceSpec spec = SpecFor(GetParam().target);
  spec.l2_bytes = spec.l3_bytes = 512;  // So that small ones do not.
  for (const std::int64_t m : {1, 2, 3, 4, 5, 6})
    for (const std::int64_t n : {1, 30, 101, 256, 261, 303})
      Check({.m = m, .n = n, .k = 64 + n, .b_columns = true, .gap = 5}, spec);
  for (const std::int64_t m : {1, 2, 4, 5, 6, 8, 16})
    for (const std::int64_t n : {1, 15, 64, 101, 210})
      for (const std::int64_t gap : {0, 3}) Check({.m = m, .n = n, .k = gap == 0 ? 76 : 32, .gap = gap}, spec);
  for (const std::int64_t m : {1, 3, 4, 6, 16}) {
    Check({.m = m, .n = 1100, .k = 12, .batch = 2, .gap = 1, .alpha = 2, .beta = -1}, spec);
    // Rows lie pages apart.
    Check({.m = m, .n = 96, .k = 4, .gap = 4000, .beta = 1, .scalars_by_pointer = true}, spec);
    Check({.m = m, .n = 1100, .k = 12, .gap = 2996, .alpha = 2}, spec);
  }
}

TEST_P(CpuGemmTypes, RowsByUnitsOfBThatTheFirstTileKeptAreRight) {
  DeviceSpec spec = SpecFor(GetParam().target);
  spec.l2_bytes = spec.l3_bytes = 512;  // So that B fits neither.
  for (const std::int64_t m : {5, 6, 7, 11, 16, 40})
    for (const std::int64_t n : {1, 30, 64, 150}) {
      Check({.m = m, .n = n, .k = 132, .batch = m % 2 + 1, .alpha = 2, .beta = -1}, spec);
      Check({.m = m, .n = n, .k = 64, .a_columns = true, .gap = 3}, spec);
    }
  Check({.m = 33, .n = 70, .k = 1100, .beta = 1}, spec);  // Two blocks of k.
  Check({.m = 16, .n = 330, .k = 600, .gap = 1}, spec);
  Check({.m = 260, .n = 48, .k = 68}, spec);  // Threads share the rows.
  Check({.m = 257, .n = 200, .k = 68, .batch = 2}, spec);
}

TEST_P(CpuGemmTypes, ASingleRowOrColumnIsRightInEveryLayout) {
  for (const bool a_columns : {false, true})
    for (const bool b_columns : {false, true})
      for (const std::int64_t k : {1, 64, 67, 300})
        for (const std::int64_t length : {1, 4, 7, 130}) {
          const Case row{.m = 1, .n = length, .k = k, .batch = 2, .a_columns = a_columns, .b_columns = b_columns};
          Case column = row;
          std::swap(column.m, column.n);
          Check(row);
          Check(column);
        }
}

TEST_P(CpuGemmTypes, NanAndInfinityOfAnOperandReachTheirRowOrColumnOnly) {
  const auto& [types, target] = GetParam();
  if (types.integer()) GTEST_SKIP() << "integers have neither";
  for (const bool b_columns : {false, true})
    for (const bool packed_b : {false, true}) {
      Fixture fixture(types, {.m = 12, .n = 40, .k = 70, .b_columns = b_columns, .packed_b = packed_b}, form());
      fixture.a().Set(0, 3, 7, std::numeric_limits<double>::quiet_NaN());
      fixture.b().Set(0, 9, 35, std::numeric_limits<double>::infinity());
      for (int i = 0; i < 12; ++i) fixture.a().Set(0, i, 9, 0.5);
      fixture.Pack();
      const GemmProblem problem = fixture.Problem();
      if (!family().WhyNot(problem, target).empty()) continue;
      for (const TileConfig& config : family().Candidates(problem, target, SpecFor(target))) {
        fixture.Run(config, target);
        for (int i = 0; i < 12; ++i)
          for (int j = 0; j < 40; ++j) {
            EXPECT_EQ(std::isnan(fixture.d().At(0, i, j)), i == 3) << i << ", " << j << ": " << ToString(config);
            EXPECT_EQ(std::isinf(fixture.d().At(0, i, j)), i != 3 && j == 35) << i << ", " << j;
          }
      }
    }
}

TEST_P(CpuGemmTypes, SumsOfExtremeBytesAreExact) {
  const auto& [types, target] = GetParam();
  if (!types.integer()) GTEST_SKIP() << "of 8-bit integers";
  for (const double a : {-128.0, 255.0})
    for (const double b : {-128.0, 255.0})
      for (const bool packed_b : {false, true})
        for (const bool b_columns : {false, true}) {
          Fixture fixture(types, {.m = 7, .n = 35, .k = 1030, .b_columns = b_columns, .packed_b = packed_b}, form());
          for (std::int64_t i = 0; i < fixture.a().elements; ++i) Encode(types.a, fixture.a().memory.begin(), i, a);
          for (std::int64_t i = 0; i < fixture.b().elements; ++i) Encode(types.b, fixture.b().memory.begin(), i, b);
          fixture.Pack();
          const GemmProblem problem = fixture.Problem();
          for (const TileConfig& config : family().Candidates(problem, target, SpecFor(target))) {
            fixture.Run(config, target);
            fixture.Check();
          }
        }
}

INSTANTIATE_TEST_SUITE_P(Types, CpuGemmTypes, ::testing::ValuesIn(AllParams()), NameOf);

}  // namespace
}  // namespace gemmsmith
