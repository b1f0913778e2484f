#include "runtime/emulator/check/code_index.h"

#include <algorithm>
#include <string_view>

namespace gemmsmith::emulator {
namespace {

Ordering OrderingOfText(std::string_view text) {
  using Performer = Ordering::Performer;
  const std::string_view words = OpcodeOf(text);
  const bool atomic = words.starts_with("atom.") || words.starts_with("red.");
  const bool access = words.starts_with("ld.") || words.starts_with("st.");
  Ordering ordering;
  ordering.acquires = (atomic || access) && (HasModifier(words, "acquire") || HasModifier(words, "acq_rel"));
  ordering.releases = (atomic || access) && (HasModifier(words, "release") || HasModifier(words, "acq_rel"));
  ordering.strong =
      atomic || ordering.acquires || ordering.releases ||
      (access && (HasModifier(words, "volatile") || HasModifier(words, "relaxed") || HasModifier(words, "mmio")));
  const bool narrow = HasModifier(words, "cta") || HasModifier(words, "cluster");
  const bool fence = words.starts_with("membar.") || words.starts_with("fence.");
  ordering.grid = fence ? HasModifier(words, "gl") || HasModifier(words, "gpu") || HasModifier(words, "sys")
                        : ordering.strong && !narrow;
  ordering.reads = !words.starts_with("red.");
  if (words.starts_with("cp.async.ca.") || words.starts_with("cp.async.cg."))
    ordering.performer = Performer::kLaneCopy;
  else if (words.starts_with("cp.async.bulk.") || words.starts_with("cp.reduce.async.bulk."))
    ordering.performer = HasModifier(words, "bulk_group") ? Performer::kGroupCopy : Performer::kSignalCopy;
  ordering.proxy_fence = words.starts_with("fence.proxy.async") || words.starts_with("membar.proxy.async");
  if (HasModifier(words, "global") || HasModifier(words, "async.global")) ordering.proxy_fence = false;
  ordering.memory_fence = !words.starts_with("fence.proxy.") && !words.starts_with("membar.proxy.");
  ordering.waits_relaxed =
      words.starts_with("mbarrier.") && HasModifier(words, "relaxed") && words.find("_wait") != words.npos;
  ordering.arrives_for_copies = words.starts_with("cp.async.mbarrier.arrive");
  return ordering;
}

}  // namespace

std::string_view OpcodeOf(std::string_view text) {
  if (text.starts_with('@')) text.remove_prefix(std::min(text.size(), text.find_first_of(" \t") + 1));
  return text.substr(0, text.find_first_of(" \t\n;"));
}

bool HasModifier(std::string_view opcode, std::string_view word) {
  for (std::size_t at = opcode.find(word); at != std::string_view::npos; at = opcode.find(word, at + 1)) {
    const std::size_t end = at + word.size();
    if (at > 0 && opcode[at - 1] == '.' && (end == opcode.size() || opcode[end] == '.')) return true;
  }
  return false;
}

CodeIndex::CodeIndex(const std::vector<std::unique_ptr<Function>>& functions) {
  orderings_.emplace_back();
  for (const auto& function : functions) {
    const Instruction* const begin = function->instructions.data();
    ranges_.push_back(
        {begin, begin + function->instructions.size(), function.get(), static_cast<std::uint32_t>(orderings_.size())});
    for (const Origin& origin : function->origins) orderings_.push_back(OrderingOfText(origin.text));
    orderings_.resize(ranges_.back().first + function->instructions.size());
  }
  std::sort(ranges_.begin(), ranges_.end(), [](const Range& a, const Range& b) { return a.begin < b.begin; });
}

std::uint32_t CodeIndex::NumberOf(const Instruction& instruction) const {
  const auto after = std::upper_bound(ranges_.begin(), ranges_.end(), &instruction,
                                      [](const Instruction* i, const Range& range) { return i < range.begin; });
  if (after == ranges_.begin() || &instruction >= std::prev(after)->end) return 0;
  return std::prev(after)->first + instruction.index;
}

const CodeIndex::Range& CodeIndex::RangeOf(std::uint32_t number) const {
  return *std::find_if(ranges_.begin(), ranges_.end(), [&](const Range& range) {
    return number >= range.first && number < range.first + static_cast<std::size_t>(range.end - range.begin);
  });
}

const Function& CodeIndex::FunctionOf(std::uint32_t number) const { return *RangeOf(number).function; }

const Instruction& CodeIndex::InstructionOf(std::uint32_t number) const {
  const Range& range = RangeOf(number);
  return range.begin[number - range.first];
}

}  // namespace gemmsmith::emulator
