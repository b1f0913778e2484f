#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "runtime/emulator/machine/code.h"

namespace gemmsmith::emulator {

/// "ld.volatile.shared.u32" of "@%p1 ld.volatile.shared.u32 %r1, [%r2];"
std::string_view OpcodeOf(std::string_view text);
/// Whether ".word" is among the modifiers of an opcode, whole.
bool HasModifier(std::string_view opcode, std::string_view word);

/// What an instruction means for the order of accesses to memory.
struct Ordering {
  /// Who performs its accesses.
  enum class Performer : std::uint8_t {
    kWarp,
    kLaneCopy,    ///< cp.async: the generic proxy, later.
    kGroupCopy,   ///< A bulk copy that is awaited by its group: the async proxy.
    kSignalCopy,  ///< A bulk copy that an mbarrier is told of.
  };
  Performer performer = Performer::kWarp;
  bool strong = false;  ///< Volatile, relaxed and stronger, atomic.
  bool acquires = false, releases = false;
  bool grid = false;                ///< Of an access or fence: its scope is the GPU or more.
  bool reads = true;                ///< It does more than red.
  bool proxy_fence = false;         ///< fence.proxy.async for shared memory.
  bool memory_fence = true;         ///< Of fences: one that orders accesses of the generic proxy.
  bool waits_relaxed = false;       ///< A wait for an mbarrier that acquires nothing until a fence comes.
  bool arrives_for_copies = false;  ///< cp.async.mbarrier.arrive
};

/// The instructions of a program by numbers from 1 on, and their part in the order of accesses. Immutable.
class CodeIndex {
 public:
  explicit CodeIndex(const std::vector<std::unique_ptr<Function>>& functions);

  /// One more than the last number.
  std::uint32_t end() const { return static_cast<std::uint32_t>(orderings_.size()); }
  std::uint32_t NumberOf(const Instruction& instruction) const;
  const Ordering& OrderingOf(std::uint32_t number) const { return orderings_[number]; }
  const Function& FunctionOf(std::uint32_t number) const;
  const Instruction& InstructionOf(std::uint32_t number) const;

 private:
  struct Range {
    const Instruction *begin, *end;
    const Function* function;
    std::uint32_t first;  // number
  };
  const Range& RangeOf(std::uint32_t number) const;

  std::vector<Range> ranges_;  // by address
  std::vector<Ordering> orderings_;
};

}  // namespace gemmsmith::emulator
