#pragma once

#include <string>

#include "ptx_testing.h"

namespace gemmsmith::emulator {

/// PTX around what is done with tensor memory. %t: thread, %w: warp, %one: of thread 0, %first: of warp 0; %tm: the
/// address of what was allocated, %q: of the warp's 32 lanes there.
inline std::string TensorPrologue(int columns, int group = 1) {
  return fmt::format(
      ".shared .align 4 .b32 slot; .reg .b32 %t, %w, %q, %tm; .reg .pred %first, %one;\n"
      "mov.u32 %t, %tid.x; shr.u32 %w, %t, 5; setp.eq.u32 %first, %w, 0; setp.eq.u32 %one, %t, 0;\n"
      "@%first tcgen05.alloc.cta_group::{1}.sync.aligned.shared::cta.b32 [slot], {0};\n"
      "@%first tcgen05.relinquish_alloc_permit.cta_group::{1}.sync.aligned;\n"
      "bar.sync 0; ld.shared.b32 %tm, [slot]; shl.b32 %q, %w, 21; add.u32 %q, %q, %tm;\n",
      columns, group);
}
inline std::string TensorEpilogue(int columns, int group = 1) {
  return fmt::format("bar.sync 0; @%first tcgen05.dealloc.cta_group::{1}.sync.aligned.b32 %tm, {0};\nret;", columns,
                     group);
}

/// "{%r0, %r1}"
inline std::string RegisterList(const std::string& name, int count) {
  std::string list = "{";
  for (int r = 0; r < count; ++r) list += fmt::format("{}{}{}", r == 0 ? "" : ", ", name, r);
  return list + "}";
}

}  // namespace gemmsmith::emulator
