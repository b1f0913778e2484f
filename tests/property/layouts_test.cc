// Casts, transposes and paddings, on the CPU and on emulated devices, against scalar references.
#include <fmt/format.h>
#include <gmock/gmock.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>

#include "../support/device_matrix.h"
#include "gemmsmith/gemmsmith.h"
#include "jit/compiler.h"

namespace gemmsmith {
namespace {

using testing::HasSubstr;

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN(), kInfinity = std::numeric_limits<double>::infinity();

/// Element `index` of all memory of `m`, as bytes unless it is NaN.
std::string BitsOf(const Matrix& m, std::int64_t index) {
  const auto size = static_cast<std::int64_t>(SizeOf(m.host.dtype));
  if (std::isnan(Decode(m.host.dtype, m.bytes().data(), index))) return "NaN";
  std::uint32_t bits = 0;
  std::memcpy(&bits, m.bytes().data() + index * size, static_cast<std::size_t>(size));
  return fmt::format("{:x}", bits);
}
/// Padding included.
void ExpectSame(const Matrix& got, const Matrix& wanted, const std::string& what) {
  ASSERT_EQ(got.bytes().size(), wanted.bytes().size());
  const auto count = static_cast<std::int64_t>(got.bytes().size() / SizeOf(got.host.dtype));
  for (std::int64_t i = 0; i < count; ++i) ASSERT_EQ(BitsOf(got, i), BitsOf(wanted, i)) << what << ": element " << i;
}

std::int64_t Offset(const Tensor& t, std::int64_t batch, std::int64_t row, std::int64_t column) {
  return (t.rank == 3 ? batch * t.strides[0] : 0) + row * t.strides[t.rank - 2] + column * t.strides[t.rank - 1];
}

double UpToPowerOfTwo(double x) {
  int exponent = 0;
  const double fraction = std::frexp(x, &exponent);
  return std::isfinite(x) ? std::ldexp(fraction == 0.5 ? 0.5 : 1.0, exponent) : x;
}
std::uint32_t Exponent(double scale) {
  if (!(scale >= 0) || scale > 0x1p127 || std::signbit(scale)) return 255;
  return scale <= 0x1p-127 ? 0 : static_cast<std::uint32_t>(std::ilogb(UpToPowerOfTwo(scale)) + 127);
}

class LayoutsOn : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    try {
      device_ = &engine().devices().Get(ParseDeviceId(GetParam()));
      if (device_->id().kind != DeviceKind::kCpu) OpenNvrtc();
    } catch (const Error& error) {
      GTEST_SKIP() << error.what();
    }
  }
  static Engine& engine() {
    static Engine engine([] {
      EngineOptions options;
      options.enable_disk = false;
      return options;
    }());
    return engine;
  }
  static Layouts& layouts() {
    static Layouts layouts(engine());
    return layouts;
  }
  Device& device() { return *device_; }
  static Device& cpu() { return engine().devices().Get({}); }
  bool on_cpu() const { return device_->id().kind == DeviceKind::kCpu; }

  Device* device_ = nullptr;
  static inline std::uint64_t seed_ = std::random_device()();
  std::mt19937_64 random_{++seed_};
};

enum class Factors { kToken, kBlock, kChannel };
enum class ScalesAs { kRows, kColumns, kPacked };

struct CastCase {
  std::int64_t batch, m, k, padding = 0;
};
constexpr CastCase kCasts[] = {{1, 1, 128},    {1, 5, 1},        {1, 33, 130, 2}, {2, 130, 257, 3},
                               {3, 7, 384, 8}, {1, 129, 640, 4}, {1, 0, 128},     {1, 16, 0}};

class Cast : public LayoutsOn {
 protected:
  /// Magnitudes of many sizes; zeros, and what is no number.
  void Fill(Matrix& x) {
    const std::int64_t rows = x.host.shape[x.host.rank - 2], columns = x.host.shape[x.host.rank - 1];
    std::uniform_real_distribution<double> fraction(-1, 1), size(-12, 12);
    const auto put = [&](std::int64_t batch, std::int64_t row, std::int64_t column, double value) {
      Encode(x.host.dtype, x.host.data, Offset(x.host, batch, row, column), value);
    };
    for (std::int64_t b = 0; b < (x.host.rank == 3 ? x.host.shape[0] : 1); ++b)
      for (std::int64_t row = 0; row < rows; ++row) {
        const double scale = std::exp2(size(random_));
        for (std::int64_t column = 0; column < columns; ++column)
          put(b, row, column, row == 3 ? 0 : fraction(random_) * scale);
      }
    if (rows > 6 && columns > 1) put(0, 4, 1, kNaN), put(0, 5, 0, -kInfinity);
    x.Upload();
  }

  void Expect(const CastCase& c, DType from, DType to, Factors factors, ScalesAs as, CastOptions options) {
    const std::int64_t rows = factors == Factors::kToken ? 1 : 128, columns = factors == Factors::kChannel ? 1 : 128;
    const std::int64_t down = CeilDiv(c.m, rows), across = CeilDiv(c.k, columns);
    const std::string what = fmt::format("batch={} m={} k={} {} to {} factors={} scales={} ue8m0={} seed={}", c.batch,
                                         c.m, c.k, ToString(from), ToString(to), static_cast<int>(factors),
                                         static_cast<int>(as), options.use_ue8m0, seed_);
    const DType scale_type = as == ScalesAs::kPacked ? DType::kS32 : DType::kF32;
    const Matrix::Form form{c.batch, c.m, c.k, false, c.padding};
    const Matrix::Form scale_form{c.batch, down, as == ScalesAs::kPacked ? CeilDiv(across, 4) : across,
                                  as != ScalesAs::kRows, 1};
    Matrix x(device(), from, form), out(device(), to, form), scales(device(), scale_type, scale_form);
    Matrix wanted(cpu(), to, form), wanted_scales(cpu(), scale_type, scale_form);
    Fill(x);
    for (Matrix* m : {&out, &scales, &wanted, &wanted_scales}) m->PoisonAll();

    const float most = to == DType::kE4m3 ? 448.0f : 57344.0f;
    for (std::int64_t b = 0; b < c.batch; ++b)
      for (std::int64_t i = 0; i < down * across; ++i) {
        const std::int64_t first_row = i / across * rows, first_column = i % across * columns;
        const auto each = [&](const auto& visit) {
          for (std::int64_t r = first_row; r < std::min(first_row + rows, c.m); ++r)
            for (std::int64_t k = first_column; k < std::min(first_column + columns, c.k); ++k)
              visit(static_cast<float>(Decode(from, x.host.data, Offset(x.host, b, r, k))),
                    Offset(wanted.host, b, r, k));
        };
        float amax = options.least_amax;
        bool number = true;
        each([&](float value, std::int64_t) {
          number = number && !std::isnan(value);
          amax = std::max(amax, std::fabs(value));
        });
        float scale = number ? amax / most : static_cast<float>(kNaN);
        if (options.use_ue8m0 || as == ScalesAs::kPacked) scale = static_cast<float>(UpToPowerOfTwo(scale));
        each([&](float value, std::int64_t at) {
          Encode(to, wanted.host.data, at, value * (1 / scale));
          if (!std::isfinite(scale)) return;
          // Half of the last place, or of the least number.
          const double got = Decode(to, wanted.host.data, at) * scale;
          const double bound = std::max(std::fabs(value) * (to == DType::kE4m3 ? 0x1p-4 : 0x1p-3),
                                        scale * (to == DType::kE4m3 ? 0x1p-10 : 0x1p-17));
          ASSERT_LE(std::fabs(got - value), bound * (1 + 1e-6)) << what;
        });
        if (as != ScalesAs::kPacked) {
          Encode(DType::kF32, wanted_scales.host.data, Offset(wanted_scales.host, b, i / across, i % across), scale);
          continue;
        }
        auto* const word = static_cast<std::uint32_t*>(wanted_scales.host.data) +
                           Offset(wanted_scales.host, b, i / across, i % across / 4);
        if (i % across % 4 == 0) *word = 0;
        *word |= Exponent(scale) << 8 * (i % across % 4);
      }

    if (factors == Factors::kToken) layouts().PerTokenCastToFp8(x.there, out.there, scales.there, options);
    if (factors == Factors::kBlock) layouts().PerBlockCastToFp8(x.there, out.there, scales.there, options);
    if (factors == Factors::kChannel) layouts().PerChannelCastToFp8(x.there, out.there, scales.there, options);
    out.Download(), scales.Download();
    ExpectSame(out, wanted, what);
    ExpectSame(scales, wanted_scales, what + ", scales");
  }
};

TEST_P(Cast, StoresTheNearestNumbersAndTheirScales) {
  const bool old = GetParam() == std::string_view("emulator:sm_80");  // which converts by bits
  for (const Factors factors : {Factors::kToken, Factors::kBlock, Factors::kChannel})
    for (const DType from : {DType::kF32, DType::kF16, DType::kBf16})
      for (const DType to : {DType::kE4m3, DType::kE5m2}) {
        if (old && (from == DType::kBf16 || factors != Factors::kToken)) continue;
        // On emulated devices each a part of the cases.
        if (!on_cpu() && (from == DType::kF16) != (to == DType::kE5m2)) continue;
        std::size_t turn = static_cast<std::size_t>(from) + static_cast<std::size_t>(to);
        for (const CastCase& c : kCasts) {
          ScalesAs as = static_cast<ScalesAs>(++turn % 3);
          if (factors == Factors::kChannel && as == ScalesAs::kPacked) as = ScalesAs::kRows;
          Expect(c, from, to, factors, as, {turn % 2 == 0});
        }
      }
}

class HopperCast : public Cast {};

TEST_P(HopperCast, CompilesAheadWhatSpillsNothing) {
  const auto kernels = [] {
    std::vector<KernelReport> all = engine().Kernels();
    std::erase_if(all, [](const KernelReport& kernel) { return kernel.target != "sm_90a"; });
    return all;
  };
  const auto count = static_cast<std::size_t>(layouts().CompileAhead(ParseTarget("sm_90a")));
  EXPECT_EQ(count, 40u);
  EXPECT_EQ(kernels().size(), count);
  for (const KernelReport& kernel : kernels()) {
    EXPECT_EQ(kernel.resources.spill_bytes, 0) << kernel.name;
    EXPECT_LE(kernel.resources.registers, 128) << kernel.name;
  }
  Expect({1, 5, 128}, DType::kF32, DType::kE4m3, Factors::kToken, ScalesAs::kRows, {});
  EXPECT_EQ(kernels().size(), count);
}

TEST_P(HopperCast, MakesWhatProductsTake) {
  constexpr std::int64_t kM = 70, kN = 144, kK = 272;
  Matrix x(device(), DType::kBf16, {1, kM, kK}), weight(device(), DType::kF32, {1, kN, kK}),
      d(device(), DType::kF32, {1, kM, kN}), a(device(), DType::kE4m3, {1, kM, kK}),
      b(device(), DType::kE4m3, {1, kN, kK}), by_block(device(), DType::kF32, {1, CeilDiv(kN, 128), CeilDiv(kK, 128)});
  x.Randomize(random_()), weight.Randomize(random_());
  // Straight into the form that products read fastest.
  WantedTensor by_row = MnMajorTmaAligned(Tensor(static_cast<float*>(nullptr), {kM, CeilDiv(kK, 128)}, device().id()));
  const Buffer memory = device().Allocate(by_row.bytes);
  by_row.tensor.data = memory.data();
  layouts().PerTokenCastToFp8(x.there, a.there, by_row.tensor);
  layouts().PerBlockCastToFp8(weight.there, b.there, by_block.there, {true});
  const ScaleArgs scales{by_row.tensor, by_block.there};
  GemmArgs args;
  args.a = a.there, args.b = b.there.Transposed(), args.d = d.there, args.scales = &scales;
  engine().Gemm(args);
  d.Download();
  double products = 0, squares = 0;
  for (std::int64_t i = 0; i < kM; ++i)
    for (std::int64_t j = 0; j < kN; ++j) {
      double wanted = 0;
      for (std::int64_t k = 0; k < kK; ++k)
        wanted += Decode(DType::kBf16, x.host.data, i * kK + k) * Decode(DType::kF32, weight.host.data, j * kK + k);
      const double got = Decode(DType::kF32, d.host.data, i * kN + j);
      products += got * wanted, squares += got * got + wanted * wanted;
    }
  EXPECT_LT(1 - 2 * products / squares, 1e-3) << "seed " << seed_;  // DeepGEMM's measure and bound
}

TEST_P(Cast, ScalesSmallNumbersToo) {
  for (const float least : {0x1p-100f, 1e-30f, 1.0f, 3e38f})
    for (const bool ue8m0 : {false, true})
      Expect({1, 9, 130}, DType::kF32, DType::kE4m3, Factors::kToken, ScalesAs::kRows, {ue8m0, least});
}

class Scales : public LayoutsOn {};

TEST_P(Scales, AreTransposedAndPacked) {
  constexpr float kSpecial[] = {0,
                                1e-45f,
                                0x1p-127f,
                                0x1.8p-127f,
                                0x1p-126f,
                                1,
                                1.5f,
                                448,
                                0x1p127f,
                                0x1.000002p127f,
                                3e38f,
                                static_cast<float>(kInfinity),
                                static_cast<float>(kNaN),
                                -1,
                                -0.0f};
  const struct {
    std::int64_t batch, rows, steps, gran, mn;
    bool transposed;
  } cases[] = {{1, 1, 1, 1, 0, false},    {1, 5, 3, 1, 0, false},    {1, 67, 56, 1, 0, false},
               {2, 33, 9, 1, 0, true},    {3, 4, 33, 128, 0, false}, {1, 3, 7, 128, 257, false},
               {1, 130, 2, 1, 130, true}, {1, 0, 4, 1, 0, false},    {1, 6, 0, 1, 0, false}};
  for (const auto& c : cases)
    for (const bool packed : {false, true}) {
      const std::string what = fmt::format("batch={} rows={} steps={} gran={} packed={} seed={}", c.batch, c.rows,
                                           c.steps, c.gran, packed, seed_);
      Matrix scales(device(), DType::kF32, {c.batch, c.rows, c.steps, c.transposed, 2});
      std::uniform_real_distribution<double> size(-140, 130);
      for (std::int64_t i = 0; i < static_cast<std::int64_t>(scales.bytes().size() / 4); ++i)
        Encode(DType::kF32, scales.host.data, i,
               random_() % 2 == 0 ? kSpecial[random_() % std::size(kSpecial)] : std::exp2(size(random_)));
      scales.Upload();
      const WantedTensor form = packed ? MnMajorTmaAlignedPackedUe8m0(scales.there, c.gran, c.mn)
                                       : MnMajorTmaAligned(scales.there, c.gran, c.mn);
      const std::int64_t mn = c.mn == 0 ? c.rows * c.gran : c.mn, steps = packed ? CeilDiv(c.steps, 4) : c.steps;
      const std::int64_t ld = (mn + 3) / 4 * 4;
      // Lines of steps, which begin at multiples of 16 bytes.
      const Matrix::Form as{c.batch, mn, steps, true, ld - mn};
      Matrix out(device(), form.tensor.dtype, as), wanted(cpu(), form.tensor.dtype, as);
      EXPECT_EQ(form.bytes, out.bytes().size()) << what;
      EXPECT_EQ(form.tensor.shape, out.there.shape) << what;
      EXPECT_TRUE(c.batch == 1 || form.tensor.strides == out.there.strides) << what;
      out.PoisonAll(), wanted.PoisonAll();
      for (std::int64_t b = 0; b < c.batch; ++b)
        for (std::int64_t row = 0; row < mn; ++row)
          for (std::int64_t step = 0; step < c.steps; ++step) {
            const double scale = Decode(DType::kF32, scales.host.data, Offset(scales.host, b, row / c.gran, step));
            if (!packed) {
              Encode(DType::kF32, wanted.host.data, Offset(wanted.host, b, row, step), scale);
              continue;
            }
            auto& word = static_cast<std::uint32_t*>(wanted.host.data)[Offset(wanted.host, b, row, step / 4)];
            word = (step % 4 == 0 ? 0 : word) | Exponent(scale) << 8 * (step % 4);
          }
      if (packed)
        layouts().GetMnMajorTmaAlignedPackedUe8m0Tensor(scales.there, out.there, c.gran);
      else
        layouts().GetMnMajorTmaAlignedTensor(scales.there, out.there, c.gran);
      out.Download();
      ExpectSame(out, wanted, what);
    }
}

class Groups : public LayoutsOn {
 protected:
  struct Case {
    std::int64_t groups, most, rest, columns, alignment;  ///< Rows of a group at most; rows of none.
    DType dtype = DType::kBf16;
    std::int64_t padding = 0;
  };
  void Expect(const Case& c) {
    const std::string what = fmt::format("groups={} columns={} {} alignment={} seed={}", c.groups, c.columns,
                                         ToString(c.dtype), c.alignment, seed_);
    Matrix counts(device(), DType::kS32, {1, 1, c.groups});
    auto* const sizes = static_cast<std::int32_t*>(counts.host.data);
    std::int64_t rows = c.rest;
    for (std::int64_t g = 0; g < c.groups; ++g)
      rows += sizes[g] = random_() % 4 == 0 ? 0 : static_cast<std::int32_t>(random_() % (c.most + 1));
    counts.Upload();
    const std::int64_t padded_rows = PaddedRows(rows, c.groups, c.alignment) + 3;
    const Matrix::Form dense{1, rows, c.columns, false, c.padding}, wide{1, padded_rows, c.columns, false, c.padding};
    Matrix from(device(), c.dtype, dense), padded(device(), c.dtype, wide), back(device(), c.dtype, dense);
    Matrix wanted(cpu(), c.dtype, wide), wanted_back(cpu(), c.dtype, dense);
    Matrix indices(device(), DType::kS32, {1, 1, padded_rows}), ends(device(), DType::kS32, {1, 1, c.groups});
    Matrix wanted_indices(cpu(), DType::kS32, {1, 1, padded_rows}), wanted_ends(cpu(), DType::kS32, {1, 1, c.groups});
    from.Randomize(random_());
    for (Matrix* m : {&padded, &back, &wanted, &wanted_back, &indices, &ends}) m->PoisonAll();

    const auto copy = [&](Matrix& to, std::int64_t row, const Matrix* source, std::int64_t source_row) {
      for (std::int64_t column = 0; column < c.columns; ++column)
        Encode(c.dtype, to.host.data, Offset(to.host, 0, row, column),
               source == nullptr ? 0 : Decode(c.dtype, source->host.data, Offset(source->host, 0, source_row, column)));
    };
    auto* const index = static_cast<std::int32_t*>(wanted_indices.host.data);
    for (std::int64_t row = 0; row < padded_rows; ++row) copy(wanted, row, nullptr, 0), index[row] = -1;
    std::int64_t begin = 0, source = 0;
    for (std::int64_t g = 0; g < c.groups; ++g) {
      for (std::int64_t row = begin; row < begin + sizes[g]; ++row, ++source) {
        copy(wanted, row, &from, source), copy(wanted_back, source, &from, source);
        index[row] = static_cast<std::int32_t>(g);
      }
      static_cast<std::int32_t*>(wanted_ends.host.data)[g] = static_cast<std::int32_t>(begin + sizes[g]);
      begin = (begin + sizes[g] + c.alignment - 1) / c.alignment * c.alignment;
    }

    const Tensor count = Line(counts.there);
    layouts().PadGroups(from.there, count, {padded.there, Line(indices.there), Line(ends.there)}, c.alignment);
    for (Matrix* m : {&padded, &indices, &ends}) m->Download();
    ExpectSame(padded, wanted, what);
    ExpectSame(indices, wanted_indices, what + ", indices");
    ExpectSame(ends, wanted_ends, what + ", ends");
    padded.PoisonAll();
    layouts().PadGroups(from.there, count, {padded.there, {}, {}}, c.alignment);
    padded.Download();
    ExpectSame(padded, wanted, what + ", rows alone");
    layouts().UnpadGroups(padded.there, count, back.there, c.alignment);
    back.Download();
    ExpectSame(back, wanted_back, what + ", back");
  }
  static Tensor Line(const Tensor& t) { return Tensor(t.data, t.dtype, {t.shape[1]}, t.device); }
};

TEST_P(Groups, ArePaddedAndComeBack) {
  const Case cases[] = {{1, 40, 0, 64, 128},
                        {4, 70, 5, 33, 16},
                        {300, 6, 0, 8, 4, DType::kE4m3},
                        {9, 20, 2, 7, 1, DType::kF32},
                        {5, 50, 0, 12, 100, DType::kE5m2, 3},
                        {3, 10, 0, 24, 8, DType::kF16, 8},
                        {2, 30, 0, 2, 128, DType::kF64},
                        {0, 0, 6, 16, 128},
                        {6, 0, 0, 16, 128}};
  for (const Case& c : cases) Expect(c);
}

TEST_P(Groups, OfMoreRowsThanThereAreTouchNothingElse) {
  Matrix counts(device(), DType::kS32, {1, 1, 3}), from(device(), DType::kF32, {1, 10, 4}),
      padded(device(), DType::kF32, {1, PaddedRows(10, 3, 8), 4}), indices(device(), DType::kS32, {1, 1, 24});
  const std::int32_t sizes[] = {-3, 6, 100};
  std::memcpy(counts.host.data, sizes, sizeof sizes);
  counts.Upload(), from.Randomize(1), padded.PoisonAll(), indices.PoisonAll();
  const PaddedGroups to{padded.there, Line(indices.there), {}};
  if (on_cpu()) {
    EXPECT_THROW(layouts().PadGroups(from.there, Line(counts.there), to, 8), Error);
    return;
  }
  layouts().PadGroups(from.there, Line(counts.there), to, 8);
  indices.Download();
  for (int row = 0; row < 24; ++row)
    EXPECT_EQ(Decode(DType::kS32, indices.host.data, row), row < 6 ? 1 : row >= 8 && row < 12 ? 2 : -1) << row;
}

constexpr const char* kDevices[] = {"cpu", "emulator:sm_90a", "emulator:sm_80"};
std::string NameOf(const testing::TestParamInfo<const char*>& info) {
  std::string name = info.param;
  std::ranges::replace(name, ':', '_');
  return name;
}
INSTANTIATE_TEST_SUITE_P(On, Cast, testing::ValuesIn(kDevices), NameOf);
INSTANTIATE_TEST_SUITE_P(On, HopperCast, testing::Values("emulator:sm_90a"), NameOf);
INSTANTIATE_TEST_SUITE_P(On, Scales, testing::ValuesIn(std::begin(kDevices), std::begin(kDevices) + 2), NameOf);
INSTANTIATE_TEST_SUITE_P(On, Groups, testing::ValuesIn(std::begin(kDevices), std::begin(kDevices) + 2), NameOf);

TEST(LayoutQueries, SayWhatBulkCopiesAndGroupsWant) {
  EXPECT_EQ(CeilDiv(0, 128), 0);
  EXPECT_EQ(CeilDiv(129, 128), 2);
  EXPECT_EQ(AlignedTo(129, 128), 256);
  EXPECT_EQ(GetTmaAlignedSize(5, DType::kF32), 8);
  EXPECT_EQ(GetTmaAlignedSize(9, DType::kBf16), 16);
  EXPECT_EQ(GetTmaAlignedSize(17, DType::kE4m3), 32);
  EXPECT_EQ(GetMAlignmentForContiguousLayout(), 128);
  EXPECT_EQ(GetKAlignmentForContiguousLayout(), 128);
  EXPECT_EQ(PaddedRows(0, 4, 128), 0);
  EXPECT_EQ(PaddedRows(1, 4, 128), 128);
  EXPECT_EQ(PaddedRows(1000, 4, 128), 1408);
  EXPECT_EQ(PaddedRows(1000, 4, 1), 1000);
  EXPECT_THROW(PaddedRows(1, 1, 0), Error);
  EXPECT_THROW(PaddedRows(-1, 1, 8), Error);
}

TEST(LayoutErrors, SayWhatWasWantedAndTouchNothing) {
  Engine engine;
  Layouts layouts(engine);
  float x[8 * 256], scales[256], rows[64];
  std::uint8_t out[8 * 256];
  std::int32_t counts[4] = {1, 1, 1, 1};
  std::fill(std::begin(x), std::end(x), 1.0f), std::fill(std::begin(out), std::end(out), 0xab);
  std::fill(std::begin(scales), std::end(scales), -7.0f), std::fill(std::begin(rows), std::end(rows), -7.0f);
  const Tensor a(x, {8, 256}), q(out, DType::kE4m3, {8, 256}), s(scales, {8, 2}), two(rows, {4, 2});
  const Tensor sizes(counts, DType::kS32, {4});
  Tensor apart(x, {4, 2});
  apart.strides[1] = 2;
  const struct {
    std::function<void()> call;
    const char* text;
  } cases[] = {
      {[&] {
         layouts.PerTokenCastToFp8(a, q, Tensor(scales, {8, 3}));
       },
       "scales is (8, 3); (8, 2) is wanted"},
      {[&] { layouts.PerBlockCastToFp8(a, q, s); }, "scales is (8, 2); (1, 2) is wanted"},
      {[&] {
         layouts.PerChannelCastToFp8(a, q, Tensor(scales, DType::kS32, {1, 64}));
       },
       "is s32; f32 is wanted"},
      {[&] {
         layouts.PerTokenCastToFp8(a, Tensor(out, DType::kU8, {8, 256}), s);
       },
       "is u8; e4m3 or e5m2 is wanted"},
      {[&] {
         layouts.PerTokenCastToFp8(a, Tensor(out, DType::kE4m3, {8, 128}), s);
       },
       "(8, 256) is wanted"},
      {[&] {
         layouts.PerTokenCastToFp8(a.Transposed(), Tensor(out, DType::kE4m3, {256, 8}), Tensor(scales, {256, 1}));
       },
       "has stride 256 within rows"},
      {[&] {
         layouts.PerTokenCastToFp8(a, Tensor(static_cast<const void*>(out), DType::kE4m3, {8, 256}), s);
       },
       "out is read-only"},
      {[&] {
         layouts.PerTokenCastToFp8(a, q, Tensor(x, {8, 2}));
       },
       "scales overlaps x"},
      {[&] {
         layouts.PerTokenCastToFp8(a, q, s, {false, 0});
       },
       "least_amax=0"},
      {[&] {
         layouts.PerTokenCastToFp8(a, q, s, {false, std::nanf("")});
       },
       "least_amax=nan"},
      {[&] {
         layouts.PerTokenCastToFp8(Tensor(static_cast<float*>(nullptr), {8, 256}), q, s);
       },
       "x is a null pointer"},
      {[&] {
         layouts.GetMnMajorTmaAlignedTensor(s, Tensor(x, {9, 2}));
       },
       "out is (9, 2); scales are (8, 2)"},
      {[&] {
         layouts.GetMnMajorTmaAlignedTensor(s, Tensor(out, DType::kS32, {8, 2}));
       },
       "out is s32; f32 is wanted"},
      {[&] {
         layouts.PadGroups(apart, sizes, {two, {}, {}}, 1);
       },
       "has stride 2 within rows"},
      {[&] {
         layouts.PadGroups(Tensor(x, {4, 2}), sizes, {two, {}, {}});
       },
       "want at least 512"},
      {[&] {
         layouts.PadGroups(Tensor(x, {4, 2}), sizes, {two, Tensor(scales, DType::kS32, {5}), {}}, 1);
       },
       "indices is (5); (4) is wanted"},
      {[&] {
         layouts.PadGroups(Tensor(x, {3, 2}), sizes, {two, {}, {}}, 1);
       },
       "group 3 has 1 rows, of 0"},
      {[&] {
         layouts.UnpadGroups(Tensor(x, {4, 2}), sizes, Tensor(rows, {4, 3}), 1);
       },
       "rows is (4, 3)"},
      {[&] { layouts.CompileAhead({}); }, "nothing to compile"},
      {[&] { MnMajorTmaAligned(s, 128, 8); }, "not those of 8 rows"},
  };
  for (const auto& c : cases) try {
      c.call();
      ADD_FAILURE() << c.text;
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr(c.text));
    }
  for (const std::uint8_t byte : out) EXPECT_EQ(byte, 0xab);
  for (const float value : scales) EXPECT_EQ(value, -7.0f);
  for (const float value : rows) EXPECT_EQ(value, -7.0f);
}

}  // namespace
}  // namespace gemmsmith
