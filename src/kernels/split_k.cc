#include "kernels/split_k.h"

#include <algorithm>

#include "kernels/cuda_gemm.h"
#include "util/log.h"

namespace gemmsmith {
namespace {

constexpr std::int64_t kReductionThreads = 128, kReductionRows = 16;  // as in gemm_sm80.cuh

std::int64_t RoundedUp(std::int64_t extent, int block) { return (extent + block - 1) / block * block; }

/// Elements along k that each of `splits` parts gets: whole steps.
std::int64_t KPerSplit(const GemmProblem& p, int block_k, std::int64_t splits) {
  const std::int64_t steps = (p.k + block_k - 1) / block_k;
  return (steps + splits - 1) / splits * block_k;
}

/// Where the parts of k leave their sums.
struct Partial {
  std::int64_t ld, batch_stride, split_stride;
};
Partial PartialOf(const GemmProblem& p, const SplitK& split) {
  Partial partial{};
  partial.ld = RoundedUp(p.n, split.columns);
  partial.batch_stride = partial.ld * RoundedUp(p.m, split.rows);
  partial.split_stride = partial.batch_stride * p.batch;
  return partial;
}

void BindPlain(const GemmArgs& args, std::byte* bytes) { Bind(args, reinterpret_cast<Sm80Params*>(bytes)->gemm); }
void BindFused(const GemmArgs& args, std::byte* bytes) {
  auto& params = *reinterpret_cast<Sm80FusedParams*>(bytes);
  Bind(args, params.tensor.gemm);
  Bind(*args.epilogue, params.epilogue);
}
// First in both structures.
void BindPartial(void* workspace, std::byte* bytes) { reinterpret_cast<Sm80Params*>(bytes)->partial = workspace; }

std::string ReductionText(const GemmProblem& p, int vector_d, std::string_view entry) {
  KernelText text(p, "gemm_sm80.cuh");
  text.Type("D", p.d_type), text.Type("Accumulator", p.acc_type);
  text.Number("kVectorD", vector_d);
  text.Flag("kReadC", p.beta != BetaClass::kZero);
  return std::move(text).Finished({.name = entry,
                                   .threads = kReductionThreads,
                                   .params = "Sm80Params",
                                   .fused_params = "Sm80FusedParams",
                                   .gemm = "params.tensor.gemm",
                                   .plain = "params.tensor",
                                   .call = "gemmsmith::Sm80Reduction<Config>::Run"});
}

}  // namespace

int ChooseSplits(const GemmProblem& p, double blocks, int block_k, const DeviceSpec& spec) {
  constexpr std::int64_t kFewestSteps = 8, kMostSplits = 32;
  const auto wanted = static_cast<std::int64_t>(spec.multiprocessors / std::max(1.0, blocks));
  const std::int64_t splits = std::min({wanted, p.k / block_k / kFewestSteps, kMostSplits});
  if (splits < 2) return 1;
  const std::int64_t k = KPerSplit(p, block_k, splits);
  return static_cast<int>((p.k + k - 1) / k);  // no part without a step
}

std::int64_t PartialBytes(const GemmProblem& p, const SplitK& split) {
  return split.splits > 1 ? PartialOf(p, split).split_stride * split.splits * 4 : 0;
}

GemmProblem WithoutFinish(GemmProblem p) {
  p.beta = BetaClass::kZero;
  p.epilogue_id = 0;
  p.columns_per_d = 1;
  p.c_type = p.d_type = p.acc_type;
  return p;
}

Sm80Params MakeTensorParams(const GemmProblem& p, const SplitK& split) {
  const Partial partial = PartialOf(p, split);
  Sm80Params params{};
  params.gemm = MakeSimtParams(p);
  params.k_per_split = static_cast<int>(KPerSplit(p, split.block_k, split.splits));
  params.splits = split.splits;
  params.partial_ld = partial.ld;
  params.partial_batch_stride = partial.batch_stride;
  params.partial_split_stride = partial.split_stride;
  return params;
}

void SetTensorParams(LaunchStep& step, const GemmProblem& p, const SplitK& split) {
  if (p.epilogue_id == 0) {
    step.SetParams(MakeTensorParams(p, split));
    step.bind = BindPlain;
  } else {
    step.SetParams(Sm80FusedParams{MakeTensorParams(p, split), MakeEpilogueParams(p)});
    step.bind = BindFused;
  }
  step.prepare = PrepareOf(p);
  if (split.splits > 1) {
    step.workspace_bytes = static_cast<std::size_t>(PartialBytes(p, split));
    step.bind_workspace = BindPartial;
  }
}

FollowUp AddParts(const GemmProblem& p, const SplitK& split, int vector_d, const CodeTarget& target,
                  const CompileOptions& options) {
  // One kernel for all families: of what it is made for, and no more.
  const KernelFamily& family = FindFamily("sm80");
  TileConfig config{family.name(), family.fields(), {}};
  for (std::size_t i = 0; i < config.fields.size(); ++i)
    if (config.fields[i].name == "vector_d") config[i] = vector_d;
  const std::string types = p.d_type == p.acc_type ? "" : fmt::format("_{}", ToString(p.d_type));
  const std::string kernel = fmt::format("sm80_add_{}{}_v{}{}", ToString(p.acc_type), types, vector_d, FinishName(p));
  FollowUp after{MakeSource(p, kernel, config, target, options, ReductionText(p, vector_d, "gemmsmith_" + kernel)), {}};
  const std::int64_t columns = kReductionThreads * vector_d * p.columns_per_d;
  after.launch.grid.x = static_cast<std::uint32_t>((p.n + columns - 1) / columns);
  after.launch.grid.y =
      static_cast<std::uint32_t>(std::clamp<std::int64_t>((p.m + kReductionRows - 1) / kReductionRows, 1, kMaxGridY));
  after.launch.grid.z = static_cast<std::uint32_t>(std::clamp<std::int64_t>(p.batch, 1, kMaxGridZ));
  after.launch.block.x = kReductionThreads;
  after.launch.waits = target.version >= 90;
  SetTensorParams(after.launch, p, split);
  return after;
}

}  // namespace gemmsmith
