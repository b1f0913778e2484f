#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "runtime/emulator/check/clocks.h"
#include "runtime/emulator/check/shared_shadow.h"
#include "runtime/emulator/machine/launch.h"
#include "runtime/emulator/machine/tensor_memory.h"

namespace gemmsmith::emulator {

/// Shadows of the tensor memory of a cluster's CTAs, and the agents that use it beside the warps: the loads of a warp,
/// its stores, and the tensor core as it works for a lane.
class TensorShadow {
 public:
  explicit TensorShadow(Clocks& clocks) : clocks_(clocks) {}

  void OnAllocated(const Cta& cta, int column, int columns);
  /// The agent for what the warp (agent `issuer`) is about to issue; it knows what the warp knows now.
  int AgentFor(Warp& warp, int issuer, TensorUser user, int lane);
  std::optional<Violation> OnUse(const Access& by, const TensorWords& words);
  /// The warp hears of the end of its loads or stores.
  void OnEnded(int warp, TensorUser user);
  /// What the tensor core will have done for the lane when `operation` signals it.
  void OnCommit(const AsyncOperation& operation, int warp, int lane);
  const Knowledge* FindCommitted(const AsyncOperation& operation) const;
  void OnEnd(const AsyncOperation& operation) { committed_.erase(&operation); }

  static TensorAddress Word(std::uint32_t address);  ///< Of a violation.

 private:
  using Key = std::tuple<int, TensorUser, int>;  // warp, user, lane
  struct Agent {
    int number = -1;
    const TensorMemory* queue = nullptr;  // of the tensor core
  };
  SharedShadow& ShadowOf(const Cta& cta);
  void HandOver(int from, int to);

  Clocks& clocks_;
  std::map<Key, Agent> agents_;
  std::unordered_map<const Cta*, std::unique_ptr<SharedShadow>> shadows_;
  std::unordered_map<const AsyncOperation*, Knowledge> committed_;
};

}  // namespace gemmsmith::emulator
