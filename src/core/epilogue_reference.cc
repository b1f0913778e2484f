#include "core/epilogue_reference.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <utility>

#include "util/log.h"

namespace gemmsmith {
namespace {

/// How far exp, tanh and their like may be off in a kernel.
constexpr int kUlps = 2;

float Read(const Tensor& tensor, std::int64_t index) {
  return static_cast<float>(Decode(tensor.dtype, tensor.data, index));
}

}  // namespace

EpilogueReference::EpilogueReference(const GemmProblem& p, const EpilogueArgs& args, std::int64_t batch)
    : args_(&args),
      batch_(batch),
      rows_(p.m),
      columns_(p.d_columns()),
      columns_per_d_(p.columns_per_d),
      residual_offset_(batch * p.batch_stride_residual),
      ld_residual_(p.ld_residual) {
  for (const Tensor* tensor : {&args.bias, &args.bias_m, &args.residual, &args.scale_row, &args.d_scale_row,
                               &args.scale_column, &args.d_scale_column, &args.scale_block, &args.d_scale_block,
                               &args.amax_row, &args.amax_column, &args.amax_block})
    if (tensor->given() && tensor->device.kind != DeviceKind::kCpu)
      throw Fail(Code::kInvalidArgument, "give tensors in host memory", "verify: the epilogue has a tensor on {}",
                 ToString(tensor->device));
  if (args.scalar.device_pointer != nullptr || args.d_scale.device_pointer != nullptr)
    throw Fail(Code::kInvalidArgument, "give their values",
               "verify: the epilogue's scalars are pointers to device memory");
}

EpilogueElement EpilogueReference::Element(std::int64_t row, std::int64_t column) const {
  const Epilogue& epilogue = args_->epilogue;
  EpilogueElement e;
  const auto read = [&](EpilogueInput input, const Tensor& tensor, std::int64_t index, float& to) {
    if (epilogue.Reads(input)) to = Read(tensor, index);
  };
  const auto block = [&](EpilogueInput input) {
    const EpilogueBlock size = epilogue.block(input);
    return row / size.rows * ((columns_ + size.columns - 1) / size.columns) + column / size.columns;
  };
  const std::int64_t of_product = column * columns_per_d_;
  read(EpilogueInput::kBias, args_->bias, of_product, e.bias);
  read(EpilogueInput::kPairedBias, args_->bias, of_product + 1, e.paired_bias);
  read(EpilogueInput::kBiasM, args_->bias_m, row, e.bias_m);
  read(EpilogueInput::kResidual, args_->residual, residual_offset_ + row * ld_residual_ + column, e.residual);
  read(EpilogueInput::kScaleRow, args_->scale_row, row, e.scale_row);
  read(EpilogueInput::kDScaleRow, args_->d_scale_row, row, e.d_scale_row);
  read(EpilogueInput::kScaleColumn, args_->scale_column, of_product, e.scale_column);
  read(EpilogueInput::kPairedScaleColumn, args_->scale_column, of_product + 1, e.paired_scale_column);
  read(EpilogueInput::kDScaleColumn, args_->d_scale_column, column, e.d_scale_column);
  if (epilogue.Reads(EpilogueInput::kScaleBlock))
    e.scale_block = Read(args_->scale_block, block(EpilogueInput::kScaleBlock));
  if (epilogue.Reads(EpilogueInput::kDScaleBlock))
    e.d_scale_block = Read(args_->d_scale_block, block(EpilogueInput::kDScaleBlock));
  e.scalar = static_cast<float>(args_->scalar.value);
  e.d_scale = static_cast<float>(args_->d_scale.value);
  e.row = static_cast<std::int32_t>(row);
  e.column = static_cast<std::int32_t>(column);
  return e;
}

EpilogueReference::Ranges EpilogueReference::At(std::int64_t row, std::int64_t column, const Sum& sum,
                                                const Sum& paired) const {
  if (transposed_) std::swap(row, column);
  EpilogueElement element = Element(row, column);
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
  constexpr double kBothEnds[] = {0, -1, 1};
  Ranges ranges;
  ranges.fill({kNan, kNan});
  const auto take = [&] {
    for (const int ulps : {0, -kUlps, kUlps}) {
      const EpilogueResult result = args_->epilogue.Evaluate(element, ulps);
#define GEMMSMITH_EPILOGUE_OUTPUT(name, text, member, ...) \
  ranges[static_cast<std::size_t>(EpilogueOutput::name)].Take(result.member);
#include "gemmsmith/epilogue.def"
#undef GEMMSMITH_EPILOGUE_OUTPUT
    }
  };
  for (const double end : kBothEnds) {
    element.accumulator = static_cast<float>(sum.value + end * sum.error);
    for (const double paired_end : std::span(kBothEnds).first(columns_per_d_ == 2 ? 3 : 1)) {
      element.paired = static_cast<float>(paired.value + paired_end * paired.error);
      take();
    }
  }
  // Between the ends, x * (1 + erf(x)) and its like go up and down in steps as wide as x is uncertain.
  const auto relative = [](const Sum& x) { return x.error == 0 ? 0 : std::min(1.0, x.error / std::fabs(x.value)); };
  for (Range& range : ranges) range.Widen(std::max(relative(sum), columns_per_d_ == 2 ? relative(paired) : 0));
  return ranges;
}

MaximaReference::MaximaReference(const EpilogueReference& reference)
    : rows_(reference.rows_), columns_(reference.columns_), transposed_(reference.transposed_) {
  const EpilogueArgs& args = *reference.args_;
  const auto add = [&](EpilogueOutput output, const Tensor& tensor, std::int64_t block_rows,
                       std::int64_t block_columns) {
    if (!args.epilogue.Makes(output)) return;
    Kind kind{output, static_cast<const float*>(tensor.data), block_rows, block_columns, {}};
    const std::int64_t blocks = (rows_ + block_rows - 1) / block_rows * BlocksAcross(kind);
    if (tensor.dtype != DType::kF32 || tensor.size() < (reference.batch_ + 1) * blocks || kind.stored == nullptr)
      throw Fail(Code::kInvalidArgument, "", "verify: {} f32 maxima are wanted for each batch entry", blocks);
    kind.stored += reference.batch_ * blocks;
    kinds_.push_back(std::move(kind));
  };
  const EpilogueBlock block = args.epilogue.block(EpilogueOutput::kAmaxBlock);
  add(EpilogueOutput::kAmaxRow, args.amax_row, 1, columns_);
  add(EpilogueOutput::kAmaxColumn, args.amax_column, rows_, 1);
  add(EpilogueOutput::kAmaxBlock, args.amax_block, block.rows, block.columns);
}

void MaximaReference::Take(std::int64_t row, std::int64_t column, const EpilogueReference::Ranges& ranges) {
  if (transposed_) std::swap(row, column);
  for (Kind& kind : kinds_) {
    Seen& seen = kind.seen[row / kind.block_rows * BlocksAcross(kind) + column / kind.block_columns];
    const EpilogueReference::Range& range = ranges[static_cast<std::size_t>(kind.output)];
    ++seen.count;
    seen.range.has_nan = seen.range.has_nan || range.has_nan;
    // Of values on both sides of 0, the least magnitude lies somewhere between those that were tried.
    const double width = range.high - range.low;
    const double low = std::isfinite(width) ? std::max(0.0, range.low - width) : range.low;
    if (std::isnan(range.low)) {
      seen.range.low = seen.range.high = range.low;  // the maximum is NaN
    } else if (!std::isnan(seen.range.low)) {
      seen.range.low = std::max(seen.range.low, low);
      seen.range.high = std::max(seen.range.high, range.high);
    }
  }
}

std::vector<MaximaReference::Maximum> MaximaReference::Found() const {
  std::vector<Maximum> found;
  for (const Kind& kind : kinds_)
    for (const auto& [index, seen] : kind.seen) {
      const std::int64_t across = BlocksAcross(kind);
      const std::int64_t row = index / across * kind.block_rows, column = index % across * kind.block_columns;
      const std::int64_t elements =
          std::min(kind.block_rows, rows_ - row) * std::min(kind.block_columns, columns_ - column);
      Maximum maximum{kind.stored[index], seen.range, row, column};
      if (seen.count < elements) {  // The others may be anything, but for less.
        maximum.range.has_nan = true;
        if (!std::isnan(seen.range.high)) maximum.range.high = std::numeric_limits<double>::infinity();
      }
      if (kind.output == EpilogueOutput::kAmaxRow) maximum.column = -1;
      if (kind.output == EpilogueOutput::kAmaxColumn) maximum.row = -1;
      if (transposed_) std::swap(maximum.row, maximum.column);
      found.push_back(maximum);
    }
  return found;
}

}  // namespace gemmsmith
