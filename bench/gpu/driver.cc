#include "driver.h"

#include <cuda.h>
#include <dlfcn.h>
#include <fmt/format.h>

#include <stdexcept>

namespace gemmsmith::bench {
namespace {

void* Library(const char* name) {
  void* const library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) throw std::runtime_error(fmt::format("{} is not there: {}", name, dlerror()));
  return library;
}

/// As declared in cuda.h, whose macros map names to versions.
struct Api {
  decltype(&cuStreamBeginCapture) begin_capture;
  decltype(&cuStreamEndCapture) end_capture;
  decltype(&cuGraphInstantiateWithFlags) instantiate;
  decltype(&cuGraphLaunch) launch_graph;
  decltype(&cuGraphExecDestroy) destroy_executable;
  decltype(&cuGraphDestroy) destroy_graph;
  decltype(&cuModuleLoadData) load;
  decltype(&cuModuleUnload) unload;
  decltype(&cuModuleGetFunction) function;
  decltype(&cuFuncSetAttribute) set_attribute;
  decltype(&cuLaunchKernelEx) launch;

  Api() {
    void* const library = Library("libcuda.so.1");
    using Get = CUresult(const char*, void**, int, cuuint64_t, CUdriverProcAddressQueryResult*);
    auto* const get = reinterpret_cast<Get*>(dlsym(library, "cuGetProcAddress_v2"));
    const auto bind = [&](auto& function, const char* name) {
      void* address = nullptr;
      if (get == nullptr || get(name, &address, 12000, 0, nullptr) != CUDA_SUCCESS || address == nullptr)
        throw std::runtime_error(fmt::format("the driver has no {}: CUDA 12 or newer is needed", name));
      function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(address);
    };
    bind(begin_capture, "cuStreamBeginCapture"), bind(end_capture, "cuStreamEndCapture");
    bind(instantiate, "cuGraphInstantiateWithFlags"), bind(launch_graph, "cuGraphLaunch");
    bind(destroy_executable, "cuGraphExecDestroy"), bind(destroy_graph, "cuGraphDestroy");
    bind(load, "cuModuleLoadData"), bind(unload, "cuModuleUnload"), bind(function, "cuModuleGetFunction");
    bind(set_attribute, "cuFuncSetAttribute"), bind(launch, "cuLaunchKernelEx");
  }
};
const Api& TheApi() {
  static const Api api;
  return api;
}

void Check(CUresult result, const char* what) {
  if (result != CUDA_SUCCESS)
    throw std::runtime_error(fmt::format("{}: CUDA error {}", what, static_cast<int>(result)));
}
CUstream Handle(Stream stream) { return static_cast<CUstream>(stream.handle); }

}  // namespace

Graph::Graph(Stream stream, const std::function<void()>& launch) {
  Check(TheApi().begin_capture(Handle(stream), CU_STREAM_CAPTURE_MODE_THREAD_LOCAL), "begin of a capture");
  CUgraph graph = nullptr;
  try {
    launch();
  } catch (...) {
    TheApi().end_capture(Handle(stream), &graph);
    throw;
  }
  Check(TheApi().end_capture(Handle(stream), &graph), "end of a capture");
  CUgraphExec executable = nullptr;
  const CUresult result = TheApi().instantiate(&executable, graph, 0);
  TheApi().destroy_graph(graph);
  Check(result, "graph");
  executable_ = executable;
}
Graph::~Graph() { TheApi().destroy_executable(static_cast<CUgraphExec>(executable_)); }
void Graph::Launch(Stream stream) const {
  Check(TheApi().launch_graph(static_cast<CUgraphExec>(executable_), Handle(stream)), "launch of a graph");
}

BareKernel::BareKernel(const std::string& cubin, const std::string& entry, std::uint32_t shared_bytes) {
  CUmodule module = nullptr;
  CUfunction function = nullptr;
  Check(TheApi().load(&module, cubin.data()), "module");
  module_ = module;
  Check(TheApi().function(&function, module, entry.c_str()), "function");
  Check(
      TheApi().set_attribute(function, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, static_cast<int>(shared_bytes)),
      "shared memory");
  function_ = function;
}
BareKernel::~BareKernel() { TheApi().unload(static_cast<CUmodule>(module_)); }
void BareKernel::Launch(Dim3 grid, Dim3 block, Dim3 cluster, std::uint32_t shared_bytes, void* params,
                        Stream stream) const {
  CUlaunchAttribute attribute{};
  attribute.id = CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION;
  attribute.value.clusterDim = {cluster.x, cluster.y, cluster.z};
  CUlaunchConfig config{};
  config.gridDimX = grid.x, config.gridDimY = grid.y, config.gridDimZ = grid.z;
  config.blockDimX = block.x, config.blockDimY = block.y, config.blockDimZ = block.z;
  config.sharedMemBytes = shared_bytes;
  config.hStream = Handle(stream);
  config.attrs = &attribute;
  config.numAttrs = cluster.x * cluster.y * cluster.z > 1 ? 1 : 0;
  void* pointers[] = {params};
  Check(TheApi().launch(&config, static_cast<CUfunction>(function_), pointers, nullptr), "launch");
}

unsigned SmClock() {
  using Init = int();
  using ByIndex = int(unsigned index, void** device);
  using ClockInfo = int(void* device, int type, unsigned* mhz);
  constexpr int kSm = 1;
  static void* const library = dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return 0;
  static auto* const init = reinterpret_cast<Init*>(dlsym(library, "nvmlInit_v2"));
  static auto* const by_index = reinterpret_cast<ByIndex*>(dlsym(library, "nvmlDeviceGetHandleByIndex_v2"));
  static auto* const clock = reinterpret_cast<ClockInfo*>(dlsym(library, "nvmlDeviceGetClockInfo"));
  if (init == nullptr || by_index == nullptr || clock == nullptr) return 0;
  static const int status = init();
  void* device = nullptr;
  unsigned mhz = 0;
  if (status != 0 || by_index(0, &device) != 0 || clock(device, kSm, &mhz) != 0) return 0;
  return mhz;
}

}  // namespace gemmsmith::bench
