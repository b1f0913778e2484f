#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

#include "cuda_on_host.h"
#include "gemmsmith/error.h"
#include "kernels/family.h"

namespace gemmsmith {

const KernelFamily& SimtFamily();

namespace {

namespace dev = device::gemmsmith;
using ::testing::HasSubstr;

const CodeTarget kHopper{Isa::kCuda, 90, 'a'};
DeviceSpec Spec() {
  DeviceSpec spec;
  spec.target = kHopper;
  spec.multiprocessors = 132;
  spec.shared_bytes_per_sm = 228 << 10;
  spec.registers_per_sm = 65536;
  return spec;
}

template <class T>
constexpr DType kTypeOf = DType::kF32;
template <>
constexpr DType kTypeOf<double> = DType::kF64;
template <>
constexpr DType kTypeOf<dev::Half> = DType::kF16;
template <>
constexpr DType kTypeOf<dev::Bfloat16> = DType::kBf16;

/// The template's configurations, as the host would render them; ForEach below checks that it would.
struct Square64 {
  static constexpr int kBlockM = 64, kBlockN = 64, kBlockK = 16, kMicroM = 8, kMicroN = 4;
};
struct Tall128 {
  static constexpr int kBlockM = 128, kBlockN = 64, kBlockK = 16, kMicroM = 8, kMicroN = 4;
};
struct Square32 {
  static constexpr int kBlockM = 32, kBlockN = 32, kBlockK = 16, kMicroM = 4, kMicroN = 4;
};
struct Flat64 {
  static constexpr int kBlockM = 16, kBlockN = 64, kBlockK = 32, kMicroM = 4, kMicroN = 4;
};
struct Flat32 {
  static constexpr int kBlockM = 16, kBlockN = 32, kBlockK = 32, kMicroM = 4, kMicroN = 4;
};
struct Thin16 {
  static constexpr int kBlockM = 64, kBlockN = 16, kBlockK = 32, kMicroM = 8, kMicroN = 2;
};
template <class A_, class B_, class D_, class Accumulator_ = float>
struct Types {
  using A = A_;
  using B = B_;
  using D = D_;
  using Accumulator = Accumulator_;
};
using F32 = Types<float, float, float>;
using F64 = Types<double, double, double, double>;
using F16 = Types<dev::Half, dev::Half, dev::Half>;
using Bf16 = Types<dev::Bfloat16, dev::Bfloat16, dev::Bfloat16>;
using F16ToF32 = Types<dev::Half, dev::Half, float>;
using Mixed = Types<dev::Bfloat16, float, dev::Half>;

/// kAligned: 16-byte accesses and C is read; else single elements and C is not.
template <class Tile, class Types, bool kRowMajorA, bool kRowMajorB, bool kAligned>
struct Config : Tile, Types {
  static constexpr bool kAAlongK = kRowMajorA, kBAlongK = !kRowMajorB, kReadC = kAligned;
  static constexpr int kThreads = dev::ThreadTile<Tile>::kThreads;
  static constexpr int Length(int share, std::size_t bytes) {
    return kAligned ? std::min(share, static_cast<int>(16 / bytes)) : 1;
  }
  static constexpr int kVectorA = Length(Tile::kBlockM * Tile::kBlockK / kThreads, sizeof(typename Types::A));
  static constexpr int kVectorB = Length(Tile::kBlockN * Tile::kBlockK / kThreads, sizeof(typename Types::B));
  static constexpr int kVectorD = Length(Tile::kMicroN, sizeof(typename Types::D));
};

/// A batch of matrices with padded lines, amid NaNs that nobody may read and nothing may overwrite.
class Matrices {
 public:
  Matrices(DType dtype, Layout layout, std::int64_t rows, std::int64_t columns, std::int64_t batch,
           std::int64_t padding)
      : dtype_(dtype),
        rows_(rows),
        columns_(columns),
        row_major_(layout == Layout::kRowMajor),
        ld((row_major_ ? columns : rows) + padding),
        stride((row_major_ ? rows : columns) * ld + padding),
        batch_(batch),
        storage_(static_cast<std::size_t>((batch * stride + 2 * kGuard) * 8 / 16 + 1)) {
    for (std::int64_t i = 0; i < batch_ * stride + 2 * kGuard; ++i)
      Encode(dtype_, storage_.data(), i, std::numeric_limits<double>::quiet_NaN());
  }
  void* data() { return reinterpret_cast<std::byte*>(storage_.data()) + kGuard * SizeOf(dtype_); }
  double Get(std::int64_t b, std::int64_t i, std::int64_t j) const {
    return Decode(dtype_, storage_.data(), At(b, i, j));
  }
  void FillRandom(std::mt19937& random) {
    std::uniform_real_distribution<double> uniform(-2, 2);
    ForEach([&](std::int64_t at) { Encode(dtype_, storage_.data(), at, uniform(random)); });
  }
  /// Whether all that lies outside the matrices is still NaN.
  bool OutsideUntouched() const {
    std::vector<bool> inside(static_cast<std::size_t>(batch_ * stride + 2 * kGuard));
    ForEach([&](std::int64_t at) { inside[static_cast<std::size_t>(at)] = true; });
    for (std::size_t i = 0; i < inside.size(); ++i)
      if (!inside[i] && !std::isnan(Decode(dtype_, storage_.data(), static_cast<std::int64_t>(i)))) return false;
    return true;
  }

 private:
  static constexpr std::int64_t kGuard = 64;  // elements
  struct alignas(16) Unit {
    std::byte bytes[16];
  };
  std::int64_t At(std::int64_t b, std::int64_t i, std::int64_t j) const {
    return kGuard + b * stride + (row_major_ ? i * ld + j : j * ld + i);
  }
  template <class Visit>
  void ForEach(Visit visit) const {
    for (std::int64_t b = 0; b < batch_; ++b)
      for (std::int64_t i = 0; i < rows_; ++i)
        for (std::int64_t j = 0; j < columns_; ++j) visit(At(b, i, j));
  }

  DType dtype_;
  std::int64_t rows_, columns_;
  bool row_major_;

 public:
  const std::int64_t ld, stride;

 private:
  std::int64_t batch_;
  std::vector<Unit> storage_;
};

struct Shape {
  std::int64_t m, n, k, batch;
};

/// One call: problem, operands, and the family's choice for them.
template <class Config>
class Call {
 public:
  Call(const Shape& s, unsigned seed)
      : shape_(s),
        a_(kTypeOf<typename Config::A>, Config::kAAlongK ? Layout::kRowMajor : Layout::kColMajor, s.m, s.k, s.batch,
           kPadding),
        b_(kTypeOf<typename Config::B>, Config::kBAlongK ? Layout::kColMajor : Layout::kRowMajor, s.k, s.n, s.batch,
           kPadding),
        c_(kTypeOf<typename Config::D>, Layout::kRowMajor, s.m, s.n, s.batch, 2 * kPadding),
        d_(kTypeOf<typename Config::D>, Layout::kRowMajor, s.m, s.n, s.batch, kPadding) {
    std::mt19937 random(seed);
    a_.FillRandom(random), b_.FillRandom(random);
    if (Config::kReadC) c_.FillRandom(random);
  }

  GemmProblem Problem() const {
    GemmProblem p;
    p.m = shape_.m, p.n = shape_.n, p.k = shape_.k, p.batch = shape_.batch;
    p.lda = a_.ld, p.ldb = b_.ld, p.ldc = c_.ld, p.ldd = d_.ld;
    p.batch_stride_a = a_.stride, p.batch_stride_b = b_.stride, p.batch_stride_c = c_.stride,
    p.batch_stride_d = d_.stride;
    p.a_type = kTypeOf<typename Config::A>, p.b_type = kTypeOf<typename Config::B>;
    p.c_type = p.d_type = kTypeOf<typename Config::D>;
    p.acc_type = kTypeOf<typename Config::Accumulator>;
    p.a_layout = Config::kAAlongK ? Layout::kRowMajor : Layout::kColMajor;
    p.b_layout = Config::kBAlongK ? Layout::kColMajor : Layout::kRowMajor;
    p.beta = Config::kReadC ? BetaClass::kGeneral : BetaClass::kZero;
    p.alignment = Config::kReadC ? 4 : 1;
    return p;
  }
  GemmArgs Args(Scalar alpha, Scalar beta, bool in_place) {
    GemmArgs args;
    args.a.data = a_.data(), args.b.data = b_.data(), args.d.data = d_.data();
    if (Config::kReadC) args.c.data = in_place ? d_.data() : c_.data();
    args.alpha = alpha, args.beta = beta;
    return args;
  }
  /// The family's config of this tile, checked against the constants that the kernel here was compiled with.
  TileConfig FindConfig() const {
    for (const TileConfig& config : SimtFamily().Candidates(Problem(), kHopper, Spec())) {
      if (config.Get("block_m") != Config::kBlockM || config.Get("block_n") != Config::kBlockN) continue;
      EXPECT_EQ(
          ToString(config),
          fmt::format("simt block_m={} block_n={} block_k={} micro_m={} micro_n={} vector_a={} vector_b={} vector_d={}",
                      Config::kBlockM, Config::kBlockN, Config::kBlockK, Config::kMicroM, Config::kMicroN,
                      Config::kVectorA, Config::kVectorB, Config::kVectorD));
      return config;
    }
    ADD_FAILURE() << "the family does not offer the tile";
    return {};
  }
  void Run(const GemmArgs& args) {
    const LaunchStep step = SimtFamily().MakeLaunch(Problem(), FindConfig());
    auto bytes = step.params;
    step.bind(args, bytes.data());
    dev::SimtParams params;
    ASSERT_EQ(step.param_bytes, sizeof params);
    std::memcpy(&params, bytes.data(), sizeof params);
    Dim3 grid = step.grid;
    grid.z = std::min(grid.z, 2u);  // batch entries in turns, as where there are more than a grid takes
    ASSERT_EQ(step.block.x, static_cast<unsigned>(dev::SimtGemm<Config>::kThreads));
    cuda_on_host::Launch(grid, step.block.x, [&] { dev::SimtGemm<Config>::Run(params); });
  }
  void ExpectCorrect(double alpha, double beta, const Matrices& c) const {
    const double epsilon = Info(kTypeOf<typename Config::Accumulator>).epsilon,
                 rounding = Info(kTypeOf<typename Config::D>).epsilon;
    for (std::int64_t b = 0; b < shape_.batch; ++b)
      for (std::int64_t i = 0; i < shape_.m; ++i)
        for (std::int64_t j = 0; j < shape_.n; ++j) {
          double sum = 0, size = 0;
          for (std::int64_t l = 0; l < shape_.k; ++l) {
            const double product = alpha * a_.Get(b, i, l) * b_.Get(b, l, j);
            sum += product, size += std::fabs(product);
          }
          const double old = beta != 0 ? beta * c.Get(b, i, j) : 0, expected = sum + old;
          const double bound = epsilon * static_cast<double>(shape_.k + 4) * (size + std::fabs(old)) +
                               rounding * std::fabs(expected) + 1e-7 * rounding;
          ASSERT_LE(std::fabs(d_.Get(b, i, j) - expected), bound)  // false for NaN
              << "batch " << b << " row " << i << " column " << j << ": " << d_.Get(b, i, j) << " for " << expected;
        }
    EXPECT_TRUE(d_.OutsideUntouched());
  }
  Matrices& c() { return c_; }
  Matrices& d() { return d_; }

 private:
  static constexpr int kPadding = Config::kReadC ? 8 : 3;  // elements

  Shape shape_;
  Matrices a_, b_, c_, d_;
};

template <class Config>
void Check(const Shape& shape, double alpha = 1, double beta = Config::kReadC ? -0.5 : 0) {
  SCOPED_TRACE(fmt::format("m={} n={} k={} batch={} a_along_k={} b_along_k={} aligned={}", shape.m, shape.n, shape.k,
                           shape.batch, Config::kAAlongK, Config::kBAlongK, Config::kReadC));
  Call<Config> call(shape, std::random_device{}());
  call.Run(call.Args(alpha, beta, false));
  call.ExpectCorrect(alpha, beta, call.c());
}

/// Ragged over more than one tile either way and several steps of k; and a single element.
template <class Config>
void CheckShapes() {
  if constexpr (Config::kReadC) {
    Check<Config>({Config::kBlockM + 8, Config::kBlockN + 24, 2 * Config::kBlockK + 8, 3}, 1.5);
  } else {
    Check<Config>({Config::kBlockM + 3, Config::kBlockN + 1, Config::kBlockK + 5, 1}, -1.25);
    Check<Config>({1, 1, 1, 1});
  }
}

template <class Tile, class Types>
void CheckLayouts() {
  CheckShapes<Config<Tile, Types, true, true, true>>();
  CheckShapes<Config<Tile, Types, true, true, false>>();
  CheckShapes<Config<Tile, Types, true, false, true>>();
  CheckShapes<Config<Tile, Types, true, false, false>>();
  CheckShapes<Config<Tile, Types, false, true, true>>();
  CheckShapes<Config<Tile, Types, false, true, false>>();
  CheckShapes<Config<Tile, Types, false, false, true>>();
  CheckShapes<Config<Tile, Types, false, false, false>>();
}
template <class Tile>
void CheckTile() {
  CheckShapes<Config<Tile, F32, true, false, true>>();
  CheckShapes<Config<Tile, F32, true, true, false>>();
  CheckShapes<Config<Tile, F16, false, true, true>>();
}

TEST(SimtOnHost, IsCorrectInF32ForAllLayouts) { CheckLayouts<Square64, F32>(); }
TEST(SimtOnHost, IsCorrectInF64ForAllLayouts) { CheckLayouts<Square64, F64>(); }
TEST(SimtOnHost, IsCorrectInF16ForAllLayouts) { CheckLayouts<Square64, F16>(); }
TEST(SimtOnHost, IsCorrectInBf16ForAllLayouts) { CheckLayouts<Square64, Bf16>(); }
TEST(SimtOnHost, IsCorrectForMixedTypes) {
  CheckShapes<Config<Square32, F16ToF32, true, false, true>>();
  CheckShapes<Config<Square32, Mixed, true, true, true>>();
  CheckShapes<Config<Square32, Mixed, false, false, false>>();
}
TEST(SimtOnHost, IsCorrectForEveryTile) {
  CheckTile<Tall128>();
  CheckTile<Square32>();
  CheckTile<Flat64>();
  CheckTile<Flat32>();
  CheckTile<Thin16>();
  CheckShapes<Config<Flat64, F64, true, false, true>>();
  CheckShapes<Config<Thin16, F64, false, true, false>>();
}

using General = Config<Square32, F32, true, true, true>;

TEST(SimtOnHost, AnEmptyProductLeavesBetaTimesC) {
  Check<General>({40, 40, 0, 2}, std::numeric_limits<double>::infinity(), 0.5);
}
TEST(SimtOnHost, AnEmptyOutputIsLeftAlone) {
  Check<General>({0, 8, 8, 1});
  Check<General>({8, 0, 8, 1});
}
TEST(SimtOnHost, ABetaOfZeroLeavesCUnread) {
  Call<General> call({40, 40, 16, 1}, 7);
  GemmArgs args = call.Args(1, 0, false);
  args.c.data = nullptr;
  call.Run(args);
  call.ExpectCorrect(1, 0, call.c());
}
TEST(SimtOnHost, CMayBeD) {
  Call<General> call({40, 40, 48, 2}, 8);
  std::mt19937 random(9);
  call.d().FillRandom(random);
  const Matrices before = call.d();
  GemmProblem problem = call.Problem();
  problem.ldc = problem.ldd, problem.batch_stride_c = problem.batch_stride_d;
  const LaunchStep step = SimtFamily().MakeLaunch(problem, call.FindConfig());
  auto bytes = step.params;
  step.bind(call.Args(2, 3, true), bytes.data());
  dev::SimtParams params;
  std::memcpy(&params, bytes.data(), sizeof params);
  cuda_on_host::Launch(step.grid, step.block.x, [&] { dev::SimtGemm<General>::Run(params); });
  call.ExpectCorrect(2, 3, before);
}
TEST(SimtOnHost, AlphaAndBetaMayLieOnTheDevice) {
  const float alpha = 0.25f, beta = 4;
  Call<General> call({40, 40, 24, 1}, 10);
  call.Run(call.Args(Scalar::OnDevice(&alpha), Scalar::OnDevice(&beta), false));
  call.ExpectCorrect(alpha, beta, call.c());
}

TEST(Bfloat16, RoundsToNearestEvenAndKeepsNanAndInfinity) {
  std::mt19937 random(std::random_device{}());
  for (int i = 0; i < 200'000; ++i) {
    const float value = std::bit_cast<float>(static_cast<std::uint32_t>(random()));
    dev::Bfloat16 narrow;
    dev::Narrow(value, narrow);
    std::uint16_t expected;
    Encode(DType::kBf16, &expected, 0, value);
    if (std::isnan(value)) {
      EXPECT_TRUE(std::isnan(dev::Widen(narrow)));
    } else {
      EXPECT_EQ(narrow.bits, expected) << value;
      EXPECT_EQ(dev::Widen(narrow), Decode(DType::kBf16, &expected, 0));
    }
  }
}

GemmProblem Dense(std::int64_t m, std::int64_t n, std::int64_t k, DType dtype = DType::kF32) {
  GemmProblem p;
  p.m = m, p.n = n, p.k = k, p.lda = k, p.ldb = n, p.ldc = p.ldd = n;
  p.a_type = p.b_type = p.c_type = p.d_type = dtype;
  p.acc_type = dtype == DType::kF64 ? DType::kF64 : DType::kF32;
  p.alignment = 4;
  return p;
}

TEST(SimtFamily, SaysWhyItRefuses) {
  const auto reason = [](auto change, const CodeTarget& target = kHopper) {
    GemmProblem problem = Dense(64, 64, 64);
    change(problem);
    return SimtFamily().WhyNot(problem, target);
  };
  EXPECT_EQ(reason([](GemmProblem&) {}), "");
  EXPECT_THAT(reason([](GemmProblem&) {}, {Isa::kCuda, 70, 0}), HasSubstr("sm_75"));
  EXPECT_THAT(reason([](GemmProblem&) {}, {Isa::kX86, 512, 0}), HasSubstr("x86-64-avx512"));
  EXPECT_THAT(reason([](GemmProblem& p) { p.a_type = DType::kS8; }), HasSubstr("a=s8"));
  EXPECT_THAT(reason([](GemmProblem& p) { p.d_type = DType::kF64; }), HasSubstr("d=f64"));
  EXPECT_THAT(reason([](GemmProblem& p) { p.acc_type = DType::kS32; }), HasSubstr("s32"));
  EXPECT_THAT(reason([](GemmProblem& p) { p.c_type = DType::kF16, p.beta = BetaClass::kGeneral; }), HasSubstr("c=f16"));
  EXPECT_THAT(reason([](GemmProblem& p) { p.b_layout = Layout::kPacked; }), HasSubstr("packed"));
  EXPECT_THAT(reason([](GemmProblem& p) { p.scaling = Scaling::kBlock1x128; }), HasSubstr("scales"));
  EXPECT_THAT(reason([](GemmProblem& p) { p.grouping = Grouping::kMasked; }), HasSubstr("grouping masked"));
  EXPECT_THAT(reason([](GemmProblem& p) { p.epilogue_id = 1; }), HasSubstr("epilogue"));
  EXPECT_THAT(reason([](GemmProblem& p) { p.m = p.n = std::int64_t{1} << 31; }), HasSubstr("grid"));
}

TEST(SimtFamily, PutsManyTilesOfEitherDimensionIntoGridX) {
  for (const auto& [m, n] : {std::pair<std::int64_t, std::int64_t>{10'000'000, 64}, {64, 10'000'000}}) {
    const GemmProblem problem = Dense(m, n, 16);
    for (const TileConfig& config : SimtFamily().Candidates(problem, kHopper, Spec())) {
      const LaunchStep step = SimtFamily().MakeLaunch(problem, config);
      const auto tiles = [](std::int64_t extent, int block) { return (extent + block - 1) / block; };
      EXPECT_EQ(step.grid.x, tiles(m, config.Get("block_m")) * tiles(n, config.Get("block_n")));
      EXPECT_EQ(step.grid.y, 1u);
    }
  }
}

TEST(SimtFamily, ChoosesFirstTheTileThatFitsTheShape) {
  const auto first = [](std::int64_t m, std::int64_t n) {
    const TileConfig config = SimtFamily().Candidates(Dense(m, n, 512), kHopper, Spec()).at(0);
    return std::pair(config.Get("block_m"), config.Get("block_n"));
  };
  EXPECT_EQ(first(4096, 4096), std::pair(128, 64));
  EXPECT_EQ(first(16, 65536), std::pair(16, 64));
  EXPECT_EQ(first(65536, 16), std::pair(64, 16));
  EXPECT_EQ(first(256, 256), std::pair(16, 32));
}

TEST(SimtFamily, ShortensAccessesToWhatStridesAllow) {
  struct Row {
    std::int64_t k;
    int alignment, vector_a;
  };
  for (const Row& row : {Row{64, 4, 4}, {64, 3, 2}, {64, 2, 1}, {64, 0, 1}, {66, 4, 2}, {63, 4, 1}}) {
    GemmProblem problem = Dense(64, 64, row.k);
    problem.alignment = static_cast<std::uint8_t>(row.alignment);
    EXPECT_EQ(SimtFamily().Candidates(problem, kHopper, Spec()).at(0).Get("vector_a"), row.vector_a)
        << row.k << ' ' << row.alignment;
  }
  GemmProblem batched = Dense(64, 64, 64);
  batched.batch = 2, batched.batch_stride_a = 4097;
  EXPECT_EQ(SimtFamily().Candidates(batched, kHopper, Spec()).at(0).Get("vector_a"), 1);
}

TEST(SimtFamily, RendersTheSameSourceForTheSameChoice) {
  const GemmProblem small = Dense(64, 64, 64), large = Dense(128, 4096, 1024);
  const TileConfig config = SimtFamily().Candidates(small, kHopper, Spec()).at(0);
  const KernelSource x = SimtFamily().Render(small, config, kHopper, {}),
                     y = SimtFamily().Render(large, config, kHopper, {});
  EXPECT_EQ(x.text, y.text);
  EXPECT_EQ(x.headers, y.headers);
  std::vector<std::string> names;
  for (const SourceHeader& header : x.headers) names.push_back(header.name);
  EXPECT_THAT(names,
              testing::ElementsAre("gemm_simt.cuh", "numeric.cuh", "params.h", "ptx/convert.cuh", "ptx/memory.cuh"));
}

}  // namespace
}  // namespace gemmsmith
