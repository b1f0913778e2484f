#include "runtime/emulator/machine/warp.h"

#include <algorithm>
#include <limits>

#include "runtime/emulator/machine/cta.h"
#include "util/log.h"

namespace gemmsmith::emulator {
namespace {

// After so many jumps back, lanes that are elsewhere get their turn: one of them may hold what these spin for.
constexpr std::uint32_t kFairJumps = 200;
// A loop that polls counts more: it is likely to be such a one.
constexpr std::uint32_t kPollingJump = 25;

}  // namespace

Warp::Warp(Cta& cta, int index) : cta_(&cta), index_(index) {
  const std::uint32_t left = cta.launch().threads_per_cta() - static_cast<std::uint32_t>(index) * kLanes;
  live_ = left >= kLanes ? kAllLanes : (std::uint32_t{1} << left) - 1;
  FillSpecials();
  bases_[static_cast<std::size_t>(Base::kSpecial)] = specials_.data();
  Frame* const frame = NewFrame(*cta.launch().kernel, nullptr, 0);
  frame->lanes = live_;
  AddGroup(frame, 0, live_, 0);
}

Observer* Warp::observer() const { return cta_->cluster().observer(); }

Warp::Outcome Warp::Run(std::uint64_t& budget, bool may_communicate) {
  for (Group& g : groups_)
    if (g.state == Group::State::kBlocked) g.state = Group::State::kReady;
  const bool counts = observer() != nullptr && observer()->counts_instructions();
  while (budget > 0) {
    if (live_ == 0) return Outcome::kDone;
    if (!Choose()) {
      if (blocked()) return Outcome::kBlocked;
      ReportDivergence();
    }
    Load();
    if (!(counts ? RunGroup<true>(budget, may_communicate) : RunGroup<false>(budget, may_communicate)))
      return Outcome::kCommunicates;
    if (yield_) {
      yield_ = false;
      return Outcome::kQuantum;
    }
  }
  return live_ == 0 ? Outcome::kDone : Outcome::kQuantum;
}

/// Runs the current group until lanes part or meet; false at an instruction that must not be executed now.
template <bool kCounts>
bool Warp::RunGroup(std::uint64_t& budget, bool may_communicate) {
  const Instruction* const code = frame().function->instructions.data();
  moved_ = false;
  while (budget > 0) {
    const Instruction& instruction = code[pc_];
    mask_ = group_lanes_;
    if (instruction.guarded != Guard::kNone) {
      std::uint32_t predicate;
      std::memcpy(&predicate, bases_[0] + instruction.guard, sizeof(predicate));
      mask_ &= instruction.guarded == Guard::kTrue ? predicate : ~predicate;
    }
    if (instruction.flags != 0) [[unlikely]] {
      if ((instruction.flags & kCommunicates) != 0 && mask_ != 0 && !may_communicate) {
        groups_[current_].pc = pc_;
        return false;
      }
      if ((instruction.flags & (kPolls | kCommunicates)) != 0) {
        polled = true;
        last_poll = {&instruction, frame().function, 0};
      }
      if ((instruction.flags & kReadsClock) != 0) Tick();
      if ((instruction.flags & kUsesProducts) != 0 && mask_ != 0 && cta_->launch().options.check)
        watch.Touch(frame(), instruction);
    }
    --budget;
    [[maybe_unused]] const std::uint64_t number = ++statistics.instructions;
    ++pc_;
    if (watch.active() && mask_ != 0) [[unlikely]]
      watch.Check(*this, instruction);
    if (mask_ != 0) instruction.execute(*this, instruction);
    if constexpr (kCounts) {
      // One that has to wait is tried again, and not counted till then.
      if (statistics.instructions == number) observer()->OnExecuted(*this, instruction);
    }
    if (moved_) return true;
    if (pc_ >= switch_pc_ || yield_) break;
  }
  groups_[current_].pc = pc_;
  return true;
}

/// Makes the group that is to run the current one: the deepest call first, then the lowest pc, so that lanes that ran
/// ahead are met again.
bool Warp::Choose() {
  for (int attempt = 0; attempt < 2; ++attempt) {
    bool found = false, tired = false;
    for (std::size_t i = 0; i < groups_.size(); ++i) {
      const Group& g = groups_[i];
      if (g.state != Group::State::kReady) continue;
      if (g.jumps_back >= kFairJumps) {
        tired = true;
        continue;
      }
      const Group& best = groups_[current_ < groups_.size() ? current_ : 0];
      if (!found || g.frame->depth > best.frame->depth || (g.frame->depth == best.frame->depth && g.pc < best.pc)) {
        current_ = i;
        found = true;
      }
    }
    if (found) return true;
    if (!tired) return false;
    for (Group& g : groups_) g.jumps_back = 0;
  }
  return false;
}

void Warp::Load() {
  MergeAtPc();
  const Group& g = groups_[current_];
  group_lanes_ = g.lanes;
  pc_ = g.pc;
  bases_[static_cast<std::size_t>(Base::kFrame)] = g.frame->registers;
  bases_[static_cast<std::size_t>(Base::kConstant)] = g.frame->function->constants.data();
  switch_pc_ = std::numeric_limits<std::uint32_t>::max();
  for (const Group& other : groups_)
    if (other.frame == g.frame && other.pc > pc_) switch_pc_ = std::min(switch_pc_, other.pc);
}

/// Lanes that have come to the same place go on as one, unless some have begun what the others have not.
void Warp::MergeAtPc() {
  for (std::size_t i = 0; i < groups_.size();) {
    Group& g = groups_[current_];
    const Group& other = groups_[i];
    if (i == current_ || other.frame != g.frame || other.pc != g.pc || other.token != g.token) {
      ++i;
      continue;
    }
    g.lanes |= other.lanes;
    g.jumps_back = std::max(g.jumps_back, other.jumps_back);
    groups_.erase(groups_.begin() + static_cast<std::ptrdiff_t>(i));
    if (i < current_) --current_;
  }
}

void Warp::AddGroup(Frame* frame, std::uint32_t pc, std::uint32_t lanes, std::uint32_t jumps_back) {
  for (Group& g : groups_) {
    if (g.frame != frame || g.pc != pc || g.token != 0) continue;
    g.lanes |= lanes;
    if (g.state == Group::State::kWaitsForLanes) g.state = Group::State::kReady;
    return;
  }
  Group& group = groups_.emplace_back();
  group.frame = frame;
  group.pc = pc;
  group.lanes = lanes;
  group.jumps_back = jumps_back;
}

void Warp::Branch(std::uint32_t target, std::uint32_t taken) {
  const std::uint32_t rest = group_lanes_ & ~taken;
  const bool back = target < pc_;
  if (rest == 0 && (groups_.size() == 1 || !back)) {
    pc_ = target;
    return;
  }
  moved_ = true;
  Group& g = groups_[current_];
  g.token = 0;
  const std::uint32_t jump = polled ? kPollingJump : 1;
  if (rest == 0) {
    g.pc = target;
    g.jumps_back += jump;
    return;
  }
  const std::uint32_t jumps = g.jumps_back + (back ? jump : 0);
  g.pc = pc_;
  g.lanes = rest;
  AddGroup(g.frame, target, taken, jumps);
}

void Warp::BranchEach(const std::uint32_t (&targets)[kLanes]) {
  moved_ = true;
  Frame* const frame = groups_[current_].frame;
  const std::uint32_t rest = group_lanes_ & ~mask_;
  const std::uint32_t jumps = groups_[current_].jumps_back + 1;
  groups_.erase(groups_.begin() + static_cast<std::ptrdiff_t>(current_));
  if (rest != 0) AddGroup(frame, pc_, rest, jumps);
  for (std::uint32_t m = mask_; m != 0; m &= m - 1) {
    const int lane = std::countr_zero(m);
    AddGroup(frame, targets[lane], std::uint32_t{1} << lane, jumps);
  }
}

/// Takes `lanes` out of the current group; it goes on behind the instruction with the others.
void Warp::Leave(std::uint32_t lanes) {
  moved_ = true;
  Group& g = groups_[current_];
  g.lanes &= ~lanes;
  g.pc = pc_;
  g.token = 0;
  if (g.lanes == 0) groups_.erase(groups_.begin() + static_cast<std::ptrdiff_t>(current_));
}

void Warp::Exit(std::uint32_t lanes) {
  Frame* const frame = groups_[current_].frame;
  Leave(lanes);
  live_ &= ~lanes;
  for (Frame* f = frame; f != nullptr;) {
    Frame* const caller = f->caller;
    f->lanes &= ~lanes;
    if (f->lanes == 0) DropFrame(f);
    f = caller;
  }
  for (Group& g : groups_)
    if (g.state == Group::State::kWaitsForLanes) g.state = Group::State::kReady;
  cta_->OnExit();
  if (live_ == 0 && observer() != nullptr) observer()->OnExit(*this);
}

bool Warp::Gather(std::uint32_t needed) {
  needed &= live_;
  if ((mask_ & needed) == needed) return true;
  Suspend(Group::State::kWaitsForLanes, "lanes of its warp");
  return false;
}

bool Warp::Meet(std::uint32_t needed) {
  needed &= live_;
  std::uint32_t here = mask_;
  for (const Group& g : groups_)
    if (g.state == Group::State::kWaitsForLanes && g.meets == needed) here |= g.lanes;
  if ((here & needed) != needed) {
    groups_[current_].meets = needed;
    Suspend(Group::State::kWaitsForLanes, "lanes of its warp");
    return false;
  }
  for (Group& g : groups_) {
    if (g.state != Group::State::kWaitsForLanes || g.meets != needed) continue;
    g.state = Group::State::kReady;
    g.meets = 0;
    ++g.pc;
  }
  groups_[current_].meets = 0;
  groups_[current_].pc = pc_;
  moved_ = true;
  return true;
}

void Warp::Block(const char* waits_on, std::optional<Meeting> meeting) {
  Suspend(Group::State::kBlocked, waits_on);
  groups_[current_].meeting = meeting;
}

/// The lanes that execute stay at the instruction; the others, which its guard left out, go on.
void Warp::Suspend(Group::State state, const char* waits_on) {
  moved_ = true;
  --statistics.instructions;
  Group& g = groups_[current_];
  const std::uint32_t rest = group_lanes_ & ~mask_;
  Frame* const frame = g.frame;
  const std::uint32_t jumps = g.jumps_back;
  g.lanes = mask_;
  g.pc = pc_ - 1;
  g.state = state;
  g.waits_on = waits_on;
  g.meeting.reset();
  if (rest != 0) AddGroup(frame, pc_, rest, jumps);
}

bool Warp::blocked() const {
  return std::any_of(groups_.begin(), groups_.end(), [](const Group& g) { return g.state == Group::State::kBlocked; });
}

void Warp::GetBits(const Operand& o, std::uint64_t (&out)[kLanes]) const {
  if (o.lane_bytes == 4) {
    const Lanes<std::uint32_t> in(In(o));
    for (int l = 0; l < kLanes; ++l) out[l] = in[l];
  } else {
    const Lanes<std::uint64_t> in(In(o));
    for (int l = 0; l < kLanes; ++l) out[l] = in[l];
  }
}

void Warp::PutBits(const Operand& o, const std::uint64_t (&values)[kLanes]) {
  if (o.lane_bytes == 8) return Put(o, values);
  std::uint32_t words[kLanes];
  for (int l = 0; l < kLanes; ++l) words[l] = static_cast<std::uint32_t>(values[l]);
  Put(o, words);
}

void Warp::GetAddresses(const Operand& o, std::uint64_t (&out)[kLanes]) {
  const std::uint64_t offset = static_cast<std::uint64_t>(o.offset) + (o.in_frame ? frame().local_begin : 0);
  if (o.lane_bytes == 4) {
    const Lanes<std::uint32_t> in(In(o));
    for (int l = 0; l < kLanes; ++l) out[l] = in[l] + offset;
  } else {
    const Lanes<std::uint64_t> in(In(o));
    for (int l = 0; l < kLanes; ++l) out[l] = in[l] + offset;
  }
}

}  // namespace gemmsmith::emulator
