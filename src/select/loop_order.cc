#include "select/loop_order.h"

namespace gemmsmith {

std::span<const LoopOrder> AllLoopOrders() {
  static constexpr LoopOrder kOrders[] = {LoopOrder("mnk"), LoopOrder("nkm"), LoopOrder("mkn"),
                                          LoopOrder("nmk"), LoopOrder("kmn"), LoopOrder("knm")};
  return kOrders;
}

}  // namespace gemmsmith
