#pragma once

#include "numeric.cuh"
#include "ptx/matrix.cuh"
#include "ptx/shared.cuh"

// Tiles of operands in shared memory: how they lie there, how they come from global memory, and how warps read
// fragments of them for tensor cores.
//
// A "line" is a row of A or a column of B. An Operand has: Type; kLines, kDepth (elements along k); kAlongK (elements
// along k are contiguous in global memory); kVector (elements per global access; strides and pointers are multiples of
// it); kThreads; kRight (tensor cores take it on their right). Offsets in shared memory are in bytes.

namespace gemmsmith {

/// A tile: rows of 16-byte chunks, whose places are exchanged from row to row so that neither copies into rows nor
/// reads of the same chunk of eight rows meet in a bank. Rows are lines, or steps along k if that is how the operand
/// comes; bytes always lie along k, as tensor cores want four steps in one register.
template <class Operand>
struct StagedTile {
  using Type = typename Operand::Type;
  enum : int { kSize = static_cast<int>(sizeof(Type)) };
  enum : bool { kAlongK = Operand::kAlongK || kSize == 1 };
  enum : int {
    kRows = kAlongK ? Operand::kLines : Operand::kDepth,
    kRowBytes = (kAlongK ? Operand::kDepth : Operand::kLines) * kSize,
    kBytes = kRows * kRowBytes,
    kRowsPerTurn = kRowBytes >= 128 ? 1 : 128 / kRowBytes,  // that together span all banks
    kTurns = kRowBytes >= 128 ? 8 : kRowBytes / 16,
    // Words of the lines of four k-steps are read at once, eight lines (two chunks) of each.
    kTurnsPerRow = !kAlongK && kSize == 4 ? 2 : 1,
    kPeriod = 8  // rows after which the places repeat
  };
  static_assert(kRowBytes % 16 == 0 && (kRowBytes & (kRowBytes - 1)) == 0 && kRows % kPeriod == 0, "whole chunks");

  /// What the bytes of row `row` are exclusive-or-ed with.
  __device__ __forceinline__ static int Turn(int row) {
    return (row / kRowsPerTurn * kTurnsPerRow & (kTurns - 1)) * 16;
  }
  __device__ __forceinline__ static unsigned Offset(unsigned row, unsigned byte) {
    return row * kRowBytes + (byte ^ Turn(row));
  }
};

__device__ __forceinline__ int Clamp(int value, int limit) { return value < 0 ? 0 : value < limit ? value : limit; }

/// Brings the tiles of one operand, in the order of k, from global into shared memory: asynchronously, by accesses of 4
/// to 16 bytes. What lies outside the operand is zero.
template <class Operand>
class AsyncLoader {
  using Tile = StagedTile<Operand>;
  using Type = typename Operand::Type;

 public:
  /// `data` is the operand's element (first line, first k); `lines` (at most kLines) and `k` are what is left from
  /// there.
  __device__ __forceinline__ AsyncLoader(const Type* data, long long stride, int lines, int k)
      : row_(static_cast<int>(threadIdx.x / kPerRow)),
        byte_(static_cast<int>(threadIdx.x % kPerRow * kAccess)),
        pitch_(stride * Tile::kSize),
        from_(reinterpret_cast<const char*>(data) + row_ * pitch_ + byte_),
        lines_(lines),
        k_(k) {}

  /// Starts copying the next tile to shared address `to`.
  __device__ __forceinline__ void Load(unsigned to) {
    const int k_left = Clamp(k_, Operand::kDepth);
    const int rows = Tile::kAlongK ? lines_ : k_left, along = Tile::kAlongK ? k_left : lines_;
    const int bytes = Clamp(along * Tile::kSize - byte_, kAccess);
    const char* from = from_;
#pragma unroll
    for (int i = 0; i < kPasses; ++i) {
      const int row = row_ + i * kRowsPerPass;
      // Passes that are whole periods apart differ by a constant.
      const int offset = kRowsPerPass % Tile::kPeriod == 0
                             ? Tile::Offset(row_, byte_) + i * kRowsPerPass * Tile::kRowBytes
                             : Tile::Offset(row, byte_);
      if (kRowsPerPass <= Tile::kRows || row < Tile::kRows)
        ptx::CopyAsync<kAccess>(to + offset, from, row < rows ? bytes : 0);
      from += kRowsPerPass * pitch_;
    }
    from_ += Tile::kAlongK ? Tile::kRowBytes : Operand::kDepth * pitch_;
    k_ -= Operand::kDepth;
  }

 private:
  enum : int {
    kAccess = Operand::kVector * Tile::kSize,
    kPerRow = Tile::kRowBytes / kAccess,
    kRowsPerPass = Operand::kThreads / kPerRow,
    kPasses = kRowsPerPass < Tile::kRows ? Tile::kRows / kRowsPerPass : 1
  };
  static_assert(Operand::kThreads % kPerRow == 0 && (kPasses == 1 || Tile::kRows % kRowsPerPass == 0), "whole passes");

  const int row_, byte_;
  const long long pitch_;
  const char* from_;
  const int lines_;
  int k_;
};

/// The same through registers, for accesses of less than 4 bytes and for bytes that must be transposed; done when the
/// call returns.
template <class Operand>
class WordLoader {
  using Tile = StagedTile<Operand>;
  using Type = typename Operand::Type;

 public:
  __device__ __forceinline__ WordLoader(const Type* data, long long stride, int lines, int k)
      : data_(data), stride_(stride), lines_(lines), k_(k) {}

  __device__ __forceinline__ void Load(unsigned to) {
    const int k_left = Clamp(k_, Operand::kDepth);
#pragma unroll 2
    for (int part = static_cast<int>(threadIdx.x); part < kParts; part += Operand::kThreads) {
      // Neighbouring threads read neighbouring memory.
      const int along = part % kAlong * (kTransposed ? kVector : kPerWord);
      const int across = part / kAlong * (kTransposed ? kPerWord : 1);
      unsigned words[kVector] = {};
#pragma unroll
      for (int i = 0; i < kPerWord; ++i) {
        const int x = kTransposed ? along : along + i, y = kTransposed ? across + i : across;
        const int line = Operand::kAlongK ? y : x, k = Operand::kAlongK ? x : y;
        if (line >= lines_ || k >= k_left) continue;
        const Access access = *reinterpret_cast<const Access*>(data_ + y * stride_ + x);
#pragma unroll
        for (int v = 0; v < kVector; ++v) words[v] |= Bits(access.at[v]) << i * (8 * Tile::kSize);
      }
#pragma unroll
      for (int v = 0; v < kVector; ++v)
        ptx::StoreShared(
            to + (kTransposed ? Tile::Offset(along + v, across) : Tile::Offset(across, along * Tile::kSize)), words[v]);
    }
    data_ += Operand::kAlongK ? Operand::kDepth : Operand::kDepth * stride_;
    k_ -= Operand::kDepth;
  }

 private:
  enum : bool { kTransposed = Tile::kAlongK && !Operand::kAlongK };
  enum : int {
    kPerWord = 4 / Tile::kSize,
    kVector = kTransposed ? Operand::kVector : 1,  // words that one part makes
    kAlong = (Operand::kAlongK ? Operand::kDepth : Operand::kLines) / (kTransposed ? kVector : kPerWord),
    kParts = Tile::kBytes / 4 / kVector
  };
  using Access = Vector<Type, kVector>;

  __device__ __forceinline__ static unsigned Bits(Type value) {
    if constexpr (sizeof(Type) == 1) {
      unsigned char bits;
      memcpy(&bits, &value, 1);
      return bits;
    } else {
      unsigned short bits;
      memcpy(&bits, &value, 2);
      return bits;
    }
  }

  const Type* data_;
  const long long stride_;
  const int lines_;
  int k_;
};

template <bool kAsync, class Operand>
struct ChooseLoader {
  using Type = AsyncLoader<Operand>;
};
template <class Operand>
struct ChooseLoader<false, Operand> {
  using Type = WordLoader<Operand>;
};
/// Copies of less than 4 bytes are not to be had, and none transposes.
template <class Operand>
using Loader = typename ChooseLoader<(Operand::kVector * sizeof(typename Operand::Type) >= 4) &&
                                         StagedTile<Operand>::kAlongK == static_cast<bool>(Operand::kAlongK),
                                     Operand>::Type;

/// How one lane reads fragments of 16 lines by 32 bytes of k: four words, of lines 0 to 7 and 8 to 15 of the first and
/// the other 16 bytes. Tensor cores want what they take in neighbouring registers: of A all four, of B the two of eight
/// lines. So those of A are in the order of lines, then bytes, and those of B the other way round.
template <class Operand>
class FragmentReader {
  using Tile = StagedTile<Operand>;

 public:
  /// For fragments whose lines start `first_line` (a multiple of 16) after the tile's, and multiples of 16 further.
  __device__ __forceinline__ explicit FragmentReader(int first_line) : first_line_(first_line) {
    // Signed: what takes more to compute is kept through the loop, and not computed in each of its rounds.
    const int lane = static_cast<int>(threadIdx.x) % 32, fast = lane / 8 % 2, slow = lane / 16;
    const int across = Operand::kRight ? slow : fast, along = Operand::kRight ? fast : slow;
    if constexpr (Tile::kAlongK) {
      const int line = lane % 8 + across * 8;
      base_ = (first_line + line) * Tile::kRowBytes;
      turn_ = Tile::Turn(line) ^ along * 16;
    } else if constexpr (Tile::kSize == 2) {
      const int k = lane % 8 + along * 8;
      base_ = k * Tile::kRowBytes;
      turn_ = Tile::Turn(k) ^ across * 16;
    } else {
      static_assert(Tile::kTurnsPerRow == 2, "the same turn four steps of k further");
      base_ = lane % 4 * Tile::kRowBytes;
      turn_ = Tile::Turn(lane % 4) ^ lane / 4 * 4;
    }
  }

  /// Fragment `i` of 16 lines, at 32 bytes of k times `slice`, of the tile at shared address `tile`.
  __device__ __forceinline__ void Read(unsigned tile, int i, int slice, unsigned (&to)[4]) const {
    if constexpr (Tile::kAlongK) {
      ptx::LoadMatrices(tile + base_ + i * 16 * Tile::kRowBytes + (turn_ ^ slice * 32), to);
    } else if constexpr (Tile::kSize == 2) {
      const int byte = (first_line_ + i * 16) * 2 ^ turn_;
      ptx::LoadMatricesTransposed(tile + base_ + slice * 16 * Tile::kRowBytes + byte, to);
    } else {
#pragma unroll
      for (int q = 0; q < 4; ++q) {
        const int across = Operand::kRight ? q / 2 : q % 2, along = Operand::kRight ? q % 2 : q / 2;
        const int byte = (first_line_ + i * 16 + across * 8) * 4 ^ turn_;
        to[q] = ptx::LoadShared(tile + base_ + (slice * 8 + along * 4) * Tile::kRowBytes + byte);
      }
    }
  }

 private:
  const int first_line_;
  int base_, turn_;
};

}  // namespace gemmsmith
