#include "runtime/emulator/machine/cta.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "runtime/emulator/machine/random.h"
#include "util/log.h"

namespace gemmsmith::emulator {
namespace {

// Instructions that a warp may execute while it has the grid for itself: a few turns of a loop that polls.
constexpr std::uint64_t kSerialShare = 64;
constexpr std::size_t kSharedAlignment = 1024;  // Swizzled tiles look at the address.

}  // namespace

Cta::Cta(const Launch& launch, Cluster& cluster, Dim3 id, std::uint32_t rank)
    : launch_(&launch), cluster_(&cluster), id_(id), rank_(rank), mbarriers_({}) {
  // Addresses below kSharedBegin have storage too, so that what counts from 0 can.
  storage_.resize(kSharedBegin + launch.shared_bytes() + kSharedAlignment);
  const auto address = reinterpret_cast<std::uintptr_t>(storage_.data());
  shared_ = storage_.data() + (kSharedAlignment - address % kSharedAlignment) % kSharedAlignment + kSharedBegin;
  mbarriers_ = Mbarriers(window());
  random_ = launch.options.seed * 0x9e3779b97f4a7c15 + ((std::uint64_t{id.z} << 20 ^ id.y) << 24 ^ id.x);
  const std::uint32_t warps = (launch.threads_per_cta() + kLanes - 1) / kLanes;
  warps_.reserve(warps);
  for (std::uint32_t i = 0; i < warps; ++i) warps_.emplace_back(*this, static_cast<int>(i));
  at_communication_.resize(warps);
}

bool Cta::done() const {
  return std::all_of(warps_.begin(), warps_.end(), [](const Warp& warp) { return warp.live() == 0; });
}

std::uint32_t Cta::live_threads() const {
  std::uint32_t threads = 0;
  for (const Warp& warp : warps_) threads += static_cast<std::uint32_t>(std::popcount(warp.live()));
  return threads;
}

bool Cta::Arrive(int index, std::uint32_t arriving, std::uint32_t threads, std::uint32_t votes) {
  CtaBarrier& barrier = barriers_[static_cast<std::size_t>(index)];
  ++cluster_->changes;
  barrier.arrived += arriving;
  barrier.expected = threads;
  barrier.count += votes;
  barrier.reducers += arriving;
  if (barrier.arrived < (threads != 0 ? threads : live_threads())) return false;
  ++barrier.phase;
  barrier.arrived = 0;
  barrier.expected = 0;
  barrier.warps = 0;
  barrier.last_count = std::exchange(barrier.count, 0);
  barrier.last_reducers = std::exchange(barrier.reducers, 0);
  return true;
}

void Cta::OnExit() {
  ++cluster_->changes;
  const std::uint32_t live = live_threads();
  for (int i = 0; i < kBarriers; ++i) {
    CtaBarrier& barrier = barriers_[static_cast<std::size_t>(i)];
    if (barrier.arrived != 0 && barrier.expected == 0 && barrier.arrived >= live) Arrive(i, 0, 0);
  }
  cluster_->Arrive(0);
}

bool Cta::RunOnce(std::uint64_t& budget) {
  const std::size_t count = warps_.size();
  const std::size_t first = Draw(random_) % count;
  // A step that shares no factor with the count visits every warp once.
  std::size_t step = 1 + Draw(random_) % count;
  while (std::gcd(step, count) != 1) ++step;
  bool advanced = false;
  for (std::size_t i = 0; i < count && budget > 0; ++i) {
    const std::size_t w = (first + i * step) % count;
    Warp& warp = warps_[w];
    if (warp.live() == 0 || at_communication_[w]) continue;
    const std::uint64_t before = warp.statistics.instructions;
    std::uint64_t share = std::min<std::uint64_t>(budget, 4096);
    const std::uint64_t given = share;
    const Warp::Outcome outcome = warp.Run(share, false);
    budget -= given - share;
    advanced = advanced || warp.statistics.instructions != before;
    if (outcome == Warp::Outcome::kCommunicates) {
      at_communication_[w] = true;
      ++communicating_;
    }
  }
  return advanced;
}

void Cta::Communicate() {
  for (std::size_t w = 0; w < warps_.size() && communicating_ != 0; ++w) {
    if (!at_communication_[w]) continue;
    at_communication_[w] = false;
    --communicating_;
    std::uint64_t budget = kSerialShare;
    warps_[w].Run(budget, true);
  }
}

Cluster::Cluster(const Launch& launch, std::uint64_t index)
    : launch_(&launch),
      index_(index),
      id_(IdOf(launch, index)),
      async_(launch.options.seed * 0x9e3779b97f4a7c15 + ~index) {}

Dim3 Cluster::IdOf(const Launch& launch, std::uint64_t index) {
  const std::uint64_t columns = launch.grid.x / launch.cluster.x, rows = launch.grid.y / launch.cluster.y;
  return {static_cast<std::uint32_t>(index % columns), static_cast<std::uint32_t>(index / columns % rows),
          static_cast<std::uint32_t>(index / columns / rows)};
}

void Cluster::Begin() {
  const Dim3 shape = launch_->cluster;
  std::uint32_t rank = 0;
  for (std::uint32_t z = 0; z < shape.z; ++z)
    for (std::uint32_t y = 0; y < shape.y; ++y)
      for (std::uint32_t x = 0; x < shape.x; ++x, ++rank)
        ctas_.push_back(std::make_unique<Cta>(
            *launch_, *this, Dim3{id_.x * shape.x + x, id_.y * shape.y + y, id_.z * shape.z + z}, rank));
  if (launch_->options.observers != nullptr) observer_ = launch_->options.observers->Observe(*this);
}

void Cluster::Arrive(std::uint32_t threads) {
  ++changes;
  barrier_.arrived += threads;
  if (barrier_.arrived == 0) return;
  std::uint32_t live = 0;
  for (const auto& cta : ctas_) live += cta->live_threads();
  if (barrier_.arrived < live) return;
  barrier_.arrived = 0;
  ++barrier_.phase;
}

std::uint64_t Cluster::Executed() const {
  std::uint64_t sum = 0;
  for (const auto& cta : ctas_)
    for (const Warp& warp : cta->warps()) sum += warp.statistics.instructions;
  return sum;
}

void Cluster::Run() {
  if (state_ == State::kDone) return;
  if (ctas_.empty()) Begin();
  std::uint64_t budget = launch_->options.quantum * ctas_.size();
  for (bool advanced = true; advanced && budget > 0;) {
    advanced = false;
    for (const auto& cta : ctas_) advanced |= cta->RunOnce(budget);
    if (async_.Deliver(!advanced)) {
      advanced = true;
      ++changes;
    }
  }
  state_ = budget == 0 || WantsToCommunicate() ? State::kRunning : State::kBlocked;
  Settle();
}

void Cluster::Communicate() {
  for (const auto& cta : ctas_) cta->Communicate();
  if (async_.Communicate()) ++changes;
  Settle();
}

/// Counts what was executed, and lets go of CTAs that are through.
void Cluster::Settle() {
  statistics_.instructions = Executed();
  const bool done = std::all_of(ctas_.begin(), ctas_.end(), [](const auto& cta) { return cta->done(); });
  if (!done || !async_.empty()) return;
  state_ = State::kDone;
  observer_.reset();
  ctas_.clear();
}

bool Cluster::WantsToCommunicate() const {
  return async_.WantsToCommunicate() ||
         std::any_of(ctas_.begin(), ctas_.end(), [](const auto& cta) { return cta->WantsToCommunicate(); });
}

bool Cluster::OnlyPolls() {
  if (ctas_.empty()) return state_ == State::kDone;
  bool only = true;
  for (const auto& cta : ctas_)
    for (Warp& warp : cta->warps()) only &= warp.live() == 0 || std::exchange(warp.polled, false) || warp.blocked();
  return only;
}

}  // namespace gemmsmith::emulator
