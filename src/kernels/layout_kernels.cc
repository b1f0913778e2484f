#include "kernels/layout_kernels.h"

#include <string>

#include "kernels/include_closure.h"
#include "util/log.h"

namespace gemmsmith {
namespace {

using Kind = LayoutKernel::Kind;

struct Form {
  std::string_view name, header, call, params;
};
Form FormOf(const LayoutKernel& kernel) {
  switch (kernel.kind) {
    case Kind::kScales:
      return {"transpose_scales", "scale_layout.cuh", "ScaleLayout", "ScaleLayoutParams"};
    case Kind::kPackedScales:
      return {"pack_ue8m0", "scale_layout.cuh", "ScaleLayout", "ScaleLayoutParams"};
    case Kind::kPad:
      return {"pad_groups", "group_rows.cuh", "GroupRows", "GroupRowsParams"};
    case Kind::kUnpad:
      return {"unpad_groups", "group_rows.cuh", "GroupRows", "GroupRowsParams"};
    case Kind::kCast:
      break;
  }
  const bool token = kernel.factors == CastFactors::kPerToken, block = kernel.factors == CastFactors::kPerBlock;
  return {token   ? "cast_per_token"
          : block ? "cast_per_block"
                  : "cast_per_channel",
          "cast_fp8.cuh", "CastFp8", "CastParams"};
}

std::string ConfigOf(const LayoutKernel& kernel) {
  const auto flag = [](std::string_view name, bool value) {
    return fmt::format("  enum : bool {{ {} = {} }};\n", name, value);
  };
  if (kernel.kind == Kind::kCast)
    return fmt::format("  using From = {};\n  using To = {};\n", Info(kernel.from).cuda_type,
                       Info(kernel.to).cuda_type) +
           flag("kPerRow", kernel.factors == CastFactors::kPerToken) +
           flag("kPerColumn", kernel.factors == CastFactors::kPerChannel) + flag("kFours", kernel.fours);
  if (kernel.kind == Kind::kPad || kernel.kind == Kind::kUnpad) return flag("kBack", kernel.kind == Kind::kUnpad);
  return flag("kPacked", kernel.kind == Kind::kPackedScales);
}

}  // namespace

std::vector<LayoutKernel> AllLayoutKernels() {
  std::vector<LayoutKernel> kernels = {{Kind::kScales}, {Kind::kPackedScales}, {Kind::kPad}, {Kind::kUnpad}};
  for (const CastFactors factors : {CastFactors::kPerToken, CastFactors::kPerBlock, CastFactors::kPerChannel})
    for (const DType from : {DType::kF32, DType::kF16, DType::kBf16})
      for (const DType to : {DType::kE4m3, DType::kE5m2})
        for (const bool fours : {true, false}) kernels.push_back({Kind::kCast, factors, from, to, fours});
  return kernels;
}

// As in the templates.
LayoutTile TileOf(const LayoutKernel& kernel) {
  if (kernel.kind == Kind::kCast && kernel.factors == CastFactors::kPerToken) return {256, 32, 128};
  // A factor for each column takes a thread more registers than two blocks leave.
  if (kernel.kind == Kind::kCast) return {512, 128, 128, kernel.factors == CastFactors::kPerBlock ? 2 : 1};
  if (kernel.kind == Kind::kPad || kernel.kind == Kind::kUnpad) return {256, 32, 1};
  return {256, 64, 32};
}

KernelSource RenderLayout(const LayoutKernel& kernel, const CodeTarget& target, CompileOptions options) {
  const Form form = FormOf(kernel);
  const LayoutTile tile = TileOf(kernel);
  KernelSource source;
  source.name = form.name;
  if (kernel.kind == Kind::kCast)
    source.name += fmt::format("_{}_{}{}", ToString(kernel.from), ToString(kernel.to), kernel.fours ? "_v4" : "");
  source.target = target;
  source.entry = "gemmsmith_" + source.name;
  source.text = fmt::format(
      "#include \"{}\"\n\nstruct Config {{\n{}}};\n\n"
      "extern \"C\" __global__ void __launch_bounds__({}, {})\n"
      "{}(const __grid_constant__ gemmsmith::{} params) {{\n  gemmsmith::{}<Config>::Run(params);\n}}\n",
      form.header, ConfigOf(kernel), tile.threads, tile.resident, source.entry, form.params, form.call);
  source.headers = IncludeClosure(source.text);
  // Quotients are those of the CPU, bit by bit.
  options.fast_math = false;
  source.options = options;
  source.config.family = "layouts";
  source.problem = source.name;
  return source;
}

}  // namespace gemmsmith
