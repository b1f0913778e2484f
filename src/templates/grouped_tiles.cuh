#pragma once

#include "gemm_sm90.cuh"

// Which tiles of D a block makes where a call is one product for each of several groups. All of them read on the device
// which rows, or which part of k, are a group's; what is out of range there is no group's.

namespace gemmsmith {

/// Where groups are of rows of D, which kSwap makes columns of what is multiplied.
template <class Config>
class RowGroups : public TileWalk<Config> {
 public:
  enum : bool { kCutsRows = true };
  struct Place : TileWalk<Config>::Place {
    int group;
  };
  using TileWalk<Config>::TileWalk;

  __device__ __forceinline__ int Entry(const Place& place) const { return place.group; }

 protected:
  enum : int {
    kTileRows = Config::kSwap ? Config::kBlockN : Config::kBlockM,
    kClusterRows = kTileRows * (Config::kSwap ? Config::kClusterN : Config::kClusterM)
  };

  /// The tile's first row of D.
  __device__ __forceinline__ static int FirstRow(const Place& place) {
    return Config::kSwap ? place.column : place.row;
  }
  __device__ __forceinline__ const int* Groups() const { return this->params_.groups; }
  __device__ __forceinline__ int Rows() const { return static_cast<int>(this->params_.base.gemm.m); }
};

/// Each row of A and D says which group it is of. A group begins where a tile may, and no tile has rows of two.
template <class Config>
class IndexedRows : public RowGroups<Config> {
  using Base = RowGroups<Config>;

 public:
  using Base::Base;
  using typename Base::Place;

  __device__ __forceinline__ bool Next(Place& place) {
    while (TileWalk<Config>::Next(place)) {
      // The blocks of a cluster go together: the first of its rows says which group all are of.
      const int first = Base::FirstRow(place) / Base::kClusterRows * Base::kClusterRows;
      place.group = first < this->Rows() ? this->Groups()[first] : -1;
      if (0 <= place.group && place.group < this->params_.group_count) return true;
    }
    return false;
  }

  /// The tile's rows that are of no group come last.
  __device__ __forceinline__ int RowsEnd(const Place& place) const {
    int low = Base::FirstRow(place), high = low + Base::kTileRows < this->Rows() ? low + Base::kTileRows : this->Rows();
    if (this->Groups()[high - 1] == place.group) return high;
#pragma unroll 1
    while (low < high) {
      const int middle = (low + high) / 2;
      if (this->Groups()[middle] == place.group) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low;
  }
};

/// Groups follow each other in A and D, each ending where it says, or, where kMasked, have entries of their own, of
/// which so many rows count. Tiles begin where groups do, and the last of a group is cut.
template <class Config, bool kMasked>
class GroupedRows : public RowGroups<Config> {
  using Base = RowGroups<Config>;

 public:
  using Base::Base;
  using typename Base::Place;

  __device__ __forceinline__ bool Next(Place& place) {
    while (this->index_ - first_tile_ >= tiles_)
      if (!NextGroup()) return false;
    const int tile = static_cast<int>(this->index_ - first_tile_);
    if constexpr (Config::kSwap) {
      this->PlaceTile(tile, this->params_.tiles_m, tiles_along_, place);
      place.column += begin_;
    } else {
      this->PlaceTile(tile, tiles_along_, this->params_.tiles_n, place);
      place.row += begin_;
    }
    this->index_ += this->step_;
    place.split = 0;
    place.group = group_;
    place.batch = kMasked ? group_ : 0;
    return true;
  }

  __device__ __forceinline__ int RowsEnd(const Place&) const { return end_; }

 private:
  __device__ __forceinline__ bool NextGroup() {
    if (group_ + 1 >= this->params_.group_count) return false;
    first_tile_ += tiles_;
    const int end = this->Groups()[++group_], rows = this->Rows();
    begin_ = kMasked ? 0 : end_;
    end_ = end < begin_ ? begin_ : end < rows ? end : rows;
    tiles_along_ = (end_ - begin_ + Base::kClusterRows - 1) / Base::kClusterRows;
    tiles_ = static_cast<unsigned>(tiles_along_ * (Config::kSwap ? this->params_.tiles_m : this->params_.tiles_n));
    return true;
  }

  int group_ = -1, begin_ = 0, end_ = 0;
  int tiles_along_ = 0;  // the group's rows
  unsigned first_tile_ = 0, tiles_ = 0;
};
template <class Config>
using EndedRows = GroupedRows<Config, false>;
template <class Config>
using MaskedRows = GroupedRows<Config, true>;

/// Groups follow each other along k, each ending where it says; each entry of D is one group's.
template <class Config>
class GroupsOfK : public TileWalk<Config> {
  using Base = TileWalk<Config>;

 public:
  enum : bool { kCutsSteps = true };
  using Base::Base;
  using typename Base::Place;

  __device__ __forceinline__ TileSteps Steps(const Place& place) const {
    const int k = static_cast<int>(this->params_.base.gemm.k);
    const int begin = place.batch > 0 ? Within(this->params_.groups[place.batch - 1], 0, k) : 0;
    const int end = Within(this->params_.groups[place.batch], begin, k);
    const int count = begin < end ? (end - begin + Base::kDepth - 1) / Base::kDepth : 1;
    return {begin, count, end - begin - (count - 1) * Base::kDepth};
  }

 private:
  __device__ __forceinline__ static int Within(int value, int least, int most) {
    return value < least ? least : value < most ? value : most;
  }
};

}  // namespace gemmsmith
