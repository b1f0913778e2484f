#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "artifact.h"
#include "gemmsmith/emulation.h"
#include "gemmsmith/kernel.h"
#include "runtime/emulator/check/code_index.h"
#include "runtime/emulator/device/limits.h"
#include "runtime/emulator/isa/program.h"
#include "runtime/emulator/machine/launch.h"

namespace gemmsmith::emulator {

/// What the launches of a device did, by kernel. Thread-safe.
class StatisticsLog {
 public:
  std::atomic<bool> enabled{false};

  void Add(const KernelStatistics& launch);
  std::vector<KernelStatistics> Kernels() const;
  void Clear();

 private:
  mutable std::mutex mutex_;
  std::vector<KernelStatistics> kernels_;
};

/// What the kernels of one device share.
struct DeviceState {
  std::string name;  ///< "emulator:sm_80"
  CodeTarget target;
  ArchitectureLimits limits;
  Allocations allocations;
  RunOptions options;
  std::atomic<std::uint64_t> seed_shift{0};  ///< What launches add to the seed of the options.
  StatisticsLog statistics;
};

/// A kernel of a loaded PTX module. Immutable, so that any number of threads may launch it.
class EmulatorKernel final : public Kernel {
 public:
  /// Throws what Program throws, and kInvalidArgument for an artifact without PTX.
  EmulatorKernel(std::shared_ptr<DeviceState> device, const Artifact& artifact);

  const std::string& name() const override { return name_; }
  const KernelResources& resources() const override { return resources_; }
  void Launch(Dim3 grid, Dim3 block, Dim3 cluster, std::uint32_t shared_bytes, std::span<void* const> args,
              Stream stream) const override;

 private:
  Dim3 ClusterOf(Dim3 given) const;
  void CheckLaunch(Dim3 grid, Dim3 block, Dim3 cluster, std::uint32_t shared_bytes, std::span<void* const> args) const;
  void CheckThreads(Dim3 block) const;
  void CheckCluster(Dim3 grid, Dim3 cluster) const;
  int Residents(Dim3 block, std::uint32_t shared_bytes) const;

  std::shared_ptr<DeviceState> device_;
  std::string name_;
  KernelResources resources_;
  Program program_;
  CodeIndex code_;
  const KernelInfo* kernel_;
};

}  // namespace gemmsmith::emulator
