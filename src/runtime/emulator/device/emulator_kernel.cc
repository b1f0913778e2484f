#include "runtime/emulator/device/emulator_kernel.h"

#include <algorithm>
#include <atomic>
#include <cstring>

#include "runtime/emulator/check/checker.h"
#include "runtime/emulator/statistics/collector.h"
#include "util/log.h"

namespace gemmsmith::emulator {
namespace {

std::uint64_t Volume(Dim3 d) { return std::uint64_t{d.x} * d.y * d.z; }
std::string Text(Dim3 d) { return fmt::format("({}, {}, {})", d.x, d.y, d.z); }
bool Exceeds(Dim3 d, Dim3 limit) { return d.x > limit.x || d.y > limit.y || d.z > limit.z; }
// One block in each takes this for the system's own use, from Ampere on.
constexpr std::uint32_t kReservedShared = 1024;
constexpr std::uint32_t kRegisterUnit = 256;  // Registers are given to warps by so many.

const std::string& PtxOf(const DeviceState& device, const Artifact& artifact) {
  const auto found = artifact.parts.find("ptx");
  if (found == artifact.parts.end())
    throw Fail(Code::kInvalidArgument, "compile it with NVRTC or nvcc", "{}: load {}: the artifact holds no PTX",
               device.name, artifact.kernel_name);
  return found->second;
}

}  // namespace

void StatisticsLog::Add(const KernelStatistics& launch) {
  const std::scoped_lock lock(mutex_);
  for (KernelStatistics& kernel : kernels_) {
    if (kernel.kernel != launch.kernel) continue;
    kernel += launch;
    return;
  }
  kernels_.push_back(launch);
}

std::vector<KernelStatistics> StatisticsLog::Kernels() const {
  const std::scoped_lock lock(mutex_);
  return kernels_;
}

void StatisticsLog::Clear() {
  const std::scoped_lock lock(mutex_);
  kernels_.clear();
}

EmulatorKernel::EmulatorKernel(std::shared_ptr<DeviceState> device, const Artifact& artifact)
    : device_(std::move(device)),
      name_(artifact.kernel_name),
      resources_(artifact.resources),
      program_(PtxOf(*device_, artifact), device_->target),
      code_(program_.functions()),
      kernel_(&program_.Kernel(artifact.lowered_name)) {
  resources_.static_shared_bytes = static_cast<int>(program_.static_shared_bytes());
}

Dim3 EmulatorKernel::ClusterOf(Dim3 given) const {
  return Volume(given) == 1 && kernel_->required_cluster.x != 0 ? kernel_->required_cluster : given;
}

void EmulatorKernel::Launch(Dim3 grid, Dim3 block, Dim3 cluster, std::uint32_t shared_bytes,
                            std::span<void* const> args, Stream) const {
  static std::atomic<std::uint64_t> launches{0};
  cluster = ClusterOf(cluster);
  CheckLaunch(grid, block, cluster, shared_bytes, args);
  emulator::Launch launch;
  launch.kernel = kernel_->function;
  launch.functions = &program_.functions();
  launch.name = fmt::format("{}: {}", device_->name, name_);
  launch.grid = grid;
  launch.block = block;
  launch.cluster = cluster;
  launch.static_shared_bytes = program_.static_shared_bytes();
  launch.dynamic_shared_bytes = shared_bytes;
  launch.shared_variables = &program_.shared_variables();
  launch.parameters.resize(std::max<std::size_t>(1, kernel_->parameter_bytes));
  for (std::size_t i = 0; i < args.size(); ++i) {
    const ParameterSlot& slot = kernel_->function->parameters[i];
    std::memcpy(launch.parameters.data() + slot.slot, args[i], slot.bytes);
  }
  launch.memory = device_->allocations.Snapshot();
  for (const Region& region : program_.regions()) launch.memory.Add(region);
  const auto parameters = reinterpret_cast<std::uint64_t>(launch.parameters.data());
  launch.memory.Add({parameters, parameters + launch.parameters.size(), false});
  const auto workspace = reinterpret_cast<std::uint64_t>(launch.grid_workspace.data());
  launch.memory.Add({workspace, workspace + 4 * launch.grid_workspace.size(), true});
  launch.multiprocessors = device_->limits.multiprocessors;
  launch.ctas_per_multiprocessor = Residents(block, shared_bytes);
  launch.grid_id = ++launches;
  launch.options = device_->options;
  launch.options.seed += device_->seed_shift;
  Checkers checkers(code_);
  if (launch.options.check && launch.options.observers == nullptr) launch.options.observers = &checkers;
  if (!device_->statistics.enabled) {
    Run(launch);
    return;
  }
  Collectors collectors(code_, launch.options.observers);
  launch.options.observers = &collectors;
  const RunStatistics run = Run(launch);
  KernelStatistics statistics = collectors.Total(run);
  statistics.kernel = name_;
  device_->statistics.Add(statistics);
}

/// Blocks that one multiprocessor holds at a time.
int EmulatorKernel::Residents(Dim3 block, std::uint32_t shared_bytes) const {
  const ArchitectureLimits& limits = device_->limits;
  const auto warps = static_cast<std::uint32_t>((Volume(block) + kLanes - 1) / kLanes);
  std::uint32_t blocks = std::min(limits.blocks_per_sm, limits.threads_per_sm / (warps * kLanes));
  const std::uint32_t shared = program_.static_shared_bytes() + shared_bytes + kReservedShared;
  blocks = std::min(blocks, std::max(1u, limits.shared_per_sm / shared));
  if (resources_.registers > 0) {
    const auto per_warp =
        (static_cast<std::uint32_t>(resources_.registers) * kLanes + kRegisterUnit - 1) / kRegisterUnit;
    blocks = std::min(blocks, limits.registers_per_sm / (per_warp * kRegisterUnit * warps));
  }
  return static_cast<int>(std::max(1u, blocks));
}

void EmulatorKernel::CheckThreads(Dim3 block) const {
  const ArchitectureLimits& limits = device_->limits;
  const auto fail = [&](std::string_view why) {
    throw Fail(Code::kInvalidArgument, "", "launch of {}: block {} has {} threads: {}", name_, Text(block),
               Volume(block), why);
  };
  if (Volume(block) == 0 || Exceeds(block, limits.block))
    throw Fail(Code::kInvalidArgument, "", "launch of {}: block {} must be from 1 to {} ({})", name_, Text(block),
               Text(limits.block), device_->name);
  if (Volume(block) > limits.threads_per_block)
    fail(fmt::format("{} takes {}", device_->name, limits.threads_per_block));
  const Dim3 bound = kernel_->max_threads, required = kernel_->required_threads;
  if (bound.x != 0 && Volume(block) > Volume(bound))
    fail(fmt::format("its launch bound (.maxntid) is {}", Volume(bound)));
  if (required.x != 0 && block != required) fail(fmt::format("it must have the shape {} (.reqntid)", Text(required)));
  // Registers are given to whole warps.
  const std::uint64_t warps = (Volume(block) + kLanes - 1) / kLanes;
  const std::uint64_t per_warp =
      (static_cast<std::uint64_t>(resources_.registers) * kLanes + kRegisterUnit - 1) / kRegisterUnit;
  if (per_warp * kRegisterUnit * warps > limits.registers_per_sm)
    fail(fmt::format("of {} registers each, and {} has {} of them (CUDA: too many resources requested for launch)",
                     resources_.registers, device_->name, limits.registers_per_sm));
}

void EmulatorKernel::CheckLaunch(Dim3 grid, Dim3 block, Dim3 cluster, std::uint32_t shared_bytes,
                                 std::span<void* const> args) const {
  const ArchitectureLimits& limits = device_->limits;
  if (Volume(grid) == 0 || Exceeds(grid, limits.grid))
    throw Fail(Code::kInvalidArgument, "", "launch of {}: grid {} must be from 1 to {} ({})", name_, Text(grid),
               Text(limits.grid), device_->name);
  CheckThreads(block);
  const std::uint64_t shared = std::uint64_t{program_.static_shared_bytes()} + shared_bytes;
  if (shared > limits.shared_per_block)
    throw Fail(Code::kInvalidArgument, "", "launch of {}: {} bytes of shared memory and {} static ones, {} has {}",
               name_, shared_bytes, program_.static_shared_bytes(), device_->name, limits.shared_per_block);
  if (args.size() != kernel_->function->parameters.size())
    throw Fail(Code::kInvalidArgument, "", "launch of {}: {} arguments, the kernel takes {}", name_, args.size(),
               kernel_->function->parameters.size());
  if (std::find(args.begin(), args.end(), nullptr) != args.end())
    throw Fail(Code::kInvalidArgument, "", "launch of {}: an argument is a null pointer", name_);
  CheckCluster(grid, cluster);
}

void EmulatorKernel::CheckCluster(Dim3 grid, Dim3 cluster) const {
  const ArchitectureLimits& limits = device_->limits;
  if (Volume(cluster) == 0 || Volume(cluster) > limits.cluster)
    throw Fail(Code::kInvalidArgument, "", "launch of {}: cluster {} has {} blocks, {} takes 1 to {}", name_,
               Text(cluster), Volume(cluster), device_->name, limits.cluster);
  if (grid.x % cluster.x != 0 || grid.y % cluster.y != 0 || grid.z % cluster.z != 0)
    throw Fail(Code::kInvalidArgument, "", "launch of {}: grid {} is not a multiple of cluster {}", name_, Text(grid),
               Text(cluster));
  const Dim3 required = kernel_->required_cluster;
  if (required.x != 0 && cluster != required)
    throw Fail(Code::kInvalidArgument, "", "launch of {}: cluster {}, the kernel is made for {} (.reqnctapercluster)",
               name_, Text(cluster), Text(required));
  if (kernel_->max_cluster_rank != 0 && Volume(cluster) > kernel_->max_cluster_rank)
    throw Fail(Code::kInvalidArgument, "", "launch of {}: cluster {} has more blocks than its bound of {}", name_,
               Text(cluster), kernel_->max_cluster_rank);
}

}  // namespace gemmsmith::emulator
