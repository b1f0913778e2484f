#include "kernels/cpu_binding.h"

#include <utility>

namespace gemmsmith {

CpuFusedParams FusedParams(const GemmProblem& problem, const CpuGemmParams& gemm) {
  const Epilogue epilogue = *Epilogue::Find(problem.epilogue_id);
  const auto blocks_in_row = [&](EpilogueBlock block) {
    return block.columns > 0 ? (problem.d_columns() + block.columns - 1) / block.columns : 0;
  };
  CpuFusedParams p{};
  p.gemm = gemm;
  const auto residual = static_cast<std::int64_t>(SizeOf(problem.residual_type));
  p.epilogue.residual_row = problem.ld_residual * residual;
  p.batch_residual = problem.batch_stride_residual * residual;
  p.epilogue.block_row = blocks_in_row(epilogue.block(EpilogueInput::kScaleBlock));
  p.epilogue.d_block_row = blocks_in_row(epilogue.block(EpilogueInput::kDScaleBlock));
  const EpilogueBlock amax = epilogue.block(EpilogueOutput::kAmaxBlock);
  p.epilogue.amax_block_row = blocks_in_row(amax);
  p.amax_block_rows = amax.rows;
  return p;
}

void BindOnCpu(const GemmArgs& args, std::byte* bytes) {
  CpuGemmParams& p = *reinterpret_cast<CpuGemmParams*>(bytes);
  p.a = args.a.data;
  p.b = args.b.data;
  p.c = args.c.data;
  p.d = args.d.data;
  if (!args.c.given()) {
    p.c = p.d;
    p.c_row = p.d_row;
    p.batch_c = p.batch_d;
  }
  p.alpha = args.alpha.value;
  p.beta = args.beta.value;
  p.alpha_pointer = args.alpha.device_pointer;
  p.beta_pointer = args.beta.device_pointer;
}

void BindFusedOnCpu(const GemmArgs& args, std::byte* bytes) {
  BindOnCpu(args, bytes);
  CpuFusedParams& p = *reinterpret_cast<CpuFusedParams*>(bytes);
  const EpilogueArgs& e = *args.epilogue;
  const auto floats = [](const Tensor& tensor) { return static_cast<float*>(tensor.data); };
  CpuEpilogue& to = p.epilogue;
  to.bias = e.bias.data, to.bias_m = e.bias_m.data, to.residual = e.residual.data;
  to.scale_row = floats(e.scale_row), to.d_scale_row = floats(e.d_scale_row);
  to.scale_column = floats(e.scale_column), to.d_scale_column = floats(e.d_scale_column);
  to.scale_block = floats(e.scale_block), to.d_scale_block = floats(e.d_scale_block);
  to.scalar = static_cast<const float*>(e.scalar.device_pointer);
  to.d_scale = static_cast<const float*>(e.d_scale.device_pointer);
  p.scalar = static_cast<float>(e.scalar.value), p.d_scale = static_cast<float>(e.d_scale.value);
  const auto made = [&](EpilogueOutput output, const Tensor& tensor) {
    return e.epilogue.Makes(output) ? floats(tensor) : nullptr;
  };
  to.amax_row = made(EpilogueOutput::kAmaxRow, e.amax_row);
  to.amax_column = made(EpilogueOutput::kAmaxColumn, e.amax_column);
  to.amax_block = made(EpilogueOutput::kAmaxBlock, e.amax_block);
}

void BindColumnOnCpu(const GemmArgs& args, std::byte* bytes) {
  BindOnCpu(args, bytes);
  CpuGemmParams& p = *reinterpret_cast<CpuGemmParams*>(bytes);
  std::swap(p.a, p.b);
}

}  // namespace gemmsmith
