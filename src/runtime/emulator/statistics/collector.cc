#include "runtime/emulator/statistics/collector.h"

#include <algorithm>
#include <bit>

#include "runtime/emulator/isa/row.h"
#include "runtime/emulator/machine/cta.h"

namespace gemmsmith::emulator {
namespace {

using Access = InstructionFact::Access;

constexpr std::size_t kCategories = 256;  // As many as InstructionFact::category can tell apart.
constexpr std::uint64_t kOfShared = kSharedWindow >> kWindowShift, kOfLocal = kLocalWindow >> kWindowShift;

/// The number that a shared address names: 0 for the CTA itself, else its rank plus one.
std::uint32_t RankOf(std::uint64_t address) { return static_cast<std::uint32_t>(address) >> kClusterRankShift; }

std::uint32_t Count(std::uint32_t lanes) { return static_cast<std::uint32_t>(std::popcount(lanes)); }

void AddTo(std::vector<std::uint64_t>& sums, const std::vector<std::uint64_t>& counts) {
  sums.resize(std::max(sums.size(), counts.size()));
  for (std::size_t c = 0; c < counts.size(); ++c) sums[c] += counts[c];
}

template <class Traffic>
Traffic& OfKind(AccessKind kind, Traffic& loads, Traffic& stores, Traffic& atomics) {
  return kind == AccessKind::kRead ? loads : kind == AccessKind::kWrite ? stores : atomics;
}

}  // namespace

Sums& Sums::operator+=(const Sums& other) {
  counts += other.counts;
  AddTo(categories, other.categories);
  AddTo(products, other.products);
  return *this;
}

Collector::Collector(Collectors& launch) : launch_(launch), facts_(launch.facts_) {
  sums_.categories.resize(kCategories);
  sums_.products.resize(facts_.products().size());
}

Collector::~Collector() { launch_.Add(sums_); }

void Collector::OnExecuted(Warp& warp, const Instruction& i) {
  const InstructionFact& fact = facts_.Of(i);
  const std::uint32_t executing = warp.mask();
  ++counts_.instructions;
  counts_.lane_instructions += Count(executing);
  counts_.divergent_instructions += (warp.live() & ~warp.lanes()) != 0;
  ++sums_.categories[fact.category];
  if (fact.branch) {
    ++counts_.branches;
    counts_.divergent_branches += executing != 0 && executing != warp.lanes();
  }
  if (fact.product >= 0 && executing != 0) ++sums_.products[static_cast<std::size_t>(fact.product)];
  if (!copied_.empty()) {
    AddTraffic(copied_, counts_.copy_loads);
    copied_.clear();
  }
  for (std::size_t kind = 0; kind < waited_.size(); ++kind) {
    if (!std::exchange(waited_[kind], false)) continue;
    const auto meeting = static_cast<Meeting::Kind>(kind);
    ++(meeting == Meeting::Kind::kCtaBarrier       ? counts_.cta_barrier_waits
       : meeting == Meeting::Kind::kClusterBarrier ? counts_.cluster_barrier_waits
                                                   : counts_.mbarrier_waits);
  }
}

void Collector::OnAccess(Warp& warp, const WarpAccess& access) {
  const Access kind = facts_.Of(*access.instruction).access;
  if (kind == Access::kNone) return;
  if (kind >= Access::kBulkLoad) return OnBulk(access, kind);
  std::uint32_t global = 0, local = 0, shared = 0;
  const std::uint32_t own = warp.cta().rank() + 1;
  for (std::uint32_t m = access.lanes; m != 0; m &= m - 1) {
    const auto lane = static_cast<std::size_t>(std::countr_zero(m));
    const std::uint64_t address = access.addresses[lane], window = address >> kWindowShift;
    const bool near = RankOf(address) == 0 || RankOf(address) == own;
    global |= static_cast<std::uint32_t>(window == 0) << lane;
    local |= static_cast<std::uint32_t>(window == kOfLocal) << lane;
    shared |= static_cast<std::uint32_t>(window == kOfShared && near) << lane;
  }
  if (global != 0) OnGlobal(access, global, kind);
  if (local != 0) OnLocal(access, local);
  if (shared != 0) OnShared(access, shared, kind);
  const std::uint32_t remote = access.lanes & ~(global | local | shared);
  counts_.remote_requests += remote != 0;
  counts_.remote_bytes += std::uint64_t{Count(remote)} * access.bytes;
}

void Collector::AddTraffic(std::span<const Piece> pieces, MemoryTraffic& traffic) {
  const SectorCost cost = SectorsOf(pieces);
  ++traffic.requests;
  traffic.sectors += cost.sectors;
  traffic.distinct_bytes += cost.distinct_bytes;
  for (const Piece& piece : pieces) traffic.bytes += piece.bytes;
}

void Collector::OnGlobal(const WarpAccess& access, std::uint32_t lanes, Access kind) {
  std::array<Piece, kLanes> pieces;
  std::size_t count = 0;
  for (std::uint32_t m = lanes; m != 0; m &= m - 1)
    pieces[count++] = {access.addresses[static_cast<std::size_t>(std::countr_zero(m))], access.bytes};
  const std::span<const Piece> all(pieces.data(), count);
  // Lanes of a cp.async whose sources have other sizes are told of apart, though it is one request.
  if (kind == Access::kCopy)
    copied_.insert(copied_.end(), all.begin(), all.end());
  else
    AddTraffic(all, OfKind(access.kind, counts_.global_loads, counts_.global_stores, counts_.global_atomics));
}

/// The lanes' parts of local memory lie so that they access one word of each together.
void Collector::OnLocal(const WarpAccess& access, std::uint32_t lanes) {
  MemoryTraffic& traffic = access.kind == AccessKind::kRead ? counts_.local_loads : counts_.local_stores;
  const std::uint64_t bytes = std::uint64_t{Count(lanes)} * access.bytes;
  ++traffic.requests;
  traffic.bytes += bytes;
  traffic.distinct_bytes += bytes;
  traffic.sectors += (bytes + 31) / 32;
}

void Collector::OnShared(const WarpAccess& access, std::uint32_t lanes, Access kind) {
  SharedTraffic& traffic =
      kind == Access::kCopy ? counts_.copy_stores
      : kind == Access::kMatrix
          ? OfKind(access.kind, counts_.matrix_loads, counts_.matrix_stores, counts_.shared_atomics)
          : OfKind(access.kind, counts_.shared_loads, counts_.shared_stores, counts_.shared_atomics);
  const BankCost cost = BanksOf(access.addresses, lanes, access.bytes, access.kind == AccessKind::kAtomic);
  ++traffic.requests;
  traffic.bytes += std::uint64_t{Count(lanes)} * access.bytes;
  traffic.wavefronts += cost.wavefronts;
  traffic.conflicts += cost.conflicts;
}

void Collector::OnBulk(const WarpAccess& access, Access kind) {
  const std::uint64_t address = access.addresses[static_cast<std::size_t>(std::countr_zero(access.lanes))];
  if (address >> kWindowShift == 0) {
    bulk_.global_bytes += access.bytes;
  } else if (kind != Access::kBulkExchange || access.kind != AccessKind::kRead) {
    bulk_.shared_bytes += access.bytes;
    bulk_ranks_ |= std::uint64_t{1} << RankOf(address);
  }
}

void Collector::OnIssue(AsyncOperation& operation) {
  const Access kind = facts_.Of(operation.instruction()).access;
  if (kind < Access::kBulkLoad) return;
  bulk_.copies = 1;
  (kind == Access::kBulkLoad        ? counts_.bulk_loads
   : kind == Access::kBulkStore     ? counts_.bulk_stores
   : kind == Access::kBulkReduction ? counts_.bulk_reductions
                                    : counts_.bulk_exchanges) += bulk_;
  counts_.multicasts += kind == Access::kBulkLoad && std::popcount(bulk_ranks_) > 1;
  bulk_ = {};
  bulk_ranks_ = 0;
}

void Collector::OnWaited(Warp&, const Instruction&, const Meeting& meeting) {
  waited_[static_cast<std::size_t>(meeting.kind)] = true;
}

std::unique_ptr<Observer> Collectors::Observe(Cluster& cluster) {
  auto collector = std::make_unique<Collector>(*this);
  if (others_ == nullptr) return collector;
  return std::make_unique<ObserverPair>(others_->Observe(cluster), std::move(collector));
}

void Collectors::Add(const Sums& sums) {
  const std::scoped_lock lock(mutex_);
  sums_ += sums;
}

KernelStatistics Collectors::Total(const RunStatistics& run) const {
  KernelStatistics total = sums_.counts;
  total.launches = 1;
  total.rounds = run.rounds;
  for (std::size_t c = 0; c < sums_.categories.size(); ++c)
    if (sums_.categories[c] != 0)
      total.classes.push_back({std::string(ToString(static_cast<Category>(c))), sums_.categories[c]});
  for (std::size_t p = 0; p < sums_.products.size(); ++p) {
    const ProductKind& kind = facts_.products()[p];
    const std::uint64_t products = sums_.products[p] / kind.warps;
    if (sums_.products[p] != 0) total.products.push_back({kind.name, products, products * kind.multiply_adds});
  }
  std::sort(total.products.begin(), total.products.end(),
            [](const ProductCount& a, const ProductCount& b) { return a.name < b.name; });
  return total;
}

}  // namespace gemmsmith::emulator
