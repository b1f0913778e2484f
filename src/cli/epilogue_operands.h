#pragma once

#include <cstdint>
#include <initializer_list>
#include <vector>

#include "cli/device_memory.h"
#include "gemmsmith/args.h"

namespace gemmsmith::cli {

/// Random tensors for all that a problem's epilogue reads, and room for the maxima that it makes. Scales are positive,
/// and those of a quantised D such that its type's range is used.
class EpilogueOperands {
 public:
  EpilogueOperands(Engine& engine, DeviceId device, const GemmProblem& problem, std::uint64_t seed);
  EpilogueOperands(const EpilogueOperands&) = delete;
  EpilogueOperands& operator=(const EpilogueOperands&) = delete;

  /// The tensors as the device and as the host see them.
  const EpilogueArgs& device() const { return device_args_; }
  const EpilogueArgs& host() const { return host_args_; }
  void PoisonMaxima() const;
  void FetchMaxima() const;

 private:
  using Extents = std::initializer_list<std::int64_t>;
  struct Made {
    DeviceMemory memory;
    Tensor host;
    bool is_output;

    std::size_t bytes() const { return static_cast<std::size_t>(host.size()) * SizeOf(host.dtype); }
    void ToDevice() const { memory.ToDevice(bytes()); }
  };

  /// `extents`: of one batch entry. Returns the host's tensor.
  Tensor Add(Tensor EpilogueArgs::*member, DType dtype, Extents extents, std::int64_t batch, bool is_output);
  void AddValues(Tensor EpilogueArgs::*member, DType dtype, Extents extents, std::int64_t batch = 1);
  /// Around `typical`.
  void AddScales(Tensor EpilogueArgs::*member, Extents extents, double typical);
  void AddInputs(const GemmProblem& problem);
  void AddScaleInputs(const GemmProblem& problem);
  void AddMaxima(const GemmProblem& problem);

  Engine& engine_;
  const DeviceId device_;
  std::uint64_t seed_;
  Epilogue epilogue_;
  EpilogueArgs device_args_, host_args_;
  std::vector<Made> made_;
};

}  // namespace gemmsmith::cli
