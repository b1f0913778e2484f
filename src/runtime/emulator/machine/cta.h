#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "runtime/emulator/machine/async_work.h"
#include "runtime/emulator/machine/launch.h"
#include "runtime/emulator/machine/mbarrier.h"
#include "runtime/emulator/machine/tensor_memory.h"
#include "runtime/emulator/machine/warp.h"
#include "runtime/emulator/machine/warpgroup.h"

namespace gemmsmith::emulator {

class Cluster;

/// One of the 16 barriers of a CTA. Counts threads.
struct CtaBarrier {
  std::uint32_t arrived = 0;
  std::uint32_t expected = 0;  ///< 0: all threads that live.
  std::uint64_t phase = 0;     ///< How often it has completed.
  std::uint32_t warps = 0;     ///< Bits of those that have arrived.
  // barrier.red: of the running phase, and of the one before for those that still have to read it.
  std::uint32_t count = 0, last_count = 0;
  std::uint32_t reducers = 0, last_reducers = 0;
};

/// A thread block: its warps, shared memory and barriers.
class Cta {
 public:
  static constexpr int kBarriers = 16;

  Cta(const Launch& launch, Cluster& cluster, Dim3 id, std::uint32_t rank);

  const Launch& launch() const { return *launch_; }
  Cluster& cluster() const { return *cluster_; }
  Dim3 id() const { return id_; }
  std::uint32_t rank() const { return rank_; }  ///< In its cluster.
  std::byte* shared() const { return shared_; }
  /// Shared memory by the addresses that kernels see: from 0 on, of which they own what follows kSharedBegin.
  std::span<std::byte> window() const { return {shared_ - kSharedBegin, kSharedBegin + launch_->shared_bytes()}; }
  Mbarriers& mbarriers() { return mbarriers_; }
  Warpgroups& warpgroups() { return warpgroups_; }
  TensorMemory& tensor_memory() { return tensor_memory_; }
  std::vector<Warp>& warps() { return warps_; }
  bool done() const;
  std::uint32_t live_threads() const;

  /// Threads arrive at a barrier. `threads`: how many it waits for, 0: all. True when that completed its phase.
  bool Arrive(int barrier, std::uint32_t arriving, std::uint32_t threads, std::uint32_t votes = 0);
  CtaBarrier& barrier(int index) { return barriers_[static_cast<std::size_t>(index)]; }
  /// Lanes have exited: barriers that waited only for them are complete.
  void OnExit();

  /// Every warp once, in an order drawn from the seed. Whether any executed anything.
  bool RunOnce(std::uint64_t& budget);
  /// The warps that are at an instruction that communicates execute it, and some more.
  void Communicate();
  bool WantsToCommunicate() const { return communicating_ != 0; }

 private:
  const Launch* launch_;
  Cluster* cluster_;
  Dim3 id_;
  std::uint32_t rank_;
  std::vector<std::byte> storage_;
  std::byte* shared_ = nullptr;
  Mbarriers mbarriers_;
  Warpgroups warpgroups_;
  TensorMemory tensor_memory_;
  std::vector<Warp> warps_;
  std::vector<bool> at_communication_;
  std::size_t communicating_ = 0;
  std::uint64_t random_ = 0;
  std::array<CtaBarrier, kBarriers> barriers_{};
};

/// barrier.cluster. Counts threads.
struct ClusterBarrier {
  std::uint32_t arrived = 0;
  std::uint64_t phase = 0;  ///< How often it has completed.
};

/// CTAs that are scheduled together and see each other's shared memory. Often one. Its CTAs are made when it first
/// runs, and gone when it is done.
class Cluster {
 public:
  enum class State : std::uint8_t { kRunning, kBlocked, kDone };

  Cluster(const Launch& launch, std::uint64_t index);

  static Dim3 IdOf(const Launch& launch, std::uint64_t index);

  std::uint64_t index() const { return index_; }
  Dim3 id() const { return id_; }
  std::uint32_t size() const { return static_cast<std::uint32_t>(ctas_.size()); }
  Cta* cta(std::uint32_t rank) { return rank < ctas_.size() ? ctas_[rank].get() : nullptr; }
  State state() const { return state_; }
  /// Up to the quantum; stops earlier where nothing in the cluster can go on without the rest of the grid.
  void Run();
  void Communicate();
  bool WantsToCommunicate() const;

  /// Counts what ends a deadlock: values that change, arrivals, exits.
  std::uint64_t changes = 0;
  /// Set by the scheduler when it suspects one: stores then look whether the value is new.
  bool watched = false;
  AsyncWork& async() { return async_; }
  Observer* observer() const { return observer_.get(); }  ///< Null: none.
  const ClusterBarrier& barrier() const { return barrier_; }
  /// Threads arrive at barrier.cluster; 0: some have exited, which may complete it.
  void Arrive(std::uint32_t threads);
  /// Whether every warp waits or has polled; forgets who polled.
  bool OnlyPolls();
  RunStatistics statistics() const { return statistics_; }

 private:
  void Begin();
  void Settle();
  std::uint64_t Executed() const;

  const Launch* launch_;
  std::uint64_t index_;
  Dim3 id_;
  State state_ = State::kRunning;
  std::vector<std::unique_ptr<Cta>> ctas_;
  std::unique_ptr<Observer> observer_;
  AsyncWork async_;
  ClusterBarrier barrier_;
  RunStatistics statistics_;
};

}  // namespace gemmsmith::emulator
