#include <algorithm>
#include <atomic>
#include <deque>
#include <exception>
#include <mutex>

#include "runtime/emulator/machine/cta.h"
#include "runtime/emulator/machine/launch.h"
#include "util/log.h"
#include "util/thread_pool.h"

namespace gemmsmith::emulator {
namespace {

constexpr int kRoundsToSuspect = 64;       // Without an exit: from then on, changes of memory are looked for.
constexpr int kRoundsToReport = 256;       // Without any change: a deadlock.
constexpr std::size_t kWaitsShown = 2000;  // Characters.

class Grid {
 public:
  explicit Grid(const Launch& launch) : launch_(launch) {
    const std::uint64_t per_cluster = std::uint64_t{launch.cluster.x} * launch.cluster.y * launch.cluster.z;
    clusters_ = std::uint64_t{launch.grid.x} * launch.grid.y * launch.grid.z / per_cluster;
    const auto ctas =
        static_cast<std::uint64_t>(launch.multiprocessors) * static_cast<std::uint64_t>(launch.ctas_per_multiprocessor);
    resident_limit_ = std::max<std::uint64_t>(1, ctas / per_cluster);
  }

  RunStatistics Run() {
    auto lease = ThreadPool::Instance().Acquire(launch_.options.threads > 0 ? launch_.options.threads : 256);
    for (;;) {
      Admit();
      if (resident_.empty()) break;
      ++statistics_.rounds;
      RunRound(lease);
      RethrowFirst();
      for (const auto& cluster : resident_)
        if (cluster->WantsToCommunicate()) cluster->Communicate();
      Retire();
      Watch();
    }
    return statistics_;
  }

 private:
  void Admit() {
    while (next_ < clusters_ && resident_.size() < resident_limit_)
      resident_.push_back(std::make_unique<Cluster>(launch_, next_++));
  }

  void RunRound(ThreadPool::Lease& lease) {
    errors_.assign(resident_.size(), nullptr);
    std::atomic<std::size_t> next{0};
    auto task = [&](int) {
      for (std::size_t i = next++; i < resident_.size(); i = next++) {
        try {
          resident_[i]->Run();
        } catch (...) {
          errors_[i] = std::current_exception();
        }
      }
    };
    const auto threads = std::min<std::size_t>(static_cast<std::size_t>(lease.threads()), resident_.size());
    lease.Run(static_cast<int>(threads), task);
  }

  /// Of the first cluster in order, so that the message does not depend on the threads.
  void RethrowFirst() const {
    for (const std::exception_ptr& error : errors_)
      if (error) std::rethrow_exception(error);
  }

  void Retire() {
    executed_ = retired_instructions_;
    std::size_t kept = 0;
    for (auto& cluster : resident_) {
      executed_ += cluster->statistics().instructions;
      if (cluster->state() == Cluster::State::kDone) {
        retired_instructions_ += cluster->statistics().instructions;
        quiet_rounds_ = still_rounds_ = 0;
      } else {
        resident_[kept++] = std::move(cluster);
      }
    }
    resident_.resize(kept);
    statistics_.instructions = executed_;
    if (executed_ > launch_.options.instruction_budget)
      throw Fail(
          Code::kDevice, "raise the budget if the kernel is meant to run that long",
          "{}: stopped after {} instructions of warps, the budget of a launch; {} clusters still run, such as:\n{}",
          launch_.name, executed_, resident_.size(),
          resident_.empty() ? "" : resident_.front()->Waits().substr(0, kWaitsShown));
  }

  /// Nothing runnable is a deadlock at once; polling without any change is one after a while.
  void Watch() {
    if (resident_.empty()) return;
    std::uint64_t changes = 0;
    bool blocked = true, only_polls = true;
    for (const auto& cluster : resident_) {
      changes += cluster->changes;
      blocked = blocked && cluster->state() == Cluster::State::kBlocked && !cluster->WantsToCommunicate();
    }
    if (blocked && changes == changes_before_ && executed_ == executed_before_) ReportDeadlock();
    executed_before_ = executed_;
    if (++quiet_rounds_ == kRoundsToSuspect)
      for (const auto& cluster : resident_) cluster->watched = true;
    if (quiet_rounds_ > kRoundsToSuspect) {
      for (const auto& cluster : resident_) only_polls = cluster->OnlyPolls() && only_polls;
      still_rounds_ = changes == changes_before_ && only_polls ? still_rounds_ + 1 : 0;
      if (still_rounds_ >= kRoundsToReport) ReportDeadlock();
    }
    changes_before_ = changes;
  }

  [[noreturn]] void ReportDeadlock() const {
    std::string waits;
    for (const auto& cluster : resident_) {
      waits += cluster->Waits();
      if (waits.size() > kWaitsShown) break;
    }
    throw Fail(Code::kDevice, "", "{}: deadlock: nothing changes any more, and these wait:\n{}", launch_.name,
               waits.substr(0, kWaitsShown));
  }

  const Launch& launch_;
  std::uint64_t clusters_ = 0, next_ = 0, resident_limit_ = 1;
  std::vector<std::unique_ptr<Cluster>> resident_;
  std::vector<std::exception_ptr> errors_;
  RunStatistics statistics_;
  std::uint64_t executed_ = 0, executed_before_ = 0, retired_instructions_ = 0, changes_before_ = 0;
  int quiet_rounds_ = 0, still_rounds_ = 0;
};

}  // namespace

RunStatistics Run(const Launch& launch) { return Grid(launch).Run(); }

}  // namespace gemmsmith::emulator
