#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "runtime/cuda/driver.h"

namespace gemmsmith::cuda {

/// The primary context of one GPU: the one that the CUDA runtime and other libraries of the process use too.
/// Retained at first use, since that costs time and device memory. Thread-safe.
class CudaContext {
 public:
  /// Throws kDevice if there is no GPU `index`.
  CudaContext(std::shared_ptr<const CudaDriver> driver, int index);
  ~CudaContext();
  CudaContext(const CudaContext&) = delete;
  CudaContext& operator=(const CudaContext&) = delete;

  const CudaDriver& driver() const { return *driver_; }
  const DriverApi& api() const { return driver_->api(); }
  CUdevice device() const { return device_; }
  const std::string& name() const { return name_; }  ///< "cuda:0".
  void Check(CUresult result, std::string_view operation) const {
    if (result != CUDA_SUCCESS) [[unlikely]]
      throw Failure(result, operation);
  }
  /// CudaDriver::Failure with the device named first.
  Error Failure(CUresult result, std::string_view operation) const;

  /// Makes the context current on this thread, and the caller's own current again at the end.
  class Scope {
   public:
    explicit Scope(const CudaContext& context);
    ~Scope();
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    const CudaContext& context_;
    CUcontext previous_ = nullptr;
    bool switched_ = false;
  };

  /// Runs `release`, which returns a CUresult, in the context; for destructors. A failure is logged, unless the driver
  /// has already gone down with the process.
  template <class Release>
  void Cleanup(std::string_view operation, Release release) const noexcept {
    try {
      const Scope scope(*this);
      Report(release(), operation);
    } catch (const Error& error) {
      ReportFailedCleanup(error);
    }
  }

 private:
  CUcontext Retained() const;
  void Report(CUresult result, std::string_view operation) const;
  void ReportFailedCleanup(const Error& error) const;

  std::shared_ptr<const CudaDriver> driver_;
  std::string name_;
  CUdevice device_ = 0;
  mutable std::mutex mutex_;
  mutable std::atomic<CUcontext> context_{nullptr};
};

}  // namespace gemmsmith::cuda
