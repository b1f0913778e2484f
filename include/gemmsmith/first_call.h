#pragma once

#include <functional>

#include "gemmsmith/export.h"
#include "gemmsmith/options.h"
#include "gemmsmith/tensor.h"

namespace gemmsmith {

/// Called where a call of Engine::Gemm must make its plan first, which may mean compiling; on the thread of that call,
/// before anything is launched. It must call make_plan once, on any thread, and return when that has ended; what it
/// throws ends the call. For programs that have to look for signals meanwhile: the token cancels the compile, and
/// make_plan then throws kCancelled. Engine::Prepare and what is planned already do not pass through here. An empty
/// function restores the default. Thread-safe.
using FirstCallHandler =
    std::function<void(DeviceId device, const std::function<void(const CancellationToken&)>& make_plan)>;
GEMMSMITH_API void SetFirstCallHandler(FirstCallHandler handler);

}  // namespace gemmsmith
