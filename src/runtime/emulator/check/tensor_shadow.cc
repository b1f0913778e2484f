#include "runtime/emulator/check/tensor_shadow.h"

#include "runtime/emulator/check/checker.h"
#include "util/log.h"

namespace gemmsmith::emulator {
namespace {

constexpr std::uint32_t kLaneBytes = TensorMemory::kColumns * 4;

const char* RemedyFor(ViolationKind kind) {
  switch (kind) {
    case ViolationKind::kUninitialisedRead:
      return "write it before, or let the first tcgen05.mma not add to it";
    case ViolationKind::kReadBeforeCompletion:
      return "wait for it (tcgen05.commit and its mbarrier, tcgen05.wait::st), then synchronise with other warps";
    case ViolationKind::kOverwriteInFlight:
      return "wait for it (tcgen05.commit and its mbarrier, tcgen05.wait::ld, tcgen05.wait::st), then synchronise with "
             "other warps";
    default:
      return "put a barrier between the two";
  }
}

}  // namespace

TensorAddress TensorShadow::Word(std::uint32_t address) {
  TensorAddress word;
  word.lane = static_cast<int>(address / kLaneBytes);
  word.column = static_cast<int>(address % kLaneBytes / 4);
  return word;
}

SharedShadow& TensorShadow::ShadowOf(const Cta& cta) {
  std::unique_ptr<SharedShadow>& shadow = shadows_[&cta];
  if (shadow == nullptr)
    shadow = std::make_unique<SharedShadow>(std::size_t{TensorMemory::kHeight} * kLaneBytes, clocks_);
  return *shadow;
}

void TensorShadow::OnAllocated(const Cta& cta, int column, int columns) {
  for (std::uint32_t lane = 0; lane < TensorMemory::kHeight; ++lane)
    ShadowOf(cta).Forget(lane * kLaneBytes + static_cast<std::uint32_t>(column) * 4,
                         static_cast<std::uint32_t>(columns) * 4);
}

void TensorShadow::HandOver(int from, int to) {
  Knowledge knowledge;
  clocks_.Release(from, knowledge);
  clocks_.Acquire(to, knowledge);
}

int TensorShadow::AgentFor(Warp& warp, int issuer, TensorUser user, int lane) {
  if (user == TensorUser::kWarp) return issuer;
  Agent& agent = agents_[{issuer, user, lane}];
  if (agent.number < 0)
    agent.number = clocks_.BeginAsync(issuer);
  else
    clocks_.ContinueAsync(agent.number);
  if (user != TensorUser::kCore) return agent.number;
  // A tensor core does one thing after the other, whoever issued it.
  Cta& cta = warp.cta();
  const bool pair = cta.tensor_memory().group == 2;
  agent.queue = &(pair ? cta.cluster().cta(cta.rank() & ~1u) : &cta)->tensor_memory();
  for (const auto& [key, other] : agents_)
    if (other.queue == agent.queue && other.number != agent.number) HandOver(other.number, agent.number);
  return agent.number;
}

std::optional<Violation> TensorShadow::OnUse(const Access& by, const TensorWords& words) {
  SharedShadow& shadow = ShadowOf(*words.cta);
  const auto bytes = static_cast<std::uint32_t>(words.columns) * 4;
  for (int lane = words.lane; lane < words.lane + words.lanes; ++lane) {
    const std::uint32_t at =
        static_cast<std::uint32_t>(lane) * kLaneBytes + static_cast<std::uint32_t>(words.column) * 4;
    const auto violation = words.reads && words.writes ? shadow.OnReadModifyWrite(by, at, bytes)
                           : words.writes              ? shadow.OnWrite(by, at, bytes)
                                                       : shadow.OnRead(by, at, bytes);
    if (violation) return violation;
  }
  return std::nullopt;
}

void TensorShadow::OnEnded(int warp, TensorUser user) {
  if (const auto found = agents_.find({warp, user, 0}); found != agents_.end()) HandOver(found->second.number, warp);
}

void TensorShadow::OnCommit(const AsyncOperation& operation, int warp, int lane) {
  Knowledge& knowledge = committed_[&operation];
  if (const auto found = agents_.find({warp, TensorUser::kCore, lane}); found != agents_.end())
    clocks_.Release(found->second.number, knowledge);
}

const Knowledge* TensorShadow::FindCommitted(const AsyncOperation& operation) const {
  const auto found = committed_.find(&operation);
  return found == committed_.end() ? nullptr : &found->second;
}

// What the checker hears of tensor memory.

void Checker::OnTensorAllocated(Cta& cta, int column, int columns) { tensor_.OnAllocated(cta, column, columns); }

void Checker::OnTensorWords(Warp& warp, const Instruction& i, TensorUser user, int lane,
                            std::span<const TensorWords> words) {
  Access by;
  by.agent = tensor_.AgentFor(warp, AgentOf(warp), user, lane);
  by.what = code_.NumberOf(i);
  for (const TensorWords& w : words) {
    const auto violation = tensor_.OnUse(by, w);
    if (!violation) continue;
    const TensorAddress at = TensorShadow::Word(violation->address);
    const Dim3 id = w.cta->id();
    throw Fail(Code::kDevice, RemedyFor(violation->kind),
               "{}: {}: {}: tensor memory at lane {}, column {} of CTA ({}, {}, {}){}", warp.cta().launch().name,
               warp.Where(code_.FunctionOf(by.what), i, user == TensorUser::kCore ? lane : -1),
               ToString(violation->kind), at.lane, at.column, id.x, id.y, id.z, Describe(*violation));
  }
}

void Checker::OnTensorPieces(Warp& warp, const Instruction& i, int lane, const Cta& cta,
                             std::span<const std::uint32_t> pieces) {
  constexpr std::uint32_t kPieceBytes = 16;
  Access by;
  by.agent = tensor_.AgentFor(warp, AgentOf(warp), TensorUser::kCore, lane);
  by.what = code_.NumberOf(i);
  by.proxy = Proxy::kAsync;
  if (const auto violation = shadows_[cta.rank()].OnReadPieces(by, pieces, kPieceBytes))
    Report(warp, by.what, lane, cta.rank(), *violation);
}

void Checker::OnTensorWordsEnded(Warp& warp, TensorUser user) { tensor_.OnEnded(AgentOf(warp), user); }

void Checker::OnTensorCommit(AsyncOperation& operation, int lane) {
  tensor_.OnCommit(operation, AgentOf(operation.warp()), lane);
}

}  // namespace gemmsmith::emulator
