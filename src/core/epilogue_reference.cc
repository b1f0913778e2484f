#include "core/epilogue_reference.h"

#include <algorithm>
#include <cmath>
#include <limits>

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
    : args_(&args), columns_(p.n), residual_offset_(batch * p.batch_stride_residual), ld_residual_(p.ld_residual) {
  for (const Tensor* tensor : {&args.bias, &args.bias_m, &args.residual, &args.scale_row, &args.d_scale_row,
                               &args.scale_column, &args.d_scale_column, &args.scale_block, &args.d_scale_block})
    if (tensor->given() && tensor->device.kind != DeviceKind::kCpu)
      throw Fail(Code::kInvalidArgument, "give tensors in host memory", "verify: the epilogue reads a tensor on {}",
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
  read(EpilogueInput::kBias, args_->bias, column, e.bias);
  read(EpilogueInput::kBiasM, args_->bias_m, row, e.bias_m);
  read(EpilogueInput::kResidual, args_->residual, residual_offset_ + row * ld_residual_ + column, e.residual);
  read(EpilogueInput::kScaleRow, args_->scale_row, row, e.scale_row);
  read(EpilogueInput::kDScaleRow, args_->d_scale_row, row, e.d_scale_row);
  read(EpilogueInput::kScaleColumn, args_->scale_column, column, e.scale_column);
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

EpilogueReference::Range EpilogueReference::At(std::int64_t row, std::int64_t column, double accumulator,
                                               double error) const {
  if (transposed_) std::swap(row, column);
  EpilogueElement element = Element(row, column);
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
  Range range{kNan, kNan, false};
  for (const double shift : {0.0, -error, error}) {
    element.accumulator = static_cast<float>(accumulator + shift);
    for (const int ulps : {0, -kUlps, kUlps}) {
      const double value = args_->epilogue.Evaluate(element, ulps).d;
      range.has_nan = range.has_nan || std::isnan(value);
      range.low = std::fmin(range.low, value);  // of a number and NaN: the number
      range.high = std::fmax(range.high, value);
    }
  }
  return range;
}

}  // namespace gemmsmith
