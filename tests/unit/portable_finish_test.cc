// What the portable micro-kernels do to their sums, against the definitions, element by element: types, C, epilogues.
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "../support/cpu_gemm.h"
#include "gemmsmith/epilogue.h"
#include "runtime/cpu/pack.h"
#include "runtime/cpu/portable_kernels.h"
#include "util/log.h"

namespace gemmsmith {
namespace {

using namespace testing_support;

constexpr std::int64_t kM = 7, kN = 22, kK = 6, kMr = 4, kNr = 8;  // Tails of 3 rows and 6 columns.

struct Case {
  CpuMath math;
  DType operand, d;
  std::string epilogue = {};  ///< A chain; "place": of the element's indices.
  double beta = 0;
  int blocks = 1;  ///< Of k.
  DType bias = DType::kF32;
};
std::ostream& operator<<(std::ostream& out, const Case& c) {
  return out << Info(c.math).name << " " << ToString(c.operand) << "->" << ToString(c.d) << " \"" << c.epilogue
             << "\" beta=" << c.beta << " blocks=" << c.blocks << " bias=" << ToString(c.bias);
}

Epilogue Made(const std::string& text) {
  if (text.empty()) return {};
  if (text != "place") return Epilogue::Parse(text);
  return Trace(
      [](Value acc, Inputs in) { return Select(in.Column() <= in.Row(), acc, ToF32(in.Column() - in.Row())); });
}

/// Matrices and vectors of one problem, all full of random numbers.
class Problem {
 public:
  explicit Problem(const Case& c)
      : c_(c),
        epilogue_(Made(c.epilogue)),
        pairs_(epilogue_.Reads(EpilogueInput::kPaired) ? 2 : 1),
        columns_(kN / pairs_) {
    Fill(a_, c.operand, kM * kK);
    Fill(b_, c.operand, kK * kN);
    Fill(c_matrix_, c.d, kM * columns_);
    Fill(bias_, c.bias, kN);
    Fill(bias_m_, c.bias, kM);
    Fill(residual_, c.d, kM * columns_);
    for (auto* scale : {&scale_row_, &scale_column_, &scale_block_, &d_scale_row_, &d_scale_column_, &d_scale_block_})
      Fill(*scale, DType::kF32, kM * kN);
  }

  void Check() {
    Compute();
    std::vector<float> amax_row(kM), amax_column(kN), amax_block(kM);
    for (std::int64_t i = 0; i < kM; ++i)
      for (std::int64_t j = 0; j < columns_; ++j) {
        const EpilogueResult expected = Expected(i, j);
        std::byte rounded[8];
        Encode(c_.d, rounded, 0, epilogue_.id() == 0 ? Accumulator(i, j) : expected.d);
        EXPECT_EQ(Decode(c_.d, d_.data(), i * columns_ + j), Decode(c_.d, rounded, 0))
            << c_ << " at " << i << ", " << j;
        amax_row[i] = std::max(amax_row[i], expected.amax_row);
        amax_column[j] = std::max(amax_column[j], expected.amax_column);
        amax_block[i] = std::max(amax_block[i], expected.amax_block);
      }
    EXPECT_EQ(amax_row_, amax_row) << c_;
    EXPECT_EQ(amax_column_, amax_column) << c_;
    EXPECT_EQ(amax_block_, amax_block) << c_;
  }

 private:
  using Memory = std::vector<std::byte>;

  /// Whole numbers, whose sums are exact.
  void Fill(Memory& memory, DType dtype, std::int64_t elements) {
    memory.resize(static_cast<std::size_t>(elements) * SizeOf(dtype));
    for (std::int64_t i = 0; i < elements; ++i)
      Encode(dtype, memory.data(), i, static_cast<double>(random_() % 7) - (dtype == DType::kU8 ? 0 : 3));
  }

  void Compute() {
    MicroKernelRecipe recipe{c_.math, kMr, static_cast<int>(nr_), kM % kMr, static_cast<int>(nr_)};
    recipe.d_type = c_.d;
    recipe.bias_type = c_.bias;
    recipe.residual_type = c_.d;
    recipe.epilogue_id = epilogue_.id();
    recipe.columns_per_d = pairs_;
    const MicroKernelSet kernels = FindPortableKernels(recipe);
    CpuEpilogue epilogue{};
    epilogue.bias = bias_.data();
    epilogue.bias_m = bias_m_.data();
    epilogue.residual = residual_.data();
    epilogue.residual_row = columns_ * static_cast<std::int64_t>(SizeOf(c_.d));
    const auto floats = [](const Memory& memory) { return reinterpret_cast<const float*>(memory.data()); };
    epilogue.scale_row = floats(scale_row_);
    epilogue.scale_column = floats(scale_column_);
    epilogue.scale_block = floats(scale_block_);
    epilogue.d_scale_row = floats(d_scale_row_);
    epilogue.d_scale_column = floats(d_scale_column_);
    epilogue.d_scale_block = floats(d_scale_block_);
    epilogue.scalar = &scalar_;
    epilogue.d_scale = &d_scale_;
    epilogue.block_row = epilogue.d_block_row = epilogue.amax_block_row = 1;
    epilogue.amax_row = amax_row_.data();
    epilogue.amax_column = amax_column_.data();
    epilogue.amax_block = amax_block_.data();
    d_.assign(static_cast<std::size_t>(kM * columns_) * SizeOf(c_.d), std::byte{0xa5});

    MicroKernelArgs args{};
    args.recipe = &recipe;
    args.epilogue = &epilogue;
    for (args.row = 0; args.row < kM; args.row += kMr)
      for (args.column = 0; args.column < kN; args.column += nr_) Run(kernels, args);
  }

  /// One tile, block after block of k.
  void Run(const MicroKernelSet& kernels, MicroKernelArgs args) {
    const std::int64_t rows = std::min(kMr, kM - args.row), unit = Info(c_.math).unit_bytes;
    args.columns = std::min(nr_, kN - args.column);
    const auto d_size = static_cast<std::int64_t>(SizeOf(c_.d)), size = static_cast<std::int64_t>(SizeOf(c_.operand));
    const DType sum_type = Info(c_.math).sum;
    std::byte alpha[8], beta[8], one[8];
    Encode(sum_type, alpha, 0, kAlpha);
    Encode(sum_type, beta, 0, c_.beta);
    Encode(sum_type, one, 0, 1);
    alignas(8) std::byte sums[kMr * kNr * 8], a[kMr * kK * 8], b[kNr * kK * 8];
    const std::int64_t sums_row = nr_ * static_cast<std::int64_t>(SizeOf(sum_type)), block = kK / c_.blocks;
    for (std::int64_t k = 0; k < kK; k += block) {
      FindPortablePackPanel(c_.operand, c_.math, PackSide::kA)(a_.data() + (args.row * kK + k) * size, kK, 1, rows, kMr,
                                                               block, a, nullptr);
      FindPortablePackPanel(c_.operand, c_.math, PackSide::kB)(b_.data() + (k * kN + args.column) * size, 1, kN,
                                                               args.columns, nr_, block, b, nullptr);
      const bool first = k == 0, last = k + block == kK;
      const std::int64_t at = (args.row * columns_ + args.column / pairs_) * d_size;
      args.a = a;
      args.a_row = unit;
      args.a_col = kMr * unit;
      args.b = b;
      args.b_step = nr_ * unit;
      args.k = (block + Info(c_.math).group - 1) / Info(c_.math).group;
      args.alpha = alpha;
      args.beta = first ? beta : one;
      args.c_is_sum = first ? 0 : 1;
      args.d_is_sum = last ? 0 : 1;
      args.c = first ? c_matrix_.data() + at : sums;
      args.c_row = first ? columns_ * d_size : sums_row;
      args.d = last ? d_.data() + at : sums;
      args.d_row = last ? columns_ * d_size : sums_row;
      const bool full = rows == kMr;
      (args.columns == nr_ ? (full ? kernels.full_full : kernels.last_full)
                           : (full ? kernels.full_last : kernels.last_last))(&args);
    }
  }

  /// alpha * A * B + beta * C; `column` of the product.
  double Accumulator(std::int64_t row, std::int64_t column) const {
    double sum = 0;
    for (std::int64_t k = 0; k < kK; ++k)
      sum += Decode(c_.operand, a_.data(), row * kK + k) * Decode(c_.operand, b_.data(), k * kN + column);
    return kAlpha * sum + (c_.beta == 0 ? 0 : c_.beta * Decode(c_.d, c_matrix_.data(), row * columns_ + column));
  }
  EpilogueResult Expected(std::int64_t row, std::int64_t d_column) const {
    const std::int64_t column = d_column * pairs_, next = column + pairs_ - 1;
    const auto read = [](const Memory& memory, DType type, std::int64_t index) {
      return static_cast<float>(Decode(type, memory.data(), index));
    };
    EpilogueElement e;
    e.accumulator = static_cast<float>(Accumulator(row, column));
    e.paired = static_cast<float>(Accumulator(row, next));
    e.bias = read(bias_, c_.bias, column);
    e.paired_bias = read(bias_, c_.bias, next);
    e.bias_m = read(bias_m_, c_.bias, row);
    e.residual = read(residual_, c_.d, row * columns_ + d_column);
    e.scalar = scalar_;
    e.d_scale = d_scale_;
    e.scale_row = read(scale_row_, DType::kF32, row);
    e.scale_column = read(scale_column_, DType::kF32, column);
    e.paired_scale_column = read(scale_column_, DType::kF32, next);
    e.scale_block = read(scale_block_, DType::kF32, row);  // Blocks of 1 x 128: one a row.
    e.d_scale_row = read(d_scale_row_, DType::kF32, row);
    e.d_scale_column = read(d_scale_column_, DType::kF32, d_column);
    e.d_scale_block = read(d_scale_block_, DType::kF32, row);
    e.row = static_cast<std::int32_t>(row);
    e.column = static_cast<std::int32_t>(d_column);
    return epilogue_.Evaluate(e);
  }

  static constexpr double kAlpha = 2;
  const Case c_;
  const Epilogue epilogue_;
  const int pairs_;
  const std::int64_t columns_, nr_ = 32 / Info(c_.math).unit_bytes;  // Of D; of a tile of the product.
  const float scalar_ = 1.5f, d_scale_ = 0.25f;
  std::mt19937_64 random_{std::random_device{}()};
  Memory a_, b_, c_matrix_, d_, bias_, bias_m_, residual_;
  Memory scale_row_, scale_column_, scale_block_, d_scale_row_, d_scale_column_, d_scale_block_;
  std::vector<float> amax_row_ = std::vector<float>(kM), amax_column_ = std::vector<float>(kN),
                     amax_block_ = std::vector<float>(kM);
};

constexpr DType kF32 = DType::kF32, kF64 = DType::kF64, kF16 = DType::kF16, kBf16 = DType::kBf16, kS8 = DType::kS8,
                kU8 = DType::kU8, kS32 = DType::kS32, kE4m3 = DType::kE4m3;

TEST(PortableFinish, EveryTypeOfSumsIsStoredAsEveryTypeOfD) {
  for (const auto& [math, operand] : {std::pair{CpuMath::kF32, kF32},
                                      {CpuMath::kF32, kBf16},
                                      {CpuMath::kF64, kF64},
                                      {CpuMath::kS16, kS8},
                                      {CpuMath::kS16, kU8}})
    for (const DTypeInfo& d : AllDTypes())
      for (const double beta : {0.0, -1.0})
        for (const int blocks : {1, 3}) Problem({math, operand, d.dtype, {}, beta, blocks}).Check();
}

TEST(PortableFinish, EveryInputAndOutputOfEpiloguesIsTheElementsOwn) {
  for (const char* const chain :
       {"bias+gelu", "bias_m+relu", "residual+scale", "scale_row+scale_column+scale_block", "bias+scale_column+swiglu",
        "amax_row+d_scale_row", "amax_column+d_scale_column+amax_block+d_scale_block", "swiglu+amax_row+d_scale",
        "place"})
    for (const auto& [math, operand] : {std::pair{CpuMath::kF32, kF32}, {CpuMath::kS16, kS8}})
      for (const DType d : {kF32, kBf16, kF16})
        for (const int blocks : {1, 2})
          for (const DType bias : {kF32, kBf16, kF16}) {
            const bool pairs = std::string_view(chain).find("swiglu") != std::string_view::npos;
            Problem({math, operand, d, chain, pairs ? 0.0 : 0.5 + 0.5 * Info(operand).is_integer(), blocks, bias})
                .Check();
          }
}

TEST(PortableFinish, QuantisedDIsRoundedAndSaturates) {
  for (const auto& [chain, d] : {std::pair{"scale+quantise_s8", kS8},
                                 {"amax_row+quantise_u8", kU8},
                                 {"d_scale+quantise_e4m3", kE4m3},
                                 {"scale_row+quantise_s8", kS32}})
    for (const int blocks : {1, 3}) Problem({CpuMath::kS16, kS8, d, chain, 0, blocks}).Check();
}

TEST(PortableFinish, ANanAmongMagnitudesStays) {
  const Epilogue epilogue = Epilogue::Parse("amax_row");
  MicroKernelRecipe recipe{CpuMath::kF32, 1, kNr, 0, kNr};
  recipe.epilogue_id = epilogue.id();
  float a = 1, b[kNr] = {3, NAN, INFINITY, -5, 0, 1, 2, 4}, d[kNr], amax = 2, alpha = 1, beta = 0;
  CpuEpilogue inputs{};
  inputs.amax_row = &amax;
  MicroKernelArgs args{};
  args.a = &a;
  args.b = b;
  args.d = d;
  args.k = 1;
  args.alpha = &alpha;
  args.beta = &beta;
  args.columns = kNr;
  args.epilogue = &inputs;
  args.recipe = &recipe;
  FindPortableKernels(recipe).full_full(&args);
  EXPECT_TRUE(std::isnan(amax));
}

}  // namespace
}  // namespace gemmsmith
