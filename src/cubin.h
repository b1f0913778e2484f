#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "gemmsmith/kernel.h"

namespace gemmsmith {

/// One kernel of a cubin, as its ELF sections describe it.
struct CubinKernel {
  std::string name;  ///< Mangled.
  KernelResources resources;
  /// Instructions of the kernel's own code by opcode (the low 12 bits of each 16-byte instruction).
  std::map<std::uint16_t, std::int64_t> opcodes;

  std::int64_t Count(std::uint16_t opcode) const {
    const auto found = opcodes.find(opcode);
    return found == opcodes.end() ? 0 : found->second;
  }
};

/// Opcodes of SASS since sm_75 that say what a kernel does.
namespace sass {
inline constexpr std::uint16_t kFfma = 0x223, kDfma = 0x22b, kLdl = 0x983, kStl = 0x387, kLdg = 0x981, kStg = 0x986,
                               kLds = 0x984, kSts = 0x388, kBar = 0xb1d, kHmma = 0x23c, kImma = 0x237, kQmma = 0x27a,
                               kLdsm = 0x83b, kLdgsts = 0xfae;
/// Of sm_90a: products of warp groups with both operands in shared memory, bulk copies, registers that change hands.
inline constexpr std::uint16_t kHgmma = 0x9f0, kIgmma = 0x9f1, kQgmma = 0x9f3, kUtmaldg = 0x5b4,
                               kUtmaldgMulticast = 0x3b4, kUtmastg = 0x3b5, kStsm = 0x844, kUsetmaxreg = 0x9c8;
/// Of sm_100a: products that are summed in tensor memory, whatever their types; what tells of their end; loads of sums.
inline constexpr std::uint16_t kUtcmma = 0x5ea, kUtcbar = 0x3e9, kLdtm = 0x9ee;
}  // namespace sass

/// The kernels of a cubin, in order of name. Never reads outside `bytes`. Throws kInvalidArgument for what is no cubin,
/// or a broken one.
std::vector<CubinKernel> ReadCubin(std::string_view bytes);

}  // namespace gemmsmith
