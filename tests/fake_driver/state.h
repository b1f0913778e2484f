#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "fake_driver.h"

// Handles of the driver's types are addresses of these.
namespace fake_driver {

struct Context {
  int device = 0;
  int retains = 0;
};
struct Function {
  std::string name;
  const Context* context = nullptr;
  Kernel kernel;
  int max_dynamic_shared = -1;
};
struct Module {
  const Context* context = nullptr;
  std::map<std::string, Function> functions;
};
struct Stream {
  const Context* context = nullptr;
};
struct Event {
  const Context* context = nullptr;
  int recorded_at = 0;  ///< Ticks; 0: never.
};
struct Allocation {
  std::unique_ptr<std::byte[]> bytes;
  std::size_t size = 0;
  int device = 0;  ///< -1: pinned host memory.
};

struct State {
  std::mutex mutex;
  std::vector<Gpu> gpus;
  int version = 0;
  int ticks = 0;
  bool initialised = false;
  bool capturing = false;                          ///< All streams.
  std::vector<std::unique_ptr<Context>> contexts;  ///< By device.
  std::map<std::string, Kernel> kernels;
  std::map<std::string, int> calls;
  std::map<std::string, std::pair<gemmsmith::cuda::CUresult, int>> failures;
  std::set<std::string> hidden;
  std::map<void*, std::unique_ptr<Module>> modules;
  std::map<void*, std::unique_ptr<Stream>> streams;
  std::map<void*, std::unique_ptr<Event>> events;
  std::map<std::uintptr_t, Allocation> allocations;  ///< By address.
  std::map<std::string, int> max_dynamic_shared;
  std::vector<Launch> launches;
};
State& TheState();
/// Of the calling thread.
Context*& CurrentContext();

}  // namespace fake_driver
