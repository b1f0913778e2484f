#pragma once

#include "numeric.cuh"
#include "params.h"
#include "ptx/memory.cuh"

// D = alpha * A * B + beta * C on the plain FMA units, for any layout, shape and architecture. A block of threads makes
// one (kBlockM, kBlockN) tile of D; tiles of A and B pass through registers into two buffers of shared memory, so that
// global loads of one k-step are in flight while the step before is computed.
//
// Config (rendered by the host) has: types A, B, D, Accumulator; kBlockM, kBlockN, kBlockK; kMicroM, kMicroN (one
// thread's part of D); kAAlongK, kBAlongK (elements along k are contiguous); kVectorA, kVectorB, kVectorD (elements per
// global access; extents, strides and pointers are multiples of it); kReadC. Constants are enumerators throughout:
// static variables, even constexpr, would be kept in the cubin and loaded with it.

namespace gemmsmith {

/// Where a thread's part of D lies. A warp is 4 threads high and 8 wide: its reads of shared memory have no conflicts.
template <class Config>
struct ThreadTile {
  enum : int {
    kWarpM = 4 * Config::kMicroM,
    kWarpN = 8 * Config::kMicroN,
    kWarpsN = Config::kBlockN / kWarpN,
    kThreads = Config::kBlockM / kWarpM * kWarpsN * 32
  };
  static_assert(Config::kBlockM % kWarpM == 0 && Config::kBlockN % kWarpN == 0, "warps tile the block");

  int row, column;

  __device__ __forceinline__ explicit ThreadTile(int thread) {
    const int warp = thread / 32, lane = thread % 32;
    row = warp / kWarpsN * kWarpM + lane / 8 * Config::kMicroM;
    column = warp % kWarpsN * kWarpN + lane % 8 * Config::kMicroN;
  }
};

/// What the loader needs to know of A: its "lines" are rows of (m, k); of B: columns of (k, n).
template <class Config>
struct OperandA {
  using Type = typename Config::A;
  enum : int { kLines = Config::kBlockM, kVector = Config::kVectorA };
  enum : bool { kAlongK = Config::kAAlongK };
};
template <class Config>
struct OperandB {
  using Type = typename Config::B;
  enum : int { kLines = Config::kBlockN, kVector = Config::kVectorB };
  enum : bool { kAlongK = Config::kBAlongK };
};

/// An operand's tile in shared memory, widened: (kBlockK, kLines). Padding by one 16-byte access spreads the writes of
/// operands that are contiguous along k over the banks.
template <class Config, class Operand>
struct alignas(16) SharedTile {
  using Accumulator = typename Config::Accumulator;
  enum : int { kPadding = 16 / sizeof(Accumulator) };
  Accumulator at[Config::kBlockK][Operand::kLines + kPadding];
};

/// Brings the tiles of one operand, in the order of k, from global memory into shared memory.
template <class Config, class Operand>
class TileLoader {
  using Type = typename Operand::Type;
  using Access = Vector<Type, Operand::kVector>;

 public:
  /// `data` is the operand's element (first_line, k = 0); `lines` and `k` are what is left of it from there.
  __device__ __forceinline__ TileLoader(const Type* data, long long stride, long long lines, long long k)
      : data_(data), stride_(stride), lines_(Clamp(lines, Operand::kLines)), k_(k) {}

  /// Fetches the next tile into registers. What lies outside the operand is zero.
  __device__ __forceinline__ void Fetch() {
    const int k_left = Clamp(k_, Config::kBlockK);
#pragma unroll
    for (int i = 0; i < kAccesses; ++i) {
      const Place place(i);
      const long long offset = Operand::kAlongK ? place.line * stride_ + place.k : place.k * stride_ + place.line;
      fetched_[i] = Access{};
      if (place.line < lines_ && place.k < k_left) fetched_[i] = *reinterpret_cast<const Access*>(data_ + offset);
    }
    data_ += Operand::kAlongK ? Config::kBlockK : Config::kBlockK * stride_;
    k_ -= Config::kBlockK;
  }

  /// Puts the fetched tile into shared memory.
  __device__ __forceinline__ void Store(SharedTile<Config, Operand>& tile) const {
#pragma unroll
    for (int i = 0; i < kAccesses; ++i) {
      const Place place(i);
#pragma unroll
      for (int v = 0; v < Operand::kVector; ++v) {
        const auto value = Widen(fetched_[i].at[v]);
        if constexpr (Operand::kAlongK) {
          tile.at[place.k + v][place.line] = value;
        } else {
          tile.at[place.k][place.line + v] = value;
        }
      }
    }
  }

 private:
  enum : int {
    kThreads = ThreadTile<Config>::kThreads,
    kAccesses = Operand::kLines * Config::kBlockK / Operand::kVector / kThreads,
    kContiguous = Operand::kAlongK ? Config::kBlockK : Operand::kLines
  };
  static_assert(kAccesses * Operand::kVector * kThreads == Operand::kLines * Config::kBlockK, "equal shares");
  static_assert(kContiguous % Operand::kVector == 0, "no access leaves its line");

  /// The first element of this thread's i-th access: neighbouring threads read neighbouring memory.
  struct Place {
    int line, k;
    __device__ __forceinline__ explicit Place(int i) {
      const int access = static_cast<int>(threadIdx.x) + i * kThreads;
      const int along = access % (kContiguous / Operand::kVector) * Operand::kVector;
      const int across = access / (kContiguous / Operand::kVector);
      line = Operand::kAlongK ? across : along;
      k = Operand::kAlongK ? along : across;
    }
  };

  __device__ __forceinline__ static int Clamp(long long left, int limit) {
    return left < limit ? static_cast<int>(left) : limit;
  }

  const Type* data_;
  long long stride_;
  int lines_;
  long long k_;
  Access fetched_[kAccesses];
};

template <int N, class T>
__device__ __forceinline__ void ReadShared(const T* from, T (&to)[N]) {
  constexpr int kStep = N * sizeof(T) <= 16 ? N : 16 / sizeof(T);
#pragma unroll
  for (int i = 0; i < N; i += kStep) {
    const auto part = *reinterpret_cast<const Vector<T, kStep>*>(from + i);
#pragma unroll
    for (int j = 0; j < kStep; ++j) to[i + j] = part.at[j];
  }
}

/// No epilogue: see Fused in epilogue.cuh.
struct StoreAsItIs {
  enum : int { kColumnsPerD = 1 };
  template <int kColumns>
  struct Part {
    __device__ __forceinline__ Part(const StoreAsItIs&, long long, long long, long long) {}
    template <class T>
    __device__ __forceinline__ T operator()(int, int, T value, T) const {
      return value;
    }
    __device__ __forceinline__ void EndRow(int) const {}
    __device__ __forceinline__ void End() const {}
  };
};

template <class Config>
class SimtGemm {
  using A = typename Config::A;
  using B = typename Config::B;
  using D = typename Config::D;
  using Accumulator = typename Config::Accumulator;
  using TileA = SharedTile<Config, OperandA<Config>>;
  using TileB = SharedTile<Config, OperandB<Config>>;

 public:
  enum : int { kThreads = ThreadTile<Config>::kThreads };

  /// The whole kernel. grid.x: tiles of D, those of one column of tiles together; grid.z: batch entries, in turns.
  template <class Epilogue = StoreAsItIs>
  __device__ static void Run(const SimtParams& params, Epilogue epilogue = {}) {
    const unsigned tiles_m = params.m > 0 ? static_cast<unsigned>((params.m - 1) / Config::kBlockM + 1) : 1;
    const long long row = static_cast<long long>(blockIdx.x % tiles_m) * Config::kBlockM;
    const long long column = static_cast<long long>(blockIdx.x / tiles_m) * Config::kBlockN;
#pragma unroll 1
    for (long long batch = blockIdx.z; batch < params.batch; batch += gridDim.z) {
      Accumulator sums[Config::kMicroM][Config::kMicroN] = {};
      Multiply(params, batch, row, column, sums);
      Finish(params, batch, row, column, sums, epilogue);
    }
  }

 private:
  using Sums = Accumulator[Config::kMicroM][Config::kMicroN];

  /// sums += A (kBlockM, k) * B (k, kBlockN), in ascending order of k.
  __device__ __forceinline__ static void Multiply(const SimtParams& params, long long batch, long long row,
                                                  long long column, Sums& sums) {
    __shared__ TileA tile_a[2];
    __shared__ TileB tile_b[2];
    const A* a = static_cast<const A*>(params.a) + batch * params.batch_stride_a;
    const B* b = static_cast<const B*>(params.b) + batch * params.batch_stride_b;
    TileLoader<Config, OperandA<Config>> loader_a(a + row * (Config::kAAlongK ? params.lda : 1), params.lda,
                                                  params.m - row, params.k);
    TileLoader<Config, OperandB<Config>> loader_b(b + column * (Config::kBAlongK ? params.ldb : 1), params.ldb,
                                                  params.n - column, params.k);
    if (params.k > 0) {
      loader_a.Fetch();
      loader_b.Fetch();
    }
    int stage = 0;
#pragma unroll 1
    for (long long k = 0; k < params.k; k += Config::kBlockK) {
      // This buffer was last read two steps ago, before the barrier of the step between: one barrier a step will do.
      loader_a.Store(tile_a[stage]);
      loader_b.Store(tile_b[stage]);
      __syncthreads();
      if (k + Config::kBlockK < params.k) {
        loader_a.Fetch();
        loader_b.Fetch();
      }
      Step(tile_a[stage], tile_b[stage], sums);
      stage ^= 1;
    }
    __syncthreads();  // The next batch entry starts at buffer 0 again.
  }

  __device__ __forceinline__ static void Step(const TileA& tile_a, const TileB& tile_b, Sums& sums) {
    const ThreadTile<Config> thread(static_cast<int>(threadIdx.x));
#pragma unroll 4
    for (int k = 0; k < Config::kBlockK; ++k) {
      Accumulator a[Config::kMicroM], b[Config::kMicroN];
      ReadShared(&tile_a.at[k][thread.row], a);
      ReadShared(&tile_b.at[k][thread.column], b);
#pragma unroll
      for (int i = 0; i < Config::kMicroM; ++i)
#pragma unroll
        for (int j = 0; j < Config::kMicroN; ++j) sums[i][j] += a[i] * b[j];
    }
  }

  __device__ __forceinline__ static Accumulator Value(double value, const void* pointer) {
    return pointer != nullptr ? *static_cast<const Accumulator*>(pointer) : static_cast<Accumulator>(value);
  }

  /// D = epilogue(alpha * sums + beta * C). A beta of 0 leaves C unread, and k = 0 leaves alpha out. An epilogue that
  /// pairs columns comes without C.
  template <class Epilogue>
  __device__ __forceinline__ static void Finish(const SimtParams& params, long long batch, long long row,
                                                long long column, const Sums& sums, Epilogue epilogue) {
    using Access = Vector<D, Config::kVectorD>;
    enum : int { kPerD = Epilogue::kColumnsPerD, kColumns = Config::kMicroN / kPerD };
    const ThreadTile<Config> thread(static_cast<int>(threadIdx.x));
    const Accumulator alpha = params.k > 0 ? Value(params.alpha, params.alpha_pointer) : Accumulator(0);
    const Accumulator beta = Config::kReadC ? Value(params.beta, params.beta_pointer) : Accumulator(0);
    row += thread.row;
    column += thread.column;
    const D* c = static_cast<const D*>(params.c) + batch * params.batch_stride_c + row * params.ldc + column;
    D* d = static_cast<D*>(params.d) + batch * params.batch_stride_d + row * params.ldd + column / kPerD;
    typename Epilogue::template Part<kColumns> part(epilogue, batch, row, column / kPerD);
#pragma unroll
    for (int i = 0; i < Config::kMicroM; ++i) {
      const long long at_c = i * params.ldc, at_d = i * params.ldd;
#pragma unroll
      for (int j = 0; j < kColumns; j += Config::kVectorD) {
        if (row + i >= params.m || column + j * kPerD >= params.n) continue;
        Access old{}, out;
        if (Config::kReadC && beta != 0) old = *reinterpret_cast<const Access*>(c + at_c + j);
#pragma unroll
        for (int v = 0; v < Config::kVectorD; ++v) {
          const int first = (j + v) * kPerD;
          Accumulator value = alpha * sums[i][first];
          if (Config::kReadC) value += beta * Widen(old.at[v]);
          Narrow(part(i, j + v, value, alpha * sums[i][first + kPerD - 1]), out.at[v]);
        }
        ptx::StoreGlobal(d + at_d + j, out);
      }
      part.EndRow(i);
    }
    part.End();
  }
};

}  // namespace gemmsmith
