#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace gemmsmith::emulator {

/// The mbarrier objects in the shared memory of one CTA (PTX ISA, "mbarrier"). Their state is kept here; the 8 bytes in
/// shared memory mirror it, so that a kernel that writes over a barrier is told so. Every function throws kDevice for
/// what the PTX ISA calls undefined: use before init, init of a live barrier, more arrivals than expected, counts out
/// of range, bytes that nobody expects any more.
class Mbarriers {
 public:
  /// 2^20 - 1: the largest arrival count, and the largest count of bytes in either direction.
  static constexpr std::uint32_t kMaxCount = (1u << 20) - 1;

  enum class ArriveKind {
    kPlain,
    kNoComplete,  ///< Must not be the last one.
    kDrop,        ///< Expects fewer arrivals from the next phase on.
  };
  struct Arrival {
    std::uint64_t state;  ///< Of before, for TestWait and PendingCount.
    bool completed;       ///< A phase ended; whoever waits may look again.
  };
  /// What a barrier's waiters wait for.
  struct Barrier {
    std::uint32_t address;
    std::uint32_t expected, pending;  ///< Arrivals of a phase; those to come in this one.
    std::int32_t bytes;               ///< tx-count: expected less completed.
    std::uint64_t phase;              ///< Phases that have ended. Its lowest bit is the parity of the current one.
    bool live;
  };

  explicit Mbarriers(std::span<std::byte> shared);

  void Init(std::uint32_t address, std::uint32_t count);
  void Invalidate(std::uint32_t address);
  /// Both return whether a phase ended.
  bool ExpectTx(std::uint32_t address, std::uint32_t bytes);
  bool CompleteTx(std::uint32_t address, std::uint32_t bytes);
  /// `expect_bytes` are expected before the arrival (.expect_tx).
  Arrival Arrive(std::uint32_t address, std::uint32_t count = 1, ArriveKind kind = ArriveKind::kPlain,
                 std::uint32_t expect_bytes = 0);
  /// One arrival more in this phase: cp.async.mbarrier.arrive without .noinc, which later arrives.
  void AddPending(std::uint32_t address);
  /// Whether the phase in which `state` was had has ended.
  bool TestWait(std::uint32_t address, std::uint64_t state) const;
  /// Whether the phase of that parity has ended, which is the current or the one before.
  bool TestWaitParity(std::uint32_t address, std::uint32_t parity) const;
  static std::uint32_t PendingCount(std::uint64_t state) { return static_cast<std::uint32_t>(state) & kMaxCount; }

  /// Phases that have ended of the barrier there; 0 where there is none.
  std::uint64_t PhaseOf(std::uint32_t address) const;
  /// A small number for as long as the barrier lives, from 0 on; for what others keep beside a barrier.
  std::size_t IndexOf(std::uint32_t address) const;
  /// All that were ever made; for reports.
  std::span<const Barrier> all() const { return barriers_; }

 private:
  const Barrier& Find(std::uint32_t address, const char* operation) const;
  Barrier& Find(std::uint32_t address, const char* operation);
  bool Update(Barrier& barrier, const char* operation);
  void Mirror(const Barrier& barrier);

  std::span<std::byte> shared_;
  std::vector<std::uint16_t> index_;  // of 8 bytes of shared memory: barrier + 1, or 0
  std::vector<Barrier> barriers_;
};

}  // namespace gemmsmith::emulator
