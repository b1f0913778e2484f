#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "runtime/emulator/check/clocks.h"
#include "runtime/emulator/check/code_index.h"
#include "runtime/emulator/check/global_races.h"
#include "runtime/emulator/check/shared_shadow.h"
#include "runtime/emulator/check/tensor_shadow.h"
#include "runtime/emulator/machine/async_work.h"
#include "runtime/emulator/machine/cta.h"

namespace gemmsmith::emulator {

/// Watches the memory accesses of a cluster and what orders them: reports races in shared memory, reads of what was
/// never written, and accesses that come before the end of asynchronous work, at the first of them (kDevice). What it
/// does to global memory goes to GlobalRaces.
///
/// A warp is one agent: what its lanes do to each other is not seen.
class Checker final : public Observer {
 public:
  Checker(const CodeIndex& code, Cluster& cluster, GlobalRaces& races);
  ~Checker() override { log_.Close(); }

  void OnAccess(Warp& warp, const WarpAccess& access) override;
  void OnArrive(Warp& warp, const Instruction& i, const Meeting& meeting, bool releases) override;
  void OnWaited(Warp& warp, const Instruction& i, const Meeting& meeting) override;
  void OnFence(Warp& warp, const Instruction& i) override;
  void OnMbarrier(Warp& warp, const Instruction& i, const Meeting& meeting) override;
  void OnIssue(AsyncOperation& operation) override;
  void OnSignal(const AsyncOperation& operation, const Meeting& meeting) override;
  void OnEnd(const AsyncOperation& operation) override;
  void OnCommit(Warp& warp, AsyncGroup group) override;
  void OnGroupsEnded(Warp& warp, AsyncGroup group, std::uint32_t pending, bool all) override;
  void OnTensorRead(Warp& warp, const Instruction& i, std::span<const std::uint32_t> pieces,
                    std::uint32_t group) override;
  void OnTensorWait(Warp& warp, std::uint32_t group) override;
  void OnTensorAllocated(Cta& cta, int column, int columns) override;
  void OnTensorWords(Warp& warp, const Instruction& i, TensorUser user, int lane,
                     std::span<const TensorWords> words) override;
  void OnTensorPieces(Warp& warp, const Instruction& i, int lane, const Cta& cta,
                      std::span<const std::uint32_t> pieces) override;
  void OnTensorWordsEnded(Warp& warp, TensorUser user) override;
  void OnTensorCommit(AsyncOperation& operation, int lane) override;
  void OnExit(Warp& warp) override;

 private:
  /// What has been told at a barrier: in the phase that runs, and in those before.
  struct Told {
    Knowledge running, ended;
    // Of what was fenced for the grid: who goes on from here and tells by a flag tells of it too.
    Knowledge fenced_running, fenced_ended;
    std::uint64_t phase = 0;
  };
  /// Copies of a warp that are in one group.
  struct Copies {
    int agent;
    std::uint32_t what;  // the first of them
    std::uint32_t lanes;
    std::array<std::uint32_t, kLanes> numbers;  // of the group, by lane
    bool told = false;                          // that an mbarrier is told of
  };
  struct TensorGroup {
    std::uint32_t group, what;
    int agent;
  };
  struct WarpState {
    Knowledge fenced;                     // what a store that does not release tells: what was known at the last fence
    Knowledge noticed;                    // what a load that does not acquire has seen: known from the next fence on
    Knowledge grid_fenced, grid_noticed;  // the same for other clusters, by fences of that scope
    Knowledge counted;                    // what an atomic has seen that neither acquires nor is fenced
    std::vector<Copies> copies[2];
    bool open[2] = {};  // whether the last of them takes more
    std::vector<TensorGroup> tensor;
    Knowledge multiplied;   // products of its warpgroup that have ended, if it is the first of it
    int signal_agent = -1;  // of the copy that is about to be issued
    // Arrivals for copies: the agent, and the instruction that issued them, at which count of the warp's.
    int arrivals = -1;
    const Instruction* signals = nullptr;
    std::uint64_t signals_at = 0;
    // The last wait.
    Meeting waited;
    std::uint64_t waited_at = 0;
  };

  int AgentOf(const Warp& warp) const { return static_cast<int>(warp.cta().rank()) * warps_ + warp.index(); }
  WarpState& StateOf(const Warp& warp) { return states_[static_cast<std::size_t>(AgentOf(warp))]; }
  Told& ToldAt(const Meeting& meeting);
  void OnMeetingMemory(Warp& warp, const Instruction& i, const Meeting& meeting, bool makes);
  int PerformerOf(Warp& warp, const Ordering& ordering, std::uint32_t what);
  int OpenCopies(Warp& warp, AsyncGroup group, std::uint32_t what);
  void HandOver(int from, int to);
  void Strong(Warp& warp, const WarpAccess& access, const Ordering& ordering);
  void Notice(int agent, WarpState& state, std::uint64_t address, const Ordering& ordering, AccessKind kind);
  bool IsForGrid(std::uint64_t address, const Ordering& ordering) const;
  void OnShared(Warp& warp, const WarpAccess& access);
  void OnGlobal(Warp& warp, const WarpAccess& access);
  void CheckOwner(Warp& warp, const Instruction& i, std::uint32_t rank, int lane) const;
  void OnGlobalSpan(Warp& warp, const WarpAccess& access, std::uint32_t what, int lane, std::uint64_t begin,
                    std::uint64_t end, Region& region);
  std::optional<Violation> Apply(SharedShadow& shadow, const Access& by, const WarpAccess& access, std::uint32_t lanes,
                                 const std::uint32_t* addresses);
  [[noreturn]] void Report(Warp& warp, std::uint32_t what, int lane, std::uint32_t rank, const Violation& violation);
  std::string Describe(const Violation& violation) const;
  std::string NameOf(int agent) const;
  void CheckEnd(Cta& cta);
  void CheckOthersEnded(Warp& last);
  [[noreturn]] void ReportEnd(Cta& cta, const std::string& what);

  const CodeIndex& code_;
  Cluster& cluster_;
  int warps_;  // of a CTA
  Clocks clocks_;
  GlobalRaces& races_;
  GlobalLog& log_;
  std::vector<SharedShadow> shadows_;  // of the CTAs
  TensorShadow tensor_{clocks_};
  std::vector<WarpState> states_;
  std::unordered_map<std::uint64_t, Told> told_;
  std::unordered_map<std::uint64_t, Knowledge> published_;  // through strong accesses, by address
  std::vector<int> uses_;                                   // of agents, by operations that are under way
};

/// The checkers of a launch.
class Checkers final : public ObserverSource {
 public:
  explicit Checkers(const CodeIndex& code) : code_(code), races_(code) {}
  std::unique_ptr<Observer> Observe(Cluster& cluster) override;
  void OnRoundEnd() override { races_.EndRound(); }

 private:
  const CodeIndex& code_;
  GlobalRaces races_;
};

}  // namespace gemmsmith::emulator
