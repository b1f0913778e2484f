#include "runtime/cuda/driver.h"

#include "util/log.h"

namespace gemmsmith::cuda {
namespace {

constexpr std::string_view kNoDriverRemedy = "install the NVIDIA driver to use a GPU; everything else works without it";

DynamicLibrary OpenLibrary(const std::string& library) {
  try {
    return DynamicLibrary(library);
  } catch (const Error& error) {
    throw Fail(Code::kNotFound, kNoDriverRemedy, "CUDA driver not found ({})", error.message());
  }
}

/// Results after which every later call on the context fails too.
bool LosesContext(CUresult result) {
  switch (result) {
    case CUDA_ERROR_ECC_UNCORRECTABLE:
    case CUDA_ERROR_NVLINK_UNCORRECTABLE:
    case CUDA_ERROR_ILLEGAL_ADDRESS:
    case CUDA_ERROR_LAUNCH_TIMEOUT:
    case CUDA_ERROR_CONTEXT_IS_DESTROYED:
    case CUDA_ERROR_ASSERT:
    case CUDA_ERROR_HARDWARE_STACK_ERROR:
    case CUDA_ERROR_ILLEGAL_INSTRUCTION:
    case CUDA_ERROR_MISALIGNED_ADDRESS:
    case CUDA_ERROR_INVALID_ADDRESS_SPACE:
    case CUDA_ERROR_INVALID_PC:
    case CUDA_ERROR_LAUNCH_FAILED:
      return true;
    default:
      return false;
  }
}

std::string_view Remedy(CUresult result) {
  if (LosesContext(result))
    return "this process can no longer use the GPU: restart it; compute-sanitizer finds a kernel that is at fault";
  if (result == CUDA_ERROR_OUT_OF_MEMORY) return "free buffers, trim pools, or stop other users of the GPU";
  if (result == CUDA_ERROR_DEVICE_UNAVAILABLE) return "another process has the GPU for itself; see nvidia-smi";
  return "";
}

using GetProcAddress = CUresult(const char* name, void** function, int version, std::uint64_t flags, int* found);

}  // namespace

CudaDriver::CudaDriver(const std::string& library) : library_(OpenLibrary(library)) {
  BindFunctions();
  Initialise(library);
}

void CudaDriver::BindFunctions() {
  enum Need { kRequired, kOptional };
  // Since CUDA 12: gives the function as declared for a version, where plain symbols may be of an older one.
  auto* get = reinterpret_cast<GetProcAddress*>(library_.Find("cuGetProcAddress_v2"));
  const auto bind = [&](auto& function, const char* symbol, const char* name, int version, Need need) {
    void* address = nullptr;
    if (get == nullptr || get(name, &address, version, 0, nullptr) != CUDA_SUCCESS) address = nullptr;
    if (address == nullptr) address = need == kRequired ? library_.Require(symbol) : library_.Find(symbol);
    function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(address);
  };
#define GEMMSMITH_CUDA_FUNCTION(symbol, name, version, need, ...) bind(api_.symbol, #symbol, name, version, need);
#include "runtime/cuda/driver_functions.def"
#undef GEMMSMITH_CUDA_FUNCTION
}

void CudaDriver::Initialise(const std::string& library) {
  switch (const CUresult result = api_.cuInit(0)) {
    case CUDA_SUCCESS:
      break;
    case CUDA_ERROR_STUB_LIBRARY:
      throw Fail(Code::kNotFound, kNoDriverRemedy, "CUDA driver not found ({} is the toolkit's stub, for linking only)",
                 library_.path());
    case CUDA_ERROR_NO_DEVICE:
      throw Fail(Code::kNotFound, "see nvidia-smi and CUDA_VISIBLE_DEVICES", "no CUDA GPU ({}: cuInit: {})", library,
                 Describe(result));
    default:
      throw Fail(Code::kNotFound, "see nvidia-smi; a reboot may be due after a driver update",
                 "CUDA driver does not start ({}: cuInit: {})", library, Describe(result));
  }
  Check(api_.cuDriverGetVersion(&version_), "cuDriverGetVersion");
  Check(api_.cuDeviceGetCount(&device_count_), "cuDeviceGetCount");
  if (device_count_ == 0)
    throw Fail(Code::kNotFound, "see nvidia-smi and CUDA_VISIBLE_DEVICES", "no CUDA GPU ({}: cuDeviceGetCount: 0)",
               library);
}

std::string CudaDriver::VersionText() const { return fmt::format("{}.{}", version_ / 1000, version_ % 1000 / 10); }

Error CudaDriver::Failure(CUresult result, std::string_view operation) const {
  const Code code = result == CUDA_ERROR_OUT_OF_MEMORY ? Code::kOutOfMemory : Code::kDevice;
  return Fail(code, Remedy(result), "{}: {}", operation, Describe(result));
}

std::string CudaDriver::Describe(CUresult result) const {
  const char* name = nullptr;
  const char* text = nullptr;
  if (api_.cuGetErrorName(result, &name) != CUDA_SUCCESS || name == nullptr)
    return fmt::format("CUDA error {}", static_cast<int>(result));
  if (api_.cuGetErrorString(result, &text) != CUDA_SUCCESS || text == nullptr) return name;
  return fmt::format("{} ({})", name, text);
}

}  // namespace gemmsmith::cuda
