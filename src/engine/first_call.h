#pragma once

#include "gemmsmith/first_call.h"

namespace gemmsmith {

/// Through the handler; the default makes the plan at once.
void OnFirstCall(DeviceId device, const std::function<void(const CancellationToken&)>& make_plan);

}  // namespace gemmsmith
