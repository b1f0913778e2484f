#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <mutex>
#include <string>
#include <type_traits>
#include <vector>

#include "engine/small_call.h"
#include "gemmsmith/engine.h"
#include "kernels/family.h"

namespace gemmsmith {

struct Plan;
/// What the first call of a plan finds out, where first uses are verified.
struct FirstUse {
  std::mutex mutex;  ///< Of who finds out.
  std::atomic<bool> right{false};
  std::atomic<const Plan*> instead{nullptr};  ///< The plan is wrong: this one takes its place.
  std::unique_ptr<const Plan> kept;           ///< `instead`, which lives as long.
  bool recorded = false;
};

/// A problem made ready for one device: what remains per call is binding pointers and the launches.
struct Plan {
  struct Step {
    LaunchStep launch;
    std::shared_ptr<const Kernel> kernel;
  };
  GemmProblem problem;  ///< As posed, before Canonical.
  DeviceId device;
  const Device* there = nullptr;                    ///< The same, where there are steps.
  bool swapped = false;                             ///< D is column-major: a and b change places.
  bool by_groups = false;                           ///< A call is one dense call for each group, with plans of theirs.
  std::vector<Step> steps;                          ///< Empty: there is nothing to compute.
  std::unique_ptr<const SmallCall> small;           ///< If set, what the one step comes to.
  std::size_t workspace_bytes = 0;                  ///< What the steps share.
  decltype(LaunchStep::prepare) prepare = nullptr;  ///< That of the step which has one.
  std::unique_ptr<FirstUse> first_use;              ///< Null: nothing is verified.
  PlanInfo info;

  /// Nothing is left to find out at its first call.
  bool is_right() const { return first_use == nullptr || first_use->right.load(std::memory_order_acquire); }
};

/// Starts the steps of `plan` with a call's tensors, as the kernels name them. `workspace`: workspace_bytes.
inline void LaunchSteps(const Plan& plan, const GemmArgs& args, Stream stream, void* workspace) {
  if (plan.small != nullptr) return plan.small->Run(SmallCall::OperandsOf(args));
  for (const Plan::Step& step : plan.steps) {
    const LaunchStep& launch = step.launch;
    // On this stack: several threads launch one plan at once.
    alignas(128) std::byte params[LaunchStep::kMaxParamBytes];
    BindCall(launch, args, workspace, *plan.there, params);
    void* const pointers[] = {params};
    const Stream own{stream.handle, stream.overlap && launch.waits};
    step.kernel->Launch(launch.grid, launch.block, launch.cluster, launch.shared_bytes, pointers, own);
  }
}

/// Problem and device -> plan. Reading takes no lock and allocates nothing: the table is only ever added to, by
/// publishing a pointer into an empty slot, or replaced by a larger one while readers go on in the old.
class PlanTable {
 public:
  PlanTable() { tables_.push_back(std::make_unique<Table>(kFirstCapacity)), current_.store(tables_.back().get()); }

  const Plan* Find(const GemmProblem& problem, DeviceId device) const {
    const Table& table = *current_.load(std::memory_order_acquire);
    for (std::size_t i = HashOf(problem, device) & table.mask;; i = (i + 1) & table.mask) {
      const Plan* plan = table.slots[i].load(std::memory_order_acquire);
      if (plan == nullptr || (Same(plan->problem, problem) && plan->device == device)) return plan;
    }
  }

  /// Puts `plan` in the place of that of its problem; who has the old one may go on with it.
  const Plan* Replace(std::unique_ptr<const Plan> plan) {
    {
      std::scoped_lock lock(mutex_);
      if (const Plan* const old = Find(plan->problem, plan->device)) {
        const auto place = std::find_if(plans_.begin(), plans_.end(), [&](const auto& p) { return p.get() == old; });
        Table& table = *tables_.back();
        for (auto& slot : table.slots)
          if (slot.load(std::memory_order_relaxed) == old) slot.store(plan.get(), std::memory_order_release);
        place->swap(plan);
        const Plan* const current = place->get();
        replaced_.push_back(std::move(plan));
        version_.fetch_add(1, std::memory_order_release);
        return current;
      }
    }
    return Insert(std::move(plan));
  }

  /// Changes when a plan takes the place of another.
  std::uint64_t version() const { return version_.load(std::memory_order_acquire); }

  /// The plans that are in use on a device.
  std::vector<const Plan*> All(DeviceId device) {
    std::scoped_lock lock(mutex_);
    std::vector<const Plan*> all;
    for (const auto& plan : plans_)
      if (plan->device == device) all.push_back(plan.get());
    return all;
  }

  /// Adds `plan` unless its problem is there already; returns the one that stays. Plans live as long as the table.
  const Plan* Insert(std::unique_ptr<const Plan> plan) {
    std::scoped_lock lock(mutex_);
    if (const Plan* there = Find(plan->problem, plan->device)) return there;
    if ((plans_.size() + 1) * 2 > tables_.back()->slots.size()) Grow();
    plans_.push_back(std::move(plan));
    Place(*tables_.back(), plans_.back().get());
    return plans_.back().get();
  }

 private:
  static constexpr std::size_t kFirstCapacity = 64;
  struct Table {
    explicit Table(std::size_t capacity) : slots(capacity), mask(capacity - 1) {}
    std::vector<std::atomic<const Plan*>> slots;  // capacity: a power of two, at most half full
    std::size_t mask;
  };

  /// Of what problems of one program differ in; all of it is compared anyway.
  static std::size_t HashOf(const GemmProblem& p, DeviceId device) {
    std::uint64_t types;  // And layouts.
    std::memcpy(&types, &p.a_type, sizeof types);
    const auto there = static_cast<std::uint64_t>(device.kind) << 8 | device.index;
    const auto of = [](auto value, std::uint64_t odd) { return static_cast<std::uint64_t>(value) * odd; };
    const std::uint64_t hash = of(p.m, 0x9e3779b97f4a7c15u) + of(p.n, 0xc2b2ae3d27d4eb4fu) +
                               of(p.k, 0x165667b19e3779f9u) + of(p.batch, 0xff51afd7ed558ccdu) +
                               of(p.lda, 0xc4ceb9fe1a85ec53u) + of(p.ldb, 0x94d049bb133111ebu) +
                               of(p.ldd, 0xbf58476d1ce4e5b9u) + of(types, 0xd6e8feb86659fd93u) +
                               of(p.epilogue_id + there, 0xa0761d6478bd642fu);
    return hash ^ hash >> 32;
  }
  /// As ==, a field after the other, only faster: it is hashed as bytes too.
  static bool Same(const GemmProblem& x, const GemmProblem& y) {
    static_assert(std::has_unique_object_representations_v<GemmProblem>);
    return std::memcmp(&x, &y, sizeof(GemmProblem)) == 0;
  }
  static void Place(Table& table, const Plan* plan) {
    std::size_t i = HashOf(plan->problem, plan->device) & table.mask;
    while (table.slots[i].load(std::memory_order_relaxed) != nullptr) i = (i + 1) & table.mask;
    table.slots[i].store(plan, std::memory_order_release);
  }
  void Grow() {
    auto larger = std::make_unique<Table>(tables_.back()->slots.size() * 2);
    for (const auto& plan : plans_) Place(*larger, plan.get());
    current_.store(larger.get(), std::memory_order_release);
    tables_.push_back(std::move(larger));  // the old one stays: a reader may be in it
  }

  std::atomic<const Table*> current_;
  std::atomic<std::uint64_t> version_{0};
  std::mutex mutex_;
  std::vector<std::unique_ptr<Table>> tables_;
  std::vector<std::unique_ptr<const Plan>> plans_, replaced_;
};

}  // namespace gemmsmith
