#include "runtime/emulator/machine/mbarrier.h"

#include <algorithm>
#include <cstring>

#include "gemmsmith/error.h"
#include "util/log.h"

namespace gemmsmith::emulator {
namespace {

constexpr int kCountBits = 20;
constexpr std::uint64_t kStateMark = std::uint64_t{1} << 63;

/// What lies in shared memory: any function of the state will do that differs where the state differs.
std::uint64_t Word(const Mbarriers::Barrier& barrier) {
  const auto bytes = static_cast<std::uint64_t>(std::int64_t{barrier.bytes} + (1 << kCountBits));
  return barrier.pending | std::uint64_t{barrier.expected} << kCountBits | bytes << (2 * kCountBits) |
         barrier.phase << 61;
}
std::uint64_t StateOf(const Mbarriers::Barrier& barrier) {
  return barrier.pending | (barrier.phase << kCountBits & ~kStateMark) | kStateMark;
}

}  // namespace

Mbarriers::Mbarriers(std::span<std::byte> shared) : shared_(shared), index_(shared.size() / 8) {}

void Mbarriers::Init(std::uint32_t address, std::uint32_t count) {
  if (address % 8 != 0 || address / 8 >= index_.size())
    throw Fail(Code::kDevice, "an mbarrier takes 8 aligned bytes", "mbarrier.init: address {:#x} of {} bytes", address,
               shared_.size());
  if (count == 0 || count > kMaxCount)
    throw Fail(Code::kDevice, "", "mbarrier.init: count {}; 1 to {} are possible", count, kMaxCount);
  std::uint16_t& index = index_[address / 8];
  if (index == 0) {
    if (barriers_.size() == 0xffff) throw Fail(Code::kDevice, "", "mbarrier.init: more than {} barriers", 0xffff);
    barriers_.push_back({address, 0, 0, 0, 0, false});
    index = static_cast<std::uint16_t>(barriers_.size());
  }
  Barrier& barrier = barriers_[index - 1];
  if (barrier.live)
    throw Fail(Code::kDevice, "invalidate it before, or let one thread initialise it",
               "mbarrier.init: the barrier at {:#x} is in use (phase {}, {} of {} arrivals pending)", address,
               barrier.phase, barrier.pending, barrier.expected);
  barrier = {address, count, count, 0, 0, true};
  Mirror(barrier);
}

void Mbarriers::Invalidate(std::uint32_t address) {
  Barrier& barrier = Find(address, "mbarrier.inval");
  barrier.live = false;
}

bool Mbarriers::ExpectTx(std::uint32_t address, std::uint32_t bytes) {
  Barrier& barrier = Find(address, "mbarrier.expect_tx");
  if (bytes > kMaxCount || barrier.bytes > static_cast<std::int32_t>(kMaxCount - bytes))
    throw Fail(Code::kDevice, "", "mbarrier.expect_tx: {} bytes more than {} at {:#x}; at most {}", bytes,
               barrier.bytes, address, kMaxCount);
  barrier.bytes += static_cast<std::int32_t>(bytes);
  return Update(barrier, "mbarrier.expect_tx");
}

bool Mbarriers::CompleteTx(std::uint32_t address, std::uint32_t bytes) {
  Barrier& barrier = Find(address, "mbarrier.complete_tx");
  if (bytes > kMaxCount || barrier.bytes < static_cast<std::int32_t>(bytes) - static_cast<std::int32_t>(kMaxCount))
    throw Fail(Code::kDevice, "", "mbarrier.complete_tx: {} bytes less than {} at {:#x}; at least -{}", bytes,
               barrier.bytes, address, kMaxCount);
  barrier.bytes -= static_cast<std::int32_t>(bytes);
  return Update(barrier, "mbarrier.complete_tx");
}

Mbarriers::Arrival Mbarriers::Arrive(std::uint32_t address, std::uint32_t count, ArriveKind kind,
                                     std::uint32_t expect_bytes) {
  constexpr const char* kOperation = "mbarrier.arrive";
  Barrier& barrier = Find(address, kOperation);
  const std::uint64_t state = StateOf(barrier);
  if (count == 0 || count > barrier.pending)
    throw Fail(Code::kDevice, "initialise it with the number of arrivals of a phase",
               "{}: {} arrivals at {:#x}, where {} of {} are pending (phase {}, {} bytes)", kOperation, count, address,
               barrier.pending, barrier.expected, barrier.phase, barrier.bytes);
  if (expect_bytes != 0) {
    // The arrival itself is pending, so that this cannot end the phase.
    ExpectTx(address, expect_bytes);
  }
  if (kind == ArriveKind::kDrop) barrier.expected -= std::min(count, barrier.expected);
  barrier.pending -= count;
  const bool completed = Update(barrier, kOperation);
  if (completed && kind == ArriveKind::kNoComplete)
    throw Fail(Code::kDevice, "leave the last arrival to an instruction without .noComplete",
               "mbarrier.arrive.noComplete: ends phase {} of the barrier at {:#x}", barrier.phase - 1, address);
  return {state, completed};
}

void Mbarriers::AddPending(std::uint32_t address) {
  Barrier& barrier = Find(address, "cp.async.mbarrier.arrive");
  if (barrier.pending == kMaxCount)
    throw Fail(Code::kDevice, "", "cp.async.mbarrier.arrive: more than {} arrivals pending at {:#x}", kMaxCount,
               address);
  ++barrier.pending;
  Mirror(barrier);
}

bool Mbarriers::TestWait(std::uint32_t address, std::uint64_t state) const {
  const Barrier& barrier = Find(address, "mbarrier.test_wait");
  const std::uint64_t phase = (state & ~kStateMark) >> kCountBits;
  if ((state & kStateMark) == 0 || phase > barrier.phase || phase + 1 < barrier.phase)
    throw Fail(Code::kDevice, "wait for what an arrival of this phase, or of the one before, returned",
               "mbarrier.test_wait: state {:#018x} is none of phase {} of the barrier at {:#x}, nor of the one before",
               state, barrier.phase, address);
  return phase != barrier.phase;
}

bool Mbarriers::TestWaitParity(std::uint32_t address, std::uint32_t parity) const {
  const Barrier& barrier = Find(address, "mbarrier.test_wait.parity");
  if (parity > 1)
    throw Fail(Code::kDevice, "pass 0 or 1", "mbarrier.test_wait.parity: parity {} at {:#x}", parity, address);
  return (barrier.phase & 1) != parity;
}

std::uint64_t Mbarriers::PhaseOf(std::uint32_t address) const {
  const std::uint16_t index = address / 8 < index_.size() ? index_[address / 8] : 0;
  return index == 0 ? 0 : barriers_[index - 1].phase;
}

std::size_t Mbarriers::IndexOf(std::uint32_t address) const {
  return static_cast<std::size_t>(&Find(address, "mbarrier") - barriers_.data());
}

const Mbarriers::Barrier& Mbarriers::Find(std::uint32_t address, const char* operation) const {
  const std::uint16_t index = address % 8 == 0 && address / 8 < index_.size() ? index_[address / 8] : 0;
  if (index == 0 || !barriers_[index - 1].live)
    throw Fail(Code::kDevice, "initialise it, and synchronise before others use it",
               "{}: no barrier was initialised at {:#x}", operation, address);
  const Barrier& barrier = barriers_[index - 1];
  std::uint64_t word;
  std::memcpy(&word, shared_.data() + address, sizeof word);
  if (word != Word(barrier))
    throw Fail(Code::kDevice, "no other data may lie where a barrier lives",
               "{}: the barrier at {:#x} was written over", operation, address);
  return barrier;
}
Mbarriers::Barrier& Mbarriers::Find(std::uint32_t address, const char* operation) {
  return const_cast<Barrier&>(static_cast<const Mbarriers*>(this)->Find(address, operation));
}

/// After any change: ends the phase if nothing is pending. Returns whether it did.
bool Mbarriers::Update(Barrier& barrier, const char* operation) {
  // Bytes may complete before they are expected, but only while somebody who could expect them is still to arrive.
  if (barrier.pending == 0 && barrier.bytes < 0)
    throw Fail(Code::kDevice, "expect all bytes of a phase before its last arrival",
               "{}: {} bytes more than were expected completed at {:#x} in phase {}", operation, -barrier.bytes,
               barrier.address, barrier.phase);
  const bool completed = barrier.pending == 0 && barrier.bytes == 0;
  if (completed) {
    ++barrier.phase;
    barrier.pending = barrier.expected;
  }
  Mirror(barrier);
  return completed;
}

void Mbarriers::Mirror(const Barrier& barrier) {
  const std::uint64_t word = Word(barrier);
  std::memcpy(shared_.data() + barrier.address, &word, sizeof word);
}

}  // namespace gemmsmith::emulator
