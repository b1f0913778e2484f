#pragma once

#include <cstdint>
#include <memory>
#include <new>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "gemmsmith/kernel.h"
#include "runtime/emulator/machine/code.h"
#include "runtime/emulator/machine/memory_map.h"

namespace gemmsmith::emulator {

class AsyncOperation;
class Cta;
class Cluster;
enum class AsyncGroup : std::uint8_t;
struct TensorWords;

enum class AccessKind : std::uint8_t { kRead, kWrite, kAtomic };
enum class MemorySpace : std::uint8_t { kGlobal, kShared, kLocal };

/// One memory access of a warp, as checkers and statistics see it.
struct WarpAccess {
  const Instruction* instruction = nullptr;
  AccessKind kind = AccessKind::kRead;
  std::uint32_t lanes = 0;
  std::uint32_t bytes = 0;                      ///< Per lane.
  std::array<std::uint64_t, kLanes> addresses;  ///< Generic.
};

/// What warps arrive at and wait for, and its phase that runs when they do.
struct Meeting {
  enum class Kind : std::uint8_t { kCtaBarrier, kClusterBarrier, kMbarrier };
  Kind kind{};
  std::uint32_t rank = 0;   ///< Of the CTA in its cluster.
  std::uint32_t place = 0;  ///< Number of the barrier, or its address in shared memory.
  std::uint64_t phase = 0;
};

/// Who uses tensor memory: a warp at once, or later in its loads or its stores, or the tensor core for one of its
/// lanes.
enum class TensorUser : std::uint8_t { kWarp, kLoads, kStores, kCore };

/// Told of what the warps of one cluster do, by one thread at a time. What it throws ends the launch.
class Observer {
 public:
  virtual ~Observer() = default;
  /// Whether OnExecuted is to be called.
  virtual bool counts_instructions() const { return false; }
  /// An instruction is through, behind all that the others below tell of it. The warp's lanes are still those that
  /// executed it.
  virtual void OnExecuted(Warp&, const Instruction&) {}
  /// By the warp, or by an asynchronous operation that it is about to issue: the instruction tells.
  virtual void OnAccess(Warp&, const WarpAccess&) {}
  /// Just before an arrival counts. One that does not release tells only of what was fenced before.
  virtual void OnArrive(Warp&, const Instruction&, const Meeting&, bool /*releases*/) {}
  /// A wait that has ended.
  virtual void OnWaited(Warp&, const Instruction&, const Meeting&) {}
  virtual void OnFence(Warp&, const Instruction&) {}
  /// An mbarrier was made, or is no more.
  virtual void OnMbarrier(Warp&, const Instruction&, const Meeting&) {}
  /// Behind its accesses; just before it arrives somewhere, or adds to the bytes that have come there; at its end.
  virtual void OnIssue(AsyncOperation&) {}
  virtual void OnSignal(const AsyncOperation&, const Meeting&) {}
  virtual void OnEnd(const AsyncOperation&) {}
  virtual void OnCommit(Warp&, AsyncGroup) {}
  /// The lanes that execute have waited for all but the last `pending` groups; `all`: also for what is in none yet.
  virtual void OnGroupsEnded(Warp&, AsyncGroup, std::uint32_t /*pending*/, bool /*all*/) {}
  /// A tensor core reads pieces of 16 bytes of the CTA's shared memory, until the warp waits for the group.
  virtual void OnTensorRead(Warp&, const Instruction&, std::span<const std::uint32_t> /*pieces*/,
                            std::uint32_t /*group*/) {}
  /// All groups before `group` have ended.
  virtual void OnTensorWait(Warp&, std::uint32_t /*group*/) {}
  /// Tensor memory of a CTA was allocated.
  virtual void OnTensorAllocated(Cta&, int /*column*/, int /*columns*/) {}
  virtual void OnTensorWords(Warp&, const Instruction&, TensorUser, int /*lane*/, std::span<const TensorWords>) {}
  /// The tensor core reads pieces of 16 bytes of a CTA's shared memory for a lane.
  virtual void OnTensorPieces(Warp&, const Instruction&, int /*lane*/, const Cta&, std::span<const std::uint32_t>) {}
  /// The warp's loads or stores have ended.
  virtual void OnTensorWordsEnded(Warp&, TensorUser) {}
  /// Just before it is issued: an operation that will signal that the lane's work so far has ended.
  virtual void OnTensorCommit(AsyncOperation&, int /*lane*/) {}
  /// All lanes have exited.
  virtual void OnExit(Warp&) {}
};

/// Two that are told of the same: whatever an Observer is told of goes to both.
class ObserverPair final : public Observer {
 public:
  ObserverPair(std::unique_ptr<Observer> first, std::unique_ptr<Observer> second)
      : first_(std::move(first)), second_(std::move(second)) {}

  bool counts_instructions() const override { return first_->counts_instructions() || second_->counts_instructions(); }
  void OnExecuted(Warp& warp, const Instruction& i) override { Tell(&Observer::OnExecuted, warp, i); }
  void OnAccess(Warp& warp, const WarpAccess& access) override { Tell(&Observer::OnAccess, warp, access); }
  void OnArrive(Warp& warp, const Instruction& i, const Meeting& meeting, bool releases) override {
    Tell(&Observer::OnArrive, warp, i, meeting, releases);
  }
  void OnWaited(Warp& warp, const Instruction& i, const Meeting& meeting) override {
    Tell(&Observer::OnWaited, warp, i, meeting);
  }
  void OnFence(Warp& warp, const Instruction& i) override { Tell(&Observer::OnFence, warp, i); }
  void OnMbarrier(Warp& warp, const Instruction& i, const Meeting& meeting) override {
    Tell(&Observer::OnMbarrier, warp, i, meeting);
  }
  void OnIssue(AsyncOperation& operation) override { Tell(&Observer::OnIssue, operation); }
  void OnSignal(const AsyncOperation& operation, const Meeting& meeting) override {
    Tell(&Observer::OnSignal, operation, meeting);
  }
  void OnEnd(const AsyncOperation& operation) override { Tell(&Observer::OnEnd, operation); }
  void OnCommit(Warp& warp, AsyncGroup group) override { Tell(&Observer::OnCommit, warp, group); }
  void OnGroupsEnded(Warp& warp, AsyncGroup group, std::uint32_t pending, bool all) override {
    Tell(&Observer::OnGroupsEnded, warp, group, pending, all);
  }
  void OnTensorRead(Warp& warp, const Instruction& i, std::span<const std::uint32_t> pieces,
                    std::uint32_t group) override {
    Tell(&Observer::OnTensorRead, warp, i, pieces, group);
  }
  void OnTensorWait(Warp& warp, std::uint32_t group) override { Tell(&Observer::OnTensorWait, warp, group); }
  void OnTensorAllocated(Cta& cta, int column, int columns) override {
    Tell(&Observer::OnTensorAllocated, cta, column, columns);
  }
  void OnTensorWords(Warp& warp, const Instruction& i, TensorUser user, int lane,
                     std::span<const TensorWords> words) override {
    Tell(&Observer::OnTensorWords, warp, i, user, lane, words);
  }
  void OnTensorPieces(Warp& warp, const Instruction& i, int lane, const Cta& cta,
                      std::span<const std::uint32_t> pieces) override {
    Tell(&Observer::OnTensorPieces, warp, i, lane, cta, pieces);
  }
  void OnTensorWordsEnded(Warp& warp, TensorUser user) override { Tell(&Observer::OnTensorWordsEnded, warp, user); }
  void OnTensorCommit(AsyncOperation& operation, int lane) override {
    Tell(&Observer::OnTensorCommit, operation, lane);
  }
  void OnExit(Warp& warp) override { Tell(&Observer::OnExit, warp); }

 private:
  template <class... Parameters, class... Given>
  void Tell(void (Observer::*what)(Parameters...), Given&&... given) {
    (*first_.*what)(given...);
    (*second_.*what)(given...);
  }

  std::unique_ptr<Observer> first_, second_;
};

/// Makes an observer for each cluster as it begins; threads may ask at once.
class ObserverSource {
 public:
  virtual ~ObserverSource() = default;
  virtual std::unique_ptr<Observer> Observe(Cluster& cluster) = 0;
  /// All clusters have had their turn, and none runs. What it throws ends the launch.
  virtual void OnRoundEnd() {}
};

/// How a launch is run, apart from what it computes.
struct RunOptions {
  std::uint64_t seed = 1;
  int threads = 0;                                    ///< Worker threads; 0: all cores. Never changes the result.
  bool check = true;                                  ///< All checkers but those of bounds, which always do.
  std::uint64_t instruction_budget = 20'000'000'000;  ///< Of warp instructions, per launch.
  std::uint32_t quantum = 1 << 16;                    ///< Instructions of one cluster per round.
  ObserverSource* observers = nullptr;
};

struct RunStatistics {
  std::uint64_t instructions = 0;  ///< Of warps.
  std::uint64_t rounds = 0;
};

template <class T, std::size_t kAlignment>
struct AlignedAllocator {
  using value_type = T;
  template <class U>
  struct rebind {
    using other = AlignedAllocator<U, kAlignment>;
  };
  T* allocate(std::size_t count) {
    return static_cast<T*>(::operator new (count * sizeof(T), std::align_val_t{kAlignment}));
  }
  void deallocate(T* at, std::size_t) { ::operator delete (at, std::align_val_t{kAlignment}); }
  bool operator==(const AlignedAllocator&) const = default;
};

/// One launch of a kernel; immutable while it runs.
struct Launch {
  const Function* kernel = nullptr;
  const std::vector<std::unique_ptr<Function>>* functions = nullptr;  ///< For calls by address.
  std::string name;
  Dim3 grid, block, cluster;
  std::uint32_t static_shared_bytes = 0, dynamic_shared_bytes = 0;
  const std::vector<SharedVariable>* shared_variables = nullptr;  ///< Null: not known.
  /// Tensor maps among them are aligned to 64 bytes.
  std::vector<std::byte, AlignedAllocator<std::byte, 128>> parameters;
  /// Where the CTAs of a cooperative grid wait for each other: its size in bytes and a counter, as the toolkit's
  /// cooperative groups find it by %envreg1 and %envreg2. Written while the launch runs.
  std::vector<std::uint32_t> grid_workspace = {8, 0};
  MemoryMap memory;
  int multiprocessors = 1;
  int ctas_per_multiprocessor = 1;
  std::uint64_t grid_id = 0;
  RunOptions options;

  std::uint32_t threads_per_cta() const { return block.x * block.y * block.z; }
  std::uint32_t shared_bytes() const { return static_shared_bytes + dynamic_shared_bytes; }
  /// "ring+8" for an address in shared memory; empty where no variable is known to lie.
  std::string SharedName(std::uint32_t address) const;
};

/// Runs the launch to its end. Throws kDevice for what the kernel does wrong: the instruction's text, PTX line, source
/// line, CTA, warp and lane; for deadlocks, who waits on what.
RunStatistics Run(const Launch& launch);

}  // namespace gemmsmith::emulator
