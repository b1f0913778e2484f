#include "runtime/cuda/module.h"

#include <array>
#include <charconv>
#include <cstring>
#include <string>
#include <utility>

#include "runtime/cuda/kernel.h"
#include "util/log.h"

namespace gemmsmith::cuda {
namespace {

/// The image is at fault, not the device: another part of the artifact may still load.
bool RefusesImage(CUresult result) {
  switch (result) {
    case CUDA_ERROR_INVALID_IMAGE:
    case CUDA_ERROR_NO_BINARY_FOR_GPU:
    case CUDA_ERROR_INVALID_PTX:
    case CUDA_ERROR_JIT_COMPILER_NOT_FOUND:
    case CUDA_ERROR_UNSUPPORTED_PTX_VERSION:
    case CUDA_ERROR_JIT_COMPILATION_DISABLED:
    case CUDA_ERROR_INVALID_SOURCE:
      return true;
    default:
      return false;
  }
}

/// "nvrtc 13.0.88 (...)" -> 13; 0 where there is no number.
int ToolkitMajor(const std::string& compiler) {
  const std::size_t digit = compiler.find_first_of("0123456789");
  int major = 0;
  if (digit != std::string::npos) std::from_chars(compiler.data() + digit, compiler.data() + compiler.size(), major);
  return major;
}

/// What to do about code that neither the GPU nor the driver takes.
std::string LoadRemedy(const CudaContext& context, const Artifact& artifact) {
  const int toolkit = ToolkitMajor(artifact.compiler);
  if (toolkit <= context.driver().version() / 1000)
    return fmt::format("compile it for a target of this device (it was compiled for {})", ToString(artifact.target));
  // The first driver branch of each major version loads the machine code of all its minor versions.
  const char* branch = toolkit == 12 ? "525" : toolkit == 13 ? "580" : nullptr;
  return fmt::format("code of CUDA {}.x needs {}, or compile it with CUDA {}.x (GEMMSMITH_NVRTC)", toolkit,
                     branch != nullptr ? fmt::format("driver {} or newer", branch) : std::string("a newer driver"),
                     context.driver().version() / 1000);
}

struct LoadAttempt {
  CUresult result = CUDA_SUCCESS;
  CUmodule module = nullptr;
  std::string log;  ///< The driver's compiler's, for PTX.
};

LoadAttempt TryLoad(const CudaContext& context, const std::string& image) {
  std::array<char, 8192> log{};
  std::array<CUjit_option, 2> options = {CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES};
  std::array<void*, 2> values = {log.data(), reinterpret_cast<void*>(log.size() - 1)};
  LoadAttempt attempt;
  attempt.result =
      context.api().cuModuleLoadDataEx(&attempt.module, image.c_str(), options.size(), options.data(), values.data());
  attempt.log = log.data();
  return attempt;
}

CudaModule LoadModule(std::shared_ptr<const CudaContext> context, const Artifact& artifact) {
  const CudaDriver& driver = context->driver();
  const std::string operation =
      fmt::format("load {} ({}, {})", artifact.kernel_name, ToString(artifact.target), artifact.compiler);
  std::string refusals;
  for (const char* part : {"cubin", "ptx"}) {
    const auto image = artifact.parts.find(part);
    if (image == artifact.parts.end()) continue;
    const LoadAttempt attempt = TryLoad(*context, image->second);
    if (attempt.result == CUDA_SUCCESS) {
      if (!refusals.empty())
        LogInfo("{}: {}: the driver compiled the PTX instead ({})", context->name(), operation, refusals);
      return CudaModule(std::move(context), attempt.module);
    }
    if (!RefusesImage(attempt.result)) throw context->Failure(attempt.result, operation);
    refusals += fmt::format("{}{}: {}", refusals.empty() ? "" : "; ", part, driver.Describe(attempt.result));
    if (!attempt.log.empty()) refusals += "\n" + attempt.log;
  }
  if (refusals.empty())
    throw Fail(Code::kInvalidArgument, "", "{}: {}: it holds no CUDA code", context->name(), operation);
  throw Fail(Code::kDevice, LoadRemedy(*context, artifact), "{}: {}: {}; the driver is of CUDA {}", context->name(),
             operation, refusals, driver.VersionText());
}

}  // namespace

std::shared_ptr<const Kernel> LoadKernel(std::shared_ptr<const CudaContext> context, const LaunchLimits& limits,
                                         const Artifact& artifact) {
  const CudaContext::Scope scope(*context);
  CudaModule module = LoadModule(std::move(context), artifact);
  return std::make_shared<CudaKernel>(std::move(module), limits, artifact);
}

}  // namespace gemmsmith::cuda
