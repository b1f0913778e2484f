#pragma once

#include "bulk_ring.cuh"
#include "finish.cuh"
#include "ptx/shared.cuh"
#include "ptx/tcgen05.cuh"

// D = alpha * A * B + beta * C on Blackwell's tensor cores, whose sums lie in tensor memory. One warp of a block loads
// tiles of A and B by bulk copies into a ring of stages in shared memory; one thread has what arrived multiplied; four
// or eight warps, for 32 rows each, take sums out of tensor memory and store them. There is room for the sums of two
// tiles, so that one is stored while the next is made. Blocks stay, and go from tile to tile of D.
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
    // What is scaled passes through registers: two warps share 32 rows.
    kHalves = Config::kScaled ? 2 : 1,
    kWarps = 4 * kHalves,                  // that store
    kColumns = Config::kBlockN / kHalves,  // of each
    kLoader = kWarps,
    kMultiplier,
    kTensorColumns = Config::kBlockN > 128  ? 512
                     : Config::kBlockN > 64 ? 256
                     : Config::kBlockN > 32 ? 128
                                            : 64,
    // Columns that a warp takes at once. What leaves by bulk copies: panels of 128 bytes of each row, swizzled as
    // operands are, of which there are two. What leaves by rows: with padding that keeps lanes which write eight rows
    // at once in banks of their own.
    kPieceColumns = Config::kSplit       ? 32
                    : Config::kBulkD     ? 128 / static_cast<int>(sizeof(D))
                    : kColumns % 64 == 0 ? 64
                                         : 32,
    kPitch = kPieceColumns + 4,
    kPanelBytes = 32 * 128,
    kWarpOutBytes = Config::kSplit   ? 0
                    : Config::kBulkD ? 2 * kPanelBytes
                                     : 32 * kPitch * static_cast<int>(sizeof(Accumulator)),
    kOutBytes = kWarps * kWarpOutBytes,
    kFactorBytes = Config::kScaledColumns ? kWarps * kColumns * 4 : 0,
    kSumsBytes = 2 * 16 + 16  // barriers of the sums of two tiles; where tensor memory is
  };
  static_assert(kColumns % kPieceColumns == 0, "whole pieces, and panels");

 public:
  enum : int {
    kThreads = (kWarps + 2) * 32,
    kSharedBytes = Ring::kBytes + kOutBytes + kFactorBytes + Ring::kBarrierBytes + kSumsBytes
  };

  /// The whole kernel. `shared`: kSharedBytes, a multiple of 1024.
  template <class Epilogue = StoreSums>
  __device__ static void Run(const Sm90Params& params, unsigned char* shared, Epilogue epilogue = {}) {
    const unsigned at = ptx::SharedAddress(shared), barriers = at + Ring::kBytes + kOutBytes + kFactorBytes;
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
      Store(params, shared + Ring::kBytes, sums, warp, epilogue);
    }
    ptx::FenceTensorBeforeSync();
    __syncthreads();
    ptx::FenceTensorAfterSync();
    if (warp == kMultiplier) ptx::FreeTensorMemory<kTensorColumns>(sums.words(0));
  }

 private:
  /// Which of the two sums, and the parity of their use.
  struct Turn {
    int index = 0;
    unsigned parity = 0;

    __device__ __forceinline__ void Advance() {
      index ^= 1;
      if (index == 0) parity ^= 1;
    }
  };

  /// Two sums, of tiles, or of steps where these are scaled. full: the tensor cores tell the warps that store. empty:
  /// these tell the thread that multiplies.
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

    /// Where the rows of this warp are, when they are complete.
    __device__ __forceinline__ unsigned Wait(const Turn& turn, int warp) const {
      ptx::WaitFor(full(turn.index), turn.parity);
      ptx::FenceTensorAfterSync();
      return words(turn.index) + (static_cast<unsigned>(warp % 4) << 21) + warp / 4 * kColumns;  // 32 lanes of each
    }
    /// This warp has read its rows.
    __device__ __forceinline__ void Release(const Turn& turn) const {
      ptx::FenceTensorBeforeSync();
      __syncwarp();
      if (threadIdx.x % 32 == 0) ptx::Arrive(empty(turn.index));
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
    constexpr unsigned long long kLeading = kAlongK ? 0 : Tile::kBoxBytes, kStride = Tile::kAtomBytes;
    return static_cast<unsigned long long>(at >> 4) | kLeading >> 4 << 16 | kStride >> 4 << 32 | kVersion << 46 |
           kSwizzle128 << 61;
  }

  __device__ __forceinline__ static void Multiply(const Sm90Params& params, const Ring& ring, const Sums& sums) {
    TileWalk<Config> walk(params, 0);
    typename Ring::Position at;
    Place place;
    Turn turn;
#pragma unroll 1
    while (walk.Next(place)) {
      const int steps = walk.Steps(place).count;
#pragma unroll 1
      for (int step = 0; step < steps; ++step, at.Advance()) {
        if (Config::kScaled || step == 0) {
          ptx::WaitFor(sums.empty(turn.index), turn.parity ^ 1);  // the first two pass at once
          ptx::FenceTensorAfterSync();
        }
        ptx::WaitFor(ring.full(at.stage), at.parity);
        ptx::FenceTensorAfterSync();
#pragma unroll
        for (int i = 0; i < 4; ++i)
          ptx::AddTensorProduct<kKind>(sums.words(turn.index),
                                       Descriptor<typename Ring::TileA, Config::kAAlongK>(ring.a(at.stage), i),
                                       Descriptor<typename Ring::TileB, Config::kBAlongK>(ring.b(at.stage), i), kForm,
                                       i > 0             ? 1
                                       : Config::kScaled ? 0
                                                         : step);
        ptx::ArriveAfterProducts(ring.empty(at.stage));
        if (Config::kScaled || step + 1 == steps) {
          ptx::ArriveAfterProducts(sums.full(turn.index));
          turn.Advance();
        }
      }
    }
  }

  __device__ __forceinline__ static int Left(long long left, int limit) {
    return left < limit ? static_cast<int>(left) : limit;
  }

  /// `out`: what D leaves through, and the factors of columns, of all warps.
  template <class Epilogue>
  __device__ __forceinline__ static void Store(const Sm90Params& params, unsigned char* out, const Sums& sums, int warp,
                                               Epilogue epilogue) {
    const SimtParams& gemm = params.base.gemm;
    Writer<Epilogue> writer(params, out + warp * kWarpOutBytes, epilogue);
    float* const factors = reinterpret_cast<float*>(out + kOutBytes) + warp * kColumns;
    TileWalk<Config> walk(params, 0);
    Place place;
    Turn turn;
#pragma unroll 1
    while (walk.Next(place)) {
      place.row += warp % 4 * 32, place.column += warp / 4 * kColumns;
      const int columns = place.row < gemm.m && place.column < gemm.n ? Left(gemm.n - place.column, kColumns) : 0;
      const int pieces = (columns + kPieceColumns - 1) / kPieceColumns;
      unsigned words[kPieceColumns];
      if constexpr (Config::kScaled) {
        float total[kColumns] = {};
        AddScaled(params, walk.Steps(place), sums, turn, place, warp, factors, total);
#pragma unroll
        for (int piece = 0; piece < kColumns / kPieceColumns; ++piece, place.column += kPieceColumns) {
          if (piece >= pieces) break;
#pragma unroll
          for (int i = 0; i < kPieceColumns; ++i) words[i] = __float_as_uint(total[piece * kPieceColumns + i]);
          writer.Store(place, words);
        }
      } else {
        const unsigned from = sums.Wait(turn, warp);
        if (pieces == 0) sums.Release(turn);
#pragma unroll 1
        for (int piece = 0; piece < pieces; ++piece, place.column += kPieceColumns) {
#pragma unroll
          for (int i = 0; i < kPieceColumns; i += 32) ptx::LoadTensorWords(from + piece * kPieceColumns + i, words + i);
          if (piece + 1 == pieces) sums.Release(turn);
          writer.Store(place, words);
        }
        turn.Advance();
      }
    }
    writer.End();
  }

  /// The sums of each step are multiplied by its factors, and added in f32: a row of the tile in each thread.
  __device__ __forceinline__ static void AddScaled(const Sm90Params& params, const TileSteps& steps, const Sums& sums,
                                                   Turn& turn, const Place& at, int warp, float* factors,
                                                   float (&total)[kColumns]) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    const int last_row = static_cast<int>(params.base.gemm.m) - 1, last = static_cast<int>(params.base.gemm.n) - 1;
    const int row = at.row + lane < last_row ? at.row + lane : last_row;
    const int first = steps.first_k / Ring::kDepth;
    const float* a = params.scale_a + row * params.scale_a_row + first * params.scale_a_k;
    const float* b = params.scale_b + first * params.scale_b_k;
#pragma unroll 1
    for (int step = 0; step < steps.count; ++step, a += params.scale_a_k, b += params.scale_b_k, turn.Advance()) {
      float factor = *a;
      if constexpr (Config::kScaledColumns) {
        __syncwarp();  // All have read those of the step before.
#pragma unroll
        for (int i = lane; i < kColumns; i += 32)
          factors[i] = b[(at.column + i < last ? at.column + i : last) * params.scale_b_column];
        __syncwarp();
      } else {
        factor *= b[(at.column < last ? at.column : last) / 128 * params.scale_b_column];
      }
      const unsigned from = sums.Wait(turn, warp);
#pragma unroll
      for (int i = 0; i < kColumns; i += 32) {
        unsigned words[32];
        ptx::LoadTensorWords(from + i, words);
#pragma unroll
        for (int j = 0; j < 32; ++j)
          total[i + j] += (Config::kScaledColumns ? factor * factors[i + j] : factor) * __uint_as_float(words[j]);
      }
      sums.Release(turn);
    }
  }

  /// What a warp does with pieces: 32 rows of kPieceColumns sums, a row in each lane.
  template <class Epilogue>
  class Writer {
   public:
    __device__ __forceinline__ Writer(const Sm90Params& params, unsigned char* out, Epilogue epilogue)
        : params_(params),
          gemm_(params.base.gemm),
          alpha_(ScalarValue<Accumulator>(gemm_.alpha, gemm_.alpha_pointer)),
          finisher_(gemm_),
          epilogue_(epilogue),
          out_(out),
          lane_(static_cast<int>(threadIdx.x) % 32) {}

    __device__ __forceinline__ void Store(const Place& at, const unsigned (&words)[kPieceColumns]) {
      if constexpr (Config::kSplit) {
        StorePartial(at, words);
      } else if constexpr (Config::kBulkD) {
        StorePanel(at, words);
      } else {
        StoreRows(at, words);
      }
    }
    __device__ __forceinline__ void End() const {
      if constexpr (Config::kBulkD && !Config::kSplit) {
        if (lane_ == 0) ptx::WaitForStoresToRead<0>();
      }
    }

   private:
    /// Whole pieces of rows: the memory has room for whole tiles, of which rows beyond D are not asked for.
    __device__ __forceinline__ void StorePartial(const Place& at, const unsigned (&words)[kPieceColumns]) const {
      if (at.row + lane_ >= gemm_.m) return;
      const Sm80Params& params = params_.base;
      Accumulator* to = static_cast<Accumulator*>(params.partial) + at.split * params.partial_split_stride +
                        at.batch * params.partial_batch_stride + (at.row + lane_) * params.partial_ld + at.column;
#pragma unroll
      for (int i = 0; i < kPieceColumns; i += 4)
        ptx::StoreGlobal(to + i, Vector<unsigned, 4>{{words[i], words[i + 1], words[i + 2], words[i + 3]}});
    }

    /// D = alpha * sums: 32 rows of 128 bytes in shared memory, which a bulk copy stores while the next are written.
    __device__ __forceinline__ void StorePanel(const Place& at, const unsigned (&words)[kPieceColumns]) {
      constexpr int kPerUnit = 16 / static_cast<int>(sizeof(D));
      const unsigned panel = ptx::SharedAddress(out_) + turn_ * kPanelBytes;
      if (lane_ == 0) ptx::WaitForStoresToRead<1>();  // of the panel before the last, which was here
      __syncwarp();
#pragma unroll
      for (int unit = 0; unit < 8; ++unit) {
        unsigned to[4];
#pragma unroll
        for (int i = 0; i < 4; ++i)
          to[i] = Narrowed(words + unit * kPerUnit + i * (kPerUnit / 4), static_cast<D*>(nullptr));
        ptx::StoreSharedQuad(panel + lane_ * 128 + (unit ^ lane_ % 8) * 16, to);
      }
      ptx::FenceForBulk();
      __syncwarp();
      if (lane_ == 0) {
        ptx::StoreTile(&params_.map_d, panel, at.column, at.row, at.batch);
        ptx::CommitStores();
      }
      turn_ ^= 1;
    }
    /// A word of D.
    __device__ __forceinline__ unsigned Narrowed(const unsigned* words, float*) const {
      return __float_as_uint(Value(words[0]));
    }
    __device__ __forceinline__ unsigned Narrowed(const unsigned* words, int*) const {
      return static_cast<unsigned>(alpha_) * words[0];
    }
    __device__ __forceinline__ unsigned Narrowed(const unsigned* words, Half*) const {
      return ptx::FloatsToHalves(Value(words[0]), Value(words[1]));
    }
    __device__ __forceinline__ unsigned Narrowed(const unsigned* words, Bfloat16*) const {
      return ptx::FloatsToBfloat16s(Value(words[0]), Value(words[1]));
    }
    __device__ __forceinline__ float Value(unsigned word) const { return alpha_ * __uint_as_float(word); }

    /// D = epilogue(alpha * sums + beta * C): the warp brings its rows into order, then stores them.
    __device__ __forceinline__ void StoreRows(const Place& at, const unsigned (&words)[kPieceColumns]) const {
      Accumulator* const staged = reinterpret_cast<Accumulator*>(out_);
      const unsigned to = ptx::SharedAddress(staged + lane_ * kPitch);
      __syncwarp();  // All have read what is there.
#pragma unroll
      for (int i = 0; i < kPieceColumns; i += 4) {
        const unsigned quad[4] = {words[i], words[i + 1], words[i + 2], words[i + 3]};
        ptx::StoreSharedQuad(to + i * 4, quad);
      }
      __syncwarp();  // All have written theirs.
      StagedLines<Config, Epilogue, 32, kPieceColumns, 32, kPitch>::Store(
          finisher_, epilogue_, staged, lane_, at.batch, at.row, at.column, Left(gemm_.m - at.row, 32),
          Left(gemm_.n - at.column, kPieceColumns), [](unsigned line) { return line; });
    }

    const Sm90Params& params_;
    const SimtParams& gemm_;
    const Accumulator alpha_;
    const Finisher<Config, Epilogue> finisher_;
    Epilogue epilogue_;
    unsigned char* const out_;
    const int lane_;
    int turn_ = 0;
  };
};

}  // namespace gemmsmith
