#pragma once

#include "gemmsmith/tensor.h"

namespace gemmsmith {

/// A queue of work on one device: CUDA's own stream handle; the CPU runs every call to its end, in order.
/// A value that owns nothing. The default is the default stream of whichever device is used.
struct Stream {
  void* handle = nullptr;  ///< CUstream (cudaStream_t is the same) on CUDA.
  /// Of this call's launches: each may start while the one before it on the stream ends, where its kernel waits by
  /// itself for what that leaves (programmatic dependent launch; sm_90 and newer). The library's kernels that do not
  /// wait start as ever; a kernel of your own must execute griddepcontrol.wait before it touches what others made.
  bool overlap = false;
};

}  // namespace gemmsmith
