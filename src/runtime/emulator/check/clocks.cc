#include "runtime/emulator/check/clocks.h"

#include <algorithm>

namespace gemmsmith::emulator {
namespace {

void JoinTimes(std::vector<std::uint32_t>& into, const std::vector<std::uint32_t>& from) {
  if (into.size() < from.size()) into.resize(from.size());
  for (std::size_t i = 0; i < from.size(); ++i) into[i] = std::max(into[i], from[i]);
}

}  // namespace

void Knowledge::Join(const Knowledge& other) {
  JoinTimes(times, other.times);
  JoinTimes(fenced, other.fenced);
  Foreign::Join(foreign, other.foreign);
}
void Knowledge::Clear() {
  times.clear();
  fenced.clear();
  foreign.reset();
}

Clocks::Clocks(int warps) : warps_(warps), agents_(warps) {
  for (int i = 0; i < warps; ++i) {
    agents_[i].knowledge.times.resize(warps);
    agents_[i].busy = true;
    Tick(i);
  }
}

void Clocks::Tick(int agent) {
  ++agents_[agent].knowledge.times[agent];
  ++agents_[agent].version;
}

void Clocks::Release(int agent, Knowledge& to) {
  to.Join(agents_[agent].knowledge);
  agents_[agent].told = Now(agent).time();
  Tick(agent);  // what it does from now on was not told
}

void Clocks::ReleaseAlone(int agent, Knowledge& to) {
  const auto index = static_cast<std::size_t>(agent);
  if (to.times.size() <= index) to.times.resize(index + 1);
  to.times[index] = Now(agent).time();
  agents_[agent].told = Now(agent).time();
  Tick(agent);
}

void Clocks::Acquire(int agent, const Knowledge& from) {
  agents_[agent].knowledge.Join(from);
  ++agents_[agent].version;
}

void Clocks::FenceProxyAsync(int agent) {
  Knowledge& knowledge = agents_[agent].knowledge;
  if (knowledge.fenced.size() < knowledge.times.size()) knowledge.fenced.resize(knowledge.times.size());
  knowledge.fenced[agent] = knowledge.times[agent];
  for (std::size_t i = warps_; i < knowledge.times.size(); ++i)
    if (agents_[i].issuer == agent) knowledge.fenced[i] = knowledge.times[i];
  Tick(agent);
}

/// One whose former operation the issuer knows to be over, or a new one: whoever gets it knows all that happened under
/// its number, and that must be true.
int Clocks::FreeAgent(int issuer) {
  const int count = static_cast<int>(agents_.size());
  for (int i = warps_; i < count; ++i) {
    const Agent& agent = agents_[i];
    if (!agent.busy && agent.told + 1 == Now(i).time() && Knows(issuer, Epoch(i, agent.told))) return i;
  }
  for (int tried = 0; count >= warps_ + kManyAsync && tried < count - warps_; ++tried) {
    next_lossy_ = (next_lossy_ + 1) % (count - warps_);
    if (!agents_[warps_ + next_lossy_].busy) return warps_ + next_lossy_;
  }
  agents_.emplace_back();
  return count;
}

int Clocks::BeginAsync(int issuer) {
  const int agent = FreeAgent(issuer);
  const std::vector<std::uint32_t>& before = agents_[agent].knowledge.times;
  const std::uint32_t time = static_cast<std::size_t>(agent) < before.size() ? before[agent] : 0;
  Agent& started = agents_[agent];
  started.knowledge = agents_[issuer].knowledge;
  started.knowledge.times.resize(std::max(started.knowledge.times.size(), static_cast<std::size_t>(agent) + 1));
  started.knowledge.times[agent] = time;
  started.issuer = issuer;
  started.busy = true;
  Tick(agent);
  Tick(issuer);
  started.issuer_version = 0;
  return agent;
}

void Clocks::ContinueAsync(int agent) {
  Agent& continued = agents_[agent];
  const Agent& issuer = agents_[continued.issuer];
  if (continued.issuer_version == issuer.version) return;
  continued.issuer_version = issuer.version;
  Acquire(agent, issuer.knowledge);
}

void Clocks::EndAsync(int agent) { agents_[agent].busy = false; }

}  // namespace gemmsmith::emulator
