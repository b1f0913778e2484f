#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "runtime/emulator/check/code_index.h"
#include "runtime/emulator/check/global_shadow.h"
#include "runtime/emulator/machine/cta.h"

namespace gemmsmith::emulator {

/// What the agents of one cluster do to global memory in a round, and what they know when they do.
class GlobalLog {
 public:
  /// By lanes whose bytes follow each other, from `lane` on.
  struct Entry {
    std::uint64_t address;
    std::uint32_t bytes, what, moment, lane_bytes;
    std::uint8_t lane;
    AccessKind kind;
    Atomicity atomicity;
  };
  struct Moment {
    int agent;
    std::uint16_t warp;
    std::uint32_t time;
    std::size_t times, agents;  // of all agents of the cluster, in times()
    ForeignKnowledge foreign;
  };

  GlobalLog(const Cluster& cluster, const Clocks& clocks)
      : cluster_(static_cast<std::uint32_t>(cluster.index())), clocks_(&clocks) {}

  void Add(int agent, std::uint32_t what, Atomicity atomicity, AccessKind kind, std::uint64_t address,
           std::uint64_t bytes, int lane, std::uint32_t lane_bytes);
  /// The clocks are no more.
  void Close() { clocks_ = nullptr; }
  bool closed() const { return clocks_ == nullptr; }
  void Clear();

  std::uint32_t cluster() const { return cluster_; }
  const std::vector<Entry>& entries() const { return entries_; }
  const Moment& moment(std::uint32_t index) const { return moments_[index]; }
  GridKnowledge KnowledgeAt(const Moment& moment) const {
    return {cluster_, times_.data() + moment.times, moment.agents, moment.foreign.get()};
  }

 private:
  struct Last {
    std::uint64_t version = ~std::uint64_t{0};
    std::uint32_t moment = 0;
  };
  std::uint32_t MomentOf(int agent);

  std::uint32_t cluster_;
  const Clocks* clocks_;
  std::vector<Entry> entries_;
  std::vector<Moment> moments_;
  std::vector<std::uint32_t> times_;
  std::vector<Last> last_;  // by agent
};

/// Races through global memory between all agents of a grid.
///
/// While clusters run at once, each writes down what it does in a log of its own. At the end of a round one thread
/// carries the logs into one shadow, cluster by cluster, so that the findings do not depend on the threads. That is
/// soon enough: clusters learn of each other only between rounds, one after the other in the same order.
class GlobalRaces {
 public:
  explicit GlobalRaces(const CodeIndex& code) : code_(code) {}

  /// Threads may ask at once. Gone in the round after the one in which it is closed.
  GlobalLog& Open(const Launch& launch, const Cluster& cluster, const Clocks& clocks);
  /// Throws kDevice for the first race.
  void EndRound();

  // What goes from cluster to cluster by strong accesses to an address. Between rounds alone, by one cluster at a time.
  void Publish(std::uint64_t address, std::uint32_t cluster, const Knowledge& told);
  /// In the terms of that cluster.
  Knowledge Published(std::uint64_t address, std::uint32_t cluster) const;

 private:
  void Carry(const GlobalLog& log);
  [[noreturn]] void Report(const GlobalLog& log, const GlobalLog::Entry& entry, const GlobalShadow::Conflict& conflict);
  std::string NameOf(std::uint32_t what) const;
  Dim3 CtaOf(std::uint32_t cluster, std::uint32_t warp) const;
  std::uint32_t WarpsOfCta() const;
  std::uint64_t KeyOf(std::uint64_t address) const;

  const CodeIndex& code_;
  std::mutex mutex_;
  const Launch* launch_ = nullptr;
  std::vector<std::unique_ptr<GlobalLog>> logs_;
  GlobalShadow shadow_;
  std::unordered_map<std::uint64_t, ForeignKnowledge> published_;
};

}  // namespace gemmsmith::emulator
