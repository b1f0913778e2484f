#pragma once

#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/emulator/isa/decoder.h"
#include "runtime/emulator/isa/shared_place.h"
#include "runtime/emulator/machine/async_work.h"
#include "runtime/emulator/tensor_memory/reduce.h"

namespace gemmsmith::emulator {

/// How a bulk copy tells its end: by bytes on a barrier beside each destination, or as part of a group.
struct Completion {
  std::vector<SharedPlace> barriers;
  std::uint32_t bytes = 0;

  void Tell(const AsyncOperation& operation) const {
    Observer* const observer = operation.warp().observer();
    for (const SharedPlace& barrier : barriers) {
      if (observer != nullptr) observer->OnSignal(operation, MeetingAt(barrier));
      barrier.cta->mbarriers().CompleteTx(barrier.address, bytes);
    }
    ++operation.warp().cta().cluster().changes;
  }
};

/// The CTAs that .multicast::cluster names, or the one of `place`.
inline std::vector<Cta*> Destinations(Warp& warp, const Instruction& i, int lane, const SharedPlace& place,
                                      const Operand* mask) {
  if (mask == nullptr) return {place.cta};
  std::uint64_t masks[kLanes];
  warp.GetBits(*mask, masks);
  std::vector<Cta*> ctas;
  Cluster& cluster = warp.cta().cluster();
  for (std::uint32_t rank = 0; rank < 16; ++rank) {
    if ((masks[lane] >> rank & 1) == 0) continue;
    if (cluster.cta(rank) == nullptr)
      throw warp.Fault(
          i, lane, fmt::format("its mask {:#x} names CTA {} of a cluster of {}", masks[lane], rank, cluster.size()));
    ctas.push_back(cluster.cta(rank));
  }
  if (ctas.empty()) throw warp.Fault(i, lane, "its mask of CTAs is empty");
  return ctas;
}

/// ".add", ".inc" among the modifiers.
inline Reduction ReductionOf(const Form& form) {
  constexpr std::pair<std::string_view, Reduction> kNames[] = {
      {"add", Reduction::kAdd}, {"min", Reduction::kMin}, {"max", Reduction::kMax}, {"inc", Reduction::kInc},
      {"dec", Reduction::kDec}, {"and", Reduction::kAnd}, {"or", Reduction::kOr},   {"xor", Reduction::kXor}};
  for (const auto& [name, reduction] : kNames)
    if (form.Has(name)) return reduction;
  return Reduction::kAdd;
}

}  // namespace gemmsmith::emulator
