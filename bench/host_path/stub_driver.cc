// A libcuda.so.1 that says yes to everything and does nothing: what a call costs up to the driver. One GPU, an H200.
#include <cstdlib>
#include <cstring>

#include "runtime/cuda/driver_api.h"

namespace gemmsmith::cuda {
namespace {

template <class... Args>
CUresult Succeed(Args...) {
  return CUDA_SUCCESS;
}

int AttributeOf(CUdevice_attribute attribute) {
  switch (attribute) {
    case CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK:
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
    case CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT:
      return 132;
    case CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE:
      return 50 << 20;
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR:
      return 9;
    case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR:
      return 233472;
    case CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_MULTIPROCESSOR:
      return 65536;
    case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN:
      return 232448;
    case CU_DEVICE_ATTRIBUTE_CLUSTER_LAUNCH:
      return 1;
    default:
      return 0;  // clocks are the table's
  }
}

template <class Pointer>
Pointer Handle() {
  static char something;
  return reinterpret_cast<Pointer>(&something);
}

CUresult Version(int* version) { return *version = 13000, CUDA_SUCCESS; }
CUresult Count(int* count) { return *count = 1, CUDA_SUCCESS; }
CUresult Name(char* name, int bytes, CUdevice) { return std::strncpy(name, "NVIDIA H200", bytes), CUDA_SUCCESS; }
CUresult TotalMemory(std::size_t* bytes, CUdevice) { return *bytes = std::size_t{141} << 30, CUDA_SUCCESS; }
CUresult DeviceAttribute(int* value, CUdevice_attribute attribute, CUdevice) {
  return *value = AttributeOf(attribute), CUDA_SUCCESS;
}
CUresult Retain(CUcontext* context, CUdevice) { return *context = Handle<CUcontext>(), CUDA_SUCCESS; }
CUresult Current(CUcontext* context) { return *context = Handle<CUcontext>(), CUDA_SUCCESS; }
CUresult FunctionAttribute(int* value, CUfunction_attribute attribute, CUfunction) {
  return *value = attribute == CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK ? 1024 : 0, CUDA_SUCCESS;
}
CUresult ParameterInfo(CUfunction, std::size_t index, std::size_t*, std::size_t*) {
  return index == 0 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}
CUresult Allocate(CUdeviceptr* address, std::size_t bytes) {
  *address = reinterpret_cast<CUdeviceptr>(std::aligned_alloc(256, (bytes + 255) / 256 * 256));
  return *address != 0 ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}
CUresult Free(CUdeviceptr address) { return std::free(reinterpret_cast<void*>(address)), CUDA_SUCCESS; }
CUresult CreateStream(CUstream* stream, unsigned) { return *stream = Handle<CUstream>(), CUDA_SUCCESS; }
CUresult NotCapturing(CUstream, CUstreamCaptureStatus* status) {
  return *status = CU_STREAM_CAPTURE_STATUS_NONE, CUDA_SUCCESS;
}
CUresult ReplaceAddress(CUtensorMap* map, void* address) {
  return map->opaque[0] = reinterpret_cast<std::uint64_t>(address), CUDA_SUCCESS;
}

/// So that whoever divides by a time gets a number.
CUresult Elapsed(float* milliseconds, CUevent, CUevent) { return *milliseconds = 1, CUDA_SUCCESS; }

struct Row {
  const char* name;
  void* function;
};
const Row kRows[] = {
    {"cuDriverGetVersion", reinterpret_cast<void*>(&Version)},
    {"cuDeviceGetCount", reinterpret_cast<void*>(&Count)},
    {"cuDeviceGetName", reinterpret_cast<void*>(&Name)},
    {"cuDeviceTotalMem", reinterpret_cast<void*>(&TotalMemory)},
    {"cuDeviceGetAttribute", reinterpret_cast<void*>(&DeviceAttribute)},
    {"cuDevicePrimaryCtxRetain", reinterpret_cast<void*>(&Retain)},
    {"cuCtxGetCurrent", reinterpret_cast<void*>(&Current)},
    {"cuFuncGetAttribute", reinterpret_cast<void*>(&FunctionAttribute)},
    {"cuFuncGetParamInfo", reinterpret_cast<void*>(&ParameterInfo)},
    {"cuMemAlloc", reinterpret_cast<void*>(&Allocate)},
    {"cuMemFree", reinterpret_cast<void*>(&Free)},
    {"cuStreamCreate", reinterpret_cast<void*>(&CreateStream)},
    {"cuStreamIsCapturing", reinterpret_cast<void*>(&NotCapturing)},
    {"cuEventElapsedTime", reinterpret_cast<void*>(&Elapsed)},
    {"cuTensorMapReplaceAddress", reinterpret_cast<void*>(&ReplaceAddress)},
};

void* Find(const char* name) {
  for (const Row& row : kRows)
    if (std::strcmp(row.name, name) == 0) return row.function;
#define GEMMSMITH_CUDA_FUNCTION(symbol, base_name, since, need, ...) \
  if (std::strcmp(base_name, name) == 0) return reinterpret_cast<void*>(&Succeed<__VA_ARGS__>);
#include "runtime/cuda/driver_functions.def"
#undef GEMMSMITH_CUDA_FUNCTION
  return reinterpret_cast<void*>(&Succeed<>);  // whatever a bench asks for besides
}

}  // namespace
}  // namespace gemmsmith::cuda

extern "C" __attribute__((visibility("default"))) int cuGetProcAddress_v2(const char* name, void** function, int,
                                                                          std::uint64_t, int*) {
  *function = gemmsmith::cuda::Find(name);
  return *function != nullptr ? 0 : 500;
}
