#include "runtime/cpu/cpu_device.h"

#include <chrono>
#include <cstdlib>
#include <cstring>

#include "artifact.h"
#include "runtime/cpu/cpu_info.h"
#include "runtime/cpu/cpu_kernel.h"

namespace gemmsmith {
namespace {

/// Every call runs to its end before it returns, so that a mark is the time at which it is made.
class CpuEvent final : public Event {
 public:
  void Record(Stream) override { time_ = std::chrono::steady_clock::now(); }
  double MillisecondsSince(const Event& start) const override {
    return std::chrono::duration<double, std::milli>(time_ - static_cast<const CpuEvent&>(start).time_).count();
  }

 private:
  std::chrono::steady_clock::time_point time_{};
};

MemoryPool::Source HostMemory() {
  constexpr std::size_t kAlignment = 256;
  return {"host",
          [](std::size_t bytes) {
            return std::aligned_alloc(kAlignment, (bytes + kAlignment - 1) / kAlignment * kAlignment);
          },
          [](void* pointer, std::size_t) { std::free(pointer); }};
}

class CpuDevice final : public Device {
 public:
  DeviceId id() const override { return {DeviceKind::kCpu, 0}; }
  const DeviceSpec& spec() const override { return CpuSpec(); }
  std::vector<CodeTarget> targets() const override { return CpuTargets(); }
  std::shared_ptr<const Kernel> Load(const Artifact& artifact) override { return LoadCpuKernel(artifact); }

  MemoryPool& memory() override { return memory_; }
  MemoryPool& pinned_memory() override { return memory_; }
  void Copy(void* to, const void* from, std::size_t bytes, Stream) override {
    if (bytes != 0) std::memmove(to, from, bytes);
  }
  void Fill(void* to, std::uint8_t byte, std::size_t bytes, Stream) override {
    if (bytes != 0) std::memset(to, byte, bytes);
  }

  Stream CreateStream() override { return {}; }
  void DestroyStream(Stream) override {}
  void Synchronize(Stream) override {}
  std::unique_ptr<Event> CreateEvent() override { return std::make_unique<CpuEvent>(); }

 private:
  MemoryPool memory_{HostMemory()};
};

}  // namespace

std::unique_ptr<Device> MakeCpuDevice() { return std::make_unique<CpuDevice>(); }

}  // namespace gemmsmith
