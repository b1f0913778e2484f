// The functions of libcuda.so.1 that gemmsmith uses, over fake_driver's state. With FAKE_DRIVER_OLD, without those that
// came with CUDA 11.6 and later.
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <sstream>

#include "state.h"

using namespace gemmsmith::cuda;
using fake_driver::Context;
using fake_driver::CurrentContext;
using fake_driver::State;
using fake_driver::TheState;

#define FAKE_API extern "C" __attribute__((visibility("default")))

namespace {

/// Begins every function: counts the call, holds the lock, and says what the call must return at once, if anything.
class Call {
 public:
  enum Needs { kNothing, kInit, kContext };
  Call(const char* function, Needs needs) : lock_(state.mutex) {
    ++state.calls[function];
    if (const auto found = state.failures.find(function); found != state.failures.end() && found->second.second > 0) {
      --found->second.second;
      result = found->second.first;
    } else if (needs != kNothing && !state.initialised) {
      result = CUDA_ERROR_NOT_INITIALIZED;
    } else if (needs == kContext && (CurrentContext() == nullptr || CurrentContext()->retains == 0)) {
      result = CUDA_ERROR_INVALID_CONTEXT;
    }
  }
  void Unlock() { lock_.unlock(); }

  State& state = TheState();
  CUresult result = CUDA_SUCCESS;

 private:
  std::unique_lock<std::mutex> lock_;
};

#define BEGIN(needs)                                   \
  Call call(__func__, Call::needs);                    \
  if (call.result != CUDA_SUCCESS) return call.result; \
  [[maybe_unused]] State& state = call.state

struct Name {
  CUresult result;
  const char *name, *text;
};
constexpr Name kNames[] = {
    {CUDA_ERROR_INVALID_VALUE, "CUDA_ERROR_INVALID_VALUE", "invalid argument"},
    {CUDA_ERROR_OUT_OF_MEMORY, "CUDA_ERROR_OUT_OF_MEMORY", "out of memory"},
    {CUDA_ERROR_NO_DEVICE, "CUDA_ERROR_NO_DEVICE", "no CUDA-capable device is detected"},
    {CUDA_ERROR_NO_BINARY_FOR_GPU, "CUDA_ERROR_NO_BINARY_FOR_GPU", "no kernel image is available"},
    {CUDA_ERROR_UNSUPPORTED_PTX_VERSION, "CUDA_ERROR_UNSUPPORTED_PTX_VERSION",
     "the PTX is of an unsupported toolchain"},
    {CUDA_ERROR_INVALID_CONTEXT, "CUDA_ERROR_INVALID_CONTEXT", "invalid device context"},
    {CUDA_ERROR_INVALID_HANDLE, "CUDA_ERROR_INVALID_HANDLE", "invalid resource handle"},
    {CUDA_ERROR_NOT_FOUND, "CUDA_ERROR_NOT_FOUND", "named symbol not found"},
    {CUDA_ERROR_ILLEGAL_ADDRESS, "CUDA_ERROR_ILLEGAL_ADDRESS", "an illegal memory access was encountered"},
    {CUDA_ERROR_DEVICE_UNAVAILABLE, "CUDA_ERROR_DEVICE_UNAVAILABLE", "device(s) is/are busy or unavailable"},
};

CUresult FindName(CUresult result, const char* Name::*field, const char** text) {
  for (const Name& row : kNames)
    if (row.result == result) {
      *text = row.*field;
      return CUDA_SUCCESS;
    }
  *text = nullptr;
  return CUDA_ERROR_INVALID_VALUE;
}

int Attribute(const fake_driver::Gpu& gpu, CUdevice_attribute attribute) {
  if (const auto found = gpu.attributes.find(attribute); found != gpu.attributes.end()) return found->second;
  switch (attribute) {
    case CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK:
      return 1024;
    case CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_X:
    case CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Y:
      return 1024;
    case CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Z:
      return 64;
    case CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_X:
      return 0x7fffffff;
    case CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Y:
    case CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Z:
      return 65535;
    case CU_DEVICE_ATTRIBUTE_CLOCK_RATE:
      return 1980000;
    case CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT:
      return 132;
    case CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE:
      return 3201000;
    case CU_DEVICE_ATTRIBUTE_GLOBAL_MEMORY_BUS_WIDTH:
      return 6144;
    case CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE:
      return 60 << 20;
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR:
      return gpu.major;
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR:
      return gpu.minor;
    case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR:
      return 233472;
    case CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_MULTIPROCESSOR:
      return 65536;
    case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN:
      return 232448;
    case CU_DEVICE_ATTRIBUTE_CLUSTER_LAUNCH:
      return gpu.major >= 9 ? 1 : 0;
  }
  return 0;
}

template <class T>
bool Holds(const std::map<void*, std::unique_ptr<T>>& handles, void* handle) {
  return handles.find(handle) != handles.end();
}

/// The default stream, or one of the current context.
bool IsStream(const State& state, CUstream stream) {
  if (stream == nullptr) return true;
  const auto found = state.streams.find(stream);
  return found != state.streams.end() && found->second->context == CurrentContext();
}

bool IsDevice(const State& state, CUdevice device) {
  return device >= 0 && device < static_cast<int>(state.gpus.size());
}

fake_driver::Event* FindEvent(State& state, CUevent event) {
  const auto found = state.events.find(event);
  return found == state.events.end() || found->second->context != CurrentContext() ? nullptr : found->second.get();
}

/// Whether [address, address + bytes) touches an allocation only in part: what a real device would fault on.
bool Overruns(const State& state, CUdeviceptr address, std::size_t bytes) {
  const auto next = state.allocations.upper_bound(address);
  if (next == state.allocations.begin()) return false;
  const auto& [begin, allocation] = *std::prev(next);
  return address < begin + allocation.size && address + bytes > begin + allocation.size;
}

std::size_t UsedBytes(const State& state, int device) {
  std::size_t used = 0;
  for (const auto& [address, allocation] : state.allocations)
    if (allocation.device == device) used += allocation.size;
  return used;
}

CUresult Allocate(State& state, int device, std::size_t bytes, void** pointer) {
  if (bytes == 0) return CUDA_ERROR_INVALID_VALUE;
  if (device >= 0 && UsedBytes(state, device) + bytes > state.gpus[device].memory_bytes)
    return CUDA_ERROR_OUT_OF_MEMORY;
  fake_driver::Allocation allocation{std::unique_ptr<std::byte[]>(new std::byte[bytes]), bytes, device};
  *pointer = allocation.bytes.get();
  state.allocations.emplace(reinterpret_cast<std::uintptr_t>(*pointer), std::move(allocation));
  return CUDA_SUCCESS;
}

CUresult Free(State& state, std::uintptr_t address, bool pinned) {
  const auto found = state.allocations.find(address);
  if (found == state.allocations.end() || (found->second.device < 0) != pinned) return CUDA_ERROR_INVALID_VALUE;
  state.allocations.erase(found);
  return CUDA_SUCCESS;
}

struct Image {
  std::string kind;
  int target = 0, cuda_version = 0;
  std::vector<std::string> kernels;
};

Image ParseImage(const char* text) {
  std::istringstream words(text);
  Image image;
  std::string target, version, kernel;
  words >> image.kind >> target >> version;
  std::sscanf(target.c_str(), "sm_%d", &image.target);
  std::sscanf(version.c_str(), "cuda=%d", &image.cuda_version);
  while (words >> kernel) image.kernels.push_back(kernel);
  return image;
}

CUresult Accepts(const State& state, const Image& image) {
  const fake_driver::Gpu& gpu = state.gpus[CurrentContext()->device];
  const int capability = gpu.major * 10 + gpu.minor;
  if (image.kind == "cubin") {
    const bool runs = image.target / 10 == gpu.major && image.target <= capability;
    return runs && image.cuda_version / 1000 <= state.version / 1000 ? CUDA_SUCCESS : CUDA_ERROR_NO_BINARY_FOR_GPU;
  }
  if (image.kind != "ptx") return CUDA_ERROR_INVALID_IMAGE;
  if (image.cuda_version > state.version) return CUDA_ERROR_UNSUPPORTED_PTX_VERSION;
  return image.target <= capability ? CUDA_SUCCESS : CUDA_ERROR_INVALID_PTX;
}

CUresult Launch(State& state, Call& call, fake_driver::Launch launch, CUfunction handle, void** parameters) {
  auto* function = reinterpret_cast<fake_driver::Function*>(handle);
  if (function->context != CurrentContext()) return CUDA_ERROR_INVALID_HANDLE;
  if (!IsStream(state, static_cast<CUstream>(launch.stream))) return CUDA_ERROR_INVALID_HANDLE;
  launch.kernel = function->name;
  launch.device = function->context->device;
  state.launches.push_back(launch);
  ++state.ticks;
  const auto run = function->kernel.run;
  call.Unlock();
  if (run) run(parameters);
  return CUDA_SUCCESS;
}

}  // namespace

FAKE_API CUresult cuInit(unsigned) {
  BEGIN(kNothing);
  if (state.gpus.empty()) return CUDA_ERROR_NO_DEVICE;
  state.initialised = true;
  return CUDA_SUCCESS;
}

FAKE_API CUresult cuDriverGetVersion(int* version) {
  BEGIN(kNothing);
  *version = state.version;
  return CUDA_SUCCESS;
}

FAKE_API CUresult cuGetErrorName(CUresult result, const char** text) { return FindName(result, &Name::name, text); }
FAKE_API CUresult cuGetErrorString(CUresult result, const char** text) { return FindName(result, &Name::text, text); }

FAKE_API CUresult cuDeviceGetCount(int* count) {
  BEGIN(kInit);
  *count = static_cast<int>(state.gpus.size());
  return CUDA_SUCCESS;
}

FAKE_API CUresult cuDeviceGet(CUdevice* device, int ordinal) {
  BEGIN(kInit);
  *device = ordinal;
  return IsDevice(state, ordinal) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_DEVICE;
}

FAKE_API CUresult cuDeviceGetName(char* name, int length, CUdevice device) {
  BEGIN(kInit);
  std::snprintf(name, static_cast<std::size_t>(length), "%s", state.gpus.at(device).name.c_str());
  return CUDA_SUCCESS;
}

FAKE_API CUresult cuDeviceTotalMem_v2(std::size_t* bytes, CUdevice device) {
  BEGIN(kInit);
  *bytes = state.gpus.at(device).memory_bytes;
  return CUDA_SUCCESS;
}

FAKE_API CUresult cuDeviceGetAttribute(int* value, CUdevice_attribute attribute, CUdevice device) {
  BEGIN(kInit);
  *value = Attribute(state.gpus.at(device), attribute);
  return CUDA_SUCCESS;
}

FAKE_API CUresult cuDevicePrimaryCtxRetain(CUcontext* context, CUdevice device) {
  BEGIN(kInit);
  ++state.contexts.at(device)->retains;
  *context = reinterpret_cast<CUcontext>(state.contexts[device].get());
  return CUDA_SUCCESS;
}

FAKE_API CUresult cuDevicePrimaryCtxRelease_v2(CUdevice device) {
  BEGIN(kInit);
  if (state.contexts.at(device)->retains == 0) return CUDA_ERROR_INVALID_CONTEXT;
  --state.contexts[device]->retains;
  return CUDA_SUCCESS;
}

FAKE_API CUresult cuCtxGetCurrent(CUcontext* context) {
  BEGIN(kInit);
  *context = reinterpret_cast<CUcontext>(CurrentContext());
  return CUDA_SUCCESS;
}

FAKE_API CUresult cuCtxSetCurrent(CUcontext context) {
  BEGIN(kInit);
  CurrentContext() = reinterpret_cast<Context*>(context);
  return CUDA_SUCCESS;
}

FAKE_API CUresult cuModuleLoadDataEx(CUmodule* module, const void* image, unsigned options, CUjit_option* option,
                                     void** values) {
  BEGIN(kContext);
  const Image code = ParseImage(static_cast<const char*>(image));
  if (const CUresult result = Accepts(state, code); result != CUDA_SUCCESS) {
    for (unsigned i = 0; i < options; ++i)
      if (option[i] == CU_JIT_ERROR_LOG_BUFFER && code.kind == "ptx")
        std::strcpy(static_cast<char*>(values[i]), "ptxas: the fake driver refuses");
    return result;
  }
  auto made = std::make_unique<fake_driver::Module>();
  made->context = CurrentContext();
  for (const std::string& name : code.kernels)
    made->functions[name] = {name, CurrentContext(), state.kernels[name], -1};
  *module = reinterpret_cast<CUmodule>(made.get());
  state.modules.emplace(made.get(), std::move(made));
  return CUDA_SUCCESS;
}

FAKE_API CUresult cuModuleUnload(CUmodule module) {
  BEGIN(kContext);
  const auto found = state.modules.find(module);
  if (found == state.modules.end() || found->second->context != CurrentContext()) return CUDA_ERROR_INVALID_HANDLE;
  state.modules.erase(found);
  return CUDA_SUCCESS;
}

FAKE_API CUresult cuModuleGetFunction(CUfunction* function, CUmodule module, const char* name) {
  BEGIN(kContext);
  if (!Holds(state.modules, module)) return CUDA_ERROR_INVALID_HANDLE;
  auto& functions = state.modules[module]->functions;
  const auto found = functions.find(name);
  if (found == functions.end()) return CUDA_ERROR_NOT_FOUND;
  *function = reinterpret_cast<CUfunction>(&found->second);
  return CUDA_SUCCESS;
}

FAKE_API CUresult cuFuncGetAttribute(int* value, CUfunction_attribute attribute, CUfunction handle) {
  BEGIN(kContext);
  const auto& function = *reinterpret_cast<fake_driver::Function*>(handle);
  switch (attribute) {
    case CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK:
      *value = function.kernel.max_threads;
      break;
    case CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES:
      *value = function.kernel.static_shared_bytes;
      break;
    case CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES:
      *value = 0;
      break;
    case CU_FUNC_ATTRIBUTE_NUM_REGS:
      *value = function.kernel.registers;
      break;
    case CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES:
      *value = function.max_dynamic_shared;
      break;
  }
  return CUDA_SUCCESS;
}

FAKE_API CUresult cuFuncSetAttribute(CUfunction handle, CUfunction_attribute attribute, int value) {
  BEGIN(kContext);
  auto& function = *reinterpret_cast<fake_driver::Function*>(handle);
  const auto& gpu = state.gpus[CurrentContext()->device];
  if (attribute != CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES || value < 0 ||
      value + function.kernel.static_shared_bytes >
          Attribute(gpu, CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN))
    return CUDA_ERROR_INVALID_VALUE;
  function.max_dynamic_shared = state.max_dynamic_shared[function.name] = value;
  return CUDA_SUCCESS;
}

FAKE_API CUresult cuLaunchKernel(CUfunction function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by,
                                 unsigned bz, unsigned shared_bytes, CUstream stream, void** parameters, void**) {
  BEGIN(kContext);
  return Launch(state, call, {"", 0, {gx, gy, gz}, {bx, by, bz}, {}, shared_bytes, stream}, function, parameters);
}

FAKE_API CUresult cuMemAlloc_v2(CUdeviceptr* address, std::size_t bytes) {
  BEGIN(kContext);
  return Allocate(state, CurrentContext()->device, bytes, reinterpret_cast<void**>(address));
}

FAKE_API CUresult cuMemFree_v2(CUdeviceptr address) {
  BEGIN(kContext);
  return Free(state, address, false);
}

FAKE_API CUresult cuMemHostAlloc(void** pointer, std::size_t bytes, unsigned) {
  BEGIN(kContext);
  return Allocate(state, -1, bytes, pointer);
}

FAKE_API CUresult cuMemFreeHost(void* pointer) {
  BEGIN(kContext);
  return Free(state, reinterpret_cast<std::uintptr_t>(pointer), true);
}

FAKE_API CUresult cuMemcpyAsync(CUdeviceptr to, CUdeviceptr from, std::size_t bytes, CUstream stream) {
  BEGIN(kContext);
  if (!IsStream(state, stream)) return CUDA_ERROR_INVALID_HANDLE;
  if (Overruns(state, to, bytes) || Overruns(state, from, bytes)) return CUDA_ERROR_INVALID_VALUE;
  std::memcpy(reinterpret_cast<void*>(to), reinterpret_cast<const void*>(from), bytes);
  return CUDA_SUCCESS;
}

FAKE_API CUresult cuMemsetD8Async(CUdeviceptr to, unsigned char byte, std::size_t bytes, CUstream stream) {
  BEGIN(kContext);
  if (!IsStream(state, stream)) return CUDA_ERROR_INVALID_HANDLE;
  if (Overruns(state, to, bytes)) return CUDA_ERROR_INVALID_VALUE;
  std::memset(reinterpret_cast<void*>(to), byte, bytes);
  return CUDA_SUCCESS;
}

FAKE_API CUresult cuStreamCreate(CUstream* stream, unsigned) {
  BEGIN(kContext);
  auto made = std::make_unique<fake_driver::Stream>(fake_driver::Stream{CurrentContext()});
  *stream = reinterpret_cast<CUstream>(made.get());
  state.streams.emplace(made.get(), std::move(made));
  return CUDA_SUCCESS;
}

FAKE_API CUresult cuStreamDestroy_v2(CUstream stream) {
  BEGIN(kContext);
  return state.streams.erase(stream) == 1 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}

FAKE_API CUresult cuStreamSynchronize(CUstream stream) {
  BEGIN(kContext);
  return IsStream(state, stream) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}

FAKE_API CUresult cuStreamIsCapturing(CUstream stream, CUstreamCaptureStatus* status) {
  BEGIN(kContext);
  *status = state.capturing ? CU_STREAM_CAPTURE_STATUS_ACTIVE : CU_STREAM_CAPTURE_STATUS_NONE;
  return IsStream(state, stream) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}

FAKE_API CUresult cuEventCreate(CUevent* event, unsigned) {
  BEGIN(kContext);
  auto made = std::make_unique<fake_driver::Event>(fake_driver::Event{CurrentContext(), 0});
  *event = reinterpret_cast<CUevent>(made.get());
  state.events.emplace(made.get(), std::move(made));
  return CUDA_SUCCESS;
}

FAKE_API CUresult cuEventDestroy_v2(CUevent event) {
  BEGIN(kContext);
  return state.events.erase(event) == 1 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}

FAKE_API CUresult cuEventRecord(CUevent event, CUstream stream) {
  BEGIN(kContext);
  fake_driver::Event* found = FindEvent(state, event);
  if (found == nullptr || !IsStream(state, stream)) return CUDA_ERROR_INVALID_HANDLE;
  found->recorded_at = ++state.ticks;
  return CUDA_SUCCESS;
}

FAKE_API CUresult cuEventSynchronize(CUevent event) {
  BEGIN(kContext);
  return FindEvent(state, event) != nullptr ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}

FAKE_API CUresult cuEventElapsedTime(float* milliseconds, CUevent start, CUevent end) {
  BEGIN(kContext);
  const fake_driver::Event* begin = FindEvent(state, start);
  const fake_driver::Event* finish = FindEvent(state, end);
  if (begin == nullptr || finish == nullptr || begin->recorded_at == 0 || finish->recorded_at == 0)
    return CUDA_ERROR_INVALID_HANDLE;
  *milliseconds = static_cast<float>(finish->recorded_at - begin->recorded_at);
  return CUDA_SUCCESS;
}

#ifndef FAKE_DRIVER_OLD

FAKE_API CUresult cuFuncGetParamInfo(CUfunction handle, std::size_t index, std::size_t* offset, std::size_t* size) {
  BEGIN(kInit);
  const auto& sizes = reinterpret_cast<fake_driver::Function*>(handle)->kernel.parameter_bytes;
  if (index >= sizes.size()) return CUDA_ERROR_INVALID_VALUE;
  *offset = 0;
  *size = sizes[index];
  return CUDA_SUCCESS;
}

/// The first words: the address, the rank, the extents.
FAKE_API CUresult cuTensorMapEncodeTiled(CUtensorMap* map, CUtensorMapDataType, std::uint32_t rank, void* address,
                                         const std::uint64_t* extents, const std::uint64_t*, const std::uint32_t* box,
                                         const std::uint32_t*, CUtensorMapInterleave, CUtensorMapSwizzle,
                                         CUtensorMapL2promotion, CUtensorMapFloatOOBfill) {
  BEGIN(kInit);
  if (rank < 1 || rank > 5 || reinterpret_cast<std::uintptr_t>(address) % 16 != 0) return CUDA_ERROR_INVALID_VALUE;
  *map = {};
  map->opaque[0] = reinterpret_cast<std::uint64_t>(address);
  map->opaque[1] = rank;
  for (std::uint32_t i = 0; i < rank; ++i) {
    if (extents[i] == 0 || box[i] == 0 || box[i] > 256) return CUDA_ERROR_INVALID_VALUE;
    map->opaque[2 + i] = extents[i];
  }
  return CUDA_SUCCESS;
}
FAKE_API CUresult cuTensorMapReplaceAddress(CUtensorMap* map, void* address) {
  BEGIN(kInit);
  if (reinterpret_cast<std::uintptr_t>(address) % 16 != 0) return CUDA_ERROR_INVALID_VALUE;
  map->opaque[0] = reinterpret_cast<std::uint64_t>(address);
  return CUDA_SUCCESS;
}

FAKE_API CUresult cuLaunchKernelEx(const CUlaunchConfig* config, CUfunction function, void** parameters, void**) {
  BEGIN(kContext);
  gemmsmith::Dim3 cluster;
  bool overlaps = false;
  for (unsigned i = 0; i < config->numAttrs; ++i)
    if (config->attrs[i].id == CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION) {
      const auto& value = config->attrs[i].value.clusterDim;
      cluster = {value.x, value.y, value.z};
    } else if (config->attrs[i].id == CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION) {
      overlaps = config->attrs[i].value.programmaticStreamSerializationAllowed != 0;
    }
  return Launch(state, call,
                {"",
                 0,
                 {config->gridDimX, config->gridDimY, config->gridDimZ},
                 {config->blockDimX, config->blockDimY, config->blockDimZ},
                 cluster,
                 config->sharedMemBytes,
                 config->hStream,
                 overlaps},
                function, parameters);
}

FAKE_API CUresult cuGetProcAddress_v2(const char* name, void** function, int version, std::uint64_t, int*) {
  BEGIN(kNothing);
  *function = nullptr;
  if (state.hidden.count(name) != 0) return CUDA_ERROR_NOT_FOUND;
#define GEMMSMITH_CUDA_FUNCTION(symbol, base_name, since, need, ...)                     \
  if (std::strcmp(name, base_name) == 0 && version >= since && (since) <= state.version) \
    *function = reinterpret_cast<void*>(&::symbol);
#include "runtime/cuda/driver_functions.def"
#undef GEMMSMITH_CUDA_FUNCTION
  return *function != nullptr ? CUDA_SUCCESS : CUDA_ERROR_NOT_FOUND;
}

#endif
