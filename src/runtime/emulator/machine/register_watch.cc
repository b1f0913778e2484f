#include "runtime/emulator/machine/register_watch.h"

#include <algorithm>

#include "runtime/emulator/isa/row.h"
#include "runtime/emulator/machine/warp.h"
#include "util/log.h"

namespace gemmsmith::emulator {
namespace {

std::string_view FormOf(Warp& warp, const Instruction& i) { return warp.frame().function->origins[i.index].row->form; }
const std::string& TextOf(Warp& warp, const Instruction& i) { return warp.frame().function->origins[i.index].text; }
bool IsWatched(const Operand& o) { return o.base == Base::kFrame && !o.sink && o.lane_bytes == 4; }

}  // namespace

void RegisterWatch::MarkAccumulator(Warp& warp, const Instruction& i, const Operand& o, std::uint32_t group,
                                    std::uint64_t shape) {
  if (!IsWatched(o)) return;
  CheckFenced(warp, i, o);
  Entry& entry = entries_[{&warp.frame(), o.slot}];
  if (entry.by != nullptr && (entry.factor || entry.shape != shape))
    throw warp.Fault(i, -1,
                     fmt::format("accumulates into registers that `{}` uses, of another shape; wgmma.wait_group "
                                 "belongs between them",
                                 TextOf(warp, *entry.by)));
  entry = {&i, group, false, shape};
}

void RegisterWatch::MarkFactor(Warp& warp, const Operand& o, const Instruction& i, std::uint32_t group) {
  if (!IsWatched(o)) return;
  CheckFenced(warp, i, o);
  Entry& entry = entries_[{&warp.frame(), o.slot}];
  if (entry.by != nullptr && !entry.factor)
    throw warp.Fault(i, -1,
                     fmt::format("takes A from accumulators of `{}`; wgmma.wait_group belongs between them",
                                 TextOf(warp, *entry.by)));
  entry = {&i, group, true, 0};
}

void RegisterWatch::Release(std::uint32_t group) {
  if (active()) std::erase_if(entries_, [&](const auto& entry) { return entry.second.group < group; });
}

void RegisterWatch::Forget(const Frame* frame) {
  if (active()) std::erase_if(entries_, [&](const auto& entry) { return entry.first.frame == frame; });
  if (!touched_.empty()) std::erase_if(touched_, [&](const Key& key) { return key.frame == frame; });
}

void RegisterWatch::Touch(const Frame& frame, const Instruction& i) {
  for (std::size_t k = 0; k < i.count; ++k)
    if (IsWatched(i.operands[k])) touched_.insert({&frame, i.operands[k].slot});
}

void RegisterWatch::CheckFenced(Warp& warp, const Instruction& i, const Operand& o) {
  if (touched_.empty() || !touched_.contains({&warp.frame(), o.slot})) return;
  throw warp.Fault(i, -1, "uses registers that other instructions have accessed since the last wgmma.fence");
}

void RegisterWatch::Check(Warp& warp, const Instruction& i) {
  const Entry* carried = nullptr;
  for (std::size_t k = i.count; k-- > 0;) {  // Sources before destinations.
    const Operand& o = i.operands[k];
    if (!IsWatched(o)) continue;
    const auto found = entries_.find({&warp.frame(), o.slot});
    const bool moves = found != entries_.end() || carried != nullptr ? FormOf(warp, i).starts_with("mov") : false;
    if (found == entries_.end()) {
      if (o.written && carried != nullptr) entries_[{&warp.frame(), o.slot}] = Entry(*carried);
      carried = o.written ? nullptr : carried;
      continue;
    }
    if (FormOf(warp, i).starts_with("wgmma")) continue;
    const Entry& entry = found->second;
    if (o.written && entry.factor)
      throw warp.Fault(i, -1,
                       fmt::format("writes a register that `{}` still reads; wgmma.wait_group belongs before it",
                                   TextOf(warp, *entry.by)));
    if (!o.written && !entry.factor && !(moves && i.count == 2))
      throw warp.Fault(i, -1,
                       fmt::format("reads a result of `{}`, which is under way; wgmma.wait_group belongs before it",
                                   TextOf(warp, *entry.by)));
    if (!o.written && !entry.factor) carried = &entry;
    if (!o.written) continue;
    if (carried != nullptr)
      found->second = Entry(*carried);
    else
      entries_.erase(found);
  }
}

void FlagUsersOfProducts(Function& function) {
  const auto multiplies = [&](const Instruction& i) {
    return function.origins[i.index].row->form.starts_with("wgmma.mma_async");
  };
  std::unordered_set<std::uint32_t> slots;
  for (const Instruction& i : function.instructions)
    for (std::size_t k = 0; multiplies(i) && k < i.count; ++k)
      if (IsWatched(i.operands[k])) slots.insert(i.operands[k].slot);
  if (slots.empty()) return;
  for (Instruction& i : function.instructions) {
    const auto uses = [&](const Operand& o) { return IsWatched(o) && slots.contains(o.slot); };
    if (multiplies(i) || function.origins[i.index].row->form.starts_with("mov")) continue;
    if (std::any_of(i.operands, i.operands + i.count, uses)) i.flags |= kUsesProducts;
  }
}

}  // namespace gemmsmith::emulator
