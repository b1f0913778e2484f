#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gemmsmith/emulation.h"
#include "gemmsmith/kernel.h"
#include "gemmsmith/memory.h"
#include "gemmsmith/target.h"
#include "gemmsmith/tensor.h"

namespace gemmsmith {

struct Artifact;
class Device;

/// Memory of a device, freed at the end of its life. No stream may use it any more by then: Synchronize first, for the
/// next owner may be given it at once. Move-only.
class GEMMSMITH_API Buffer {
 public:
  Buffer() = default;
  Buffer(MemoryPool& pool, std::size_t bytes) : pool_(&pool), data_(pool.Allocate(bytes)), bytes_(bytes) {}
  Buffer(Buffer&& other) noexcept { *this = std::move(other); }
  Buffer& operator=(Buffer&& other) noexcept {
    std::swap(pool_, other.pool_);
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~Buffer() {
    if (pool_ != nullptr) pool_->Free(data_);
  }

  void* data() const { return data_; }
  std::size_t bytes() const { return bytes_; }

 private:
  MemoryPool* pool_ = nullptr;
  void* data_ = nullptr;
  std::size_t bytes_ = 0;
};

/// A mark in a stream, for timing. Owned by the caller, made by Device::CreateEvent.
class GEMMSMITH_API Event {
 public:
  virtual ~Event() = default;
  virtual void Record(Stream stream) = 0;
  /// Milliseconds from `start` to this event; waits for both. Both must be recorded on the same device.
  virtual double MillisecondsSince(const Event& start) const = 0;
};

/// Where kernels are loaded and run. Thread-safe.
class GEMMSMITH_API Device {
 public:
  virtual ~Device() = default;

  virtual DeviceId id() const = 0;
  virtual const DeviceSpec& spec() const = 0;
  /// Targets whose code this device can load, best first.
  virtual std::vector<CodeTarget> targets() const = 0;

  /// Loads compiled code. Throws kDevice with the driver's reason.
  virtual std::shared_ptr<const Kernel> Load(const Artifact& artifact) = 0;

  /// Memory that kernels of this device read and write.
  virtual MemoryPool& memory() = 0;
  /// Host memory that copies to and from this device are fastest with; ordinary memory on the CPU.
  virtual MemoryPool& pinned_memory() = 0;
  /// Copies between host and device, either way, in stream order. Host memory must stay valid until Synchronize.
  virtual void Copy(void* to, const void* from, std::size_t bytes, Stream stream = {}) = 0;
  virtual void Fill(void* to, std::uint8_t byte, std::size_t bytes, Stream stream = {}) = 0;

  virtual Stream CreateStream() = 0;
  virtual void DestroyStream(Stream stream) = 0;
  virtual void Synchronize(Stream stream = {}) = 0;
  /// Whether what is launched on `stream` now is recorded into a graph, and does not run.
  virtual bool IsCapturing(Stream) const { return false; }
  virtual std::unique_ptr<Event> CreateEvent() = 0;

  /// Null where kernels run on hardware.
  virtual Emulation* emulation() { return nullptr; }

  Buffer Allocate(std::size_t bytes) { return Buffer(memory(), bytes); }
};

/// The devices of this process. Opened when first asked for; they live until the process ends.
class GEMMSMITH_API Devices {
 public:
  Devices();
  ~Devices();
  /// Throws kNotFound: no such device, and why (no driver, too few GPUs).
  Device& Get(DeviceId id);
  /// A CUDA GPU if there is one, else the CPU.
  Device& Best();
  /// All there are, the CPU first.
  std::vector<Device*> List();
  /// Why there is no CUDA device; empty if there is one.
  std::string CudaStatus();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace gemmsmith
