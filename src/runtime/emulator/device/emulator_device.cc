#include "runtime/emulator/device/emulator_device.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>

#include "gemmsmith/options.h"
#include "runtime/cuda/device_query.h"
#include "runtime/emulator/device/emulator_kernel.h"
#include "runtime/emulator/tensor_memory/tensor_map.h"
#include "util/log.h"

namespace gemmsmith::emulator {
namespace {

/// Every call runs to its end before it returns, so that a mark is the time at which it is made.
class EmulatorEvent final : public Event {
 public:
  void Record(Stream) override { time_ = std::chrono::steady_clock::now(); }
  double MillisecondsSince(const Event& start) const override {
    const auto* const begin = dynamic_cast<const EmulatorEvent*>(&start);
    if (begin == nullptr)
      throw Fail(Code::kInvalidArgument, "", "event: the start of a time must be an event of the same device");
    return std::chrono::duration<double, std::milli>(time_ - begin->time_).count();
  }

 private:
  std::chrono::steady_clock::time_point time_{};
};

MemoryPool::Source HostMemory(std::shared_ptr<DeviceState> state) {
  constexpr std::size_t kAlignment = 256;
  const auto allocate = [state](std::size_t bytes) {
    void* const pointer = std::aligned_alloc(kAlignment, (bytes + kAlignment - 1) / kAlignment * kAlignment);
    if (pointer != nullptr && state->options.check) state->allocations.AddPoisoned(pointer, bytes);
    if (pointer != nullptr && !state->options.check) state->allocations.Add(pointer, bytes);
    return pointer;
  };
  const auto free = [state](void* pointer, std::size_t) {
    state->allocations.Remove(pointer);
    std::free(pointer);
  };
  // To the byte, so that an access past the end is seen, and one after the end of its life.
  return {state->name, allocate, free, true};
}

/// The targets whose code the device runs: its own, then older ones of the same major version.
std::vector<CodeTarget> TargetsOf(const CodeTarget& target) {
  std::vector<CodeTarget> targets = cuda::CompatibleTargets(target.version / 10, target.version % 10);
  std::erase_if(targets, [&](const CodeTarget& t) {
    return t.version == target.version ? t.suffix != 0 && t.suffix != target.suffix : t.suffix != 0;
  });
  return targets;
}

DeviceSpec SpecOf(const CodeTarget& target) {
  DeviceSpec spec = DefaultDeviceSpec(target);
  spec.name = "emulated " + spec.name;
  spec.target = target;
  return spec;
}

std::uint8_t IndexOf(const CodeTarget& target) {
  const auto all = AllTargets();
  return static_cast<std::uint8_t>(std::find(all.begin(), all.end(), target) - all.begin());
}

class EmulatorDevice final : public Device, public Emulation {
 public:
  EmulatorDevice(const CodeTarget& target, const RunOptions& options)
      : id_{DeviceKind::kEmulator, IndexOf(target)},
        spec_(SpecOf(target)),
        state_(std::make_shared<DeviceState>()),
        memory_(Named(target, options)) {}

  DeviceId id() const override { return id_; }
  const DeviceSpec& spec() const override { return spec_; }
  std::vector<CodeTarget> targets() const override { return TargetsOf(spec_.target); }
  std::shared_ptr<const Kernel> Load(const Artifact& artifact) override {
    return std::make_shared<EmulatorKernel>(state_, artifact);
  }

  MemoryPool& memory() override { return memory_; }
  MemoryPool& pinned_memory() override { return memory_; }
  void Copy(void* to, const void* from, std::size_t bytes, Stream) override {
    if (bytes == 0) return;
    std::memmove(to, from, bytes);
    state_->allocations.NoteWrite(to, bytes);
  }
  void Fill(void* to, std::uint8_t byte, std::size_t bytes, Stream) override {
    if (bytes == 0) return;
    std::memset(to, byte, bytes);
    state_->allocations.NoteWrite(to, bytes);
  }

  /// Streams differ by their handles alone.
  Stream CreateStream() override { return {reinterpret_cast<void*>(++streams_)}; }
  void DestroyStream(Stream stream) override {
    if (stream.handle == nullptr)
      throw Fail(Code::kInvalidArgument, "", "{}: the default stream cannot be destroyed", state_->name);
  }
  void Synchronize(Stream) override {}
  std::unique_ptr<Event> CreateEvent() override { return std::make_unique<EmulatorEvent>(); }
  EncodedTensorMap EncodeTensorMap(const TensorMapShape& shape, void* address) const override {
    if (spec_.target.version < 90) return Device::EncodeTensorMap(shape, address);
    EncodedTensorMap map;
    TensorMap::Of(shape, address).Encode(map.bytes);
    return map;
  }
  void MoveTensorMap(EncodedTensorMap& map, void* address) const override {
    TensorMap moved = TensorMap::Decode(map.bytes);
    moved.address = reinterpret_cast<std::uint64_t>(address);
    moved.Encode(map.bytes);
  }

  Emulation* emulation() override { return this; }
  void SetSeed(std::uint64_t seed) override { state_->seed_shift = seed - state_->options.seed; }
  std::uint64_t seed() const override { return state_->options.seed + state_->seed_shift; }
  void EnableStatistics(bool on) override { state_->statistics.enabled = on; }
  std::vector<KernelStatistics> Statistics() const override { return state_->statistics.Kernels(); }
  void ClearStatistics() override { state_->statistics.Clear(); }

 private:
  MemoryPool::Source Named(const CodeTarget& target, const RunOptions& options) {
    state_->options = options;
    state_->name = ToString(id_);
    state_->target = target;
    state_->limits = LimitsOf(target);
    return HostMemory(state_);
  }

  const DeviceId id_;
  const DeviceSpec spec_;
  std::shared_ptr<DeviceState> state_;
  MemoryPool memory_;
  std::atomic<std::uintptr_t> streams_{0};
};

}  // namespace

std::unique_ptr<Device> MakeDevice(const CodeTarget& target) {
  RunOptions options;
  options.check = Environment::Get().emulator_checks;
  options.seed = Environment::Get().emulator_seed;
  return MakeDevice(target, options);
}

std::unique_ptr<Device> MakeDevice(const CodeTarget& target, const RunOptions& options) {
  if (target.isa != Isa::kCuda)
    throw Fail(Code::kUnsupported, "", "the emulator runs CUDA code, not that of {}", ToString(target));
  return std::make_unique<EmulatorDevice>(target, options);
}

}  // namespace gemmsmith::emulator
