#pragma once

#include <cstddef>
#include <vector>

#include "gemmsmith/args.h"
#include "gemmsmith/device.h"

namespace gemmsmith {

/// What a call reads, and D as it is before it, in host memory: to know afterwards whether D is right, and to put it
/// back if it is not.
class CallOnHost {
 public:
  /// Waits for the stream. B must not be packed.
  CallOnHost(const GemmArgs& args, DType acc_type, Device& device, Stream stream);

  /// Fetches D and the maxima after the call.
  void FetchOutputs(const GemmArgs& args);
  /// D as it was.
  void RestoreD(const GemmArgs& args);

  const GemmArgs& args() const { return host_; }
  const Tensor& c_before() const { return c_before_; }

 private:
  Tensor Fetch(const Tensor& tensor, bool may_change = false);
  void FetchInto(const Tensor& from, Tensor& to);
  Scalar Fetch(const Scalar& scalar, DType type);
  void FetchEpilogue(const EpilogueArgs& from);

  Device& device_;
  const Stream stream_;
  std::vector<std::vector<std::byte>> memory_;
  GemmArgs host_;
  EpilogueArgs epilogue_;
  ScaleArgs scales_;
  GroupArgs groups_;
  Tensor d_before_, c_before_;
};

}  // namespace gemmsmith
