#include "gemmsmith/problem.h"

#include <gtest/gtest.h>

#include <limits>
#include <set>

#include "gemmsmith/args.h"
#include "gemmsmith/error.h"
#include "kernels/family.h"

namespace gemmsmith {
namespace {

Code CodeOf(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.code();
  }
  ADD_FAILURE() << "nothing was thrown";
  return Code::kInternal;
}

TEST(Problem, TightLeadingDimensionsFollowTheLayout) {
  struct {
    const char* layout;
    std::int64_t lda, ldb;
  } const table[] = {{"nn", 7, 5}, {"nt", 7, 7}, {"tn", 3, 5}, {"tt", 3, 7}};
  for (const auto& row : table) {
    const GemmProblem p = MakeProblem(3, 5, 7, DType::kF32, row.layout);
    EXPECT_EQ(p.lda, row.lda) << row.layout;
    EXPECT_EQ(p.ldb, row.ldb) << row.layout;
    EXPECT_EQ(p.ldd, 5);
    EXPECT_EQ(LayoutName(p), row.layout);
  }
}

TEST(Problem, EveryFieldChangesEqualityAndHash) {
  const GemmProblem base = MakeProblem(3, 5, 7);
  std::vector<GemmProblem> others(25, base);
  std::size_t i = 0;
  others[i++].m = 4;
  others[i++].n = 4;
  others[i++].k = 4;
  others[i++].batch = 2;
  others[i++].groups = 2;
  others[i++].expected_m = 2;
  others[i++].grouping = Grouping::kMasked;
  others[i++].lda = 8;
  others[i++].ldb = 8;
  others[i++].ldc = 8;
  others[i++].ldd = 8;
  others[i++].batch_stride_a = 1;
  others[i++].epilogue_id = 1;
  others[i++].columns_per_d = 2;
  others[i++].ld_residual = 5;
  others[i++].batch_stride_residual = 15;
  others[i++].bias_type = DType::kBf16;
  others[i++].residual_type = DType::kBf16;
  others[i++].d_type = DType::kBf16;
  others[i++].b_layout = Layout::kColMajor;
  others[i++].beta = BetaClass::kGeneral;
  others[i++].compute = ComputeMode::kTf32;
  others[i++].scaling = Scaling::kBlock1x128;
  others[i++].alignment = 0;
  others[i++].deterministic = 0;
  ASSERT_EQ(i, others.size());
  std::set<std::size_t> hashes{Hash(base)};
  for (const GemmProblem& other : others) {
    EXPECT_NE(other, base);
    EXPECT_TRUE(hashes.insert(Hash(other)).second);
  }
}

TEST(Problem, DTypesAreOneOrOneForEach) {
  GemmProblem p = MakeProblem(1, 1, 1);
  SetDTypes(p, "bf16,bf16,f32");
  EXPECT_EQ(p.b_type, DType::kBf16);
  EXPECT_EQ(p.d_type, DType::kF32);
  EXPECT_EQ(p.acc_type, DType::kF32);
  SetDTypes(p, "s8");
  EXPECT_EQ(p.d_type, DType::kS32);
  for (const char* bad : {"", "f32,f32", "f32,f32,f32,f32,f32", "f33", "f32,"})
    EXPECT_EQ(CodeOf([&] { SetDTypes(p, bad); }), Code::kInvalidArgument) << bad;
}

TEST(Problem, BadProblemsAreRefusedWithTheirKind) {
  const GemmProblem good = MakeProblem(16, 16, 16);
  struct {
    const char* what;
    void (*spoil)(GemmProblem&);
    Code code;
  } const table[] = {
      {"negative m", [](GemmProblem& p) { p.m = -1; }, Code::kInvalidArgument},
      {"negative batch", [](GemmProblem& p) { p.batch = -1; }, Code::kInvalidArgument},
      {"short lda", [](GemmProblem& p) { p.lda = 15; }, Code::kInvalidArgument},
      {"short ldd", [](GemmProblem& p) { p.ldd = 8; }, Code::kInvalidArgument},
      {"negative ldb", [](GemmProblem& p) { p.ldb = -16; }, Code::kInvalidArgument},
      {"overflow", [](GemmProblem& p) { p.m = std::numeric_limits<std::int64_t>::max(); }, Code::kInvalidArgument},
      {"overlapping batch", [](GemmProblem& p) { p.batch = 2, p.batch_stride_d = 8; }, Code::kInvalidArgument},
      {"f32 times f64", [](GemmProblem& p) { p.b_type = DType::kF64; }, Code::kUnsupported},
      {"f32 times s8", [](GemmProblem& p) { p.b_type = DType::kS8; }, Code::kUnsupported},
      {"f32 summed in f16", [](GemmProblem& p) { p.acc_type = DType::kF16; }, Code::kUnsupported},
      {"packed a", [](GemmProblem& p) { p.a_layout = Layout::kPacked; }, Code::kUnsupported},
      {"c of another dtype", [](GemmProblem& p) { p.beta = BetaClass::kGeneral, p.ldc = 16, p.c_type = DType::kF16; },
       Code::kUnsupported},
  };
  EXPECT_NO_THROW(Validate(good));
  for (const auto& row : table) {
    GemmProblem p = good;
    row.spoil(p);
    EXPECT_EQ(CodeOf([&] { Validate(p); }), row.code) << row.what;
  }
}

TEST(Problem, EmptySizesAreLegal) {
  for (const auto& [m, n, k] : {std::tuple{0, 4, 4}, {4, 0, 4}, {4, 4, 0}, {0, 0, 0}})
    EXPECT_NO_THROW(MakeProblem(m, n, k));
}

TEST(Problem, AColumnMajorOutputIsTheTransposedProblem) {
  GemmProblem p = MakeProblem(3, 5, 7, DType::kF32, "nt");
  p.d_layout = Layout::kColMajor;
  p.ldd = 3;
  const GemmProblem c = Canonical(p);
  EXPECT_EQ(c.m, 5);
  EXPECT_EQ(c.n, 3);
  EXPECT_EQ(c.d_layout, Layout::kRowMajor);
  EXPECT_EQ(c.a_layout, Layout::kRowMajor);  // B^T of a column-major B
  EXPECT_EQ(c.b_layout, Layout::kColMajor);
  EXPECT_EQ(c.lda, p.ldb);
  EXPECT_NO_THROW(Validate(c));
}

// ---- Describe ----

struct Operands {
  HostTensor<float> a{4, 6}, b{6, 5}, d{4, 5};
  GemmArgs args;
  Operands() {
    args.a = a;
    args.b = b;
    args.d = d;
  }
};

TEST(Describe, TightTensorsPoseTheTightProblem) {
  for (const char* layout : {"nn", "nt", "tn", "tt"}) {
    for (const auto& [m, n, k] :
         {std::tuple{4, 5, 6}, {1, 5, 6}, {4, 1, 6}, {4, 5, 1}, {1, 1, 1}, {1, 1, 6}, {4, 1, 1}, {0, 5, 6}}) {
      std::vector<float> a(m * k + 4), b(k * n + 4), d(m * n + 4);
      GemmArgs args;
      args.a = layout[0] == 'n' ? Tensor(a.data(), {m, k}) : Tensor(a.data(), {k, m}).Transposed();
      args.b = layout[1] == 'n' ? Tensor(b.data(), {k, n}) : Tensor(b.data(), {n, k}).Transposed();
      args.d = Tensor(d.data(), {m, n});
      GemmProblem described = Describe(args, DType::kF32);
      const GemmProblem made = MakeProblem(m, n, k, DType::kF32, layout);
      described.alignment = made.alignment;
      EXPECT_EQ(described, made) << layout << " " << ToString(described) << " / " << ToString(made);
      EXPECT_EQ(Normalized(made), made);
    }
  }
}

TEST(Describe, BadArgumentsAreRefused) {
  struct {
    const char* what;
    void (*spoil)(GemmArgs&);
  } const table[] = {
      {"no a", [](GemmArgs& x) { x.a = Tensor(); }},
      {"null a", [](GemmArgs& x) { x.a.data = nullptr; }},
      {"null d", [](GemmArgs& x) { x.d.data = nullptr; }},
      {"k differs", [](GemmArgs& x) { x.b.shape[0] = 7; }},
      {"m differs", [](GemmArgs& x) { x.d.shape[0] = 3; }},
      {"n differs", [](GemmArgs& x) { x.d.shape[1] = 4; }},
      {"vector", [](GemmArgs& x) { x.a.rank = 1; }},
      {"no unit stride",
       [](GemmArgs& x) {
         x.a.strides = {12, 2};
       }},
      {"d is a", [](GemmArgs& x) { x.d.data = x.a.data; }},
      {"d inside b", [](GemmArgs& x) { x.d.data = static_cast<float*>(x.b.data) + 7; }},
      {"read-only d", [](GemmArgs& x) { x.d.read_only = true; }},
      {"d elsewhere",
       [](GemmArgs& x) {
         x.d.device = {DeviceKind::kCuda, 0};
       }},
      {"c half over d", [](GemmArgs& x) { x.c = x.d, x.c.data = static_cast<float*>(x.d.data) + 1, x.beta = 1; }},
      {"c of other shape", [](GemmArgs& x) { x.c = x.a, x.beta = 1; }},
  };
  for (const auto& row : table) {
    Operands o;
    row.spoil(o.args);
    EXPECT_EQ(CodeOf([&] { Describe(o.args, DType::kF32); }), Code::kInvalidArgument) << row.what;
  }
}

TEST(Describe, SumsOfIntegersAreScaledByWholeNumbersOnly) {
  HostTensor<std::int8_t> a(3, 4), b(4, 5);
  HostTensor<std::int32_t> d(3, 5);
  GemmArgs args;
  args.a = a, args.b = b, args.d = d;
  for (const double whole : {0.0, 1.0, -3.0, 2147483647.0}) {
    args.alpha = args.beta = whole;
    EXPECT_NO_THROW(Describe(args, DType::kS32)) << whole;
  }
  for (const double bad : {0.5, 3e9, -1e300, std::numeric_limits<double>::quiet_NaN()}) {
    args.alpha = bad, args.beta = 1;
    EXPECT_THROW(Describe(args, DType::kS32), Error) << bad;
    args.alpha = 1, args.beta = bad;
    EXPECT_THROW(Describe(args, DType::kS32), Error) << bad;
  }
}

TEST(Describe, ColumnRangesOfOneMatrixDoNotOverlap) {
  std::vector<float> wide(4 * 11 + 30);
  GemmArgs args;
  args.a = Tensor(wide.data(), {4, 6});
  args.d = Tensor(wide.data() + 6, {4, 5});
  args.a.strides[0] = args.d.strides[0] = 11;
  HostTensor<float> b(6, 5);
  args.b = b;
  EXPECT_NO_THROW(Describe(args, DType::kF32));
  args.d.data = wide.data() + 5;  // one column too far left
  EXPECT_EQ(CodeOf([&] { Describe(args, DType::kF32); }), Code::kInvalidArgument);
}

TEST(Describe, AlignmentIsOfThePointerFurthestOff) {
  alignas(64) static float memory[512];
  GemmArgs args;
  args.a = Tensor(memory, {4, 8});
  args.b = Tensor(memory + 128, {8, 8});
  args.d = Tensor(memory + 256, {4, 8});
  EXPECT_EQ(Describe(args, DType::kF32).alignment, 4);
  args.b.data = memory + 130;
  EXPECT_EQ(Describe(args, DType::kF32).alignment, 3);
  args.d.data = memory + 257;
  EXPECT_EQ(Describe(args, DType::kF32).alignment, 2);
}

TEST(Describe, AWeightOfRankTwoIsSharedByTheBatch) {
  std::vector<float> a(3 * 4 * 6), d(3 * 4 * 5);
  HostTensor<float> b(6, 5);
  GemmArgs args;
  args.a = Tensor(a.data(), {3, 4, 6});
  args.b = b;
  args.d = Tensor(d.data(), {3, 4, 5});
  const GemmProblem p = Describe(args, DType::kF32);
  EXPECT_EQ(p.batch, 3);
  EXPECT_EQ(p.batch_stride_a, 24);
  EXPECT_EQ(p.batch_stride_b, 0);
}

}  // namespace
}  // namespace gemmsmith
