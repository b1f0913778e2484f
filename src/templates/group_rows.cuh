#pragma once

#include "layout_params.h"
#include "numeric.cuh"

// Rows in groups: from one after the other to groups that begin at multiples of an alignment, and back.

namespace gemmsmith {

/// A block of threads makes some rows. Where they come from it finds by adding up the sizes of all groups before.
/// Config: kBack, whether it is from aligned groups to rows one after the other.
template <class Config>
class GroupRows {
 public:
  enum : int { kThreads = 256, kRows = 32 };

  static __device__ __forceinline__ void Run(const GroupRowsParams& params) {
    __shared__ Shared shared;
    const long long tiles = (params.to_rows + kRows - 1) / kRows;
    // The first also stores the ends, and is there where there are no rows.
    for (long long tile = blockIdx.x; tile == 0 || tile < tiles; tile += gridDim.x) {
      Find(params, tile, shared);
      Copy(params, tile * kRows, shared);
      __syncthreads();  // All have read where rows come from.
    }
  }

 private:
  struct Shared {
    long long source[kRows];  // -1: none
    int group[kRows];
    long long own[kThreads], aligned[kThreads];  // sums of sizes, and of sizes rounded up
  };

  /// Where the rows of `tile` come from.
  static __device__ __forceinline__ void Find(const GroupRowsParams& params, long long tile, Shared& shared) {
    const int thread = static_cast<int>(threadIdx.x);
    const long long first = tile * kRows;
    if (thread < kRows) shared.source[thread] = -1, shared.group[thread] = -1;
    long long own = 0, aligned = 0;  // of all groups before those at hand
    for (int group = thread; group - thread < params.groups; group += kThreads) {
      const unsigned count = group < params.groups ? max(params.counts[group], 0) : 0;
      const auto alignment = static_cast<unsigned>(params.alignment);
      const long long padded = static_cast<long long>((count + alignment - 1) / alignment) * alignment;
      AddUp(count, padded, shared);
      const long long own_begin = own + shared.own[thread] - count;
      const long long aligned_begin = aligned + shared.aligned[thread] - padded;
      const long long to = Config::kBack ? own_begin : aligned_begin, from = Config::kBack ? aligned_begin : own_begin;
      for (long long row = max(to, first); row < min(to + count, first + kRows); ++row) {
        if (from + row - to >= params.from_rows) break;
        shared.source[row - first] = from + row - to;
        shared.group[row - first] = group;
      }
      if (tile == 0 && params.ends != nullptr && group < params.groups)
        params.ends[group] = static_cast<int>(aligned_begin + count);
      own += shared.own[kThreads - 1], aligned += shared.aligned[kThreads - 1];
      __syncthreads();  // All have read the sums.
    }
    __syncthreads();
  }

  /// Sums over this thread and those before it.
  static __device__ __forceinline__ void AddUp(long long own, long long aligned, Shared& shared) {
    const int thread = static_cast<int>(threadIdx.x);
    shared.own[thread] = own, shared.aligned[thread] = aligned;
    __syncthreads();
    for (int distance = 1; distance < kThreads; distance *= 2) {
      const bool reaches = thread >= distance;
      if (reaches) own += shared.own[thread - distance], aligned += shared.aligned[thread - distance];
      __syncthreads();
      shared.own[thread] = own, shared.aligned[thread] = aligned;
      __syncthreads();
    }
  }

  static __device__ __forceinline__ void Copy(const GroupRowsParams& params, long long first, const Shared& shared) {
    const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
    for (int i = warp; i < kRows && first + i < params.to_rows; i += kThreads / 32) {
      const long long source = shared.source[i];
      if (!Config::kBack && params.indices != nullptr && lane == 0) params.indices[first + i] = shared.group[i];
      if (Config::kBack && source < 0) continue;
      const unsigned char* from = static_cast<const unsigned char*>(params.from) + source * params.from_stride;
      unsigned char* to = static_cast<unsigned char*>(params.to) + (first + i) * params.to_stride;
      if (params.access == 16) {
        CopyRow<Vector<unsigned, 4>>(to, from, source >= 0, params.row_bytes, lane);
      } else if (params.access == 4) {
        CopyRow<unsigned>(to, from, source >= 0, params.row_bytes, lane);
      } else if (params.access == 2) {
        CopyRow<unsigned short>(to, from, source >= 0, params.row_bytes, lane);
      } else {
        CopyRow<unsigned char>(to, from, source >= 0, params.row_bytes, lane);
      }
    }
  }
  template <class Word>
  static __device__ __forceinline__ void CopyRow(unsigned char* to, const unsigned char* from, bool given,
                                                 long long bytes, int lane) {
    for (long long i = lane; i < bytes / static_cast<long long>(sizeof(Word)); i += 32)
      reinterpret_cast<Word*>(to)[i] = given ? reinterpret_cast<const Word*>(from)[i] : Word{};
  }
};

}  // namespace gemmsmith
