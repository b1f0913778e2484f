#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "runtime/emulator/check/foreign.h"

namespace gemmsmith::emulator {

/// When an agent did something, by its own count; 0: never.
class Epoch {
 public:
  constexpr Epoch() = default;
  constexpr Epoch(int agent, std::uint32_t time) : bits_(static_cast<std::uint64_t>(agent) << 32 | time) {}
  static constexpr Epoch FromBits(std::uint64_t bits) {
    Epoch epoch;
    epoch.bits_ = bits;
    return epoch;
  }
  constexpr int agent() const { return static_cast<int>(bits_ >> 32); }
  constexpr std::uint32_t time() const { return static_cast<std::uint32_t>(bits_); }
  constexpr std::uint64_t bits() const { return bits_; }
  constexpr explicit operator bool() const { return time() != 0; }
  constexpr bool operator==(const Epoch&) const = default;

 private:
  std::uint64_t bits_ = 0;
};

/// What is known of each agent: everything that it did up to a time. Also what agents leave behind at a barrier.
struct Knowledge {
  std::vector<std::uint32_t> times;
  std::vector<std::uint32_t> fenced;  ///< Up to when its writes are visible to the async proxy (fence.proxy.async).
  ForeignKnowledge foreign;           ///< Null: nothing.

  void Join(const Knowledge& other);
  void Clear();
};

/// Vector clocks of a cluster: agents 0 to warps - 1 are its warps, the others asynchronous operations. A warp is one
/// agent, so that what its lanes do to each other is not seen.
class Clocks {
 public:
  explicit Clocks(int warps);

  int warps() const { return warps_; }
  bool is_warp(int agent) const { return agent < warps_; }
  Epoch Now(int agent) const { return {agent, agents_[agent].knowledge.times[agent]}; }
  const Knowledge& KnowledgeOf(int agent) const { return agents_[agent].knowledge; }
  /// Changes whenever what the agent knows does.
  std::uint64_t Version(int agent) const { return agents_[agent].version; }

  /// Whether what happened then is over, for all that `agent` has heard.
  bool Knows(int agent, Epoch then) const { return Has(agents_[agent].knowledge.times, then); }
  /// Whether it was fenced for the async proxy since.
  bool KnowsFenced(int agent, Epoch then) const { return Has(agents_[agent].knowledge.fenced, then); }

  /// Arrival: what the agent knows and did goes into `to`.
  void Release(int agent, Knowledge& to);
  /// The end of an operation, and nothing that its issuer knew.
  void ReleaseAlone(int agent, Knowledge& to);
  /// The end of a wait.
  void Acquire(int agent, const Knowledge& from);
  /// fence.proxy.async: the agent's writes so far, and those of asynchronous operations that it issued and awaited.
  void FenceProxyAsync(int agent);

  /// Agents of asynchronous operations that there may be before one is used again whose end the issuer has not heard
  /// of. Two such operations seem to be in order.
  static constexpr int kManyAsync = 512;

  /// An operation that goes on beside its issuer, and knows what that one knew. It is an agent of its own until
  /// EndAsync: Release its knowledge into whatever tells of its completion before.
  int BeginAsync(int issuer);
  void EndAsync(int agent);
  /// More of the same operation is issued: it then knows what its issuer knows now.
  void ContinueAsync(int agent);
  int IssuerOf(int agent) const { return agents_[agent].issuer; }

 private:
  struct Agent {
    Knowledge knowledge;
    std::uint64_t version = 0;
    int issuer = -1;
    std::uint32_t told = 0;            // the time of the last Release
    std::uint64_t issuer_version = 0;  // when it heard of its issuer last
    bool busy = false;
  };

  static bool Has(const std::vector<std::uint32_t>& times, Epoch then) {
    const auto agent = static_cast<std::size_t>(then.agent());
    return then.time() == 0 || (agent < times.size() && times[agent] >= then.time());
  }
  void Tick(int agent);
  int FreeAgent(int issuer);

  int warps_;
  int next_lossy_ = 0;
  std::vector<Agent> agents_;
};

}  // namespace gemmsmith::emulator
