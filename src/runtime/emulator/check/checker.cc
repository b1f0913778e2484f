#include "runtime/emulator/check/checker.h"

#include <algorithm>
#include <bit>

#include "runtime/emulator/machine/cta.h"
#include "util/log.h"

namespace gemmsmith::emulator {
namespace {

// Addresses that strong accesses use are few: flags and counters. Where they are many they become one.
constexpr std::size_t kManyPublished = 4096;
// Copies that an mbarrier was told of and nobody awaits as groups.
constexpr std::size_t kManyCopies = 64;
constexpr std::uint32_t kWithin = (1u << kClusterRankShift) - 1;

bool IsShared(std::uint64_t address) { return address >> kWindowShift == kSharedWindow >> kWindowShift; }
std::size_t Index(AsyncGroup group) { return static_cast<std::size_t>(group); }

}  // namespace

std::unique_ptr<Observer> Checkers::Observe(Cluster& cluster) {
  return std::make_unique<Checker>(code_, cluster, races_);
}

Checker::Checker(const CodeIndex& code, Cluster& cluster, GlobalRaces& races)
    : code_(code),
      cluster_(cluster),
      warps_(static_cast<int>(cluster.cta(0)->warps().size())),
      clocks_(static_cast<int>(cluster.size()) * warps_),
      races_(races),
      log_(races.Open(cluster.cta(0)->launch(), cluster, clocks_)),
      states_(cluster.size() * cluster.cta(0)->warps().size()) {
  for (std::uint32_t rank = 0; rank < cluster.size(); ++rank)
    shadows_.emplace_back(cluster.cta(rank)->window().size(), clocks_);
}

// Accesses.

void Checker::OnAccess(Warp& warp, const WarpAccess& access) {
  std::uint32_t shared = 0, global = 0;
  for (std::uint32_t m = access.lanes; m != 0; m &= m - 1) {
    const auto lane = static_cast<std::size_t>(std::countr_zero(m));
    const std::uint64_t window = access.addresses[lane] >> kWindowShift;
    shared |= static_cast<std::uint32_t>(window == kSharedWindow >> kWindowShift) << lane;
    global |= static_cast<std::uint32_t>(window == 0) << lane;
  }
  if (shared == access.lanes) return OnShared(warp, access);
  WarpAccess part = access;
  if (part.lanes = global; global != 0) OnGlobal(warp, part);
  if (part.lanes = shared; shared != 0) OnShared(warp, part);
}

std::optional<Violation> Checker::Apply(SharedShadow& shadow, const Access& by, const WarpAccess& access,
                                        std::uint32_t lanes, const std::uint32_t* addresses) {
  if (access.kind == AccessKind::kRead) return shadow.OnRead(by, addresses, lanes, access.bytes);
  if (access.kind == AccessKind::kWrite) return shadow.OnWrite(by, addresses, lanes, access.bytes);
  for (std::uint32_t m = lanes; m != 0; m &= m - 1)
    if (const auto violation = shadow.OnReadModifyWrite(by, addresses[std::countr_zero(m)], access.bytes))
      return violation;
  return std::nullopt;
}

void Checker::OnShared(Warp& warp, const WarpAccess& access) {
  const std::uint32_t what = code_.NumberOf(*access.instruction);
  const Ordering& ordering = code_.OrderingOf(what);
  const bool plain = ordering.performer == Ordering::Performer::kWarp;
  const bool async = !plain && ordering.performer != Ordering::Performer::kLaneCopy;
  Access by;
  by.agent = plain ? AgentOf(warp) : PerformerOf(warp, ordering, what);
  by.what = what;
  by.proxy = async ? Proxy::kAsync : Proxy::kGeneric;
  by.atomic = ordering.strong;
  const std::uint32_t own = warp.cta().rank();
  std::uint32_t addresses[kLanes];
  for (std::uint32_t left = access.lanes; left != 0;) {
    // The lanes that mean the same CTA.
    const auto rank_of = [&](int lane) {
      const auto named =
          static_cast<std::uint32_t>(access.addresses[static_cast<std::size_t>(lane)]) >> kClusterRankShift;
      return named == 0 ? own : named - 1;
    };
    const std::uint32_t rank = rank_of(std::countr_zero(left));
    std::uint32_t lanes = 0;
    for (std::uint32_t m = left; m != 0; m &= m - 1) {
      const int lane = std::countr_zero(m);
      if (rank_of(lane) != rank) continue;
      lanes |= 1u << lane;
      addresses[lane] = static_cast<std::uint32_t>(access.addresses[static_cast<std::size_t>(lane)]) & kWithin;
    }
    left &= ~lanes;
    CheckOwner(warp, *access.instruction, rank, std::countr_zero(lanes));
    if (const auto violation = Apply(shadows_[rank], by, access, lanes, addresses)) {
      int lane = std::countr_zero(lanes);
      for (std::uint32_t m = lanes; m != 0; m &= m - 1)
        if (const int l = std::countr_zero(m); violation->address - addresses[l] < access.bytes) {
          lane = l;
          break;
        }
      Report(warp, what, lane, rank, *violation);
    }
  }
  if (ordering.strong) Strong(warp, access, ordering);
}

/// Whether other clusters see it as an access that orders others.
bool Checker::IsForGrid(std::uint64_t address, const Ordering& ordering) const {
  return ordering.grid && !IsShared(address);
}

/// A load, or an atomic's reading.
void Checker::Notice(int agent, WarpState& state, std::uint64_t address, const Ordering& ordering, AccessKind kind) {
  const Knowledge& published = published_[address];
  if (ordering.acquires)
    clocks_.Acquire(agent, published);
  else
    state.noticed.Join(published);
  if (!IsForGrid(address, ordering)) return;
  const Knowledge told = races_.Published(address, static_cast<std::uint32_t>(cluster_.index()));
  if (told.foreign == nullptr) return;
  if (ordering.acquires) return clocks_.Acquire(agent, told);
  state.grid_noticed.Join(told);
  if (kind == AccessKind::kAtomic) state.counted.Join(told);
}

/// What goes from warp to warp by flags and counters: a release, or a fence and then a store, gives it to the address;
/// an acquire, or a load and then a fence, takes it from there.
void Checker::Strong(Warp& warp, const WarpAccess& access, const Ordering& ordering) {
  const int agent = AgentOf(warp);
  WarpState& state = StateOf(warp);
  std::uint64_t last = 0;
  for (std::uint32_t m = access.lanes; m != 0; m &= m - 1) {
    std::uint64_t address = access.addresses[static_cast<std::size_t>(std::countr_zero(m))];
    if (IsShared(address) && (address >> kClusterRankShift & 0xff) == 0)
      address |= std::uint64_t{warp.cta().rank() + 1} << kClusterRankShift;
    if (address == last) continue;
    last = address;
    if (published_.size() > kManyPublished) address = 0;
    if (access.kind != AccessKind::kWrite && ordering.reads) Notice(agent, state, address, ordering, access.kind);
    if (access.kind == AccessKind::kRead) continue;
    Knowledge released;
    if (ordering.releases) clocks_.Release(agent, released);
    published_[address].Join(ordering.releases ? released : state.fenced);
    if (IsForGrid(address, ordering))
      races_.Publish(address, static_cast<std::uint32_t>(cluster_.index()),
                     ordering.releases ? released : state.grid_fenced);
  }
}

void Checker::OnFence(Warp& warp, const Instruction& i) {
  const int agent = AgentOf(warp);
  const Ordering& ordering = code_.OrderingOf(code_.NumberOf(i));
  if (ordering.proxy_fence) clocks_.FenceProxyAsync(agent);
  if (!ordering.memory_fence) return;
  WarpState& state = StateOf(warp);
  clocks_.Acquire(agent, state.noticed);
  clocks_.Release(agent, state.fenced);
  if (!code_.OrderingOf(code_.NumberOf(i)).grid) return;
  clocks_.Acquire(agent, state.grid_noticed);
  clocks_.Release(agent, state.grid_fenced);
}

// Barriers.

Checker::Told& Checker::ToldAt(const Meeting& meeting) {
  const std::uint64_t key =
      static_cast<std::uint64_t>(meeting.kind) << 62 | std::uint64_t{meeting.rank} << 32 | meeting.place;
  Told& told = told_[key];
  if (told.phase != meeting.phase) {
    told.ended.Join(told.running);
    told.running.Clear();
    told.fenced_ended.Join(told.fenced_running);
    told.fenced_running.Clear();
    told.phase = meeting.phase;
  }
  return told;
}

/// An mbarrier lies in shared memory: who uses it must know that it was made, and who makes it anew or ends it must
/// know of all uses.
void Checker::OnMeetingMemory(Warp& warp, const Instruction& i, const Meeting& meeting, bool makes) {
  constexpr std::uint32_t kBytes = 8;
  if (meeting.kind != Meeting::Kind::kMbarrier) return;
  if (meeting.place < kSharedBegin || meeting.place + kBytes > cluster_.cta(0)->window().size()) return;
  CheckOwner(warp, i, meeting.rank, std::countr_zero(warp.mask()));
  Access by;
  by.agent = AgentOf(warp);
  by.what = code_.NumberOf(i);
  SharedShadow& shadow = shadows_[meeting.rank];
  const auto violation = makes ? shadow.OnWrite(by, meeting.place, kBytes) : shadow.OnRead(by, meeting.place, kBytes);
  if (violation && violation->kind != ViolationKind::kUninitialisedRead)
    Report(warp, by.what, std::countr_zero(warp.mask()), meeting.rank, *violation);
}

void Checker::OnMbarrier(Warp& warp, const Instruction& i, const Meeting& meeting) {
  OnMeetingMemory(warp, i, meeting, true);
}

void Checker::OnArrive(Warp& warp, const Instruction& i, const Meeting& meeting, bool releases) {
  OnMeetingMemory(warp, i, meeting, false);
  WarpState& state = StateOf(warp);
  // The CUDA programming guide's last block, which knows by a counter that all others are through, has no more than
  // this before it reads what they wrote.
  if (meeting.kind == Meeting::Kind::kCtaBarrier && state.counted.foreign != nullptr) {
    clocks_.Acquire(AgentOf(warp), state.counted);
    state.counted.Clear();
  }
  Told& told = ToldAt(meeting);
  told.fenced_running.Join(state.grid_fenced);
  if (releases)
    clocks_.Release(AgentOf(warp), told.running);
  else
    told.running.Join(state.fenced);
}

void Checker::OnWaited(Warp& warp, const Instruction& i, const Meeting& meeting) {
  WarpState& state = StateOf(warp);
  // Lanes wait one after the other, for the same most often.
  if (meeting.kind == Meeting::Kind::kMbarrier && state.waited.place == meeting.place &&
      state.waited.phase == meeting.phase && state.waited_at == warp.statistics.instructions)
    return;
  state.waited = meeting;
  state.waited_at = warp.statistics.instructions;
  OnMeetingMemory(warp, i, meeting, false);
  const Told& told = ToldAt(meeting);
  if (code_.OrderingOf(code_.NumberOf(i)).waits_relaxed)
    state.noticed.Join(told.ended);
  else
    clocks_.Acquire(AgentOf(warp), told.ended);
  state.grid_fenced.Join(told.fenced_ended);
}

// Asynchronous work.

void Checker::HandOver(int from, int to) {
  Knowledge knowledge;
  clocks_.Release(from, knowledge);
  clocks_.Acquire(to, knowledge);
}

int Checker::OpenCopies(Warp& warp, AsyncGroup group, std::uint32_t what) {
  WarpState& state = StateOf(warp);
  std::vector<Copies>& all = state.copies[Index(group)];
  if (!state.open[Index(group)]) {
    all.push_back({clocks_.BeginAsync(AgentOf(warp)), what, 0, warp.commits[Index(group)], false});
    state.open[Index(group)] = true;
  } else {
    clocks_.ContinueAsync(all.back().agent);
  }
  all.back().lanes |= warp.mask();
  return all.back().agent;
}

/// Copies of one group are one agent; one that an mbarrier is told of is one by itself.
int Checker::PerformerOf(Warp& warp, const Ordering& ordering, std::uint32_t what) {
  if (ordering.performer == Ordering::Performer::kLaneCopy) return OpenCopies(warp, AsyncGroup::kCopy, what);
  if (ordering.performer == Ordering::Performer::kGroupCopy) return OpenCopies(warp, AsyncGroup::kBulk, what);
  WarpState& state = StateOf(warp);
  if (state.signal_agent < 0) state.signal_agent = clocks_.BeginAsync(AgentOf(warp));
  return state.signal_agent;
}

void Checker::OnIssue(AsyncOperation& operation) {
  Warp& warp = operation.warp();
  WarpState& state = StateOf(warp);
  const std::uint32_t what = code_.NumberOf(operation.instruction());
  const Ordering& ordering = code_.OrderingOf(what);
  if (ordering.arrives_for_copies) {
    // The lanes of an instruction arrive as one agent, which knows of all copies so far.
    const bool more = state.signals == &operation.instruction() && state.signals_at == warp.statistics.instructions;
    if (!more) {
      state.arrivals = clocks_.BeginAsync(AgentOf(warp));
      std::vector<Copies>& copies = state.copies[Index(AsyncGroup::kCopy)];
      for (Copies& c : copies) {
        HandOver(c.agent, state.arrivals);
        c.told = true;
      }
      state.open[Index(AsyncGroup::kCopy)] = false;
      while (copies.size() > kManyCopies) {
        clocks_.EndAsync(copies.front().agent);
        copies.erase(copies.begin());
      }
      state.signals = &operation.instruction();
      state.signals_at = warp.statistics.instructions;
    }
    operation.agent = state.arrivals;
  } else if (ordering.performer == Ordering::Performer::kSignalCopy) {
    operation.agent = std::exchange(state.signal_agent, -1);
  }
  if (operation.agent < 0) return;
  const auto agent = static_cast<std::size_t>(operation.agent);
  if (uses_.size() <= agent) uses_.resize(agent + 1);
  ++uses_[agent];
}

void Checker::OnSignal(const AsyncOperation& operation, const Meeting& meeting) {
  if (operation.agent >= 0) clocks_.Release(operation.agent, ToldAt(meeting).running);
  if (const Knowledge* const done = tensor_.FindCommitted(operation)) ToldAt(meeting).running.Join(*done);
}

void Checker::OnEnd(const AsyncOperation& operation) {
  tensor_.OnEnd(operation);
  if (operation.agent >= 0 && --uses_[static_cast<std::size_t>(operation.agent)] == 0)
    clocks_.EndAsync(operation.agent);
}

void Checker::OnCommit(Warp& warp, AsyncGroup group) { StateOf(warp).open[Index(group)] = false; }

void Checker::OnGroupsEnded(Warp& warp, AsyncGroup group, std::uint32_t pending, bool all) {
  WarpState& state = StateOf(warp);
  std::vector<Copies>& copies = state.copies[Index(group)];
  const int agent = AgentOf(warp);
  const auto& commits = warp.commits[Index(group)];
  if (all) state.open[Index(group)] = false;
  std::erase_if(copies, [&](Copies& c) {
    for (std::uint32_t m = c.lanes & warp.mask(); m != 0; m &= m - 1) {
      const auto lane = static_cast<std::size_t>(std::countr_zero(m));
      if (all || commits[lane] - c.numbers[lane] > pending) c.lanes &= ~(1u << lane);
    }
    if (c.lanes != 0) return false;
    HandOver(c.agent, agent);
    clocks_.EndAsync(c.agent);
    return true;
  });
}

void Checker::OnTensorRead(Warp& warp, const Instruction& i, std::span<const std::uint32_t> pieces,
                           std::uint32_t group) {
  constexpr std::uint32_t kPieceBytes = 16;
  WarpState& state = StateOf(warp);
  const std::uint32_t what = code_.NumberOf(i);
  if (state.tensor.empty() || state.tensor.back().group != group)
    state.tensor.push_back({group, what, clocks_.BeginAsync(AgentOf(warp))});
  else
    clocks_.ContinueAsync(state.tensor.back().agent);
  Access by;
  by.agent = state.tensor.back().agent;
  by.what = what;
  by.proxy = Proxy::kAsync;
  const std::uint32_t rank = warp.cta().rank();
  if (const auto violation = shadows_[rank].OnReadPieces(by, pieces, kPieceBytes))
    Report(warp, what, -1, rank, *violation);
}

/// The warps of a warpgroup multiply together: when one knows that a group has ended, it has for all.
void Checker::OnTensorWait(Warp& warp, std::uint32_t group) {
  constexpr int kWarps = 4;
  const int agent = AgentOf(warp), first = agent - warp.index() % kWarps;
  Knowledge& multiplied = states_[static_cast<std::size_t>(first)].multiplied;
  for (int other = first; other < first + kWarps; ++other)
    for (const TensorGroup& t : states_[static_cast<std::size_t>(other)].tensor)
      if (t.group < group) clocks_.ReleaseAlone(t.agent, multiplied);
  clocks_.Acquire(agent, multiplied);
  std::erase_if(StateOf(warp).tensor, [&](const TensorGroup& t) {
    if (t.group >= group) return false;
    clocks_.EndAsync(t.agent);
    return true;
  });
}

}  // namespace gemmsmith::emulator
