// mbarrier, and what arrives on one when copies of cp.async are through.
#include "runtime/emulator/machine/mbarrier.h"

#include "runtime/emulator/isa/collective.h"
#include "runtime/emulator/isa/memory_form.h"
#include "runtime/emulator/isa/shared_place.h"
#include "runtime/emulator/machine/async_work.h"

namespace gemmsmith::emulator {
namespace {

using ptx::ScalarType;

/// What happens to a barrier, for the observer.
enum class Change : std::uint8_t { kExistence, kArrival, kRelaxedArrival, kCount };

void Tell(Warp& warp, const Instruction& i, const SharedPlace& place, Change change) {
  Observer* const observer = warp.observer();
  if (observer == nullptr || change == Change::kCount) return;
  if (change == Change::kExistence)
    observer->OnMbarrier(warp, i, MeetingAt(place));
  else
    observer->OnArrive(warp, i, MeetingAt(place), change == Change::kArrival);
}

/// f(lane, CTA's barriers, address) for each lane that executes.
template <class F>
void ForEachBarrier(Warp& warp, const Instruction& i, const Operand& address, Change change, F f) {
  std::uint64_t addresses[kLanes];
  warp.GetAddresses(address, addresses);
  for (std::uint32_t m = warp.mask(); m != 0; m &= m - 1) {
    const int lane = std::countr_zero(m);
    const SharedPlace place = PlaceOf(warp, i, lane, addresses[lane], static_cast<Window>(i.options[0]));
    Tell(warp, i, place, change);
    Guarded(warp, i, lane, [&] { f(lane, place.cta->mbarriers(), place.address); });
  }
  ++warp.cta().cluster().changes;
}

void Init(Warp& warp, const Instruction& i) {
  const auto count = warp.Get<std::uint32_t>(i.operands[1]);
  ForEachBarrier(warp, i, i.operands[0], Change::kExistence,
                 [&](int lane, Mbarriers& all, std::uint32_t at) { all.Init(at, count[lane]); });
}
void Invalidate(Warp& warp, const Instruction& i) {
  ForEachBarrier(warp, i, i.operands[0], Change::kExistence,
                 [](int, Mbarriers& all, std::uint32_t at) { all.Invalidate(at); });
}
void ExpectTx(Warp& warp, const Instruction& i) {
  const auto bytes = warp.Get<std::uint32_t>(i.operands[1]);
  ForEachBarrier(warp, i, i.operands[0], Change::kCount,
                 [&](int lane, Mbarriers& all, std::uint32_t at) { all.ExpectTx(at, bytes[lane]); });
}
void CompleteTx(Warp& warp, const Instruction& i) {
  const auto bytes = warp.Get<std::uint32_t>(i.operands[1]);
  ForEachBarrier(warp, i, i.operands[0], Change::kCount,
                 [&](int lane, Mbarriers& all, std::uint32_t at) { all.CompleteTx(at, bytes[lane]); });
}

/// Operands: the state, the address, and a count or bytes. options[1]: Mbarriers::ArriveKind; options[2]: the number is
/// of bytes.
void Arrive(Warp& warp, const Instruction& i) {
  const auto number = warp.Get<std::uint32_t>(i.operands[2]);
  const auto kind = static_cast<Mbarriers::ArriveKind>(i.options[1]);
  const bool expects = i.options[2] != 0;
  std::uint64_t states[kLanes] = {};
  const Change change = i.options[3] != 0 ? Change::kRelaxedArrival : Change::kArrival;
  ForEachBarrier(warp, i, i.operands[1], change, [&](int lane, Mbarriers& all, std::uint32_t at) {
    states[lane] = all.Arrive(at, expects ? 1 : number[lane], kind, expects ? number[lane] : 0).state;
  });
  if (!i.operands[0].sink) warp.PutBits(i.operands[0], states);
}

/// Operands: the predicate, the address, the state or parity. A try_wait that would return false waits: nobody can
/// tell.
template <bool kTry>
void Wait(Warp& warp, const Instruction& i) {
  const bool parity = i.options[1] != 0;
  std::uint64_t which[kLanes];
  warp.GetBits(i.operands[2], which);
  std::uint64_t addresses[kLanes];
  warp.GetAddresses(i.operands[1], addresses);
  std::uint32_t done = 0;
  std::optional<Meeting> waited;
  for (std::uint32_t m = warp.mask(); m != 0; m &= m - 1) {
    const int lane = std::countr_zero(m);
    const SharedPlace place = PlaceOf(warp, i, lane, addresses[lane], static_cast<Window>(i.options[0]));
    const Mbarriers& all = place.cta->mbarriers();
    const bool ended = Guarded(warp, i, lane, [&] {
      return parity ? all.TestWaitParity(place.address, static_cast<std::uint32_t>(which[lane]))
                    : all.TestWait(place.address, which[lane]);
    });
    done |= static_cast<std::uint32_t>(ended) << lane;
    if (!ended && !waited) waited = MeetingAt(place);
    if (Observer* const observer = ended ? warp.observer() : nullptr) observer->OnWaited(warp, i, MeetingAt(place));
  }
  if (done == 0 && kTry) return warp.Block("an mbarrier", waited);
  if (done != warp.mask()) warp.Yield();
  warp.PutPredicate(i.operands[0], done);
}

void PendingCount(Warp& warp, const Instruction& i) {
  std::uint64_t states[kLanes];
  warp.GetBits(i.operands[1], states);
  for (std::uint64_t& state : states) state = Mbarriers::PendingCount(state);
  warp.PutBits(i.operands[0], states);
}

/// Arrives on a barrier for each lane once the lane's copies that were issued before have ended.
class ArrivalOfCopies final : public AsyncOperation {
 public:
  ArrivalOfCopies(Warp& warp, const Instruction& i, std::uint32_t lane, std::uint32_t address)
      : AsyncOperation(warp, i, AsyncGroup::kNone, 1u << lane),
        before_(warp.cta().cluster().async().issued()),
        address_(address) {}
  bool Ready() const override {
    return !warp().cta().cluster().async().Pending(warp(), AsyncGroup::kCopy, lanes(), before_);
  }
  void Finish() override {
    if (Observer* const observer = warp().observer()) observer->OnSignal(*this, MeetingAt({&warp().cta(), address_}));
    warp().cta().mbarriers().Arrive(address_);
  }

 private:
  std::uint64_t before_;
  std::uint32_t address_;
};

void ArriveAfterCopies(Warp& warp, const Instruction& i) {
  const bool counted = i.options[1] != 0;
  ForEachBarrier(warp, i, i.operands[0], Change::kCount, [&](int lane, Mbarriers& all, std::uint32_t at) {
    if (!counted) all.AddPending(at);
    warp.cta().cluster().async().Add(std::make_unique<ArrivalOfCopies>(warp, i, static_cast<std::uint32_t>(lane), at));
  });
}

void PrepareSpace(Decoder& decoder, Instruction& out) {
  out.options[0] = static_cast<std::uint8_t>(FindWindow(decoder.form()));
}

void PrepareArrive(Decoder& decoder, Instruction& out) {
  const Form& form = decoder.form();
  const bool expects = form.Has("expect_tx"),
             drops = decoder.source().mnemonic == "mbarrier" && form.Has("arrive_drop");
  const std::size_t count = decoder.operand_count();
  if (count < 2 || count > 3 || (count == 2 && (expects || form.Has("noComplete"))))
    throw decoder.Refuse("it takes a state, an address and a number");
  PrepareSpace(decoder, out);
  using Kind = Mbarriers::ArriveKind;
  const Kind kind = form.Has("noComplete") ? Kind::kNoComplete : drops ? Kind::kDrop : Kind::kPlain;
  out.options[1] = static_cast<std::uint8_t>(kind);
  out.options[2] = expects ? 1 : 0;
  out.options[3] = form.Has("relaxed") ? 1 : 0;
  if (static_cast<Window>(out.options[0]) == Window::kSharedCluster &&
      decoder.operand(0).kind != ptx::Operand::Kind::kSink)
    throw decoder.Refuse("an arrival at shared::cluster returns no state: write _");
  decoder.Push(decoder.Destination(decoder.operand(0), ScalarType::kB64));
  decoder.Push(decoder.Address(decoder.operand(1)));
  decoder.Push(count == 3 ? decoder.Source(decoder.operand(2), ScalarType::kB32) : decoder.Constant(1, 0, 4));
}

void PrepareWait(Decoder& decoder, Instruction& out) {
  PrepareSpace(decoder, out);
  const bool parity = decoder.form().Has("parity");
  const std::size_t count = decoder.operand_count();
  // Behind them there may be for how long to suspend the thread.
  if (count < 3 || count > (decoder.form().Has("try_wait") ? 4u : 3u))
    throw decoder.Refuse("it takes a predicate, an address, and a state or parity");
  out.options[1] = parity ? 1 : 0;
  decoder.Push(decoder.Destination(decoder.operand(0), ScalarType::kPred));
  decoder.Push(decoder.Address(decoder.operand(1)));
  decoder.Push(decoder.Source(decoder.operand(2), parity ? ScalarType::kB32 : ScalarType::kB64));
}

void PrepareArriveAfterCopies(Decoder& decoder, Instruction& out) {
  PrepareSpace(decoder, out);
  out.options[1] = decoder.form().Has("noinc") ? 1 : 0;
}

constexpr Category kCategory = Category::kBarrier;
#define GEMMSMITH_EXECUTE(...) [](const Form&) -> Execute { return __VA_ARGS__; }
#define GEMMSMITH_ORDER "[.{release,relaxed}][.{cta,cluster}]"
#define GEMMSMITH_OWN "[.{shared,shared::cta}]"
#define GEMMSMITH_ANY "[.{shared,shared::cta,shared::cluster}]"

constexpr Row kRows[] = {
    {"mbarrier.init" GEMMSMITH_OWN ".b64", "a sb32", kCategory, 70, 80, GEMMSMITH_EXECUTE(Init), PrepareSpace},
    {"mbarrier.inval" GEMMSMITH_OWN ".b64", "a", kCategory, 70, 80, GEMMSMITH_EXECUTE(Invalidate), PrepareSpace},
    {"mbarrier.expect_tx[.relaxed][.{cta,cluster}]" GEMMSMITH_ANY ".b64", "a sb32", kCategory, 80, 90,
     GEMMSMITH_EXECUTE(ExpectTx), PrepareSpace},
    {"mbarrier.complete_tx[.relaxed][.{cta,cluster}]" GEMMSMITH_ANY ".b64", "a sb32", kCategory, 80, 90,
     GEMMSMITH_EXECUTE(CompleteTx), PrepareSpace},
    {"mbarrier.{arrive,arrive_drop}" GEMMSMITH_ORDER GEMMSMITH_ANY ".b64", "", kCategory, 70, 80,
     GEMMSMITH_EXECUTE(Arrive), PrepareArrive},
    {"mbarrier.{arrive,arrive_drop}.noComplete" GEMMSMITH_ORDER GEMMSMITH_OWN ".b64", "", kCategory, 70, 80,
     GEMMSMITH_EXECUTE(Arrive), PrepareArrive},
    {"mbarrier.{arrive,arrive_drop}.expect_tx" GEMMSMITH_ORDER GEMMSMITH_ANY ".b64", "", kCategory, 80, 90,
     GEMMSMITH_EXECUTE(Arrive), PrepareArrive},
    {"mbarrier.test_wait[.parity][.{acquire,relaxed}][.{cta,cluster}]" GEMMSMITH_OWN ".b64", "", kCategory, 70, 80,
     GEMMSMITH_EXECUTE(Wait<false>), PrepareWait, kPolls},
    {"mbarrier.try_wait[.parity][.{acquire,relaxed}][.{cta,cluster}]" GEMMSMITH_OWN ".b64", "", kCategory, 78, 90,
     GEMMSMITH_EXECUTE(Wait<true>), PrepareWait, kPolls},
    {"mbarrier.pending_count.b64", "db32 sb64", kCategory, 70, 80, GEMMSMITH_EXECUTE(PendingCount)},
    {"cp.async.mbarrier.arrive[.noinc]" GEMMSMITH_OWN ".b64", "a", kCategory, 70, 80,
     GEMMSMITH_EXECUTE(ArriveAfterCopies), PrepareArriveAfterCopies},
};

}  // namespace

std::span<const Row> MbarrierRows() { return kRows; }

}  // namespace gemmsmith::emulator
