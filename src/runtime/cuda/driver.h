#pragma once

#include <string>
#include <string_view>

#include "gemmsmith/error.h"
#include "runtime/cuda/driver_api.h"
#include "util/dynamic_library.h"

namespace gemmsmith::cuda {

/// The CUDA driver, opened at run time and initialised. Immutable; thread-safe.
class CudaDriver {
 public:
  static constexpr const char* kLibrary = "libcuda.so.1";

  /// Throws kNotFound where there is no driver or no GPU, saying which and what to do.
  explicit CudaDriver(const std::string& library = kLibrary);

  const DriverApi& api() const { return api_; }
  int version() const { return version_; }            ///< Of CUDA that the driver supports: 13000 for 13.0.
  std::string VersionText() const;                    ///< "13.0".
  int device_count() const { return device_count_; }  ///< Never 0.

  /// Throws what Failure makes of any result but success.
  void Check(CUresult result, std::string_view operation) const {
    if (result != CUDA_SUCCESS) [[unlikely]]
      throw Failure(result, operation);
  }
  /// kDevice, or kOutOfMemory: "cuMemcpyAsync: CUDA_ERROR_ILLEGAL_ADDRESS (an illegal memory access ...)".
  Error Failure(CUresult result, std::string_view operation) const;
  /// "CUDA_ERROR_OUT_OF_MEMORY (out of memory)".
  std::string Describe(CUresult result) const;

 private:
  void BindFunctions();
  void Initialise(const std::string& library);

  DynamicLibrary library_;
  DriverApi api_;
  int version_ = 0;
  int device_count_ = 0;
};

}  // namespace gemmsmith::cuda
