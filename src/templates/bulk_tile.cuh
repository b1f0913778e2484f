#pragma once

#include "numeric.cuh"
#include "ptx/barrier.cuh"
#include "ptx/bulk.cuh"
#include "ptx/shared.cuh"

// Tiles of operands as bulk copies bring them into shared memory, and as tensor cores read them there.

namespace gemmsmith {

/// 128 bytes of k (elements along k are contiguous), or of lines (64 of 16 bits, along the lines), make one row of 128
/// bytes. Rows are swizzled in groups of 8: the 16 bytes that would be the i-th of row r are the (i ^ r % 8)-th.
/// Operand has Type, kLines, kAlongK, and kSharers: blocks of the cluster that read the same tile, each of which loads
/// a part of it for all.
template <class Operand>
struct BulkTile {
  enum : int {
    kSize = sizeof(typename Operand::Type),
    kRowBytes = 128,
    kDepth = kRowBytes / kSize,  // elements along k
    kBytes = Operand::kLines * kRowBytes,
    kBoxLines = Operand::kAlongK ? int{Operand::kLines} : int{kDepth},
    kBoxes = Operand::kLines / kBoxLines,
    kBoxBytes = kBytes / kBoxes,
    kShareBytes = kBoxBytes / Operand::kSharers,
    kAtomBytes = 8 * kRowBytes
  };
  static_assert(Operand::kAlongK || kSize <= 2, "tensor cores do not transpose wider types");
  static_assert(kShareBytes % kAtomBytes == 0, "whole atoms");

  /// This block's share, from (line, k) of `batch` on. kBytes will have arrived at `barrier` when all have loaded
  /// theirs.
  __device__ __forceinline__ static void Load(unsigned to, const void* map, unsigned barrier, int line, int k,
                                              int batch, unsigned rank) {
    const int share = Operand::kSharers > 1 ? static_cast<int>(rank) : 0;
#pragma unroll 1
    for (int box = 0; box < kBoxes; ++box) {
      const unsigned at = to + box * kBoxBytes + share * kShareBytes;
      const int x = Operand::kAlongK ? k : line + box * kBoxLines;
      const int y = (Operand::kAlongK ? line : k) + share * (kShareBytes / kRowBytes);
      if constexpr (Operand::kSharers > 1) {
        ptx::LoadTileForAll(at, map, barrier, x, y, batch, (1 << Operand::kSharers) - 1);
      } else {
        ptx::LoadTile(at, map, barrier, x, y, batch);
      }
    }
  }

  /// Sets to 0 what lies from `k` of the tile on, by kThreads threads.
  template <int kThreads>
  __device__ __forceinline__ static void Clear(unsigned tile, int k, int thread) {
    const int bytes = k * kSize;  // of a row, along k, that stay
#pragma unroll 1
    for (int i = thread; i < kBytes / 4; i += kThreads) {
      const int row = i / 32, word = i % 32;
      // The 16 bytes that a word is of come from elsewhere in the row.
      const int at = Operand::kAlongK ? ((word / 4 ^ row % 8) * 4 + word % 4) * 4 : word * 4;
      const int stay = Operand::kAlongK ? bytes - word * 4 : row % kDepth < k ? 4 : 0;
      if (stay < 4) ptx::KeepFirstBytes(tile + row * kRowBytes + at, stay > 0 ? stay : 0);
    }
  }

  /// The lower half of what tensor cores are told of the part of the tile at `tile` that has `line` (a multiple of 64,
  /// or of 8 where elements along k are contiguous) as its first (PTX ISA, matrix descriptor).
  __device__ __forceinline__ static unsigned Descriptor(unsigned tile, int line) {
    const unsigned at = tile + (Operand::kAlongK ? line * kRowBytes : line / 64 * kBoxBytes);
    return at >> 4 | static_cast<unsigned>(kBoxBytes >> 4) << 16;  // Along the lines, boxes of 64 follow each other.
  }
};

}  // namespace gemmsmith
