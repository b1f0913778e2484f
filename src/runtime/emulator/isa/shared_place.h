#pragma once

#include "runtime/emulator/machine/access.h"
#include "runtime/emulator/machine/cta.h"
#include "util/log.h"

namespace gemmsmith::emulator {

/// An address of shared memory, and whose it is.
struct SharedPlace {
  Cta* cta = nullptr;
  std::uint32_t address = 0;
};

inline constexpr std::uint32_t kWithinCta = (1u << kClusterRankShift) - 1;

/// The CTA that a lane's address names in the space of `window`; generic addresses must be of shared memory.
inline SharedPlace PlaceOf(Warp& warp, const Instruction& i, int lane, std::uint64_t address, Window window) {
  if (window == Window::kGeneric && address >> kWindowShift != kSharedWindow >> kWindowShift)
    throw warp.Fault(i, lane, fmt::format("{:#x} is no address of shared memory", address));
  const auto within = static_cast<std::uint32_t>(address);
  const std::uint32_t rank = within >> kClusterRankShift;
  Cta* const cta = rank == 0 ? &warp.cta() : warp.cta().cluster().cta(rank - 1);
  if (cta == nullptr)
    throw warp.Fault(i, lane, fmt::format("shared memory of CTA {}, which its cluster does not have", rank - 1));
  if (window == Window::kShared && cta != &warp.cta())
    throw warp.Fault(i, lane,
                     fmt::format("{:#x} is shared memory of CTA {}; this takes that of its own CTA", within, rank - 1));
  return {cta, within & kWithinCta};
}

inline Meeting MeetingAt(const SharedPlace& place) {
  return {Meeting::Kind::kMbarrier, place.cta->rank(), place.address, place.cta->mbarriers().PhaseOf(place.address)};
}

/// f(), whose errors become the lane's, unless they are already.
template <class F>
auto Guarded(Warp& warp, const Instruction& i, int lane, F f) {
  try {
    return f();
  } catch (const Error& error) {
    if (std::string_view(error.what()).starts_with(warp.cta().launch().name)) throw;
    throw warp.Fault(i, lane, error.what());
  }
}

}  // namespace gemmsmith::emulator
