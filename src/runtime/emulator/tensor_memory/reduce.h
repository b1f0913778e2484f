#pragma once

#include <cstddef>
#include <string_view>

#include "runtime/emulator/tensor_memory/tensor_map.h"

namespace gemmsmith::emulator {

/// cp.reduce.async.bulk and its tensor form.
enum class Reduction { kAdd, kMin, kMax, kInc, kDec, kAnd, kOr, kXor };
std::string_view ToString(Reduction reduction);

/// Throws kUnsupported where the PTX ISA has no such combination.
void CheckReduction(Reduction reduction, MemoryType type);

/// to[i] = to[i] op from[i] for `bytes` of elements. Not atomic: who executes it sees to it that it is alone.
void Reduce(Reduction reduction, MemoryType type, const std::byte* from, std::byte* to, std::size_t bytes);

}  // namespace gemmsmith::emulator
