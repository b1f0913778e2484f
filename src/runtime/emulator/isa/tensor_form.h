#pragma once

#include "runtime/emulator/isa/collective.h"
#include "runtime/emulator/isa/decoder.h"
#include "runtime/emulator/machine/cta.h"
#include "util/log.h"

namespace gemmsmith::emulator {

/// Refuses tcgen05 for targets without it. options[0]: how many CTAs it is for, where it says so.
inline void PrepareTensor(Decoder& decoder, Instruction& out) {
  const char feature = decoder.target().empty() ? ' ' : decoder.target().back();
  if (decoder.sm() >= 120 || (feature != 'a' && feature != 'f'))
    throw decoder.Refuse(
        fmt::format("it needs sm_100a, sm_103a, sm_110a or sm_100f, this is code for {}", decoder.target()));
  out.options[0] = decoder.form().Has("cta_group::2") ? 2 : 1;
}

/// The CTAs of .cta_group, that with the even rank first. Throws where there is no second one, and where the kernel's
/// instructions before had another group.
inline std::array<Cta*, 2> TensorGroup(Warp& warp, const Instruction& i) {
  const int group = i.options[0];
  Cta& cta = warp.cta();
  int& before = cta.tensor_memory().group;
  if (before != 0 && before != group)
    throw warp.Fault(i, -1, fmt::format("the kernel's instructions before it had .cta_group::{}", before));
  before = group;
  if (group == 1) return {&cta, nullptr};
  const std::uint32_t even = cta.rank() & ~1u;
  Cta* const odd = cta.cluster().cta(even + 1);
  if (odd == nullptr)
    throw warp.Fault(i, -1, fmt::format("CTA {} of a cluster of {} has no peer", cta.rank(), cta.cluster().size()));
  return {cta.cluster().cta(even), odd};
}

/// An address of tensor memory that the lanes which execute agree in.
inline TensorAddress UniformTensorAddress(Warp& warp, const Instruction& i, const Operand& o) {
  return TensorAddress(
      static_cast<std::uint32_t>(Uniform(warp, i, o, "the address") + static_cast<std::uint64_t>(o.offset)));
}

}  // namespace gemmsmith::emulator
