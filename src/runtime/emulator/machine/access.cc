#include "runtime/emulator/machine/access.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "runtime/emulator/machine/cta.h"
#include "util/log.h"

namespace gemmsmith::emulator {
namespace {

constexpr std::uint64_t kWindowMask = std::uint64_t{0xff} << kWindowShift;

std::string_view Verb(AccessKind kind) {
  return kind == AccessKind::kRead ? "reads" : kind == AccessKind::kWrite ? "writes" : "updates";
}

/// One access, with all that its parts need.
struct Request {
  Warp& warp;
  const Instruction& instruction;
  AccessKind kind;
  std::uint32_t bytes, alignment, lanes;

  Error Misaligned(int lane, std::uint64_t address) const {
    return warp.Fault(instruction, lane,
                      fmt::format("{} {} bytes at {:#x}, which is not a multiple of {}", Verb(kind), bytes,
                                  address & ~kWindowMask, alignment));
  }
  Error Outside(int lane, std::string_view space, std::uint64_t address, std::uint64_t begin, std::uint64_t end) const {
    return warp.Fault(instruction, lane,
                      fmt::format("{} {} bytes at {:#x}, outside of {} memory ({:#x} to {:#x})", Verb(kind), bytes,
                                  address & ~kWindowMask, space, begin, end));
  }
};

std::byte* SharedAt(const Request& r, int lane, std::uint64_t address) {
  const Launch& launch = r.warp.cta().launch();
  address &= 0xffffffff;
  const auto rank = static_cast<std::uint32_t>(address >> kClusterRankShift);
  const std::uint64_t at = address & ((std::uint64_t{1} << kClusterRankShift) - 1);
  const std::uint64_t end = kSharedBegin + launch.shared_bytes();
  if (at < kSharedBegin || at + r.bytes > end) throw r.Outside(lane, "shared", address, kSharedBegin, end);
  Cta* const owner = rank == 0 ? &r.warp.cta() : r.warp.cta().cluster().cta(rank - 1);
  if (owner == nullptr)
    throw r.warp.Fault(
        r.instruction, lane,
        fmt::format("{} shared memory of CTA {}, which its cluster does not have", Verb(r.kind), rank - 1));
  return owner->shared() + (at - kSharedBegin);
}

std::byte* LocalAt(const Request& r, int lane, std::uint64_t address) {
  const std::uint64_t at = address & ~kWindowMask;
  if (at + r.bytes > r.warp.local_bytes() || at > r.warp.local_bytes())
    throw r.Outside(lane, "local", address, 0, r.warp.local_bytes());
  return r.warp.local(lane) + at;
}

std::byte* GlobalAt(const Request& r, int lane, std::uint64_t address) {
  const Launch& launch = r.warp.cta().launch();
  if (!r.warp.region.Holds(address, address + r.bytes)) {
    const Region found = launch.memory.Find(address);
    if (!found.Holds(address, address + r.bytes))
      throw r.warp.Fault(r.instruction, lane,
                         fmt::format("{} {} bytes of global memory at {:#x}: {}", Verb(r.kind), r.bytes, address,
                                     launch.memory.Describe(address)));
    r.warp.region = found;
  }
  if (r.kind != AccessKind::kRead && !r.warp.region.writable)
    throw r.warp.Fault(r.instruction, lane, fmt::format("writes constant memory at {:#x}", address));
  return reinterpret_cast<std::byte*>(address);
}

std::byte* At(const Request& r, int lane, std::uint64_t address) {
  switch (address >> kWindowShift) {
    case 0:
      return GlobalAt(r, lane, address);
    case kSharedWindow >> kWindowShift:
      return SharedAt(r, lane, address);
    case kLocalWindow >> kWindowShift:
      return LocalAt(r, lane, address);
    default:
      throw r.warp.Fault(r.instruction, lane, fmt::format("{} at {:#x}, which is no memory", Verb(r.kind), address));
  }
}

/// All lanes within the region that was used last: by far most accesses. Whether one lies outside is gathered in the
/// sign bit, so that the loop becomes vector code.
bool ResolveAtOnce(const Request& r, const std::uint64_t (&addresses)[kLanes], std::byte* (&out)[kLanes]) {
  const Region& region = r.warp.region;
  const std::uint64_t size = region.end - region.begin;
  if (size < r.bytes || (r.kind != AccessKind::kRead && !region.writable)) return false;
  const std::uint64_t room = size - r.bytes;
  std::uint64_t signs = 0;
  for (int l = 0; l < kLanes; ++l) {
    const std::uint64_t at = addresses[l] - region.begin;
    signs |= at | (room - at);
    out[l] = reinterpret_cast<std::byte*>(addresses[l]);
  }
  return signs >> 63 == 0;
}

bool SharedAtOnce(const Request& r, const std::uint64_t (&addresses)[kLanes], std::byte* (&out)[kLanes]) {
  const std::uint64_t size = r.warp.cta().launch().shared_bytes();
  if (size < r.bytes) return false;
  const std::uint64_t room = size - r.bytes;
  std::byte* const shared = r.warp.cta().shared();
  std::uint64_t signs = 0;
  for (int l = 0; l < kLanes; ++l) {
    const std::uint64_t at = (addresses[l] & 0xffffffff) - kSharedBegin;
    signs |= at | (room - at);
    out[l] = shared + at;
  }
  return signs >> 63 == 0;
}

/// Lanes that do not take part may hold anything: they get the address of one that does.
void FillInactive(std::uint32_t mask, std::uint64_t (&addresses)[kLanes]) {
  const std::uint64_t first = addresses[std::countr_zero(mask)];
  for (int l = 0; l < kLanes; ++l) addresses[l] = (mask >> l & 1) != 0 ? addresses[l] : first;
}

/// Looks the region up for the first lane where the one used last will not do: kernels go from one array to the next.
bool GlobalAtOnce(const Request& r, const std::uint64_t (&addresses)[kLanes], std::byte* (&out)[kLanes]) {
  if (ResolveAtOnce(r, addresses, out)) return true;
  const Launch& launch = r.warp.cta().launch();
  const std::uint64_t first = addresses[std::countr_zero(r.lanes)];
  r.warp.region = launch.memory.Find(first);
  return ResolveAtOnce(r, addresses, out);
}

void CheckAlignment(const Request& r, const std::uint64_t (&addresses)[kLanes]) {
  std::uint64_t bits = 0;
  for (const std::uint64_t address : addresses) bits |= address;
  if ((bits & (r.alignment - 1)) == 0) return;
  for (std::uint32_t m = r.lanes; m != 0; m &= m - 1) {
    const int lane = std::countr_zero(m);
    if ((addresses[lane] & (r.alignment - 1)) != 0) throw r.Misaligned(lane, addresses[lane]);
  }
}

std::uint64_t WindowBits(Window window) {
  if (window == Window::kShared || window == Window::kSharedCluster) return kSharedWindow;
  return window == Window::kLocal ? kLocalWindow : 0;
}

void Tell(const Request& r, const std::uint64_t (&addresses)[kLanes], Window window) {
  Observer* const observer = r.warp.observer();
  if (observer == nullptr) return;
  WarpAccess access;
  access.instruction = &r.instruction;
  access.kind = r.kind;
  access.lanes = r.lanes;
  access.bytes = r.bytes;
  for (int l = 0; l < kLanes; ++l) access.addresses[static_cast<std::size_t>(l)] = addresses[l] | WindowBits(window);
  observer->OnAccess(r.warp, access);
}

}  // namespace

void Resolve(Warp& warp, const Instruction& instruction, const Operand& address, Window window, AccessKind kind,
             std::uint32_t bytes, std::uint32_t alignment, std::byte* (&out)[kLanes]) {
  std::uint64_t addresses[kLanes];
  warp.GetAddresses(address, addresses);
  ResolveAt(warp, instruction, addresses, window, kind, bytes, alignment, warp.mask(), out);
}

void ResolveAt(Warp& warp, const Instruction& instruction, std::uint64_t (&addresses)[kLanes], Window window,
               AccessKind kind, std::uint32_t bytes, std::uint32_t alignment, std::uint32_t lanes,
               std::byte* (&out)[kLanes]) {
  const Request r{warp, instruction, kind, bytes, alignment, lanes};
  if ((instruction.flags & kPolls) != 0) [[unlikely]]
    warp.last_poll.address = addresses[std::countr_zero(lanes) % kLanes] | WindowBits(window);
  if (lanes != kAllLanes) FillInactive(lanes, addresses);
  CheckAlignment(r, addresses);
  const bool shared = window == Window::kShared || window == Window::kSharedCluster;
  const bool done =
      shared ? SharedAtOnce(r, addresses, out) : window != Window::kLocal && GlobalAtOnce(r, addresses, out);
  for (std::uint32_t m = done ? 0 : lanes; m != 0; m &= m - 1) {
    const int lane = std::countr_zero(m);
    const std::uint64_t at = addresses[lane];
    out[lane] = shared                       ? SharedAt(r, lane, at)
                : window == Window::kLocal   ? LocalAt(r, lane, at)
                : window == Window::kGeneric ? At(r, lane, at)
                                             : GlobalAt(r, lane, at);
  }
  Tell(r, addresses, window);
}

std::byte* ResolveGeneric(Warp& warp, const Instruction& instruction, int lane, std::uint64_t address, AccessKind kind,
                          std::uint32_t bytes) {
  return At({warp, instruction, kind, bytes, 1, 0}, lane, address);
}

void TellAccess(Warp& warp, const Instruction& instruction, int lane, std::uint64_t address, AccessKind kind,
                std::uint32_t bytes) {
  Observer* const observer = warp.observer();
  if (observer == nullptr) return;
  WarpAccess access;
  access.instruction = &instruction;
  access.kind = kind;
  access.lanes = 1u << lane;
  access.bytes = bytes;
  access.addresses[static_cast<std::size_t>(lane)] = address;
  observer->OnAccess(warp, access);
}

void NoteStore(Warp& warp, const std::byte* to, const void* from, std::size_t bytes) {
  Cluster& cluster = warp.cta().cluster();
  if (cluster.watched && std::memcmp(to, from, bytes) != 0) ++cluster.changes;
}

}  // namespace gemmsmith::emulator
