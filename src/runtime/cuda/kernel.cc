#include "runtime/cuda/kernel.h"

#include <algorithm>

#include "util/log.h"

namespace gemmsmith::cuda {
namespace {

std::uint64_t Volume(Dim3 d) { return std::uint64_t{d.x} * d.y * d.z; }
std::string Text(Dim3 d) { return fmt::format("({}, {}, {})", d.x, d.y, d.z); }
bool Exceeds(Dim3 d, Dim3 limit) { return d.x > limit.x || d.y > limit.y || d.z > limit.z; }

}  // namespace

CUfunction CudaModule::Find(const std::string& name) const {
  CUfunction function = nullptr;
  context_->Check(context_->api().cuModuleGetFunction(&function, module_, name.c_str()),
                  fmt::format("cuModuleGetFunction({})", name));
  return function;
}

CudaKernel::CudaKernel(CudaModule module, const LaunchLimits& limits, const Artifact& artifact)
    : module_(std::move(module)),
      name_(artifact.kernel_name),
      function_(module_.Find(artifact.lowered_name)),
      limits_(limits),
      resources_(artifact.resources),
      parameters_(CountParameters()) {
  // As loaded: the driver may have compiled PTX, with results that the artifact does not know.
  resources_.registers = Attribute(CU_FUNC_ATTRIBUTE_NUM_REGS);
  resources_.spill_bytes = Attribute(CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES);
  resources_.static_shared_bytes = Attribute(CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES);
  const int max_threads = Attribute(CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK);
  limits_.threads_per_block = std::min(limits_.threads_per_block, static_cast<std::uint32_t>(max_threads));
  limits_.shared_bytes -= std::min(limits_.shared_bytes, static_cast<std::uint32_t>(resources_.static_shared_bytes));
  // Once, up to the limit: a launch then needs no state of the function.
  const CudaContext& context = module_.context();
  context.Check(context.api().cuFuncSetAttribute(function_, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES,
                                                 static_cast<int>(limits_.shared_bytes)),
                "cuFuncSetAttribute(max dynamic shared memory)");
}

int CudaKernel::Attribute(CUfunction_attribute attribute) const {
  int value = 0;
  module_.context().Check(module_.context().api().cuFuncGetAttribute(&value, attribute, function_),
                          "cuFuncGetAttribute");
  return value;
}

std::optional<std::size_t> CudaKernel::CountParameters() const {
  const auto info = module_.context().api().cuFuncGetParamInfo;
  if (info == nullptr) return std::nullopt;
  std::size_t count = 0, offset = 0, size = 0;
  while (info(function_, count, &offset, &size) == CUDA_SUCCESS) ++count;
  return count;
}

void CudaKernel::Launch(Dim3 grid, Dim3 block, Dim3 cluster, std::uint32_t shared_bytes, std::span<void* const> args,
                        Stream stream) const {
  CheckLaunch(grid, block, cluster, shared_bytes, args.size());
  const CudaContext& context = module_.context();
  const CudaContext::Scope scope(context);
  // The driver's signature lacks the const; it only reads.
  const CUresult result = Start(grid, block, cluster, shared_bytes, const_cast<void**>(args.data()), stream);
  if (result != CUDA_SUCCESS) [[unlikely]]
    throw context.Failure(result, fmt::format("launch of {}, grid {}, block {}, cluster {}, {} bytes of shared memory",
                                              name_, Text(grid), Text(block), Text(cluster), shared_bytes));
}

CUresult CudaKernel::Start(Dim3 grid, Dim3 block, Dim3 cluster, std::uint32_t shared_bytes, void** args,
                           Stream stream) const {
  const DriverApi& api = module_.context().api();
  auto* const queue = static_cast<CUstream>(stream.handle);
  if (api.cuLaunchKernelEx == nullptr)
    return api.cuLaunchKernel(function_, grid.x, grid.y, grid.z, block.x, block.y, block.z, shared_bytes, queue, args,
                              nullptr);
  CUlaunchAttribute attributes[2];
  unsigned count = 0;
  if (Volume(cluster) > 1) {
    attributes[count].id = CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION;
    attributes[count++].value.clusterDim = {cluster.x, cluster.y, cluster.z};
  }
  if (stream.overlap && limits_.blocks_per_cluster > 1) {  // Devices with the one have the other.
    attributes[count].id = CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION;
    attributes[count++].value.programmaticStreamSerializationAllowed = 1;
  }
  CUlaunchConfig config{};
  config.gridDimX = grid.x, config.gridDimY = grid.y, config.gridDimZ = grid.z;
  config.blockDimX = block.x, config.blockDimY = block.y, config.blockDimZ = block.z;
  config.sharedMemBytes = shared_bytes;
  config.hStream = queue;
  config.attrs = attributes;
  config.numAttrs = count;
  return api.cuLaunchKernelEx(&config, function_, args, nullptr);
}

void CudaKernel::CheckLaunch(Dim3 grid, Dim3 block, Dim3 cluster, std::uint32_t shared_bytes, std::size_t args) const {
  const std::string& device = module_.context().name();
  if (Volume(grid) == 0 || Exceeds(grid, limits_.grid)) [[unlikely]]
    throw Fail(Code::kInvalidArgument, "", "launch of {}: grid {} must be from 1 to {} ({})", name_, Text(grid),
               Text(limits_.grid), device);
  if (Volume(block) == 0 || Exceeds(block, limits_.block)) [[unlikely]]
    throw Fail(Code::kInvalidArgument, "", "launch of {}: block {} must be from 1 to {} ({})", name_, Text(block),
               Text(limits_.block), device);
  if (Volume(block) > limits_.threads_per_block) [[unlikely]]
    throw Fail(Code::kInvalidArgument, "",
               "launch of {}: block {} has {} threads, the limit is {} ({} registers each, {})", name_, Text(block),
               Volume(block), limits_.threads_per_block, resources_.registers, device);
  if (shared_bytes > limits_.shared_bytes) [[unlikely]]
    throw Fail(Code::kInvalidArgument, "",
               "launch of {}: {} bytes of shared memory, the limit is {} beside {} static ({})", name_, shared_bytes,
               limits_.shared_bytes, resources_.static_shared_bytes, device);
  if (parameters_ && args != *parameters_) [[unlikely]]
    throw Fail(Code::kInvalidArgument, "", "launch of {}: {} arguments, the kernel takes {}", name_, args,
               *parameters_);
  if (Volume(cluster) != 1) CheckCluster(grid, cluster);
}

void CudaKernel::CheckCluster(Dim3 grid, Dim3 cluster) const {
  const std::string& device = module_.context().name();
  if (Volume(cluster) == 0 || Volume(cluster) > limits_.blocks_per_cluster)
    throw Fail(Code::kInvalidArgument, "", "launch of {}: cluster {} has {} blocks, {} takes 1 to {}", name_,
               Text(cluster), Volume(cluster), device, limits_.blocks_per_cluster);
  if (grid.x % cluster.x != 0 || grid.y % cluster.y != 0 || grid.z % cluster.z != 0)
    throw Fail(Code::kInvalidArgument, "", "launch of {}: grid {} is not a multiple of cluster {}", name_, Text(grid),
               Text(cluster));
  if (module_.context().api().cuLaunchKernelEx == nullptr)
    throw Fail(Code::kUnsupported, "update the driver to 520 or newer",
               "launch of {}: clusters need CUDA 11.8, {} has a driver of CUDA {}", name_, device,
               module_.context().driver().VersionText());
}

}  // namespace gemmsmith::cuda
