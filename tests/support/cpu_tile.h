#pragma once

// One tile finished by a micro-kernel alone: k is 0, and C gives the sums. All that an epilogue reads ends where a page
// begins that may not be touched.

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <memory>
#include <optional>
#include <random>
#include <vector>

#include "cpu_gemm.h"
#include "epilogue/expression.h"
#include "epilogue/trace.h"
#include "random_trace.h"

namespace gemmsmith::testing_support {

inline std::shared_ptr<const CpuKernel> CompileRecipe(const MicroKernelRecipe& recipe, const CodeTarget& target) {
  KernelSource source;
  source.name = source.entry = "tile";
  source.target = target;
  source.text = ToString(recipe);
  return LoadCpuKernel(OpenX86Compiler()->Compile(source, {}));
}

/// The targets of this machine whose tiles are finished differently: what AVX-512 has besides is for the loop over k.
inline std::vector<CodeTarget> X86Targets() {
  std::vector<CodeTarget> targets;
  for (const CodeTarget& target : CpuTargets())
    if (target.isa == Isa::kX86 && target.version <= 512) targets.push_back(target);
  return targets;
}
inline std::string NameOf(const CodeTarget& target) {
  std::string name = ToString(target);
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

struct TileCase {
  MicroKernelRecipe recipe;              ///< The tails are those of `columns` and of `few_rows`.
  std::int64_t columns = 0;              ///< Of the product, at most nr.
  std::int64_t row = 0, tiles_left = 0;  ///< Where the tile lies in D.
  bool c_is_sum = false, d_is_sum = false;
  double beta = 1;
  bool few_rows = false;  ///< m_tail, not mr.
};

/// The epilogue that a trace stands for, as if it had been written with Values.
inline Epilogue FromTrace(const OpTrace& trace) {
  std::vector<std::shared_ptr<const Expression>> values;
  for (const OpNode& node : trace.body) {
    Expression expression{node, {}};
    expression.node.operands = {-1, -1, -1};
    for (int i = 0; i < Info(node.op).arity; ++i) expression.operands.push_back(values[node.operands[i]]);
    values.push_back(std::make_shared<const Expression>(std::move(expression)));
  }
  std::optional<Outputs> outputs;
  for (const OpOutput& output : trace.outputs)
    if (output.kind == OutputKind::kD) outputs.emplace(Value(values[output.value]));
  for (const OpOutput& output : trace.outputs) {
    if (output.kind == OutputKind::kAmaxRow) outputs->AmaxRow(Value(values[output.value]));
    if (output.kind == OutputKind::kAmaxColumn) outputs->AmaxColumn(Value(values[output.value]));
    if (output.kind == OutputKind::kAmaxBlock) outputs->AmaxBlock(Value(values[output.value]), output.block);
  }
  return Epilogue(*outputs);
}

/// Fills what a tile reads, runs it, and compares with the interpreter.
class TileRun {
 public:
  TileRun(const TileCase& c, std::mt19937& random)
      : case_(c),
        recipe_(c.recipe),
        sum_(Info(c.recipe.math).sum),
        epilogue_(*Epilogue::Find(c.recipe.epilogue_id)),
        column_(c.tiles_left * recipe_.nr),
        per_d_(recipe_.columns_per_d),
        m_(c.few_rows ? recipe_.m_tail : recipe_.mr),
        rows_(c.row + m_),
        n_(column_ + c.columns),
        d_n_(n_ / per_d_),
        d_type_(c.d_is_sum ? sum_ : recipe_.d_type),
        c_type_(c.c_is_sum ? sum_ : recipe_.d_type),
        c_(m_ * c.columns * Size(c_type_)),
        bias_(n_ * Size(recipe_.bias_type)),
        bias_m_(rows_ * Size(recipe_.bias_type)),
        residual_(rows_ * d_n_ * Size(recipe_.residual_type)) {
    Fill(c_, c_type_, random);
    Fill(bias_, recipe_.bias_type, random);
    Fill(bias_m_, recipe_.bias_type, random);
    Fill(residual_, recipe_.residual_type, random);
    for (auto* scales : {&scale_row_, &d_scale_row_}) scales->emplace(rows_ * 4);
    scale_column_.emplace(n_ * 4);
    d_scale_column_.emplace(d_n_ * 4);
    for (auto* scale : {&scalar_, &d_scale_}) scale->emplace(4);
    scale_block_.emplace(Blocks(EpilogueInput::kScaleBlock) * 4);
    d_scale_block_.emplace(Blocks(EpilogueInput::kDScaleBlock) * 4);
    for (auto* scales : {&scale_row_, &d_scale_row_, &scale_column_, &d_scale_column_, &scalar_, &d_scale_,
                         &scale_block_, &d_scale_block_})
      Fill(**scales, DType::kF32, random);
    for (const OpOutput& output : epilogue_.trace().outputs)
      if (output.kind == OutputKind::kAmaxBlock) amax_block_size_ = output.block;
    maxima_ = Maxima(*this);
  }

  void Run(const CpuKernel& kernel) {
    const std::int64_t columns = case_.d_is_sum ? case_.columns : case_.columns / per_d_;
    d_columns_ = columns;
    d_row_ = columns * Size(d_type_) + kGap;
    d_.assign(static_cast<std::size_t>(m_ * d_row_ + 2 * kGap), kCanary);
    MicroKernelArgs args{};
    args.a = args.b = args.ahead = d_.data();  // Not read.
    args.a_row = 4;
    args.c = c_.begin();
    args.c_row = case_.columns * Size(c_type_);
    args.d = d_.data() + kGap;
    args.d_row = d_row_;
    SetScalars(args);
    args.columns = case_.columns;
    args.c_is_sum = case_.c_is_sum;
    args.d_is_sum = case_.d_is_sum;
    args.row = case_.row;
    args.column = column_;
    const CpuEpilogue epilogue = Arguments();
    args.epilogue = &epilogue;
    const MicroKernelSet& entries = kernel.entries();
    const bool few = case_.few_rows;
    if (case_.columns == recipe_.nr)
      (few ? entries.last_full : entries.full_full)(&args);
    else
      (few ? entries.last_last : entries.full_last)(&args);
  }

  /// D is what the interpreter makes, with functions up to `ulps` off; nothing beside D has changed.
  void Check(int ulps = 0) {
    std::vector<std::byte> rest = d_;
    Maxima least(*this), most(*this);
    for (std::int64_t i = 0; i < m_; ++i)
      for (std::int64_t j = 0; j < d_columns_; ++j) {
        std::byte* const at = d_.data() + kGap + i * d_row_ + j * Size(d_type_);
        std::fill_n(rest.begin() + (at - d_.data()), Size(d_type_), kCanary);
        if (case_.d_is_sum || recipe_.epilogue_id == 0) {
          CheckElement(at, Sum(i, j), Sum(i, j), Sum(i, j), i, j);
          continue;
        }
        const EpilogueElement element = Element(i, j);
        const EpilogueResult exact = epilogue_.Evaluate(element);
        EpilogueResult low = exact, high = exact;
        for (int u = -ulps; u <= ulps; ++u) {
          const EpilogueResult moved = u == 0 ? exact : epilogue_.Evaluate(element, u);
          for (auto member : {&EpilogueResult::d, &EpilogueResult::amax_row, &EpilogueResult::amax_column,
                              &EpilogueResult::amax_block}) {
            low.*member = std::min(low.*member, moved.*member);
            high.*member = std::max(high.*member, moved.*member);
          }
        }
        CheckElement(at, exact.d, low.d, high.d, i, j);
        least.Raise(case_.row + i, column_ / per_d_ + j, low);
        most.Raise(case_.row + i, column_ / per_d_ + j, high);
      }
    EXPECT_EQ(std::count(rest.begin(), rest.end(), kCanary), static_cast<std::ptrdiff_t>(rest.size()))
        << "wrote outside D";
    for (const OpOutput& output : epilogue_.trace().outputs) {
      if (output.kind == OutputKind::kAmaxRow) CheckMaxima("row", maxima_.row, least.row, most.row);
      if (output.kind == OutputKind::kAmaxColumn) CheckMaxima("column", maxima_.column, least.column, most.column);
      if (output.kind == OutputKind::kAmaxBlock) CheckMaxima("block", maxima_.block, least.block, most.block);
    }
  }

  float* c() { return reinterpret_cast<float*>(c_.begin()); }
  const float* d() const { return reinterpret_cast<const float*>(d_.data() + kGap); }

 private:
  static constexpr std::int64_t kGap = 128;
  static constexpr std::byte kCanary{0x5a};
  using Memory = GuardedMemory<std::byte>;

  struct Maxima {
    explicit Maxima(const TileRun& run)
        : block_size(run.amax_block_size_),
          blocks_per_row(Up(run.d_n_, block_size.columns)),
          row(run.rows_),
          column(run.d_n_),
          block(Up(run.rows_, block_size.rows) * blocks_per_row) {}
    /// By bits, in which NaN is the largest.
    void Raise(std::int64_t i, std::int64_t j, const EpilogueResult& result) {
      const auto raise = [](float& maximum, float value) {
        maximum = std::bit_cast<float>(
            std::max(std::bit_cast<std::uint32_t>(maximum), std::bit_cast<std::uint32_t>(std::fabs(value))));
      };
      raise(row[i], result.amax_row);
      raise(column[j], result.amax_column);
      raise(block[i / block_size.rows * blocks_per_row + j / block_size.columns], result.amax_block);
    }
    EpilogueBlock block_size;
    std::int64_t blocks_per_row;
    std::vector<float> row, column, block;
  };

  static std::int64_t Size(DType dtype) { return static_cast<std::int64_t>(SizeOf(dtype)); }
  static std::int64_t Up(std::int64_t x, std::int64_t y) { return (x + y - 1) / y; }

  static void Fill(Memory& memory, DType dtype, std::mt19937& random) {
    for (std::byte* at = memory.begin(); at < memory.end(); at += Size(dtype)) {
      const std::uint32_t bits = RandomFloatBits(random);
      if (dtype == DType::kF32 || dtype == DType::kS32)
        std::memcpy(at, &bits, 4);
      else if (random() % 2 == 0)
        Encode(dtype, at, 0, std::bit_cast<float>(bits));
      else
        std::memcpy(at, &bits, static_cast<std::size_t>(Size(dtype)));
    }
  }

  void SetScalars(MicroKernelArgs& args) {
    const bool is_integer = sum_ == DType::kS32;
    alpha_ = is_integer || case_.beta == 0 ? 0 : 0x80000000;  // -0 leaves the sign of C alone.
    beta_ = is_integer ? static_cast<std::uint32_t>(static_cast<std::int32_t>(case_.beta))
                       : std::bit_cast<std::uint32_t>(static_cast<float>(case_.beta));
    args.alpha = &alpha_;
    args.beta = &beta_;
  }

  CpuEpilogue Arguments() {
    const auto f32 = [](const std::optional<Memory>& memory) {
      return reinterpret_cast<const float*>(memory->begin());
    };
    CpuEpilogue e{};
    e.bias = bias_.begin(), e.bias_m = bias_m_.begin(), e.residual = residual_.begin();
    e.scale_row = f32(scale_row_), e.scale_column = f32(scale_column_), e.scale_block = f32(scale_block_);
    e.d_scale_row = f32(d_scale_row_), e.d_scale_column = f32(d_scale_column_), e.d_scale_block = f32(d_scale_block_);
    e.scalar = f32(scalar_), e.d_scale = f32(d_scale_);
    e.residual_row = d_n_ * Size(recipe_.residual_type);
    e.block_row = Up(d_n_, BlockOf(EpilogueInput::kScaleBlock).columns);
    e.d_block_row = Up(d_n_, BlockOf(EpilogueInput::kDScaleBlock).columns);
    e.amax_row = maxima_.row.data(), e.amax_column = maxima_.column.data(), e.amax_block = maxima_.block.data();
    e.amax_block_row = Up(d_n_, amax_block_size_.columns);
    return e;
  }

  EpilogueBlock BlockOf(EpilogueInput input) const {
    const EpilogueBlock block = epilogue_.block(input);
    return block.columns == 0 ? EpilogueBlock{1, 128} : block;
  }
  std::int64_t Blocks(EpilogueInput input) const {
    return Up(rows_, BlockOf(input).rows) * Up(d_n_, BlockOf(input).columns);
  }
  std::int64_t Block(EpilogueBlock block, std::int64_t row, std::int64_t column) const {
    return row / block.rows * Up(d_n_, block.columns) + column / block.columns;
  }

  double Sum(std::int64_t i, std::int64_t j) const {
    const double c = case_.beta == 0 ? 0 : Decode(c_type_, c_.begin(), i * case_.columns + j);
    if (sum_ != DType::kS32) return static_cast<float>(case_.beta == 0 ? 0 : case_.beta * c);
    if (!Info(c_type_).is_integer()) return 0.0f + static_cast<float>(case_.beta) * static_cast<float>(c);
    const auto product = static_cast<std::int32_t>(static_cast<std::uint32_t>(static_cast<std::int64_t>(c)) *
                                                   static_cast<std::uint32_t>(static_cast<std::int32_t>(case_.beta)));
    if (Info(d_type_).is_integer() && recipe_.epilogue_id == 0) return product;
    return static_cast<float>(product);
  }

  EpilogueElement Element(std::int64_t i, std::int64_t j) const {
    const std::int64_t row = case_.row + i, column = column_ / per_d_ + j, product = column * per_d_;
    const auto at = [](const auto& memory, DType dtype, std::int64_t index) {
      return static_cast<float>(Decode(dtype, memory.begin(), index));
    };
    const auto f32 = [&](const std::optional<Memory>& memory, std::int64_t index) {
      return at(*memory, DType::kF32, index);
    };
    EpilogueElement e;
    e.accumulator = static_cast<float>(Sum(i, per_d_ * j));
    e.bias = at(bias_, recipe_.bias_type, product);
    e.scale_column = f32(scale_column_, product);
    if (per_d_ == 2) {
      e.paired = static_cast<float>(Sum(i, 2 * j + 1));
      e.paired_bias = at(bias_, recipe_.bias_type, product + 1);
      e.paired_scale_column = f32(scale_column_, product + 1);
    }
    e.bias_m = at(bias_m_, recipe_.bias_type, row);
    e.residual = at(residual_, recipe_.residual_type, row * d_n_ + column);
    e.scalar = f32(scalar_, 0), e.d_scale = f32(d_scale_, 0);
    e.scale_row = f32(scale_row_, row), e.d_scale_row = f32(d_scale_row_, row);
    e.d_scale_column = f32(d_scale_column_, column);
    e.scale_block = f32(scale_block_, Block(BlockOf(EpilogueInput::kScaleBlock), row, column));
    e.d_scale_block = f32(d_scale_block_, Block(BlockOf(EpilogueInput::kDScaleBlock), row, column));
    e.row = static_cast<std::int32_t>(row), e.column = static_cast<std::int32_t>(column);
    return e;
  }

  void CheckElement(const std::byte* at, double exact, double low, double high, std::int64_t i, std::int64_t j) const {
    const auto stored = [&](double value) {
      std::uint64_t bits = 0;
      Encode(d_type_, &bits, 0, value);
      return Decode(d_type_, &bits, 0);
    };
    const double got = Decode(d_type_, at, 0), wanted = stored(exact), least = stored(low), most = stored(high);
    const bool same = std::isnan(wanted) ? std::isnan(got) : got == wanted && std::signbit(got) == std::signbit(wanted);
    ASSERT_TRUE(same || (least < most && got >= least && got <= most))
        << "row " << i << " column " << j << ": " << got << ", not " << wanted << " or from " << least << " to " << most
        << '\n'
        << epilogue_.text() << "c " << Decode(c_type_, c_.begin(), i * case_.columns + j);
  }

  static void CheckMaxima(const char* of, const std::vector<float>& got, const std::vector<float>& least,
                          const std::vector<float>& most) {
    for (std::size_t i = 0; i < got.size(); ++i)
      ASSERT_TRUE((got[i] >= least[i] && got[i] <= most[i]) || (std::isnan(got[i]) && std::isnan(least[i])))
          << "maximum of " << of << ' ' << i << ": " << got[i] << ", not " << least[i] << " to " << most[i];
  }

  const TileCase case_;
  const MicroKernelRecipe recipe_;
  const DType sum_;
  const Epilogue epilogue_;
  const std::int64_t column_, per_d_, m_, rows_, n_, d_n_;
  const DType d_type_, c_type_;
  Memory c_, bias_, bias_m_, residual_;
  std::optional<Memory> scale_row_, d_scale_row_, scale_column_, d_scale_column_, scalar_, d_scale_, scale_block_,
      d_scale_block_;
  EpilogueBlock amax_block_size_{1, 128};
  Maxima maxima_{*this};
  std::vector<std::byte> d_;
  std::int64_t d_columns_ = 0, d_row_ = 0;
  std::uint32_t alpha_ = 0, beta_ = 0;
};

}  // namespace gemmsmith::testing_support
