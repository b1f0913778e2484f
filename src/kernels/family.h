#pragma once

#include <array>
#include <cstddef>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "gemmsmith/args.h"
#include "gemmsmith/config.h"
#include "gemmsmith/device.h"
#include "gemmsmith/kernel.h"
#include "gemmsmith/problem.h"
#include "gemmsmith/stream.h"
#include "gemmsmith/target.h"
#include "kernels/cpu_gemm.h"
#include "kernels/simt_kernel.h"

namespace gemmsmith {

/// What the cost model needs to know of a config.
struct TileShape {
  std::int64_t block_m = 1, block_n = 1;  ///< One CTA's, or one thread's, part of D.
  std::int64_t micro_m = 1,
               micro_n = 1;     ///< What is held in registers at once: one GPU thread's, or one micro-kernel's.
  int workers = 1;              ///< CPU: threads. GPU: CTAs that are resident on one SM together.
  int threads = 32;             ///< GPU: of one CTA.
  double issue_efficiency = 1;  ///< Share of the FMA peak the inner loop reaches on full tiles.
  double packed_bytes = 0;      ///< Extra bytes moved to pack operands, if all workers moved as many as the busiest.
  bool packs_together = false;  ///< CPU: threads wait for what each packs for all.
  double flops_per_clock = 0;   ///< GPU: of one SM at the best; 0: what its FMA units do.
  double busy_warps = 8;        ///< GPU: that must be resident on an SM to keep its units busy.
  int cluster_m = 1, cluster_n = 1;  ///< GPU: CTAs that load together what they share: B of those below each other.
  /// GPU: how tiles of operands come into shared memory. Bulk copies leave threads free, so that such kernels store
  /// one tile of D while they multiply the next.
  enum class Copies : std::uint8_t { kRegisters, kAsync, kBulk } copies = Copies::kRegisters;
  std::int64_t step_k = 0;   ///< GPU: of k, copied at a time; 0: not known.
  int splits = 1;            ///< GPU: parts of k, each summed by blocks of its own.
  double partial_bytes = 0;  ///< GPU: of their sums, which a launch of its own adds.

  std::optional<SimtKernel> simt;  ///< GPU, on plain FMA units: how the threads share the work.
};

/// One launch of a plan: geometry and parameters, prepared once; `bind` puts a call's pointers into a copy of them.
struct LaunchStep {
  static constexpr std::size_t kMaxParamBytes = 1024;

  /// A tensor map in the parameters, of one of the call's tensors: encoded when the device is known, moved to the
  /// tensor's address at each call.
  struct Map {
    TensorMapShape shape;
    std::size_t offset;  ///< In `params`; a multiple of 128.
    Tensor GemmArgs::*tensor;
  };

  Dim3 grid, block, cluster;
  std::uint32_t shared_bytes = 0;
  std::size_t param_bytes = 0;
  alignas(128) std::array<std::byte, kMaxParamBytes> params{};
  void (*bind)(const GemmArgs& args, std::byte* params) = nullptr;
  std::vector<Map> maps;
  /// If set, called before each launch, for what must be in the call's tensors then.
  void (*prepare)(const GemmArgs& args, Device& device, Stream stream) = nullptr;
  /// Device memory, aligned to 256 bytes, that all steps of a plan share and `bind_workspace` puts into the parameters:
  /// what one step leaves there, the next ones find. Before the first step it holds anything.
  std::size_t workspace_bytes = 0;
  bool waits = false;  ///< The kernel itself waits for the launch before it (Stream::overlap).
  void (*bind_workspace)(void* workspace, std::byte* params) = nullptr;

  template <class Params>
  void SetParams(const Params& value) {
    static_assert(sizeof(Params) <= kMaxParamBytes && std::is_trivially_copyable_v<Params>);
    param_bytes = sizeof(Params);
    *reinterpret_cast<Params*>(params.data()) = value;
  }
};

/// Puts the maps of `step` into its parameters. Throws as Device::EncodeTensorMap.
void EncodeMaps(LaunchStep& step, const Device& device);
/// The parameters of one call, in `params`: kMaxParamBytes, aligned to 128. Those of `step` are encoded.
inline void BindCall(const LaunchStep& step, const GemmArgs& args, void* workspace, const Device& device,
                     std::byte* params) {
  std::memcpy(params, step.params.data(), step.param_bytes);
  step.bind(args, params);
  if (step.bind_workspace != nullptr) [[unlikely]]
    step.bind_workspace(workspace, params);
  for (const LaunchStep::Map& map : step.maps)
    device.MoveTensorMap(*reinterpret_cast<EncodedTensorMap*>(params + map.offset), (args.*map.tensor).data);
}

/// A kernel that a plan launches after its first.
struct FollowUp {
  KernelSource source;
  LaunchStep launch;
};

/// A kernel template and all that is known of it. Stateless; one instance per row of families.def.
/// Problems that reach a family are valid and have a row-major D (see Canonical).
class KernelFamily {
 public:
  virtual ~KernelFamily() = default;

  virtual std::string_view name() const = 0;
  virtual std::span<const ConfigField> fields() const = 0;
  virtual bool Targets(const CodeTarget& target) const = 0;
  /// Slower than any other family that can do a problem, which it is then not asked for.
  virtual bool IsLastResort() const { return false; }
  /// Why `problem` cannot be done on `target`; empty if it can.
  virtual std::string WhyNot(const GemmProblem& problem, const CodeTarget& target) const = 0;
  /// Legal configs, the default first. Never empty where WhyNot is.
  virtual std::vector<TileConfig> Candidates(const GemmProblem& problem, const CodeTarget& target,
                                             const DeviceSpec& spec) const = 0;
  virtual TileShape Shape(const GemmProblem& problem, const TileConfig& config, const DeviceSpec& spec) const = 0;
  virtual KernelSource Render(const GemmProblem& problem, const TileConfig& config, const CodeTarget& target,
                              const CompileOptions& options) const = 0;
  virtual LaunchStep MakeLaunch(const GemmProblem& problem, const TileConfig& config) const = 0;
  /// What must run after the kernel of Render: the addition of sums, where `config` splits k.
  virtual std::optional<FollowUp> After(const GemmProblem&, const TileConfig&, const CodeTarget&,
                                        const CompileOptions&) const {
    return std::nullopt;
  }
  /// How a B of `dtype` is packed for `target`; no panels: it is read as it comes.
  virtual PackedForm Packed(DType, const CodeTarget&) const { return {}; }
};

/// All families, best first.
std::span<const KernelFamily* const> AllFamilies();
/// Throws kNotFound.
const KernelFamily& FindFamily(std::string_view name);
/// The inverse of ToString(config). Throws kInvalidArgument.
TileConfig ParseConfig(std::string_view text);

/// What code that is made for `problem` can be made for: "f16,f16,f32 nt beta epilogue", without sizes.
std::string ProblemClass(const GemmProblem& problem);

/// The same problem with a row-major D: where D is column-major, D^T = B^T * A^T. Args follow by Canonical(args).
GemmProblem Canonical(const GemmProblem& problem);
GemmArgs Canonical(const GemmArgs& args);

}  // namespace gemmsmith
