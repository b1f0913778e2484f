#include "runtime/emulator/machine/warpgroup.h"

#include <algorithm>
#include <cstring>

#include "runtime/emulator/machine/cta.h"
#include "util/log.h"

namespace gemmsmith::emulator {
namespace {

constexpr int kWarps = 4;  // Of a warpgroup.

}  // namespace

bool FactorCache::Holds(std::span<const std::byte> shared, const Factor& factor) const {
  for (std::size_t p = 0; p < factor.pieces.size(); ++p)
    if (std::memcmp(shared.data() + factor.pieces[p], factor.bytes.data() + 16 * p, 16) != 0) return false;
  return true;
}

const FactorCache::Factor& FactorCache::Read(std::span<const std::byte> shared, const Key& key) {
  for (const Factor& factor : factors_)
    if (factor.key == key && Holds(shared, factor)) return factor;
  if (factors_.size() < kFactors) factors_.emplace_back();
  Factor& factor = factors_[next_++ % factors_.size()];
  factor.key = {};
  factor.tile.resize(static_cast<std::size_t>(key.extent) * static_cast<std::size_t>(key.k));
  reader_.Read(shared, MatrixDescriptor::OfWgmma(key.descriptor), FactorReader::Side::kB, key.major, key.extent, key.k,
               key.type, key.negate, factor.tile.data());
  factor.pieces.assign(reader_.pieces().begin(), reader_.pieces().end());
  factor.bytes.resize(16 * factor.pieces.size());
  for (std::size_t p = 0; p < factor.pieces.size(); ++p)
    std::memcpy(factor.bytes.data() + 16 * p, shared.data() + factor.pieces[p], 16);
  factor.key = key;
  return factor;
}

std::size_t Warpgroups::IndexOf(const Warp& warp) { return static_cast<std::size_t>(warp.index() / kWarps); }

void Warpgroups::Commit(const Warp& warp) {
  if (groups_.size() <= IndexOf(warp)) return;  // It has begun nothing.
  Group& group = groups_[IndexOf(warp)];
  const int quarter = warp.index() % kWarps;
  group.committed[quarter].push_back(group.counts[quarter]);
  if (group.committed[quarter].size() > kCommits) group.committed[quarter].pop_front();
}

bool Warpgroups::AllHaveBegun(const Warp& warp, std::uint32_t pending) const {
  if (groups_.size() <= IndexOf(warp)) return true;
  const Group& group = groups_[IndexOf(warp)];
  const auto& committed = group.committed[warp.index() % kWarps];
  if (committed.size() <= pending) return true;
  const std::uint64_t needed = committed[committed.size() - 1 - pending];
  return *std::min_element(std::begin(group.counts), std::end(group.counts)) >= needed;
}

void Warpgroups::Begin(Warp& warp, const Instruction& i) {
  const std::size_t index = IndexOf(warp);
  if (warp.cta().warps().size() < (index + 1) * kWarps)
    throw warp.Fault(i, -1, fmt::format("its warpgroup has fewer than {} warps", kWarps));
  if (groups_.size() <= index) groups_.resize(index + 1);
  Group& group = groups_[index];
  std::uint64_t& count = group.counts[warp.index() % kWarps];
  const std::uint64_t at = count++ - group.first;
  if (at == group.executed.size())
    group.executed.push_back(&i);
  else if (group.executed[at] != &i)
    throw warp.Fault(i, -1,
                     fmt::format("another warp of its warpgroup executed `{}` instead",
                                 warp.frame().function->origins[group.executed[at]->index].text));
  // What all have executed can go; in turns, for erasing has its price.
  const std::uint64_t all = *std::min_element(std::begin(group.counts), std::end(group.counts));
  if (all - group.first < 64) return;
  group.executed.erase(group.executed.begin(), group.executed.begin() + static_cast<std::ptrdiff_t>(all - group.first));
  group.first = all;
}

void TellTensorRead(Warp& warp, const Instruction& i, std::span<const std::uint32_t> pieces) {
  if (Observer* const observer = warp.observer()) observer->OnTensorRead(warp, i, pieces, warp.wgmma_groups);
}

}  // namespace gemmsmith::emulator
