// What the checker says, what it looks at when a CTA ends, and global memory.
#include <algorithm>
#include <bit>
#include <cstring>

#include "runtime/emulator/check/checker.h"
#include "runtime/emulator/check/initialised_bytes.h"
#include "util/log.h"

namespace gemmsmith::emulator {
namespace {

const char* RemedyFor(ViolationKind kind) {
  switch (kind) {
    case ViolationKind::kUninitialisedRead:
      return "write it before, and synchronise";
    case ViolationKind::kReadBeforeCompletion:
      return "wait for the operation (cp.async.wait_group, its mbarrier, wgmma.wait_group), then synchronise with "
             "other "
             "warps";
    case ViolationKind::kOverwriteInFlight:
      return "wait for the operation before its memory is used again";
    case ViolationKind::kMissingProxyFence:
      return "execute fence.proxy.async after the write and before the barrier";
    default:
      return "put a barrier between the two";
  }
}

std::string Text(Dim3 d) { return fmt::format("({}, {}, {})", d.x, d.y, d.z); }

/// The first byte of global memory in the range that was not written. Who writes through a plain pointer of the host is
/// seen by the poison that is gone.
std::optional<std::uint64_t> FirstPoisoned(const Region& region, std::uint64_t address, std::uint64_t bytes) {
  InitialisedBytes& known = *region.initialised;
  constexpr std::size_t kUnit = sizeof kPoison;
  for (std::size_t at = address - region.begin, end = at + bytes;;) {
    const auto missing = known.FirstUninitialised(at, end - at);
    if (!missing) return std::nullopt;
    const std::size_t first = *missing / kUnit * kUnit, last = std::min(first + kUnit, known.bytes());
    const std::uint64_t unwritten = known.Uninitialised(first, last - first);
    if ((unwritten >> (*missing - first) & 1) == 0) continue;  // another CTA has written it since
    bool untouched = true;
    for (std::size_t b = first; b < last; ++b) {
      const auto poison = static_cast<std::uint8_t>(kPoison >> (8 * (b % kUnit)));
      const std::uint8_t value = *reinterpret_cast<const std::uint8_t*>(region.begin + b);
      untouched = untouched && ((unwritten >> (b - first) & 1) == 0 || value == poison);
    }
    if (untouched) return region.begin + *missing;
    known.Mark(first, last - first);
    if (last >= end) return std::nullopt;
    at = last;
  }
}

}  // namespace

std::string Checker::NameOf(int agent) const {
  const bool is_warp = clocks_.is_warp(agent);
  const int warp = is_warp ? agent : clocks_.IssuerOf(agent);
  const Dim3 id = cluster_.cta(static_cast<std::uint32_t>(warp / warps_))->id();
  return fmt::format("{}warp {} of CTA {}", is_warp ? "" : "issued by ", warp % warps_, Text(id));
}

std::string Checker::Describe(const Violation& violation) const {
  if (violation.other_agent < 0 || violation.other_what == 0) return "";
  const Function& function = code_.FunctionOf(violation.other_what);
  const Origin& origin = function.origins[code_.InstructionOf(violation.other_what).index];
  return fmt::format("; the other is `{}` (ptx line {}{}{}), {}", origin.text, origin.ptx_line,
                     origin.source.empty() ? "" : ", ", origin.source, NameOf(violation.other_agent));
}

void Checker::Report(Warp& warp, std::uint32_t what, int lane, std::uint32_t rank, const Violation& violation) {
  const Launch& launch = warp.cta().launch();
  throw Fail(
      Code::kDevice, RemedyFor(violation.kind), "{}: {}: {}: shared memory at {:#x}{}{}", launch.name,
      warp.Where(code_.FunctionOf(what), code_.InstructionOf(what), lane), ToString(violation.kind), violation.address,
      rank == warp.cta().rank() ? "" : fmt::format(" of CTA {}", Text(cluster_.cta(rank)->id())), Describe(violation));
}

/// What was never written, for lanes from `lane` on whose bytes follow each other.
void Checker::OnGlobalSpan(Warp& warp, const WarpAccess& access, std::uint32_t what, int lane, std::uint64_t begin,
                           std::uint64_t end, Region& region) {
  const Launch& launch = warp.cta().launch();
  if (!region.Holds(begin, end)) region = launch.memory.Find(begin);
  if (region.initialised == nullptr || !region.Holds(begin, end)) return;
  if (access.kind != AccessKind::kWrite) {
    if (const auto at = FirstPoisoned(region, begin, end - begin)) {
      const int culprit = lane + static_cast<int>((*at - begin) / std::max(1u, access.bytes));
      throw Fail(Code::kDevice, "write or fill it before",
                 "{}: {}: uninitialised read: global memory at {:#x}, {}: nobody has written it", launch.name,
                 warp.Where(code_.FunctionOf(what), *access.instruction, culprit), *at, launch.memory.Describe(*at));
    }
  }
  if (access.kind != AccessKind::kRead) region.initialised->Mark(begin - region.begin, end - begin);
}

void Checker::OnGlobal(Warp& warp, const WarpAccess& access) {
  const std::uint32_t what = code_.NumberOf(*access.instruction);
  const Ordering& ordering = code_.OrderingOf(what);
  const int agent =
      ordering.performer == Ordering::Performer::kWarp ? AgentOf(warp) : PerformerOf(warp, ordering, what);
  const bool for_grid = ordering.grid || (!ordering.strong && access.kind == AccessKind::kAtomic);  // copies that add
  const Atomicity atomicity = for_grid ? Atomicity::kGrid : ordering.strong ? Atomicity::kCluster : Atomicity::kNone;
  Region region = warp.region;
  for (std::uint32_t m = access.lanes; m != 0;) {
    int lane = std::countr_zero(m);
    const int first_lane = lane;
    const std::uint64_t begin = access.addresses[static_cast<std::size_t>(lane)];
    std::uint64_t end = begin;
    // Lanes whose bytes follow each other are one span.
    do {
      m &= m - 1;
      end += access.bytes;
      ++lane;
    } while (lane < kLanes && (m >> lane & 1) != 0 && access.addresses[static_cast<std::size_t>(lane)] == end);
    OnGlobalSpan(warp, access, what, first_lane, begin, end, region);
    // Constants are nobody's to race for.
    if (region.writable) log_.Add(agent, what, atomicity, access.kind, begin, end - begin, first_lane, access.bytes);
  }
  if (ordering.strong) Strong(warp, access, ordering);
}

/// Who uses the shared memory of another CTA must see to it that this one has not ended.
void Checker::CheckOwner(Warp& warp, const Instruction& i, std::uint32_t rank, int lane) const {
  const Cta& owner = *cluster_.cta(rank);
  if (rank == warp.cta().rank() || !owner.done()) return;
  throw Fail(Code::kDevice, "let the CTAs of the cluster meet at barrier.cluster before they end",
             "{}: {}: shared memory of CTA {}, which has ended", owner.launch().name, warp.Where(i, lane),
             Text(owner.id()));
}

void Checker::OnExit(Warp& warp) {
  if (!warp.cta().done()) return;
  CheckEnd(warp.cta());
  if (cluster_.size() > 1) CheckOthersEnded(warp);
}

/// At the end of a CTA: what others have done to its memory is over for all that its warps know, or might come after
/// the end another time.
void Checker::CheckOthersEnded(Warp& last) {
  Cta& cta = last.cta();
  Access end;
  end.agent = AgentOf(last);
  for (const Warp& warp : cta.warps())
    if (&warp != &last) HandOver(AgentOf(warp), end.agent);
  SharedShadow& shadow = shadows_[cta.rank()];
  const auto bytes = static_cast<std::uint32_t>(cta.window().size()) - kSharedBegin;
  if (const auto violation = shadow.OnWrite(end, kSharedBegin, bytes))
    ReportEnd(cta,
              fmt::format("shared memory at {:#x} may still be in use{}", violation->address, Describe(*violation)));
}

void Checker::ReportEnd(Cta& cta, const std::string& what) {
  throw Fail(Code::kDevice, "wait for it before the last warp exits", "{}: CTA {} ends while {}", cta.launch().name,
             Text(cta.id()), what);
}

/// Work that may still use the memory of a CTA that is gone, and barriers where something is still to come.
void Checker::CheckEnd(Cta& cta) {
  for (const Warp& warp : cta.warps()) {
    const WarpState& state = StateOf(warp);
    const auto name = [&](std::uint32_t what) {
      return warp.Where(code_.FunctionOf(what), code_.InstructionOf(what), -1);
    };
    if (const auto& bulk = state.copies[static_cast<std::size_t>(AsyncGroup::kBulk)]; !bulk.empty())
      ReportEnd(cta, fmt::format("{} was not awaited, which reads its shared memory", name(bulk.front().what)));
    const auto& copies = state.copies[static_cast<std::size_t>(AsyncGroup::kCopy)];
    const auto forgotten = std::find_if(copies.begin(), copies.end(), [](const Copies& c) { return !c.told; });
    if (forgotten != copies.end())
      ReportEnd(cta, fmt::format("{} was not awaited, which writes its shared memory", name(forgotten->what)));
    if (warp.cluster_arrived != 0)
      ReportEnd(cta, fmt::format("warp {} has arrived at the barrier of its cluster, and not waited", warp.index()));
    if (!state.tensor.empty()) ReportEnd(cta, fmt::format("{} was not awaited", name(state.tensor.front().what)));
  }
  if (const int columns = cta.tensor_memory().allocated(); columns != 0)
    ReportEnd(cta, fmt::format("{} columns of tensor memory are allocated: tcgen05.dealloc frees them", columns));
  for (int b = 0; b < Cta::kBarriers; ++b)
    if (const CtaBarrier& barrier = cta.barrier(b); barrier.arrived != 0)
      ReportEnd(cta, fmt::format("{} threads of {} have arrived at barrier {}, and nobody waits for them",
                                 barrier.arrived, barrier.expected, b));
  for (const Mbarriers::Barrier& b : cta.mbarriers().all())
    if (b.live && b.bytes != 0)
      ReportEnd(cta, fmt::format("the mbarrier at {:#x} has {} bytes {}", b.address, std::abs(b.bytes),
                                 b.bytes > 0 ? "to come" : "more than were expected"));
}

}  // namespace gemmsmith::emulator
