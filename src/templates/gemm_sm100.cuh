#pragma once

#include "bulk_ring.cuh"
#include "finish.cuh"
#include "ptx/shared.cuh"
#include "ptx/tcgen05.cuh"

// D = alpha * A * B + beta * C on Blackwell's tensor cores, whose sums lie in tensor memory. One warp of a block loads
// tiles of A and B by bulk copies into a ring of stages in shared memory; one thread has what arrived multiplied; four
// warps, 32 rows each, take sums out of tensor memory and store them. There is room for the sums of two tiles, so that
// one is stored while the next is made. Blocks stay, and go from tile to tile of D.
//
// Config (rendered by the host) has: types A, B, D, Accumulator; kBlockM (128), kBlockN (a multiple of 32, at most
// 256), kStages; kClusterM, kClusterN (1); kAAlongK, kBAlongK (elements along k are contiguous); kBulkD (D leaves by
// bulk copies; it is alpha * A * B, no more), else kVectorD, kReadC; kSplit (sums of a part of k are stored as they
// are).

namespace gemmsmith {

/// What tensor cores are told of the types of elements.
template <class T>
struct TensorElement;
template <>
struct TensorElement<Half> : ptx::TensorFormat<ptx::TensorKind::kF16, 0> {};
template <>
struct TensorElement<Bfloat16> : ptx::TensorFormat<ptx::TensorKind::kF16, 1> {};
template <>
struct TensorElement<float> : ptx::TensorFormat<ptx::TensorKind::kTf32, 2> {};
template <>
struct TensorElement<E4m3> : ptx::TensorFormat<ptx::TensorKind::kF8, 0> {};
template <>
struct TensorElement<E5m2> : ptx::TensorFormat<ptx::TensorKind::kF8, 1> {};
template <>
struct TensorElement<unsigned char> : ptx::TensorFormat<ptx::TensorKind::kI8, 0> {};
template <>
struct TensorElement<signed char> : ptx::TensorFormat<ptx::TensorKind::kI8, 1> {};

template <class Config>
class Sm100Gemm {
  using Accumulator = typename Config::Accumulator;
  using D = typename Config::D;
  using Place = typename TileWalk<Config>::Place;
  using Ring = BulkRing<Config, 1>;
  static_assert(Config::kBlockM == 128 && Config::kBlockN % 32 == 0 && Config::kBlockN <= 256, "of one instruction");

  enum : int {
    kWarps = 4,  // that store
    kLoader = kWarps,
    kMultiplier,
    kTensorColumns = Config::kBlockN > 128  ? 512
                     : Config::kBlockN > 64 ? 256
                     : Config::kBlockN > 32 ? 128
                                            : 64,
    // Columns that a warp takes at once. What leaves by bulk copies: panels of 128 bytes of each row, swizzled as
    // operands are, of which there are two. What leaves by rows: with padding that keeps lanes which write eight rows
    // at once in banks of their own.
    kPieceColumns = Config::kSplit              ? 32
                    : Config::kBulkD            ? 128 / static_cast<int>(sizeof(D))
                    : Config::kBlockN % 64 == 0 ? 64
                                                : 32,
    kPitch = kPieceColumns + 4,
    kPanelBytes = 32 * 128,
    kWarpOutBytes = Config::kSplit   ? 0
                    : Config::kBulkD ? 2 * kPanelBytes
                                     : 32 * kPitch * static_cast<int>(sizeof(Accumulator)),
    kOutBytes = kWarps * kWarpOutBytes,
    kSumsBytes = 2 * 16 + 16  // barriers of the sums of two tiles; where tensor memory is
  };
  static_assert(!Config::kBulkD || Config::kBlockN % kPieceColumns == 0, "whole panels");

 public:
  enum : int {
    kThreads = (kWarps + 2) * 32,
    kSharedBytes = Ring::kBytes + kOutBytes + Ring::kBarrierBytes + kSumsBytes
  };

  /// The whole kernel. `shared`: kSharedBytes, a multiple of 1024.
  template <class Epilogue = StoreSums>
  __device__ static void Run(const Sm90Params& params, unsigned char* shared, Epilogue epilogue = {}) {
    const unsigned at = ptx::SharedAddress(shared), barriers = at + Ring::kBytes + kOutBytes;
    const Ring ring(at, barriers);
    Sums sums(barriers + Ring::kBarrierBytes);
    // The same in all lanes, and known to be.
    const int warp = __shfl_sync(0xffffffffu, static_cast<int>(threadIdx.x) / 32, 0);
    if (threadIdx.x == 0) {
      ring.Init();
      sums.Init();
      ptx::FenceBarrierInit();
    }
    if (warp == kMultiplier) ptx::AllocateTensorMemory<kTensorColumns>(sums.slot());
    ptx::FenceTensorBeforeSync();
    __syncthreads();
    ptx::FenceTensorAfterSync();
    sums.Find();
    if (warp == kLoader) {
      if (ptx::IsElected()) ring.Fill(params, 0);
      __syncwarp();
    } else if (warp == kMultiplier) {
      if (ptx::IsElected()) Multiply(params, ring, sums);
      __syncwarp();
    } else {
      Store(params, shared + Ring::kBytes + warp * kWarpOutBytes, sums, warp, epilogue);
    }
    ptx::FenceTensorBeforeSync();
    __syncthreads();
    ptx::FenceTensorAfterSync();
    if (warp == kMultiplier) ptx::FreeTensorMemory<kTensorColumns>(sums.words(0));
  }

 private:
  /// The sums of two tiles. full: the tensor cores tell the warps that store. empty: these tell the thread that
  /// multiplies.
  class Sums {
   public:
    __device__ __forceinline__ explicit Sums(unsigned barriers) : full_(barriers) {}

    __device__ __forceinline__ void Init() const {
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        ptx::InitBarrier(full(i), 1);
        ptx::InitBarrier(empty(i), kWarps);
      }
    }
    __device__ __forceinline__ void Find() { words_ = ptx::LoadShared(slot()); }
    __device__ __forceinline__ unsigned full(int i) const { return full_ + i * 16; }
    __device__ __forceinline__ unsigned empty(int i) const { return full(i) + 8; }
    __device__ __forceinline__ unsigned slot() const { return full_ + 2 * 16; }
    __device__ __forceinline__ unsigned words(int i) const { return words_ + i * (kTensorColumns / 2); }

    /// This warp has read its rows.
    __device__ __forceinline__ void Release(int i) const {
      ptx::FenceTensorBeforeSync();
      __syncwarp();
      if (threadIdx.x % 32 == 0) ptx::Arrive(empty(i));
    }

   private:
    unsigned full_, words_ = 0;
  };

  static constexpr ptx::TensorKind kKind = TensorElement<typename Config::A>::kKind;
  /// PTX ISA, instruction descriptor: sums, elements, which of them lie along k, columns and rows.
  static constexpr unsigned kForm =
      (kKind == ptx::TensorKind::kI8 ? 2u : 1u) << 4 | TensorElement<typename Config::A>::kFormat << 7 |
      TensorElement<typename Config::B>::kFormat << 10 | (Config::kAAlongK ? 0u : 1u) << 15 |
      (Config::kBAlongK ? 0u : 1u) << 16 | static_cast<unsigned>(Config::kBlockN / 8) << 17 |
      static_cast<unsigned>(Config::kBlockM / 16) << 24;

  /// What tensor cores are told of the i-th 32 bytes of k of a tile (PTX ISA, shared memory descriptor).
  template <class Tile, bool kAlongK>
  __device__ __forceinline__ static unsigned long long Descriptor(unsigned tile, int i) {
    constexpr unsigned long long kVersion = 1, kSwizzle128 = 2;
    const unsigned at = tile + i * (kAlongK ? 32 : Tile::kDepth / 32 * Tile::kAtomBytes);
    // Between boxes, along the lines; and between atoms of 8 rows.
    return static_cast<unsigned long long>(at >> 4) | static_cast<unsigned long long>(Tile::kBoxBytes >> 4) << 16 |
           static_cast<unsigned long long>(Tile::kAtomBytes >> 4) << 32 | kVersion << 46 | kSwizzle128 << 61;
  }

  __device__ __forceinline__ static void Multiply(const Sm90Params& params, const Ring& ring, const Sums& sums) {
    TileWalk<Config> walk(params, 0);
    typename Ring::Position at;
    Place place;
#pragma unroll 1
    for (int tile = 0; walk.Next(place); ++tile) {
      const TileSteps steps = walk.Steps(place);
      const int own = tile % 2;
      ptx::WaitFor(sums.empty(own), (tile / 2 & 1) ^ 1);  // the first two pass at once
      ptx::FenceTensorAfterSync();
#pragma unroll 1
      for (int step = 0; step < steps.count; ++step, at.Advance()) {
        ptx::WaitFor(ring.full(at.stage), at.parity);
        ptx::FenceTensorAfterSync();
#pragma unroll
        for (int i = 0; i < 4; ++i)
          ptx::AddTensorProduct<kKind>(
              sums.words(own), Descriptor<typename Ring::TileA, Config::kAAlongK>(ring.a(at.stage), i),
              Descriptor<typename Ring::TileB, Config::kBAlongK>(ring.b(at.stage), i), kForm, i > 0 ? 1 : step);
        ptx::ArriveAfterProducts(ring.empty(at.stage));
      }
      ptx::ArriveAfterProducts(sums.full(own));
    }
  }

  template <class Epilogue>
  __device__ __forceinline__ static void Store(const Sm90Params& params, unsigned char* out, const Sums& sums, int warp,
                                               Epilogue epilogue) {
    const SimtParams& gemm = params.base.gemm;
    const Finisher<Config, Epilogue> finisher(gemm);
    const Accumulator alpha = ScalarValue<Accumulator>(gemm.alpha, gemm.alpha_pointer);
    const unsigned panels = ptx::SharedAddress(out);
    int turn = 0;
    TileWalk<Config> walk(params, 0);
    Place place;
#pragma unroll 1
    for (int tile = 0; walk.Next(place); ++tile) {
      const int own = tile % 2;
      place.row += warp * 32;
      const int pieces =
          place.row < gemm.m ? (Left(gemm.n - place.column, Config::kBlockN) + kPieceColumns - 1) / kPieceColumns : 0;
      ptx::WaitFor(sums.full(own), tile / 2 & 1);
      ptx::FenceTensorAfterSync();
      const unsigned from = sums.words(own) + (static_cast<unsigned>(warp) << 21);  // 32 lanes of each
      if (pieces == 0) sums.Release(own);
#pragma unroll 1
      for (int piece = 0; piece < pieces; ++piece, place.column += kPieceColumns) {
        unsigned words[kPieceColumns];
#pragma unroll
        for (int i = 0; i < kPieceColumns; i += 32) ptx::LoadTensorWords(from + piece * kPieceColumns + i, words + i);
        if (piece + 1 == pieces) sums.Release(own);
        if constexpr (Config::kSplit) {
          StorePartial(params.base, place, words);
        } else if constexpr (Config::kBulkD) {
          StorePanel(params, panels + turn * kPanelBytes, place, alpha, words);
          turn ^= 1;
        } else {
          StoreRows(finisher, epilogue, gemm, reinterpret_cast<Accumulator*>(out), place, words);
        }
      }
    }
    if constexpr (Config::kBulkD && !Config::kSplit) {
      if (threadIdx.x % 32 == 0) ptx::WaitForStoresToRead<0>();
    }
  }

  __device__ __forceinline__ static int Left(long long left, int limit) {
    return left < limit ? static_cast<int>(left) : limit;
  }
  /// A word of tensor memory as what it is.
  __device__ __forceinline__ static void Read(unsigned word, float& sum) { sum = __uint_as_float(word); }
  __device__ __forceinline__ static void Read(unsigned word, int& sum) { sum = static_cast<int>(word); }
  __device__ __forceinline__ static Accumulator Sum(unsigned word) {
    Accumulator sum;
    Read(word, sum);
    return sum;
  }

  /// Whole pieces of rows: the memory has room for whole tiles, of which rows beyond D are not asked for.
  __device__ __forceinline__ static void StorePartial(const Sm80Params& params, const Place& at,
                                                      const unsigned (&words)[kPieceColumns]) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    if (at.row + lane >= params.gemm.m) return;
    Accumulator* to = static_cast<Accumulator*>(params.partial) + at.split * params.partial_split_stride +
                      at.batch * params.partial_batch_stride + (at.row + lane) * params.partial_ld + at.column;
#pragma unroll
    for (int i = 0; i < kPieceColumns; i += 4)
      ptx::StoreGlobal(to + i, Vector<unsigned, 4>{{words[i], words[i + 1], words[i + 2], words[i + 3]}});
  }

  /// D = alpha * sums: 32 rows of 128 bytes in shared memory, which a bulk copy stores while the next are written.
  __device__ __forceinline__ static void StorePanel(const Sm90Params& params, unsigned panel, const Place& at,
                                                    Accumulator alpha, const unsigned (&words)[kPieceColumns]) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    if (lane == 0) ptx::WaitForStoresToRead<1>();  // of the panel before the last, which was here
    __syncwarp();
    constexpr int kPerUnit = 16 / static_cast<int>(sizeof(D));
#pragma unroll
    for (int unit = 0; unit < 8; ++unit) {
      unsigned to[4];
#pragma unroll
      for (int i = 0; i < 4; ++i)
        to[i] = Narrowed(alpha, words + unit * kPerUnit + i * (kPerUnit / 4), static_cast<D*>(nullptr));
      ptx::StoreSharedQuad(panel + lane * 128 + (unit ^ lane % 8) * 16, to);
    }
    ptx::FenceForBulk();
    __syncwarp();
    if (lane == 0) {
      ptx::StoreTile(&params.map_d, panel, at.column, at.row, at.batch);
      ptx::CommitStores();
    }
  }
  /// A word of D.
  __device__ __forceinline__ static unsigned Narrowed(Accumulator alpha, const unsigned* words, Accumulator*) {
    const Accumulator value = Scaled(alpha, Sum(words[0]));
    unsigned word;
    memcpy(&word, &value, 4);
    return word;
  }
  __device__ __forceinline__ static unsigned Narrowed(float alpha, const unsigned* words, Half*) {
    return ptx::FloatsToHalves(alpha * Sum(words[0]), alpha * Sum(words[1]));
  }
  __device__ __forceinline__ static unsigned Narrowed(float alpha, const unsigned* words, Bfloat16*) {
    return ptx::FloatsToBfloat16s(alpha * Sum(words[0]), alpha * Sum(words[1]));
  }

  /// D = epilogue(alpha * sums + beta * C): the warp brings its rows into order, then stores them.
  template <class Epilogue>
  __device__ __forceinline__ static void StoreRows(const Finisher<Config, Epilogue>& finisher, Epilogue epilogue,
                                                   const SimtParams& gemm, Accumulator* staged, const Place& at,
                                                   const unsigned (&words)[kPieceColumns]) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    const unsigned to = ptx::SharedAddress(staged + lane * kPitch);
    __syncwarp();  // All have read what is there.
#pragma unroll
    for (int i = 0; i < kPieceColumns; i += 4) {
      const unsigned quad[4] = {words[i], words[i + 1], words[i + 2], words[i + 3]};
      ptx::StoreSharedQuad(to + i * 4, quad);
    }
    __syncwarp();  // All have written theirs.
    StagedLines<Config, Epilogue, 32, kPieceColumns, 32, kPitch>::Store(
        finisher, epilogue, staged, lane, at.batch, at.row, at.column, Left(gemm.m - at.row, 32),
        Left(gemm.n - at.column, kPieceColumns), [](unsigned line) { return line; });
  }
};

}  // namespace gemmsmith
