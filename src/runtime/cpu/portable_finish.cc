#include "runtime/cpu/portable_finish.h"

#include <bit>
#include <cmath>
#include <cstddef>
#include <optional>
#include <type_traits>

#include "epilogue/trace.h"
#include "gemmsmith/epilogue.h"

namespace gemmsmith {
namespace {

/// Integers wrap around, as the sums do.
template <class Sum>
Sum MultiplyAdd(Sum x, Sum y, Sum z) {
  if constexpr (std::is_integral_v<Sum>) {
    using Unsigned = std::make_unsigned_t<Sum>;
    return static_cast<Sum>(static_cast<Unsigned>(x) * static_cast<Unsigned>(y) + static_cast<Unsigned>(z));
  } else {
    return x * y + z;
  }
}

/// The elements of D in one tile, computed one by one.
class ElementwiseFinish {
 public:
  ElementwiseFinish(const MicroKernelArgs& args, const Epilogue& epilogue)
      : e_(*args.epilogue), recipe_(*args.recipe), epilogue_(epilogue) {}

  /// Of row `row` and column `column` of the product; `paired`: the accumulator of the column after it.
  float Element(std::int64_t row, std::int64_t column, float accumulator, float paired) const {
    const std::int64_t d_column = column / recipe_.columns_per_d;
    EpilogueElement element = Inputs(row, column, d_column);
    element.accumulator = accumulator;
    element.paired = paired;
    const EpilogueResult result = epilogue_.Evaluate(element);
    for (const OpOutput& output : epilogue_.trace().outputs) {
      switch (output.kind) {
        case OutputKind::kAmaxRow:
          Raise(e_.amax_row[row], result.amax_row);
          break;
        case OutputKind::kAmaxColumn:
          Raise(e_.amax_column[d_column], result.amax_column);
          break;
        case OutputKind::kAmaxBlock:
          Raise(e_.amax_block[row / output.block.rows * e_.amax_block_row + d_column / output.block.columns],
                result.amax_block);
          break;
        case OutputKind::kD:
          break;
      }
    }
    return result.d;
  }

 private:
  EpilogueElement Inputs(std::int64_t row, std::int64_t column, std::int64_t d_column) const {
    EpilogueElement to;
    const auto read = [&](EpilogueInput input, const void* from, DType type, std::int64_t index, float& value) {
      if (epilogue_.Reads(input)) value = static_cast<float>(Decode(type, from, index));
    };
    const auto block = [&](EpilogueInput input, std::int64_t blocks_per_row) {
      const EpilogueBlock size = epilogue_.block(input);
      return epilogue_.Reads(input) ? row / size.rows * blocks_per_row + d_column / size.columns : 0;
    };
    constexpr DType kF32 = DType::kF32;
    read(EpilogueInput::kBias, e_.bias, recipe_.bias_type, column, to.bias);
    read(EpilogueInput::kPairedBias, e_.bias, recipe_.bias_type, column + 1, to.paired_bias);
    read(EpilogueInput::kBiasM, e_.bias_m, recipe_.bias_type, row, to.bias_m);
    read(EpilogueInput::kResidual, static_cast<const std::byte*>(e_.residual) + row * e_.residual_row,
         recipe_.residual_type, d_column, to.residual);
    read(EpilogueInput::kScalar, e_.scalar, kF32, 0, to.scalar);
    read(EpilogueInput::kScaleRow, e_.scale_row, kF32, row, to.scale_row);
    read(EpilogueInput::kScaleColumn, e_.scale_column, kF32, column, to.scale_column);
    read(EpilogueInput::kPairedScaleColumn, e_.scale_column, kF32, column + 1, to.paired_scale_column);
    read(EpilogueInput::kScaleBlock, e_.scale_block, kF32, block(EpilogueInput::kScaleBlock, e_.block_row),
         to.scale_block);
    read(EpilogueInput::kDScale, e_.d_scale, kF32, 0, to.d_scale);
    read(EpilogueInput::kDScaleRow, e_.d_scale_row, kF32, row, to.d_scale_row);
    read(EpilogueInput::kDScaleColumn, e_.d_scale_column, kF32, d_column, to.d_scale_column);
    read(EpilogueInput::kDScaleBlock, e_.d_scale_block, kF32, block(EpilogueInput::kDScaleBlock, e_.d_block_row),
         to.d_scale_block);
    to.row = static_cast<std::int32_t>(row);
    to.column = static_cast<std::int32_t>(d_column);
    return to;
  }
  /// NaN, whose bits are above those of all numbers, stays.
  static void Raise(float& maximum, float value) {
    value = std::fabs(value);
    if (std::bit_cast<std::uint32_t>(value) > std::bit_cast<std::uint32_t>(maximum)) maximum = value;
  }

  const CpuEpilogue& e_;
  const MicroKernelRecipe& recipe_;
  const Epilogue& epilogue_;
};

template <class Sum>
Sum Scalar(const void* value) {
  return *static_cast<const Sum*>(value);
}

/// sum + beta * C, in place.
template <class Sum>
void AddC(const MicroKernelArgs& args, DType c_type, const std::byte* c, Sum* line) {
  for (std::int64_t j = 0; j < args.columns; ++j) {
    const Sum element =
        c_type == DTypeOf<Sum>::value ? reinterpret_cast<const Sum*>(c)[j] : static_cast<Sum>(Decode(c_type, c, j));
    line[j] = MultiplyAdd(Scalar<Sum>(args.beta), element, line[j]);
  }
}

}  // namespace

template <class Sum>
void FinishTile(const MicroKernelArgs& args, Sum* sums, int rows, int stride) {
  static const MicroKernelRecipe plain{.d_type = DTypeOf<Sum>::value};
  const MicroKernelRecipe& recipe = args.recipe == nullptr ? plain : *args.recipe;
  const bool raw = args.d_is_sum != 0 || args.recipe == nullptr || recipe.plain();
  const bool reads_c = Scalar<Sum>(args.beta) != 0;
  const DType c_type = args.c_is_sum != 0 ? DTypeOf<Sum>::value : recipe.d_type;
  // To integer sums, which then become f32.
  const bool adds_fractions = !raw && reads_c && std::is_integral_v<Sum> && !Info(c_type).is_integer();
  const std::optional<Epilogue> epilogue = raw ? std::nullopt : Epilogue::Find(recipe.epilogue_id);
  const auto* c = static_cast<const std::byte*>(args.c);
  auto* d = static_cast<std::byte*>(args.d);
  for (int row = 0; row < rows; ++row, sums += stride, c += args.c_row, d += args.d_row) {
    for (std::int64_t j = 0; j < args.columns; ++j) sums[j] = MultiplyAdd(sums[j], Scalar<Sum>(args.alpha), Sum(0));
    if (reads_c && !adds_fractions) AddC(args, c_type, c, sums);
    const auto value = [&](std::int64_t j) -> double {
      if (!adds_fractions) return static_cast<double>(sums[j]);
      return std::fma(static_cast<float>(Scalar<Sum>(args.beta)), static_cast<float>(Decode(c_type, c, j)),
                      static_cast<float>(sums[j]));
    };
    if (raw) {
      for (std::int64_t j = 0; j < args.columns; ++j) reinterpret_cast<Sum*>(d)[j] = sums[j];
    } else if (recipe.epilogue_id == 0) {
      for (std::int64_t j = 0; j < args.columns; ++j) Encode(recipe.d_type, d, j, value(j));
    } else {
      const ElementwiseFinish finish(args, *epilogue);
      for (std::int64_t j = 0; j < args.columns; j += recipe.columns_per_d) {
        const float paired = recipe.columns_per_d == 2 ? static_cast<float>(value(j + 1)) : 0.0f;
        const float made = finish.Element(args.row + row, args.column + j, static_cast<float>(value(j)), paired);
        Encode(recipe.d_type, d, j / recipe.columns_per_d, made);
      }
    }
  }
}

template void FinishTile(const MicroKernelArgs&, float*, int, int);
template void FinishTile(const MicroKernelArgs&, double*, int, int);
template void FinishTile(const MicroKernelArgs&, std::int32_t*, int, int);

}  // namespace gemmsmith
