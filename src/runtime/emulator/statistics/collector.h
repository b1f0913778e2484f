#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "gemmsmith/emulation.h"
#include "runtime/emulator/machine/async_work.h"
#include "runtime/emulator/machine/launch.h"
#include "runtime/emulator/statistics/access_cost.h"
#include "runtime/emulator/statistics/instruction_facts.h"

namespace gemmsmith::emulator {

class Collectors;

/// Sums of one cluster, or of several.
struct Sums {
  KernelStatistics counts;                          ///< But for what follows.
  std::vector<std::uint64_t> categories, products;  ///< Instructions, by their numbers.

  Sums& operator+=(const Sums& other);
};

/// Counts what the warps of one cluster do. Its sums go to those of the launch at its end.
class Collector final : public Observer {
 public:
  explicit Collector(Collectors& launch);
  ~Collector() override;

  bool counts_instructions() const override { return true; }
  void OnExecuted(Warp& warp, const Instruction& i) override;
  void OnAccess(Warp& warp, const WarpAccess& access) override;
  void OnWaited(Warp& warp, const Instruction& i, const Meeting& meeting) override;
  void OnIssue(AsyncOperation& operation) override;

 private:
  void OnGlobal(const WarpAccess& access, std::uint32_t lanes, InstructionFact::Access kind);
  void OnLocal(const WarpAccess& access, std::uint32_t lanes);
  void OnShared(const WarpAccess& access, std::uint32_t lanes, InstructionFact::Access kind);
  void OnBulk(const WarpAccess& access, InstructionFact::Access kind);
  void AddTraffic(std::span<const Piece> pieces, MemoryTraffic& traffic);

  Collectors& launch_;
  const InstructionFacts& facts_;
  Sums sums_;
  KernelStatistics& counts_ = sums_.counts;
  // Of the instruction that is being executed.
  std::vector<Piece> copied_;  // what its cp.async reads
  std::array<bool, 3> waited_{};
  // Of the bulk copy that is about to be issued.
  BulkTraffic bulk_;
  std::uint64_t bulk_ranks_ = 0;  // CTAs that it writes to, by bits
};

/// The collectors of a launch.
class Collectors final : public ObserverSource {
 public:
  /// Observes beside those of `others`, if that is not null.
  Collectors(const CodeIndex& code, ObserverSource* others) : facts_(code), others_(others) {}
  std::unique_ptr<Observer> Observe(Cluster& cluster) override;
  void OnRoundEnd() override {
    if (others_ != nullptr) others_->OnRoundEnd();
  }

  /// What all clusters did, once they are through. Without the name.
  KernelStatistics Total(const RunStatistics& run) const;

 private:
  friend class Collector;
  void Add(const Sums& sums);

  const InstructionFacts facts_;
  ObserverSource* const others_;
  std::mutex mutex_;  // Taken once by each cluster; the order of sums does not matter.
  Sums sums_;
};

}  // namespace gemmsmith::emulator
