#pragma once

#include "bulk_tile.cuh"
#include "params.h"

// What a block makes, tile by tile. Config: as in gemm_sm90.cuh.

namespace gemmsmith {

template <class Config>
struct BulkA {
  using Type = typename Config::A;
  enum : int { kLines = Config::kBlockM, kSharers = Config::kClusterN };
  enum : bool { kAlongK = Config::kAAlongK };
};
template <class Config>
struct BulkB {
  using Type = typename Config::B;
  enum : int { kLines = Config::kBlockN, kSharers = Config::kClusterM };
  enum : bool { kAlongK = Config::kBAlongK };
};

/// The steps of k that make a tile.
struct TileSteps {
  int first_k, count;
  int first;  // elements of k in the first one, where the walk cuts it; the others are whole
};

/// The tiles of D that this block makes, in their order: those of a few rows of tiles together, column by column.
/// Others, where a call is many products, are in grouped_tiles.cuh.
template <class Config>
class TileWalk {
 public:
  enum : bool {
    kCutsRows = false,  // RowsEnd may be within a tile, with rows of D after it
    kCutsSteps = false  // the first step may have less of k, even none, than is loaded
  };
  struct Place {
    int batch, split;
    int row, column;  // of D, or with kSwap of D^T
  };

  __device__ __forceinline__ TileWalk(const Sm90Params& params, unsigned rank)
      : params_(params), rank_(rank), index_(blockIdx.x / kBlocks), step_(gridDim.x / kBlocks) {}

  __device__ __forceinline__ bool Next(Place& place) {
    const int per_batch = params_.tiles_m * params_.tiles_n;
    const int splits = Config::kSplit ? params_.base.splits : 1;
    if (index_ >= static_cast<unsigned>(per_batch * splits) * static_cast<unsigned>(params_.base.gemm.batch))
      return false;
    const int outer = static_cast<int>(index_ / static_cast<unsigned>(per_batch));
    const int tile = static_cast<int>(index_ % static_cast<unsigned>(per_batch));
    place.split = Config::kSplit ? outer % splits : 0;
    place.batch = Config::kSplit ? outer / splits : outer;
    PlaceTile(tile, params_.tiles_m, params_.tiles_n, place);
    index_ += step_;
    return true;
  }

  /// Which entry of the operands that have several makes the tile, and whose factors.
  __device__ __forceinline__ int Entry(const Place& place) const { return place.batch; }
  /// The rows of D that are its own end there.
  __device__ __forceinline__ int RowsEnd(const Place&) const { return static_cast<int>(params_.base.gemm.m); }

  __device__ __forceinline__ TileSteps Steps(const Place& place) const {
    const int k = static_cast<int>(params_.base.gemm.k);
    const int first = Config::kSplit ? place.split * params_.base.k_per_split : 0, left = k - first;
    const int own = Config::kSplit && params_.base.k_per_split < left ? params_.base.k_per_split : left;
    return {first, (own + kDepth - 1) / kDepth, kDepth};
  }

 protected:
  enum : int { kDepth = BulkTile<BulkA<Config>>::kDepth };
  enum : unsigned { kBlocks = Config::kClusterM * Config::kClusterN };

  /// Of so many rows and columns of tiles.
  __device__ __forceinline__ void PlaceTile(int tile, int tiles_m, int tiles_n, Place& place) const {
    const int first = tile / (params_.group * tiles_n) * params_.group;
    const int rows = tiles_m - first < params_.group ? tiles_m - first : params_.group;
    const int inside = tile - first * tiles_n;
    const int rank_m = Config::kClusterM > 1 ? static_cast<int>(rank_) : 0;
    const int rank_n = Config::kClusterN > 1 ? static_cast<int>(rank_) : 0;
    place.row = ((first + inside % rows) * Config::kClusterM + rank_m) * Config::kBlockM;
    place.column = (inside / rows * Config::kClusterN + rank_n) * Config::kBlockN;
  }

  const Sm90Params& params_;
  const unsigned rank_;
  unsigned index_;
  const unsigned step_;
};

}  // namespace gemmsmith
