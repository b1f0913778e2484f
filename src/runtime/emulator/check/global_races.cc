#include "runtime/emulator/check/global_races.h"

#include <algorithm>

#include "util/log.h"

namespace gemmsmith::emulator {
namespace {

// Addresses that carry knowledge are few: flags and counters. Where they are many they become one.
constexpr std::size_t kManyPublished = 1 << 16;

const char* RemedyFor(ViolationKind kind, bool same_cta) {
  if (kind == ViolationKind::kReadBeforeCompletion || kind == ViolationKind::kOverwriteInFlight)
    return "wait for the operation before";
  return same_cta ? "put a barrier between the two"
                  : "let the first release (__threadfence(), then an atomic or volatile access to a flag), and the "
                    "second acquire (such an access, then __threadfence()), at the scope of the GPU";
}

}  // namespace

std::uint32_t GlobalLog::MomentOf(int agent) {
  const auto index = static_cast<std::size_t>(agent);
  if (last_.size() <= index) last_.resize(index + 1);
  Last& last = last_[index];
  const std::uint64_t version = clocks_->Version(agent);
  if (last.version == version) return last.moment;
  const Knowledge& knowledge = clocks_->KnowledgeOf(agent);
  const int warp = clocks_->is_warp(agent) ? agent : clocks_->IssuerOf(agent);
  moments_.push_back({agent, static_cast<std::uint16_t>(warp), clocks_->Now(agent).time(), times_.size(),
                      knowledge.times.size(), knowledge.foreign});
  times_.insert(times_.end(), knowledge.times.begin(), knowledge.times.end());
  last = {version, static_cast<std::uint32_t>(moments_.size() - 1)};
  return last.moment;
}

void GlobalLog::Add(int agent, std::uint32_t what, Atomicity atomicity, AccessKind kind, std::uint64_t address,
                    std::uint64_t bytes, int lane, std::uint32_t lane_bytes) {
  if (static_cast<std::uint32_t>(agent) >= GridAgent::kMostLocal || cluster_ >= GridAgent::kMostClusters) return;
  entries_.push_back({address, static_cast<std::uint32_t>(bytes), what, MomentOf(agent), lane_bytes,
                      static_cast<std::uint8_t>(lane), kind, atomicity});
}

void GlobalLog::Clear() {
  entries_.clear();
  moments_.clear();
  times_.clear();
  for (Last& last : last_) last = {};
}

GlobalLog& GlobalRaces::Open(const Launch& launch, const Cluster& cluster, const Clocks& clocks) {
  auto log = std::make_unique<GlobalLog>(cluster, clocks);
  const std::lock_guard lock(mutex_);
  launch_ = &launch;
  logs_.push_back(std::move(log));
  return *logs_.back();
}

void GlobalRaces::EndRound() {
  std::sort(logs_.begin(), logs_.end(), [](const auto& a, const auto& b) { return a->cluster() < b->cluster(); });
  for (const auto& log : logs_) {
    Carry(*log);
    log->Clear();
  }
  std::erase_if(logs_, [](const auto& log) { return log->closed(); });
}

void GlobalRaces::Carry(const GlobalLog& log) {
  for (const GlobalLog::Entry& entry : log.entries()) {
    const GlobalLog::Moment& moment = log.moment(entry.moment);
    const Epoch epoch(GridAgent::Make(log.cluster(), moment.agent), moment.time);
    const GridAccess by{epoch.bits(), entry.what, moment.warp, entry.atomicity};
    if (const auto conflict = shadow_.OnAccess(by, entry.kind, entry.address, entry.bytes, log.KnowledgeAt(moment)))
      Report(log, entry, *conflict);
  }
}

std::uint64_t GlobalRaces::KeyOf(std::uint64_t address) const {
  return published_.size() < kManyPublished || published_.contains(address) ? address : 0;
}

void GlobalRaces::Publish(std::uint64_t address, std::uint32_t cluster, const Knowledge& told) {
  if (told.times.empty() && told.foreign == nullptr) return;
  Foreign::Join(published_[KeyOf(address)], Foreign::With(told.foreign, cluster, told.times));
}

Knowledge GlobalRaces::Published(std::uint64_t address, std::uint32_t cluster) const {
  Knowledge knowledge;
  const auto found = published_.find(KeyOf(address));
  if (found == published_.end()) return knowledge;
  knowledge.foreign = found->second;
  if (const Foreign::Times* const own = found->second->Of(cluster)) knowledge.times = *own;
  return knowledge;
}

std::uint32_t GlobalRaces::WarpsOfCta() const { return (launch_->threads_per_cta() + kLanes - 1) / kLanes; }

Dim3 GlobalRaces::CtaOf(std::uint32_t cluster, std::uint32_t warp) const {
  const Dim3 id = Cluster::IdOf(*launch_, cluster), shape = launch_->cluster;
  const std::uint32_t rank = warp / WarpsOfCta();
  return {id.x * shape.x + rank % shape.x, id.y * shape.y + rank / shape.x % shape.y,
          id.z * shape.z + rank / shape.x / shape.y};
}

std::string GlobalRaces::NameOf(std::uint32_t what) const {
  const Origin& origin = code_.FunctionOf(what).origins[code_.InstructionOf(what).index];
  return fmt::format("`{}` (ptx line {}{}{})", origin.text, origin.ptx_line, origin.source.empty() ? "" : ", ",
                     origin.source);
}

void GlobalRaces::Report(const GlobalLog& log, const GlobalLog::Entry& entry, const GlobalShadow::Conflict& conflict) {
  const std::uint32_t warp = log.moment(entry.moment).warp, warps = WarpsOfCta();
  const GridAccess& other = conflict.other;
  const std::uint32_t other_cluster = GridAgent::ClusterOf(other.agent());
  const Dim3 cta = CtaOf(log.cluster(), warp), other_cta = CtaOf(other_cluster, other.warp);
  const std::uint64_t lane = entry.lane + (conflict.address - entry.address) / std::max(1u, entry.lane_bytes);
  throw Fail(Code::kDevice, RemedyFor(conflict.kind, cta == other_cta),
             "{}: {}, CTA ({}, {}, {}), warp {}, lane {}: {}: global memory at {:#x}, {}; the other is {}, {}warp {} "
             "of CTA ({}, {}, {})",
             launch_->name, NameOf(entry.what), cta.x, cta.y, cta.z, warp % warps, lane, ToString(conflict.kind),
             conflict.address, launch_->memory.Describe(conflict.address), NameOf(other.what),
             other.by_warp() ? "" : "issued by ", other.warp % warps, other_cta.x, other_cta.y, other_cta.z);
}

}  // namespace gemmsmith::emulator
