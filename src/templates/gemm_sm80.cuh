#pragma once

#include "finish.cuh"
#include "ptx/grid.cuh"
#include "staged_tile.cuh"

// D = alpha * A * B + beta * C on the tensor cores that sm_80 and its successors have, for any layout and shape. Tiles
// of A and B are copied asynchronously into a ring of kStages buffers in shared memory, kStages - 1 of them ahead of
// the one that is multiplied. A block of threads makes one (kBlockM, kBlockN) tile of D, each warp a part of it in
// registers.
//
// Config (rendered by the host) has: types A, B, D, Accumulator; kBlockM, kBlockN, kBlockK, kWarpsM, kWarpsN, kStages;
// kAAlongK, kBAlongK (elements along k are contiguous); kVectorA, kVectorB, kVectorD (elements per global access;
// strides and pointers are multiples of it, and D's columns); kReadC; kSplit (sums of a part of k are stored as they
// are); kShortSums (the tensor cores sum to less than f32: not more than a step's products). Constants are enumerators
// throughout: static variables, even constexpr, would be kept in the cubin and loaded with it.

namespace gemmsmith {

template <class Config>
struct WarpTile {
  enum : int {
    kThreads = Config::kWarpsM * Config::kWarpsN * 32,
    kRows = Config::kBlockM / Config::kWarpsM,
    kColumns = Config::kBlockN / Config::kWarpsN,
    kFragmentsM = kRows / 16,
    kFragmentsN = kColumns / 16
  };
  static_assert(kRows % 16 == 0 && kColumns % 16 == 0, "whole fragments");
};

/// What loaders and readers need to know of A and of B.
template <class Config>
struct StagedA {
  using Type = typename Config::A;
  enum : int {
    kLines = Config::kBlockM,
    kDepth = Config::kBlockK,
    kVector = Config::kVectorA,
    kThreads = WarpTile<Config>::kThreads
  };
  enum : bool { kAlongK = Config::kAAlongK, kRight = false };
};
template <class Config>
struct StagedB {
  using Type = typename Config::B;
  enum : int {
    kLines = Config::kBlockN,
    kDepth = Config::kBlockK,
    kVector = Config::kVectorB,
    kThreads = WarpTile<Config>::kThreads
  };
  enum : bool { kAlongK = Config::kBAlongK, kRight = true };
};

/// The product of fragments of these types. f32 is rounded to tf32.
template <class A, class B>
struct TensorProduct;
#define GEMMSMITH_PRODUCT(TypeA, TypeB, Sum, Name)                                                                 \
  template <>                                                                                                      \
  struct TensorProduct<TypeA, TypeB> {                                                                             \
    __device__ __forceinline__ static void Add(Sum (&sums)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) { \
      ptx::Name(sums, a, b0, b1);                                                                                  \
    }                                                                                                              \
  };
GEMMSMITH_PRODUCT(Half, Half, float, MmaF16)
GEMMSMITH_PRODUCT(Bfloat16, Bfloat16, float, MmaBf16)
GEMMSMITH_PRODUCT(float, float, float, MmaTf32)
GEMMSMITH_PRODUCT(signed char, signed char, int, MmaS8S8)
GEMMSMITH_PRODUCT(signed char, unsigned char, int, MmaS8U8)
GEMMSMITH_PRODUCT(unsigned char, signed char, int, MmaU8S8)
GEMMSMITH_PRODUCT(unsigned char, unsigned char, int, MmaU8U8)
GEMMSMITH_PRODUCT(E4m3, E4m3, float, MmaE4m3E4m3)
GEMMSMITH_PRODUCT(E4m3, E5m2, float, MmaE4m3E5m2)
GEMMSMITH_PRODUCT(E5m2, E4m3, float, MmaE5m2E4m3)
GEMMSMITH_PRODUCT(E5m2, E5m2, float, MmaE5m2E5m2)
#undef GEMMSMITH_PRODUCT

template <class Type>
__device__ __forceinline__ void RoundFragment(unsigned (&)[4]) {}
template <>
__device__ __forceinline__ void RoundFragment<float>(unsigned (&fragment)[4]) {
#pragma unroll
  for (int q = 0; q < 4; ++q) fragment[q] = ptx::RoundToTf32(fragment[q]);
}

template <class Config>
class Sm80Gemm {
  using A = typename Config::A;
  using B = typename Config::B;
  using Accumulator = typename Config::Accumulator;
  using Warp = WarpTile<Config>;
  using TileA = StagedTile<StagedA<Config>>;
  using TileB = StagedTile<StagedB<Config>>;
  /// Of each 16 by 8 part of a warp's tile, four sums of each lane.
  using Sums = Accumulator[Warp::kFragmentsM][2 * Warp::kFragmentsN][4];

  enum : int {
    kStageBytes = TileA::kBytes + TileB::kBytes,
    // Sums on their way from the tensor cores' order to rows: 16 rows of each warp. The padding keeps the lanes that
    // write four rows at once in banks of their own.
    kSumsPitch = Config::kBlockN + 8,
    kSumsBytes = Config::kWarpsM * 16 * kSumsPitch * 4
  };

 public:
  enum : int {
    kThreads = Warp::kThreads,
    kSharedBytes =
        Config::kStages * kStageBytes > kSumsBytes || Config::kSplit ? Config::kStages* kStageBytes : kSumsBytes
  };

  /// The whole kernel. grid.x: tiles of D, those of one column of tiles together, and so on for each batch entry;
  /// grid.y: parts of k. `shared`: kSharedBytes, a multiple of 128.
  template <class Epilogue = StoreSums>
  __device__ static void Run(const Sm80Params& params, unsigned char* shared, Epilogue epilogue = {}) {
    const SimtParams& gemm = params.gemm;
    const unsigned tiles_m = Count(gemm.m, Config::kBlockM), tiles = tiles_m * Count(gemm.n, Config::kBlockN);
    const unsigned tile = blockIdx.x % tiles;
    const Place at{blockIdx.x / tiles, static_cast<long long>(tile % tiles_m) * Config::kBlockM,
                   static_cast<long long>(tile / tiles_m) * Config::kBlockN};
    Sums sums = {};
    Multiply(params, shared, at, sums);
    if constexpr (Config::kSplit) {
      StorePartial(params, at, sums);
    } else {
      Finish(gemm, shared, at, sums, epilogue);
    }
  }

 private:
  /// Parts of `size` that cover `extent`, which is not 0.
  __device__ __forceinline__ static unsigned Count(long long extent, unsigned size) {
    return static_cast<unsigned>(static_cast<unsigned long long>(extent - 1) / size + 1);
  }

  /// The first element of a tile of D.
  struct Place {
    long long batch, row, column;
  };

  /// sums += A (kBlockM, this block's part of k) * B (that part, kBlockN).
  __device__ __forceinline__ static void Multiply(const Sm80Params& params, unsigned char* shared, const Place& at,
                                                  Sums& sums) {
    const SimtParams& gemm = params.gemm;
    const int first_k = Config::kSplit ? static_cast<int>(blockIdx.y) * params.k_per_split : 0;
    const int left = static_cast<int>(gemm.k) - first_k;
    const int k = Config::kSplit && params.k_per_split < left ? params.k_per_split : left;
    const A* a = static_cast<const A*>(gemm.a) + at.batch * gemm.batch_stride_a;
    const B* b = static_cast<const B*>(gemm.b) + at.batch * gemm.batch_stride_b;
    a += Config::kAAlongK ? at.row * gemm.lda + first_k : first_k * gemm.lda + at.row;
    b += Config::kBAlongK ? at.column * gemm.ldb + first_k : first_k * gemm.ldb + at.column;
    Loader<StagedA<Config>> loader_a(a, gemm.lda, Left(gemm.m - at.row, Config::kBlockM), k);
    Loader<StagedB<Config>> loader_b(b, gemm.ldb, Left(gemm.n - at.column, Config::kBlockN), k);
    const unsigned tiles = ptx::SharedAddress(shared), end = tiles + Config::kStages * kStageBytes;
    unsigned loaded = tiles, used = tiles;  // where the next tiles come, and where those are that are next
    const int steps = static_cast<int>((static_cast<unsigned>(k) + (Config::kBlockK - 1)) / Config::kBlockK);
    // The first rounds only load: the code that does is large, and so it is there once.
#pragma unroll 1
    for (int step = 1 - Config::kStages; step < steps; ++step) {
      if (step >= 0) {
        // This thread's copies of the step have arrived; the barrier says the same of all threads', and that all have
        // read the tiles of the step before, whose place is filled next.
        ptx::WaitForCopies<Config::kStages - 2>();
        __syncthreads();
      }
      if (step + Config::kStages - 1 < steps) {
        loader_a.Load(loaded);
        loader_b.Load(loaded + TileA::kBytes);
      }
      ptx::CommitCopies();  // a group for each step, even if empty: waiting counts them
      loaded = loaded + kStageBytes == end ? tiles : loaded + kStageBytes;
      if (step < 0) continue;
      if constexpr (Config::kShortSums) {
        Sums some = {};
        Step(used, some);
        Add(some, sums);
      } else {
        Step(used, sums);
      }
      used = used + kStageBytes == end ? tiles : used + kStageBytes;
    }
  }
  __device__ __forceinline__ static int Left(long long left, int limit) {
    return left < limit ? static_cast<int>(left) : limit;
  }

  __device__ __forceinline__ static void Add(const Sums& some, Sums& sums) {
#pragma unroll
    for (int i = 0; i < Warp::kFragmentsM; ++i)
#pragma unroll
      for (int j = 0; j < 2 * Warp::kFragmentsN; ++j)
#pragma unroll
        for (int q = 0; q < 4; ++q) sums[i][j][q] += some[i][j][q];
  }

  /// sums += the tiles at `tiles`.
  __device__ __forceinline__ static void Step(unsigned tiles, Sums& sums) {
    const int warp = static_cast<int>(threadIdx.x) / 32;
    const FragmentReader<StagedA<Config>> reader_a(warp / Config::kWarpsN * Warp::kRows);
    const FragmentReader<StagedB<Config>> reader_b(warp % Config::kWarpsN * Warp::kColumns);
#pragma unroll
    for (int slice = 0; slice < Config::kBlockK * TileA::kSize / 32; ++slice) {
      unsigned a[Warp::kFragmentsM][4], b[Warp::kFragmentsN][4];
#pragma unroll
      for (int i = 0; i < Warp::kFragmentsM; ++i) {
        reader_a.Read(tiles, i, slice, a[i]);
        RoundFragment<A>(a[i]);
      }
#pragma unroll
      for (int j = 0; j < Warp::kFragmentsN; ++j) {
        reader_b.Read(tiles + TileA::kBytes, j, slice, b[j]);
        RoundFragment<B>(b[j]);
      }
#pragma unroll
      for (int i = 0; i < Warp::kFragmentsM; ++i)
#pragma unroll
        for (int j = 0; j < 2 * Warp::kFragmentsN; ++j)
          TensorProduct<A, B>::Add(sums[i][j], a[i], b[j / 2][j % 2 * 2], b[j / 2][j % 2 * 2 + 1]);
    }
  }

  /// Where this lane's sums of a 16 by 8 part are: (row, column), (row, column + 1), and the same eight rows further.
  struct Lane {
    unsigned row, column;
    __device__ __forceinline__ Lane() {
      const unsigned warp = threadIdx.x / 32, lane = threadIdx.x % 32;
      row = warp / Config::kWarpsN * Warp::kRows + lane / 4;
      column = warp % Config::kWarpsN * Warp::kColumns + lane % 4 * 2;
    }
  };

  /// Whole tiles: the memory has room for them.
  __device__ __forceinline__ static void StorePartial(const Sm80Params& params, const Place& at, const Sums& sums) {
    const Lane lane;
    Accumulator* to = static_cast<Accumulator*>(params.partial) + blockIdx.y * params.partial_split_stride +
                      at.batch * params.partial_batch_stride + (at.row + lane.row) * params.partial_ld + at.column +
                      lane.column;
#pragma unroll
    for (int i = 0; i < Warp::kFragmentsM; ++i)
#pragma unroll
      for (int half = 0; half < 2; ++half) {
#pragma unroll
        for (int j = 0; j < 2 * Warp::kFragmentsN; ++j)
          ptx::StoreGlobalPair(to + j * 8, sums[i][j][2 * half], sums[i][j][2 * half + 1]);
        to += 8 * params.partial_ld;
      }
  }

  /// D = epilogue(alpha * sums + beta * C), through shared memory, so that threads store rows: 16 rows of each warp at
  /// a time. One piece of code does it for all of them, as there is much of it.
  template <class Epilogue>
  __device__ __forceinline__ static void Finish(const SimtParams& gemm, unsigned char* shared, const Place& at,
                                                const Sums& sums, Epilogue epilogue) {
    const Finisher<Config, Epilogue> finisher(gemm);
    auto* const staged = reinterpret_cast<Accumulator*>(shared);  // (kWarpsM * 16, kSumsPitch)
    const Lane lane;
    const unsigned to =
        ptx::SharedAddress(staged + (lane.row / Warp::kRows * 16 + lane.row % 16) * kSumsPitch + lane.column);
#pragma unroll 1
    for (unsigned fragment = 0; fragment < Warp::kFragmentsM; ++fragment) {
      __syncthreads();  // All have read what is there.
#pragma unroll
      for (unsigned i = 0; i < Warp::kFragmentsM; ++i) {
        if (i != fragment) continue;
#pragma unroll
        for (int j = 0; j < 2 * Warp::kFragmentsN; ++j) {
          ptx::StoreSharedPair(to + j * 32, sums[i][j][0], sums[i][j][1]);
          ptx::StoreSharedPair(to + (8 * kSumsPitch + j * 8) * 4, sums[i][j][2], sums[i][j][3]);
        }
      }
      __syncthreads();  // All have written theirs.
      FinishRows(gemm, finisher, staged, fragment * 16, at, epilogue);
    }
  }

  /// The rows that are staged: those from `first` on of each warp's tile.
  template <class Epilogue>
  __device__ __forceinline__ static void FinishRows(const SimtParams& gemm, const Finisher<Config, Epilogue>& finisher,
                                                    const Accumulator* staged, unsigned first, const Place& tile,
                                                    Epilogue epilogue) {
    const unsigned rows = Left(gemm.m - tile.row, Config::kBlockM);
    StagedLines<Config, Epilogue, kThreads, Config::kBlockN, Config::kWarpsM * 16, kSumsPitch>::Store(
        finisher, epilogue, staged, threadIdx.x, tile.batch, tile.row, tile.column, rows,
        Left(gemm.n - tile.column, Config::kBlockN),
        [first](unsigned line) { return line / 16 * Warp::kRows + first + line % 16; });
  }
};

/// Adds what the parts of k have come to, in their order, and finishes it. Config has types D and Accumulator, kVectorD
/// and kReadC.
template <class Config>
class Sm80Reduction {
  using Accumulator = typename Config::Accumulator;

 public:
  enum : int { kThreads = 128, kRows = 16 };

  /// grid.x: kThreads accesses of a row; grid.y: groups of kRows rows, in turns; grid.z: batch entries, in turns.
  template <class Epilogue = StoreSums>
  __device__ static void Run(const Sm80Params& params, Epilogue epilogue = {}) {
    using Finish = Finisher<Config, Epilogue>;
    const SimtParams& gemm = params.gemm;
    ptx::LetNextLaunchStart(), ptx::WaitForLaunchBefore();
    const Finish finisher(gemm);
    const long long column = (static_cast<long long>(blockIdx.x) * kThreads + threadIdx.x) * Finish::kTaken;
    if (column >= gemm.n) return;
#pragma unroll 1
    for (long long batch = blockIdx.z; batch < gemm.batch; batch += gridDim.z)
#pragma unroll 1
      for (long long row = static_cast<long long>(blockIdx.y) * kRows; row < gemm.m;
           row += static_cast<long long>(gridDim.y) * kRows) {
        typename Finish::Part part(epilogue, batch, row, column / Finish::kColumnsPerD);
#pragma unroll 1
        for (int i = 0; i < kRows && row + i < gemm.m; ++i) {
          Accumulator sums[Finish::kTaken] = {};
          Add(params, batch, row + i, column, sums);
          finisher.Store(part, batch, row, column / Finish::kColumnsPerD, i, sums);
        }
        part.End();
      }
  }

 private:
  template <int kTaken>
  __device__ __forceinline__ static void Add(const Sm80Params& params, long long batch, long long row, long long column,
                                             Accumulator (&sums)[kTaken]) {
    enum : int { kWidth = kTaken < 4 ? kTaken : 4 };
    using Access = Vector<Accumulator, kWidth>;
    const Accumulator* from = static_cast<const Accumulator*>(params.partial) + batch * params.partial_batch_stride +
                              row * params.partial_ld + column;
#pragma unroll 4
    for (long long split = 0; split < params.splits; ++split, from += params.partial_split_stride)
#pragma unroll
      for (int v = 0; v < kTaken; v += kWidth) {
        const Access some = *reinterpret_cast<const Access*>(from + v);
#pragma unroll
        for (int w = 0; w < kWidth; ++w) sums[v + w] = Added(sums[v + w], Accumulator(1), some.at[w]);
      }
  }
};

}  // namespace gemmsmith
