#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "artifact.h"
#include "gemmsmith/kernel.h"
#include "runtime/cuda/context.h"
#include "runtime/cuda/device_query.h"

namespace gemmsmith::cuda {

/// A module loaded into a context; unloaded at the end of its life. Move-only.
class CudaModule {
 public:
  CudaModule(std::shared_ptr<const CudaContext> context, CUmodule module)
      : context_(std::move(context)), module_(module) {}
  CudaModule(CudaModule&& other) noexcept
      : context_(std::move(other.context_)), module_(std::exchange(other.module_, nullptr)) {}
  CudaModule& operator=(CudaModule&&) = delete;
  ~CudaModule() {
    if (module_ != nullptr)
      context_->Cleanup("cuModuleUnload", [&] { return context_->api().cuModuleUnload(module_); });
  }

  const CudaContext& context() const { return *context_; }
  /// Throws kDevice if there is no such kernel.
  CUfunction Find(const std::string& name) const;

 private:
  std::shared_ptr<const CudaContext> context_;
  CUmodule module_;
};

/// A kernel of a loaded module. Immutable, so that any number of threads may launch it.
class CudaKernel final : public Kernel {
 public:
  /// The context must be current.
  CudaKernel(CudaModule module, const LaunchLimits& limits, const Artifact& artifact);

  const std::string& name() const override { return name_; }
  const KernelResources& resources() const override { return resources_; }
  void Launch(Dim3 grid, Dim3 block, Dim3 cluster, std::uint32_t shared_bytes, std::span<void* const> args,
              Stream stream) const override;

 private:
  int Attribute(CUfunction_attribute attribute) const;
  std::optional<std::size_t> CountParameters() const;
  void CheckLaunch(Dim3 grid, Dim3 block, Dim3 cluster, std::uint32_t shared_bytes, std::size_t args) const;
  void CheckCluster(Dim3 grid, Dim3 cluster) const;
  CUresult Start(Dim3 grid, Dim3 block, Dim3 cluster, std::uint32_t shared_bytes, void** args, Stream stream) const;

  CudaModule module_;
  std::string name_;
  CUfunction function_;
  LaunchLimits limits_;  ///< Of this kernel: the device's, less what its registers and static shared memory take.
  KernelResources resources_;
  std::optional<std::size_t> parameters_;  ///< Unknown before CUDA 12.4.
};

}  // namespace gemmsmith::cuda
