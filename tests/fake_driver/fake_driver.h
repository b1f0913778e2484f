#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "gemmsmith/kernel.h"
#include "runtime/cuda/driver_api.h"

/// A CUDA driver over host memory. libcuda.so.1 beside it exports the functions that gemmsmith uses; this is how a test
/// sets the machine up and asks what happened. Every call runs to its end at once, on the calling thread.
///
/// Code: "cubin sm_90 cuda=13000 name..." loads on GPUs of the same major version, from that minor version on, with a
/// driver of that major version or newer; "ptx sm_80 cuda=13000 name..." on every GPU from that one on, with a driver
/// at least as new.
namespace fake_driver {

struct Gpu {
  std::string name = "NVIDIA H200";
  int major = 9, minor = 0;
  std::size_t memory_bytes = 1u << 30;
  std::map<gemmsmith::cuda::CUdevice_attribute, int> attributes;  ///< Over those of an H200.
};

struct Kernel {
  std::vector<std::size_t> parameter_bytes;
  std::function<void(void** parameters)> run;
  int registers = 32, static_shared_bytes = 0, max_threads = 1024;
};

struct Launch {
  std::string kernel;
  int device = 0;
  gemmsmith::Dim3 grid, block, cluster;
  unsigned shared_bytes = 0;
  void* stream = nullptr;
  bool overlaps = false;
};

/// What is still open; all 0 after a clean end.
struct Live {
  int contexts = 0, modules = 0, streams = 0, events = 0, allocations = 0;
  friend bool operator==(const Live&, const Live&) = default;
};

/// A machine with these GPUs and a driver of this version, nothing loaded, allocated or recorded.
void Reset(std::vector<Gpu> gpus = {Gpu{}}, int driver_version = 13000);
void AddKernel(const std::string& name, Kernel kernel);
/// The next `times` calls of `function` (as exported: "cuMemAlloc_v2") return `result` and do nothing else.
void FailNext(const std::string& function, gemmsmith::cuda::CUresult result, int times = 1);
/// cuGetProcAddress_v2 does not know `name` ("cuLaunchKernelEx") any more.
void Hide(const std::string& name);
/// Whether all streams are recorded into a graph.
void SetCapturing(bool capturing);

int Calls(const std::string& function);
std::vector<Launch> Launches();
Live Alive();
/// The primary context of `device`, retained as another library of the process would.
gemmsmith::cuda::CUcontext Retain(int device);
/// What is current on this thread.
gemmsmith::cuda::CUcontext Current();
void SetCurrent(gemmsmith::cuda::CUcontext context);
/// Max dynamic shared memory that was set for `kernel`, bytes; -1 if it never was.
int MaxDynamicShared(const std::string& kernel);

}  // namespace fake_driver
