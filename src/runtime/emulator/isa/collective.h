#pragma once

#include <bit>

#include "runtime/emulator/isa/decoder.h"
#include "runtime/emulator/machine/warp.h"
#include "util/log.h"

namespace gemmsmith::emulator {

/// For instructions with .sync.aligned that all 32 lanes execute. False: the instruction begins anew once more of them
/// have come. Throws where some have exited.
inline bool GatherWarp(Warp& warp, const Instruction& i) {
  if (warp.mask() == kAllLanes) return true;
  if (!warp.Gather(kAllLanes)) return false;
  throw warp.Fault(i, std::countr_zero(warp.mask()),
                   fmt::format("all 32 lanes of a warp must execute it; only {:#010x} are left", warp.mask()));
}

/// The value of operand `o`, which must be the same in all lanes that execute.
inline std::uint64_t Uniform(Warp& warp, const Instruction& i, const Operand& o, std::string_view what) {
  std::uint64_t values[kLanes];
  warp.GetBits(o, values);
  const int first = std::countr_zero(warp.mask());
  for (std::uint32_t m = warp.mask(); m != 0; m &= m - 1) {
    const int lane = std::countr_zero(m);
    if (values[lane] != values[first])
      throw warp.Fault(i, lane,
                       fmt::format("{} is {:#x} here, and {:#x} in lane {}", what, values[lane], values[first], first));
  }
  return values[first];
}

/// Pushes the registers of {a, b, ...}, or one, of which there must be `count`.
inline void PushRegisters(Decoder& decoder, const ptx::Operand& given, std::size_t count, ptx::ScalarType type,
                          bool destination) {
  const auto push = [&](const ptx::Operand& part) {
    decoder.Push(destination ? decoder.Destination(part, type) : decoder.Source(part, type));
  };
  const bool vector = given.kind == ptx::Operand::Kind::kVector;
  const std::size_t have = vector ? given.parts.size() : 1;
  if (have != count) throw decoder.Refuse(fmt::format("an operand has {} registers where {} belong", have, count));
  if (!vector) return push(given);
  for (const ptx::Operand& part : given.parts) push(part);
}

}  // namespace gemmsmith::emulator
