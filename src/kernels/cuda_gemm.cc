#include "kernels/cuda_gemm.h"

#include <algorithm>
#include <limits>
#include <optional>

#include "epilogue/cuda_text.h"
#include "gemmsmith/device.h"
#include "kernels/include_closure.h"
#include "util/log.h"

namespace gemmsmith {
namespace {

void ClearMaxima(const GemmArgs& args, Device& device, Stream stream) {
  const EpilogueArgs& e = *args.epilogue;
  const auto clear = [&](EpilogueOutput output, const Tensor& tensor) {
    const std::size_t bytes = static_cast<std::size_t>(tensor.size()) * sizeof(float);
    if (e.epilogue.Makes(output)) device.Fill(tensor.data, 0, bytes, stream);
  };
  clear(EpilogueOutput::kAmaxRow, e.amax_row);
  clear(EpilogueOutput::kAmaxColumn, e.amax_column);
  clear(EpilogueOutput::kAmaxBlock, e.amax_block);
}

}  // namespace

double CountTiles(const GemmProblem& problem, int block_m, int block_n) {
  const auto count = [](std::int64_t extent, int block) { return (extent + block - 1) / block; };
  return std::max(1.0, static_cast<double>(count(problem.m, block_m)) * static_cast<double>(count(problem.n, block_n)));
}

int VectorLength(const GemmProblem& problem, DType dtype, int limit, std::initializer_list<std::int64_t> multiples) {
  const int bytes = std::min(16, 1 << problem.alignment);
  int length = std::clamp(bytes / static_cast<int>(SizeOf(dtype)), 1, limit);
  const auto divides = [&](std::int64_t value) { return value % length == 0; };
  while (length > 1 && !std::all_of(multiples.begin(), multiples.end(), divides)) length /= 2;
  return length;
}

int VectorLengthOfD(const GemmProblem& p, int limit) {
  const bool batched = p.entries_d() > 1, reads_c = p.beta != BetaClass::kZero;
  return VectorLength(p, p.d_type, limit,
                      {p.d_columns(), p.ldd, batched ? p.batch_stride_d : 0, reads_c ? p.ldc : 0,
                       reads_c && batched ? p.batch_stride_c : 0});
}

bool Is8BitFloat(DType dtype) { return dtype == DType::kE4m3 || dtype == DType::kE5m2; }

// CUDA C++ Programming Guide, technical specifications per compute capability.
int SharedLimit(const CodeTarget& target, const DeviceSpec& spec) {
  const int version = target.version;
  const int kib = version >= 90 && version < 120 ? 227 : version == 80 || version == 87 ? 163 : 99;
  const int limit = kib << 10;
  return spec.shared_bytes > 0 ? std::min(limit, static_cast<int>(spec.shared_bytes)) : limit;
}

std::string WhyNotTensorTypes(const GemmProblem& p, const CodeTarget& target) {
  const auto types = fmt::format("a={} b={}", ToString(p.a_type), ToString(p.b_type));
  if (p.a_type == DType::kF32 && p.b_type == DType::kF32) {
    if (p.compute != ComputeMode::kTf32) return "multiplies f32 as tf32 only, which the problem does not allow";
  } else if (Is8BitFloat(p.a_type) && Is8BitFloat(p.b_type)) {
    if (target.version < 89) return fmt::format("{}: tensor cores take 8-bit floats from sm_89 on", types);
  } else if (SizeOf(p.a_type) == 1 && Info(p.a_type).is_integer() && SizeOf(p.b_type) == 1) {
    // s8 and u8 by either: Validate refuses integers by floats
  } else if (p.a_type != p.b_type || (p.a_type != DType::kF16 && p.a_type != DType::kBf16)) {
    return fmt::format("{}: tensor cores take two f16, two bf16, two f32 as tf32, or 8-bit types", types);
  }
  if (p.d_type == DType::kF64 || (p.d_type == DType::kS32 && p.acc_type != DType::kS32))
    return fmt::format("d={}: stores floats of 32 bits and less, s8 and u8, and sums of integers as s32",
                       ToString(p.d_type));
  if (Is8BitFloat(p.d_type) && target.version < 89)
    return fmt::format("d={}: stores 8-bit floats from sm_89 on", ToString(p.d_type));
  return "";
}

std::string WhyNotEpilogue(const GemmProblem& p) {
  if (p.epilogue_id == 0) return "";
  const std::optional<Epilogue> epilogue = Epilogue::Find(p.epilogue_id);
  if (!epilogue) return fmt::format("this process has made no epilogue {:016x}", p.epilogue_id);
  const bool indexed = epilogue->Reads(EpilogueInput::kRow) || epilogue->Reads(EpilogueInput::kColumn);
  if (indexed && std::max(p.m, p.n) > std::numeric_limits<std::int32_t>::max())
    return "an epilogue that reads indices needs m and n below 2^31";
  return "";
}

std::string WhyNotForm(const GemmProblem& p, const FormTaken& takes) {
  if (p.a_layout == Layout::kPacked || p.b_layout == Layout::kPacked) return "reads no packed operands";
  if (p.d_layout != Layout::kRowMajor) return "writes row-major D only";
  if (p.scaling != Scaling::kNone && !takes.scales) return "scales no operands";
  if (p.grouping != Grouping::kNone && !takes.groups)
    return fmt::format("grouping {}: only Hopper's kernels read groups on the device; call once for each group",
                       ToString(p.grouping));
  return "";
}

SimtParams MakeSimtParams(const GemmProblem& p) {
  SimtParams params{};
  params.m = p.m, params.n = p.n, params.k = p.k, params.batch = p.batch;
  params.lda = p.lda, params.ldb = p.ldb, params.ldc = p.ldc, params.ldd = p.ldd;
  params.batch_stride_a = p.batch_stride_a, params.batch_stride_b = p.batch_stride_b;
  params.batch_stride_c = p.batch_stride_c, params.batch_stride_d = p.batch_stride_d;
  return params;
}

EpilogueParams MakeEpilogueParams(const GemmProblem& p) {
  EpilogueParams params{};
  params.ld_residual = p.ld_residual;
  params.batch_stride_residual = p.batch_stride_residual;
  return params;
}

void Bind(const GemmArgs& args, SimtParams& params) {
  params.a = args.a.data;
  params.b = args.b.data;
  params.c = args.c.data;
  params.d = args.d.data;
  params.alpha = args.alpha.value;
  params.beta = args.beta.value;
  params.alpha_pointer = args.alpha.device_pointer;
  params.beta_pointer = args.beta.device_pointer;
}

void Bind(const EpilogueArgs& e, EpilogueParams& params) {
  const auto floats = [](const Tensor& tensor) { return static_cast<const float*>(tensor.data); };
  params.bias = e.bias.data;
  params.bias_m = e.bias_m.data;
  params.residual = e.residual.data;
  params.scale_row = floats(e.scale_row);
  params.scale_column = floats(e.scale_column);
  params.scale_block = floats(e.scale_block);
  params.d_scale_row = floats(e.d_scale_row);
  params.d_scale_column = floats(e.d_scale_column);
  params.d_scale_block = floats(e.d_scale_block);
  const auto maxima = [](const Tensor& tensor) { return static_cast<float*>(tensor.data); };
  params.amax_row = maxima(e.amax_row);
  params.amax_column = maxima(e.amax_column);
  params.amax_block = maxima(e.amax_block);
  params.scalar_pointer = static_cast<const float*>(e.scalar.device_pointer);
  params.d_scale_pointer = static_cast<const float*>(e.d_scale.device_pointer);
  params.scalar = static_cast<float>(e.scalar.value);
  params.d_scale = static_cast<float>(e.d_scale.value);
}

void (*PrepareOf(const GemmProblem& p))(const GemmArgs&, Device&, Stream) {
  if (p.epilogue_id == 0) return nullptr;
  return Epilogue::Find(p.epilogue_id).value().trace().pattern() == OpPattern::kReduction ? ClearMaxima : nullptr;
}

std::string OperandsName(const GemmProblem& p) {
  std::string name(ToString(p.a_type));
  if (p.b_type != p.a_type || p.d_type != p.a_type)
    name += fmt::format("_{}_{}", ToString(p.b_type), ToString(p.d_type));
  return fmt::format("{}_{}{}", name, p.a_layout == Layout::kRowMajor ? 'n' : 't',
                     p.b_layout == Layout::kRowMajor ? 'n' : 't');
}

std::string FinishName(const GemmProblem& p) {
  std::string name = p.beta == BetaClass::kZero ? "" : "_c";
  if (p.epilogue_id != 0) name += fmt::format("_e{:016x}", p.epilogue_id);
  return name;
}

KernelSource MakeSource(const GemmProblem& p, const std::string& name, const TileConfig& config,
                        const CodeTarget& target, const CompileOptions& options, std::string text) {
  KernelSource source;
  source.name = name;
  source.target = target;
  source.entry = "gemmsmith_" + name;
  source.headers = IncludeClosure(text);
  source.text = std::move(text);
  source.options = options;
  source.config = config;
  source.problem = ProblemClass(p);
  return source;
}

KernelText::KernelText(const GemmProblem& problem, std::string_view header, std::string_view macros)
    : problem_(problem), text_(fmt::format("{}#include \"{}\"\n", macros, header)) {
  if (problem.epilogue_id != 0) text_ += "#include \"epilogue.cuh\"\n";
  text_ += "\nstruct Config {\n";
}

void KernelText::Type(std::string_view name, DType dtype) {
  text_ += fmt::format("  using {} = {};\n", name, Info(dtype).cuda_type);
}
void KernelText::Number(std::string_view name, int value) {
  text_ += fmt::format("  enum : int {{ {} = {} }};\n", name, value);
}
void KernelText::Flag(std::string_view name, bool value) {
  text_ += fmt::format("  enum : bool {{ {} = {} }};\n", name, value);
}

std::string KernelText::Finished(const Entry& entry) && {
  const bool fused = problem_.epilogue_id != 0;
  text_ += "};\n\n";
  std::string arguments(fused ? entry.plain : "params");
  if (entry.shared) arguments += ", shared";
  if (fused) {
    text_ += CudaText(Epilogue::Find(problem_.epilogue_id).value().trace(), "Epilogue") + '\n';
    arguments +=
        fmt::format(", gemmsmith::Fused<Epilogue, {}, {}>{{params.epilogue, {}.m, {}.n}}",
                    Info(problem_.bias_type).cuda_type, Info(problem_.residual_type).cuda_type, entry.gemm, entry.gemm);
  }
  text_ +=
      fmt::format("extern \"C\" __global__ void __launch_bounds__({}{})\n", entry.threads, entry.shared ? ", 1" : "");
  text_ += fmt::format("{}(const __grid_constant__ gemmsmith::{} params) {{\n", entry.name,
                       fused ? entry.fused_params : entry.params);
  if (entry.shared)
    text_ += fmt::format("  extern __shared__ __align__({}) unsigned char shared[];\n", entry.shared_alignment);
  text_ += fmt::format("  {}({});\n}}\n", entry.call, arguments);
  return std::move(text_);
}

}  // namespace gemmsmith
