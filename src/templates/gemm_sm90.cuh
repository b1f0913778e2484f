#pragma once

#include "finish.cuh"
#include "ptx/grid.cuh"
#include "ptx/shared.cuh"
#include "ptx/wgmma.cuh"
#include "tile_walk.cuh"

// D = alpha * A * B + beta * C on Hopper's tensor cores. One warp of a block loads tiles of A and B by bulk copies into
// a ring of stages in shared memory; one or two warp groups multiply what has arrived. Blocks stay, and go from tile to
// tile of D, so that loading never ends; two blocks of a cluster may load the operand that they share together. Two
// warp groups either share a tile or, in ping-pong, take turns: one multiplies while the other stores.
//
// Config (rendered by the host) has: types A, B, D, Accumulator; kBlockM, kBlockN, kStages; kConsumers (warp groups
// that multiply), kPingPong; kSwap (what is multiplied is D^T = B^T * A^T); kClusterM, kClusterN (blocks; at most two
// in all); kAAlongK, kBAlongK (elements along k are contiguous); kShortSums (the tensor cores sum to less than f32: not
// more than a step's products); kScaled (a step's sums are multiplied by factors of A's rows and of B's columns),
// kScaledRows, kScaledColumns (each has its own, else 128 have one); kBulkD (D leaves by bulk copies; it is alpha * A *
// B, no more), else kVectorD, kReadC; kSplit (sums of a part of k are stored as they are).

namespace gemmsmith {

/// Walk: a TileWalk.
template <class Config, template <class> class Walk = TileWalk>
class Sm90Gemm {
  using Accumulator = typename Config::Accumulator;
  using D = typename Config::D;
  using TileA = BulkTile<BulkA<Config>>;
  using TileB = BulkTile<BulkB<Config>>;
  using Place = typename Walk<Config>::Place;
  static_assert(int{TileA::kDepth} == int{TileB::kDepth}, "operands of one width");

  enum : int {
    kBlocks = Config::kClusterM * Config::kClusterN,
    kGroups = Config::kConsumers,
    kGroupsPerTile = Config::kPingPong ? 1 : kGroups,
    kRows = Config::kBlockM / kGroupsPerTile,  // of a tile, that one warp group makes
    kProducts = kRows / 64,                    // one or two
    kDepth = TileA::kDepth,
    kStageBytes = TileA::kBytes + TileB::kBytes,
    // What leaves by bulk copies: panels of 128 bytes of each of 64 rows, swizzled as operands are; two at a time.
    kPanelColumns = 128 / static_cast<int>(sizeof(D)),
    kPanels = Config::kBlockN / kPanelColumns,
    kPanelBytes = 64 * 128,
    // What leaves by rows: 16 of each warp at a time, less of the widest tiles, whose stages need the room. The padding
    // keeps lanes that write eight rows at once in banks of their own.
    kPieceColumns = Config::kBlockN % 64 == 0 && Config::kBlockN < 256 ? 64
                    : Config::kBlockN % 32 == 0                        ? 32
                                                                       : 16,
    kPieces = Config::kBlockN / kPieceColumns,
    kPitch = kPieceColumns + 8,
    kSwappedPitch = 64 + 4,
    kGroupOutBytes = Config::kSplit   ? 0
                     : Config::kBulkD ? 2 * kPanelBytes
                     : Config::kSwap  ? kPieceColumns * kSwappedPitch * static_cast<int>(sizeof(Accumulator))
                                      : 4 * 16 * kPitch * static_cast<int>(sizeof(Accumulator)),
    kOutBytes = kGroups * kGroupOutBytes
  };
  static_assert(!Config::kBulkD || (Config::kBlockN % kPanelColumns == 0 && !Config::kSwap), "whole panels");

 public:
  enum : int { kThreads = (kGroups + 1) * 128, kSharedBytes = Config::kStages * (kStageBytes + 16) + kOutBytes };

  /// The whole kernel. grid.x: a multiple of the cluster. `shared`: kSharedBytes, a multiple of 1024.
  template <class Epilogue = StoreSums>
  __device__ static void Run(const Sm90Params& params, unsigned char* shared, Epilogue epilogue = {}) {
    ptx::DeclareProducts();
    const Ring ring(shared);
    const unsigned rank = kBlocks > 1 ? ptx::ClusterRank() : 0;
    if (threadIdx.x == 0) ring.Init();
    Sync();
    ptx::WaitForLaunchBefore();
    // The same in all lanes, and known to be.
    const int group = __shfl_sync(0xffffffffu, static_cast<int>(threadIdx.x) / 128, 0);
    if (group == kGroups) {
      if constexpr (kGroups > 1) ptx::LowerRegisters<40>();
      if (threadIdx.x == kGroups * 128) {
        Load(params, ring, rank);
        ptx::LetNextLaunchStart();  // It has little to do before it waits: from here on it would not be in the way.
      }
      __syncwarp();
    } else {
      if constexpr (kGroups > 1) ptx::RaiseRegisters<232>();
      Multiply(params, shared, ring, rank, group, epilogue);
    }
    // The other block may still arrive at this one's barriers, and copy into its memory.
    if constexpr (kBlocks > 1) ptx::SyncCluster();
  }

 private:
  __device__ __forceinline__ static void Sync() {
    if constexpr (kBlocks > 1) {
      ptx::SyncCluster();
    } else {
      __syncthreads();
    }
  }

  /// Stages in shared memory. full: the loads of all blocks of the cluster tell the consumers of this one. empty: the
  /// consumers of all blocks tell the loading thread of this one, as what it loads goes to all.
  class Ring {
   public:
    __device__ __forceinline__ explicit Ring(unsigned char* shared)
        : tiles_(ptx::SharedAddress(shared)), full_(tiles_ + Config::kStages * kStageBytes + kOutBytes) {}

    __device__ __forceinline__ void Init() const {
#pragma unroll 1
      for (int stage = 0; stage < Config::kStages; ++stage) {
        ptx::InitBarrier(full(stage), 1);
        ptx::InitBarrier(empty(stage), kBlocks * kGroupsPerTile * 4);
      }
      ptx::FenceBarrierInit();
    }
    __device__ __forceinline__ unsigned a(int stage) const { return tiles_ + stage * kStageBytes; }
    __device__ __forceinline__ unsigned b(int stage) const { return a(stage) + TileA::kBytes; }
    __device__ __forceinline__ unsigned full(int stage) const { return full_ + stage * 16; }
    __device__ __forceinline__ unsigned empty(int stage) const { return full(stage) + 8; }

    /// One arrival of each warp, at every block that may load into what it has read.
    __device__ __forceinline__ void Release(int stage) const {
      const unsigned lane = threadIdx.x % 32;
      if constexpr (kBlocks > 1) {
        if (lane < kBlocks) ptx::ArriveAt(empty(stage), lane);
      } else {
        if (lane == 0) ptx::Arrive(empty(stage));
      }
    }

   private:
    unsigned tiles_, full_;
  };

  /// A stage, and the parity of the lap around the ring.
  struct Position {
    int stage = 0;
    unsigned parity = 0;

    __device__ __forceinline__ void Advance() {
      if (++stage < Config::kStages) return;
      stage = 0;
      parity ^= 1;
    }
    __device__ __forceinline__ void Skip(int steps) {
      const unsigned to = static_cast<unsigned>(stage + steps);
      stage = static_cast<int>(to % Config::kStages);
      parity ^= to / Config::kStages & 1;
    }
  };

  __device__ __forceinline__ static void Load(const Sm90Params& params, const Ring& ring, unsigned rank) {
    ptx::PrefetchMap(&params.map_a), ptx::PrefetchMap(&params.map_b);
    Walk<Config> walk(params, rank);
    Position at;
    Place place;
#pragma unroll 1
    while (walk.Next(place)) {
      const TileSteps steps = walk.Steps(place);
      const int entry = walk.Entry(place);
      const int of_a = params.batch_a != 0 ? entry : 0, of_b = params.batch_b != 0 ? entry : 0;
#pragma unroll 1
      for (int step = 0, k = steps.first_k; step < steps.count; ++step, at.Advance()) {
        ptx::WaitFor(ring.empty(at.stage), at.parity ^ 1);  // the first lap passes at once
        ptx::ArriveExpecting(ring.full(at.stage), kStageBytes);
        TileA::Load(ring.a(at.stage), &params.map_a, ring.full(at.stage), place.row, k, of_a, rank);
        TileB::Load(ring.b(at.stage), &params.map_b, ring.full(at.stage), place.column, k, of_b, rank);
        k += step == 0 ? steps.first : kDepth;
      }
    }
  }

  template <class Epilogue>
  __device__ __forceinline__ static void Multiply(const Sm90Params& params, unsigned char* shared, const Ring& ring,
                                                  unsigned rank, int group, Epilogue epilogue) {
    unsigned char* const out = shared + Config::kStages * kStageBytes + group * kGroupOutBytes;
    const int first_row = Config::kPingPong ? 0 : group * kRows;
    Walk<Config> walk(params, rank);
    Position at;
    Place place;
#pragma unroll 1
    for (int tile = 0; walk.Next(place); ++tile) {
      const TileSteps steps = walk.Steps(place);
      if (Config::kPingPong && tile % kGroups != group) {
        at.Skip(steps.count);
        continue;
      }
      CutFirst(ring, at, steps, group);
      ptx::ProductSums sums[kProducts];
      if constexpr (Config::kShortSums) {
        const Scales scales(params, walk, place);
        SumPromoted(scales, ring, at, steps, first_row, place, sums);
      } else {
        Sum(ring, at, steps.count, first_row, sums);
      }
      const int rows_end = walk.RowsEnd(place);
      place.row += first_row;
      if constexpr (Config::kSplit) {
        StorePartial(params.base, place, sums);
      } else if constexpr (Config::kBulkD) {
        StorePanels(params, out, group, place, rows_end, sums);
      } else if constexpr (Config::kSwap) {
        StoreSwapped(params.base.gemm, out, group, place, rows_end, sums, epilogue);
      } else {
        StoreRows(params.base.gemm, out, place, rows_end, sums, epilogue);
      }
    }
    if constexpr (Config::kBulkD && !Config::kSplit) {
      if (threadIdx.x % 128 == 0) ptx::WaitForStoresToRead();
    }
  }

  /// Sets to 0, by all warp groups that read the stage, what k of the first step is not the tile's. There are no sums
  /// yet that would have to lie in registers meanwhile.
  __device__ __forceinline__ static void CutFirst(const Ring& ring, const Position& at, const TileSteps& steps,
                                                  int group) {
    if constexpr (Walk<Config>::kCutsSteps) {
      constexpr int kReaders = kGroupsPerTile * 128;
      if (steps.first == kDepth) return;
      ptx::WaitFor(ring.full(at.stage), at.parity);
      const int thread = static_cast<int>(threadIdx.x) % kReaders;
      TileA::template Clear<kReaders>(ring.a(at.stage), steps.first, thread);
      TileB::template Clear<kReaders>(ring.b(at.stage), steps.first, thread);
      ptx::FenceForBulk();
      ptx::SyncThreads<kReaders>(kGroups + 1 + group / kGroupsPerTile);
    }
  }

  /// The products of one stage, as a group. `adds`: to what the sums are.
  __device__ __forceinline__ static void Step(const Ring& ring, int stage, int first_row, int adds) {
    const unsigned a = ring.a(stage), b = TileB::Descriptor(ring.b(stage), 0);
    ptx::FenceProducts();
    ptx::AddProducts<0>(TileA::Descriptor(a, first_row), b, adds);
    if constexpr (kProducts > 1) ptx::AddProducts<1>(TileA::Descriptor(a, first_row + 64), b, adds);
    ptx::CommitProducts();
  }
  /// When they are complete.
  __device__ __forceinline__ static void Read(ptx::ProductSums (&sums)[kProducts]) {
    ptx::ReadSums<0>(sums[0]);
    if constexpr (kProducts > 1) ptx::ReadSums<1>(sums[1]);
  }

  /// The products of a step are awaited when those of the next are under way.
  __device__ __forceinline__ static void Sum(const Ring& ring, Position& at, int steps, int first_row,
                                             ptx::ProductSums (&sums)[kProducts]) {
    int before = 0;
#pragma unroll 1
    for (int step = 0; step < steps; ++step) {
      ptx::WaitFor(ring.full(at.stage), at.parity);
      Step(ring, at.stage, first_row, step);
      ptx::WaitForProducts<1>();
      if (step > 0) ring.Release(before);
      before = at.stage;
      at.Advance();
    }
    ptx::WaitForProducts<0>();
    Read(sums);
    ring.Release(before);
  }

  /// Where this thread's sums of a product are: (row, column), (row, column + 1), and the same eight rows further.
  struct Lane {
    int row, column;
    __device__ __forceinline__ Lane()
        : row(static_cast<int>(threadIdx.x) % 128 / 32 * 16 + static_cast<int>(threadIdx.x) % 32 / 4),
          column(static_cast<int>(threadIdx.x) % 4 * 2) {}
  };

  /// Where the factors of a tile are.
  struct Scales {
    const Sm90Params& params;
    const float *a, *b;
    __device__ __forceinline__ Scales(const Sm90Params& params, const Walk<Config>& walk, const Place& place)
        : params(params),
          a(params.scale_a + walk.Entry(place) * params.scale_a_group),
          b(params.scale_b + walk.Entry(place) * params.scale_b_group) {}
  };

  /// The factors of one step's sums of a thread: two rows of each product, and its columns.
  class Factors {
   public:
    __device__ __forceinline__ Factors(const Scales& scales, const Place& tile, int first_row, int step) {
      if constexpr (Config::kScaled) {
        const Sm90Params& params = scales.params;
        const Lane lane;
        const int last_m = static_cast<int>(params.base.gemm.m) - 1, last_n = static_cast<int>(params.base.gemm.n) - 1;
        const int last_row = Config::kSwap ? last_n : last_m, last = Config::kSwap ? last_m : last_n;
#pragma unroll
        for (int i = 0; i < 2 * kProducts; ++i) {
          const int row = tile.row + first_row + i / 2 * 64 + i % 2 * 8 + lane.row;
          const int place = (row < last_row ? row : last_row) / (Config::kScaledRows ? 1 : 128);
          row_[i] = scales.a[place * params.scale_a_row + step * params.scale_a_k];
        }
        const float* b = scales.b + step * params.scale_b_k;
#pragma unroll
        for (int i = 0; i < kColumns; ++i) {
          const int column = tile.column + (kColumns > 1 ? i / 2 * 8 + i % 2 + lane.column : 0);
          column_[i] = b[(column < last ? column : last) / (kColumns > 1 ? 1 : 128) * params.scale_b_column];
        }
      }
    }
    /// Of sum j of product i.
    __device__ __forceinline__ float Scaled(int i, int j, float sum) const {
      if constexpr (!Config::kScaled) return sum;
      return row_[2 * i + j % 4 / 2] * column_[kColumns > 1 ? j / 4 * 2 + j % 2 : 0] * sum;
    }

   private:
    enum : int { kColumns = Config::kScaledColumns ? Config::kBlockN / 4 : 1 };
    float row_[2 * kProducts], column_[kColumns];
  };

  /// Each step's sums are multiplied by its factors, and added in f32.
  __device__ __forceinline__ static void SumPromoted(const Scales& scales, const Ring& ring, Position& at,
                                                     const TileSteps& steps, int first_row, const Place& tile,
                                                     ptx::ProductSums (&sums)[kProducts]) {
#pragma unroll
    for (int i = 0; i < kProducts; ++i)
#pragma unroll
      for (int j = 0; j < Config::kBlockN / 2; ++j) sums[i][j] = 0;
#pragma unroll 1
    for (int step = 0; step < steps.count; ++step, at.Advance()) {
      ptx::ProductSums some[kProducts];
      const Factors factors(scales, tile, first_row,
                            steps.first_k / kDepth + step);  // on their way during the products
      ptx::WaitFor(ring.full(at.stage), at.parity);
      Step(ring, at.stage, first_row, 0);
      ptx::WaitForProducts<0>();
      Read(some);
      ring.Release(at.stage);
#pragma unroll
      for (int i = 0; i < kProducts; ++i)
#pragma unroll
        for (int j = 0; j < Config::kBlockN / 2; ++j) sums[i][j] += factors.Scaled(i, j, some[i][j]);
    }
  }

  /// Whole tiles: the memory has room for them.
  __device__ __forceinline__ static void StorePartial(const Sm80Params& params, const Place& at,
                                                      const ptx::ProductSums (&sums)[kProducts]) {
    const Lane lane;
    Accumulator* to = static_cast<Accumulator*>(params.partial) + at.split * params.partial_split_stride +
                      at.batch * params.partial_batch_stride;
    const long long ld = params.partial_ld;
    if constexpr (Config::kSwap) {
      to += (at.column + lane.column) * ld + at.row + lane.row;
#pragma unroll
      for (int i = 0; i < kProducts; ++i)
#pragma unroll
        for (int j = 0; j < Config::kBlockN / 2; ++j)
          to[(j / 4 * 8 + j % 2) * ld + i * 64 + j % 4 / 2 * 8] = sums[i][j];
    } else {
      to += (at.row + lane.row) * ld + at.column + lane.column;
#pragma unroll
      for (int i = 0; i < kProducts; ++i, to += 64 * ld)
#pragma unroll
        for (int j = 0; j < Config::kBlockN / 8; ++j) {
          ptx::StoreGlobalPair(to + j * 8, sums[i][4 * j], sums[i][4 * j + 1]);
          ptx::StoreGlobalPair(to + 8 * ld + j * 8, sums[i][4 * j + 2], sums[i][4 * j + 3]);
        }
    }
  }

  /// D = alpha * sums: panels in shared memory, which bulk copies store while the next one is written, and while the
  /// next tile is made.
  __device__ __forceinline__ static void StorePanels(const Sm90Params& params, unsigned char* shared, int group,
                                                     const Place& tile, int rows_end,
                                                     const ptx::ProductSums (&sums)[kProducts]) {
    const SimtParams& gemm = params.base.gemm;
    const bool first = threadIdx.x % 128 == 0;
    const Accumulator alpha = ScalarValue<Accumulator>(gemm.alpha, gemm.alpha_pointer);
    Place at = tile;
#pragma unroll
    for (int turn = 0; turn < kProducts * kPanels; ++turn) {
      const int panel = turn % kPanels;
      unsigned char* const place = shared + turn % 2 * kPanelBytes;
      at.row = tile.row + turn / kPanels * 64, at.column = tile.column + panel * kPanelColumns;
      // What was here: the panel before the last; at the beginning, any of the tile before.
      if (first && turn == 0) ptx::WaitForStoresToRead<0>();
      if (first && turn > 0) ptx::WaitForStoresToRead<1>();
      ptx::SyncThreads<128>(group + 1);
      if constexpr (sizeof(D) == 1) {
        WriteBytes(ptx::SharedAddress(place), alpha, sums[turn / kPanels], panel);
      } else {
        WritePanel(ptx::SharedAddress(place), alpha, sums[turn / kPanels], panel, static_cast<D*>(nullptr));
      }
      ptx::FenceForBulk();
      ptx::SyncThreads<128>(group + 1);
      if (Walk<Config>::kCutsRows && at.row + 64 > rows_end) {
        StoreSomeRows(gemm, place, at, rows_end);
      } else if (first) {
        ptx::StoreTile(&params.map_d, ptx::SharedAddress(place), at.column, at.row, at.batch);
      }
      if (first) ptx::CommitStores();  // of none, too: each panel is one to be waited for
    }
  }

  /// Of a panel, those rows that are below `rows_end`. D's columns are multiples of 16 bytes.
  __device__ __forceinline__ static void StoreSomeRows(const SimtParams& gemm, const unsigned char* panel,
                                                       const Place& at, int rows_end) {
    using Access = Vector<D, 16 / static_cast<int>(sizeof(D))>;
    const int thread = static_cast<int>(threadIdx.x) % 128, unit = thread % 8;
    const int column = at.column + unit * (16 / static_cast<int>(sizeof(D)));
    if (column >= gemm.n) return;
#pragma unroll 1
    for (int line = thread / 8; line < 64 && at.row + line < rows_end; line += 16)
      ptx::StoreGlobal(static_cast<D*>(gemm.d) + at.batch * gemm.batch_stride_d + (at.row + line) * gemm.ldd + column,
                       *reinterpret_cast<const Access*>(panel + line * 128 + (unit ^ line % 8) * 16));
  }

  /// 16-bit D: a warp stores 16 rows of 16 columns at once.
  template <class Narrow16>
  __device__ __forceinline__ static void WritePanel(unsigned out, float alpha, const ptx::ProductSums& sums, int panel,
                                                    Narrow16*) {
    static_assert(sizeof(Narrow16) == 2, "or written as words, or bytes");
    const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) % 128 / 32;
    const int row = warp * 16 + lane % 16;
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      unsigned words[4];
#pragma unroll
      for (int q = 0; q < 4; ++q) {
        const int from = 8 * (panel * 4 + j) + 2 * q;
        words[q] = Both(alpha * sums[from], alpha * sums[from + 1], static_cast<Narrow16*>(nullptr));
      }
      ptx::StoreMatrices(out + row * 128 + ((j * 2 + lane / 16) ^ row % 8) * 16, words);
    }
  }
  __device__ __forceinline__ static void WritePanel(unsigned out, Accumulator alpha, const ptx::ProductSums& sums,
                                                    int panel, Accumulator*) {
    const Lane lane;
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const int from = 4 * (panel * 4 + j), unit = (j * 2 + lane.column / 4) ^ lane.row % 8;
      const unsigned to = out + lane.row * 128 + unit * 16 + lane.column % 4 * 4;
      ptx::StoreSharedPair(to, Scaled(alpha, sums[from]), Scaled(alpha, sums[from + 1]));
      ptx::StoreSharedPair(to + 8 * 128, Scaled(alpha, sums[from + 2]), Scaled(alpha, sums[from + 3]));
    }
  }
  /// 8-bit D.
  __device__ __forceinline__ static void WriteBytes(unsigned out, Accumulator alpha, const ptx::ProductSums& sums,
                                                    int panel) {
    const Lane lane;
#pragma unroll
    for (int j = 0; j < 16; ++j) {
      const unsigned to = out + lane.row * 128 + ((j / 2) ^ lane.row % 8) * 16 + j % 2 * 8 + lane.column;
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int from = 4 * (panel * 16 + j) + 2 * half;
        Vector<D, 2> pair;
        Narrow(Scaled(alpha, sums[from]), pair.at[0]);
        Narrow(Scaled(alpha, sums[from + 1]), pair.at[1]);
        unsigned short bits;
        memcpy(&bits, &pair, 2);
        ptx::StoreSharedHalf(to + half * 8 * 128, bits);
      }
    }
  }
  __device__ __forceinline__ static unsigned Both(float low, float high, Half*) {
    return ptx::FloatsToHalves(low, high);
  }
  __device__ __forceinline__ static unsigned Both(float low, float high, Bfloat16*) {
    return ptx::FloatsToBfloat16s(low, high);
  }

  /// D = epilogue(alpha * sums + beta * C): each warp brings 16 rows of a piece of its columns into order, then stores
  /// them. One piece of code does it for all of them, as there is much of it.
  template <class Epilogue>
  __device__ __forceinline__ static void StoreRows(const SimtParams& gemm, unsigned char* shared, const Place& at,
                                                   int rows_end, const ptx::ProductSums (&sums)[kProducts],
                                                   Epilogue epilogue) {
    const Finisher<Config, Epilogue> finisher(gemm);
    const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) % 128 / 32;
    Accumulator* const staged = reinterpret_cast<Accumulator*>(shared) + warp * 16 * kPitch;
    const unsigned to = ptx::SharedAddress(staged + lane / 4 * kPitch + lane % 4 * 2);
#pragma unroll 1
    for (int turn = 0; turn < kProducts * kPieces; ++turn) {
      const long long row = at.row + turn / kPieces * 64 + warp * 16,
                      column = at.column + turn % kPieces * kPieceColumns;
      if (row >= rows_end || column >= gemm.n) continue;  // for the whole warp
      __syncwarp();                                       // All have read what is there.
#pragma unroll
      for (int i = 0; i < kProducts * kPieces; ++i) {
        if (i != turn) continue;
#pragma unroll
        for (int j = 0; j < kPieceColumns / 8; ++j) {
          const auto& s = sums[i / kPieces];
          const int first = (i % kPieces * (kPieceColumns / 8) + j) * 4;
          ptx::StoreSharedPair(to + j * 32, s[first], s[first + 1]);
          ptx::StoreSharedPair(to + (8 * kPitch + j * 8) * 4, s[first + 2], s[first + 3]);
        }
      }
      __syncwarp();  // All have written theirs.
      StagedLines<Config, Epilogue, 32, kPieceColumns, 16, kPitch>::Store(
          finisher, epilogue, staged, lane, at.batch, row, column, Left(rows_end - row, 16),
          Left(gemm.n - column, kPieceColumns), [](unsigned line) { return line; });
    }
  }

  /// The same where a tile's columns are rows of D: a warp group brings a piece of them, of 64 of D's columns, into
  /// order. The pitch keeps the lanes of a store in banks of their own.
  template <class Epilogue>
  __device__ __forceinline__ static void StoreSwapped(const SimtParams& gemm, unsigned char* shared, int group,
                                                      const Place& at, int rows_end,
                                                      const ptx::ProductSums (&sums)[kProducts], Epilogue epilogue) {
    const Finisher<Config, Epilogue> finisher(gemm);
    const Lane lane;
    Accumulator* const staged = reinterpret_cast<Accumulator*>(shared);
    Accumulator* const to = staged + lane.column * kSwappedPitch + lane.row;
#pragma unroll 1
    for (int turn = 0; turn < kProducts * kPieces; ++turn) {
      const long long row = at.column + turn % kPieces * kPieceColumns, column = at.row + turn / kPieces * 64;
      if (row >= rows_end || column >= gemm.n) continue;  // for the whole warp group
      ptx::SyncThreads<128>(group + 1);                   // All have read what is there.
#pragma unroll
      for (int i = 0; i < kProducts * kPieces; ++i) {
        if (i != turn) continue;
#pragma unroll
        for (int j = 0; j < kPieceColumns / 2; ++j)
          to[(j / 4 * 8 + j % 2) * kSwappedPitch + j % 4 / 2 * 8] =
              sums[i / kPieces][i % kPieces * (kPieceColumns / 2) + j];
      }
      ptx::SyncThreads<128>(group + 1);  // All have written theirs.
      StagedLines<Config, Epilogue, 128, 64, kPieceColumns, kSwappedPitch>::Store(
          finisher, epilogue, staged, threadIdx.x % 128, at.batch, row, column, Left(rows_end - row, kPieceColumns),
          Left(gemm.n - column, 64), [](unsigned line) { return line; });
    }
  }
  __device__ __forceinline__ static int Left(long long left, int limit) {
    return left < limit ? static_cast<int>(left) : limit;
  }
};

}  // namespace gemmsmith
