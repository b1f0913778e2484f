// Frames of a warp: calls, returns, special registers, and what messages say.
#include <algorithm>

#include "runtime/emulator/machine/cta.h"
#include "runtime/emulator/machine/waits.h"
#include "runtime/emulator/machine/warp.h"
#include "util/log.h"

namespace gemmsmith::emulator {
namespace {

constexpr int kMaxDepth = 2000;
constexpr std::uint32_t kMaxLocalBytes = 512 << 10;  // Per thread, as on devices.
constexpr std::uint32_t kReservedShared = 1024;

std::byte* Aligned(std::vector<std::byte>& storage) {
  const auto address = reinterpret_cast<std::uintptr_t>(storage.data());
  return storage.data() + (64 - address % 64) % 64;
}

/// One parameter, from one frame to another.
void CopyParameter(const std::byte* from, const ParameterSlot& source, std::byte* to, const ParameterSlot& target,
                   std::uint32_t lanes) {
  const std::uint32_t bytes = std::min(source.bytes, target.bytes);
  for (std::uint32_t m = lanes; m != 0; m &= m - 1) {
    const auto lane = static_cast<std::uint32_t>(std::countr_zero(m));
    std::memcpy(to + target.slot + lane * target.bytes, from + source.slot + lane * source.bytes, bytes);
  }
}

}  // namespace

Frame* Warp::NewFrame(const Function& function, Frame* caller, std::uint32_t call_pc) {
  std::unique_ptr<Frame> frame;
  if (!spare_frames_.empty()) {
    frame = std::move(spare_frames_.back());
    spare_frames_.pop_back();
  } else {
    frame = std::make_unique<Frame>();
  }
  const std::size_t bytes = function.frame_bytes + 64;
  if (frame->storage.size() < bytes) frame->storage.resize(bytes);
  frame->registers = Aligned(frame->storage);
  frame->function = &function;
  frame->caller = caller;
  frame->call_pc = call_pc;
  frame->depth = caller == nullptr ? 0 : caller->depth + 1;
  frame->local_begin = caller == nullptr ? 0 : caller->local_begin + caller->function->local_bytes;
  frame->lanes = 0;
  GrowLocal(frame->local_begin + function.local_bytes);
  frames_.push_back(std::move(frame));
  return frames_.back().get();
}

/// Each lane's part moves: the parts lie behind each other.
void Warp::GrowLocal(std::uint32_t bytes) {
  if (bytes <= local_bytes_) return;
  const std::uint32_t grown = std::max(bytes, 2 * local_bytes_);
  std::vector<std::byte> larger(std::size_t{grown} * kLanes);
  for (int lane = 0; lane < kLanes && local_bytes_ != 0; ++lane)
    std::memcpy(larger.data() + static_cast<std::size_t>(lane) * grown, local(lane), local_bytes_);
  local_ = std::move(larger);
  local_bytes_ = grown;
}

void Warp::DropFrame(Frame* frame) {
  watch.Forget(frame);
  const auto found =
      std::find_if(frames_.begin(), frames_.end(), [&](const auto& candidate) { return candidate.get() == frame; });
  spare_frames_.push_back(std::move(*found));
  frames_.erase(found);
}

void Warp::Call(const Function& function, const CallSite& site) {
  Frame* const caller = groups_[current_].frame;
  const std::uint32_t lanes = mask_, pc = pc_ - 1;
  const Instruction& call = caller->function->instructions[pc];
  if (caller->depth >= kMaxDepth) throw Fault(call, -1, fmt::format("calls are nested more than {} deep", kMaxDepth));
  if (caller->local_begin + caller->function->local_bytes + function.local_bytes > kMaxLocalBytes)
    throw Fault(call, -1, fmt::format("the stack of a thread would pass {} bytes", kMaxLocalBytes));
  if (site.arguments.size() != function.parameters.size() || site.results.size() != function.returns.size())
    throw Fault(
        call, -1,
        fmt::format("{} is called with {} arguments and {} results, it has {} and {}", function.name,
                    site.arguments.size(), site.results.size(), function.parameters.size(), function.returns.size()));
  Leave(lanes);
  Frame* callee = nullptr;
  for (const auto& frame : frames_)
    if (frame->caller == caller && frame->call_pc == pc && frame->function == &function) callee = frame.get();
  if (callee == nullptr) callee = NewFrame(function, caller, pc);
  callee->lanes |= lanes;
  for (std::size_t i = 0; i < site.arguments.size(); ++i)
    CopyParameter(caller->registers, site.arguments[i], callee->registers, function.parameters[i], lanes);
  AddGroup(callee, 0, lanes, 0);
}

void Warp::CallSome(const Function& function, const CallSite& site, std::uint32_t lanes) {
  Frame* const caller = groups_[current_].frame;
  const std::uint32_t again = mask_ & ~lanes, pc = pc_ - 1;
  if (again != 0) {
    Group& g = groups_[current_];
    g.lanes &= ~again;
    group_lanes_ = g.lanes;
  }
  mask_ = lanes;
  Call(function, site);
  if (again != 0) AddGroup(caller, pc, again, 0);
}

void Warp::Return(std::uint32_t lanes) {
  Frame* const callee = groups_[current_].frame;
  Frame* const caller = callee->caller;
  if (caller == nullptr) return Exit(lanes);
  const auto& site = *static_cast<const CallSite*>(caller->function->instructions[callee->call_pc].extra);
  for (std::size_t i = 0; i < site.results.size(); ++i)
    CopyParameter(callee->registers, callee->function->returns[i], caller->registers, site.results[i], lanes);
  const std::uint32_t pc = callee->call_pc + 1;
  Leave(lanes);
  callee->lanes &= ~lanes;
  if (callee->lanes == 0) DropFrame(callee);
  AddGroup(caller, pc, lanes, 0);
}

void Warp::FillSpecials() {
  specials_.resize(kSpecialCount * kSpecialBytes);
  const Launch& launch = cta_->launch();
  const auto set = [&](Special special, auto value_of) {
    using Word = decltype(value_of(0u));
    for (std::uint32_t lane = 0; lane < kLanes; ++lane) {
      const Word value = value_of(lane);
      std::memcpy(specials_.data() + static_cast<std::size_t>(special) * kSpecialBytes + lane * sizeof(Word), &value,
                  sizeof(Word));
    }
  };
  const auto all = [&](Special special, auto value) { set(special, [&](std::uint32_t) { return value; }); };
  const auto three = [&](Special first, Dim3 d) {
    const auto at = static_cast<std::uint8_t>(first);
    all(first, d.x);
    all(static_cast<Special>(at + 1), d.y);
    all(static_cast<Special>(at + 2), d.z);
  };
  const Dim3 b = launch.block, c = launch.cluster, id = cta_->id();
  const auto base = static_cast<std::uint32_t>(index_) * kLanes;
  set(Special::kTidX, [&](std::uint32_t l) { return (base + l) % b.x; });
  set(Special::kTidY, [&](std::uint32_t l) { return (base + l) / b.x % b.y; });
  set(Special::kTidZ, [&](std::uint32_t l) { return (base + l) / b.x / b.y; });
  set(Special::kLaneid, [](std::uint32_t l) { return l; });
  set(Special::kLanemaskEq, [](std::uint32_t l) { return 1u << l; });
  set(Special::kLanemaskLt, [](std::uint32_t l) { return (1u << l) - 1; });
  set(Special::kLanemaskLe, [](std::uint32_t l) { return (2u << l) - 1; });
  set(Special::kLanemaskGt, [](std::uint32_t l) { return ~((2u << l) - 1); });
  set(Special::kLanemaskGe, [](std::uint32_t l) { return ~((1u << l) - 1); });
  three(Special::kNtidX, b);
  three(Special::kCtaidX, id);
  three(Special::kNctaidX, launch.grid);
  three(Special::kClusteridX, {id.x / c.x, id.y / c.y, id.z / c.z});
  three(Special::kNclusteridX, {launch.grid.x / c.x, launch.grid.y / c.y, launch.grid.z / c.z});
  three(Special::kClusterCtaidX, {id.x % c.x, id.y % c.y, id.z % c.z});
  three(Special::kClusterNctaidX, c);
  const std::uint64_t linear = (std::uint64_t{id.z} * launch.grid.y + id.y) * launch.grid.x + id.x;
  all(Special::kWarpid, static_cast<std::uint32_t>(index_));
  all(Special::kNwarpid, 64u);
  all(Special::kSmid, static_cast<std::uint32_t>(linear % static_cast<std::uint64_t>(launch.multiprocessors)));
  all(Special::kNsmid, static_cast<std::uint32_t>(launch.multiprocessors));
  all(Special::kClusterCtarank, cta_->rank());
  all(Special::kClusterNctarank, c.x * c.y * c.z);
  all(Special::kDynamicSmemSize, launch.dynamic_shared_bytes);
  all(Special::kTotalSmemSize, launch.shared_bytes());
  all(Special::kAggrSmemSize, launch.shared_bytes() + kReservedShared);
  all(Special::kReservedBegin, 0u);
  all(Special::kReservedEnd, kReservedShared);
  all(Special::kReservedCap, kReservedShared);
  const auto workspace = reinterpret_cast<std::uint64_t>(launch.grid_workspace.data());
  all(Special::kEnvreg0, 0u);
  all(Special::kEnvreg1, static_cast<std::uint32_t>(workspace >> 32));
  all(Special::kEnvreg2, static_cast<std::uint32_t>(workspace));
  all(Special::kGridid, launch.grid_id);
  Tick();
}

/// Time is what the warp has executed: it is the same in every run.
void Warp::Tick() {
  const auto set = [&](Special special, auto value) {
    for (std::size_t lane = 0; lane < kLanes; ++lane)
      std::memcpy(specials_.data() + static_cast<std::size_t>(special) * kSpecialBytes + lane * sizeof(value), &value,
                  sizeof(value));
  };
  constexpr std::uint64_t kEpoch = 1'700'000'000'000'000'000;  // ns; any will do.
  const std::uint64_t clock = statistics.instructions * 4, time = kEpoch + clock / 2;
  set(Special::kClock, static_cast<std::uint32_t>(clock));
  set(Special::kClockHi, static_cast<std::uint32_t>(clock >> 32));
  set(Special::kClock64, clock);
  set(Special::kGlobaltimerLo, static_cast<std::uint32_t>(time));
  set(Special::kGlobaltimerHi, static_cast<std::uint32_t>(time >> 32));
  set(Special::kGlobaltimer, time);
}

std::string Warp::Where(const Instruction& instruction, int lane) const {
  const Group& g = groups_[std::min(current_, groups_.size() - 1)];
  const Function* function = g.frame->function;
  // The frame may have been left by now; the instruction knows better.
  if (&instruction < function->instructions.data() ||
      &instruction >= function->instructions.data() + function->instructions.size())
    function = cta_->launch().kernel;
  return Where(*function, instruction, lane);
}

std::string Warp::Where(const Function& function, const Instruction& instruction, int lane) const {
  const Origin& origin = function.origins[instruction.index];
  const Dim3 id = cta_->id();
  std::string text = fmt::format("`{}` (ptx line {}{}{}), CTA ({}, {}, {}), warp {}", origin.text, origin.ptx_line,
                                 origin.source.empty() ? "" : ", ", origin.source, id.x, id.y, id.z, index_);
  if (lane >= 0) text += fmt::format(", lane {}", lane);
  return text;
}

Error Warp::Fault(const Instruction& instruction, int lane, std::string_view what) const {
  return Fail(Code::kDevice, "", "{}: {}: {}", cta_->launch().name, Where(instruction, lane), what);
}

std::string Launch::SharedName(std::uint32_t address) const {
  if (shared_variables == nullptr) return "";
  for (const SharedVariable& v : *shared_variables) {
    if (address < v.begin || (v.bytes != 0 && address - v.begin >= v.bytes)) continue;
    return address == v.begin ? v.name : fmt::format("{}+{}", v.name, address - v.begin);
  }
  return "";
}

void Warp::ReportDivergence() {
  constexpr std::size_t kShown = 2000;  // Characters.
  WaitReport report;
  report.Add(*this);
  throw Fail(Code::kDevice, "", "{}: lanes of a warp wait for lanes that never come:\n{}", cta_->launch().name,
             report.Text(kShown));
}

}  // namespace gemmsmith::emulator
