#include "engine/first_call.h"

#include <mutex>
#include <utility>

namespace gemmsmith {
namespace {

struct HandlerSlot {
  std::mutex mutex;
  FirstCallHandler handler;
};
HandlerSlot& Slot() {
  static auto* const slot = new HandlerSlot;  // never destroyed: threads may compute while the process ends
  return *slot;
}

}  // namespace

void SetFirstCallHandler(FirstCallHandler handler) {
  const std::scoped_lock lock(Slot().mutex);
  Slot().handler = std::move(handler);
}

void OnFirstCall(DeviceId device, const std::function<void(const CancellationToken&)>& make_plan) {
  FirstCallHandler handler;
  {
    const std::scoped_lock lock(Slot().mutex);
    handler = Slot().handler;
  }
  handler ? handler(device, make_plan) : make_plan({});
}

}  // namespace gemmsmith
