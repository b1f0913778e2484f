#include "runtime/cuda/device_query.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <string>

#include "util/log.h"

namespace gemmsmith::cuda {
namespace {

int Attribute(const CudaContext& context, CUdevice_attribute attribute) {
  int value = 0;
  context.Check(context.api().cuDeviceGetAttribute(&value, attribute, context.device()), "cuDeviceGetAttribute");
  return value;
}

/// Integrated chips, whose code no other chip shares (CUDA C++ Programming Guide, binary compatibility).
bool IsIntegrated(int version) { return version == 87 || version == 88 || version == 110; }

bool Loads(int capability, const CodeTarget& target) {
  if (target.isa != Isa::kCuda || target.version / 10 != capability / 10 || target.version > capability) return false;
  if (target.version == capability) return true;
  return target.suffix != 'a' && !IsIntegrated(capability) && !IsIntegrated(target.version);
}

/// Own before lower versions; 'a' before 'f' before plain.
bool Better(const CodeTarget& x, const CodeTarget& y) {
  if (x.version != y.version) return x.version > y.version;
  const auto rank = [](char suffix) { return suffix == 'a' ? 2 : suffix == 'f' ? 1 : 0; };
  return rank(x.suffix) > rank(y.suffix);
}

/// "NVIDIA GeForce RTX 5090" -> "nvidiageforcertx5090".
std::string Plain(std::string_view name) {
  std::string plain;
  for (const unsigned char c : name)
    if (std::isalnum(c) != 0) plain += static_cast<char>(std::tolower(c));
  return plain;
}

const DeviceSpec& NearestRow(std::string_view device_name, const CodeTarget& target) {
  const std::string plain = Plain(device_name);
  for (const DeviceSpec& row : AllDeviceSpecs())
    if (row.target == target && plain.find(row.name) != std::string::npos) return row;
  return DefaultDeviceSpec(target);
}

}  // namespace

std::vector<CodeTarget> CompatibleTargets(int major, int minor) {
  const int capability = major * 10 + minor;
  std::vector<CodeTarget> targets;
  for (const CodeTarget& target : AllTargets())
    if (Loads(capability, target)) targets.push_back(target);
  if (targets.empty())
    for (const CodeTarget& target : AllTargets())
      if (target.isa == Isa::kCuda && target.suffix == 0 && target.version < capability) targets.push_back(target);
  std::sort(targets.begin(), targets.end(), Better);
  return targets;
}

std::vector<CodeTarget> QueryTargets(const CudaContext& context) {
  const int major = Attribute(context, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR);
  const int minor = Attribute(context, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR);
  std::vector<CodeTarget> targets = CompatibleTargets(major, minor);
  if (targets.empty())
    throw Fail(Code::kUnsupported, "GPUs from compute capability 7.5 (Turing) on are supported",
               "{} has compute capability {}.{}", context.name(), major, minor);
  if (!Loads(major * 10 + minor, targets.front()))
    Warn("{} has compute capability {}.{}, which is newer than this library; it is taken for {}", context.name(), major,
         minor, ToString(targets.front()));
  return targets;
}

DeviceSpec QueryDeviceSpec(const CudaContext& context, const CodeTarget& target) {
  const auto get = [&](CUdevice_attribute attribute) { return Attribute(context, attribute); };
  std::array<char, 256> name{};
  context.Check(context.api().cuDeviceGetName(name.data(), static_cast<int>(name.size()) - 1, context.device()),
                "cuDeviceGetName");
  std::size_t memory = 0;
  context.Check(context.api().cuDeviceTotalMem_v2(&memory, context.device()), "cuDeviceTotalMem");

  DeviceSpec spec = NearestRow(name.data(), target);
  spec.name = name.data();
  spec.target = target;
  spec.multiprocessors = get(CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT);
  spec.memory_gib = static_cast<double>(memory) / (1ull << 30);
  spec.l2_bytes = get(CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE);
  spec.shared_bytes = get(CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN);
  spec.shared_bytes_per_sm = get(CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR);
  spec.registers_per_sm = get(CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_MULTIPROCESSOR);
  // Clocks come in kHz, and are 0 where a virtual machine hides them. Memory moves two words per clock.
  if (const int khz = get(CU_DEVICE_ATTRIBUTE_CLOCK_RATE); khz > 0) spec.clock_ghz = khz * 1e-6;
  const double memory_khz = get(CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE);
  const double bus_bits = get(CU_DEVICE_ATTRIBUTE_GLOBAL_MEMORY_BUS_WIDTH);
  if (memory_khz > 0 && bus_bits > 0) spec.memory_gbps = 2 * memory_khz * 1e3 * (bus_bits / 8) * 1e-9;
  return spec;
}

LaunchLimits QueryLaunchLimits(const CudaContext& context) {
  const auto get = [&](CUdevice_attribute attribute) {
    return static_cast<std::uint32_t>(std::max(0, Attribute(context, attribute)));
  };
  LaunchLimits limits;
  limits.threads_per_block = get(CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK);
  limits.block = {get(CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_X), get(CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Y),
                  get(CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Z)};
  limits.grid = {get(CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_X), get(CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Y),
                 get(CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Z)};
  limits.shared_bytes = get(CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN);
  // Drivers from before CUDA 11.8 do not know the attribute; they know no device with clusters either.
  int clusters = 0;
  if (context.api().cuDeviceGetAttribute(&clusters, CU_DEVICE_ATTRIBUTE_CLUSTER_LAUNCH, context.device()) ==
          CUDA_SUCCESS &&
      clusters != 0)
    limits.blocks_per_cluster = 8;
  return limits;
}

}  // namespace gemmsmith::cuda
