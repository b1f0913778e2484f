#pragma once

#include <cstdint>
#include <unordered_map>
#include <unordered_set>

#include "runtime/emulator/machine/code.h"

namespace gemmsmith::emulator {

struct Frame;

/// The registers of a warp that wgmma still reads or writes (PTX ISA: accessing accumulators, or the fragments of A,
/// before wgmma.wait_group is undefined, and so is wgmma on what was accessed since the last wgmma.fence). Values are
/// there at once; whoever touches them too early is told so.
class RegisterWatch {
 public:
  bool active() const { return !entries_.empty(); }

  /// An accumulator, or a register of A, of an instruction in group `group`. Throws if the accumulator is in flight
  /// with another shape.
  void MarkAccumulator(Warp& warp, const Instruction& i, const Operand& o, std::uint32_t group, std::uint64_t shape);
  void MarkFactor(Warp& warp, const Operand& o, const Instruction& i, std::uint32_t group);
  /// All groups before `group` have ended.
  void Release(std::uint32_t group);
  void Forget(const Frame* frame);
  /// wgmma.fence, and instructions that are flagged kUsesProducts.
  void Fence() { touched_.clear(); }
  void Touch(const Frame& frame, const Instruction& i);
  /// Before an instruction is executed. Throws if it reads what is in flight, or writes over what is being read; a mov
  /// carries the watch along.
  void Check(Warp& warp, const Instruction& i);

 private:
  struct Key {
    const Frame* frame;
    std::uint32_t slot;
    bool operator==(const Key&) const = default;
  };
  struct Hash {
    std::size_t operator()(const Key& key) const {
      return (reinterpret_cast<std::uintptr_t>(key.frame) >> 4) * 31 + key.slot / 64;
    }
  };
  struct Entry {
    const Instruction* by = nullptr;
    std::uint32_t group = 0;
    bool factor = false;
    std::uint64_t shape = 0;
  };

  void CheckFenced(Warp& warp, const Instruction& i, const Operand& o);

  std::unordered_map<Key, Entry, Hash> entries_;
  std::unordered_set<Key, Hash> touched_;  // since the last fence
};

/// Sets kUsesProducts where it belongs.
void FlagUsersOfProducts(Function& function);

}  // namespace gemmsmith::emulator
