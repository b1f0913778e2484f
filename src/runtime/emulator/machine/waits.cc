#include "runtime/emulator/machine/waits.h"

#include <algorithm>

#include "util/log.h"

namespace gemmsmith::emulator {
namespace {

constexpr std::size_t kCtasShown = 4;

std::string Text(Dim3 d) { return fmt::format("({}, {}, {})", d.x, d.y, d.z); }

/// "`bar.sync 0;` (ptx line 12, file.cu:3)"
std::string Name(const Function& function, const Instruction& instruction) {
  const Origin& origin = function.origins[instruction.index];
  return fmt::format("`{}` (ptx line {}{}{})", origin.text, origin.ptx_line, origin.source.empty() ? "" : ", ",
                     origin.source);
}

/// "warp 0", "warps 1 and 3"
std::string Warps(const std::vector<int>& warps) {
  return fmt::format("warp{} {}", warps.size() == 1 ? "" : "s", fmt::join(warps, ", "));
}

std::string DescribeBarrier(Cta& cta, const Meeting& meeting) {
  const CtaBarrier& barrier = cta.barrier(static_cast<int>(meeting.place));
  std::vector<int> missing, gone;
  for (const Warp& warp : cta.warps())
    if ((barrier.warps >> warp.index() & 1) == 0) (warp.live() != 0 ? missing : gone).push_back(warp.index());
  std::string text = fmt::format("barrier {} of the CTA, where {} of {} threads have arrived", meeting.place,
                                 barrier.arrived, barrier.expected != 0 ? barrier.expected : cta.live_threads());
  if (!missing.empty()) text += fmt::format(", not {}", Warps(missing));
  if (!gone.empty()) text += fmt::format(" ({} exited)", Warps(gone));
  return text;
}

std::string DescribeMbarrier(Cluster& cluster, const Cta& waiting, const Meeting& meeting) {
  Cta& cta = *cluster.cta(meeting.rank);
  std::string text = fmt::format("the mbarrier at {:#x}", meeting.place);
  if (const std::string name = cta.launch().SharedName(meeting.place); !name.empty())
    text += fmt::format(" ({})", name);
  if (&cta != &waiting) text += fmt::format(" of CTA {}", Text(cta.id()));
  const auto all = cta.mbarriers().all();
  const auto found = std::find_if(all.begin(), all.end(),
                                  [&](const Mbarriers::Barrier& b) { return b.live && b.address == meeting.place; });
  if (found == all.end()) return text + ", which is no more";
  return text + fmt::format(", parity {}: it is in phase {} with {} of {} arrivals and {} bytes to come",
                            meeting.phase & 1, found->phase, found->pending, found->expected, found->bytes);
}

std::string DescribeClusterBarrier(Cluster& cluster) {
  std::vector<std::string> missing;
  for (std::uint32_t rank = 0; rank < cluster.size(); ++rank) {
    Cta& cta = *cluster.cta(rank);
    std::vector<int> warps;
    for (const Warp& warp : cta.warps()) {
      std::uint32_t here = 0;
      for (std::uint32_t m = warp.cluster_arrived; m != 0; m &= m - 1)
        if (const int lane = std::countr_zero(m);
            warp.cluster_phases[static_cast<std::size_t>(lane)] == cluster.barrier().phase)
          here |= 1u << lane;
      if ((warp.live() & ~here) != 0) warps.push_back(warp.index());
    }
    if (!warps.empty()) missing.push_back(fmt::format("{} of CTA {}", Warps(warps), Text(cta.id())));
  }
  return fmt::format("the barrier of its cluster, where these have not arrived: {}", fmt::join(missing, "; "));
}

std::string Describe(const Group& group, const Warp& warp) {
  if (!group.meeting) return group.waits_on;
  Cluster& cluster = warp.cta().cluster();
  switch (group.meeting->kind) {
    case Meeting::Kind::kCtaBarrier:
      return DescribeBarrier(warp.cta(), *group.meeting);
    case Meeting::Kind::kClusterBarrier:
      return DescribeClusterBarrier(cluster);
    case Meeting::Kind::kMbarrier:
      break;
  }
  return DescribeMbarrier(cluster, warp.cta(), *group.meeting);
}

/// What a warp that runs does: what it polls, if it does.
std::string DescribeRun(const Group& group, const Warp& warp) {
  const Poll& poll = warp.last_poll;
  if (poll.instruction == nullptr || poll.function != group.frame->function)
    return fmt::format("run at {}", Name(*group.frame->function, group.frame->function->instructions[group.pc]));
  const std::string by = Name(*poll.function, *poll.instruction);
  if (poll.address == 0) return fmt::format("spin with {}", by);
  if (poll.address >> kWindowShift != 0)
    return fmt::format("spin on shared memory at {:#x} with {}", static_cast<std::uint32_t>(poll.address), by);
  return fmt::format("spin on global memory at {:#x}, {}, with {}", poll.address,
                     warp.cta().launch().memory.Describe(poll.address), by);
}

}  // namespace

void WaitReport::Add(std::string what, const Warp& warp, std::string who) {
  auto line = std::find_if(lines_.begin(), lines_.end(), [&](const Line& l) { return l.what == what; });
  if (line == lines_.end()) line = lines_.insert(line, {std::move(what), {}});
  if (line->waiters.empty() || line->waiters.back().cta != warp.cta().id())
    line->waiters.push_back({warp.cta().id(), {}});
  line->waiters.back().warps.push_back(std::move(who));
}

void WaitReport::Add(const Warp& warp) {
  for (const Group& group : warp.groups()) {
    std::string who = std::to_string(warp.index());
    if (group.lanes != warp.live()) who += fmt::format(" (lanes {:#010x})", group.lanes);
    std::string what = group.state == Group::State::kReady
                           ? DescribeRun(group, warp)
                           : fmt::format("wait on {} at {}", Describe(group, warp),
                                         Name(*group.frame->function, group.frame->function->instructions[group.pc]));
    Add(std::move(what), warp, std::move(who));
  }
}

void WaitReport::Add(Cluster& cluster) {
  for (std::uint32_t rank = 0; rank < cluster.size(); ++rank)
    for (const Warp& warp : cluster.cta(rank)->warps())
      if (warp.live() != 0) Add(warp);
}

std::string WaitReport::Text(std::size_t most) const {
  std::string text;
  for (std::size_t l = 0; l < lines_.size(); ++l) {
    if (text.size() > most) return text + fmt::format("  and {} more such lines\n", lines_.size() - l);
    const auto& waiters = lines_[l].waiters;
    text += "  ";
    for (std::size_t w = 0; w < std::min(waiters.size(), kCtasShown); ++w)
      text += fmt::format("{}CTA {} warp{} {}", w == 0 ? "" : "; ", emulator::Text(waiters[w].cta),
                          waiters[w].warps.size() == 1 ? "" : "s", fmt::join(waiters[w].warps, ", "));
    if (waiters.size() > kCtasShown) text += fmt::format("; and {} more CTAs", waiters.size() - kCtasShown);
    text += fmt::format(": {}\n", lines_[l].what);
  }
  return text;
}

}  // namespace gemmsmith::emulator
