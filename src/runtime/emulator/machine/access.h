#pragma once

#include <cstddef>
#include <cstdint>

#include "runtime/emulator/machine/warp.h"

namespace gemmsmith::emulator {

/// The space that an instruction names.
enum class Window : std::uint8_t { kGeneric, kGlobal, kShared, kSharedCluster, kLocal, kConst };

/// Host addresses of what the lanes of mask() access: `bytes` each, aligned to `alignment`. Tells the observer. Throws
/// for the first lane whose address is outside its space, or not aligned.
void Resolve(Warp& warp, const Instruction& instruction, const Operand& address, Window window, AccessKind kind,
             std::uint32_t bytes, std::uint32_t alignment, std::byte* (&out)[kLanes]);

/// The same for those of `lanes`, whose addresses are at hand; the others' are written over.
void ResolveAt(Warp& warp, const Instruction& instruction, std::uint64_t (&addresses)[kLanes], Window window,
               AccessKind kind, std::uint32_t bytes, std::uint32_t alignment, std::uint32_t lanes,
               std::byte* (&out)[kLanes]);

/// Host address of `bytes` bytes at one generic address; for what reads memory on a lane's behalf.
std::byte* ResolveGeneric(Warp& warp, const Instruction& instruction, int lane, std::uint64_t address, AccessKind kind,
                          std::uint32_t bytes);

/// Tells the observer of `bytes` bytes at a generic address, which a lane's instruction accesses.
void TellAccess(Warp& warp, const Instruction& instruction, int lane, std::uint64_t address, AccessKind kind,
                std::uint32_t bytes);

/// Notes a store for the scheduler, when it looks for changes.
void NoteStore(Warp& warp, const std::byte* to, const void* from, std::size_t bytes);

}  // namespace gemmsmith::emulator
