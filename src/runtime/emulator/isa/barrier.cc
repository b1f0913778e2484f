// Barriers of a CTA, and fences.
#include "runtime/emulator/isa/decoder.h"
#include "runtime/emulator/isa/map.h"
#include "runtime/emulator/machine/cta.h"
#include "util/log.h"

namespace gemmsmith::emulator {
namespace {

enum class Action : std::uint8_t { kSync, kArrive, kCount, kAnd, kOr };

/// Operands: number, threads (a constant 0: all), and of reductions the predicate and, last, the result.
struct BarrierCall {
  int barrier;
  std::uint32_t threads;
};

/// The same for all lanes, or the kernel is at fault.
BarrierCall ReadOperands(Warp& warp, const Instruction& i) {
  const auto barrier = warp.Get<std::uint32_t>(i.operands[0]), threads = warp.Get<std::uint32_t>(i.operands[1]);
  const int first = std::countr_zero(warp.mask());
  for (std::uint32_t m = warp.mask(); m != 0; m &= m - 1) {
    const int lane = std::countr_zero(m);
    if (barrier[lane] != barrier[first] || threads[lane] != threads[first])
      throw warp.Fault(i, lane, "lanes of a warp come to different barriers at once");
  }
  if (barrier[first] >= Cta::kBarriers)
    throw warp.Fault(i, first, fmt::format("there is no barrier {}: a CTA has {}", barrier[first], Cta::kBarriers));
  if (threads[first] % kLanes != 0)
    throw warp.Fault(i, first, fmt::format("{} threads are no whole number of warps", threads[first]));
  return {static_cast<int>(barrier[first]), threads[first]};
}

void CheckThreads(Warp& warp, const Instruction& i, const BarrierCall& call) {
  const CtaBarrier& barrier = warp.cta().barrier(call.barrier);
  if (barrier.arrived != 0 && barrier.expected != call.threads)
    throw warp.Fault(i, std::countr_zero(warp.mask()),
                     fmt::format("barrier {} is waited for by {} threads, and now by {}", call.barrier,
                                 barrier.expected, call.threads));
  const std::uint32_t limit = warp.cta().launch().threads_per_cta();
  if (call.threads > (limit + kLanes - 1) / kLanes * kLanes)
    throw warp.Fault(i, std::countr_zero(warp.mask()),
                     fmt::format("barrier {} waits for {} threads, the CTA has {}", call.barrier, call.threads, limit));
}

Meeting MeetingAt(Warp& warp, int barrier, std::uint64_t phase) {
  return {Meeting::Kind::kCtaBarrier, warp.cta().rank(), static_cast<std::uint32_t>(barrier), phase};
}

template <Action kAction>
void Finish(Warp& warp, const Instruction& i, int number) {
  const CtaBarrier& barrier = warp.cta().barrier(number);
  if (Observer* const observer = warp.observer()) observer->OnWaited(warp, i, MeetingAt(warp, number, barrier.phase));
  if constexpr (kAction == Action::kCount) {
    std::uint32_t out[kLanes];
    for (std::uint32_t& o : out) o = barrier.last_count;
    warp.Put(i.operands[3], out);
  }
  if constexpr (kAction == Action::kAnd || kAction == Action::kOr) {
    const bool all = kAction == Action::kAnd ? barrier.last_count == barrier.last_reducers : barrier.last_count != 0;
    warp.PutPredicate(i.operands[3], all ? kAllLanes : 0);
  }
}

/// A full warp counts whole even where the CTA's last warp has fewer threads: threads are counted by warps.
template <Action kAction>
void Barrier(Warp& warp, const Instruction& i) {
  const bool aligned = i.options[0] != 0;
  const std::uint64_t token = warp.group().token;
  if (token == 0 && aligned && !warp.Gather(kAllLanes)) return;
  const BarrierCall call = ReadOperands(warp, i);
  if (token != 0) {
    const CtaBarrier& barrier = warp.cta().barrier(call.barrier);
    if (barrier.phase + 1 == token)
      return warp.Block("a barrier of the CTA", MeetingAt(warp, call.barrier, barrier.phase));
    warp.group().token = 0;
    return Finish<kAction>(warp, i, call.barrier);
  }
  CheckThreads(warp, i, call);
  std::uint32_t votes = 0;
  if constexpr (kAction != Action::kSync && kAction != Action::kArrive)
    votes = static_cast<std::uint32_t>(std::popcount(warp.GetPredicate(i.operands[2]) & warp.mask()));
  std::uint32_t arriving = static_cast<std::uint32_t>(std::popcount(warp.mask()));
  if (call.threads != 0 && warp.mask() == warp.live()) arriving = kLanes;
  const std::uint64_t phase = warp.cta().barrier(call.barrier).phase;
  warp.cta().barrier(call.barrier).warps |= 1u << warp.index();
  if (Observer* const observer = warp.observer())
    observer->OnArrive(warp, i, MeetingAt(warp, call.barrier, phase), true);
  const bool complete = warp.cta().Arrive(call.barrier, arriving, call.threads, votes);
  if (kAction == Action::kArrive) return;
  if (complete) return Finish<kAction>(warp, i, call.barrier);
  warp.group().token = phase + 1;
  warp.Block("a barrier of the CTA", MeetingAt(warp, call.barrier, phase));
}

/// Waits for the lanes of the mask, which may be at other barriers of the warp.
void WarpBarrier(Warp& warp, const Instruction& i) {
  const auto mask = warp.Get<std::uint32_t>(i.operands[0]);
  const int first = std::countr_zero(warp.mask());
  if ((mask[first] >> first & 1) == 0) throw warp.Fault(i, first, "the lane itself is not in its mask");
  warp.Meet(mask[first]);
}

void Fence(Warp& warp, const Instruction& i) {
  if (Observer* const observer = warp.observer()) observer->OnFence(warp, i);
}

template <Action kAction>
void PrepareBarrier(Decoder& decoder, Instruction& out) {
  using ptx::ScalarType;
  const Form& form = decoder.form();
  constexpr bool kReduces = kAction != Action::kSync && kAction != Action::kArrive;
  const std::size_t count = decoder.operand_count();
  const std::size_t first = kReduces ? 1 : 0;             // Behind the result.
  const std::size_t last = kReduces ? count - 1 : count;  // Before the predicate.
  if (count < first + (kReduces ? 2 : 1) || last - first > 2 || (kAction == Action::kArrive && count != 2))
    throw decoder.Refuse("it has operands too many or too few");
  decoder.Push(decoder.Source(decoder.operand(first), ScalarType::kB32));
  decoder.Push(last - first == 2 ? decoder.Source(decoder.operand(first + 1), ScalarType::kB32)
                                 : decoder.Constant(0, 0, 4));
  if (kReduces) {
    decoder.Push(decoder.Source(decoder.operand(count - 1), ScalarType::kPred));
    decoder.Push(
        decoder.Destination(decoder.operand(0), kAction == Action::kCount ? ScalarType::kB32 : ScalarType::kPred));
  }
  out.options[0] = decoder.source().mnemonic == "bar" || form.Has("aligned") ? 1 : 0;
}

#define GEMMSMITH_BARRIER(action) \
  [](const Form&) -> Execute { return Barrier<Action::action>; }, PrepareBarrier<Action::action>
constexpr Category kCategory = Category::kBarrier;
void IgnoreOperands(Decoder&, Instruction&) {}
#define GEMMSMITH_FENCE [](const Form&) -> Execute { return Fence; }, IgnoreOperands

constexpr Row kRows[] = {
    {"bar[.cta].sync", "", kCategory, 10, 0, GEMMSMITH_BARRIER(kSync)},
    {"bar[.cta].arrive", "", kCategory, 20, 0, GEMMSMITH_BARRIER(kArrive)},
    {"bar[.cta].red.popc.u32", "", kCategory, 20, 0, GEMMSMITH_BARRIER(kCount)},
    {"bar[.cta].red.and.pred", "", kCategory, 20, 0, GEMMSMITH_BARRIER(kAnd)},
    {"bar[.cta].red.or.pred", "", kCategory, 20, 0, GEMMSMITH_BARRIER(kOr)},
    {"barrier[.cta].sync[.aligned]", "", kCategory, 60, 30, GEMMSMITH_BARRIER(kSync)},
    {"barrier[.cta].arrive[.aligned]", "", kCategory, 60, 30, GEMMSMITH_BARRIER(kArrive)},
    {"barrier[.cta].red.popc[.aligned].u32", "", kCategory, 60, 30, GEMMSMITH_BARRIER(kCount)},
    {"barrier[.cta].red.and[.aligned].pred", "", kCategory, 60, 30, GEMMSMITH_BARRIER(kAnd)},
    {"barrier[.cta].red.or[.aligned].pred", "", kCategory, 60, 30, GEMMSMITH_BARRIER(kOr)},
    {"bar.warp.sync", "sb32", kCategory, 60, 30, [](const Form&) -> Execute { return WarpBarrier; }},
    {"membar.{cta,gl,sys}", "", Category::kFence, 14, 0, GEMMSMITH_FENCE},
    {"membar.proxy.{alias,async,async.global,async.shared::cta,async.shared::cluster}", "", Category::kFence, 75, 70,
     GEMMSMITH_FENCE},
    {"fence[.{sc,acq_rel,acquire,release}].{cta,cluster,gpu,sys}", "", Category::kFence, 60, 70, GEMMSMITH_FENCE},
    {"fence.{acquire,release}.sync_restrict.{shared::cluster,shared::cta}.cluster", "", Category::kFence, 86, 90,
     GEMMSMITH_FENCE},
    {"fence.mbarrier_init.release.cluster", "", Category::kFence, 80, 90, GEMMSMITH_FENCE},
    {"fence.proxy.{alias,async}[.{global,shared::cta,shared::cluster}]", "", Category::kFence, 75, 70, GEMMSMITH_FENCE},
    {"fence.proxy.tensormap::generic.{acquire,release}.{cta,cluster,gpu,sys}", "", Category::kFence, 83, 90,
     GEMMSMITH_FENCE},
};

}  // namespace

std::span<const Row> BarrierRows() { return kRows; }

}  // namespace gemmsmith::emulator
