#pragma once

#include "gemm_sm90.cuh"

// Which tiles of D a block makes where a call is one product for each of several groups. All of them read on the device
// which rows, or which part of k, are a group's; what is out of range there is no group's.

namespace gemmsmith {

/// Each row of A and D says which group it is of. A group begins where a tile may, and no tile has rows of two.
template <class Config>
class IndexedRows : public TileWalk<Config> {
  using Base = TileWalk<Config>;

 public:
  enum : bool { kCutsRows = true };
  struct Place : Base::Place {
    int group;
  };
  using Base::Base;

  __device__ __forceinline__ bool Next(Place& place) {
    // The blocks of a cluster go together: the first of its rows says which group all are of.
    constexpr int kLines = Config::kBlockM * Config::kClusterM;
    while (Base::Next(place)) {
      const int first = place.row / kLines * kLines;
      place.group = first < Rows() ? Groups()[first] : -1;
      if (0 <= place.group && place.group < this->params_.group_count) return true;
    }
    return false;
  }

  __device__ __forceinline__ int Group(const Place& place) const { return place.group; }
  __device__ __forceinline__ int OfB(const Place& place) const { return this->params_.batch_b != 0 ? place.group : 0; }

  /// The tile's rows that are of no group come last.
  __device__ __forceinline__ int RowsEnd(const Place& place) const {
    int low = place.row, high = place.row + Config::kBlockM < Rows() ? place.row + Config::kBlockM : Rows();
    if (Groups()[high - 1] == place.group) return high;
#pragma unroll 1
    while (low < high) {
      const int middle = (low + high) / 2;
      if (Groups()[middle] == place.group) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low;
  }

 private:
  __device__ __forceinline__ const int* Groups() const { return this->params_.groups; }
  __device__ __forceinline__ int Rows() const { return static_cast<int>(this->params_.base.gemm.m); }
};

/// Groups follow each other in A and D, each ending where it says, or, where kMasked, have entries of their own, of
/// which so many rows count. Tiles begin where groups do, and the last of a group is cut.
template <class Config, bool kMasked>
class GroupedRows : public TileWalk<Config> {
  using Base = TileWalk<Config>;

 public:
  enum : bool { kCutsRows = true };
  struct Place : Base::Place {
    int group, rows_end;
  };
  using Base::Base;

  __device__ __forceinline__ bool Next(Place& place) {
    while (this->index_ - first_tile_ >= tiles_m_ * static_cast<unsigned>(this->params_.tiles_n))
      if (!NextGroup()) return false;
    this->PlaceTile(static_cast<int>(this->index_ - first_tile_), static_cast<int>(tiles_m_), place);
    this->index_ += this->step_;
    place.split = 0;
    place.group = group_;
    place.batch = kMasked ? group_ : 0;
    place.row += begin_;
    place.rows_end = end_;
    return true;
  }

  __device__ __forceinline__ int Group(const Place& place) const { return place.group; }
  __device__ __forceinline__ int OfB(const Place& place) const { return this->params_.batch_b != 0 ? place.group : 0; }
  __device__ __forceinline__ int RowsEnd(const Place& place) const { return place.rows_end; }

 private:
  __device__ __forceinline__ bool NextGroup() {
    constexpr int kLines = Config::kBlockM * Config::kClusterM;
    if (group_ + 1 >= this->params_.group_count) return false;
    first_tile_ += tiles_m_ * static_cast<unsigned>(this->params_.tiles_n);
    const int end = this->params_.groups[++group_], rows = static_cast<int>(this->params_.base.gemm.m);
    begin_ = kMasked ? 0 : end_;
    end_ = end < begin_ ? begin_ : end < rows ? end : rows;
    tiles_m_ = static_cast<unsigned>(end_ - begin_ + kLines - 1) / kLines;
    return true;
  }

  int group_ = -1, begin_ = 0, end_ = 0;
  unsigned first_tile_ = 0, tiles_m_ = 0;  // of the group
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
