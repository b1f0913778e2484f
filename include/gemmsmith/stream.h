#pragma once

#include "gemmsmith/tensor.h"

namespace gemmsmith {

/// A queue of work on one device: CUDA's own stream handle; the CPU runs every call to its end, in order.
/// A value that owns nothing. The default is the default stream of whichever device is used.
struct Stream {
  void* handle = nullptr;  ///< CUstream (cudaStream_t is the same) on CUDA.
};

}  // namespace gemmsmith
