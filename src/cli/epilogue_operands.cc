#include "cli/epilogue_operands.h"

#include <cmath>
#include <span>
#include <utility>

#include "gemmsmith/verify.h"

namespace gemmsmith::cli {
namespace {

/// What brings elements of D to its type's range, when operands are FillRandom's.
double TypicalDScale(const GemmProblem& p, const Epilogue& epilogue) {
  const DType type = epilogue.rounded_to();
  if (SizeOf(type) != 1) return 1;
  std::uint8_t storage = 0;
  Encode(type, &storage, 0, 1e30);  // saturates
  const double largest = Decode(type, &storage, 0);
  const double deviation = Info(p.a_type).is_integer() ? 74.0 * 74.0 : 1.0 / 3;  // of one product
  const double sum = 1 + 3 * deviation * std::sqrt(static_cast<double>(p.k));
  return largest / (epilogue.pairs_columns() ? sum * sum : sum);
}

std::int64_t CeilDiv(std::int64_t x, std::int64_t y) { return (x + y - 1) / y; }

Tensor Dense(void* data, DType dtype, std::initializer_list<std::int64_t> extents, std::int64_t batch,
             DeviceId device) {
  if (batch == 1) return Tensor(data, dtype, extents, device);
  const std::int64_t* e = extents.begin();
  return extents.size() == 1 ? Tensor(data, dtype, {batch, e[0]}, device)
                             : Tensor(data, dtype, {batch, e[0], e[1]}, device);
}

}  // namespace

EpilogueOperands::EpilogueOperands(Engine& engine, DeviceId device, const GemmProblem& p, std::uint64_t seed)
    : engine_(engine), device_(device), seed_(seed), epilogue_(Epilogue::Find(p.epilogue_id).value()) {
  device_args_.epilogue = host_args_.epilogue = epilogue_;
  AddInputs(p);
  AddScaleInputs(p);
  AddMaxima(p);
}

Tensor EpilogueOperands::Add(Tensor EpilogueArgs::*member, DType dtype, Extents extents, std::int64_t batch,
                             bool is_output) {
  std::int64_t count = batch;
  for (const std::int64_t extent : extents) count *= extent;
  DeviceMemory memory(engine_, device_, static_cast<std::size_t>(count) * SizeOf(dtype));
  device_args_.*member = Dense(memory.device(), dtype, extents, batch, device_);
  const Tensor host = host_args_.*member = Dense(memory.host(), dtype, extents, batch, {});
  made_.push_back({std::move(memory), host, is_output});
  return host;
}

void EpilogueOperands::AddValues(Tensor EpilogueArgs::*member, DType dtype, Extents extents, std::int64_t batch) {
  const Tensor host = Add(member, dtype, extents, batch, false);
  FillRandom(host, ++seed_);
  made_.back().ToDevice();
}

void EpilogueOperands::AddScales(Tensor EpilogueArgs::*member, Extents extents, double typical) {
  const Tensor host = Add(member, DType::kF32, extents, 1, false);
  FillRandom(host, ++seed_);
  for (float& x : std::span(static_cast<float*>(host.data), static_cast<std::size_t>(host.size())))
    x = static_cast<float>(typical * (1 + 0.5 * x));
  made_.back().ToDevice();
}

void EpilogueOperands::AddInputs(const GemmProblem& p) {
  using enum EpilogueInput;
  if (epilogue_.Reads(kBias) || epilogue_.Reads(kPairedBias)) AddValues(&EpilogueArgs::bias, p.bias_type, {p.n});
  if (epilogue_.Reads(kBiasM)) AddValues(&EpilogueArgs::bias_m, p.bias_type, {p.m});
  if (epilogue_.Reads(kResidual))
    AddValues(&EpilogueArgs::residual, p.residual_type, {p.m, p.d_columns()}, p.entries_d());
}

void EpilogueOperands::AddScaleInputs(const GemmProblem& p) {
  using enum EpilogueInput;
  const auto blocks = [&](EpilogueInput input, Tensor EpilogueArgs::*member, double typical) {
    const EpilogueBlock block = epilogue_.block(input);
    if (epilogue_.Reads(input))
      AddScales(member, {CeilDiv(p.m, block.rows), CeilDiv(p.d_columns(), block.columns)}, typical);
  };
  const double d_scale = TypicalDScale(p, epilogue_);
  for (EpilogueArgs* args : {&device_args_, &host_args_}) args->scalar = 0.75, args->d_scale = d_scale;
  if (epilogue_.Reads(kScaleRow)) AddScales(&EpilogueArgs::scale_row, {p.m}, 1);
  if (epilogue_.Reads(kScaleColumn) || epilogue_.Reads(kPairedScaleColumn))
    AddScales(&EpilogueArgs::scale_column, {p.n}, 1);
  blocks(kScaleBlock, &EpilogueArgs::scale_block, 1);
  if (epilogue_.Reads(kDScaleRow)) AddScales(&EpilogueArgs::d_scale_row, {p.m}, d_scale);
  if (epilogue_.Reads(kDScaleColumn)) AddScales(&EpilogueArgs::d_scale_column, {p.d_columns()}, d_scale);
  blocks(kDScaleBlock, &EpilogueArgs::d_scale_block, d_scale);
}

void EpilogueOperands::AddMaxima(const GemmProblem& p) {
  using enum EpilogueOutput;
  const EpilogueBlock block = epilogue_.block(kAmaxBlock);
  if (epilogue_.Makes(kAmaxRow)) Add(&EpilogueArgs::amax_row, DType::kF32, {p.m}, p.batch, true);
  if (epilogue_.Makes(kAmaxColumn)) Add(&EpilogueArgs::amax_column, DType::kF32, {p.d_columns()}, p.batch, true);
  if (epilogue_.Makes(kAmaxBlock))
    Add(&EpilogueArgs::amax_block, DType::kF32, {CeilDiv(p.m, block.rows), CeilDiv(p.d_columns(), block.columns)},
        p.batch, true);
}

void EpilogueOperands::PoisonMaxima() const {
  for (const Made& made : made_)
    if (made.is_output) {
      Poison(made.host);
      made.ToDevice();
    }
}

void EpilogueOperands::FetchMaxima() const {
  for (const Made& made : made_)
    if (made.is_output) made.memory.ToHost(made.bytes());
}

}  // namespace gemmsmith::cli
