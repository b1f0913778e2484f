#pragma once

#include <cstdint>
#include <vector>

#include "gemmsmith/kernel.h"

namespace gemmsmith {

/// What elements of a cast share a factor: 1 x 128, 128 x 128 or 128 x 1 of them.
enum class CastFactors : std::uint8_t { kPerToken, kPerBlock, kPerChannel };

/// A kernel that changes layouts: which one, and what is baked into it.
struct LayoutKernel {
  enum class Kind : std::uint8_t { kScales, kPackedScales, kCast, kPad, kUnpad } kind;
  CastFactors factors{};  ///< Of a cast, as what follows.
  DType from{}, to{};
  bool fours = false;  ///< Four elements of a row are one access.

  friend auto operator<=>(const LayoutKernel&, const LayoutKernel&) = default;
};
/// All there are.
std::vector<LayoutKernel> AllLayoutKernels();

/// Threads of a block, and what a block makes at a time: of factors, rows and steps; of a cast, rows and columns; of
/// groups, rows.
struct LayoutTile {
  int threads, rows, columns;
  int resident = 1;  ///< Blocks that one SM shall have room for.
};
LayoutTile TileOf(const LayoutKernel& kernel);

KernelSource RenderLayout(const LayoutKernel& kernel, const CodeTarget& target, CompileOptions options);

}  // namespace gemmsmith
