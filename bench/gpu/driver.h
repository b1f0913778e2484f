#pragma once

#include <functional>
#include <memory>

#include "gemmsmith/gemmsmith.h"

// What the bench wants of the driver beyond what the library uses: graphs, bare launches, clocks.
namespace gemmsmith::bench {

/// A captured sequence of launches.
class Graph {
 public:
  /// Captures what `launch` starts on `stream`. Throws std::runtime_error.
  Graph(Stream stream, const std::function<void()>& launch);
  ~Graph();
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;
  void Launch(Stream stream) const;

 private:
  void* executable_ = nullptr;
};

/// A function of a module that the driver loaded, launched by its own call and nothing else.
class BareKernel {
 public:
  /// Throws std::runtime_error.
  BareKernel(const std::string& cubin, const std::string& entry, std::uint32_t shared_bytes);
  ~BareKernel();
  BareKernel(const BareKernel&) = delete;
  BareKernel& operator=(const BareKernel&) = delete;
  void Launch(Dim3 grid, Dim3 block, Dim3 cluster, std::uint32_t shared_bytes, void* params, Stream stream) const;

 private:
  void *module_ = nullptr, *function_ = nullptr;
};

/// The clock of the first GPU's SMs in MHz, now; 0 where NVML does not say.
unsigned SmClock();

}  // namespace gemmsmith::bench
