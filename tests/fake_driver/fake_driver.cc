#include "fake_driver.h"

#include "state.h"

namespace fake_driver {

using gemmsmith::cuda::CUcontext;
using gemmsmith::cuda::CUresult;

State& TheState() {
  static State state;
  return state;
}

Context*& CurrentContext() {
  thread_local Context* current = nullptr;
  return current;
}

void Reset(std::vector<Gpu> gpus, int driver_version) {
  State& s = TheState();
  const std::scoped_lock lock(s.mutex);
  CurrentContext() = nullptr;
  s.gpus = std::move(gpus);
  s.version = driver_version;
  s.ticks = 0;
  s.initialised = s.capturing = false;
  s.contexts.clear();
  for (std::size_t i = 0; i < s.gpus.size(); ++i)
    s.contexts.push_back(std::make_unique<Context>(Context{static_cast<int>(i), 0}));
  s.kernels.clear();
  s.calls.clear();
  s.failures.clear();
  s.hidden.clear();
  s.modules.clear();
  s.streams.clear();
  s.events.clear();
  s.allocations.clear();
  s.max_dynamic_shared.clear();
  s.launches.clear();
}

void AddKernel(const std::string& name, Kernel kernel) {
  const std::scoped_lock lock(TheState().mutex);
  TheState().kernels[name] = std::move(kernel);
}

void FailNext(const std::string& function, CUresult result, int times) {
  const std::scoped_lock lock(TheState().mutex);
  TheState().failures[function] = {result, times};
}

void Hide(const std::string& name) {
  const std::scoped_lock lock(TheState().mutex);
  TheState().hidden.insert(name);
}

void SetCapturing(bool capturing) {
  const std::scoped_lock lock(TheState().mutex);
  TheState().capturing = capturing;
}

int Calls(const std::string& function) {
  const std::scoped_lock lock(TheState().mutex);
  const auto found = TheState().calls.find(function);
  return found == TheState().calls.end() ? 0 : found->second;
}

std::vector<Launch> Launches() {
  const std::scoped_lock lock(TheState().mutex);
  return TheState().launches;
}

Live Alive() {
  State& s = TheState();
  const std::scoped_lock lock(s.mutex);
  Live live;
  for (const auto& context : s.contexts) live.contexts += context->retains > 0 ? 1 : 0;
  live.modules = static_cast<int>(s.modules.size());
  live.streams = static_cast<int>(s.streams.size());
  live.events = static_cast<int>(s.events.size());
  live.allocations = static_cast<int>(s.allocations.size());
  return live;
}

CUcontext Retain(int device) {
  const std::scoped_lock lock(TheState().mutex);
  Context& context = *TheState().contexts.at(device);
  ++context.retains;
  return reinterpret_cast<CUcontext>(&context);
}

CUcontext Current() { return reinterpret_cast<CUcontext>(CurrentContext()); }
void SetCurrent(CUcontext context) { CurrentContext() = reinterpret_cast<Context*>(context); }

int MaxDynamicShared(const std::string& kernel) {
  const std::scoped_lock lock(TheState().mutex);
  const auto found = TheState().max_dynamic_shared.find(kernel);
  return found == TheState().max_dynamic_shared.end() ? -1 : found->second;
}

}  // namespace fake_driver
